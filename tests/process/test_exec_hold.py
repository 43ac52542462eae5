"""An exec that waits for a reviewer, answered at once: its client reads what it waits for, and gets it, or a Status."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pratique.kube.spdy import Data, Ping, SynReply
from pratique.kube.websocket import BINARY, PING, frame
from pratique.recorder.keys import verifier
from pratique.recorder.sessions import Recordings
from pratique.sandbox.cluster import Sandbox
from pratique.tunnel.waiting import MAX_KEPT
from tests.process.gateway import FAULTS, Gateway
from tests.process.reviewing import Reviewer, wait_for
from tests.process.streams import KEY, KUBECTL, V4, V5, SpdyClient, WebSocketClient, exec_target
from tests.process.test_exec import parts

pytestmark = pytest.mark.process
POD = "db-0"
ALL = "stdin=true&stdout=true&stderr=true"
LIMIT = 6
POLICY = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: test}
spec:
  subjects: ["*"]
  rules:
    - {name: read, verbs: [get, list], apiGroups: [""], resources: [pods, namespaces], action: Allow}
    - {name: exec, verbs: [get, create], apiGroups: [""], resources: [pods/exec], action: RequireApproval}
    - {name: soon, verbs: [get, create], apiGroups: [""], resources: [pods/attach], action: RequireApproval, approval: {expiresAfter: 1s}}
"""
RECORDING = {
    "apiVersion": "pratique/v1", "kind": "Recording", "metadata": {"name": "typed"},
    "spec": {"stdin": True, "clients": ["*"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """LIMIT requests of a client may be open; `hasty` is never held, `brief` a second, `mayfly` is revoked by a test.

    With code that raises where a request asks for it (faults.py).
    """
    running = Gateway(
        tmp_path_factory.mktemp("exec-hold"),
        sandbox,
        policy=POLICY,
        hold=45,
        form="mitmdump",
        scripts=[FAULTS],
        clients=("agent", "hasty", "brief", "mayfly"),
        holds={"hasty": 0, "brief": 1},
        documents={"recording.yaml": json.dumps(RECORDING)},
        options=["--set", f"pratique_streams={LIMIT}"],
    )
    yield running.start()
    running.stop()


@pytest.fixture
def alice(gateway: Gateway) -> Iterator[Reviewer]:
    alice = Reviewer(gateway, "alice")
    yield alice
    alice.clear()


def websocket(gateway: Gateway, target: str, *protocols: str, **fields: Any) -> WebSocketClient:
    """As kubectl does it; it was answered 101 and told what it waits for."""
    session = WebSocketClient(gateway, target, *protocols, more=[KUBECTL], **fields)
    assert session.code == 101, session.body
    return session


def shell(script: str, marker: str, streams: str = ALL) -> str:
    return exec_target(POD, "sh", "-c", script, marker, streams=streams)


def sent(gateway: Gateway, marker: str) -> list[Any]:
    return gateway.seen(marker)


@pytest.mark.parametrize("protocol", [V5, V4])
def test_it_says_what_it_waits_for_and_runs_when_it_is_approved(
    gateway: Gateway, alice: Reviewer, protocol: str
) -> None:
    marker = f"approved-{protocol[:2]}"
    session = websocket(gateway, shell("echo out; exit 3", marker), protocol, V4)
    assert session.headers["sec-websocket-protocol"] == protocol
    session.wait_for(b"\n", 2)
    approval_id = alice.find(marker)
    line = session.output(2).decode()
    assert f"waits up to 300 s for approval {approval_id}" in line
    assert f"{gateway.admin}/a/{approval_id}" in line
    assert f"`pratique approvals approve {approval_id}`" in line
    assert sent(gateway, marker) == []
    assert alice.show(approval_id)["row"]["held"]
    alice.decide(marker)
    session.finish()
    assert session.output(1) == b"out\n"
    assert session.output(2).decode().endswith(f"pratique: approval {approval_id} was given\n")
    assert session.status["details"]["causes"][0] == {"reason": "ExitCode", "message": "3"}
    assert session.closed == 1000
    (request,) = sent(gateway, marker)
    assert request.header("sec-websocket-protocol") == protocol
    assert alice.show(approval_id)["row"]["state"] == "used"
    wait_for(lambda: [cast for cast in parts(gateway, marker) if cast[-1][2] == "exit 3"])
    (cast,) = parts(gateway, marker)
    said = [line[2] for line in cast[1:] if line[1] == "m"]
    assert said[:2] == [f"waits for approval {approval_id}", f"approved: {approval_id}"]
    assert line.rstrip() in "".join(line[2] for line in cast[1:] if line[1] == "o")
    assert "out" in "".join(line[2] for line in cast[1:] if line[1] == "o")


def test_on_a_terminal_the_line_stands_on_stdout_and_nowhere_without_a_place(gateway: Gateway, alice: Reviewer) -> None:
    terminal = websocket(gateway, shell("echo out", "terminal", "stdin=true&stdout=true&tty=true"))
    terminal.wait_for(b"waits up to", 1)
    assert terminal.output(1).endswith(b"`\r\n")
    mute = websocket(gateway, shell("echo out", "mute", "stdout=true"))
    alice.decide("terminal")
    alice.decide("mute")
    assert terminal.finish().output(1).endswith(b"was given\r\nout\r\n")
    assert mute.finish().output(1) == b"out\n"


def test_denied_it_ends_with_a_status_and_nothing_was_sent(gateway: Gateway, alice: Reviewer) -> None:
    session = websocket(gateway, shell("echo out", "denied"))
    alice.decide("denied", "deny", reason="not today")
    session.finish()
    assert (session.status["status"], session.status["reason"]) == ("Failure", "ApprovalDenied")
    assert "`alice` denied it: not today" in session.status["message"]
    assert (session.closed, session.output(1)) == (1000, b"")
    assert sent(gateway, "denied") == []
    record = ended(gateway, "denied")
    assert (record.status, record.answered_by, record.sent) == (403, "gateway", False)
    assert record.approval_id.startswith("apr-")


def ended(gateway: Gateway, marker: str) -> Any:
    """The last record of the request whose command has this argument, once it is complete."""
    found: list[Any] = []

    def look() -> bool:
        found.clear()
        for path in gateway.state.rglob("*.cast"):
            if marker not in path.read_text():
                continue
            timeline = Recordings(gateway.state).timeline(path.name.split(".")[0], events=True)
            found.extend(entry.record for entry in timeline if entry.record and marker in entry.record.argv)
        return bool(found) and str(found[-1].stage) == "ResponseComplete"

    wait_for(look, f"no end of {marker}")
    return found[-1]


def test_expired_it_is_told_so(gateway: Gateway) -> None:
    before = len(gateway.seen("attach"))
    session = websocket(gateway, f"/api/v1/namespaces/payments/pods/{POD}/attach?stdout=true&stderr=true").finish()
    assert session.status["reason"] == "ApprovalExpired"
    assert b"for approval apr-" in session.output(2)
    assert session.closed == 1000
    assert len(gateway.seen("attach")) == before


def test_when_the_hold_ends_it_is_told_to_repeat_the_command(gateway: Gateway, alice: Reviewer) -> None:
    """A program that shows its lines to nobody is held no longer than for any other request."""
    program = [("User-Agent", "runner/v1.2.3 (linux/amd64) kubernetes/abcdef0")]
    target = shell("echo out", "hold-ends")
    session = WebSocketClient(gateway, target, more=program, client="brief").finish()
    assert b"waits up to 1 s for approval" in session.output(2)
    assert session.status["reason"] == "ApprovalPending"
    assert "Repeat exactly the same request after approval" in session.status["message"]
    alice.decide("hold-ends")
    again = WebSocketClient(gateway, target, more=program, client="brief").finish()
    assert (again.output(1), again.output(2)) == (b"out\n", b"")
    assert len(sent(gateway, "hold-ends")) == 1


def test_a_gateway_that_stops_tells_what_waits(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(policy=POLICY).start()
    waiting = websocket(gateway, shell("echo out", "gateway-stops"))
    over_spdy = SpdyClient(gateway, shell("echo out", "gateway-stops-too"), more=[KUBECTL])
    streams = over_spdy.open("error", "stdin", "stdout", "stderr")
    waiting.wait_for(b"\n", 2)
    over_spdy.wait_for(b"\n", streams["stderr"])
    reading = [threading.Thread(target=each.finish) for each in (waiting, over_spdy)]
    for thread in reading:
        thread.start()
    assert gateway.stop() == 0
    for thread in reading:
        thread.join()
    # Which approval to repeat it with, not only that the gateway stops.
    assert (waiting.status["reason"], waiting.closed) == ("ApprovalPending", 1000)
    assert json.loads(over_spdy.output(streams["error"]))["reason"] == "ApprovalPending"
    assert gateway.seen("gateway-stops") + gateway.seen("gateway-stops-too") == []
    assert len(parts(gateway, "ended by the gateway")) == 2
    assert Recordings(gateway.state).verify(verifier(gateway.state)).ok


def test_what_is_typed_meanwhile_arrives_once_in_order_and_is_recorded(gateway: Gateway, alice: Reviewer) -> None:
    session = websocket(gateway, shell("cat", "typed-meanwhile"))
    session.send(b"\x00typed-", b"\x00early\n")
    session.socket.sendall(frame(PING, b"are you there", KEY))
    session.wait_for(b"\n", 2)
    while not session.pongs:
        assert session._receive()
    assert session.pongs == [b"are you there"]
    session.send(b"\x00second line\n", b"\xff\x00")
    assert session.output(1) == b""
    alice.decide("typed-meanwhile")
    assert session.finish().output(1) == b"typed-early\nsecond line\n"
    assert session.status["status"] == "Success"
    (cast,) = parts(gateway, "typed-early")
    assert "".join(line[2] for line in cast[1:] if line[1] == "i") == "typed-early\r\nsecond line\r\n"
    (path,) = [path for path in gateway.state.rglob("*.cast") if "typed-early" in path.read_text()]
    identifier = path.name.split(".")[0]
    wait_for(lambda: Recordings(gateway.state).verify(verifier(gateway.state), session=identifier).ok)


def test_more_input_than_is_kept_ends_it_with_a_status(gateway: Gateway, alice: Reviewer) -> None:
    session = websocket(gateway, exec_target(POD, "cat", "too-much", streams=ALL))
    for _ in range(MAX_KEPT // 32768 + 1):
        session.send(b"\x00" + b"x" * 32768)
    session.finish()
    assert session.status["reason"] == "RequestEntityTooLarge"
    assert "Repeat the same command after approval" in session.status["message"]
    approval_id = alice.find("too-much")
    wait_for(lambda: not alice.show(approval_id)["row"]["held"])
    alice.decide("too-much")
    again = websocket(gateway, exec_target(POD, "cat", "too-much", streams=ALL))
    again.send(b"\x00" + b"y" * 300_000, b"\xff\x00")
    again.finish()
    assert len(sent(gateway, "too-much")) == 1


def test_malformed_frames_meanwhile_end_it_and_nothing_is_sent(gateway: Gateway, alice: Reviewer) -> None:
    session = websocket(gateway, exec_target(POD, "cat", "malformed", streams=ALL))
    first = bytearray(frame(BINARY, b"\x00half", KEY))
    first[0] &= 0x7F
    session.socket.sendall(bytes(first))
    assert "fragmented" in session.finish().status["message"]
    approval_id = alice.find("malformed")
    wait_for(lambda: not alice.show(approval_id)["row"]["held"])
    alice.decide("malformed")
    assert sent(gateway, "malformed") == []


@pytest.mark.parametrize("how", ["hangs up", "closes"])
def test_a_client_that_leaves_gets_nothing_done_and_its_repeat_finds_the_approval(
    gateway: Gateway, alice: Reviewer, how: str
) -> None:
    marker = f"left-{how.split(maxsplit=1)[0]}"
    session = websocket(gateway, shell("echo out", marker))
    session.wait_for(b"\n", 2)
    approval_id = alice.find(marker)
    if how == "closes":
        session.socket.sendall(frame(8, b"\x03\xe8", KEY))
    session.close()
    wait_for(lambda: not alice.show(approval_id)["row"]["held"])
    alice.decide(marker)
    assert str(ended(gateway, marker).stage) == "ResponseComplete"
    assert sent(gateway, marker) == []
    again = websocket(gateway, shell("echo out", marker)).finish()
    assert (again.output(1), again.output(2)) == (b"out\n", b"")
    assert len(sent(gateway, marker)) == 1


def test_what_the_cluster_answers_instead_of_101_is_told_as_a_status(gateway: Gateway, alice: Reviewer) -> None:
    session = websocket(gateway, exec_target("no-such-pod", "echo", streams=ALL))
    alice.decide("no-such-pod")
    session.finish()
    assert (session.status["status"], session.status["reason"]) == ("Failure", "NotFound")
    assert 'the cluster answered the upgrade with 404: pods "no-such-pod" not found' in session.status["message"]
    assert session.closed == 1000
    assert len(gateway.seen("no-such-pod")) == 1


def test_bypass_5_13_another_pod_of_that_name_is_asked_about_anew(gateway: Gateway, alice: Reviewer) -> None:
    spec = {"containers": [{"name": "c", "image": "busybox:1.35"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "replaced"}, "spec": spec}
    pods = "/api/v1/namespaces/payments/pods"
    assert gateway.behind("POST", pods, pod).code == 201
    session = websocket(gateway, exec_target("replaced", "sh", "-c", "cat", streams=ALL))
    session.send(b"\x00typed early\n", b"\xff\x00")
    session.wait_for(b"\n", 2)
    first = alice.find("Pod payments/replaced")
    gateway.behind("DELETE", f"{pods}/replaced?gracePeriodSeconds=0")
    wait_for(lambda: gateway.behind("GET", f"{pods}/replaced").code == 404)
    assert gateway.behind("POST", pods, pod).code == 201
    assert alice.decide("Pod payments/replaced") == first
    wait_for(lambda: [row for row in alice.rows() if "replaced" in row["words"] and row["id"] != first])
    second = alice.find("Pod payments/replaced")
    session.wait_for(f"for approval {second}".encode(), 2)
    assert gateway.seen("replaced/exec") == []
    alice.decide("Pod payments/replaced")
    assert session.finish().output(1) == b"typed early\n"


def test_of_two_at_once_exactly_one_runs(gateway: Gateway, alice: Reviewer) -> None:
    both = [websocket(gateway, shell("echo out", "twice")) for _ in range(2)]
    over_spdy = SpdyClient(gateway, shell("echo out", "twice"), more=[KUBECTL])
    streams = over_spdy.open("error", "stdin", "stdout", "stderr")
    for each in both:
        each.wait_for(b"\n", 2)
    over_spdy.wait_for(b"\n", streams["stderr"])
    alice.decide("twice")
    outputs = [each.finish().output(1) for each in both] + [over_spdy.finish().output(streams["stdout"])]
    assert sorted(outputs) == [b"", b"", b"out\n"]
    statuses = [each.status for each in both] + [json.loads(over_spdy.output(streams["error"]))]
    assert sorted(status.get("reason", "") for status in statuses) == ["", "ApprovalUsed", "ApprovalUsed"]
    assert len(sent(gateway, "twice")) == 1
    assert len([row for row in alice.rows("all") if "twice" in row["words"]]) == 1


def test_bypass_5_11_a_revoked_client_does_not_go_on_waiting(gateway: Gateway, alice: Reviewer) -> None:
    session = websocket(gateway, shell("echo out", "revoked"), client="mayfly")
    session.wait_for(b"\n", 2)
    (gateway.policies / "client-mayfly.yaml").unlink()
    session.finish()
    assert (session.status["reason"], session.closed) == ("Unauthorized", 1000)
    approval_id = alice.find("revoked")
    wait_for(lambda: not alice.show(approval_id)["row"]["held"])
    alice.decide("revoked")
    assert sent(gateway, "revoked") == []


def test_what_waits_counts_for_its_client_and_is_given_back(gateway: Gateway, alice: Reviewer) -> None:
    wait_for(lambda: gateway.call("GET", "/api/v1/namespaces").code == 200)
    sessions = [websocket(gateway, shell("echo out", f"counts-{number}")) for number in range(LIMIT)]
    assert gateway.call("GET", "/api/v1/namespaces").code == 429
    for session in sessions:
        session.close()
    wait_for(lambda: gateway.call("GET", "/api/v1/namespaces").code == 200)


def test_a_client_that_is_never_held_is_answered_before_its_101(gateway: Gateway, alice: Reviewer) -> None:
    session = WebSocketClient(gateway, shell("echo out", "refused-at-once"), client="hasty", more=[KUBECTL])
    assert (session.code, session.body["reason"]) == (403, "ApprovalPending")
    session.close()


def test_the_python_client_is_held_before_its_101(gateway: Gateway, alice: Reviewer) -> None:
    """Its `stream` would take the text of a refusal for output."""
    deciding = threading.Thread(target=alice.decide, args=("python-client", "deny"))
    deciding.start()
    python = ("User-Agent", "OpenAPI-Generator/36.0.0/python")
    session = WebSocketClient(gateway, shell("echo out", "python-client"), V5, V4, more=[python])
    deciding.join()
    assert (session.code, session.body["reason"]) == (403, "ApprovalDenied")


# --- SPDY ---


def test_over_spdy_it_says_what_it_waits_for_and_runs_when_it_is_approved(gateway: Gateway, alice: Reviewer) -> None:
    session = SpdyClient(gateway, shell("cat; echo err >&2; exit 3", "spdy-approved"), more=[KUBECTL])
    assert (session.code, session.headers["x-stream-protocol-version"]) == (101, V4)
    streams = session.open("error", "stdin", "stdout", "stderr")
    session.send(Data(streams["stdin"], b"typed early\n"), Ping(1), Data(streams["stdin"], b"", fin=True))
    session.wait_for(b"waits up to 300 s for approval", streams["stderr"])
    while Ping(1) not in session.frames:
        session.frames += session._decoder.feed(session.read())
    assert [each.stream for each in session.frames if isinstance(each, SynReply)] == [1, 3, 5, 7]
    assert sent(gateway, "spdy-approved") == []
    alice.decide("spdy-approved")
    session.finish()
    assert session.output(streams["stdout"]) == b"typed early\n"
    assert session.output(streams["stderr"]).endswith(b"was given\nerr\n")
    assert json.loads(session.output(streams["error"]))["details"]["causes"][0]["message"] == "3"
    assert [each.stream for each in session.frames if isinstance(each, SynReply)] == [1, 3, 5, 7]
    (request,) = sent(gateway, "spdy-approved")
    assert [value for name, value in request.headers if name.lower() == "x-stream-protocol-version"] == [V4]


@pytest.mark.parametrize("late", [False, True])
def test_over_spdy_a_denial_is_a_status_also_for_streams_that_are_opened_late(
    gateway: Gateway, alice: Reviewer, late: bool
) -> None:
    marker = f"spdy-denied-{late}".lower()
    session = SpdyClient(gateway, shell("echo out", marker), more=[KUBECTL])
    streams = session.open("error", "stdin", "stdout", "stderr") if not late else {}
    alice.decide(marker, "deny")
    if late:
        time.sleep(0.1)  # the denial is there first; otherwise this is the other case
        streams = session.open("error", "stdin", "stdout", "stderr")
    session.finish()
    assert json.loads(session.output(streams["error"]))["reason"] == "ApprovalDenied"
    ends = {each.stream for each in session.frames if isinstance(each, Data) and each.fin}
    assert ends == {streams["error"], streams["stdout"], streams["stderr"]}
    assert sent(gateway, marker) == []
    assert ended(gateway, marker).status == 403


# --- failures ---


@pytest.mark.parametrize("place", ["recorder-response", "recorder-tape", "tunnel-stdin"])
def test_a_fault_on_the_way_to_the_wait_is_no_wait(gateway: Gateway, alice: Reviewer, place: str) -> None:
    """Not recorded: not answered. Not on the tape, or a bug in the tunnel: ended, and the request is not sent."""
    session = WebSocketClient(gateway, shell(f"echo no-wait-{place}", f"fault-{place}"), more=[KUBECTL])
    if place == "recorder-response":
        assert session.code in {500, 503}
    else:
        assert session.code == 101
        session.send(f"\0fault-{place}".encode())
        session.finish()
        assert session.closed == (1000 if place == "recorder-tape" else None)
    approval_id = alice.find(f"no-wait-{place}")
    wait_for(lambda: not alice.show(approval_id)["row"]["held"])
    alice.decide(f"no-wait-{place}")
    assert sent(gateway, f"no-wait-{place}") == []
    assert b"secret-in-exception-CANARY" not in gateway.recorded()
    wait_for(lambda: gateway.call("GET", "/api/v1/namespaces").code == 200)
