"""I/O: which messages to webhooks are due, in a SQLite file of the state folder.

Belongs here: SQL. Not here: what is sent, when it is tried again (`webhooks`), sending (`notifying`). What is in it
survives a restart: a message is sent at least once, and every attempt has the same idempotency key.
"""

from __future__ import annotations

from pathlib import Path

from pratique.approvals.outbox import Message
from pratique.approvals.webhooks import EventName
from pratique.sqlite_file import SqliteFile

FILE_NAME = "webhooks.sqlite"
_VERSION_1 = """
CREATE TABLE receivers (webhook TEXT PRIMARY KEY, since REAL NOT NULL) STRICT;
CREATE TABLE messages (
  webhook TEXT NOT NULL, approval_id TEXT NOT NULL, event TEXT NOT NULL, attempts INTEGER NOT NULL,
  next_at REAL, ended_at REAL, outcome TEXT NOT NULL, PRIMARY KEY (webhook, approval_id, event)
) STRICT;
CREATE INDEX due ON messages (next_at) WHERE ended_at IS NULL;
"""
_END = "UPDATE messages SET ended_at = ?, next_at = NULL, attempts = attempts + 1, outcome = ?"
_AGAIN = "UPDATE messages SET next_at = ?, attempts = attempts + 1, outcome = ?"
_ONE = " WHERE webhook = ? AND approval_id = ? AND event = ?"


class SqliteOutbox:
    """Raises StoreError. Blocks; call it from a thread."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, (_VERSION_1,), "outbox of webhooks")

    def since(self, webhook: str, now: float) -> float:
        """When this receiver was first known; it is told of nothing that happened before."""
        with self._file.write() as db:
            db.execute("INSERT OR IGNORE INTO receivers VALUES (?, ?)", (webhook, now))
            row = db.execute("SELECT since FROM receivers WHERE webhook = ?", (webhook,)).fetchone()
            return float(row["since"])

    def add(self, messages: list[Message], now: float) -> int:
        """Puts in what is not in it yet; how many."""
        rows = [(each.webhook, each.approval_id, each.event.value, 0, now, None, "") for each in messages]
        with self._file.write() as db:
            return db.executemany("INSERT OR IGNORE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)", rows).rowcount

    def due(self, now: float, limit: int) -> list[Message]:
        query = "SELECT * FROM messages WHERE ended_at IS NULL AND next_at <= ? ORDER BY next_at LIMIT ?"
        with self._file.read() as db:
            rows = db.execute(query, (now, limit)).fetchall()
        return [Message(row["webhook"], row["approval_id"], EventName(row["event"]), row["attempts"]) for row in rows]

    def end(self, message: Message, outcome: str, now: float) -> None:
        """It was sent, or never will be."""
        with self._file.write() as db:
            db.execute(_END + _ONE, (now, outcome, *_key(message)))

    def again(self, message: Message, outcome: str, next_at: float) -> None:
        """It is tried again at `next_at`."""
        with self._file.write() as db:
            db.execute(_AGAIN + _ONE, (next_at, outcome, *_key(message)))

    def prune(self, ended_before: float) -> int:
        with self._file.write() as db:
            return db.execute("DELETE FROM messages WHERE ended_at < ?", (ended_before,)).rowcount

    def close(self) -> None:
        self._file.close()


def _key(message: Message) -> tuple[str, str, str]:
    return message.webhook, message.approval_id, message.event.value
