"""I/O: the stores of one gateway as its options say: files in the state folder, or one DynamoDB table for all replicas.

Belongs here: choosing. Not here: each of them (`approvals.sqlite_store`, `approvals.dynamodb_store`, …).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pratique.approvals.admin.keys import link_key
from pratique.approvals.admin.links import KEY_BYTES
from pratique.approvals.dynamodb_outbox import DynamoOutbox
from pratique.approvals.dynamodb_store import DynamoStore
from pratique.approvals.outbox import Outbox
from pratique.approvals.sqlite_outbox import FILE_NAME as OUTBOX
from pratique.approvals.sqlite_outbox import SqliteOutbox
from pratique.approvals.sqlite_store import FILE_NAME as APPROVALS
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.store import ApprovalStore
from pratique.dynamodb.layout import LINK_KEY, PARTITION
from pratique.dynamodb.table import ConflictError, Table, client
from pratique.dynamodb.versions import Versions
from pratique.identity.counters import MIGRATIONS as COUNTERS
from pratique.identity.counters import Counters, SqliteCounters
from pratique.identity.dynamodb_counters import DynamoCounters
from pratique.identity.revoking.dynamodb_store import DynamoRevocations
from pratique.identity.revoking.sqlite_store import FILE_NAME as REVOCATIONS
from pratique.identity.revoking.sqlite_store import SqliteRevocations
from pratique.revocation import RevocationStore
from pratique.sqlite_file import SqliteFile

SHARED_NOTE = "dynamodb-table"
"""In the state folder of a gateway that shares a table: its name. Whoever works on the files there would decide nothing."""


def shared_table(state: Path) -> str:
    """The table that the gateway of this state folder shares; "" if it shares none."""
    try:
        return (state / SHARED_NOTE).read_text()
    except FileNotFoundError:
        return ""


class Stores:
    """Each is opened when it is asked for. Raises StoreError or StartError where it cannot be: then nothing starts."""

    def __init__(self, state: Path, table: str = "", region: str = "", *, service: Any = None) -> None:
        """`table` "" is the state folder. `service` is boto3's client, where it is not the default one."""
        self._state = state
        self._table = Table(table, service or client(region)) if table else None
        self._versions = Versions(self._table) if self._table is not None else None
        if table:
            (state / SHARED_NOTE).write_text(table)
        else:
            (state / SHARED_NOTE).unlink(missing_ok=True)

    def approvals(self) -> ApprovalStore:
        if self._table is None or self._versions is None:
            return SqliteStore(self._state / APPROVALS)
        return DynamoStore(self._table, self._versions)

    def outbox(self) -> Outbox:
        return SqliteOutbox(self._state / OUTBOX) if self._table is None else DynamoOutbox(self._table)

    def revocations(self) -> RevocationStore:
        if self._table is None or self._versions is None:
            return SqliteRevocations(self._state / REVOCATIONS)
        return DynamoRevocations(self._table, self._versions)

    def counters(self) -> Counters:
        if self._table is not None:
            return DynamoCounters(self._table)
        return SqliteCounters(SqliteFile(self._state / "counters.sqlite", COUNTERS, "write counters"))

    def link_key(self) -> bytes:
        """The key that links in messages are signed with: a link that one replica made opens on all."""
        return link_key(self._state) if self._table is None else _shared_link_key(self._table)


def _shared_link_key(table: Table) -> bytes:
    found = table.get(LINK_KEY)
    if found is None:
        try:
            absent = f"attribute_not_exists({PARTITION})"
            table.put({**LINK_KEY, "key": os.urandom(KEY_BYTES)}, ConditionExpression=absent)
        except ConflictError:
            pass  # another replica's
        return _shared_link_key(table)
    return bytes(found["key"])
