"""I/O: a thread that copies closed sessions to a bucket, and removes old ones here.

Belongs here: what was copied already, the pause after a failure, how much waits. Not here: S3 (`s3`), names (`segments`).
A failure stops no request: what is recorded here is recorded. But what waits is bounded: beyond `limit` bytes `healthy`
raises, and nothing more is served until the bucket takes copies again (unless the operator decided otherwise).
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pratique.errors import RecordError
from pratique.recorder import keys, layout
from pratique.recorder.chain import Entry, parse_line
from pratique.recorder.kms import public_files
from pratique.recorder.s3 import Bucket
from pratique.recorder.segments import closed_sessions, outlived, pause, signed_piece, upload_order
from pratique.recorder.spool import Spool

logger = logging.getLogger("pratique")
PERIOD_SECONDS = 5.0
"""Between two looks for closed sessions."""
FINISH_SECONDS = 10.0
"""For the last copies when the gateway stops; what is left is copied after the next start."""
UPLOADS = "uploads.jsonl"
"""What was copied, one JSON line each. Lost, it costs one more PUT per object, each refused by `If-None-Match`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`spool` bytes may wait (0: any number); `refuse` whether nothing is served beyond; days to keep here (0: for ever)."""

    spool: int = 0
    refuse: bool = True
    retention_days: int = 0


class Uploader:
    """Copies what `spool` has closed. Without a bucket it only removes what is older than the retention."""

    def __init__(  # noqa: PLR0917 - a data constructor
        self,
        state: Path,
        spool: Spool,
        bucket: Bucket | None,
        limits: Limits,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = layout.recordings(state)
        self._keys_folder = state / keys.KEYS
        self._spool = spool
        self._bucket = bucket
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._copied: set[str] = set()
        self._keys: set[str] = set()
        self._journal = 0
        self._failures = 0
        self._next = 0.0
        self._said = ""
        self._uploaded = 0
        self._stop = threading.Event()
        self._load()
        self._base = self._waiting_now()
        self._written = spool.written
        self._thread = threading.Thread(target=self._run, name="uploader", daemon=True)

    # --- what waits ---

    def _load(self) -> None:
        path = self._root / UPLOADS
        for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else ():
            try:
                note = json.loads(line)
            except ValueError:
                continue  # half a line of a crash: that object is asked for once more
            if "session" in note:
                self._copied.add(note["session"])
            if "key" in note:
                self._keys.add(note["key"])
            self._journal = max(self._journal, note.get("journal", 0))

    def _note(self, **values: object) -> None:
        with (self._root / UPLOADS).open("ab") as file:
            file.write(json.dumps(values).encode() + b"\n")

    def _waiting_now(self) -> int:
        """Bytes of recordings that are not copied yet."""
        if self._bucket is None:
            return 0
        files = [path for path in self._root.glob("*/*") if path.name.partition(".")[0] not in self._copied]
        journal = (self._root / layout.SESSIONS_CHAIN).stat().st_size - self._journal
        return sum(path.stat().st_size for path in files) + max(journal, 0)

    @property
    def waiting(self) -> int:
        """Bytes that are recorded and not copied; cheap."""
        if self._bucket is None:
            return 0
        return max(self._base + self._spool.written - self._written - self._uploaded, 0)

    def healthy(self) -> None:
        """RecordError when more waits than may."""
        if self._limits.refuse and 0 < self._limits.spool < self.waiting:
            raise RecordError(
                f"{self.waiting} bytes of recordings wait to be copied, {self._limits.spool} are the limit"
            )

    # --- the thread ---

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            self.tick()

    def finish(self) -> None:
        """Copies what the stopping gateway has closed, for FINISH_SECONDS at most."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(FINISH_SECONDS)
        if self._thread.is_alive():
            return
        last = threading.Thread(target=self.copy_all, name="uploader-last", daemon=True)
        last.start()
        last.join(FINISH_SECONDS)

    def tick(self) -> None:
        """Tries to copy, unless the pause after a failure is not over; then removes what has outlived its time."""
        if self._monotonic() >= self._next:
            self.copy_all()
        self._retire()

    def copy_all(self) -> None:
        """One try to copy everything that is closed. Never raises: a failure is logged once and tried again."""
        if self._bucket is None:
            return
        try:
            self._copy_keys(self._bucket)
            for session in closed_sessions(self._entries()):
                if session not in self._copied:
                    self._copy(self._bucket, session)
            self._copy_journal(self._bucket)
        except (RecordError, OSError) as error:
            self._failed(error)
            return
        if self._failures:
            logger.warning("recordings are copied again")
        self._failures, self._said = 0, ""

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        seconds = pause(self._failures, random.random())  # noqa: S311 - spreads retries, protects nothing
        self._next = self._monotonic() + seconds
        if str(error) != self._said:
            self._said = str(error)
            logger.error("recordings are not copied: %s", error)

    def _entries(self) -> list[Entry]:
        data = (self._root / layout.SESSIONS_CHAIN).read_bytes()
        return [parsed[0] for line in data.split(b"\n")[:-1] if (parsed := parse_line(line))]

    def _copy_keys(self, bucket: Bucket) -> None:
        """Public keys, and what KMS said of them: with the machine they would be gone, and nothing could be verified."""
        for path in public_files(self._keys_folder):
            if path.name not in self._keys:
                bucket.put_file(bucket.destination.key(keys.KEYS, path.name), path, self._clock())
                self._keys.add(path.name)
                self._note(key=path.name)

    def _copy(self, bucket: Bucket, session: str) -> None:
        folder = self._root / layout.day_of(session)
        size = 0
        for name in upload_order(path.name for path in folder.glob(f"{session}.*")):
            size += bucket.put_file(bucket.destination.file_key(session, name), folder / name, self._clock())
        self._copied.add(session)
        self._uploaded += size
        self._note(session=session)

    def _copy_journal(self, bucket: Bucket) -> None:
        with (self._root / layout.SESSIONS_CHAIN).open("rb") as file:
            file.seek(self._journal)
            piece = signed_piece(file.read())
        if piece is None:
            return
        bucket.put_bytes(bucket.destination.key("sessions", piece.name), piece.data, self._clock())
        self._journal += len(piece.data)
        self._uploaded += len(piece.data)
        self._note(journal=self._journal)

    def _retire(self) -> None:
        days = self._limits.retention_days
        if not days:
            return
        try:
            for session in outlived(closed_sessions(self._entries()), self._clock(), days):
                if self._bucket is None or session in self._copied:
                    self._spool.retire(session, f"retention of {days} days")
        except (RecordError, OSError) as error:
            logger.error("old recordings are not removed: %s", error)
