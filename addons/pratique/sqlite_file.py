"""I/O: one SQLite file of the state folder: opened privately, migrated, and used in transactions.

Belongs here: the file, its versions, locking, what a failure is. Not here: tables (`approvals.sqlite_store`, …).
Several processes may open the file (the gateway and `pratique approvals`); not on NFS or EFS, whose locks WAL cannot use.

Durability: WAL with synchronous=FULL, so that a decision survives a power cut. Each change is one transaction that
begins IMMEDIATE: it reads what it is going to change under the write lock.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from pratique.errors import StoreError

BUSY_SECONDS = 5.0  # a writer waits so long for another one; a commit takes milliseconds


class SqliteFile:
    """Safe to use from several threads: one at a time. `migrations[n]` brings version n to n + 1; `what` names it."""

    def __init__(self, path: Path, migrations: Sequence[str], what: str) -> None:
        """Opens or makes the file, 0600. Raises StoreError: not writable, not a store, of a later version."""
        self._lock = threading.Lock()
        self._what = what
        with self._failures(f"opened (`{path}`)"):
            _make_private(path)
            self.db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(migrations)
            except BaseException:
                self.db.close()
                raise

    def _prepare(self, migrations: Sequence[str]) -> None:
        self.db.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            self.db.execute(f"PRAGMA {pragma}")
        with self.write() as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version > len(migrations):
                known = len(migrations)
                raise StoreError(f"the {self._what} is of version {version}, not {known}. Use its own release")
            for migration in migrations[version:]:
                for statement in filter(str.strip, migration.split(";")):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {len(migrations)}")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._failures("read"):
            yield self.db

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction; an exception inside, or a commit that fails, leaves nothing behind."""
        with self._lock, self._failures("written"):
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self.db.execute("ROLLBACK")
                raise

    def version(self) -> tuple[int, int]:
        """`data_version` sees other connections' commits only, `total_changes` our own."""
        with self.read() as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0]), db.total_changes

    def close(self) -> None:
        with self._lock, suppress(sqlite3.Error):
            self.db.close()

    @contextmanager
    def _failures(self, done: str) -> Iterator[None]:
        """Whatever fails below is a StoreError: in doubt nothing is approved."""
        try:
            yield
        except (sqlite3.Error, OSError, msgspec.MsgspecError, ValueError) as error:
            text = f"the {self._what} cannot be {done}: {type(error).__name__}"
            raise StoreError(f"{text}. Check the state folder: disk space, permissions, a local file system") from error


def _make_private(path: Path) -> None:
    """Makes the file 0600 before SQLite opens it; SQLite gives `-wal` and `-shm` the same mode."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
