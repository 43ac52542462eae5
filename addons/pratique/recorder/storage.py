"""I/O: the recordings of one gateway as its options say: the key, the spool, the bucket.

Belongs here: putting them together, and closing them in order. Not here: each of them (`kms`, `spool`, `uploader`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pratique.errors import StartError
from pratique.recorder import kms
from pratique.recorder.s3 import Bucket
from pratique.recorder.segments import Destination
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


class Storage:
    """An open spool, and the thread that copies what it has closed. RecordError or StartError when it cannot be had."""

    def __init__(self, state: Path, cluster: str, options: Options) -> None:
        _check(options)
        key = options.pratique_record_key
        self.spool = Spool(state, signer=kms.signer(state, key) if key else None)
        limits = Limits(
            options.pratique_spool_limit, options.pratique_spool_full == "refuse", options.pratique_retention_days
        )
        self._uploader = Uploader(state, self.spool, _bucket(cluster, options), limits)
        self.spool.require(self._uploader.healthy)
        self._uploader.start()

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
