"""I/O: counts that survive a restart: how much of its daily budget a client has used.

Belongs here: what is promised of such counts, and those in a SQLite file of the state folder. Not here: what is
counted, and what happens at the limit (`limits`), the budget that several gateways share (`dynamodb_counters`).
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from typing import Protocol

MIGRATIONS = (
    """
    CREATE TABLE counts (client TEXT NOT NULL, day TEXT NOT NULL, used INTEGER NOT NULL, PRIMARY KEY (client, day))
        WITHOUT ROWID
    """,
)
_SPEND = """
    INSERT INTO counts (client, day, used) VALUES (:client, :day, 1)
    ON CONFLICT (client, day) DO UPDATE SET used = used + 1 WHERE used < :limit
    RETURNING used
"""


class Counters(Protocol):
    """Durable counts by client and day. Blocks; call it from a thread."""

    def spend(self, client: str, day: str, limit: int) -> bool:
        """Counts one more if fewer than `limit` were counted; whether it did. Raises StoreError: then nothing is sent."""

    def close(self) -> None:
        """Ends their use."""


class File(Protocol):
    """The SQLite file, opened privately and migrated."""

    def write(self) -> AbstractContextManager[sqlite3.Connection]:
        """One transaction. Whatever fails is a StoreError."""

    def close(self) -> None:
        """Ends its use."""


class SqliteCounters:
    """In a file of this machine. Earlier days are forgotten."""

    def __init__(self, file: File) -> None:
        """`file` was migrated by MIGRATIONS."""
        self._file = file
        self._day = ""

    def spend(self, client: str, day: str, limit: int) -> bool:
        if limit <= 0:
            return False
        with self._file.write() as db:
            if day > self._day:
                db.execute("DELETE FROM counts WHERE day < ?", (day,))
                self._day = day
            return db.execute(_SPEND, {"client": client, "day": day, "limit": limit}).fetchone() is not None

    def close(self) -> None:
        self._file.close()
