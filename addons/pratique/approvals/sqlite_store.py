"""I/O: the store of approvals in one SQLite file of the state folder: the default, for one machine.

Belongs here: SQL and files. Not here: what a transition is (`transitions`), who may decide (`deciding`), answers
(`answers`). Several processes may open the file (the gateway and `pratique approvals`); not on NFS or EFS, whose locks
WAL cannot use.

Durability: WAL with synchronous=FULL, so that a decision survives a power cut. Each change is one transaction that
begins IMMEDIATE: it reads what it is going to change under the write lock. `consume` is one conditional UPDATE.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from pratique.approvals.deciding import Decision, check_reviewer, quorum_reached
from pratique.approvals.store import (
    APPROVED_FOR_SECONDS,
    DENIAL_STANDS_SECONDS,
    MAX_OPEN_BYTES,
    MAX_PENDING_PER_CLIENT,
    MAX_QUESTION_BYTES,
    MAX_REASON_CHARACTERS,
    Approval,
    Decided,
    Question,
    Summary,
)
from pratique.approvals.transitions import Event, State, state_at, transition
from pratique.errors import Refused, StoreError
from pratique.verdict import ApprovalTerms

FILE_NAME = "approvals.sqlite"
SCHEMA_VERSION = 1
BUSY_SECONDS = 5.0  # a writer waits so long for another one; a commit takes milliseconds
ID_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"  # nothing that is read wrong over a telephone
ID_CHARACTERS = 10  # 49 bits: unique, and short enough to type. An id is no secret

_SCHEMA = """
CREATE TABLE approvals (
  id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, client TEXT NOT NULL, cluster TEXT NOT NULL,
  state TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL NOT NULL,
  attempts INTEGER NOT NULL, last_attempt_at REAL NOT NULL, closed_at REAL,
  summary TEXT NOT NULL, terms TEXT NOT NULL, size INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_open ON approvals (fingerprint) WHERE state IN ('pending', 'approved');
CREATE INDEX by_state ON approvals (state, client);
CREATE INDEX by_fingerprint ON approvals (fingerprint, state);
CREATE TABLE decisions (
  approval_id TEXT NOT NULL REFERENCES approvals (id) ON DELETE CASCADE, person TEXT NOT NULL,
  reviewer TEXT NOT NULL, decision TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (approval_id, person)
) STRICT;
"""
# Nobody decided about an expired pending one; its body goes, or refused floods would fill the disk. The rest stays.
_EXPIRE = """
UPDATE approvals SET
  summary = CASE state WHEN 'pending' THEN json_set(summary, '$.body', '') ELSE summary END,
  state = 'expired', closed_at = :now
WHERE state IN ('pending', 'approved') AND expires_at <= :now
"""


def new_id() -> str:
    return "apr-" + "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_CHARACTERS))


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
        self._lock = threading.Lock()
        with _failures(f"opened (`{path}`)"):
            _make_private(path)
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._db.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            self._db.execute(f"PRAGMA {pragma}")
        with self._write() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif version != SCHEMA_VERSION:
                raise StoreError(
                    f"the approval store is of version {version}, not {SCHEMA_VERSION}. Use its own release"
                )

    def ask(self, question: Question, now: float) -> Approval:
        with self._write() as db:
            db.execute(_EXPIRE, {"now": now})
            row = self._standing(question, now)
            if row is not None:
                db.execute(
                    "UPDATE approvals SET attempts = attempts + 1, last_attempt_at = ? WHERE id = ?", (now, row["id"])
                )
                return self._get(row["id"], now)
            summary, terms = msgspec.json.encode(question.summary), msgspec.json.encode(question.terms)
            self._check_quota(question.client, len(summary))
            approval_id = self._new_id()
            values = (
                approval_id, question.fingerprint, question.client, question.cluster, State.PENDING.value, now,
                now + question.terms.expires_after, 1, now, None, summary.decode(), terms.decode(), len(summary),
            )  # fmt: skip
            db.execute(f"INSERT INTO approvals VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608 - marks
            return self._get(approval_id, now)

    def get(self, approval_id: str, now: float) -> Approval | None:
        with self._read():
            row = self._row(approval_id)
            return None if row is None else self._approval(row, now)

    def find(
        self, now: float, states: Collection[State] = (), client: str | None = None, limit: int = 100
    ) -> list[Approval]:
        with self._read() as db:
            rows = db.execute(
                "SELECT * FROM approvals WHERE :client IS NULL OR client = :client ORDER BY created_at DESC, id",
                {"client": client},
            )
            found: list[Approval] = []
            for row in rows:
                if not states or state_at(State(row["state"]), row["expires_at"], now) in states:
                    found.append(self._approval(row, now))
                if len(found) >= limit:
                    break
            return found

    def states(self, approval_ids: Collection[str], now: float) -> dict[str, State]:
        query = "SELECT id, state, expires_at FROM approvals WHERE id IN (SELECT value FROM json_each(?))"
        with self._read() as db:
            rows = db.execute(query, (msgspec.json.encode(list(approval_ids)).decode(),)).fetchall()
        return {row["id"]: state_at(State(row["state"]), row["expires_at"], now) for row in rows}

    def decide(self, approval_id: str, decision: Decision, reviewer: str, reason: str, now: float) -> Approval:
        if len(reason) > MAX_REASON_CHARACTERS:
            message = f"the reason has more than {MAX_REASON_CHARACTERS} characters. Shorten it"
            raise Refused(400, "BadRequest", message, rule="reason")
        with self._write() as db:
            if self._row(approval_id) is None:
                raise Refused(404, "NotFound", f"no approval `{approval_id}`", rule="approval-id")
            approval = self._get(approval_id, now)
            terms = approval.question.terms
            check_reviewer(reviewer, approval.client, terms)
            event = Event.APPROVE if decision is Decision.APPROVE else Event.DENY
            after = transition(approval.state, event, approval.expires_at, now)
            if any(decided.reviewer.casefold() == reviewer.casefold() for decided in approval.decisions):
                raise Refused(409, "Conflict", f"`{reviewer}` has decided `{approval_id}` already", rule="quorum")
            values = (approval_id, reviewer.casefold(), reviewer, decision.value, reason, now)
            db.execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?)", values)
            approvers = [decided.reviewer for decided in approval.decisions] + [reviewer]
            if after is State.DENIED:
                self._close(approval_id, after, now)
            elif quorum_reached(approvers, terms):
                db.execute(
                    "UPDATE approvals SET state = ?, expires_at = max(expires_at, ?) WHERE id = ? AND state = ?",
                    (after.value, now + APPROVED_FOR_SECONDS, approval_id, State.PENDING.value),
                )
            return self._get(approval_id, now)

    def consume(self, approval_id: str, fingerprint: str, client: str, now: float) -> bool:
        with self._write() as db:
            cursor = db.execute(
                "UPDATE approvals SET state = 'used', closed_at = :now WHERE id = :id AND state = 'approved'"
                " AND expires_at > :now AND fingerprint = :fingerprint AND client = :client",
                {"now": now, "id": approval_id, "fingerprint": fingerprint, "client": client},
            )
            return cursor.rowcount == 1

    def cancel(self, approval_id: str, now: float) -> bool:
        return self._end(approval_id, Event.CANCEL, now)

    def revoke(self, approval_id: str, now: float) -> bool:
        return self._end(approval_id, Event.REVOKE, now)

    def expire(self, now: float) -> int:
        with self._write() as db:
            return db.execute(_EXPIRE, {"now": now}).rowcount

    def prune(self, closed_before: float) -> int:
        with self._write() as db:
            return db.execute("DELETE FROM approvals WHERE closed_at < ?", (closed_before,)).rowcount

    def version(self) -> tuple[int, int]:
        """`data_version` sees other connections' commits only, `total_changes` our own."""
        with self._read() as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0]), db.total_changes

    def close(self) -> None:
        with self._lock, suppress(sqlite3.Error):
            self._db.close()

    def _end(self, approval_id: str, event: Event, now: float) -> bool:
        with self._write():
            row = self._row(approval_id)
            if row is None:
                return False
            try:
                after = transition(State(row["state"]), event, row["expires_at"], now)
            except Refused:
                return False
            self._close(approval_id, after, now)
            return True

    def _close(self, approval_id: str, state: State, now: float) -> None:
        self._db.execute("UPDATE approvals SET state = ?, closed_at = ? WHERE id = ?", (state.value, now, approval_id))

    def _standing(self, question: Question, now: float) -> sqlite3.Row | None:
        """What a repeat of the question is answered with."""
        row: sqlite3.Row | None = self._db.execute(
            "SELECT id FROM approvals WHERE fingerprint = ? AND client = ?"
            " AND (state IN ('pending', 'approved') OR (state = 'denied' AND closed_at > ?))"
            " ORDER BY state = 'denied', closed_at DESC",
            (question.fingerprint, question.client, now - DENIAL_STANDS_SECONDS),
        ).fetchone()
        return row

    def _check_quota(self, client: str, size: int) -> None:
        if size > MAX_QUESTION_BYTES:
            message = f"the request is too large for a question to reviewers ({size} of {MAX_QUESTION_BYTES} bytes)"
            raise Refused(413, "RequestEntityTooLarge", message, rule="approval-size")
        pending, stored = self._db.execute(
            "SELECT coalesce(sum(state = 'pending' AND client = ?), 0), coalesce(sum(size), 0) FROM approvals"
            " WHERE state IN ('pending', 'approved')",
            (client,),
        ).fetchone()
        if pending >= self._max_pending:
            message = (
                f"`{client}` waits for {pending} approvals already. Wait until reviewers have decided some of them"
            )
            raise Refused(429, "TooManyRequests", message, rule="approval-quota")
        if stored + size > self._max_open_bytes:
            message = "the approval queue holds as much as it may. Try again when reviewers have decided some of it"
            raise Refused(429, "TooManyRequests", message, rule="approval-quota")

    def _row(self, approval_id: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM approvals WHERE id = ?", (approval_id,)).fetchone()
        return row

    def _get(self, approval_id: str, now: float) -> Approval:
        row = self._row(approval_id)
        if row is None:
            raise StoreError(f"the approval `{approval_id}` is not in the store")
        return self._approval(row, now)

    def _approval(self, row: Any, now: float) -> Approval:
        decisions = self._db.execute(
            "SELECT * FROM decisions WHERE approval_id = ? ORDER BY at, rowid", (row["id"],)
        ).fetchall()
        return Approval(
            id=row["id"],
            question=Question(
                row["fingerprint"],
                row["client"],
                row["cluster"],
                msgspec.json.decode(row["summary"], type=Summary),
                msgspec.json.decode(row["terms"], type=ApprovalTerms),
            ),
            state=state_at(State(row["state"]), row["expires_at"], now),
            created_at=row["created_at"],
            expires_at=row["expires_at"],
            attempts=row["attempts"],
            last_attempt_at=row["last_attempt_at"],
            closed_at=row["closed_at"],
            decisions=tuple(Decided(d["reviewer"], Decision(d["decision"]), d["reason"], d["at"]) for d in decisions),
        )

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _failures("read"):
            yield self._db

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction; an exception inside, or a commit that fails, leaves nothing behind."""
        with self._lock, _failures("written"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise


@contextmanager
def _failures(done: str) -> Iterator[None]:
    """Whatever fails below is a StoreError: in doubt nothing is approved."""
    try:
        yield
    except (sqlite3.Error, OSError, msgspec.MsgspecError, ValueError) as error:
        text = f"the approval store cannot be {done}: {type(error).__name__}"
        raise StoreError(f"{text}. Check the state folder: disk space, permissions, a local file system") from error


def _make_private(path: Path) -> None:
    """Makes the file 0600 before SQLite opens it; SQLite gives `-wal` and `-shm` the same mode."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
