"""DynamoDB for tests: moto in this process, one call at a time.

moto carries out a transaction by copying its tables and putting the copies back when a condition fails: what another thread
wrote meanwhile is gone. DynamoDB is serialisable, so that here every call waits for the one before.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto import mock_aws

from pratique.dynamodb.setup import Wanted, create_table
from pratique.dynamodb.table import Table
from pratique.dynamodb.versions import Versions

REGION = "eu-west-1"
_NUMBERS = itertools.count(1)


class Serial:
    """A client of boto3. `before(operation, arguments)` is called ahead of each call, and may raise."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self._lock = threading.RLock()
        self.exceptions = service.exceptions
        self.before: Callable[[str, dict[str, Any]], None] = lambda _operation, _arguments: None
        self.after: Callable[[str, dict[str, Any]], None] = lambda _operation, _arguments: None

    def __getattr__(self, operation: str) -> Any:
        method = getattr(self._service, operation)

        def call(**arguments: Any) -> Any:
            self.before(operation, arguments)
            with self._lock:
                answer = method(**arguments)
            self.after(operation, arguments)
            return answer

        return call if operation != "close" else lambda: None


@functools.cache
def _client() -> Any:
    """Made under moto, once: it takes a tenth of a second."""
    return boto3.client("dynamodb", region_name=REGION)


@contextmanager
def service() -> Iterator[Serial]:
    """A client of an empty account."""
    with mock_aws():
        yield Serial(_client())


def new_table(client: Any) -> str:
    """A table of its own; its name."""
    name = f"pratique-{next(_NUMBERS)}"
    create_table(client, Wanted(name, recovery=False, protection=False), sleep=lambda _seconds: None)
    return name


def opened(client: Any, name: str) -> tuple[Table, Versions]:
    """As a replica has it, but that every look at the version reads it, and none is due."""
    table = Table(name, client)
    return table, Versions(table, clock=lambda: 0.0, poll_seconds=0.0)
