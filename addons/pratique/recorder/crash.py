"""I/O: what a killed gateway left, sealed at the next start.

Belongs here: going on with sessions.chain, closing the sessions that were open, keeping unfinished bytes in `.tail`
files. Nothing is thrown away, and nothing that looks changed by hand is touched: a damaged session is closed as such,
and `sessions.verify` names the damage.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pratique.errors import FramingError, RecordError
from pratique.recorder import layout
from pratique.recorder.chain import Entry, Kind, Walk, parse_line, walk
from pratique.recorder.disk import AppendFile, mend
from pratique.recorder.flowfile import scan
from pratique.recorder.journal import Journal, Recording, Tools

SESSIONS = "sessions"
"""Name of the journal of all sessions."""

_STARTED = b'"kind":"started"'


def refuse_orphans(root: Path) -> None:
    """RecordError when there are recordings but no journal of them: somebody removed it."""
    if next(root.glob(f"*/*{layout.CHAIN_SUFFIX}"), None):
        raise RecordError(
            f"`{layout.SESSIONS_CHAIN}` is gone, but recordings are there. Move them elsewhere to begin anew"
        )


def resume(tools: Tools, root: Path, now: float) -> Journal:
    """The journal of all sessions, ready to be written, with every session of the last run closed in it."""
    path = root / layout.SESSIONS_CHAIN
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    mend(tools.disk, path, whole)
    entries, head = _last_run(data[:whole])
    file = AppendFile(tools.disk, path, whole)
    journal = Journal(tools, SESSIONS, file, entries[-1].n + 1 if entries else 0, *([head] if entries else []))
    for session in _unclosed(entries):
        end = close(tools, root, session, now)
        journal.add(
            Entry(
                n=journal.count, kind=Kind.CLOSED, time=now, prev=journal.head,
                session=session, head=end.head, count=end.count, reason=end.reason,
            )
        )  # fmt: skip
    return journal


def _last_run(data: bytes) -> tuple[list[Entry], str]:
    """The entries since the last start (earlier runs are closed), and the hash of the last. RecordError on damage."""
    entries: list[Entry] = []
    head = ""
    at = data.rfind(b"\n", 0, max(data.rfind(_STARTED), 0)) + 1
    for line in data[at:].splitlines():
        parsed = parse_line(line)
        if parsed is None or parsed[1] != parsed[2] or (entries and parsed[0].prev != head):
            raise RecordError(
                f"`{layout.SESSIONS_CHAIN}` was changed. Run `pratique sessions verify`, then move the recordings away"
            )
        entries.append(parsed[0])
        head = parsed[1]
    return entries, head


def _unclosed(entries: list[Entry]) -> list[str]:
    closed = {entry.session for entry in entries if entry.kind in {Kind.CLOSED, Kind.RETIRED}}
    return [entry.session for entry in entries if entry.kind is Kind.OPENED and entry.session not in closed]


@dataclass(frozen=True, slots=True)
class End:
    """How a session was closed: the head and length of its journal, and why."""

    head: str
    count: int
    reason: str


def close(tools: Tools, root: Path, session: str, now: float) -> End:
    """Closes one session that a crash left open: chains what is complete, keeps what is not, signs."""
    folder = root / layout.day_of(layout.check_session_id(session))
    path = folder / f"{session}{layout.CHAIN_SUFFIX}"
    if not path.exists():
        return End("", 0, "missing")
    seen = walk(session, path.name, path.read_bytes(), lambda *_: True)
    if any(finding.proves_change for finding in seen.findings) or not seen.entries:
        return End(seen.head, seen.count, "damaged")
    sizes = _sizes(seen)
    if any(
        not (file := folder / f"{session}.{part}").exists() or file.stat().st_size < size
        for part, size in sizes.items()
    ):
        return End(seen.head, seen.count, "damaged")
    mend(tools.disk, path, seen.whole)
    journal = Journal(tools, session, AppendFile(tools.disk, path, seen.whole), seen.count, seen.head)
    recording = Recording(journal, folder)
    for part in _parts(folder, session):
        _adopt(recording, part, sizes.get(part, 0), now)
    recording.close(now, "crashed")
    return End(journal.head, journal.count, "crashed")


def _sizes(seen: Walk) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for entry in seen.entries:
        if entry.part:
            sizes[entry.part] = max(sizes.get(entry.part, 0), entry.offset + entry.length)
    return sizes


def _parts(folder: Path, session: str) -> list[str]:
    names = (path.name.removeprefix(f"{session}.") for path in folder.glob(f"{session}.*"))
    return sorted(name for name in names if layout.is_part(name))


def _adopt(recording: Recording, part: str, chained: int, now: float) -> None:
    """Chains the complete records that follow the chained ones, as `recovered`, and keeps the rest in a tail file."""
    journal = recording.journal
    path = recording.folder / f"{journal.name}.{part}"
    journal.tools.dirty.add(path)
    if path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        extra = data[chained:]
    end = chained
    for offset, length in _complete(part, extra):
        record = extra[offset : offset + length]
        journal.add(
            Entry(
                n=journal.count, kind=Kind.RECORD, time=now, prev=journal.head, part=part, offset=chained + offset,
                length=length, sha256=hashlib.sha256(record).hexdigest(), recovered=True,
            )
        )  # fmt: skip
        end = chained + offset + length
    mend(journal.tools.disk, path, end)


def _complete(part: str, extra: bytes) -> Iterator[tuple[int, int]]:
    if part == layout.FLOW:
        try:
            yield from scan(extra)
        except FramingError:  # no record begins here: the rest goes to the tail file
            return
    elif b"\n" in extra:
        yield 0, extra.rfind(b"\n") + 1
