"""I/O: server side of WebSocket (RFC 6455) on a stream taken from tornado, frame by frame.

tornado's own handler puts fragments together; kube-apiserver does not (exec-protocol.md §2): there each frame, also a
continuation, is a message of its own. Tests of a gateway need that behaviour, hence these frames.
"""

from __future__ import annotations

import base64
import hashlib
import struct

from tornado.iostream import IOStream, StreamClosedError

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
MAX_FRAME = 32 * 1024 * 1024  # bytes, x/net/websocket DefaultMaxPayloadBytes
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


class WebSocket:
    def __init__(self, stream: IOStream) -> None:
        self.stream = stream
        self.close_code: int | None = None
        self._closed = False

    async def receive(self) -> bytes | None:
        """The payload of the next data frame; None when the client closed, vanished, or broke the protocol."""
        try:
            while True:
                opcode, payload = await self._frame()
                if opcode == PING:
                    self._write(PONG, payload)
                elif opcode == CLOSE:
                    self.close_code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005
                    await self.close(1000)
                    return None
                elif opcode != PONG:
                    return payload
        except (StreamClosedError, ValueError):
            return None

    async def _frame(self) -> tuple[int, bytes]:
        first, second = await self.stream.read_bytes(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", await self.stream.read_bytes(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", await self.stream.read_bytes(8))
        if length > MAX_FRAME or not second & 0x80:
            raise ValueError("frame too large, or not masked")
        mask = await self.stream.read_bytes(4)
        payload = await self.stream.read_bytes(length) if length else b""
        return first & 0x0F, _unmask(payload, mask)

    async def send(self, payload: bytes, opcode: int = BINARY) -> None:
        """Raises StreamClosedError."""
        await self._write(opcode, payload)

    def _write(self, opcode: int, payload: bytes):  # type: ignore[no-untyped-def] # noqa: ANN202 - tornado's Future
        length = len(payload)
        if length < 126:
            head = struct.pack(">BB", 0x80 | opcode, length)
        elif length < 1 << 16:
            head = struct.pack(">BBH", 0x80 | opcode, 126, length)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 127, length)
        return self.stream.write(head + payload)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._write(CLOSE, struct.pack(">H", code) + reason.encode())
        except StreamClosedError:
            return
        self.stream.close()


def _unmask(payload: bytes, mask: bytes) -> bytes:
    if not payload:
        return b""
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    number = int.from_bytes(payload) ^ int.from_bytes(repeated)
    return number.to_bytes(len(payload))
