"""Clients of upgraded connections, frame by frame, on a real TLS connection to the gateway."""

from __future__ import annotations

import json
import ssl
import time
from typing import Any
from urllib.parse import quote

from pratique.kube.spdy import Data, Frame, SpdyDecoder, SpdyEncoder, SynStream
from pratique.kube.websocket import BINARY, CLOSE, PONG, FrameDecoder, close_code, close_payload, frame
from tests.process.gateway import Gateway

KEY = b"\x01\x02\x03\x04"
V4, V5, TUNNEL = "v4.channel.k8s.io", "v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"
KUBECTL = ("User-Agent", "kubectl/v1.36.2 (linux/amd64) kubernetes/abcdef0")
WAIT_SECONDS = 60


def exec_target(pod: str, *argv: str, streams: str = "stdout=true&stderr=true", namespace: str = "payments") -> str:
    command = "&".join(f"command={quote(part, safe='')}" for part in argv)
    return f"/api/v1/namespaces/{namespace}/pods/{pod}/exec?{command}&{streams}"


class Upgraded:
    """A connection after its handshake; `code` is not 101 where it was refused, `body` is then the Status."""

    def __init__(
        self, gateway: Gateway, method: str, target: str, headers: list[tuple[str, str]], client: str = "agent"
    ) -> None:
        self.socket = gateway.connect(WAIT_SECONDS)
        lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {gateway.keys[client]}"]
        lines += [f"{name}: {value}" for name, value in (*headers, ("Connection", "Upgrade"))]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = self.socket.recv(65536)
            assert chunk, received
            received += chunk
        head, _, self.early = received.partition(b"\r\n\r\n")
        self.code = int(head.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])

    @property
    def body(self) -> Any:
        while len(self.early) < int(self.headers.get("content-length", "0")):
            self.early += self.socket.recv(65536)
        return json.loads(self.early)

    def read(self) -> bytes:
        """b"" once the gateway has closed."""
        if self.early:
            data, self.early = self.early, b""
            return data
        try:
            return self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError):
            return b""

    def close(self) -> None:
        self.socket.close()


class WebSocketClient(Upgraded):
    """`messages` are those that came so far."""

    def __init__(self, gateway: Gateway, target: str, *protocols: str, client: str = "agent", more: Any = ()) -> None:
        headers = [
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Protocol", ", ".join(protocols or (V5,))),
            *more,
        ]
        super().__init__(gateway, "GET", target, headers, client)
        self._decoder = FrameDecoder(from_client=False)
        self._building = b""
        self.messages: list[bytes] = []
        self.pongs: list[bytes] = []
        self.closed: int | None = None

    def send(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.socket.sendall(frame(BINARY, payload, KEY))

    def _receive(self) -> bool:
        """False at the end."""
        data = self.read()
        for part in self._decoder.feed(data):
            if part.opcode == CLOSE:
                self.closed = close_code(part.data)
                self.socket.sendall(frame(CLOSE, close_payload(1000), KEY))
                return False
            if part.opcode == PONG:
                self.pongs.append(part.data)
            if part.opcode == BINARY:
                self._building += part.data
                if part.last:
                    self.messages.append(self._building)
                    self._building = b""
        return bool(data)

    def finish(self) -> WebSocketClient:
        """Reads to the end."""
        while self._receive():
            pass
        self.close()
        return self

    def wait_for(self, text: bytes, channel: int = 1) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while text not in self.output(channel):
            assert self._receive() and time.monotonic() < deadline, self.messages

    def output(self, channel: int) -> bytes:
        return b"".join(message[1:] for message in self.messages if message[:1] == bytes((channel,)))

    @property
    def status(self) -> Any:
        return json.loads(self.output(3))


class SpdyClient(Upgraded):
    """Opens streams as client-go does."""

    def __init__(self, gateway: Gateway, target: str, *protocols: str, client: str = "agent", more: Any = ()) -> None:
        versions = [("X-Stream-Protocol-Version", protocol) for protocol in protocols or (V5, V4)]
        headers = [("Upgrade", "SPDY/3.1"), ("Content-Length", "0"), *versions, *more]
        super().__init__(gateway, "POST", target, headers, client)
        self._decoder, self._encoder = SpdyDecoder(), SpdyEncoder()
        self.frames: list[Frame] = []

    def send(self, *frames: Frame) -> None:
        self.socket.sendall(b"".join(map(self._encoder.encode, frames)))

    def open(self, *kinds: str) -> dict[str, int]:
        """Streams 1, 3, 5 … of these types."""
        streams = {kind: 2 * number + 1 for number, kind in enumerate(kinds)}
        self.send(*(SynStream(stream, {"streamtype": kind}) for kind, stream in streams.items()))
        return streams

    def finish(self) -> SpdyClient:
        """Reads to the end."""
        while data := self.read():
            self.frames += self._decoder.feed(data)
        self.close()
        return self

    def wait_for(self, text: bytes, stream: int) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while text not in self.output(stream):
            data = self.read()
            assert data and time.monotonic() < deadline, self.frames
            self.frames += self._decoder.feed(data)

    def output(self, stream: int) -> bytes:
        return b"".join(each.data for each in self.frames if isinstance(each, Data) and each.stream == stream)
