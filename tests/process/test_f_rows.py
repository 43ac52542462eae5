"""What mitmproxy does by itself, and what the gateway makes of it. Rows of its known behaviour, F5 to F35; the others are in
test_start (F6 to F8, F10, F14, F20, F25, F27 to F30, F37), test_framing (F21, F24, F28), test_upstream (F22, F30),
test_upgrades (F12, F17, F18, F33), test_shutdown (F23), test_fail_closed (F5, F26) and test_credentials (F10)."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.io import FlowReader

from pratique.approvals.deciding import Decision
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State
from tests.process.cluster import FakeCluster, answer, says
from tests.process.gateway import Gateway, eventually, read_answer, rss
from tests.process.h2client import H2Client
from tests.process.unruly import CANARY

pytestmark = pytest.mark.process
LIST = "/api/v1/namespaces/payments/configmaps"
MIB = 1 << 20


# --- other scripts ---


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("GET", f"{LIST}/unruly-raises", 404),
        ("DELETE", "/api/v1/namespaces/unruly-raises", 403),
        ("GET", "/unruly-raises", 403),
    ],
)
def test_f05_f25_a_script_that_raises_in_every_hook_changes_nothing(
    faulty: Gateway, method: str, target: str, code: int
) -> None:
    """One exception skips every addon that was loaded by -s, for that event. The guard was not."""
    assert faulty.call(method, target).code == code
    assert faulty.call(method, target, client="").code == 401
    assert len(faulty.seen("unruly-raises")) == len(
        [None for record in faulty.seen("unruly-raises") if record.method == "GET"]
    )


def test_f05_f25_what_comes_back_is_masked_and_recorded_all_the_same(faulty: Gateway) -> None:
    listed = faulty.call("GET", "/api/v1/secrets?labelSelector=unruly-raises!%3Dx")
    assert listed.code == 200
    assert b"canary" not in listed.body
    assert "warning" in listed.headers


UNRULY = {
    "answers": ((503,), (503,)),  # later addons still run, and the interlock sees an answer that nobody masked
    "meets": ((404,), (201,)),  # the gate says where a request goes
    "streams": ((404,), (502,)),  # what is not judged yet is not dialled for
    "leaks": ((), ()),  # a stream that masking did not set up is killed
    "kills": ((), ()),
    "allows": ((403,), (403,)),  # what the script wrote is judged like what a client wrote
}


@pytest.mark.parametrize("what", UNRULY)
def test_f09_f27_what_another_script_does_to_a_flow_opens_nothing(faulty: Gateway, what: str) -> None:
    body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": f"unruly-{what}"}}
    calls = (("GET", f"{LIST}/unruly-{what}", None), ("POST", f"{LIST}?fieldManager=unruly-{what}", body))
    for (method, target, sent), codes in zip(calls, UNRULY[what], strict=True):
        if not codes:
            with pytest.raises(OSError):
                faulty.call(method, target, sent)
            continue
        result = faulty.call(method, target, sent)
        assert result.code in codes
        assert CANARY not in result.body.decode()
    for record in faulty.seen(f"unruly-{what}"):
        assert record.header("authorization") == f"Bearer {faulty.sandbox.info.static_token}"
        assert CANARY not in str(record.headers)


def test_f35_a_replayed_flow_is_refused(faulty: Gateway) -> None:
    assert faulty.call("GET", f"{LIST}/unruly-replays").code == 404
    assert faulty.call("GET", f"{LIST}/after-the-replay").code == 404
    eventually(lambda: b"identity/replay" in faulty.recorded() or b"a replayed flow" in faulty.recorded())
    assert len(faulty.seen("unruly-replays")) == 1


# --- flows ---


def test_f18_a_finished_flow_is_not_kept(faulty: Gateway) -> None:
    """Neither by the gateway nor by mitmproxy, also while the client's connection stays."""

    def flows() -> int:
        client.get("/unruly-counts")
        return int(re.findall(r"flows in memory: (\d+)", faulty.output)[-1])

    with H2Client(faulty) as client:
        client.get(LIST)
        before = flows()
        for _ in range(20):
            client.get(LIST)
            client.reset(client.request("GET", f"{LIST}?watch=true"))
        counts: list[int] = []
        with contextlib.suppress(AssertionError):
            eventually(lambda: counts.append(flows()) or counts[-1] <= before + 3)
        assert counts[-1] <= before + 3, (before, counts[-10:])


def test_f13_f18_a_reset_in_one_piece_with_its_request_ends_it(faulty: Gateway) -> None:
    """mitmproxy loses such a reset: a client could open watches without end, with no stream of its own."""

    def flows() -> int:
        client.get("/unruly-counts")
        return int(re.findall(r"flows in memory: (\d+)", faulty.output)[-1])

    name = "reset-in-one-piece"
    with H2Client(faulty) as client:
        client.settle()
        before = flows()
        client.flushes = False
        for _ in range(20):
            client.reset(client.request("GET", f"{LIST}?watch=true&fieldSelector=metadata.name%3D{name}"))
        client.flushes = True
        client.flush()
        client.get(LIST)
        eventually(lambda: flows() <= before + 3)
    assert faulty.seen(name) == []


def recorded_flows(gateway: Gateway) -> Iterator[http.HTTPFlow]:
    for path in (gateway.state / "recordings").rglob("*.flow*"):
        with path.open("rb") as file:
            for flow in FlowReader(file).stream():
                assert isinstance(flow, http.HTTPFlow)
                yield flow


def test_f11_what_is_recorded_has_plain_metadata_and_opens_in_mitmproxy(gateway: Gateway) -> None:
    gateway.call("GET", f"{LIST}/plain-metadata")
    flows = [flow for flow in recorded_flows(gateway) if "plain-metadata" in flow.request.path]
    assert flows
    for flow in flows:
        assert flow.metadata
        assert all(isinstance(value, str) for value in flow.metadata.values())
        assert flow.request.headers["authorization"] == "**scrubbed**"


def approvals(gateway: Gateway, name: str) -> list[Any]:
    store = SqliteStore(gateway.state / "approvals.sqlite")
    found = [approval for approval in store.find(time.time()) if name in approval.question.summary.path]
    for approval in found:
        if approval.state is State.PENDING:
            store.decide(approval.id, Decision.APPROVE, "alice", "", time.time())
    return found


@pytest.mark.parametrize("leaves", ["reset", "close", "goaway"])
def test_f13_f34_an_http2_client_that_leaves_while_held_sends_nothing(gateway: Gateway, leaves: str) -> None:
    """mitmproxy fires no hook for a reset stream."""
    name = f"gone-{leaves}"
    client = H2Client(gateway)
    held = client.request("DELETE", f"{LIST}/{name}")
    client.get(LIST)  # held requests hold nobody else
    eventually(lambda: _asked(gateway, name))
    if leaves == "reset":
        client.reset(held)
        client.get(LIST)
    elif leaves == "goaway":
        client.connection.close_connection()
        client.flush()
    client.sock.close()
    assert gateway.call("GET", LIST).code == 200
    assert approvals(gateway, name)  # approved too late
    gateway.call("GET", LIST)
    assert gateway.seen(name) == []


def _asked(gateway: Gateway, name: str) -> bool:
    found = SqliteStore(gateway.state / "approvals.sqlite").find(time.time())
    return any(name in approval.question.summary.path for approval in found)


@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_f13_a_client_that_leaves_while_we_connect_sends_nothing(
    before_fake: Gateway, fake: FakeCluster, protocol: str
) -> None:
    """The window between the verdict and the first byte to the cluster."""
    arrived, go, connected = threading.Event(), threading.Event(), threading.Event()

    def slow(cluster: FakeCluster, sock: socket.socket) -> None:
        arrived.set()
        go.wait(30)
        with cluster.tls(sock) as conn:
            connected.set()
            cluster.read_request(conn)

    fake.behaviour = slow
    target = f"{LIST}/left-while-connecting-{protocol}"
    if protocol == "http1":
        with before_fake.connect() as sock:
            sock.sendall(before_fake.head(f"GET {target}"))
            assert arrived.wait(30)
        assert before_fake.call("GET", "/nonsense").code == 403  # it has had the time to see that the other is gone
        go.set()
    with H2Client(before_fake) as client:
        if protocol == "http2":
            number = client.request("GET", target)
            assert arrived.wait(30)
            client.reset(number)
            assert client.get("/nonsense").status == 403
            go.set()
            assert connected.wait(30)  # the connection is there, and nobody to send for
        fake.behaviour = says(answer(200, b'{"kind":"ConfigMapList","apiVersion":"v1","items":[]}'))
        assert client.get(LIST).status == 200
    assert before_fake.seen(f"left-while-connecting-{protocol}") == []


# --- streams ---


def test_f22_250_watches_and_ordinary_requests_on_one_connection(gateway: Gateway) -> None:
    with H2Client(gateway, client="other") as client:
        client.settle()
        assert client.most_streams == 256
        watches = [
            client.request("GET", f"{LIST}?watch=true&timeoutSeconds=60&fieldSelector=metadata.name=w{n}")
            for n in range(250)
        ]
        client.wait(lambda: all(client.streams[number].status == 200 for number in watches), 120)
        for _ in range(3):
            assert client.get(LIST).status == 200
        created = client.request(
            "POST",
            LIST,
            json.dumps({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "w249"}}).encode(),
            [("content-type", "application/json")],
        )
        client.wait(lambda: client.streams[created].status == 201)
        client.wait(lambda: b"ADDED" in client.streams[watches[249]].data)
        assert not any(client.streams[number].over for number in watches)


def test_f31_a_masker_that_fails_in_a_watch_cuts_it(faulty: Gateway) -> None:
    """No proper end: a client must not take what it got for the whole."""
    target = f"{LIST}?watch=true&fieldSelector=metadata.name%3Dfault-masking-stream"
    with faulty.connect() as sock, H2Client(faulty) as client:
        sock.sendall(faulty.head(f"GET {target}"))
        received = sock.recv(65536)
        stream = client.streams[client.request("GET", target)]
        client.wait(lambda: stream.status)
        body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "fault-masking-stream"}}
        assert faulty.call("POST", LIST, body).code == 201
        received += read_answer(sock)
        client.wait(lambda: stream.over)
    assert received.startswith(b"HTTP/1.1 200")
    assert not received.endswith(b"0\r\n\r\n")
    assert stream.reset
    for seen in (received, stream.data):
        assert b'"type":"ERROR"' in seen
        assert b"fault-masking-stream" not in seen


def test_f31_a_masker_that_fails_in_a_log_cuts_it(faulty: Gateway) -> None:
    pod = faulty.call("GET", "/api/v1/namespaces/payments/pods").json["items"][0]["metadata"]["name"]
    with faulty.connect() as sock:
        sock.sendall(faulty.head(f"GET /api/v1/namespaces/payments/pods/{pod}/log?container=api&follow=true"))
        received = b""
        while b"\r\n\r\n" not in received:
            received += sock.recv(65536)
        faulty.sandbox.append_log("payments", pod, "api", "fault-masking-stream")
        received += read_answer(sock)
    assert received.startswith(b"HTTP/1.1 200")
    assert not received.endswith(b"0\r\n\r\n")
    assert b"fault-masking-stream" not in received


def test_f31_a_stream_ends_when_the_cluster_ends_it_and_not_at_an_empty_piece(
    before_fake: Gateway, fake: FakeCluster
) -> None:
    """Pieces of an event, of which the first ones show nothing yet."""
    event = b'{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"pieces"}}}\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

    def piecewise(cluster: FakeCluster, sock: socket.socket) -> None:
        with cluster.tls(sock) as conn:
            cluster.read_request(conn)
            conn.sendall(head)
            for number in range(0, 2 * len(event), 7):
                piece = (event * 2)[number : number + 7]
                conn.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            conn.sendall(b"0\r\n\r\n")

    fake.behaviour = piecewise
    assert before_fake.call("GET", f"{LIST}?watch=true").body.count(b"pieces") == 2
    with H2Client(before_fake) as client:
        stream = client.get(f"{LIST}?watch=true")
    assert stream.ended
    assert stream.data.count(b"pieces") == 2


def test_f32_what_an_http2_client_does_not_read_is_bounded(before_fake: Gateway, fake: FakeCluster) -> None:
    """Twenty-four lists of 4 MB are 96 MB; `pratique_unread` is 8 MiB here."""
    item = {"metadata": {"name": "x", "annotations": {"a": "b" * 4000}}}
    items = json.dumps({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {}, "items": [item] * 1000}).encode()
    fake.behaviour = says(answer(200, items))
    before_fake.call("GET", LIST)
    before = rss(before_fake.pid)
    with H2Client(before_fake, reads=False) as client:
        for _ in range(24):
            stream = client.streams[client.request("GET", LIST)]
            client.wait(lambda: stream.status or stream.reset)  # noqa: B023 - waited for at once
        resets = [stream.reset for stream in client.streams.values()]
        assert not resets[0]
        assert resets.count(True) >= 16
        assert rss(before_fake.pid) - before < 96 * MIB  # a list takes some while it is masked
    assert before_fake.call("GET", LIST).code == 200


def test_f32_a_watch_that_is_not_read_ends(before_fake: Gateway, fake: FakeCluster) -> None:
    event = (
        json.dumps(
            {"type": "ADDED", "object": {"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "b" * 60000}}}
        ).encode()
        + b"\n"
    )
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = []

    def endless(cluster: FakeCluster, sock: socket.socket) -> None:
        with cluster.tls(sock) as conn:
            cluster.read_request(conn)
            conn.sendall(head)
            try:
                while len(sent) < 4000:
                    conn.sendall(b"%x\r\n%s\r\n" % (len(event), event))
                    sent.append(len(event))
            finally:
                cluster.ended.release()

    fake.behaviour = endless
    with H2Client(before_fake, reads=False) as client:
        stream = client.streams[client.request("GET", f"{LIST}?watch=true")]
        client.wait(lambda: stream.reset, 120)
        assert fake.ended.acquire(timeout=60)
        assert len(sent) < 4000


# --- upgrades (the rest is in test_exec and test_upgrades) ---


def test_f12_an_upgrade_that_policy_denies_is_never_tunnelled(gateway: Gateway) -> None:
    for upgrade in ("SPDY/3.1", "websocket", "foo", "h2c"):
        for method in ("GET", "POST"):
            target = f"{method} /api/v1/namespaces/kube-system/pods/denied-upgrade/proxy?command=id"
            received = gateway.raw(
                gateway.head(
                    target, "Connection: Upgrade", f"Upgrade: {upgrade}", "X-Stream-Protocol-Version: v4.channel.k8s.io"
                )
            )
            assert received.startswith(b"HTTP/1.1 4")
    assert gateway.seen("denied-upgrade") == []


def exec_socket(gateway: Gateway, *argv: str) -> Any:
    import websocket

    pod = gateway.call("GET", "/api/v1/namespaces/payments/pods").json["items"][0]
    container = pod["spec"]["containers"][0]["name"]
    command = "&".join(f"command={word}" for word in argv)
    url = f"wss://127.0.0.1:{gateway.port}/api/v1/namespaces/payments/pods/{pod['metadata']['name']}/exec"
    return websocket.create_connection(
        f"{url}?{command}&container={container}&stdout=true&stderr=true&stdin=true",
        header=[f"Authorization: Bearer {gateway.keys['agent']}"],
        subprotocols=["v5.channel.k8s.io"],
        sslopt={"ca_certs": str(gateway.state / "mitmproxy" / "mitmproxy-ca-cert.pem")},
        timeout=60,
    )


def test_f17_f18_a_long_exec_leaves_memory_flat(gateway: Gateway) -> None:
    """mitmproxy keeps every message of a WebSocket."""
    conn = exec_socket(gateway, "head", "-c", str(4 * MIB), "/dev/zero")
    assert _drain(conn) >= 4 * MIB
    before = rss(gateway.pid)
    conn = exec_socket(gateway, "head", "-c", str(32 * MIB), "/dev/zero")
    assert _drain(conn) >= 32 * MIB
    assert rss(gateway.pid) - before < 20 * MIB


def _drain(conn: Any) -> int:
    total = 0
    while (frame := conn.recv()) and frame[0:1] != b"\x03":
        total += len(frame) - 1
    conn.close()
    return total
