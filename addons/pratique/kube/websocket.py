"""WebSocket frames (RFC 6455), both directions, incrementally.

Belongs here: bytes to parts of messages, messages to frames, close codes. Not here: what a message means
(`channels.py`, `spdy.py`), the handshake (`headers.py`).

A message comes in parts as its bytes come, so memory is one frame header, never one message. "Need more" is the end
of the iterator; FramingError is malformed, and nothing after it can be read. Refused beyond RFC 6455: fragmented
messages of a client, since golang.org/x/net/websocket (API server and kubelet) takes each fragment for a message with a
channel byte of its own (bypass.md 5.3). No extension is negotiated, so RSV bits are malformed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pratique.errors import FramingError

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

MAX_FRAME = 32 * 1024 * 1024
"""Bytes of a frame's payload: `DefaultMaxPayloadBytes` of x/net/websocket; the API server refuses a longer one."""

MAX_CONTROL = 125
"""Bytes of a control frame's payload (RFC 6455 5.5)."""

MAX_HEAD = 14
"""Bytes of a frame's head: two, eight of length, four of mask."""

NORMAL, GOING_AWAY, PROTOCOL_ERROR, NO_STATUS = 1000, 1001, 1002, 1005

_DATA = frozenset({TEXT, BINARY})
_CONTROL = frozenset({CLOSE, PING, PONG})
_NOT_SENT = frozenset({1004, 1005, 1006, 1015})  # RFC 6455 7.4.1: reserved, never in a frame


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of one message, in order. `opcode` is that of the message; a control message is always one part."""

    opcode: int
    data: bytes
    first: bool = True
    last: bool = True


@dataclass(slots=True)
class _Frame:
    """The data frame that is being read: `left` bytes of its payload are to come."""

    opcode: int
    final: bool
    left: int
    key: bytes
    first: bool


class FrameDecoder:
    """One direction of one connection."""

    def __init__(self, *, from_client: bool, limit: int = MAX_FRAME) -> None:
        self._from_client = from_client
        self._limit = limit
        self._buffer = bytearray()
        self._offset = 0  # bytes of the stream before the buffer
        self._frame: _Frame | None = None
        self._message: int | None = None  # opcode of a fragmented message that goes on

    @property
    def buffered(self) -> int:
        """Bytes that wait for more: at most a head and a control payload once `feed` is through."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Part]:
        """The parts that `data` brings. Must be iterated to its end, which means "need more". FramingError."""
        self._buffer += data
        while True:
            part = self._payload() if self._frame else self._head()
            if part is None:
                return
            if isinstance(part, Part):
                yield part

    def _error(self, message: str) -> FramingError:
        return FramingError(message, self._offset)

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._offset += size
        return data

    def _payload(self) -> Part | None:
        """What has come of the open frame's payload."""
        frame = self._frame
        if frame is None or (frame.left and not self._buffer):
            return None
        data = self._take(min(frame.left, len(self._buffer)))
        frame.left -= len(data)
        ends = not frame.left
        if frame.key:
            data, frame.key = xor(data, frame.key), _turned(frame.key, len(data))
        part = Part(frame.opcode, data, frame.first, ends and frame.final)
        frame.first = False
        if ends:
            self._frame = None
            self._message = None if frame.final else frame.opcode
        return part

    def _head(self) -> Part | bool | None:
        """A control frame; True when a data frame was begun; None for need more."""
        if len(self._buffer) < 2:
            return None
        first, second = self._buffer[0], self._buffer[1]
        opcode, final = first & 0x0F, bool(first & 0x80)
        self._check(first, second, opcode, final=final)
        size = second & 0x7F
        length_bytes = {126: 2, 127: 8}.get(size, 0)
        head = 2 + length_bytes + (4 if self._from_client else 0)
        if len(self._buffer) < head:
            return None
        length = int.from_bytes(self._buffer[2 : 2 + length_bytes]) if length_bytes else size
        self._check_length(length, length_bytes)
        key = bytes(self._buffer[head - 4 : head]) if self._from_client else b""
        if opcode in _CONTROL:
            if len(self._buffer) < head + length:
                return None
            self._take(head)
            return Part(opcode, xor(self._take(length), key))
        self._take(head)
        begins = opcode in _DATA
        message = opcode if begins else (self._message or BINARY)
        self._frame = _Frame(message, final, length, key, begins)
        return True

    def _check(self, first: int, second: int, opcode: int, *, final: bool) -> None:
        if first & 0x70:
            raise self._error("a WebSocket frame with RSV bits: no extension was negotiated")
        if bool(second & 0x80) is not self._from_client:
            raise self._error("a WebSocket frame of a client is not masked, or one of a server is")
        if opcode in _CONTROL:
            if not final or second & 0x7F > MAX_CONTROL:
                raise self._error("a WebSocket control frame is fragmented or longer than 125 bytes")
            return
        if opcode not in _DATA and opcode != CONTINUATION:
            raise self._error(f"a WebSocket frame with the reserved opcode {opcode}")
        if self._from_client and (not final or opcode == CONTINUATION):
            raise self._error("a fragmented WebSocket message: the API server would read it differently")
        if (opcode == CONTINUATION) is (self._message is None):
            raise self._error("a WebSocket continuation frame without a beginning, or a message inside another")

    def _check_length(self, length: int, length_bytes: int) -> None:
        if (length_bytes == 2 and length < 126) or (length_bytes == 8 and length < 1 << 16):
            raise self._error("the length of a WebSocket frame is not in its shortest form")
        if length > self._limit:
            raise self._error(f"a WebSocket frame longer than {self._limit} bytes")


def frame(opcode: int, payload: bytes, key: bytes = b"") -> bytes:
    """One whole, unfragmented frame. `key`: four random bytes where a client sends it, b"" where a server does."""
    masked = 0x80 if key else 0
    length = len(payload)
    if length < 126:
        head = struct.pack(">BB", 0x80 | opcode, masked | length)
    elif length < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, masked | 126, length)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, masked | 127, length)
    return head + key + (xor(payload, key) if key else payload)


def close_payload(code: int) -> bytes:
    """The payload of a close frame without a reason; NO_STATUS is the empty one."""
    return b"" if code == NO_STATUS else struct.pack(">H", code)


def close_code(payload: bytes) -> int:
    """The code of a close frame; NO_STATUS if it has none. FramingError for a malformed one."""
    if not payload:
        return NO_STATUS
    code = int.from_bytes(payload[:2])
    if len(payload) < 2 or not 1000 <= code < 5000 or code in _NOT_SENT:
        raise FramingError("a malformed WebSocket close frame")
    return code


def xor(data: bytes, key: bytes) -> bytes:
    """RFC 6455 5.3; its own inverse. An empty key changes nothing."""
    size = len(data)
    if not size or not key:
        return data
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


def _turned(key: bytes, size: int) -> bytes:
    """The key for what follows `size` bytes."""
    shift = size % 4
    return key[shift:] + key[:shift]
