"""I/O: reads recordings of three forms: flow files (mitmproxy's or ours), audit logs, lines of a corpus.

Belongs here: which files a path means, pieces of files that can be read apart, what is wrong with a file and where. Not here: what
a record means (`recorded`, `audit_event`). Memory is one record and the requests that are open at one time.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from pratique.errors import FramingError, RecordError
from pratique.recorder.events import read as read_events
from pratique.recorder.flowfile import scan
from pratique.recorder.flowread import names, read_members
from pratique.recorder.layout import FLOW, is_part, recordings, states
from pratique.trial.audit_event import is_event, of_event
from pratique.trial.recorded import Place, RecordedRequest, of_corpus, of_flow

SUFFIXES = (f".{FLOW}", ".mitm", ".jsonl", ".ndjson", ".log", ".json")
"""Of the files that are read in a folder; a file that is named is read whatever its name is."""
LINES_PIECE = 32 * 1024 * 1024
"""Bytes of a piece of a file of lines: enough work for a process, small enough to share out."""
FLOWS_PIECE = 128 * 1024 * 1024
"""Our own segments are smaller, so that the start and the end of one request stay in one piece."""
MAX_LINE_BYTES = 16 * 1024 * 1024
"""An audit event holds two bodies of at most 3 MiB, escaped."""
MAX_FLOW_BYTES = 64 * 1024 * 1024
"""A flow of which more is stored is no recording of API calls; it is stepped over, not read."""
MAX_STREAM_BYTES = 4 * 1024 * 1024
"""Of a watch or log that is looked at for masks: the same objects come again and again."""

_WANTED = {
    **names("id", "metadata"),
    b"request": names("method", "path", "headers", "content", "http_version"),
    b"response": names("status_code", "headers", "content"),
}
_FLOWS = re.compile(rb"[0-9]{1,12}:")
# What the records of ours and of mitmproxy begin with: their length, and their first key.
_NEXT_FLOW = re.compile(rb"(?<![0-9])[1-9][0-9]{2,9}:(?:7:version|9:websocket);")
_OPEN_STAGES = frozenset({"RequestReceived", "ResponseStarted"})
_OTHERS = {
    b"\x1f\x8b": "a gzip file. Unpack it first",
    b"PK": "a zip file. Unpack it first",
    b"SQLite": "a database. Give the state folder, or the flow files",
    b"[": "a JSON array. Give one JSON object a line (jq -c '.[]')",
    b"<": "XML or HTML, no recording",
    b'{"entry":': "the journal of a session. Give the state folder, or the .flow file beside it",
    b'{"log":': "a HAR file. Export flows from the other tool as JSON lines: id, method, path, headers, body",
}
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Piece(NamedTuple):
    """Bytes `start` to `end` of a file. `flows`: it is a flow file, else one of lines."""

    file: str
    start: int
    end: int
    flows: bool


class BadRecording(RecordError):
    """A part of a recording that cannot be read; the text begins with file and place."""


type OnBad = Callable[[BadRecording], None]
"""Is told of each part that cannot be read; it raises where the rest is not to be read."""


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The files that are meant, sorted within each folder. RecordError where there is none."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            folders = [folder for each in states(path) if (folder := recordings(each)).is_dir()] or [path]
            inside = (one for folder in folders for one in sorted(folder.rglob("*")))
            here = [one for one in inside if one.name.endswith(SUFFIXES) and one.is_file()]
            if not here:
                kinds = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
                raise RecordError(f"`{path}` holds no recordings ({kinds}). Name a state folder or files")
            found += here
        elif path.exists():
            found.append(path)
        else:
            raise RecordError(f"there is no `{path}`. Name a state folder, a flow file, an audit log or JSON lines")
    return found


def pieces(file: Path, on_bad: OnBad) -> list[Piece]:
    """How a file is read. An empty one is nothing; one of another tool is told to `on_bad`."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            start = opened.read(64).lstrip()
    except OSError as error:
        on_bad(BadRecording(f"{file}: {error.strerror}"))
        return []
    if not start:
        return []
    other = next((what for magic, what in _OTHERS.items() if start.startswith(magic)), "")
    flows = _FLOWS.match(start) is not None
    if other or not (flows or start.startswith(b"{")):
        what = other or "neither a flow file nor JSON lines"
        on_bad(BadRecording(f"{file} byte 0: this is {what}"))
        return []
    if flows:
        return _pieces_of_flows(file, size)
    steps = range(0, size, LINES_PIECE)
    return [Piece(str(file), at, min(at + LINES_PIECE, size), flows=False) for at in steps]


def _pieces_of_flows(file: Path, size: int) -> list[Piece]:
    if size <= FLOWS_PIECE:
        return [Piece(str(file), 0, size, flows=True)]
    cuts = [0]
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        view = memoryview(data)
        try:
            for offset, _ in scan(view):
                if offset - cuts[-1] >= FLOWS_PIECE:
                    cuts.append(offset)
        except FramingError:
            pass  # who reads the last piece finds it, and says where
        finally:
            view.release()
    return [Piece(str(file), a, b, flows=True) for a, b in zip(cuts, [*cuts[1:], size], strict=True)]


def read(piece: Piece, on_bad: OnBad) -> Iterator[RecordedRequest]:
    """The requests of a piece, each once, in the order of their ends."""
    return _read_flows(piece, on_bad) if piece.flows else _read_lines(piece, on_bad)


# --- flow files ---


def _read_flows(piece: Piece, on_bad: OnBad) -> Iterator[RecordedRequest]:
    with (
        Path(piece.file).open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data,
        memoryview(data) as view,
    ):
        started: dict[str, tuple[int, int]] = {}
        for offset, length in _records(data, view, piece, on_bad):
            flow = _flow(view, offset, length, piece.file, on_bad)
            if flow is None:
                continue
            metadata = flow.get("metadata") or {}
            key = str(metadata.get("pratique.flow", ""))
            if key and metadata.get("pratique.stage") in _OPEN_STAGES:
                started[key] = (offset, length)
                continue
            started.pop(key, None)
            yield from _request(flow, Place(piece.file, offset), on_bad)
        for offset, length in started.values():  # the gateway ended, or has not ended, in the middle of them
            flow = _flow(view, offset, length, piece.file, on_bad)
            yield from _request(flow or {}, Place(piece.file, offset), on_bad)


def _records(data: mmap.mmap, view: memoryview, piece: Piece, on_bad: OnBad) -> Iterator[tuple[int, int]]:
    """Offset and length of each record. After damage, from the next place at which a record begins."""
    at = piece.start
    while at < piece.end:
        end = at
        try:
            for offset, length in scan(view[at : piece.end], at):
                end = at + offset + length
                yield at + offset, length
            if end == piece.end:
                return
            problem = f"a record of {piece.end - end} bytes or more is cut short. Is it still being written?"
        except FramingError as error:
            problem = f"{error.message}. It is damaged, or of another tool"
        on_bad(BadRecording(f"{piece.file} byte {end}: {problem}"))
        following = _NEXT_FLOW.search(data, end + 1, piece.end)
        at = following.start() if following else piece.end


def _flow(view: memoryview, offset: int, length: int, file: str, on_bad: OnBad) -> dict[str, Any] | None:
    if length > MAX_FLOW_BYTES:
        on_bad(BadRecording(f"{file} byte {offset}: a flow of {length} bytes is left out (limit {MAX_FLOW_BYTES})"))
        return None
    try:
        return read_members(view[offset : offset + length].tobytes(), _WANTED)
    except FramingError as error:
        on_bad(BadRecording(f"{file} byte {offset + error.offset}: {error.message}"))
    return None


def _request(flow: Mapping[str, Any], place: Place, on_bad: OnBad) -> Iterator[RecordedRequest]:
    try:
        found = of_flow(flow, place)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        on_bad(BadRecording(f"{place}: a flow of another form than mitmproxy's ({_brief(error)})"))
        return
    if found is not None:
        yield _with_stream(found, str((flow.get("metadata") or {}).get("pratique.flow", "")), on_bad)


def _with_stream(found: RecordedRequest, flow: str, on_bad: OnBad) -> RecordedRequest:
    """With what a watch or a log sent as its answer, which has a file of its own; whole lines of it, MAX_STREAM_BYTES at most."""
    answer, part = found.answer, f"{flow}.events"
    if answer is None or answer.body or not is_part(part):
        return found
    file = Path(found.place.file)
    events = file.with_name(f"{file.name.removesuffix(f'.{FLOW}')}.{part}")
    if not events.is_file():
        return found
    body = bytearray()
    try:
        with events.open("rb") as lines:
            for event in read_events(lines):
                body += event.data
                if len(body) > MAX_STREAM_BYTES:
                    break
    except FramingError as error:
        on_bad(BadRecording(f"{events}:{error.offset + 1}: {error.message}"))
    whole = body.rfind(b"\n") + 1
    return replace(found, answer=answer._replace(body=bytes(body[:whole])))


# --- lines ---


def _read_lines(piece: Piece, on_bad: OnBad) -> Iterator[RecordedRequest]:
    with Path(piece.file).open("rb") as opened:
        at = piece.start
        if at:
            opened.seek(at - 1)
            at += _skip_line(opened) - 1  # the line that began before is read with the piece before
        number = 1 if piece.start == 0 else 0
        while at < piece.end and (line := opened.readline(MAX_LINE_BYTES)):
            length = len(line)
            place = Place(piece.file, at, number)
            if not line.endswith(b"\n") and length >= MAX_LINE_BYTES:
                length += _skip_line(opened)
                on_bad(_bad_line(place, f"a line of {length} bytes is left out (limit {MAX_LINE_BYTES})"))
            elif not line.isspace():
                yield from _of_line(line, place, on_bad)
            at += length
            number += bool(number)


def _skip_line(opened: IO[bytes]) -> int:
    length = 0
    while part := opened.readline(1 << 20):
        length += len(part)
        if part.endswith(b"\n"):
            break
    return length


def _of_line(line: bytes, place: Place, on_bad: OnBad) -> Iterator[RecordedRequest]:
    try:
        found = _object(line)
        events = found["items"] if found.get("kind") == "EventList" else [found]
        for each in events:
            request = of_event(each, place) if is_event(each) else of_corpus(each, place)
            if request is not None:
                yield request
    except RecursionError:
        on_bad(_bad_line(place, "it is nested too deep"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        on_bad(_bad_line(place, f"{_brief(error)}. Give audit events, or id, method, path, headers, body"))


def _object(line: bytes) -> dict[str, Any]:
    try:
        return _decode(line)
    except msgspec.ValidationError:
        raise ValueError("not a JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:  # lone surrogates, and bytes that are not UTF-8, which a corpus may hold
        found = json.loads(line.decode("utf-8", "surrogateescape"))
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one kind of error for whatever is wrong with a line
    return found


def _bad_line(place: Place, problem: str) -> BadRecording:
    """With the number of the line, which is counted only now."""
    line = place.line or _line_at(place)
    return BadRecording(f"{place.file}:{line} (byte {place.offset}): {problem}")


def _line_at(place: Place) -> int:
    count, left = 1, place.offset
    with Path(place.file).open("rb") as opened:
        while left > 0 and (part := opened.read(min(left, 1 << 20))):
            count += part.count(b"\n")
            left -= len(part)
    return count


def _brief(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"`{error.args[0]}` is missing"
    return (
        str(error)
        if type(error) in {ValueError, msgspec.ValidationError} or "`" in str(error)
        else type(error).__name__
    )
