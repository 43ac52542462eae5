"""SPDY/3.1 frames, both directions, incrementally.

Belongs here: bytes to frames, frames to bytes, the header block that is compressed across frames. Not here: what a stream
is for (`pratique.tunnel`). Source: SPDY draft 3.1 (draft-mbelshe-httpbis-spdy-00) and what Kubernetes speaks of it,
moby/spdystream: no flow control, no server push.

Data frames come in pieces as their bytes come (a piece is a frame of its own, which means the same), control frames
whole. "Need more" is the end of the iterator; FramingError is malformed, and nothing after it can be read. Header
blocks share one zlib stream for each direction, so a frame is never passed on as bytes: who forwards, encodes anew.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pratique.errors import FramingError
from pratique.kube.spdy_dictionary import DICTIONARY

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN, UNIDIRECTIONAL = 0x01, 0x02
REFUSED_STREAM, CANCEL = 3, 5
"""Statuses of RST_STREAM."""

MAX_CONTROL = 16 * 1024
"""Bytes of a control frame; one of kubectl has under 100."""

MAX_HEADERS = 16 * 1024
"""Bytes of a header block after decompression, which guards against bombs; kubectl's has under 100."""

MAX_HEADER_COUNT = 32

MAX_DATA = (1 << 24) - 1
"""Bytes of a data frame, by its 24 bits of length; longer data is sent as several."""

_HEAD = 8
_FIXED = {RST_STREAM: 8, PING: 4, GOAWAY: 8, WINDOW_UPDATE: 8}
_LEAST = {SYN_STREAM: 10, SYN_REPLY: 4, HEADERS: 4, SETTINGS: 4}

type Frame = SynStream | SynReply | Reset | Ping | GoAway | Data | Ignored


@dataclass(frozen=True, slots=True)
class SynStream:
    """Opens a stream. `headers` have lower-case names."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False
    unidirectional: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    """Accepts a stream."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """RST_STREAM: ends a stream both ways."""

    stream: int
    status: int = CANCEL


@dataclass(frozen=True, slots=True)
class Ping:
    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """No streams above `last` are served any more."""

    last: int = 0
    status: int = 0


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream. `fin`: the sender has no more."""

    stream: int
    data: bytes = b""
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Ignored:
    """SETTINGS, WINDOW_UPDATE, HEADERS: well-formed, without a meaning in Kubernetes, not passed on."""

    kind: int


class SpdyDecoder:
    """One direction of one connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._offset = 0
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._data: tuple[int, bool, int] | None = None  # open data frame: stream, fin, bytes to come

    @property
    def buffered(self) -> int:
        """Bytes that wait for more: at most one control frame once `feed` is through."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` brings. Must be iterated to its end, which means "need more". FramingError."""
        self._buffer += data
        while (frame := self._piece() if self._data else self._frame()) is not None:
            yield frame

    def _error(self, message: str) -> FramingError:
        return FramingError(message, self._offset)

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._offset += size
        return data

    def _piece(self) -> Data | None:
        if self._data is None or not self._buffer:
            return None
        stream, fin, left = self._data
        data = self._take(min(left, len(self._buffer)))
        left -= len(data)
        self._data = (stream, fin, left) if left else None
        return Data(stream, data, fin and not left)

    def _frame(self) -> Frame | None:
        if len(self._buffer) < _HEAD:
            return None
        word, rest = struct.unpack_from(">II", self._buffer)
        flags, length = rest >> 24, rest & 0xFFFFFF
        if word & 0x80000000:
            return self._control(word >> 16 & 0x7FFF, word & 0xFFFF, flags, length)
        stream = self._stream(word)
        if flags & ~FIN:
            raise self._error("a SPDY data frame with unknown flags")
        self._take(_HEAD)
        if length:
            self._data = (stream, bool(flags & FIN), length)
            return self._piece()
        return Data(stream, b"", bool(flags & FIN))

    def _control(self, version: int, kind: int, flags: int, length: int) -> Frame | None:
        if version != VERSION:
            raise self._error(f"a SPDY frame of version {version}, 3 was agreed")
        if kind not in _FIXED and kind not in _LEAST:
            raise self._error(f"a SPDY frame of the unknown type {kind}")
        if length > MAX_CONTROL or length != _FIXED.get(kind, length) or length < _LEAST.get(kind, 0):
            raise self._error(f"a SPDY control frame of type {kind} with {length} bytes")
        if len(self._buffer) < _HEAD + length:
            return None
        body = self._take(_HEAD + length)[_HEAD:]
        match kind:
            case 1 | 2 | 8:
                return self._with_headers(kind, flags, body)
            case 3:
                stream, status = struct.unpack(">II", body)
                return Reset(self._stream(stream), status)
            case 6:
                return Ping(int.from_bytes(body))
            case 7:
                last, status = struct.unpack(">II", body)
                return GoAway(last & 0x7FFFFFFF, status)
            case _:
                return Ignored(kind)

    def _with_headers(self, kind: int, flags: int, body: bytes) -> Frame:
        stream = self._stream(int.from_bytes(body[:4]))
        if flags & ~(FIN | UNIDIRECTIONAL if kind == SYN_STREAM else FIN):
            raise self._error("a SPDY frame with unknown flags")
        if kind == SYN_STREAM and int.from_bytes(body[4:8]) & 0x7FFFFFFF:
            raise self._error("a SPDY stream that belongs to another one")
        headers = self._headers(body[_LEAST[kind] :])
        if kind == SYN_STREAM:
            return SynStream(stream, headers, bool(flags & FIN), bool(flags & UNIDIRECTIONAL))
        if kind == SYN_REPLY:
            return SynReply(stream, headers, bool(flags & FIN))
        return Ignored(kind)

    def _stream(self, number: int) -> int:
        number &= 0x7FFFFFFF
        if not number:
            raise self._error("a SPDY frame for stream 0")
        return number

    def _headers(self, block: bytes) -> dict[str, str]:
        """INVARIANT: every block goes through the decompressor, also of frames that are ignored."""
        try:
            plain = self._inflate.decompress(block, MAX_HEADERS + 1)
        except zlib.error:
            raise self._error("a SPDY header block that cannot be decompressed") from None
        if len(plain) > MAX_HEADERS or self._inflate.unconsumed_tail or self._inflate.eof:
            raise self._error(f"a SPDY header block of more than {MAX_HEADERS} bytes, or after the end of its stream")
        try:
            return _pairs(plain)
        except (struct.error, UnicodeDecodeError, ValueError):
            raise self._error("a malformed SPDY header block") from None


def _pairs(plain: bytes) -> dict[str, str]:
    """ValueError, struct.error or UnicodeDecodeError for anything but whole pairs of printable text."""
    (count,) = struct.unpack_from(">I", plain)
    if count > MAX_HEADER_COUNT:
        raise ValueError("too many")
    at, texts = 4, []
    for _ in range(2 * count):
        (size,) = struct.unpack_from(">I", plain, at)
        text = plain[at + 4 : at + 4 + size]
        if len(text) != size:
            raise ValueError("cut")
        texts.append(text.decode("ascii"))
        at += 4 + size
    found = dict(zip(texts[::2], texts[1::2], strict=True))
    names_differ = len(found) == count and all(name and name == name.lower() for name in found)
    if at != len(plain) or not names_differ or not all(text.isprintable() for text in texts):
        raise ValueError("not pairs")
    return found


class SpdyEncoder:
    """One direction of one connection: the header blocks share its compressor."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        """The bytes of a frame; b"" for what is ignored."""
        match frame:
            case Data():
                return _data(frame)
            case SynStream():
                body = struct.pack(">IIBB", frame.stream, 0, 0, 0) + self._headers(frame.headers)
                flags = FIN * frame.fin | UNIDIRECTIONAL * frame.unidirectional
                return _control(SYN_STREAM, flags, body)
            case SynReply():
                body = struct.pack(">I", frame.stream) + self._headers(frame.headers)
                return _control(SYN_REPLY, FIN * frame.fin, body)
            case Reset():
                return _control(RST_STREAM, 0, struct.pack(">II", frame.stream, frame.status))
            case Ping():
                return _control(PING, 0, struct.pack(">I", frame.number))
            case GoAway():
                return _control(GOAWAY, 0, struct.pack(">II", frame.last, frame.status))
            case Ignored():
                return b""

    def _headers(self, headers: Mapping[str, str]) -> bytes:
        texts = [text.encode() for pair in headers.items() for text in pair]
        plain = struct.pack(">I", len(headers)) + b"".join(struct.pack(">I", len(text)) + text for text in texts)
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(body)) + body


def _data(frame: Data) -> bytes:
    pieces = [frame.data[at : at + MAX_DATA] for at in range(0, len(frame.data), MAX_DATA)] or [b""]
    last = len(pieces) - 1
    return b"".join(
        struct.pack(">II", frame.stream, FIN * (frame.fin and number == last) << 24 | len(piece)) + piece
        for number, piece in enumerate(pieces)
    )
