"""I/O: the revocations in one SQLite file of the state folder: the default, for one machine.

Belongs here: SQL. Not here: what a revocation is (`pratique.revocation`), the file (`pratique.sqlite_file`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable
from pathlib import Path

from pratique.errors import Refused
from pratique.revocation import MAX_IN_FORCE, Kind, Revocation, check
from pratique.sqlite_file import SqliteFile

FILE_NAME = "revocations.sqlite"
_VERSION_1 = """
CREATE TABLE revocations (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL, at REAL NOT NULL,
  until REAL, lifted_at REAL, lifted_by TEXT NOT NULL
) STRICT;
CREATE INDEX standing ON revocations (until) WHERE lifted_at IS NULL;
"""
_IN_FORCE = "FROM revocations WHERE lifted_at IS NULL AND (until IS NULL OR until > :now)"
_INSERT = "INSERT INTO revocations VALUES (:id, :kind, :name, :reason, :by, :at, :until, NULL, '')"
_LIFT = (
    "UPDATE revocations SET lifted_at = :now, lifted_by = :by "
    "WHERE id = :id AND lifted_at IS NULL AND (until IS NULL OR until > :now)"
)


class SqliteRevocations:
    """`RevocationStore` in a file. Safe to use from several threads: one at a time."""

    def __init__(self, path: Path, *, max_in_force: int = MAX_IN_FORCE) -> None:
        """Opens or makes the file, 0600. Raises StoreError: not writable, not a store, of another version."""
        self._max_in_force = max_in_force
        self._file = SqliteFile(path, (_VERSION_1,), "store of revocations")

    def revoke(self, revocation: Revocation) -> None:
        check(revocation)
        with self._file.write() as db:
            (standing,) = db.execute(f"SELECT count(*) {_IN_FORCE}", {"now": revocation.at}).fetchone()
            if standing >= self._max_in_force:
                message = f"{standing} revocations are in force already. Lift those that are not needed"
                raise Refused(429, "TooManyRequests", message, rule="revocation")
            if db.execute("SELECT 1 FROM revocations WHERE id = ?", (revocation.id,)).fetchone():
                raise Refused(409, "Conflict", f"`{revocation.id}` exists already", rule="revocation")
            db.execute(_INSERT, _row(revocation))

    def lift(self, revocation_id: str, by: str, now: float) -> bool:
        with self._file.write() as db:
            return db.execute(_LIFT, {"id": revocation_id, "by": by, "now": now}).rowcount == 1

    def in_force(self, now: float) -> tuple[Revocation, ...]:
        with self._file.read() as db:
            return tuple(_revocation(row) for row in db.execute(f"SELECT * {_IN_FORCE}", {"now": now}))

    def find(self, *, limit: int = 100) -> list[Revocation]:
        query = "SELECT * FROM revocations ORDER BY at DESC, rowid DESC LIMIT ?"
        with self._file.read() as db:
            return [_revocation(row) for row in db.execute(query, (limit,))]

    def version(self) -> Hashable:
        return self._file.version()

    def close(self) -> None:
        self._file.close()


def _row(revocation: Revocation) -> dict[str, object]:
    names = ("id", "name", "reason", "by", "at", "until")
    return {"kind": revocation.kind.value, **{name: getattr(revocation, name) for name in names}}


def _revocation(row: sqlite3.Row) -> Revocation:
    """Raises ValueError: the row was not written by us."""
    return Revocation(**{**dict(row), "kind": Kind(row["kind"])})
