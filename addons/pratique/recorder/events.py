"""Streamed responses (watch, `logs -f`) as JSON lines: when which bytes were served, as they were served.

Belongs here: chunks in, lines out; and lines in, events out, to show one again. Pure. Not here: masking (before),
writing (`spool`), where the file is (`layout.events_part`).

A line is `{"time":T,"text":"…"}`, or `{"time":T,"base64":"…"}` where a chunk is not UTF-8 by itself: what is read back is
byte for byte what was served. Beyond the limit one line `{"time":T,"marker":"…"}` follows, and only size and SHA-256 go on. The log of a port-forward has
lines `{"time":T,"event":"…",…}`, which hold no data: they are read as markers.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from pratique.errors import FramingError

MAX_STREAM_BYTES = 64 * 1024 * 1024
"""Stored of one stream; some 100,000 watch events. Beyond it size and SHA-256 tell what was served."""


class _Line(msgspec.Struct, omit_defaults=True):
    time: float
    text: str = ""
    base64: str = ""
    marker: str = ""
    event: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode


class StreamEvents:
    """The lines of one stream. `size` bytes were served, `stored` of them are in the lines."""

    def __init__(self, limit: int = MAX_STREAM_BYTES) -> None:
        self._limit = limit
        self._hash = hashlib.sha256()
        self._marked = False
        self.size = 0
        self.stored = 0

    @property
    def sha256(self) -> str:
        """Of everything that was served, hex."""
        return self._hash.hexdigest()

    def feed(self, time: float, data: bytes) -> bytes:
        """What `data`, served at `time` (seconds since the epoch), adds: whole lines, perhaps none."""
        self._hash.update(data)
        self.size += len(data)
        kept = data[: self._limit - self.stored]
        self.stored += len(kept)
        lines = _line(time, kept) if kept else b""
        if len(kept) < len(data) and not self._marked:
            self._marked = True
            lines += _encode(_Line(time, marker=f"more than {self._limit} bytes, the rest is not stored")) + b"\n"
        return lines


def _line(time: float, data: bytes) -> bytes:
    try:
        line = _Line(time, text=data.decode())
    except UnicodeDecodeError:
        line = _Line(time, base64=base64.b64encode(data).decode())
    return _encode(line) + b"\n"


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One chunk as it was served at `time`; or, without data, a `marker`."""

    time: float
    data: bytes
    marker: str = ""


def read(lines: Iterable[bytes]) -> Iterator[StreamEvent]:
    """The events of a stream. FramingError when a line is none."""
    for number, line in enumerate(lines):
        try:
            parsed = _decode(line)
            if parsed.event:
                yield StreamEvent(parsed.time, b"", _said(line))
                continue
            data = base64.b64decode(parsed.base64, validate=True) if parsed.base64 else parsed.text.encode()
        except (msgspec.MsgspecError, ValueError):
            raise FramingError(f"line {number + 1} of a stream is malformed", number) from None
        yield StreamEvent(parsed.time, data, parsed.marker)


def _said(line: bytes) -> str:
    """`opened: connection 0, port 8080` of a line of a port-forward's log."""
    values = msgspec.json.decode(line, type=dict[str, Any])
    event, _ = values.pop("event"), values.pop("time")
    return f"{event}: " + ", ".join(f"{name} {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    return f"{value.get('bytes')} bytes" if isinstance(value, dict) else str(value)
