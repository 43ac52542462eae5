"""Whatever the cluster does: a Status, nothing of what it said, and the next request is served again."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.process.cluster import TOKEN, FakeCluster, answer, deaf, says, silent
from tests.process.gateway import Answer, Gateway, read_answer
from tests.process.h2client import H2Client

pytestmark = pytest.mark.process
LIST = "/api/v1/namespaces/payments/configmaps"
GOOD = b'{"kind":"ConfigMapList","apiVersion":"v1","metadata":{},"items":[]}'
WATCH = LIST + "?watch=true&timeoutSeconds=60"
LEAK = "upstream-bytes-CANARY"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def is_status(answer: Answer, code: int) -> None:
    assert answer.code == code, answer
    assert answer.json["kind"] == "Status"
    assert answer.json["code"] == code
    assert "retry-after" not in answer.headers
    assert LEAK not in answer.body.decode()


def still_serves(gateway: Gateway, fake: FakeCluster) -> None:
    fake.behaviour = says(answer(200, GOOD))
    assert gateway.call("GET", LIST).body == GOOD


BAD = {
    "garbage": f"{LEAK} this is not HTTP\r\n\r\n".encode(),
    "garbage-after-tls": b"\x00\x01\x02\x03" * 64 + LEAK.encode(),
    "closed-at-once": b"",
    "half-a-head": f"HTTP/1.1 200 OK\r\nX: {LEAK}".encode(),
    "truncated-chunks": CHUNKED + b"ff\r\n" + LEAK.encode(),
    "bad-chunk-size": CHUNKED + b"zz\r\n" + LEAK.encode() + b"\r\n0\r\n\r\n",
    "short-of-its-length": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n"
    + LEAK.encode(),
    "two-lengths": f"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{LEAK}".encode(),
    "both-framings": f"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{LEAK}".encode(),
    "101-unasked": f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n{LEAK}".encode(),
    "101-spdy-unasked": f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\n{LEAK}".encode(),
    "103-early-hints": f"HTTP/1.1 103 Early Hints\r\nLink: {LEAK}\r\n\r\n".encode() + answer(200, GOOD),
    "not-json": answer(200, f"{LEAK}, not JSON".encode()),
    "compressed": answer(200, LEAK.encode(), "Content-Encoding: gzip"),
    "protobuf": answer(200, b"k8s\x00" + LEAK.encode(), content_type="application/vnd.kubernetes.protobuf"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_answer_that_is_not_usable_is_a_502_and_not_shown(
    before_fake: Gateway, fake: FakeCluster, case: str
) -> None:
    fake.behaviour = says(BAD[case])
    is_status(before_fake.call("GET", LIST), 502)
    assert LEAK not in before_fake.output
    still_serves(before_fake, fake)


@pytest.mark.parametrize("case", ["garbage", "truncated-chunks", "101-unasked"])
def test_the_same_over_http2_and_on_the_same_connection(before_fake: Gateway, fake: FakeCluster, case: str) -> None:
    with H2Client(before_fake) as client:
        fake.behaviour = says(BAD[case])
        stream = client.get(LIST)
        assert stream.status == 502
        assert LEAK.encode() not in stream.data
        assert b'"kind":"Status"' in stream.data
        fake.behaviour = says(answer(200, GOOD))
        assert client.get(LIST).data == GOOD


def test_a_length_that_is_too_small_cuts_the_body_and_the_rest_is_no_answer(
    before_fake: Gateway, fake: FakeCluster
) -> None:
    second = answer(200, f'{{"leak":"{LEAK}"}}'.encode())
    fake.behaviour = says(answer(200, GOOD) + second, then_close=False)
    with before_fake.connect() as sock:
        request = before_fake.head(f"GET {LIST}")
        sock.sendall(request)
        assert GOOD in read_answer(sock)
        fake.behaviour = says(answer(404, b'{"kind":"Status","apiVersion":"v1","code":404}'))
        sock.sendall(request)
        assert b"404" in (answered := read_answer(sock))
        assert LEAK.encode() not in answered
    assert LEAK not in before_fake.output


def test_a_cluster_that_is_down_is_a_502_until_it_is_up_again(before_fake: Gateway, fake: FakeCluster) -> None:
    with H2Client(before_fake) as client:
        fake.close()
        try:
            is_status(before_fake.call("GET", LIST), 502)
            assert client.get(LIST).status == 502
        finally:
            fake.listen()
        fake.behaviour = says(answer(200, GOOD))
        assert client.get(LIST).status == 200  # mitmproxy alone goes on answering with the first failure


def test_a_cluster_that_never_answers_is_a_504(before_fake: Gateway, fake: FakeCluster) -> None:
    fake.behaviour = silent
    result = before_fake.call("POST", LIST, {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "late"}})
    is_status(result, 504)
    assert "may still" in result.json["message"]
    assert fake.ended.acquire(timeout=30)  # the upstream connection is closed
    with H2Client(before_fake) as client:
        assert client.get(LIST).status == 504
        fake.behaviour = says(answer(200, GOOD))
        assert client.get(LIST).status == 200
    still_serves(before_fake, fake)


def test_a_body_that_never_ends_is_a_504(before_fake: Gateway, fake: FakeCluster) -> None:
    fake.behaviour = says(CHUNKED + b"5\r\n{" + LEAK[:4].encode() + b"\r\n", then_close=False)
    is_status(before_fake.call("GET", LIST), 504)
    still_serves(before_fake, fake)


def test_a_cluster_that_accepts_and_speaks_no_tls_is_a_504(before_fake: Gateway, fake: FakeCluster) -> None:
    fake.behaviour = deaf
    with H2Client(before_fake) as client:
        numbers = [client.request("GET", LIST) for _ in range(3)]
        client.wait(lambda: all(client.streams[number].over for number in numbers))
        assert {client.streams[number].status for number in numbers} == {504}
    assert fake.ended.acquire(timeout=30)
    still_serves(before_fake, fake)


def test_deadlines_cut_no_watch(before_fake: Gateway, fake: FakeCluster) -> None:
    """A deadline passes in silence before the first byte, and one between two events."""
    event = b'{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"1"}}}\n'
    passed: list[int] = []

    def behave(cluster: FakeCluster, sock: socket.socket) -> None:
        with cluster.tls(sock) as conn:
            if b"watch=true" not in cluster.read_request(conn):
                cluster.wait_for_end(conn)
                return
            passed.append(before_fake.call("GET", LIST).code)
            conn.sendall(CHUNKED + b"%x\r\n%s\r\n" % (len(event), event))
            passed.append(before_fake.call("GET", LIST).code)
            conn.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(event), event))

    fake.behaviour = behave
    result = before_fake.call("GET", WATCH)
    assert passed == [504, 504]
    assert result.code == 200
    assert result.body.count(b"BOOKMARK") == 2


def test_f30_nothing_is_dialled_before_authentication(before_fake: Gateway, fake: FakeCluster) -> None:
    before = fake.accepted
    with before_fake.connect() as sock, H2Client(before_fake, client="") as client:
        assert before_fake.call("GET", LIST, client="").code == 401
        assert client.get(LIST).status == 401
        assert before_fake.call("DELETE", "/api/v1/namespaces/payments").code == 403
        sock.sendall(b"GET / HTTP/1.1\r\n")
    assert fake.accepted == before
    still_serves(before_fake, fake)
    assert fake.accepted == before + 1


def test_a_connection_without_a_valid_request_is_closed(before_fake: Gateway) -> None:
    """Nothing sent, a handshake or a head that does not end, a wrong key. Who has called before may be silent."""
    known = before_fake.connect()
    known.sendall(before_fake.head("GET /nonsense"))
    assert b" 403 " in read_answer(known)
    begun: list[socket.socket] = [
        socket.create_connection(("127.0.0.1", before_fake.port), timeout=60) for _ in range(2)
    ]
    begun[1].sendall(b"\x16\x03\x01\x02\x00")
    half, stranger = before_fake.connect(), before_fake.connect()
    half.sendall(before_fake.head(f"GET {LIST}")[:-2])
    stranger.sendall(before_fake.head(f"GET {LIST}", client=""))
    assert b" 401 " in read_answer(stranger)
    for sock in (*begun, half, stranger):
        assert _ends(sock)
    known.sendall(before_fake.head("GET /nonsense"))
    assert b" 403 " in read_answer(known)
    known.close()


def _ends(sock: socket.socket) -> bool:
    try:
        return sock.recv(65536) == b""
    except ConnectionError:
        return True


def test_f22_an_http2_cluster_with_few_streams_does_not_stall(make_gateway, tmp_path: Path) -> None:
    from tests.process.h2cluster import serve

    cluster = FakeCluster(tmp_path / "cluster", alpn=("h2",))
    cluster.behaviour = serve
    gateway = make_gateway(sandbox=cluster, cluster={}).start()
    with H2Client(gateway) as client:
        client.settle()
        watches = [client.request("GET", f"{WATCH}&fieldSelector=metadata.name={n}") for n in range(130)]
        client.wait(lambda: all(client.streams[n].status == 200 for n in watches))
        assert [client.get(LIST).status for _ in range(3)] == [200, 200, 200]  # the first connection is full
        assert not any(client.streams[n].over for n in watches)
    assert cluster.accepted < 10


def test_no_door_shows_the_token(before_fake: Gateway, fake: FakeCluster) -> None:
    """A cluster that sends back what it got, in every place."""

    def echo(cluster: FakeCluster, sock: socket.socket) -> None:
        with cluster.tls(sock) as conn:
            cluster.read_request(conn)
            conn.sendall(
                answer(500, b'{"kind":"Status","message":"no"}', f"Authorization: Bearer {TOKEN}", f"X-E: {TOKEN}")
            )

    fake.behaviour = echo
    result = before_fake.call("GET", LIST)
    assert result.code == 500
    assert TOKEN not in str(result)
    assert TOKEN.encode() not in before_fake.recorded()


def test_a_head_without_end_is_a_502(before_fake: Gateway, fake: FakeCluster) -> None:
    def behave(cluster: FakeCluster, sock: socket.socket) -> None:
        with cluster.tls(sock) as conn:
            cluster.read_request(conn)
            conn.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
            for _ in range(200):  # 12.5 MiB
                conn.sendall(b"x" * 65536)

    fake.behaviour = behave
    is_status(before_fake.call("GET", LIST), 502)
    still_serves(before_fake, fake)
