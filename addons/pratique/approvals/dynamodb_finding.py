"""I/O: reading approvals from DynamoDB: one, some by id, or a list from the index.

Belongs here: queries. Not here: changes (`dynamodb_store`), items (`dynamodb_rows`).

Of a used approval whose grant was revoked nothing is written: that it is withdrawn follows from the grant, so that revoking
one is a single write however much was done under it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator

from pratique.approvals import dynamodb_rows as rows
from pratique.approvals.dynamodb_changes import failures
from pratique.approvals.store import Approval
from pratique.approvals.transitions import State, state_at
from pratique.dynamodb import layout
from pratique.dynamodb.table import Table
from pratique.errors import StoreError


class Finding:
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, approval_id: str, now: float) -> Approval | None:
        with failures():
            items = {item[layout.SORT]: item for item in self._table.partition(layout.approval_key(approval_id)["pk"])}
            if "A" not in items:
                return None
            row = rows.row_of(items["A"])
            keys = [sort for _, sort in rows.piece_keys(row)]
            if not set(keys) <= set(items):
                raise StoreError(f"what is large of the approval `{approval_id}` is not in the store")
            self._note_withdrawn([row])
            return rows.approval_of(row, now, [items[sort]["piece"] for sort in keys])

    def row(self, approval_id: str) -> rows.Row | None:
        """Without what is large."""
        with failures():
            found = self._table.get(layout.approval_key(approval_id))
            return None if found is None else rows.row_of(found)

    def some(self, approval_ids: Collection[str]) -> dict[str, rows.Row]:
        """By id; those that exist."""
        with failures():
            keys = [(layout.approval_key(approval_id)["pk"], "A") for approval_id in approval_ids]
            return {item["id"]: rows.row_of(item) for item in self._table.get_many(keys).values()}

    def states(self, approval_ids: Collection[str], now: float) -> dict[str, State]:
        found = self.some(approval_ids).values()
        return {row["id"]: state_at(State(row["state"]), row["expires_at"], now) for row in found}

    def withdrawn(self, approval_ids: Collection[str]) -> set[str]:
        found = list(self.some(approval_ids).values())
        self._note_withdrawn(found)
        return {row["id"] for row in found if row["withdrawn_at"] is not None}

    def find(self, now: float, states: Collection[State], client: str | None, limit: int) -> list[Approval]:
        with failures():
            found: list[rows.Row] = []
            for row in self._newest(states):
                counts = state_at(State(row["state"]), row["expires_at"], now)
                if (not states or counts in states) and client in {None, row["client"]}:
                    found.append(row)
                if len(found) >= limit:
                    break
            self._note_withdrawn(found)
            return [rows.approval_of(row, now) for row in found]

    def _newest(self, states: Collection[State]) -> Iterator[rows.Row]:
        """Of both shelves, merged. Open ones are few, and read whole."""
        waiting = sorted(
            map(rows.row_of, self._table.shelf(layout.OPEN_SHELF)), key=lambda row: row["created_at"], reverse=True
        )
        wanted = not states or any(not state.is_open for state in states)
        closed = map(rows.row_of, self._table.shelf(layout.CLOSED_SHELF, newest_first=True)) if wanted else iter(())
        return _merged(iter(waiting), closed)

    def open_bytes(self, now: float) -> int:
        """Of all questions that are open."""
        items = self._table.shelf(layout.OPEN_SHELF, after=now, attributes=("size",))
        return sum(int(item["size"]) for item in items)

    def clients_with_expired(self, now: float) -> list[str]:
        items = self._table.shelf(layout.OPEN_SHELF, until=now, attributes=("client",))
        return sorted({item["client"] for item in items})

    def closed_before(self, time: float) -> list[rows.Row]:
        """Whoever was closed before was asked before."""
        items = map(rows.row_of, self._table.shelf(layout.CLOSED_SHELF, until=time))
        return [row for row in items if row["closed_at"] is not None and row["closed_at"] < time]

    def _note_withdrawn(self, found: Iterable[rows.Row]) -> None:
        """Of used ones: withdrawn when their grant was revoked, or the grant that was given with them."""
        used = [row for row in found if row["state"] == State.USED and row["withdrawn_at"] is None]
        sorts = {row[name] for row in used for name in ("grant_sort", "gave_sort") if row.get(name)}
        grants = self._table.get_many([(layout.GRANTS, sort) for sort in sorts]) if sorts else {}
        ends = {sort: item["revoked_at"] for (_, sort), item in grants.items() if item.get("revoked_at") is not None}
        for row in used:
            at = [ends[row[name]] for name in ("grant_sort", "gave_sort") if row.get(name) in ends]
            if at:
                row["withdrawn_at"] = float(min(at))


def _merged(first: Iterator[rows.Row], second: Iterator[rows.Row]) -> Iterator[rows.Row]:
    """Both are the newest first."""
    one, other = next(first, None), next(second, None)
    while one is not None and other is not None:
        if one["created_at"] >= other["created_at"]:
            yield one
            one = next(first, None)
        else:
            yield other
            other = next(second, None)
    rest = [row for row in (one, other) if row is not None]
    yield from itertools.chain(rest, first, second)
