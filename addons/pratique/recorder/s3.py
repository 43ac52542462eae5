"""I/O: objects in an S3 bucket that are written once: conditional, checked, encrypted, locked.

Belongs here: the calls. Not here: what is copied and when (`segments`, `uploader`). boto3 is imported when it is needed.

INVARIANT: an object is never replaced (`If-None-Match: *`). One that is there already is taken for copied only if its
SHA-256 is the same.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from pratique.errors import RecordError
from pratique.recorder.kms import why
from pratique.recorder.segments import Destination

CONNECT_SECONDS = 5
READ_SECONDS = 60
"""Of one call: S3 answers a PUT of 64 MiB within seconds."""


class S3(Protocol):
    """Two calls of boto3's S3 client."""

    def put_object(self, **arguments: Any) -> dict[str, Any]: ...
    def head_object(self, **arguments: Any) -> dict[str, Any]: ...


def client() -> S3:
    """boto3's client of the default credential chain; it does not repeat by itself, the uploader does."""
    import boto3  # noqa: PLC0415 - 70 ms that only gateways with a bucket need
    from botocore.config import Config  # noqa: PLC0415 - as boto3

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": 1, "mode": "standard"},
    )
    made: S3 = boto3.session.Session().client("s3", config=config)
    return made


def sha256(path: Path) -> str:
    """Of a file, base64 as S3 wants it."""
    with path.open("rb") as file:
        return base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()


class Bucket:
    """Writes objects of one destination. Raises RecordError with AWS's code, never its text."""

    def __init__(self, destination: Destination, service: S3 | None = None) -> None:
        self.destination = destination
        self._service = service

    def put_file(self, key: str, path: Path, now: float) -> int:
        """Copies a file; its size. It must not change any more."""
        checksum, size = sha256(path), path.stat().st_size
        with path.open("rb") as file:
            self._put(key, file, checksum, now)
        return size

    def put_bytes(self, key: str, data: bytes, now: float) -> None:
        """Writes `data`."""
        self._put(key, data, base64.b64encode(hashlib.sha256(data).digest()).decode(), now)

    def _put(self, key: str, body: Any, checksum: str, now: float) -> None:
        try:
            if self._service is None:
                self._service = client()
            # S3 wants the algorithm named, too, where an object is locked (API reference, PutObject).
            named = {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": checksum}
            self._service.put_object(Key=key, Body=body, **named, **self._arguments(now))
        except Exception as error:  # noqa: BLE001 - boto3's errors have no common base
            code = why(error)
            if code not in {"PreconditionFailed", "412"} or not self._is_there(key, checksum):
                raise RecordError(
                    f"`{key}` cannot be copied to the bucket `{self.destination.bucket}`: {code}"
                ) from None

    def _arguments(self, now: float) -> dict[str, Any]:
        where = self.destination
        arguments: dict[str, Any] = {"Bucket": where.bucket, "IfNoneMatch": "*", "ServerSideEncryption": "aws:kms"}
        if where.kms_key:
            arguments |= {"SSEKMSKeyId": where.kms_key, "BucketKeyEnabled": True}
        if where.lock:
            until = datetime.fromtimestamp(now, UTC) + timedelta(days=where.lock_days)
            arguments |= {"ObjectLockMode": where.lock, "ObjectLockRetainUntilDate": until}
        return arguments

    def _is_there(self, key: str, checksum: str) -> bool:
        """Whether the object that is there is the one to write: a crash came between the copy and its note."""
        if self._service is None:
            return False
        try:
            found = self._service.head_object(Bucket=self.destination.bucket, Key=key, ChecksumMode="ENABLED")
        except Exception as error:  # noqa: BLE001 - boto3's errors have no common base
            raise RecordError(f"`{key}` cannot be looked at in `{self.destination.bucket}`: {why(error)}") from None
        if found.get("ChecksumSHA256") != checksum:
            raise RecordError(f"another object stands at `{key}` in the bucket `{self.destination.bucket}`")
        return True
