"""I/O: one change of a client's approvals in DynamoDB: read its ledger, decide, write all of it or nothing, else again.

Belongs here: the optimistic loop. Not here: what is decided (`dynamodb_store`), the ledger (`ledger`).

INVARIANT: every change of an approval that is open writes the ledger of its client, if its revision is the one that was
read, and the approval, if its state is the one that was read, in one transaction. So two replicas never act on the same
state, and whoever comes second reads again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pratique.approvals import dynamodb_rows as rows
from pratique.approvals.ledger import Ledger
from pratique.approvals.store import Question
from pratique.approvals.transitions import State
from pratique.dynamodb import layout
from pratique.dynamodb.items import expression, names, to_wire
from pratique.dynamodb.table import ConflictError, Table
from pratique.dynamodb.versions import APPROVALS, Versions
from pratique.errors import StoreError

ATTEMPTS = 12
"""Of one change. Each that loses has let another one win; twelve times in a row is a table that is used wrongly."""
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.4  # seconds, at most; doubled each time and drawn by lot, so that rivals part
LOCKS = 64
"""Changes of one client in this process wait for each other here, not in the table. Clients share them by hash."""


@dataclass
class Change:
    """A ledger as it will be, and what is written with it. `gone` are keys that are deleted afterwards, if nothing fails."""

    ledger: Ledger
    writes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    gone: list[tuple[str, str]] = field(default_factory=list)

    def open(self, row: rows.Row, question: Question) -> None:
        """A new approval."""
        self.ledger.open(
            row["id"], question, row["grant_id"], State(row["state"]), row["created_at"], row["expires_at"]
        )
        condition = {"ConditionExpression": f"attribute_not_exists({layout.PARTITION})"}
        self.writes.append(("Put", {"Item": to_wire(rows.item_of(row)), **condition}))

    def keep(self, row: rows.Row, before: State) -> None:
        """INVARIANT: nothing is written over an approval that is in another state by now."""
        condition = {"ConditionExpression": "#state = :before", **names("state"), **expression(before=before.value)}
        self.writes.append(("Put", {"Item": to_wire(rows.item_of(row)), **condition}))

    def close(self, row: rows.Row, ended: State, now: float, note: str = "") -> None:
        """An open approval ends."""
        self.ledger.close(row["id"], ended, now)
        before = State(row["state"])
        row |= {"state": ended.value, "closed_at": now, "note": note or row["note"]}
        self.keep(row, before)


class Changes:
    """`sleep` in seconds."""

    def __init__(self, table: Table, versions: Versions, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._table = table
        self._versions = versions
        self._sleep = sleep
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def ledger(self, client: str) -> Ledger:
        return rows.ledger_of(self._table.get(layout.ledger_key(client)))[0]

    def make[T](self, client: str, work: Callable[[Change], T]) -> T:
        """What `work(change)` returns, once the change is written; nothing is written if it has no writes.

        `work` is called again when somebody else was first. Raises what it raises; StoreError.
        """
        with failures(), self._locks[hash(client) % LOCKS]:
            for attempt in range(ATTEMPTS):
                ledger, revision = rows.ledger_of(self._table.get(layout.ledger_key(client)))
                change = Change(ledger)
                result = work(change)
                if not change.writes:
                    return result
                try:
                    self._table.transact([_ledger_write(client, ledger, revision), *change.writes])
                except ConflictError:
                    self._sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)))  # noqa: S311 - no secret
                    continue
                self._versions.bump(APPROVALS)
                self._table.delete_many(change.gone)
                return result
        raise StoreError(f"the approvals of `{client}` are changed too often at once. Repeat the request later")

    def touch(self, update: Callable[[], object]) -> bool:
        """One conditional write that the ledger does not depend on; False if its condition does not hold."""
        with failures():
            try:
                update()
            except ConflictError:
                return False
            self._versions.bump(APPROVALS)
            return True


def _ledger_write(client: str, ledger: Ledger, revision: int) -> tuple[str, dict[str, Any]]:
    item = {"Item": to_wire(rows.ledger_item(client, ledger, revision + 1))}
    if not revision:
        return "Put", {**item, "ConditionExpression": f"attribute_not_exists({layout.PARTITION})"}
    condition = {"ConditionExpression": "#revision = :read", **names("revision"), **expression(read=revision)}
    return "Put", {**item, **condition}


@contextmanager
def failures() -> Iterator[None]:
    """What cannot be understood in the table is a StoreError: in doubt nothing is approved."""
    try:
        yield
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
        text = f"the table holds what this release cannot read: {type(error).__name__}"
        raise StoreError(f"{text}. Use the release that wrote it") from error
