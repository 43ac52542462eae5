"""I/O: the store of approvals in one SQLite file of the state folder: the default, for one machine.

Belongs here: the SQL of approvals and their decisions. Not here: the file (`sqlite_file`), the tables (`sqlite_schema`),
grants (`sqlite_grants`), what a transition is (`transitions`), who may decide (`deciding`), answers (`answers`).
`consume` is one conditional UPDATE.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from pratique.approvals import sqlite_schema as schema
from pratique.approvals.deciding import Decision, quorum_reached
from pratique.approvals.grants import Grant, Wish, narrowest
from pratique.approvals.sqlite_grants import SqliteGrants
from pratique.approvals.steps import after, check_quota, check_reason, grant_id_of, new_id, unknown
from pratique.approvals.store import (
    APPROVED_FOR_SECONDS,
    DENIAL_STANDS_SECONDS,
    MAX_OPEN_BYTES,
    MAX_PENDING_PER_CLIENT,
    RELATED_SECONDS,
    Approval,
    Decided,
    Question,
)
from pratique.approvals.transitions import Event, State, state_at, transition
from pratique.errors import Refused, StoreError
from pratique.sqlite_file import SqliteFile

FILE_NAME = "approvals.sqlite"


class SqliteStore:
    """`ApprovalStore` in a file. Safe to use from several threads: one at a time."""

    def __init__(
        self,
        path: Path,
        *,
        new_id: Callable[[], str] = new_id,
        max_pending: int = MAX_PENDING_PER_CLIENT,
        max_open_bytes: int = MAX_OPEN_BYTES,
    ) -> None:
        """Opens or makes the file, 0600. Raises StoreError: not writable, not a store, of another version."""
        self._new_id = new_id
        self._max_pending = max_pending
        self._max_open_bytes = max_open_bytes
        self._file = SqliteFile(path, schema.MIGRATIONS, "approval store")
        self._grants = SqliteGrants(self._file)

    @property
    def _db(self) -> sqlite3.Connection:
        return self._file.db

    def ask(self, question: Question, now: float) -> Approval:
        row = _row_of(question)  # before the lock: a body may have 3 MiB
        with self._file.write() as db:
            db.execute(schema.EXPIRE, {"now": now})
            standing = self._standing(row, now)
            if standing is None or standing["state"] == State.PENDING:
                grant = self._grants.covering(question.asked, now)
                if grant is not None:
                    return self._granted(row, grant, standing, now)
            if standing is not None:
                db.execute(schema.ATTEMPT, {"now": now, "id": standing["id"]})
                return self._get(standing["id"], now)
            self._check_quota(row, question.max_pending)
            return self._insert(row, State.PENDING, now, now + question.terms.expires_after, "")

    def is_new(self, question: Question, now: float) -> bool:
        row = _row_of(question)
        with self._file.write() as db:
            db.execute(schema.EXPIRE, {"now": now})
            if self._standing(row, now) is not None or self._grants.covering(question.asked, now) is not None:
                return False
            self._check_quota(row, question.max_pending)
            return True

    def _granted(self, asked: schema.Columns, grant: Grant, pending: sqlite3.Row | None, now: float) -> Approval:
        """A use of its own under the grant. Whoever waits for the same thing is told to repeat it, and is granted."""
        if pending is not None:
            self._close(pending["id"], State.CANCELLED, now, f"grant {grant.id} covers it")
        until = min(grant.expires_at, now + APPROVED_FOR_SECONDS)
        return self._insert(asked, State.APPROVED, now, until, grant.id)

    def _insert(self, asked: schema.Columns, state: State, now: float, expires_at: float, grant_id: str) -> Approval:
        row = asked | {
            "id": self._new_id(),
            "state": state.value,
            "created_at": now,
            "expires_at": expires_at,
            "attempts": 1,
            "last_attempt_at": now,
            "grant_id": grant_id,
            "supersedes": self._related(schema.SUPERSEDED, asked, now),
            "repeats": self._related(schema.REPEATED, asked, now),
        }
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        self._db.execute(f"INSERT INTO approvals ({names}) VALUES ({marks})", row)  # noqa: S608 - our own names
        return self._get(str(row["id"]), now)

    def _related(self, query: str, asked: schema.Columns, now: float) -> str:
        values = asked | {"since": now - RELATED_SECONDS}
        found = self._db.execute(query, values).fetchone()
        return str(found["id"]) if found else ""

    def get(self, approval_id: str, now: float) -> Approval | None:
        with self._file.read():
            row = self._row(approval_id)
            return None if row is None else self._approval(row, now)

    def find(
        self, now: float, states: Collection[State] = (), client: str | None = None, limit: int = 100
    ) -> list[Approval]:
        with self._file.read() as db:
            found: list[Approval] = []
            for row in db.execute(schema.NEWEST, {"client": client, "states": _stored(states)}):
                if not states or state_at(State(row["state"]), row["expires_at"], now) in states:
                    found.append(self._approval(row, now))
                if len(found) >= limit:
                    break
            return found

    def states(self, approval_ids: Collection[str], now: float) -> dict[str, State]:
        with self._file.read() as db:
            rows = db.execute(schema.STATES, (msgspec.json.encode(list(approval_ids)).decode(),)).fetchall()
        return {row["id"]: state_at(State(row["state"]), row["expires_at"], now) for row in rows}

    def decide(
        self,
        approval_id: str,
        decision: Decision,
        reviewer: str,
        reason: str,
        now: float,
        *,
        wish: Wish | None = None,
        person: str = "",
    ) -> Approval:
        wish = wish or Wish()
        check_reason(reason)
        with self._file.write() as db:
            if self._row(approval_id) is None:
                raise unknown(approval_id)
            approval = self._get(approval_id, now)
            decided = Decided(reviewer, decision, reason, now, person or reviewer, wish)
            state = after(approval, decided, now)
            db.execute(schema.DECISION, schema.decision_row(approval_id, decided))
            decisions = (*approval.decisions, decided)
            if state is State.DENIED:
                self._close(approval_id, state, now)
            elif quorum_reached([each.person for each in decisions], approval.question.terms):
                until = now + APPROVED_FOR_SECONDS
                db.execute(schema.APPROVE, {"id": approval_id, "until": until})
                agreed = narrowest([each.wish for each in decisions])
                self._grants.give(approval, decisions, agreed, now, grant_id_of(self._new_id()))
            return self._get(approval_id, now)

    def consume(self, approval_id: str, fingerprint: str, client: str, now: float) -> bool:
        values = {"now": now, "id": approval_id, "fingerprint": fingerprint, "client": client}
        with self._file.write() as db:
            if db.execute(schema.CONSUME, values).rowcount != 1:
                return False
            db.execute(schema.COUNT_USE, values)
            return True

    def cancel(self, approval_id: str, now: float, note: str = "") -> bool:
        return self._end(approval_id, Event.CANCEL, now, note)

    def revoke(self, approval_id: str, now: float, note: str = "") -> bool:
        return self._end(approval_id, Event.REVOKE, now, note)

    def withdraw(self, approval_id: str, now: float) -> bool:
        with self._file.write() as db:
            return db.execute(schema.WITHDRAW, {"id": approval_id, "now": now}).rowcount == 1

    def withdrawn(self, approval_ids: Collection[str]) -> set[str]:
        with self._file.read() as db:
            rows = db.execute(schema.WITHDRAWN, (msgspec.json.encode(list(approval_ids)).decode(),)).fetchall()
        return {row["id"] for row in rows}

    def grants(self, now: float, *, ended: bool = False, limit: int = 100) -> list[Grant]:
        with self._file.read():
            return self._grants.find(now, ended=ended, limit=limit)

    def revoke_grant(self, grant_id: str, by: str, now: float) -> bool:
        with self._file.write() as db:
            if not self._grants.revoke(grant_id, by, now):
                return False
            values = {"grant_id": grant_id, "now": now, "note": f"{by} revoked grant {grant_id}"}
            db.execute(schema.REVOKE_BY_GRANT, values)
            db.execute(schema.WITHDRAW_BY_GRANT, values)
            return True

    def expire(self, now: float) -> int:
        with self._file.write() as db:
            return db.execute(schema.EXPIRE, {"now": now}).rowcount

    def prune(self, closed_before: float) -> int:
        with self._file.write() as db:
            return db.execute(schema.PRUNE, (closed_before,)).rowcount

    def version(self) -> tuple[int, int]:
        return self._file.version()

    def close(self) -> None:
        self._file.close()

    def _end(self, approval_id: str, event: Event, now: float, note: str) -> bool:
        with self._file.write():
            row = self._row(approval_id)
            if row is None:
                return False
            try:
                after = transition(State(row["state"]), event, row["expires_at"], now)
            except Refused:
                return False
            self._close(approval_id, after, now, note)
            return True

    def _close(self, approval_id: str, state: State, now: float, note: str = "") -> None:
        self._db.execute(schema.CLOSE, {"state": state.value, "now": now, "note": note, "id": approval_id})

    def _standing(self, asked: schema.Columns, now: float) -> sqlite3.Row | None:
        """What a repeat of the question is answered with."""
        values = asked | {"denied_since": now - DENIAL_STANDS_SECONDS}
        row: sqlite3.Row | None = self._db.execute(schema.STANDING, values).fetchone()
        return row

    def _check_quota(self, asked: schema.Columns, max_pending: int) -> None:
        pending, stored = self._db.execute(schema.QUOTA, (asked["client"],)).fetchone()
        most = min(self._max_pending, max_pending)
        check_quota(asked["client"], pending, most, int(asked["size"]), self._max_open_bytes - stored)

    def _row(self, approval_id: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM approvals WHERE id = ?", (approval_id,)).fetchone()
        return row

    def _get(self, approval_id: str, now: float) -> Approval:
        row = self._row(approval_id)
        if row is None:
            raise StoreError(f"the approval `{approval_id}` is not in the store")
        return self._approval(row, now)

    def _approval(self, row: sqlite3.Row, now: float) -> Approval:
        decisions = self._db.execute(schema.DECISIONS, (row["id"],)).fetchall()
        return schema.approval_of(row, decisions, now)


def _row_of(question: Question) -> schema.Columns:
    try:
        return schema.row_of(question)
    except UnicodeEncodeError as error:
        raise StoreError("the question holds text that cannot be stored") from error


def _stored(states: Collection[State]) -> str | None:
    """The states that rows may have which count as these: what has expired may not be written down yet."""
    if not states:
        return None
    also = {State.PENDING, State.APPROVED} if State.EXPIRED in states else set()
    return msgspec.json.encode(sorted({*states, *also})).decode()
