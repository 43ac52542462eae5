"""A cluster that says GOAWAY, as kube-apiserver does with each 401 and when it is updated, loses nothing that it has begun."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from hyperframe.frame import GoAwayFrame

from tests.process.cluster import FakeCluster
from tests.process.gateway import Gateway, eventually
from tests.process.h2client import H2Client

pytestmark = pytest.mark.process
LIST = "/api/v1/namespaces/payments/configmaps"
BODY = b'{"kind":"ConfigMapList","apiVersion":"v1","metadata":{},"items":[]}'
UNAUTHORIZED = b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}'
ANY = (1 << 31) - 1
"""What Go's server says first: it looks at whatever is on its way."""


def goaway(last: int, error: int = 0) -> bytes:
    return GoAwayFrame(0, last_stream_id=last, error_code=error).serialize()


def cluster_that(answers: Callable[[Any, Any, int], None]) -> Callable[[FakeCluster, socket.socket], None]:
    """`answers(socket, h2 connection, stream)` is called for each request."""

    def serve(cluster: FakeCluster, sock: socket.socket) -> None:
        with cluster.tls(sock) as conn:
            connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
            connection.initiate_connection()
            conn.sendall(connection.data_to_send())
            while data := conn.recv(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        answers(conn, connection, event.stream_id)
                conn.sendall(connection.data_to_send())
            cluster.ended.release()

    return serve


def send(conn: Any, connection: Any, stream: int, code: bytes, body: bytes) -> None:
    connection.send_headers(stream, [(b":status", code), (b"content-type", b"application/json")])
    connection.send_data(stream, body, end_stream=True)
    conn.sendall(connection.data_to_send())


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeCluster, Gateway]]:
    folder = tmp_path_factory.mktemp("going-away")
    cluster = FakeCluster(folder / "cluster", alpn=("h2",))
    gateway = Gateway(folder / "gateway", cluster).start()
    yield cluster, gateway
    gateway.stop()


def test_a_refused_credential_is_recognised_although_the_cluster_goes_away(before) -> None:
    cluster, gateway = before

    def refuse(conn: Any, connection: Any, stream: int) -> None:
        conn.sendall(goaway(ANY))
        send(conn, connection, stream, b"401", UNAUTHORIZED)
        conn.sendall(goaway(stream))

    cluster.behaviour = cluster_that(refuse)
    with H2Client(gateway) as client:
        for _ in range(2):
            stream = client.get(LIST)
            assert stream.status == 503
            assert b"refused the gateway's credential" in bytes(stream.data)


def test_what_was_begun_is_answered_and_what_comes_then_takes_another_connection(before) -> None:
    cluster, gateway = before
    held: list[Callable[[], None]] = []

    def slow(conn: Any, connection: Any, stream: int) -> None:
        if held:
            send(conn, connection, stream, b"200", BODY)
            return
        conn.sendall(goaway(ANY))
        held.append(lambda: send(conn, connection, stream, b"200", BODY))

    cluster.behaviour = cluster_that(slow)
    accepted = cluster.accepted
    with H2Client(gateway) as client:
        client.settle()
        number = client.request("GET", f"{LIST}/begun")
        eventually(lambda: held)
        # The frame may still be on its way: what comes meanwhile is answered, too.
        eventually(lambda: client.get(LIST).status == 200 and cluster.accepted == accepted + 2)
        assert not client.streams[number].over
        held[0]()
        client.wait(lambda: client.streams[number].over)
        assert (client.streams[number].status, bytes(client.streams[number].data)) == (200, BODY)


@pytest.mark.parametrize("frame", [goaway(0), goaway(ANY, 2)], ids=["not-looked-at", "error"])
def test_what_was_not_begun_is_a_status(before, frame: bytes) -> None:
    cluster, gateway = before
    cluster.behaviour = cluster_that(lambda conn, connection, stream: conn.sendall(frame))
    with H2Client(gateway) as client:
        for _ in range(2):
            stream = client.get(LIST)
            assert stream.status == 502
            assert b'"kind":"Status"' in bytes(stream.data)
