"""I/O: server side of SPDY/3.1 on a stream taken from tornado, as the kubelet speaks it (exec-protocol.md §3).

Frames are those of `pratique.kube.spdy`; here is what a server does with them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Protocol

from tornado.iostream import IOStream, StreamClosedError

from pratique.errors import FramingError
from pratique.kube.spdy import Data, Frame, GoAway, Ping, Reset, SpdyDecoder, SpdyEncoder, SynReply, SynStream
from pratique.sandbox.websocket import WebSocket

JSON = dict[str, Any]
READ_BYTES = 65536
CREATION_SECONDS = 30.0  # how long the kubelet waits for all streams of an exec

_CHANNELS = {"stdin": 0, "stdout": 1, "stderr": 2, "error": 3, "resize": 4}
_STDIN, _ERROR, _HALF_CLOSE = 0, 3, 255


class Carrier(Protocol):
    """Bytes both ways: a connection, or the messages of a WebSocket."""

    async def read(self) -> bytes:
        """b"" at the end."""

    async def write(self, data: bytes) -> None: ...
    async def close(self) -> None: ...


class StreamCarrier:
    def __init__(self, stream: IOStream) -> None:
        self._stream = stream

    async def read(self) -> bytes:
        try:
            return bytes(await self._stream.read_bytes(READ_BYTES, partial=True))
        except StreamClosedError:
            return b""

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)

    async def close(self) -> None:
        self._stream.close()


class MessageCarrier:
    """`SPDY/3.1+portforward.k8s.io`: the borders of messages mean nothing."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while (data := await self._socket.receive()) is not None:
            if data:
                return data
        return b""

    async def write(self, data: bytes) -> None:
        await self._socket.send(data)

    async def close(self) -> None:
        await self._socket.close(1000)


class Connection:
    """Frames in and out. Pings are answered; a client's bytes that are no SPDY end the connection."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._decoder = SpdyDecoder()
        self._encoder = SpdyEncoder()

    async def send(self, frame: Frame) -> None:
        """Raises StreamClosedError."""
        await self._carrier.write(self._encoder.encode(frame))

    async def frames(self) -> AsyncIterator[Frame]:
        while data := await self._carrier.read():
            try:
                for frame in self._decoder.feed(data):
                    if isinstance(frame, Ping):
                        await self.send(frame)
                    elif isinstance(frame, GoAway):
                        return
                    else:
                        yield frame
            except FramingError:
                return

    async def close(self) -> None:
        await self.send(GoAway())
        await self._carrier.close()


class SpdyChannels:
    """The streams of an exec as numbered channels, like `execs.Channels`."""

    structured = True
    half_close = True

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._frames = connection.frames()
        self._streams: dict[int, int] = {}  # channel → stream
        self._early: list[tuple[int, bytes]] = []

    async def open(self, expected: int) -> bool:
        """Waits for the streams that the query promised; False when they do not come."""
        try:
            async with asyncio.timeout(CREATION_SECONDS):
                while len(self._streams) < expected:
                    frame = await anext(self._frames)
                    if isinstance(frame, SynStream):
                        # A second stream of one type wins, as at the kubelet.
                        self._streams[_CHANNELS[frame.headers["streamtype"]]] = frame.stream
                        await self._connection.send(SynReply(frame.stream))
                    elif found := self._message(frame):
                        self._early.append(found)
        except (TimeoutError, StopAsyncIteration, KeyError):
            await self._connection.close()
            return False
        return True

    def _message(self, frame: Frame) -> tuple[int, bytes] | None:
        if not isinstance(frame, Data):
            return None
        channel = next((channel for channel, stream in self._streams.items() if stream == frame.stream), -1)
        if frame.fin and channel == _STDIN and not frame.data:
            return _HALF_CLOSE, bytes((_STDIN,))
        return channel, frame.data

    async def receive(self) -> tuple[int, bytes] | None:
        if self._early:
            return self._early.pop(0)
        async for frame in self._frames:
            if found := self._message(frame):
                return found
        return None

    async def send(self, channel: int, data: bytes) -> None:
        if data:
            await self._connection.send(Data(self._streams[channel], data))

    async def finish(self, result: JSON) -> None:
        """The Status, then what `conn.Close` of the kubelet does: every stream is reset."""
        for channel in (1, 2):
            if channel in self._streams:
                await self._connection.send(Data(self._streams[channel], b"", fin=True))
        await self.send(_ERROR, json.dumps(result, separators=(",", ":")).encode())
        for stream in self._streams.values():
            await self._connection.send(Reset(stream))
        await self._connection.close()
