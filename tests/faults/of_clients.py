"""Checks of the faults on the clients' side: slow, large, half gone, or with a TLS trick."""

from __future__ import annotations

import contextlib
import socket
import time

from hyperframe.frame import ContinuationFrame, Frame, HeadersFrame
from OpenSSL import SSL

from tests.faults.world import FAULT_SECONDS, LIST, World
from tests.process.gateway import Gateway, read_answer
from tests.process.raw_http2 import RawHttp2

MIB = 1 << 20
FRAME = 16384  # bytes; the largest that HTTP/2 takes unasked


def slow(world: World) -> None:
    """A handshake, and a head, of which each byte comes in time and the end never."""
    gateway, before = world.odd.gateway, world.cluster.accepted
    handshake = socket.create_connection(("127.0.0.1", gateway.port))
    handshake.sendall(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03")
    head = gateway.connect()
    head.sendall(gateway.head(f"GET {LIST}")[:-2] + b"X-A: ")
    open_ones, deadline = {handshake, head}, time.monotonic() + FAULT_SECONDS
    while open_ones and time.monotonic() < deadline:
        open_ones -= {sock for sock in open_ones if _closed(sock, b"a")}
    assert not open_ones, "it is not closed"
    assert world.cluster.accepted == before


def _closed(sock: socket.socket, piece: bytes) -> bool:
    """Sends one more piece; whether the gateway has closed."""
    sock.settimeout(0.1)
    try:
        sock.sendall(piece)
        return not sock.recv(65536)
    except TimeoutError:
        return False
    except OSError:
        return True


def large_headers(world: World) -> None:
    gateway, before = world.odd.gateway, world.cluster.accepted
    with gateway.connect() as sock:
        with contextlib.suppress(OSError):  # it may close before it has read everything
            sock.sendall(gateway.head(f"GET {LIST}", f"X-Large: {'x' * MIB}"))
        answered = b""
        with contextlib.suppress(OSError):
            answered = read_answer(sock)
    assert not answered or b" 431 " in answered.split(b"\r\n")[0]
    assert world.cluster.accepted == before


def large_headers_http2(world: World) -> None:
    gateway, before = world.odd.gateway, world.cluster.accepted
    fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", LIST.encode())]
    fields += [(b"authorization", f"Bearer {gateway.keys['agent']}".encode()), (b"x-large", b"x" * MIB)]
    with RawHttp2(gateway) as client:
        block = client.encoder.encode(fields, huffman=False)
        pieces = [block[start : start + FRAME] for start in range(0, len(block), FRAME)]
        frames: list[Frame] = [HeadersFrame(1, data=pieces[0], flags=["END_STREAM"])]
        frames += [ContinuationFrame(1, data=piece) for piece in pieces[1:]]
        frames[-1].flags.add("END_HEADERS")
        with contextlib.suppress(OSError):  # it may close before it has read everything
            client.send(*(frame.serialize() for frame in frames))
        assert client.outcome().refused
    assert world.cluster.accepted == before


def half_closed(world: World) -> None:
    """A client that says goodbye in the middle of its body has asked for nothing."""
    gateway, before = world.odd.gateway, len(world.cluster.received)
    raw = socket.create_connection(("127.0.0.1", gateway.port), timeout=FAULT_SECONDS)
    with gateway.tls().wrap_socket(raw, server_hostname="127.0.0.1") as sock:
        sock.sendall(gateway.head(f"POST {LIST}", "Content-Type: application/json", "Content-Length: 999") + b'{"a":')
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while sock.recv(65536):
                pass
    assert len(world.cluster.received) == before


def _tls12(gateway: Gateway) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.load_verify_locations(str(gateway.state / "mitmproxy" / "mitmproxy-ca-cert.pem"))
    raw = socket.create_connection(("127.0.0.1", gateway.port))
    raw.settimeout(None)
    connection = SSL.Connection(context, raw)
    connection.set_connect_state()
    connection.do_handshake()
    return connection


def renegotiation(world: World) -> None:
    """CVE-2009-3555 and floods of handshakes: a second handshake on a connection is not taken."""
    gateway, before = world.odd.gateway, len(world.cluster.received)
    connection = _tls12(gateway)
    assert connection.get_protocol_version_name() == "TLSv1.2"
    half = gateway.head(f"GET {LIST}")
    connection.sendall(half[:-2])
    refused = ""
    try:
        assert connection.renegotiate()
        connection.do_handshake()
        connection.sendall(half[-2:])
        connection.recv(65536)
    except SSL.Error as error:
        refused = str(error)
    assert "no renegotiation" in refused or "EOF" in refused, refused
    connection.close()
    assert len(world.cluster.received) == before
