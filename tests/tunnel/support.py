"""Both ends of a tunnel session, without a network: what they send goes in, what they would receive is decoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pratique.errors import Refused
from pratique.kube.spdy import Data, Frame, SpdyDecoder, SpdyEncoder
from pratique.kube.websocket import BINARY, CLOSE, FrameDecoder, frame
from pratique.tunnel.session import Event, Output, Session, Step, Terms
from pratique.tunnel.waiting import Notice

KEY = b"\x0a\x0b\x0c\x0d"
TERMS = Terms(started=100.0, duration=3600.0, key=lambda: KEY)
KILLED = Refused(403, "Forbidden", "because the test says so", rule="test/killed")


class Plain:
    """An `Output` that masks no output and holds nothing back; in the Status and in texts it masks the word `secret`."""

    waits = False

    def feed(self, channel: int, data: bytes) -> bytes:
        return data

    def flush(self) -> dict[int, bytes]:
        return {}

    def close(self, channel: int) -> bytes:
        return b""

    def status(self, data: bytes) -> bytes:
        return data.replace(b"secret", b"******")

    def text(self, data: bytes) -> bytes:
        return data.replace(b"secret", b"******")


class Talk:
    """One session, its two ends, and a clock that stands still unless it is moved."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.now = TERMS.started
        self.to_client, self.to_server = b"", b""
        self.events: list[Event] = []
        self.server_closed = self.client_closed = False

    def _apply(self, step: Step) -> None:
        self.to_client += b"".join(step.to_client)
        self.to_server += b"".join(step.to_server)
        self.events += step.events
        self.server_closed |= step.close_server
        self.client_closed |= step.close_client

    def client_sends(self, data: bytes) -> None:
        self._apply(self.session.from_client(data, self.now))

    def server_sends(self, data: bytes) -> None:
        self._apply(self.session.from_server(data, self.now))

    def client_leaves(self) -> None:
        self._apply(self.session.client_left(self.now))

    def server_leaves(self) -> None:
        self._apply(self.session.server_left(self.now))

    def waits(self, notice: Notice) -> None:
        self._apply(self.session.wait(notice, self.now))

    def attaches(self, output: Output) -> None:
        self._apply(self.session.attach(output, self.now))

    def kill(self) -> None:
        self._apply(self.session.end(KILLED, self.now))

    def wait(self, seconds: float) -> None:
        """Time passes, and the session is woken when it wants to be."""
        end = self.now + seconds
        while (due := self.session.deadline) is not None and due <= end:
            self.now = max(self.now, due)
            self._apply(self.session.tick(self.now))
        self.now = end
        self._apply(self.session.tick(self.now))


class WebSocketTalk(Talk):
    """Over WebSocket."""

    def client(self, *payloads: bytes, opcode: int = BINARY) -> WebSocketTalk:
        for payload in payloads:
            self.client_sends(frame(opcode, payload, KEY))
        return self

    def server(self, *payloads: bytes, opcode: int = BINARY) -> WebSocketTalk:
        for payload in payloads:
            self.server_sends(frame(opcode, payload))
        return self

    @property
    def shown(self) -> list[tuple[int, bytes]]:
        """What the client received; decoding it proves that it is well-formed and unmasked."""
        return messages(self.to_client, from_client=False)

    @property
    def sent(self) -> list[tuple[int, bytes]]:
        """What the server received; decoding it proves that it is masked and unfragmented."""
        return messages(self.to_server, from_client=True)

    @property
    def payloads(self) -> list[bytes]:
        """The data messages that the server received."""
        return [payload for opcode, payload in self.sent if opcode == BINARY]

    def output(self, channel: int) -> bytes:
        return b"".join(data[1:] for opcode, data in self.shown if opcode == BINARY and data[:1] == bytes((channel,)))

    @property
    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.output(3)))

    @property
    def close_codes(self) -> tuple[list[bytes], list[bytes]]:
        """Of the close frames that client and server received."""
        return [d for o, d in self.shown if o == CLOSE], [d for o, d in self.sent if o == CLOSE]


def messages(data: bytes, *, from_client: bool) -> list[tuple[int, bytes]]:
    """Whole messages, each of one frame."""
    decoder = FrameDecoder(from_client=from_client)
    parts = list(decoder.feed(data))
    assert all(part.first and part.last for part in parts)
    assert decoder.buffered == 0
    return [(part.opcode, part.data) for part in parts]


class SpdyTalk(Talk):
    """Over SPDY."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._client_encoder, self._server_encoder = SpdyEncoder(), SpdyEncoder()

    def client(self, *frames: Frame) -> SpdyTalk:
        for each in frames:
            self.client_sends(self._client_encoder.encode(each))
        return self

    def server(self, *frames: Frame) -> SpdyTalk:
        for each in frames:
            self.server_sends(self._server_encoder.encode(each))
        return self

    @property
    def shown(self) -> list[Frame]:
        return list(SpdyDecoder().feed(self.to_client))

    @property
    def sent(self) -> list[Frame]:
        return list(SpdyDecoder().feed(self.to_server))

    def output(self, stream: int) -> bytes:
        return b"".join(each.data for each in self.shown if isinstance(each, Data) and each.stream == stream)


def per_channel(found: list[tuple[int, bytes]]) -> list[tuple[int, int, bytes]]:
    """(opcode, channel, bytes) with neighbours of one channel joined: where output is cut means nothing."""
    joined: list[tuple[int, int, bytes]] = []
    for opcode, payload in found:
        channel, data = (payload[0], payload[1:]) if opcode == BINARY and payload else (-1, payload)
        if joined and opcode == BINARY and joined[-1][:2] == (opcode, channel) and channel >= 0:
            joined[-1] = (opcode, channel, joined[-1][2] + data)
        else:
            joined.append((opcode, channel, data))
    return joined


type NewSession = Callable[[], Session]
