"""I/O: the spool, the one writer of recordings below a state folder.

Belongs here: which sessions are open, what a failure means for serving, when things are synced and signed. Not here:
one journal's lines (`journal`), a crash's leftovers (`crash`), reading (`sessions`). Relies on one local file system
with append, rename and flock semantics (not NFS).

INVARIANT: `append` returns only after the whole record and its journal line were handed to the operating system. Any
failure raises RecordError, takes back what was half written, and leaves the spool failed: nothing more is recorded, so
nothing more is served, until `recover` (tried every interval) has proved that writing works again.

Durability: `fsync="always"` syncs before `append` returns; a number syncs every so many seconds from a thread. A killed
process loses nothing either way; a power failure loses at most that many seconds.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from pratique.errors import RecordError
from pratique.recorder import crash, keys, layout
from pratique.recorder.chain import GENESIS, Entry, Kind
from pratique.recorder.disk import AppendFile, Disk, mend, probe, sync_path
from pratique.recorder.journal import Journal, Recording, Tools
from pratique.recorder.record import Opened, Record, Stage

FSYNC_SECONDS = 1.0
"""Default of `fsync`: what a power failure may cost, against some 1 to 100 ms per fsync of usual disks."""

SYNC_LATE_SECONDS = 30.0
"""A sync that is this late means that the disk hangs: not healthy."""

MIN_FREE_BYTES = 256 * 1024 * 1024
"""Stop serving while there is still room to finish what is under way, and for the rest of the machine."""

CHECKPOINT_RECORDS = 64
"""Sign a session every so many entries: 35 µs per signature is then under 1 µs per record."""

CHECKPOINT_SECONDS = 10.0
"""Sign what is older than this even when fewer entries came."""

MAX_RECORD_BYTES = 64 * 1024 * 1024
"""The largest single record; bodies are cut far below, so a larger one is a fault of the caller."""


class Spool:
    """Records sessions. Thread safe; one per state folder, across processes (flock)."""

    def __init__(
        self,
        state: Path,
        *,
        fsync: Literal["always"] | float = FSYNC_SECONDS,
        min_free_bytes: int = MIN_FREE_BYTES,
        checkpoint_records: int = CHECKPOINT_RECORDS,
        signer: keys.Signer | None = None,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Opens the folder, closes what a crash left open. RecordError when it cannot be written or another has it."""
        self._state = state
        self._root = layout.recordings(state)
        self._always = fsync == "always"
        self._interval = FSYNC_SECONDS if fsync == "always" else float(fsync)
        self._min_free = min_free_bytes
        self._checkpoint_records = checkpoint_records
        self._clock = clock
        self._lock = threading.RLock()
        self._recordings: dict[str, Recording] = {}
        self._failure = ""
        self._checks: list[Callable[[], None]] = []
        self._closed = False
        self._stop = threading.Event()
        self._synced = time.monotonic()
        self._tools = Tools(disk or Disk(), signer or keys.signer(state))
        self._guard = -1
        try:
            self._tools.disk.make_folder(self._root)
            self._guard = self._take_lock()
            self._sessions = self._start()
        except (OSError, RecordError) as error:
            self._release_lock()
            raise RecordError(f"recordings in `{self._root}` cannot be written: {error}") from error
        self._thread = threading.Thread(target=self._run, name="spool-sync", daemon=True)
        if not self._always:
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Starting

    def _take_lock(self) -> int:
        descriptor = self._tools.disk.open(self._root / layout.LOCK, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise RecordError("another gateway writes there. Give each its own state folder") from None
        return descriptor

    def _release_lock(self) -> None:
        if self._guard >= 0:
            os.close(self._guard)
            self._guard = -1

    def _start(self) -> Journal:
        path = self._root / layout.SESSIONS_CHAIN
        now = self._clock()
        if path.exists():
            journal = crash.resume(self._tools, self._root, now)
        else:
            crash.refuse_orphans(self._root)
            journal = Journal(self._tools, crash.SESSIONS, AppendFile(self._tools.disk, path))
        journal.add(Entry(n=journal.count, kind=Kind.STARTED, time=now, prev=journal.head))
        journal.checkpoint(now)
        self._tools.dirty.add(self._root)
        self._sync_all()
        return journal

    # State

    def healthy(self) -> bool:
        """True, or RecordError with the reason why nothing can be recorded now. Cheap: ask before every request."""
        self._check_open()
        if self._failure:
            raise RecordError(f"recording failed: {self._failure}")
        try:
            free = self._tools.disk.free(self._root)
        except OSError as error:
            raise RecordError(f"the disk of `{self._root}` cannot be asked: {error}") from error
        if free < self._min_free:
            raise RecordError(f"only {free} bytes are free for recordings, {self._min_free} are kept. Free some space")
        late = time.monotonic() - self._synced
        if not self._always and self._tools.dirty and late > SYNC_LATE_SECONDS + self._interval:
            raise RecordError(f"recordings were not synced for {late:.0f} s. Look at the disk")
        for check in self._checks:
            check()
        return True

    def _check_open(self) -> None:
        if self._closed:
            raise RecordError("the recorder is closed")

    def _fail(self, error: Exception) -> RecordError:
        self._failure = self._failure or str(error) or type(error).__name__
        return RecordError(f"recording failed: {error}")

    def recover(self) -> None:
        """Proves that writing works again, mends the open files, clears the failure. RecordError when it does not."""
        with self._lock:
            self._check_open()
            try:
                probe(self._tools.disk, self._root)
                for file in self._open_files():
                    file.close()
                    mend(self._tools.disk, file.path, file.size)
                self._sync_all()
            except OSError as error:
                raise self._fail(error) from error
            self._synced = time.monotonic()
            self._failure = ""
        self.healthy()

    def _open_files(self) -> list[AppendFile]:
        return [*(file for item in self._recordings.values() for file in item.files()), self._sessions.file]

    # Sessions

    def open_session(self, session: str, opened: Opened) -> None:
        """Begins the recording of `session` (an id of `layout.session_id`, also in `opened.session`)."""
        layout.check_session_id(session)
        with self._lock:
            self._ready()
            if session in self._recordings:
                raise RecordError(f"session `{session}` is open already")
            try:
                self._recordings[session] = self._open(session, opened)
                self._after_write(self._recordings[session].journal)
            except OSError as error:
                raise self._fail(error) from error
            except (ValueError, TypeError) as error:
                raise RecordError(f"the session cannot be described: {error}") from error

    def _open(self, session: str, opened: Opened) -> Recording:
        now = self._clock()
        path = layout.chain_path(self._state, session)
        self._tools.disk.make_folder(path.parent)
        journal = Journal(self._tools, session, AppendFile(self._tools.disk, path))
        try:
            journal.add(Entry(n=0, kind=Kind.OPENED, time=now, prev=GENESIS, session=session, opened=opened))
            self._note(Kind.OPENED, session, head=journal.head, count=journal.count)
        except Exception:
            self._tools.descriptors.drop(journal.file)
            self._tools.dirty.discard(path)
            path.unlink()
            raise
        self._tools.dirty |= {path.parent, self._root}
        return Recording(journal, path.parent)

    def _note(self, kind: Kind, session: str, head: str = "", count: int = 0, reason: str = "") -> None:
        """One line in the journal of all sessions."""
        journal, now = self._sessions, self._clock()
        journal.add(
            Entry(
                n=journal.count, kind=kind, time=now, prev=journal.head,
                session=session, head=head, count=count, reason=reason,
            )
        )  # fmt: skip
        if journal.count - journal.signed >= self._checkpoint_records:
            journal.checkpoint(now)

    def _ready(self) -> None:
        self._check_open()
        if self._failure:
            raise RecordError(f"recording failed: {self._failure}")

    def append(self, session: str, record: bytes, meta: Record | None = None, part: str = layout.FLOW) -> None:
        """Writes `record` (whole; may be empty: then only `meta` is noted) to a part of an open session.

        RecordError on any failure; nothing of the record is then in the files, or it is cut off by `recover`.
        """
        with self._lock:
            self._ready()
            recording = self._recording(session)
            layout.check_part(part)
            if len(record) > MAX_RECORD_BYTES:
                raise RecordError(f"a record of {len(record)} bytes is too large, {MAX_RECORD_BYTES} are the limit")
            try:
                recording.add(part, record, meta, self._clock())
                self._after_write(recording.journal)
            except OSError as error:
                raise self._fail(error) from error
            except (ValueError, TypeError) as error:  # the record cannot be described: its own fault, not the disk's
                raise RecordError(f"the record cannot be written: {error}") from error

    def _recording(self, session: str) -> Recording:
        recording = self._recordings.get(session)
        if recording is None:
            raise RecordError(f"session `{session}` is not open")
        return recording

    def _after_write(self, journal: Journal) -> None:
        if journal.count - journal.signed >= self._checkpoint_records:
            journal.checkpoint(self._clock())
        if self._always:
            self._sync_all()

    def start(self, session: str, record: bytes, meta: Record) -> None:
        """Writes that a long-lived request began, before anything of it is served. `meta.stage` must be STARTED."""
        if meta.stage is not Stage.STARTED:
            raise RecordError("the start of a stream must be recorded with stage ResponseStarted")
        self.append(session, record, meta)

    def event(self, session: str, part: str, data: bytes, meta: Record | None = None) -> None:
        """Writes whole lines of a cast or of an events file, as they are seen."""
        if part == layout.FLOW or not data.endswith(b"\n"):
            raise RecordError("an event must be whole lines of a `.cast` or `.events` part")
        self.append(session, data, meta, part)

    def close_session(self, session: str, reason: str = "closed") -> None:
        """Seals a session: closing entry, signature, and a line in the journal of all sessions."""
        with self._lock:
            self._ready()
            recording = self._recording(session)
            try:
                self._seal(recording, reason)
            except OSError as error:
                raise self._fail(error) from error
            del self._recordings[session]

    def _seal(self, recording: Recording, reason: str) -> None:
        journal = recording.journal
        recording.close(self._clock(), reason)
        self._note(Kind.CLOSED, journal.name, journal.head, journal.count, reason)
        self._after_write(self._sessions)

    def sessions(self) -> list[str]:
        """The ids of the open sessions."""
        with self._lock:
            return list(self._recordings)

    @property
    def written(self) -> int:
        """Bytes written by this spool so far."""
        return self._tools.written

    @property
    def lag(self) -> float:
        """Seconds since everything was on the disk; 0 where it is."""
        return time.monotonic() - self._synced if self._tools.dirty else 0.0

    def require(self, check: Callable[[], None]) -> None:
        """`healthy` asks `check` too; it raises RecordError."""
        self._checks.append(check)

    def size(self, session: str) -> int:
        """Bytes recorded so far for an open session, to go on in a new one when it grows too large."""
        with self._lock:
            return sum(file.size for file in self._recording(session).files())

    def retire(self, session: str, reason: str) -> None:
        """Removes a closed session on purpose, and says so in the journal of all sessions, first."""
        with self._lock:
            self._ready()
            folder = layout.chain_path(self._state, layout.check_session_id(session)).parent
            if session in self._recordings:
                raise RecordError(f"session `{session}` is open. Close it first")
            try:
                self._note(Kind.RETIRED, session, reason=reason)
                self._sessions.checkpoint(self._clock())
                self._sync_all()
                for file in sorted(folder.glob(f"{session}.*")):
                    file.unlink()
            except OSError as error:
                raise self._fail(error) from error

    # Syncing, signing, ending

    def _sync_all(self) -> None:
        dirty = sorted(self._tools.dirty)
        for path in dirty:
            sync_path(self._tools.disk, path)
        self._tools.dirty.difference_update(dirty)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            with suppress(RecordError):  # the failure is kept; healthy() tells
                if self._failure:
                    self.recover()
                else:
                    self.tick()

    def tick(self) -> None:
        """Signs what is old and syncs what was written since; the thread calls it every interval."""
        with self._lock:
            if self._closed or self._failure:
                return
            try:
                self._sign_old()
            except (OSError, RecordError) as error:
                raise self._fail(error) from error
            dirty, self._tools.dirty = sorted(self._tools.dirty), set()
        try:
            for path in dirty:  # not under the lock: a slow disk must not hold up requests
                sync_path(self._tools.disk, path)
        except OSError as error:
            with self._lock:
                self._tools.dirty.update(dirty)
                raise self._fail(error) from error
        self._synced = time.monotonic()

    def _sign_old(self) -> None:
        now = self._clock()
        for journal in [*(item.journal for item in self._recordings.values()), self._sessions]:
            if journal.count > journal.signed and now - journal.unsigned_since >= CHECKPOINT_SECONDS:
                journal.checkpoint(now)

    def close(self) -> None:
        """Seals every session and lets the folder go. Tries all of it, then raises RecordError for what failed."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(SYNC_LATE_SECONDS)
        with self._lock:
            if self._closed:
                return
            failures = [error for error in map(self._try_seal, list(self._recordings.values())) if error]
            try:
                self._sessions.checkpoint(self._clock())
                self._sync_all()
            except (OSError, RecordError) as error:
                failures.append(str(error))
            self._closed = True
            self._recordings.clear()
            self._sessions.file.close()
            self._release_lock()
        if failures:
            raise RecordError(f"recordings were not closed properly: {failures[0]}. The next start mends them")

    def _try_seal(self, recording: Recording) -> str:
        try:
            self._seal(recording, "shutdown")
        except (OSError, RecordError) as error:
            recording.release()
            return str(error)
        return ""
