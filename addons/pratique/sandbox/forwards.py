"""I/O: port-forward, over SPDY, over SPDY in WebSocket messages, and over WebSocket channels (exec-protocol.md §4).

The sandbox's pods have no network. Behind each declared `containerPort` stands a small server in this process: it
answers an HTTP request with one line that names pod and port, and sends anything else back as it came.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

from tornado.iostream import StreamClosedError

from pratique.kube.spdy import Data, Frame, Reset, SynReply, SynStream
from pratique.sandbox.spdy import Connection
from pratique.sandbox.websocket import WebSocket

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ports:
    """What listens in a pod."""

    pod: str
    open: frozenset[int]

    @classmethod
    def of(cls, pod: JSON) -> Ports:
        declared = (port for container in pod["spec"]["containers"] for port in container.get("ports") or [])
        return cls(pod["metadata"]["name"], frozenset(int(port["containerPort"]) for port in declared))

    def answer(self, port: int, data: bytes) -> bytes:
        if b"HTTP/1." not in data.partition(b"\r\n")[0]:
            return data
        body = f"{self.pod} port {port}\n".encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        return head % len(body) + body

    def refusal(self, port: int) -> bytes:
        """As the kubelet words it."""
        text = f"error forwarding port {port} to pod {self.pod}, uid : exit status 1: connect(5, 127.0.0.1:{port}): Connection refused"
        return text.encode()


@dataclass(slots=True)
class _Pair:
    port: int
    streams: dict[str, int] = field(default_factory=dict)


async def over_spdy(connection: Connection, ports: Ports) -> None:
    """Until the client goes."""
    forwards = _Forwards(connection, ports)
    with contextlib.suppress(StreamClosedError):
        async for frame in connection.frames():
            await forwards.on(frame)
        await connection.close()


class _Forwards:
    def __init__(self, connection: Connection, ports: Ports) -> None:
        self._connection = connection
        self._ports = ports
        self._pairs: dict[str, _Pair] = {}
        self._data: dict[int, _Pair] = {}

    async def on(self, frame: Frame) -> None:
        match frame:
            case SynStream():
                await self._open(frame)
            case Data() if (pair := self._data.get(frame.stream)) is not None:
                if frame.data:
                    await self._connection.send(Data(frame.stream, self._ports.answer(pair.port, frame.data)))
                if frame.fin:
                    await self._end(frame.stream, pair)
            case Reset():
                self._data.pop(frame.stream, None)

    async def _open(self, frame: SynStream) -> None:
        headers = frame.headers
        pair = self._pairs.setdefault(headers["requestid"], _Pair(int(headers["port"])))
        pair.streams[headers["streamtype"]] = frame.stream
        await self._connection.send(SynReply(frame.stream))
        if len(pair.streams) < 2:
            return
        del self._pairs[headers["requestid"]]
        if pair.port in self._ports.open:
            self._data[pair.streams["data"]] = pair
            return
        await self._connection.send(Data(pair.streams["error"], self._ports.refusal(pair.port)))
        await self._connection.send(Reset(pair.streams["data"]))
        await self._connection.send(Reset(pair.streams["error"]))

    async def _end(self, stream: int, pair: _Pair) -> None:
        del self._data[stream]
        for each in (stream, pair.streams["error"]):
            await self._connection.send(Data(each, b"", fin=True))


async def over_channels(socket: WebSocket, ports: Ports, asked: list[int]) -> None:
    """Channels 2i and 2i+1 of the i-th port; the server first says which port each of them is."""
    with contextlib.suppress(StreamClosedError):
        for number, port in enumerate(asked):
            for channel in (2 * number, 2 * number + 1):
                await socket.send(bytes((channel,)) + port.to_bytes(2, "little"))
            if port not in ports.open:
                await socket.send(bytes((2 * number + 1,)) + ports.refusal(port))
        while (message := await socket.receive()) is not None:
            number, odd = divmod(message[0], 2) if message else (len(asked), 0)
            if number < len(asked) and not odd and asked[number] in ports.open and message[1:]:
                await socket.send(message[:1] + ports.answer(asked[number], message[1:]))
