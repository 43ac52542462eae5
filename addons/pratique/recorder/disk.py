"""I/O: append-only files that notice when they are cut, unlinked or half written.

Belongs here: one file descriptor's worth of care, and the system calls in one place (`Disk`), which tests replace with
ones that fail. Not here: what is written (`spool`). Errors are OSError; `spool` turns them into RecordError.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from pratique.recorder.layout import TAIL_SUFFIX

FILE_MODE = 0o600
FOLDER_MODE = 0o700
_APPEND = os.O_WRONLY | os.O_APPEND

PROBE_BYTES = 64 * 1024
"""What `probe` writes and syncs to see that the disk takes data."""

MAX_OPEN_FILES = 256
"""File descriptors kept open: a quarter of the usual limit of 1024, the connections need the rest."""


class Disk:
    """The system calls that can fail."""

    def open(self, path: Path, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)

    def write(self, descriptor: int, data: bytes) -> int:
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def make_folder(self, path: Path) -> None:
        path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)

    def free(self, path: Path) -> int:
        """Bytes that this user may still write."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize


class AppendFile:
    """A file that only grows. `size` is the length of what was wholly written; anything else on disk is damage.

    The descriptor may be closed between appends (`close`); the next append opens it again and checks that it is the
    same file.
    """

    def __init__(self, disk: Disk, path: Path, size: int | None = None) -> None:
        """Creates `path` (it must not exist), or opens it when its `size` is given (it must have exactly that)."""
        self._disk = disk
        self._identity: tuple[int, int] | None = None
        self.path = path
        self.size = size or 0
        self.descriptor = disk.open(path, _APPEND | (os.O_CREAT | os.O_EXCL if size is None else 0))
        try:
            self._check()
        except OSError:
            self.close()
            raise

    def _check(self) -> None:
        if self.descriptor < 0:
            self.descriptor = self._disk.open(self.path, _APPEND)
        status = os.fstat(self.descriptor)
        identity = (status.st_dev, status.st_ino)
        if status.st_nlink == 0 or self._identity not in {None, identity}:
            raise OSError(errno.ESTALE, "the file was removed or replaced while it was written", str(self.path))
        if status.st_size != self.size:
            raise OSError(
                errno.ESTALE, f"the file has {status.st_size} bytes, {self.size} were written", str(self.path)
            )
        self._identity = identity

    def append(self, data: bytes) -> None:
        """All of `data` in one write, or OSError and nothing of it (as far as the disk still lets us cut it off)."""
        self._check()
        try:
            written = self._disk.write(self.descriptor, data)
        except OSError:
            self.cut()
            raise
        if written != len(data):
            self.cut()
            raise OSError(errno.ENOSPC, f"{written} of {len(data)} bytes were written", str(self.path))
        self.size += written

    def undo(self, length: int) -> None:
        """Takes back the last append of `length` bytes, because what belongs to it could not be written."""
        self.size -= length
        self.cut()

    def cut(self) -> None:
        """Cuts the file to `size`; when even that fails, `mend` does it later."""
        try:
            self._disk.truncate(self.descriptor, self.size)
        except OSError:
            return

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Descriptors:
    """Closes the descriptors of the files that were not written for longest."""

    def __init__(self, limit: int = MAX_OPEN_FILES) -> None:
        self._limit = limit
        self._open: dict[AppendFile, None] = {}

    def touch(self, file: AppendFile) -> None:
        """`file` was just written."""
        self._open.pop(file, None)
        self._open[file] = None
        if len(self._open) > self._limit:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.close()

    def drop(self, file: AppendFile) -> None:
        """`file` is no longer written."""
        self._open.pop(file, None)
        file.close()


def mend(disk: Disk, path: Path, size: int) -> int:
    """Moves what follows the first `size` bytes of `path` to the end of `path.tail`, so that it is never lost silently.

    Returns how many bytes were moved. OSError when the file is shorter than `size` or cannot be written.
    """
    descriptor = disk.open(path, os.O_RDWR)
    try:
        excess = os.fstat(descriptor).st_size - size
        if excess < 0:
            raise OSError(errno.ESTALE, f"the file is {-excess} bytes shorter than what was written", str(path))
        if excess:
            _keep(disk, path, os.pread(descriptor, excess, size))
            disk.truncate(descriptor, size)
            disk.sync(descriptor)
    finally:
        os.close(descriptor)
    return excess


def _keep(disk: Disk, path: Path, data: bytes) -> None:
    descriptor = disk.open(path.with_name(path.name + TAIL_SUFFIX), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        if disk.write(descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, "the tail could not be kept", str(path))
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


def sync_path(disk: Disk, path: Path) -> None:
    """Makes a file's bytes, or a folder's names, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


def probe(disk: Disk, folder: Path) -> None:
    """Writes and syncs a file in `folder`, and removes it. OSError when the disk does not take it."""
    path = folder / ".probe"
    with suppress(FileNotFoundError):
        path.unlink()
    file = AppendFile(disk, path)
    try:
        file.append(os.urandom(PROBE_BYTES))
        disk.sync(file.descriptor)
    finally:
        file.close()
        path.unlink()
