"""Two gateways behind a TCP balancer, with one DynamoDB: what is decided on one counts on the other, and counts once."""

from __future__ import annotations

import http.client
import shutil
import signal
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pratique.dynamodb.table import Table
from pratique.recorder.filters import Filter
from pratique.recorder.shared_index import shared
from pratique.sandbox.cluster import Sandbox
from tests.dynamodb.server import Server
from tests.process.balancer import Balancer
from tests.process.gateway import Answer, Gateway, eventually
from tests.process.reviewing import MAPS, POLICY, Held, Reviewer, changed, make

pytestmark = pytest.mark.process
WATCH = "/api/v1/namespaces/payments/services?watch=true&timeoutSeconds=300"
CLIENTS = 6
"""That ask while one of the gateways is killed."""


class Replicas:
    """`one` and `other`, with the same documents and the same CA, as a Secret would give it to them."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.database = Server()
        given = {
            "policy": POLICY,
            "hold": 45,
            "clients": ("agent", *(f"agent-{number}" for number in range(CLIENTS))),
            "drain": 20,  # a busy machine takes its time
            "options": self.database.options,
            "environment": self.database.environment,
        }
        self.one, self.other = (Gateway(folder / name, sandbox, **given) for name in ("one", "other"))
        self.other.policies, self.other.keys = self.one.policies, self.one.keys
        self.one.start()
        shutil.copytree(self.one.state / "mitmproxy", self.other.state / "mitmproxy")
        self.other.start()
        self.balancer = Balancer(self.one.port, self.other.port)

    def close(self) -> None:
        self.balancer.close()
        for gateway in (self.one, self.other):
            gateway.stop()
        self.database.close()


@pytest.fixture(scope="module")
def replicas(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    running = Replicas(tmp_path_factory.mktemp("replicas"), sandbox)
    yield running
    running.close()


@pytest.fixture
def there(replicas: Replicas) -> Reviewer:
    """A reviewer at the other gateway's page."""
    return Reviewer(replicas.other, "alice")


def test_what_is_held_on_one_is_approved_on_the_other_and_happens_once(replicas: Replicas, there: Reviewer) -> None:
    target = make(replicas.one, "held-here")
    held = Held(replicas.one, "DELETE", target)
    approval_id = there.decide("held-here")
    assert held.answer().code == 200
    assert len(changed(replicas.one, "held-here")) == 1
    for gateway in (replicas.one, replicas.other):
        assert Reviewer(gateway, "bob").show(approval_id)["row"]["state"] == "used"
    assert not (replicas.one.state / "approvals.sqlite").exists()


def test_what_is_denied_on_one_ends_the_hold_on_the_other(replicas: Replicas, there: Reviewer) -> None:
    target = make(replicas.one, "denied-there")
    held = Held(replicas.one, "DELETE", target)
    there.decide("denied-there", "deny", reason="not today")
    assert "not today" in held.answer().json["message"]
    assert changed(replicas.one, "denied-there") == []


def test_a_grant_that_is_revoked_on_one_ends_the_stream_on_the_other(replicas: Replicas, there: Reviewer) -> None:
    gateway = replicas.one
    with gateway.connect() as sock:
        sock.sendall(gateway.head(f"GET {WATCH}"))
        there.decide("watch Service in namespace payments", grant={"kind": "duration", "seconds": 600})
        received = b""
        while b'"type"' not in received:
            received += sock.recv(65536)
        there.revoke_grant()
        while not received.endswith(b"0\r\n\r\n"):
            chunk = sock.recv(65536)
            assert chunk, received[-200:]
            received += chunk


@pytest.fixture
def revoked(there: Reviewer) -> Iterator[None]:
    """Lifts what a test has revoked."""
    yield
    for each in there.call("GET", "/revocations").json["revocations"]:
        there.call("POST", f"/revocations/{each['id']}/lift", {})


@pytest.mark.usefixtures("revoked")
def test_a_client_that_is_revoked_on_one_is_ended_and_refused_on_the_other(replicas: Replicas, there: Reviewer) -> None:
    gateway = replicas.one
    with gateway.connect() as sock:
        sock.sendall(gateway.head(f"GET {MAPS}?watch=true&timeoutSeconds=300", client="agent-0"))
        make(replicas.other, "watched-by-the-revoked")
        received = b""
        while b'"type"' not in received:
            received += sock.recv(65536)
        answer = there.call("POST", "/revocations", {"kind": "client", "name": "agent-0", "reason": "it misbehaves"})
        assert answer.code == 201, answer.body
        while not received.endswith(b"0\r\n\r\n"):
            chunk = sock.recv(65536)
            assert chunk, received[-200:]
            received += chunk
    assert b"was revoked by alice: it misbehaves" in received
    refused = gateway.call("GET", f"{MAPS}/after-the-other-revoked", client="agent-0")
    assert (refused.code, refused.reason) == (403, "Revoked")
    assert gateway.seen("after-the-other-revoked") == []
    assert gateway.call("GET", MAPS).code == 200


def test_while_the_table_is_away_nothing_is_approved_and_all_else_is_served(
    replicas: Replicas, there: Reviewer
) -> None:
    target = make(replicas.one, "table-away")
    with replicas.database.away():
        assert replicas.one.call("GET", target).code == 200
        answer = replicas.one.call("DELETE", target)
        assert (answer.code, answer.json["kind"]) == (503, "Status")
    assert changed(replicas.one, "table-away") == []
    held = Held(replicas.one, "DELETE", target)
    there.decide("table-away")
    assert held.answer().code == 200


def test_what_each_has_recorded_is_found_in_the_table(replicas: Replicas) -> None:
    gateways = (replicas.one, replicas.other)
    for gateway in gateways:
        assert gateway.call("GET", WATCH.partition("?")[0]).code == 200
    table = Table(replicas.database.table, replicas.database.client)

    def told() -> bool:
        found = {row.replica.partition(":")[2] for row in shared(table, Filter(client="agent"))}
        return found == {str(gateway.state / "recordings") for gateway in gateways}

    eventually(told)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_one_that_ends_under_load_loses_no_approval_and_uses_none_twice(
    replicas: Replicas, there: Reviewer, number: signal.Signals
) -> None:
    """Each client deletes its ConfigMap through the balancer, and repeats until it is told that it is gone."""
    names = [f"{number.name.lower()}-{client}" for client in range(CLIENTS)]
    targets = [make(replicas.other, name) for name in names]
    clients = [threading.Thread(target=_until_gone, args=(replicas, n, t), daemon=True) for n, t in enumerate(targets)]
    for client in clients:
        client.start()
    for name in names[: CLIENTS // 2]:
        there.decide(name)
    replicas.one.stop(number)
    try:
        for name in names[CLIENTS // 2 :]:
            there.decide(name)
        eventually(lambda: not any(client.is_alive() for client in clients) or _decide_again(there))
        rows = there.rows("all")
        for name in names:
            sent = changed(replicas.other, name)
            used = [row for row in rows if row["state"] == "used" and name in row["words"]]
            assert len([record for record in sent if record.code < 300]) == 1
            assert len(used) >= len(sent), "each request had an approval of its own"
            assert number is signal.SIGKILL or len(used) == 1, "one that stops in order loses none"
    finally:
        replicas.one.start()


def _decide_again(there: Reviewer) -> bool:
    """Approves what a client has asked anew, because its approval was used by a gateway that died before it sent."""
    for row in there.rows():
        if row["state"] == "pending" and "sig" in row["words"]:
            there.decide(row["words"])
    return False


def _until_gone(replicas: Replicas, number: int, target: str) -> None:
    while True:
        try:
            answer = _through(replicas, f"agent-{number}", target)
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
            continue
        if answer.code in {200, 404}:
            return
        assert answer.code in {403, 429, 503}, answer.body


def _through(replicas: Replicas, client: str, target: str) -> Answer:
    """A delete over the balancer."""
    context: ssl.SSLContext = replicas.other.tls()
    connection = http.client.HTTPSConnection("127.0.0.1", replicas.balancer.port, context=context, timeout=60)
    try:
        connection.request("DELETE", target, headers={"Authorization": f"Bearer {replicas.one.keys[client]}"})
        response = connection.getresponse()
        return Answer(response.status, {}, response.read())
    finally:
        connection.close()
