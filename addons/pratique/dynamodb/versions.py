"""I/O: whether anything was changed since, asked once for everybody in this process: the one wake-up path of a replica.

Belongs here: the counters in the table, and how often they are read. Not here: who waits (`approvals.waiting`,
`identity.revoking.current`). A thousand held requests, the reviewers' pages, open streams and revocations cost one read
each `POLL_SECONDS`.

A counter moves after what was changed is in the table. A process that dies in between moves nothing; so that this cannot
be missed for ever, `read` differs every `RENEW_SECONDS` in any case.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pratique.dynamodb.layout import SCHEMA, VERSIONS
from pratique.dynamodb.table import Table
from pratique.errors import StoreError

POLL_SECONDS = 0.1
"""How old an answer may be. With a quarter of a second between looks and half a second until streams are rechecked, what is
revoked on one replica ends on the others within a second."""
RENEW_SECONDS = 5.0
APPROVALS, REVOCATIONS = "approvals", "revocations"


class Versions:
    """Safe in several threads. `clock` is monotonic, in seconds."""

    def __init__(
        self, table: Table, *, clock: Callable[[], float] = time.monotonic, poll_seconds: float = POLL_SECONDS
    ) -> None:
        """Raises StoreError: the table cannot be used, or is of a later release."""
        self._table = table
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._counters: dict[str, int] = {}
        self._look()

    def read(self, what: str) -> tuple[int, int]:
        """Raises StoreError."""
        with self._lock:
            if self._clock() - self._read_at >= self._poll_seconds:
                self._look()
            return self._counters.get(what, 0), int(self._clock() / RENEW_SECONDS)

    def bump(self, what: str) -> None:
        """Something was changed. Raises StoreError."""
        found = self._table.update(
            VERSIONS,
            UpdateExpression="SET #schema = if_not_exists(#schema, :schema) ADD #what :one",
            ExpressionAttributeNames={"#schema": "schema", "#what": what},
            ExpressionAttributeValues={":schema": {"N": str(SCHEMA)}, ":one": {"N": "1"}},
        )
        with self._lock:
            self._counters[what] = max(self._counters.get(what, 0), int(found[what]))

    def _look(self) -> None:
        at = self._clock()  # before the read: what comes later is not in it
        found = self._table.get(VERSIONS) or {}
        if int(found.get("schema", SCHEMA)) > SCHEMA:
            raise StoreError(f"the table `{self._table.name}` is of version {found['schema']}. Use its own release")
        for what in (APPROVALS, REVOCATIONS):
            self._counters[what] = max(self._counters.get(what, 0), int(found.get(what, 0)))
        self._read_at = at
