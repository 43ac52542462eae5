"""Checks of the faults on the cluster's side: its sockets, its bytes, its name, its STS."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator

from tests.faults.world import FAULT_SECONDS, GOOD, LEAK, LIST, World
from tests.process.cluster import Behaviour, FakeCluster, answer, says
from tests.process.gateway import eventually
from tests.process.reviewing import Held

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LENGTH = HEAD + b"Content-Length: 9999\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
DRIP_SECONDS = 0.1  # between two bytes
EVENT = b'{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"1"}}}\n'
STS_GARBAGE = {
    "a web page": (200, "text/html", f"<html>{LEAK}</html>".encode()),
    "half an answer": (200, "text/xml", f"<AssumeRoleResponse><AssumeRoleResult>{LEAK}".encode()),
    "no credentials": (200, "text/xml", b"<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>"),
    "bytes, as a redirect": (302, "text/plain", b"\x00\xff" * 64 + LEAK.encode()),
}


def _reset(sock: socket.socket) -> None:
    """The next close sends RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def then_reset(data: bytes) -> Behaviour:
    def behave(cluster: FakeCluster, sock: socket.socket) -> None:
        with cluster.tls(sock) as conn:
            cluster.read_request(conn)
            conn.sendall(data)
            _reset(conn)

    return behave


def dripping(data: Callable[[], Iterator[bytes]], before: bytes) -> Behaviour:
    """A byte now and then, until the gateway has had enough."""

    def behave(cluster: FakeCluster, sock: socket.socket) -> None:
        with cluster.tls(sock) as conn:
            cluster.read_request(conn)
            conn.sendall(before)
            for piece in data():
                conn.sendall(piece)
                time.sleep(DRIP_SECONDS)

    return behave


def reset_in_a_body(world: World) -> None:
    for begun in (LENGTH, CHUNKED + b"270f\r\n"):
        world.cluster.behaviour = then_reset(begun + b'{"leak":"' + LEAK.encode())
        world.odd.refused(502)


def reset_in_a_watch(world: World) -> None:
    whole = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)

    def behave(cluster: FakeCluster, sock: socket.socket) -> None:
        with cluster.tls(sock) as conn:
            cluster.read_request(conn)
            conn.sendall(CHUNKED + whole)
            cluster.ended.acquire(timeout=FAULT_SECONDS)  # released by the client's side when it has read the event
            conn.sendall(b'fff\r\n{"type":"ADDED","object":{"leak":"' + LEAK.encode())
            _reset(conn)

    world.cluster.behaviour = behave
    gateway = world.odd.gateway
    with gateway.connect(FAULT_SECONDS) as sock:
        sock.sendall(gateway.head(f"GET {LIST}?watch=true"))
        received = b""
        while EVENT.strip() not in received:
            received += sock.recv(65536)
        world.cluster.ended.release()
        try:
            while more := sock.recv(65536):
                received += more
        except (ConnectionError, ssl.SSLError):
            pass
    assert LEAK.encode() not in received
    assert not received.endswith(b"0\r\n\r\n"), "a stream that was cut does not look finished"


def half_open(world: World) -> None:
    """The cluster is gone without a word: what was a good connection answers no more, and the next is a new one."""
    requests: list[bytes] = []

    def behave(cluster: FakeCluster, sock: socket.socket) -> None:
        with cluster.tls(sock) as conn:
            requests.append(cluster.read_request(conn))
            conn.sendall(answer(200, GOOD))
            requests.append(cluster.read_request(conn))
            cluster.wait_for_end(conn)

    world.cluster.behaviour = behave
    gateway = world.odd.gateway
    with gateway.connect(FAULT_SECONDS) as sock:
        for number, expected in enumerate((b" 200 ", b" 504 ")):
            sock.sendall(gateway.head(f"GET {LIST}?limit={number + 1}"))
            received = b""
            while b"\r\n\r\n" not in received:
                received += sock.recv(65536)
            assert expected in received.split(b"\r\n")[0]
    assert len(requests) == 2, "it is not sent again: the cluster may have done it"
    assert world.cluster.ended.acquire(timeout=FAULT_SECONDS)


def slow(world: World) -> None:
    """A head, and a body, of which each byte comes in time and the end never."""
    drips = {
        "head": dripping(lambda: (b"X" for _ in range(600)), b"HTTP/1.1 200 OK\r\nX-A: "),
        "body": dripping(lambda: (b"1\r\n{\r\n" for _ in range(600)), CHUNKED),
    }
    asking = []
    for what, drip in drips.items():
        before = len(world.cluster.received)
        world.cluster.behaviour = drip
        asking.append(Held(world.odd.gateway, "GET", f"{LIST}/slow-{what}", timeout=FAULT_SECONDS))
        eventually(lambda: len(world.cluster.received) > before)  # noqa: B023 - waited for at once
    assert [held.answer().code for held in asking] == [504, 504]


def large_headers(world: World) -> None:
    """What is not on the list of headers is not passed on, whatever its size."""
    world.cluster.behaviour = says(answer(200, GOOD, f"X-Large: {LEAK}{'x' * (1 << 20)}"))
    result = world.odd.call("GET", LIST)
    assert (result.code, result.body) == (200, GOOD)
    assert LEAK not in str(result.headers)


def more_than_announced(world: World) -> None:
    """The bytes behind a body are no answer to anybody's next request."""
    hidden = answer(200, f'{{"leak":"{LEAK}"}}'.encode())
    world.cluster.behaviour = says(answer(200, GOOD) + hidden)
    assert world.odd.call("GET", LIST).body == GOOD
    world.cluster.behaviour = says(answer(404, b'{"kind":"Status","apiVersion":"v1","code":404}'))
    assert world.odd.call("GET", f"{LIST}/next").code == 404


def name_not_found(world: World) -> None:
    before = len(world.sandbox.requests)
    world.dns("fails")
    result = world.real.refused(502)
    assert "localhost" not in result.body.decode()
    assert len(world.sandbox.requests) == before
    world.dns("")
    assert world.real.call("GET", LIST).code == 200


def resolver_hangs(world: World) -> None:
    world.dns("hangs")
    began = time.monotonic()
    world.real.refused(504)
    assert time.monotonic() - began < FAULT_SECONDS
    world.dns("")
    eventually(lambda: world.real.call("GET", LIST).code == 200, FAULT_SECONDS)


def sts_garbage(world: World) -> None:
    """The session is gone, so that a new one is needed; what STS says is no answer."""
    assert world.real.call("GET", LIST).code == 200
    world.sandbox.call(lambda cluster: cluster.sts.sessions.clear())
    for what, said in STS_GARBAGE.items():
        world.sts.says = said
        asked = world.sts.asked
        eventually(lambda: world.real.refused(503) and world.sts.asked > asked, FAULT_SECONDS)  # noqa: B023 - waited for at once
        arrived = len(world.sandbox.requests)
        world.real.refused(503)
        assert len(world.sandbox.requests) == arrived, what
    world.sts.says = None
    eventually(lambda: world.real.call("GET", LIST).code == 200, FAULT_SECONDS)
