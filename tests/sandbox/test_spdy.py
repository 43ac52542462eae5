"""Exec over SPDY and port-forward: the wire of exec-protocol.md §3 and §4. Real kubectl drives both in the e2e tests."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import websocket

from pratique.kube.spdy import Data, Frame, GoAway, Ping, Reset, SpdyDecoder, SpdyEncoder, SynReply, SynStream
from tests.sandbox.kit import TIMEOUT, TOKEN, Client, pod

OK = b'{"metadata":{},"status":"Success"}'


class Spdy:
    """A connection after `Upgrade: SPDY/3.1`."""

    def __init__(self, client: Client, path: str, *protocols: str) -> None:
        context = ssl.create_default_context(cafile=client.info.ca_path)
        raw = socket.create_connection(("127.0.0.1", client.info.port), timeout=TIMEOUT)
        self.socket = context.wrap_socket(raw, server_hostname="127.0.0.1")
        lines = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", "Connection: Upgrade"]
        lines += [
            "Upgrade: SPDY/3.1",
            "Content-Length: 0",
            *(f"X-Stream-Protocol-Version: {each}" for each in protocols),
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.head = b""
        while b"\r\n\r\n" not in self.head:
            self.head += self.socket.recv(1)
        self._decoder, self._encoder = SpdyDecoder(), SpdyEncoder()
        self.frames: list[Frame] = []

    def send(self, *frames: Frame) -> None:
        self.socket.sendall(b"".join(map(self._encoder.encode, frames)))

    def read_until(self, done: Callable[[], Any]) -> None:
        while not done():
            data = self.socket.recv(65536)
            assert data, self.frames
            self.frames += self._decoder.feed(data)

    def output(self, stream: int) -> bytes:
        return b"".join(each.data for each in self.frames if isinstance(each, Data) and each.stream == stream)


@pytest.fixture
def path(client: Client, namespace: str) -> str:
    made = pod()
    made["spec"]["containers"][0]["ports"] = [{"containerPort": 8080}]
    client.ok("POST", f"/api/v1/namespaces/{namespace}/pods", made)
    return f"/api/v1/namespaces/{namespace}/pods/p"


def test_the_frames_of_an_exec_with_stdin(client: Client, path: str) -> None:
    spdy = Spdy(
        client, path + "/exec?command=cat&stdin=true&stdout=true&stderr=true", "v5.channel.k8s.io", "v4.channel.k8s.io"
    )
    assert spdy.head.startswith(b"HTTP/1.1 101")
    assert b"X-Stream-Protocol-Version: v4.channel.k8s.io" in spdy.head
    kinds = ("error", "stdin", "stdout", "stderr")
    spdy.send(*(SynStream(2 * number + 1, {"streamtype": kind}) for number, kind in enumerate(kinds)))
    spdy.send(Ping(1), Data(3, b"hello"), Data(3, b"", fin=True))
    spdy.read_until(lambda: any(isinstance(each, GoAway) for each in spdy.frames))
    assert spdy.frames[:4] == [SynReply(number) for number in (1, 3, 5, 7)]
    assert Ping(1) in spdy.frames
    assert (spdy.output(5), spdy.output(1)) == (b"hello", OK)
    assert {each.stream for each in spdy.frames if isinstance(each, Reset)} == {1, 3, 5, 7}


def test_an_exec_over_an_unknown_protocol_is_refused(client: Client, path: str) -> None:
    assert Spdy(client, path + "/exec?command=ls&stdout=true", "v1.channel.k8s.io").head.startswith(b"HTTP/1.1 400")


def pair(number: int, port: int) -> list[SynStream]:
    headers = {"port": str(port), "requestid": str(number)}
    return [SynStream(4 * number + 1 + 2 * odd, {"streamtype": ("error", "data")[odd], **headers}) for odd in (0, 1)]


def test_ports_are_forwarded_and_refused_over_spdy(client: Client, path: str) -> None:
    spdy = Spdy(client, path + "/portforward", "portforward.k8s.io")
    spdy.send(*pair(0, 8080), Data(3, b"echo"), *pair(1, 9), *pair(2, 8080), Data(11, b"GET / HTTP/1.1\r\n\r\n"))
    spdy.read_until(lambda: b"port 8080" in spdy.output(11) and Reset(5) in spdy.frames)
    assert spdy.output(3) == b"echo"
    assert b"Connection refused" in spdy.output(5)
    spdy.send(Data(3, b"", fin=True))
    spdy.read_until(lambda: Data(3, b"", fin=True) in spdy.frames and Data(1, b"", fin=True) in spdy.frames)


def forward(client: Client, path: str, protocol: str) -> websocket.WebSocket:
    return websocket.create_connection(
        f"wss://127.0.0.1:{client.info.port}{path}", timeout=TIMEOUT, subprotocols=[protocol],
        header=[f"Authorization: Bearer {TOKEN}"], sslopt={"ca_certs": client.info.ca_path, "cert_reqs": ssl.CERT_REQUIRED},
    )  # fmt: skip


def test_spdy_inside_websocket_messages_whose_borders_mean_nothing(client: Client, path: str) -> None:
    session = forward(client, path + "/portforward", "SPDY/3.1+portforward.k8s.io")
    encoder, decoder = SpdyEncoder(), SpdyDecoder()
    data = b"".join(map(encoder.encode, [*pair(0, 8080), Data(3, b"echo")]))
    for at in range(0, len(data), 7):
        session.send_binary(data[at : at + 7])
    echoed = b""
    while echoed != b"echo":
        found = decoder.feed(session.recv_data()[1])
        echoed += b"".join(each.data for each in found if isinstance(each, Data) and each.stream == 3)
    session.close()


def test_channels_announce_their_ports(client: Client, path: str) -> None:
    session = forward(client, path + "/portforward?ports=8080&ports=9", "v4.channel.k8s.io")
    found = [session.recv_data()[1] for _ in range(5)]
    assert found[:4] == [b"\x00\x90\x1f", b"\x01\x90\x1f", b"\x02\x09\x00", b"\x03\x09\x00"]
    assert found[4].startswith(b"\x03error forwarding port 9")
    session.send_binary(b"\x00echo")
    assert session.recv_data()[1] == b"\x00echo"
    session.close()
