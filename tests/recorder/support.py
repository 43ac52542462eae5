"""Shared by the tests of the recorder: ids, flows, a disk that fails on demand, a small recording to tamper with."""

from __future__ import annotations

import atexit
import errno
import functools
import os
import shutil
import tempfile
from pathlib import Path

from pratique.recorder import keys, layout
from pratique.recorder.disk import Disk
from pratique.recorder.flowfile import encode
from pratique.recorder.record import Opened, Record, Stage
from pratique.recorder.spool import Spool

NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z


def session_id(number: int = 0) -> str:
    return layout.session_id(NOON + number, number.to_bytes(layout.RANDOM_BYTES, "big"))


def flow(number: int, body: bytes = b"body") -> bytes:
    return encode(
        {
            "type": "http",
            "id": f"flow-{number}",
            "request": {
                "method": b"GET",
                "scheme": b"https",
                "host": "api",
                "port": 6443,
                "path": b"/api/v1/pods?limit=5",
                "http_version": b"HTTP/1.1",
                "headers": [[b"accept", b"application/json"]],
                "content": b"",
                "timestamp_start": NOON,
                "timestamp_end": NOON + 1,
            },
            "response": {
                "status_code": 200,
                "reason": b"OK",
                "http_version": b"HTTP/1.1",
                "headers": [[b"content-type", b"text/plain"]],
                "content": body + str(number).encode(),
                "timestamp_start": NOON + 1,
                "timestamp_end": NOON + 2,
            },
        }
    )


def record(number: int, **changes: object) -> Record:
    values: dict[str, object] = {
        "flow": f"flow-{number}",
        "stage": Stage.COMPLETE,
        "audit_id": f"audit-{number}",
        "client": "agent",
        "method": "GET",
        "path": "/api/v1/namespaces/default/pods",
        "query": "limit=5",
        "verb": "list",
        "api_version": "v1",
        "resource": "pods",
        "namespace": "default",
        "verdict": "Allow",
        "rules": ("readers/pods",),
        "status": 200,
        "answered_by": "upstream",
        "started": NOON + number,
        "ended": NOON + number + 1,
    }
    return Record(**(values | changes))  # type: ignore[arg-type]


class FailingDisk(Disk):
    """Works until told otherwise. `write_error`: raise; `short`: write so many bytes and no more; `stuck`: cannot cut."""

    def __init__(self) -> None:
        self.write_error: int | None = None
        self.fail_after = 0
        self.short: int | None = None
        self.stuck = False
        self.sync_error: int | None = None
        self.free_bytes = 1 << 40

    def write(self, descriptor: int, data: bytes) -> int:
        if self.write_error is not None:
            if self.fail_after:
                self.fail_after -= 1
            else:
                raise OSError(self.write_error, os.strerror(self.write_error))
        if self.short is not None:
            return os.write(descriptor, data[: self.short])
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        if self.stuck:
            raise OSError(errno.EIO, "stuck")
        super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        if self.sync_error is not None:
            raise OSError(self.sync_error, os.strerror(self.sync_error))

    def free(self, path: Path) -> int:
        return self.free_bytes


@functools.cache
def _keys() -> Path:
    """One key for all tests: making one syncs the disk."""
    folder = Path(tempfile.mkdtemp(prefix="recorder-keys-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    keys.signer(folder)
    return folder / keys.KEYS


def make_spool(state: Path, disk: Disk | None = None, **options: object) -> Spool:
    """A spool whose thread does nothing during a test (its interval is an hour)."""
    if not (state / keys.KEYS).exists():
        shutil.copytree(_keys(), state / keys.KEYS)
    return Spool(state, fsync=3600.0, disk=disk or FailingDisk(), clock=lambda: NOON, **options)  # type: ignore[arg-type]


def record_session(spool: Spool, number: int, count: int = 5) -> str:
    session = session_id(number)
    spool.open_session(session, Opened(session=session, client="agent", claims={"user_agent": "kubectl"}))
    for index in range(count):
        spool.append(session, flow(index), record(index))
    return session
