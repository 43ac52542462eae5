"""I/O: the recordings of one gateway as its options say: the key, the spool, the bucket.

Belongs here: putting them together, and closing them in order. Not here: each of them (`kms`, `spool`, `uploader`,
`shared_index`).
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Protocol

from pratique.dynamodb.table import Table, client
from pratique.errors import StartError
from pratique.recorder import kms, layout
from pratique.recorder.s3 import Bucket
from pratique.recorder.segments import Destination
from pratique.recorder.shared_index import SharedIndex
from pratique.recorder.spool import Spool
from pratique.recorder.uploader import Limits, Uploader

LOCKS = ("", "governance", "compliance")
FULL = ("refuse", "serve")


class Options(Protocol):
    """The options of this room (`pratique.settings`)."""

    pratique_record_key: str
    pratique_segment_bucket: str
    pratique_segment_prefix: str
    pratique_segment_key: str
    pratique_segment_lock: str
    pratique_segment_lock_days: int
    pratique_spool_limit: int
    pratique_spool_full: str
    pratique_retention_days: int
    pratique_dynamodb_table: str
    pratique_dynamodb_region: str


class Storage:
    """An open spool, and the threads that copy what it has closed and tell other replicas of it.

    Raises RecordError, StoreError or StartError when they cannot be had.
    """

    def __init__(self, state: Path, cluster: str, options: Options) -> None:
        _check(options)
        key = options.pratique_record_key
        self.spool = Spool(state, signer=kms.signer(state, key) if key else None)
        limits = Limits(
            options.pratique_spool_limit, options.pratique_spool_full == "refuse", options.pratique_retention_days
        )
        bucket = _bucket(cluster, options)
        self._uploader = Uploader(state, self.spool, bucket, limits)
        self.spool.require(self._uploader.healthy)
        self._shared = _shared_index(state, bucket, options)
        self._uploader.start()
        if self._shared is not None:
            self._shared.start()

    @property
    def waiting(self) -> int:
        """Bytes that are recorded and not copied to the bucket."""
        return self._uploader.waiting

    def close(self) -> None:
        """Seals every session, then copies what can still be copied. RecordError when sealing failed."""
        try:
            self.spool.close()
        finally:
            self._uploader.finish()
            if self._shared is not None:
                self._shared.finish()


def _check(options: Options) -> None:
    for name, choices in (("pratique_segment_lock", LOCKS), ("pratique_spool_full", FULL)):
        if getattr(options, name) not in choices:
            words = ", ".join(f"`{choice}`" for choice in choices if choice)
            raise StartError(f"option `{name}` must be one of {words}")
    for name in ("pratique_segment_lock_days", "pratique_spool_limit", "pratique_retention_days"):
        if getattr(options, name) < 0:
            raise StartError(f"option `{name}` must not be negative")
    if options.pratique_segment_lock and not options.pratique_segment_lock_days:
        raise StartError("option `pratique_segment_lock_days` must be at least 1 where objects are locked")


def _bucket(cluster: str, options: Options) -> Bucket | None:
    if not options.pratique_segment_bucket:
        return None
    return Bucket(
        Destination(
            options.pratique_segment_bucket,
            options.pratique_segment_prefix,
            cluster,
            options.pratique_segment_key,
            options.pratique_segment_lock.upper(),
            options.pratique_segment_lock_days,
        )
    )


def _shared_index(state: Path, bucket: Bucket | None, options: Options) -> SharedIndex | None:
    """Where replicas share a table. It has a client of its own: the other one is closed before the last row is told."""
    if not options.pratique_dynamodb_table:
        return None

    def copy_of(session: str) -> str:
        if bucket is None:
            return ""
        return f"s3://{bucket.destination.bucket}/{bucket.destination.file_key(session, session)}"

    table = Table(options.pratique_dynamodb_table, client(options.pratique_dynamodb_region))
    return SharedIndex(state, table, f"{socket.gethostname()}:{layout.recordings(state)}", copy_of)
