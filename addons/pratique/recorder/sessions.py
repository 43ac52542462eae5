"""I/O: the read side of recordings: list, timeline, data, verification.

Belongs here: reading journals and data files, whoever writes them, and putting the findings together. Not here: filters
over many sessions (`index`), how anything is shown (the CLI). Reads only; safe beside a running gateway. Texts come
back as stored: scrubbed, but a terminal should still be shown `scrub.printable` of them.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pratique.errors import FramingError, RecordError
from pratique.recorder import layout
from pratique.recorder.casts import Event as CastEvent
from pratique.recorder.casts import read as read_cast
from pratique.recorder.chain import (
    Change,
    CheckSignature,
    Entry,
    Finding,
    Kind,
    Walk,
    of_part,
    parse_line,
    seal,
    walk,
)
from pratique.recorder.crash import SESSIONS
from pratique.recorder.events import StreamEvent
from pratique.recorder.events import read as read_events
from pratique.recorder.flowfile import decode
from pratique.recorder.record import Opened, Stage
from pratique.recorder.tamper import compare


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head of sessions.chain that was noted elsewhere: entry number and hash. Proves nothing before it was cut."""

    n: int
    hash: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome: findings, how much was looked at, and the head to keep elsewhere as the next `Anchor`."""

    findings: tuple[Finding, ...]
    sessions: int
    records: int
    head: Anchor | None

    @property
    def ok(self) -> bool:
        """Nothing proves a change (an unsealed tail does not)."""
        return not any(finding.proves_change for finding in self.findings)


@dataclass(slots=True)
class _Known:
    """What sessions.chain says about one session."""

    opened: Entry | None = None
    closed: Entry | None = None
    retired: bool = False


@dataclass(slots=True)
class _Tally:
    findings: list[Finding] = field(default_factory=list)
    records: int = 0


class _CastSize(msgspec.Struct):
    width: int
    height: int


def _entries(data: bytes) -> Iterator[Entry]:
    for line in data.split(b"\n")[:-1]:
        parsed = parse_line(line)
        if parsed is not None:
            yield parsed[0]


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    """The bytes of a file, without reading it whole; empty when it is not there."""
    if not path.exists() or path.stat().st_size == 0:
        yield memoryview(b"")
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        view = memoryview(data)
        try:
            yield view
        finally:
            view.release()


class Recordings:
    """All recordings of a state folder. RecordError for ids that do not exist, files that cannot be read."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._root = layout.recordings(state)

    def ids(self) -> list[str]:
        """The sessions that have a journal, oldest first."""
        names = (path.name.removesuffix(layout.CHAIN_SUFFIX) for path in self._root.glob(f"*/*{layout.CHAIN_SUFFIX}"))
        return sorted(name for name in names if layout.is_session_id(name))

    def find(self, prefix: str) -> str:
        """The one session whose id, or its random tail, begins with `prefix`."""
        hits = self.named(prefix)
        if len(hits) != 1:
            what = "no session" if not hits else f"{len(hits)} sessions"
            raise RecordError(f"`{prefix}` names {what}. Take an id from `pratique sessions list`")
        return hits[0]

    def named(self, prefix: str) -> list[str]:
        """Every session whose id, or its random tail, begins with `prefix`."""
        return [item for item in self.ids() if item.startswith(prefix) or item.partition("-")[2].startswith(prefix)]

    def _journal(self, session: str) -> bytes:
        try:
            return layout.chain_path(self._state, layout.check_session_id(session)).read_bytes()
        except OSError as error:
            raise RecordError(f"session `{session}` cannot be read: {error}") from error

    def entries(self, session: str) -> list[Entry]:
        """The journal's readable entries, in order; unverified."""
        return list(_entries(self._journal(session)))

    def opened(self, session: str) -> Opened:
        """Whose session it is."""
        first = next(_entries(self._journal(session)), None)
        if first is None or first.opened is None:
            raise RecordError(f"the journal of session `{session}` does not say whose it is. Verify it")
        return first.opened

    def timeline(self, session: str, *, events: bool = False) -> list[Entry]:
        """One entry per request, the last that tells of it, in order; `events` adds all the others."""
        rows = [entry for entry in self.entries(session) if entry.record is not None]
        if events:
            return rows
        requests = [row for row in rows if row.record and row.record.stage is not Stage.EVENT]
        last = {row.record.flow: row.n for row in requests if row.record}
        return [row for row in requests if row.record and (not row.record.flow or last[row.record.flow] == row.n)]

    def notes(self, session: str) -> list[tuple[float, str]]:
        """What was noted of the session itself, say that it was revoked: seconds since the epoch, and the text."""
        records = [(entry.time, entry.record) for entry in self.entries(session) if entry.record is not None]
        return [(at, record.note) for at, record in records if record.stage is Stage.EVENT and not record.flow]

    def stream(self, session: str, flow: str) -> Iterator[StreamEvent]:
        """What the streamed response of `flow` sent; nothing where it did not stream. FramingError when malformed."""
        path = layout.part_path(self._state, layout.check_session_id(session), layout.events_part(flow))
        if path.exists():
            with path.open("rb") as lines:
                yield from read_events(lines)

    def parts(self, session: str) -> list[Path]:
        """The data files of a session: flow, casts, events."""
        path = layout.chain_path(self._state, layout.check_session_id(session))
        names = sorted(path.parent.glob(f"{session}.*"))
        return [item for item in names if layout.is_part(item.name.removeprefix(f"{session}."))]

    def data(self, session: str, entry: Entry) -> bytes:
        """The bytes of one record. RecordError when the file is shorter than the journal says."""
        path = layout.part_path(self._state, layout.check_session_id(session), layout.check_part(entry.part))
        with _mapped(path) as view:
            data = bytes(view[entry.offset : entry.offset + entry.length])
        if len(data) != entry.length:
            raise RecordError(f"`{path.name}` is cut short. Run `pratique sessions verify`")
        return data

    def flow(self, session: str, entry: Entry) -> dict[str, object]:
        """The decoded state of the flow of one record (mitmproxy's own keys). FramingError when it is malformed."""
        state = decode(self.data(session, entry))
        if not isinstance(state, dict):
            raise RecordError(f"entry {entry.n} of session `{session}` is not a flow")
        return state

    def cast(self, session: str, flow: str) -> Iterator[CastEvent]:
        """The terminal of `flow`; nothing where it has none. FramingError when malformed."""
        path = layout.part_path(self._state, layout.check_session_id(session), layout.cast_part(flow))
        if flow and path.exists():
            with path.open("rb") as lines:
                yield from read_cast(lines)

    def cast_size(self, session: str, flow: str) -> tuple[int, int]:
        """Columns and rows at the start of the terminal of `flow`. FramingError when malformed."""
        path = layout.part_path(self._state, layout.check_session_id(session), layout.cast_part(flow))
        with path.open("rb") as lines:
            try:
                size = msgspec.json.decode(lines.readline(), type=_CastSize)
            except msgspec.MsgspecError:
                raise FramingError("the first line of a cast is malformed") from None
        return size.width, size.height

    # Verification

    def verify(self, check: CheckSignature, *, session: str = "", anchor: Anchor | None = None) -> Verification:
        """Checks one session, or all of them and that none is missing. `check` is a `keys.verifier`."""
        path = self._root / layout.SESSIONS_CHAIN
        tally = _Tally()
        if not path.exists():
            tally.findings.append(
                Finding(Change.DELETED, SESSIONS, path.name, "the journal of all sessions is missing")
            )
        seen = walk(SESSIONS, path.name, path.read_bytes() if path.exists() else b"", check)
        known = _known(seen)
        if not session:
            seal(seen, None)
            _check_anchor(seen, anchor)
            tally.findings += seen.findings
        wanted = [session] if session else sorted({*known, *self.ids()})
        for item in wanted:
            self._verify_session(item, known.get(item, _Known()), check, tally)
        head = Anchor(seen.count - 1, seen.head) if seen.entries else None
        return Verification(tuple(tally.findings), len(wanted), tally.records, head)

    def _verify_session(self, session: str, known: _Known, check: CheckSignature, tally: _Tally) -> None:
        path = layout.chain_path(self._state, layout.check_session_id(session))
        if known.retired:
            return
        if not path.exists():
            tally.findings.append(
                Finding(Change.DELETED, session, path.name, "the session was opened, its journal is gone")
            )
            return
        seen = walk(session, path.name, path.read_bytes(), check)
        _check_opened(seen, known)
        seal(seen, known.closed)
        tally.findings += seen.findings
        tally.records += sum(entry.kind is Kind.RECORD for entry in seen.entries)
        self._verify_parts(session, seen, tally, closed=known.closed is not None)

    def _verify_parts(self, session: str, seen: Walk, tally: _Tally, *, closed: bool) -> None:
        named = {entry.part for entry in seen.entries if entry.part}
        files = {path.name.removeprefix(f"{session}.") for path in self.parts(session)}
        for part in sorted(named | files):
            path = layout.part_path(self._state, session, layout.check_part(part))
            if part not in files:
                tally.findings.append(Finding(Change.DELETED, session, path.name, "the file is gone"))
                continue
            with _mapped(path) as data:
                tally.findings += compare(session, part, path.name, of_part(seen.entries, part), data, closed=closed)


def _known(seen: Walk) -> dict[str, _Known]:
    known: dict[str, _Known] = {}
    for entry in seen.entries:
        if not layout.is_session_id(entry.session):
            continue
        item = known.setdefault(entry.session, _Known())
        match entry.kind:
            case Kind.OPENED:
                item.opened = entry
            case Kind.CLOSED:
                item.closed = entry
            case Kind.RETIRED:
                item.retired = True
            case _:
                continue
    return known


def _check_opened(seen: Walk, known: _Known) -> None:
    """The first entry must be the one that sessions.chain names, and name this session."""
    if known.opened is None:
        if any(entry.kind is not Kind.OPENED for entry in seen.entries):
            seen.note(Change.INSERTED, "the session is not in sessions.chain")
        else:
            seen.note(Change.UNSEALED, "the gateway ended while it opened this session; it holds no records")
        return
    first = seen.entries[0] if seen.entries else None
    if first is not None and first.n != 0:
        return  # noted by the walk: it is missing or out of order
    if first is None or first.session != seen.journal or seen.hashes[0] != known.opened.head:
        seen.note(Change.REPLACED, "the journal begins with another entry than was opened", 0)


def _check_anchor(seen: Walk, anchor: Anchor | None) -> None:
    if anchor is None:
        return
    hashes = {entry.n: digest for entry, digest in zip(seen.entries, seen.hashes, strict=True)}
    if anchor.n not in hashes:
        seen.note(Change.TRUNCATED, f"entry {anchor.n}, which was noted elsewhere, is gone", anchor.n)
    elif hashes[anchor.n] != anchor.hash:
        seen.note(Change.REPLACED, "the entry is not the one that was noted elsewhere", anchor.n)


def located(state: Path, prefix: str) -> tuple[Recordings, str]:
    """The recordings, of whichever worker, that hold the one session whose id begins with `prefix`, and its id. RecordError."""
    everywhere = [Recordings(each) for each in layout.states(state)]
    holding = [each for each in everywhere if each.named(prefix)]
    if len(holding) > 1:
        raise RecordError(f"more than one session begins with `{prefix}`. Give more of it")
    found = (holding or everywhere)[0]
    return found, found.find(prefix)
