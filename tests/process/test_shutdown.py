"""F23 and the end of the process: streams end properly, what is finished is recorded, what is held is not executed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pratique.approvals.deciding import Decision
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State
from tests.process.cluster import FakeCluster, silent
from tests.process.gateway import ROOT, Gateway, eventually, read_answer
from tests.process.h2client import H2Client

pytestmark = pytest.mark.process
LIST = "/api/v1/namespaces/payments/configmaps"
FINISHED = 20


def verify(gateway: Gateway) -> None:
    """`pratique sessions verify`: nothing is missing and nothing was changed."""
    command = [sys.executable, "-m", "pratique.cli", "sessions", "verify", "--state", str(gateway.state)]
    done = subprocess.run(command, env=gateway.surroundings(), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def finish_some(gateway: Gateway) -> None:
    for number in range(FINISHED):
        assert gateway.call("GET", f"{LIST}/finished-{number:02}").code == 404


def is_all_recorded(gateway: Gateway) -> None:
    recorded = b"".join(path.read_bytes() for path in (gateway.state / "recordings").rglob("*") if path.is_file())
    assert len(set(re.findall(rb"finished-\d\d", recorded))) == FINISHED


def asked(gateway: Gateway, name: str) -> bool:
    store = SqliteStore(gateway.state / "approvals.sqlite")
    return any(name in approval.question.summary.path for approval in store.find(time.time(), [State.PENDING]))


def approve(gateway: Gateway, name: str) -> None:
    store = SqliteStore(gateway.state / "approvals.sqlite")
    for approval in store.find(time.time(), [State.PENDING]):
        if name in approval.question.summary.path:
            store.decide(approval.id, Decision.APPROVE, "alice", "", time.time())


def test_f23_sigterm_ends_streams_properly_and_executes_nothing_held(make_gateway) -> None:
    gateway = make_gateway(hold=40, drain=20).start()
    finish_some(gateway)
    pod = gateway.call("GET", "/api/v1/namespaces/payments/pods").json["items"][0]["metadata"]["name"]
    watch, log = gateway.connect(), gateway.connect()
    watch.sendall(gateway.head(f"GET {LIST}?watch=true&timeoutSeconds=300"))
    log.sendall(gateway.head(f"GET /api/v1/namespaces/payments/pods/{pod}/log?container=api&follow=true"))
    begun = {sock: sock.recv(65536) for sock in (watch, log)}
    long = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "long"}, "data": {"a": "b" * 300_000}}
    place = LIST.replace("payments", "default")  # not in the lists of other tests
    assert gateway.call("POST", place, long).code == 201
    client = H2Client(gateway)  # its window is 64 KiB, and nobody reads while the gateway stops
    stream = client.streams[client.request("GET", f"{place}?watch=true&timeoutSeconds=300")]
    client.wait(lambda: stream.status)
    held: list[str] = []
    holding = threading.Thread(target=lambda: held.append(gateway.call("DELETE", f"{LIST}/held-at-the-end").reason))
    holding.start()
    eventually(lambda: asked(gateway, "held-at-the-end"))

    gateway.process.send_signal(signal.SIGTERM)
    for sock, data in begun.items():
        received = data
        while not received.endswith(b"\r\n0\r\n\r\n"):
            more = sock.recv(65536)
            assert more, received
            received += more
    holding.join(30)
    with pytest.raises(subprocess.TimeoutExpired):
        gateway.process.wait(2)  # somebody has not been sent everything yet
    client.wait_for_end(stream)
    gateway.ended(0)

    assert stream.ended
    assert b"b" * 300_000 in stream.data
    approve(gateway, "held-at-the-end")
    assert held == ["TooManyRequests"], "it is told to repeat it, elsewhere"
    assert gateway.seen("held-at-the-end") == []
    is_all_recorded(gateway)
    verify(gateway)
    assert (
        "addons/pratique/" not in gateway.output
    )  # no traceback of ours; asyncio of Python 3.12.1 logs one of its own


def test_sigkill_loses_no_finished_flow_and_the_next_start_mends(make_gateway) -> None:
    gateway = make_gateway(hold=40).start()
    finish_some(gateway)
    with H2Client(gateway) as client:
        watch = client.streams[client.request("GET", f"{LIST}?watch=true")]
        client.wait(lambda: watch.status)
        client.request("DELETE", f"{LIST}/held-when-killed")
        eventually(lambda: asked(gateway, "held-when-killed"))
        gateway.stop(signal.SIGKILL)
    is_all_recorded(gateway)
    approve(gateway, "held-when-killed")
    gateway.start()
    is_all_recorded(gateway)
    assert gateway.call("GET", f"{LIST}/after-the-kill").code == 404
    assert gateway.seen("held-when-killed") == []  # the approval waits for the client to ask again
    assert gateway.stop() == 0
    verify(gateway)


def test_sigterm_waits_no_longer_than_it_may_for_a_cluster_that_is_silent(make_gateway, tmp_path: Path) -> None:
    cluster = FakeCluster(tmp_path / "cluster")
    cluster.behaviour = silent
    gateway = make_gateway(sandbox=cluster, drain=1).start()
    with gateway.connect() as sock:
        sock.sendall(gateway.head(f"GET {LIST}"))
        eventually(lambda: cluster.received)
        assert gateway.stop() == 0  # kills after 30 s
        received = read_answer(sock)
    assert not received or b" 50" in received.split(b"\r\n")[0]
    assert cluster.ended.acquire(timeout=30)
    cluster.close()
