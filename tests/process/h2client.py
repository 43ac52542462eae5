"""An HTTP/2 client of one connection, on the h2 library: many streams at once, resets, windows that stay closed."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.process.gateway import Gateway


@dataclass
class Stream:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    ended: bool = False
    reset: bool = False

    @property
    def over(self) -> bool:
        return self.ended or self.reset


class H2Client:
    """`reads`: whether what comes is acknowledged, so that the other side's window opens again."""

    def __init__(
        self, gateway: Gateway, client: str = "agent", *, reads: bool = True, context: ssl.SSLContext | None = None
    ) -> None:
        raw = socket.create_connection(("127.0.0.1", gateway.port), timeout=60)
        self.sock = (context or gateway.tls(("h2",))).wrap_socket(raw, server_hostname="127.0.0.1")
        assert self.sock.selected_alpn_protocol() == "h2"
        self._key = gateway.keys.get(client, "")
        self._reads = reads
        config = h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.streams: dict[int, Stream] = {}
        self.closed = False
        self.flushes = True
        """False: what is sent waits, so that it leaves in one piece."""
        self.most_streams = 0
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def flush(self) -> None:
        if self.flushes:
            self.sock.sendall(self.connection.data_to_send())

    def settle(self) -> None:
        """Until the gateway has said how many streams it takes."""
        self.wait(lambda: self.most_streams)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = (), *, end: bool = True
    ) -> int:
        """Sends a request; the number of its stream."""
        number = self.connection.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "https"), (":authority", "gateway"), (":path", path)]
        if self._key:
            fields.append(("authorization", f"Bearer {self._key}"))
        self.connection.send_headers(number, [*fields, *headers], end_stream=end and not body)
        if body:
            self.connection.send_data(number, body, end_stream=end)
        self.streams[number] = Stream()
        self.flush()
        return number

    def reset(self, number: int) -> None:
        self.connection.reset_stream(number, 8)
        self.flush()

    def wait(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"it did not happen: {self.streams}"
            assert not self.closed, f"the connection was closed: {self.streams}"
            self._receive()

    def wait_for_end(self, stream: Stream) -> None:
        """Of a stream, or of the whole connection."""
        deadline = time.monotonic() + 60
        while not stream.over and not self.closed:
            assert time.monotonic() < deadline
            self._receive()

    def get(self, path: str) -> Stream:
        stream = self.streams[self.request("GET", path)]
        self.wait(lambda: stream.over)
        return stream

    def _receive(self) -> None:
        self.sock.settimeout(0.1)
        try:
            data = self.sock.recv(1 << 20)
        except TimeoutError:
            return
        except OSError:
            data = b""
        finally:
            self.sock.settimeout(60)
        self.closed = not data
        for event in self.connection.receive_data(data) if data else []:
            self._handle(event)
        if not self.closed:
            self.flush()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            changed = event.changed_settings.get(h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS)
            self.most_streams = changed.new_value if changed else self.most_streams
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.closed = True
        stream = self.streams.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = dict(event.headers)
            stream.status = int(stream.headers[":status"])
        elif isinstance(event, h2.events.DataReceived):
            stream.data += event.data
            if self._reads:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = True
