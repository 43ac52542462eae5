"""Revoking a client, a session, everything: refused, let go, ended with a Status, recorded; nothing reaches the cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from pratique.cli import main
from tests.process.gateway import Gateway, eventually
from tests.process.h2client import H2Client
from tests.process.reviewing import MAPS, Held, Reviewer, configmap
from tests.process.streams import SpdyClient, WebSocketClient, exec_target

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def gateway(sandbox, tmp_path_factory):
    running = Gateway(tmp_path_factory.mktemp("revoked"), sandbox, hold=40).start()
    yield running
    running.stop()


@pytest.fixture
def alice(gateway: Gateway) -> Reviewer:
    return Reviewer(gateway, "alice")


@pytest.fixture(autouse=True)
def lifted(gateway: Gateway, alice: Reviewer):
    yield
    for each in alice.call("GET", "/revocations").json["revocations"]:
        assert alice.call("POST", f"/revocations/{each['id']}/lift", {}).code == 204
    eventually(lambda: gateway.call("GET", MAPS).code == 200)


def cli(gateway: Gateway, *arguments: str) -> str:
    done = CliRunner().invoke(main, [*arguments, "--state", str(gateway.state)])
    assert done.exit_code == 0, done.output
    return done.output


def revoke(alice: Reviewer, kind: str, name: str = "", reason: str = "it misbehaves") -> None:
    answer = alice.call("POST", "/revocations", {"kind": kind, "name": name, "reason": reason})
    assert answer.code == 201, answer.body


def watch(gateway: Gateway, client: str = "agent") -> Any:
    sock = gateway.connect()
    sock.sendall(gateway.head(f"GET {MAPS}?watch=true&timeoutSeconds=300", client=client))
    received = sock.recv(65536)
    while b'"type"' not in received:
        received += sock.recv(65536)
    return sock


def rest(sock: Any) -> bytes:
    received = b""
    while not received.endswith(b"0\r\n\r\n"):
        more = sock.recv(65536)
        assert more, received[-500:]
        received += more
    return received


def last_event(body: bytes) -> Any:
    lines = [line for line in body.split(b"\n") if line.startswith(b'{"type"')]
    return json.loads(lines[-1])


def test_a_revoked_client_is_refused_and_what_it_has_open_ends_with_a_status(gateway: Gateway, alice: Reviewer) -> None:
    mine, others = watch(gateway), watch(gateway, "other")
    running = exec_target("db-0", "sh", "-c", "echo it-runs; exec sleep 60")
    socket, spdy = WebSocketClient(gateway, running), SpdyClient(gateway, running)
    streams = spdy.open("error", "stdout", "stderr")
    socket.wait_for(b"it-runs")
    spdy.wait_for(b"it-runs", streams["stdout"])
    held = Held(gateway, "DELETE", f"{MAPS}/held-when-revoked")
    approval_id = alice.find("held-when-revoked")
    h2 = H2Client(gateway)
    h2_watch = h2.streams[h2.request("GET", f"{MAPS}?watch=true&timeoutSeconds=300")]
    h2.wait(lambda: h2_watch.status)

    revoke(alice, "client", "agent")
    event = last_event(rest(mine))
    answer = held.answer()
    socket.finish()
    spdy.finish()
    h2.wait_for_end(h2_watch)

    assert (event["type"], event["object"]["reason"], event["object"]["code"]) == ("ERROR", "Revoked", 403)
    assert "client `agent` was revoked by alice: it misbehaves" in event["object"]["message"]
    assert last_event(h2_watch.data)["object"]["reason"] == "Revoked"
    assert (answer.code, answer.reason) == (403, "Revoked")
    assert (socket.status["status"], socket.status["reason"]) == ("Failure", "Revoked")
    assert json.loads(spdy.output(streams["error"]))["reason"] == "Revoked"
    refused = gateway.call("GET", f"{MAPS}/after-revoking")
    assert (refused.code, refused.reason) == (403, "Revoked")
    assert gateway.seen("after-revoking") == []
    assert gateway.call("GET", MAPS, client="other").code == 200
    assert gateway.call("POST", MAPS, configmap("seen-by-others"), client="other").code == 201
    seen = b""
    while b"seen-by-others" not in seen:  # the stream of another client goes on
        more = others.recv(65536)
        assert more, seen[-500:]
        seen += more
    others.close()
    # Whoever approves it now approves nothing: the client is gone.
    body = {"decision": "approve", "nonce": alice.show(approval_id)["nonce"]}
    alice.call("POST", f"/approvals/{approval_id}/decision", body)
    assert gateway.call("DELETE", f"{MAPS}/held-when-revoked").reason == "Revoked"
    assert gateway.seen("held-when-revoked") == []


def test_it_is_recorded_in_the_sessions_that_it_hit(gateway: Gateway, alice: Reviewer) -> None:
    with H2Client(gateway) as client, H2Client(gateway, client="other") as other:
        for each in (client, other):
            stream = each.streams[each.request("GET", f"{MAPS}/noted-{each is client}".lower())]
            each.wait_for_end(stream)
        revoke(alice, "client", "agent", "noted in recordings")
        eventually(lambda: gateway.call("GET", MAPS).code == 403)
    noted = [path for path in gateway.state.rglob("*.chain") if b"noted in recordings" in path.read_bytes()]
    hit = [path for path in noted if b"noted-true" in path.read_bytes()]
    assert len(hit) == 1
    assert all(b'"client":"agent"' in path.read_bytes() for path in noted)
    assert "client `agent` was revoked by alice: noted in recordings (rev-" in gateway.output
    eventually(lambda: b'"kind":"closed"' in hit[0].read_bytes())
    assert "noted in recordings" in cli(gateway, "sessions", "show", hit[0].name.removesuffix(".chain"))


def test_a_revoked_session_is_one_connection(gateway: Gateway, alice: Reviewer) -> None:
    with H2Client(gateway) as client:
        first = client.streams[client.request("GET", f"{MAPS}/by-session")]
        client.wait_for_end(first)
        (chain,) = [path for path in gateway.state.rglob("*.chain") if b"by-session" in path.read_bytes()]
        revoke(alice, "session", chain.name.removesuffix(".chain"))

        def refused() -> bool:
            again = client.streams[client.request("GET", f"{MAPS}/by-session-again")]
            client.wait_for_end(again)
            return b'"reason":"Revoked"' in again.data

        eventually(refused)
        assert gateway.call("GET", MAPS).code == 200, "the client may open another"


def test_the_kill_switch_from_the_command_line(gateway: Gateway, alice: Reviewer) -> None:
    stream = watch(gateway, "other")
    made = json.loads(cli(gateway, "revoke", "all", "--reason", "incident 7", "--output", "json"))
    assert last_event(rest(stream))["object"]["reason"] == "Revoked"
    for client in ("agent", "other"):
        answer = gateway.call("GET", f"{MAPS}/kill-switched", client=client)
        assert (answer.code, answer.reason) == (403, "Revoked")
        assert "incident 7" in answer.json["message"]
    assert gateway.seen("kill-switched") == []
    assert gateway.call("GET", MAPS, client="").code == 401, "whoever nobody knows learns nothing"
    assert made[0]["id"] in cli(gateway, "revoke", "--list")
    cli(gateway, "revoke", "--lift", made[0]["id"])
    eventually(lambda: gateway.call("GET", MAPS).code == 200)
    assert made[0]["id"] not in cli(gateway, "revoke", "--list")
    assert "lifted" in cli(gateway, "revoke", "--list", "--all")


def test_the_kill_switch_by_a_file(gateway: Gateway) -> None:
    (gateway.state / "KILL").write_text("by hand\n")
    eventually(lambda: gateway.call("GET", MAPS).reason == "Revoked")
    (gateway.state / "KILL").unlink()
    eventually(lambda: gateway.call("GET", MAPS).code == 200)
