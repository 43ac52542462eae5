"""HTTP/2 frames as they are given, for what no client library would send."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from tests.process.gateway import Gateway

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Headers = Iterable[tuple[bytes, bytes]]


@dataclass
class Outcome:
    """`status` 0: no answer; `reset`, `goaway`: error codes, None without one."""

    status: int = 0
    body: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    reset: int | None = None
    goaway: int | None = None

    @property
    def refused(self) -> bool:
        return self.status >= 400 or bool(self.reset) or bool(self.goaway)


class RawHttp2:
    """One connection. Headers are encoded as they are, in their order."""

    def __init__(self, gateway: Gateway) -> None:
        raw = socket.create_connection(("127.0.0.1", gateway.port), timeout=60)
        self.sock: ssl.SSLSocket = gateway.tls(("h2",)).wrap_socket(raw, server_hostname="127.0.0.1")
        assert self.sock.selected_alpn_protocol() == "h2"
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.received = b""
        self.sock.sendall(PREFACE + SettingsFrame(0).serialize())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def headers(self, stream: int, headers: Headers, *, end: bool) -> bytes:
        frame = HeadersFrame(stream, data=self.encoder.encode(list(headers)))
        frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        return frame.serialize()

    def data(self, stream: int, data: bytes, *, end: bool = True) -> bytes:
        frame = DataFrame(stream, data=data)
        if end:
            frame.flags.add("END_STREAM")
        return frame.serialize()

    def send(self, *frames: bytes) -> None:
        self.sock.sendall(b"".join(frames))

    def outcome(self, stream: int = 1) -> Outcome:
        """Reads until the stream or the connection ends."""
        found = Outcome()
        try:
            while not self._take(self._frame(), stream, found):
                continue
        except (ConnectionError, ssl.SSLError):
            found.goaway = found.goaway or -1
        return found

    def _take(self, frame: Frame | None, stream: int, found: Outcome) -> bool:
        """Whether that was the end."""
        if frame is None:
            found.goaway = found.goaway or -1
            return True
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.send(SettingsFrame(0, flags=["ACK"]).serialize())
        if isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self.send(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]).serialize())
        if isinstance(frame, GoAwayFrame):
            found.goaway = frame.error_code
            return bool(frame.error_code)
        if frame.stream_id != stream:
            return False
        if isinstance(frame, RstStreamFrame):
            found.reset = found.reset or frame.error_code
            return True
        if isinstance(frame, HeadersFrame | ContinuationFrame):
            found.headers |= {_bytes(n): _bytes(v) for n, v in self.decoder.decode(frame.data)}
            found.status = int(found.headers.get(b":status", b"0"))
        if isinstance(frame, DataFrame):
            found.body += frame.data
        return "END_STREAM" in frame.flags

    def _frame(self) -> Frame | None:
        head = self._read(9)
        if head is None:
            return None
        frame, length = Frame.parse_frame_header(memoryview(head))
        frame.parse_body(memoryview(self._read(length) or b""))
        return frame

    def _read(self, count: int) -> bytes | None:
        while len(self.received) < count:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.received += data
        taken, self.received = self.received[:count], self.received[count:]
        return taken


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value
