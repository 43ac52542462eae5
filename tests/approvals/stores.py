"""The stores of approvals that there are, for tests of what each of them promises."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pratique.approvals.dynamodb_changes import Changes
from pratique.approvals.dynamodb_outbox import DynamoOutbox
from pratique.approvals.dynamodb_store import DynamoStore
from pratique.approvals.sqlite_outbox import SqliteOutbox
from pratique.approvals.sqlite_store import SqliteStore
from tests.dynamodb import service as dynamodb


class Stores:
    """`open(…)` is one more process at the same data; everything is closed with it."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self._exits = ExitStack()
        if kind == "sqlite":
            self._open: Callable[..., Any] = lambda **options: SqliteStore(folder / "approvals.sqlite", **options)
        else:
            self.service = self._exits.enter_context(dynamodb.service())
            self.table = dynamodb.new_table(self.service)
            self._open = self._dynamodb

    def _dynamodb(self, **options: Any) -> DynamoStore:
        table, versions = dynamodb.opened(self.service, self.table)
        return DynamoStore(table, versions, changes=Changes(table, versions, sleep=lambda _seconds: None), **options)

    def open(self, **options: Any) -> Any:
        store = self._open(**options)
        self._exits.callback(store.close)
        return store

    def outbox(self) -> Any:
        """One more process's outbox of the same messages."""
        if self.kind == "sqlite":
            outbox = SqliteOutbox(self.folder / "webhooks.sqlite")
            self._exits.callback(outbox.close)
            return outbox
        return DynamoOutbox(dynamodb.opened(self.service, self.table)[0])

    def close(self) -> None:
        self._exits.close()
