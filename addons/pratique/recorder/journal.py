"""I/O: one journal being written, and the data files of one session next to it.

Belongs here: numbering, linking and signing the lines of a chain; a record's bytes and its line as one unit. Not here:
the format (`chain`), which sessions there are and what a failure means for serving (`spool`). Errors are OSError.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from pratique.recorder.chain import GENESIS, MAX_LINE_BYTES, Entry, Kind, Link, link, to_sign
from pratique.recorder.disk import AppendFile, Descriptors, Disk
from pratique.recorder.keys import Signer
from pratique.recorder.record import Record


@dataclass(slots=True)
class Tools:
    """What every journal of one spool shares. `dirty` are the paths that have not been synced, `written` counts bytes."""

    disk: Disk
    signer: Signer
    descriptors: Descriptors = field(default_factory=Descriptors)
    dirty: set[Path] = field(default_factory=set)
    written: int = 0

    def append(self, file: AppendFile, data: bytes) -> None:
        """Appends, and remembers to sync."""
        self.descriptors.touch(file)
        self.dirty.add(file.path)
        file.append(data)
        self.written += len(data)


class Journal:
    """Writes the lines of one chain. `name` is the session id, or "sessions"."""

    def __init__(self, tools: Tools, name: str, file: AppendFile, count: int = 0, head: str = GENESIS) -> None:
        self.tools = tools
        self.name = name
        self.file = file
        self.count = count
        self.head = head
        self.signed = 0
        self.unsigned_since = 0.0

    def next(self, entry: Entry) -> Link:
        """The line of the next entry. ValueError when it is too long to be read again."""
        made = link(entry)
        if len(made.line) > MAX_LINE_BYTES:
            raise ValueError(f"the description of the record is longer than {MAX_LINE_BYTES} bytes")
        return made

    def write(self, made: Link, time: float) -> None:
        """Writes a line that `next` made."""
        self.tools.append(self.file, made.line)
        if self.count == self.signed:
            self.unsigned_since = time
        self.count += 1
        self.head = made.hash

    def add(self, entry: Entry) -> None:
        """Writes `entry`."""
        self.write(self.next(entry), entry.time)

    def checkpoint(self, time: float) -> None:
        """Signs everything above, unless nothing was written since the last time."""
        if self.signed == self.count:
            return
        key = self.tools.signer.key_id
        signature = self.tools.signer.sign(to_sign(self.name, self.count, self.head, key))
        self.add(Entry(n=self.count, kind=Kind.CHECKPOINT, time=time, prev=self.head, key=key, signature=signature))
        self.signed = self.count


@dataclass(slots=True)
class Recording:
    """One open session: its journal and its data files by part name."""

    journal: Journal
    folder: Path
    parts: dict[str, AppendFile] = field(default_factory=dict)

    def part(self, name: str) -> AppendFile:
        """The data file, made when it is first written."""
        if name not in self.parts:
            path = self.folder / f"{self.journal.name}.{name}"
            self.parts[name] = AppendFile(self.journal.tools.disk, path)
            self.journal.tools.dirty.add(self.folder)
        return self.parts[name]

    def add(self, part: str, data: bytes, record: Record | None, time: float) -> None:
        """Writes the bytes, then the line that vouches for them; both or neither. Without bytes only the line."""
        journal = self.journal
        file = self.part(part) if data else None
        made = journal.next(
            Entry(
                n=journal.count,
                kind=Kind.RECORD,
                time=time,
                prev=journal.head,
                part=part if data else "",
                offset=file.size if file else 0,
                length=len(data),
                sha256=hashlib.sha256(data).hexdigest() if data else "",
                record=record,
            )
        )
        if file:
            journal.tools.append(file, data)
        try:
            journal.write(made, time)
        except OSError:
            if file:
                file.undo(len(data))
            raise

    def files(self) -> list[AppendFile]:
        """Every file, the journal last: what it vouches for is synced before it."""
        return [*self.parts.values(), self.journal.file]

    def close(self, time: float, reason: str) -> None:
        """Writes the closing entry and its signature, and lets the descriptors go."""
        journal = self.journal
        journal.add(Entry(n=journal.count, kind=Kind.CLOSED, time=time, prev=journal.head, reason=reason))
        journal.checkpoint(time)
        self.release()

    def release(self) -> None:
        """Lets the descriptors go."""
        for file in self.files():
            self.journal.tools.descriptors.drop(file)
