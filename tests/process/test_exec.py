"""Exec, attach and port-forward through a real gateway: masked, judged, recorded, and ended in order."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pratique.approvals.deciding import Decision
from pratique.kube.spdy import Data, SpdyDecoder, SpdyEncoder, SynStream
from pratique.kube.websocket import BINARY, TEXT, frame
from pratique.recorder.keys import verifier
from pratique.recorder.sessions import Recordings
from tests.process.gateway import POLICY, Gateway
from tests.process.streams import KEY, TUNNEL, V4, V5, SpdyClient, WebSocketClient, exec_target
from tests.process.test_data_path import _decide

pytestmark = pytest.mark.process
CANARY = "exec-canary-7f3a9b-exec"
MASK = b"**masked-by-pratique**"
POD = "db-0"


def plant(gateway: Gateway, name: str) -> None:
    """A Secret with the canary, read by the client before it execs."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"p": CANARY}}
    assert gateway.call("POST", "/api/v1/namespaces/payments/secrets", secret).code in {201, 409}
    answer = gateway.call("GET", f"/api/v1/namespaces/payments/secrets/{name}")
    assert answer.code == 200 and CANARY.encode() not in answer.body


def parts(gateway: Gateway, text: str, suffix: str = "cast") -> list[list[Any]]:
    """The lines of every recording of this kind that mentions `text`."""
    files = [path for path in gateway.state.rglob(f"*.{suffix}") if text in path.read_text()]
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in sorted(files)]


def wait(condition: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


PRINT_SPLIT = f"printf 'a {CANARY[:9]}'; sleep 0.05; printf '{CANARY[9:]} b\\npassword=hunter22\\n'; exit 3"


@pytest.mark.parametrize("protocol", [V5, V4])
def test_leaks_F1_a_known_value_split_over_writes_is_masked_on_the_wire_and_in_the_cast(
    gateway: Gateway, protocol: str
) -> None:
    plant(gateway, "split")
    marker = f"split-{protocol[:2]}"
    session = WebSocketClient(gateway, exec_target(POD, "sh", "-c", PRINT_SPLIT, marker), protocol).finish()
    assert session.output(1) == b"a " + MASK + b" b\npassword=" + MASK + b"\n"
    assert session.status["details"]["causes"][0] == {"reason": "ExitCode", "message": "3"}
    assert session.closed == 1000
    (cast,) = wait(lambda: [lines for lines in parts(gateway, marker) if lines[-1][1] == "m"])
    assert "".join(line[2] for line in cast[1:] if line[1] == "o").encode() == session.output(1).replace(b"\n", b"\r\n")
    assert cast[-1][1:] == ["m", "exit 3"]
    assert CANARY.encode() not in gateway.recorded()


def test_leaks_F1_the_same_over_spdy(gateway: Gateway) -> None:
    plant(gateway, "split")
    session = SpdyClient(gateway, exec_target(POD, "sh", "-c", PRINT_SPLIT, "split-spdy"))
    assert (session.code, session.headers["x-stream-protocol-version"]) == (101, V4)
    streams = session.open("error", "stdout", "stderr")
    session.finish()
    assert session.output(streams["stdout"]) == b"a " + MASK + b" b\npassword=" + MASK + b"\n"
    assert json.loads(session.output(streams["error"]))["details"]["causes"][0]["message"] == "3"
    (cast,) = wait(lambda: [lines for lines in parts(gateway, "split-spdy") if lines[-1][1] == "m"])
    assert cast[-1][1:] == ["m", "exit 3"]
    assert CANARY.encode() not in gateway.recorded()


def test_leaks_I_the_status_quotes_no_value(gateway: Gateway) -> None:
    plant(gateway, "split")
    session = WebSocketClient(gateway, exec_target(POD, CANARY)).finish()
    assert session.status["status"] == "Failure"
    assert CANARY not in str(session.status)


def test_stdin_half_close_and_the_exit_code(gateway: Gateway) -> None:
    session = WebSocketClient(gateway, exec_target(POD, "cat", streams="stdin=true&stdout=true&stderr=true"))
    session.send(b"\x00typed-canary-input\n", b"\xff\x00")
    session.finish()
    assert session.output(1) == b"typed-canary-input\n"
    assert session.status["status"] == "Success"


def test_a_terminal_its_size_and_its_prompt(gateway: Gateway) -> None:
    script = "read go; stty size; printf 'password: '; read x; exit 0"
    session = WebSocketClient(gateway, exec_target(POD, "sh", "-c", script, streams="stdin=true&stdout=true&tty=true"))
    session.send(b'\x04{"Width":77,"Height":33}\n', b"\x00go\n")
    session.wait_for(b"33 77\r\npassword: ")
    session.send(b"\x00typed-password-canary\n")
    session.finish()
    assert session.status["status"] == "Success"
    (cast,) = wait(lambda: [lines for lines in parts(gateway, "read go") if lines[-1][2] == "exit 0"])
    assert (cast[0]["width"], cast[0]["height"]) == (77, 33)
    assert any("not recorded" in line[2] for line in cast[1:] if line[1] == "m")
    assert not [line for line in cast[1:] if line[1] == "i"]


def test_attach_is_masked_and_recorded_like_exec(gateway: Gateway) -> None:
    plant(gateway, "split")
    session = WebSocketClient(gateway, f"/api/v1/namespaces/payments/pods/{POD}/attach?stdout=true&stderr=true")
    assert session.code == 101
    gateway.sandbox.append_log("payments", POD, "postgres", f"attached {CANARY} line")
    session.wait_for(b"attached ")
    session.wait_for(b" line\n")
    assert session.output(1) == b"attached " + MASK + b" line\n"
    session.close()
    assert wait(lambda: [cast for cast in parts(gateway, "attach payments/db-0") if cast[-1][1] == "m"])
    assert CANARY.encode() not in gateway.recorded()


def test_bypass_5_01_stdin_without_permission_is_dropped(gateway: Gateway) -> None:
    session = WebSocketClient(gateway, exec_target(POD, "sh", "-c", "cat; echo bypass-5-01; exec sleep 60"))
    session.send(b"\x00echo injected\n", b"\xff\x00")
    session.wait_for(b"bypass-5-01\n")
    said = ["m", "stdin was not asked for, what the client sent there was dropped"]
    wait(lambda: [cast for cast in parts(gateway, "bypass-5-01") if said in [line[1:] for line in cast[1:]]])
    assert session.output(1) == b"bypass-5-01\n"
    session.close()


@pytest.mark.parametrize(
    "streams", ["stdout=true&stdin=false&stdin=true", "stdout=true&tty=0&tty=1", "stdout=true&Stdin=true"]
)
def test_bypass_5_02_parameters_that_can_be_read_in_two_ways_are_refused(gateway: Gateway, streams: str) -> None:
    session = WebSocketClient(gateway, exec_target(POD, "echo", "bypass-5-02", streams=streams))
    assert (session.code, session.body["reason"]) == (400, "BadRequest")
    assert gateway.seen("bypass-5-02") == []


def test_bypass_5_02_booleans_are_read_as_the_server_reads_them(gateway: Gateway) -> None:
    session = WebSocketClient(gateway, exec_target(POD, "cat", streams="stdout=1&stdin=&tty=0"))
    session.send(b"\x00stdin is on\n", b"\xff\x00")
    assert session.finish().output(1) == b"stdin is on\n"


def test_bypass_5_03_a_fragmented_message_is_refused_before_it_reaches_the_command(gateway: Gateway) -> None:
    session = WebSocketClient(gateway, exec_target(POD, "cat", streams="stdin=true&stdout=true"))
    first, rest = bytearray(frame(BINARY, b"\x00bypass", KEY)), bytearray(frame(0, b"-5-03\n", KEY))
    first[0] &= 0x7F
    session.socket.sendall(bytes(first + rest))
    session.finish()
    assert session.output(1) == b""
    assert "fragmented" in session.status["message"]
    assert session.closed == 1000


def test_bypass_5_03_long_input_reaches_the_command_as_it_was(gateway: Gateway) -> None:
    """mitmproxy's own layer would cut it into continuation frames, which the server reads as channels."""
    session = WebSocketClient(gateway, exec_target(POD, "sha256sum", streams="stdin=true&stdout=true"))
    session.send(b"\x00" + b"x" * 100_000, b"\xff\x00")
    session.finish()
    assert session.output(1).split()[0].decode() == hashlib.sha256(b"x" * 100_000).hexdigest()


def test_bypass_5_04_text_and_unknown_channels(gateway: Gateway) -> None:
    session = WebSocketClient(gateway, exec_target(POD, "cat", streams="stdin=true&stdout=true"))
    session.socket.sendall(frame(TEXT, b"\x00as text\n", KEY))
    session.send(b"\x01forged", b"\x03forged", b"\x09forged", b"", b"\xff\x00")
    session.finish()
    assert session.output(1) == b"as text\n"


def test_bypass_5_05_a_malformed_half_close_ends_the_session(gateway: Gateway) -> None:
    session = WebSocketClient(gateway, exec_target(POD, "cat", streams="stdin=true&stdout=true"))
    session.send(b"\xff\x00\x00")
    assert "half-close" in session.finish().status["message"]


@pytest.mark.parametrize(
    "protocol", ["base64.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "v3.channel.k8s.io"]
)
def test_bypass_5_06_only_the_binary_sub_protocols_v4_and_v5(gateway: Gateway, protocol: str) -> None:
    session = WebSocketClient(gateway, exec_target(POD, "echo", "bypass-5-06"), protocol)
    assert session.code == 400
    assert gateway.seen("bypass-5-06") == []
    mixed = WebSocketClient(gateway, exec_target(POD, "echo", "mixed-5-06"), protocol, V4)
    assert mixed.headers["sec-websocket-protocol"] == V4
    assert mixed.finish().output(1) == b"mixed-5-06\n"


def test_bypass_5_08_a_spdy_stream_that_was_not_asked_for(gateway: Gateway) -> None:
    session = SpdyClient(gateway, exec_target(POD, "sh", "-c", "cat; echo bypass-5-08"))
    streams = session.open("error", "stdin")
    session.send(Data(streams["stdin"], b"echo injected\n"))
    session.finish()
    assert json.loads(session.output(streams["error"]))["reason"] == "BadRequest"


def test_bypass_5_10_garbage_on_the_resize_channel(gateway: Gateway) -> None:
    session = WebSocketClient(gateway, exec_target(POD, "cat", streams="stdin=true&stdout=true&tty=true"))
    session.send(b'\x04{"Width":99999,"Height":1}')
    assert "terminal size" in session.finish().status["message"]


def test_bypass_5_15_compression_is_not_negotiated_and_refused(gateway: Gateway) -> None:
    offer = [("Sec-WebSocket-Extensions", "permessage-deflate")]
    session = WebSocketClient(gateway, exec_target(POD, "cat", streams="stdin=true&stdout=true"), more=offer)
    assert "sec-websocket-extensions" not in session.headers
    session.socket.sendall(b"\xc2" + frame(BINARY, b"\x00x", KEY)[1:])
    assert "RSV" in session.finish().status["message"]


def test_binary_output_passes_unchanged_and_is_recorded_as_size_and_hash(gateway: Gateway) -> None:
    script = "printf '\\0'; head -c 200000 /dev/zero; printf 'password=hunter22'"
    session = WebSocketClient(gateway, exec_target(POD, "sh", "-c", script, "binary-output")).finish()
    assert session.output(1) == b"\0" * 200_001 + b"password=hunter22", (session.output(3), session.closed)
    (cast,) = wait(lambda: [lines for lines in parts(gateway, "binary-output") if lines[-1][2] == "exit 0"])
    digest = hashlib.sha256(session.output(1)).hexdigest()
    assert ["m", f"stdout: {len(session.output(1))} bytes not shown, sha256 {digest}"] in [
        line[1:] for line in cast[1:]
    ]


def test_the_recording_of_a_session_is_whole_and_verified(gateway: Gateway) -> None:
    session = WebSocketClient(gateway, exec_target(POD, "echo", "whole-recording")).finish()
    assert session.output(1) == b"whole-recording\n"
    (path,) = [path for path in gateway.state.rglob("*.cast") if "whole-recording" in path.read_text()]
    found = Recordings(gateway.state)
    identifier = path.name.split(".")[0]

    def records() -> list[Any]:
        return [entry.record for entry in found.timeline(identifier, events=True) if entry.record and entry.record.argv]

    wait(lambda: len(records()) == 2)
    started, ended = records()
    assert (str(started.stage), str(ended.stage)) == ("ResponseStarted", "ResponseComplete")
    assert ended.note == "exit 0"
    assert (ended.status, ended.response_bytes) == (101, len("whole-recording\n"))
    wait(lambda: found.verify(verifier(gateway.state), session=identifier).ok)
    damaged = path.read_bytes()
    try:
        path.write_bytes(damaged.replace(b"whole", b"WHOLE"))
        assert not found.verify(verifier(gateway.state), session=identifier).ok
    finally:
        path.write_bytes(damaged)


# --- port-forward ---


def forward_target(pod: str = POD, query: str = "") -> str:
    return f"/api/v1/namespaces/payments/pods/{pod}/portforward{query}"


def pair(number: int, port: int) -> list[SynStream]:
    headers = {"port": str(port), "requestid": str(number)}
    return [
        SynStream(4 * number + 1, {"streamtype": "error", **headers}),
        SynStream(4 * number + 3, {"streamtype": "data", **headers}),
    ]


@pytest.fixture(scope="module")
def narrow(sandbox: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Only one port may be forwarded; three requests of a client may be open."""
    policy = POLICY.replace(
        "resources: [pods/exec, pods/attach, pods/portforward], action: Allow}",
        "resources: [pods/exec], action: Allow}\n"
        '    - {name: database, verbs: [get, create], apiGroups: [""], resources: [pods/portforward], ports: [5432], action: Allow}\n'
        '    - {name: asks, verbs: [get, create], apiGroups: [""], resources: [pods/exec], exec: {commands: [[sh, "-c", "*", asks]]}, action: RequireApproval}',
    )
    recording = {
        "apiVersion": "pratique/v1", "kind": "Recording", "metadata": {"name": "typed"},
        "spec": {"stdin": True, "clients": ["agent"]},
    }  # fmt: skip
    gateway = Gateway(
        tmp_path_factory.mktemp("narrow"), sandbox, policy=policy, options=["--set", "pratique_streams=3"]
    )
    (gateway.policies / "recording.yaml").write_text(json.dumps(recording))
    gateway.start()
    yield gateway
    gateway.stop()


def test_bypass_5_08_the_port_of_each_spdy_stream_is_judged(narrow: Gateway) -> None:
    session = SpdyClient(narrow, forward_target(), "portforward.k8s.io")
    assert session.code == 101
    session.send(*pair(0, 23), Data(3, b"SSH-2.0"), *pair(1, 5432), Data(7, b"hello"))
    session.wait_for(b"hello", 7)
    session.wait_for(b"port 23", 1)
    assert session.output(3) == b""
    session.close()
    (log,) = wait(lambda: [lines for lines in parts(narrow, "port 23 was refused", "events") if "closed" in str(lines)])
    assert [line["port"] for line in log if line["event"] == "opened"] == [5432]
    (closed,) = [line for line in log if line["event"] == "closed"]
    assert (closed["sent"]["bytes"], closed["received"]["bytes"]) == (5, 5)


def test_bypass_5_08_the_ports_of_the_url_bind(narrow: Gateway) -> None:
    assert SpdyClient(narrow, forward_target(query="?ports=22"), "portforward.k8s.io").code == 403
    assert WebSocketClient(narrow, forward_target(query="?ports=5432,22"), V4).code == 403
    assert WebSocketClient(narrow, forward_target(), V4).code == 403  # nobody would name the port later
    session = WebSocketClient(narrow, forward_target(query="?ports=5432"), V4)
    session.send(b"\x00over channels")
    session.wait_for(b"over channels", 0)
    session.close()


def test_bypass_5_09_the_port_of_each_stream_in_a_websocket_is_judged(narrow: Gateway) -> None:
    session = WebSocketClient(narrow, forward_target(), TUNNEL)
    encoder = SpdyEncoder()
    session.send(b"".join(map(encoder.encode, [*pair(0, 22), *pair(1, 5432), Data(7, b"hello-tunnel")])))
    while b"hello-tunnel" not in b"".join(session.messages):
        assert session._receive()
    frames = list(SpdyDecoder().feed(b"".join(session.messages)))
    texts = {each.stream: each.data for each in frames if isinstance(each, Data) and each.data}
    assert texts[7] == b"hello-tunnel"
    assert b"port 22" in texts[1]
    session.close()


def test_bypass_5_07_a_denied_exec_is_denied_over_both_transports(narrow: Gateway) -> None:
    target = f"/api/v1/namespaces/payments/pods/{POD}/attach?stdout=true&bypass=5-07"
    assert (WebSocketClient(narrow, target).code, SpdyClient(narrow, target).code) == (403, 403)


def test_bypass_5_12_attach_is_not_exec(narrow: Gateway) -> None:
    session = WebSocketClient(narrow, f"/api/v1/namespaces/payments/pods/{POD}/attach?stdout=true&stdin=true")
    assert (session.code, session.body["reason"]) == (403, "Forbidden")


def test_a_document_lets_stdin_be_recorded_masked(narrow: Gateway) -> None:
    target = exec_target(POD, "cat", streams="stdin=true&stdout=true")
    session = WebSocketClient(narrow, target)
    session.send(b"\x00typed-here password=hunter22\n", b"\xff\x00")
    session.finish()
    (cast,) = wait(lambda: parts(narrow, "typed-here"))
    assert "".join(line[2] for line in cast[1:] if line[1] == "i") == f"typed-here password={MASK.decode()}\r\n"
    other = WebSocketClient(narrow, target, client="other")
    other.send(b"\x00other-typed\n", b"\xff\x00")
    other.finish()
    assert not [line for lines in parts(narrow, "other-typed") for line in lines[1:] if line[1] == "i"]


def test_open_sessions_count_and_are_given_back(narrow: Gateway) -> None:
    sleeping = exec_target(POD, "sleep", "60")
    for _ in range(2):
        sessions = [WebSocketClient(narrow, sleeping) for _ in range(3)]
        assert [session.code for session in sessions] == [101] * 3
        assert narrow.call("GET", "/api/v1/namespaces").code == 429
        for session in sessions:
            session.close()
        wait(lambda: narrow.call("GET", "/api/v1/namespaces").code == 200)


def test_an_approved_session_goes_on_and_its_cast_names_the_approval(narrow: Gateway) -> None:
    target = exec_target(POD, "sh", "-c", "echo begun; sleep 3; echo ended", "asks")
    deciding = threading.Thread(target=_decide, args=(narrow, "exec", Decision.APPROVE))
    deciding.start()
    session = WebSocketClient(narrow, target)
    deciding.join()
    if session.code != 101:  # approved after the hold: the same request again
        assert session.body["reason"] == "ApprovalPending"
        session = WebSocketClient(narrow, target)
    assert session.finish().output(1) == b"begun\nended\n"  # past several looks at rule, client and gateway
    (cast,) = wait(lambda: [lines for lines in parts(narrow, "echo begun") if lines[-1][2] == "exit 0"])
    assert cast[1][1] == "m" and cast[1][2].startswith("approved: ")


def test_bypass_5_11_a_session_does_not_outlive_its_rule_or_its_client(narrow: Gateway) -> None:
    sleeping = exec_target(POD, "sleep", "60")
    by_agent, by_other = WebSocketClient(narrow, sleeping), WebSocketClient(narrow, sleeping, client="other")
    client, policy = narrow.policies / "client-other.yaml", narrow.policies / "policy.yaml"
    before = {path: path.read_text() for path in (client, policy)}
    try:
        client.unlink()
        assert by_other.finish().status["reason"] == "Unauthorized"
        allowed, denied = ("resources: [pods/exec], action: Allow", "resources: [pods/exec], action: Deny")
        policy.write_text(before[policy].replace(allowed, denied))
        assert (by_agent.finish().status["reason"], by_agent.closed) == ("Forbidden", 1000)
    finally:
        for path, text in before.items():
            path.write_text(text)
    wait(lambda: narrow.call("GET", "/api/v1/namespaces", client="other").code == 200)
    wait(lambda: WebSocketClient(narrow, exec_target(POD, "true")).code == 101)


# --- failures ---


@pytest.mark.parametrize("place", ["recorder-tape", "tunnel-show", "masking-output"])
def test_a_fault_inside_a_tunnel_ends_it_and_shows_nothing(faulty: Gateway, place: str) -> None:
    session = WebSocketClient(
        faulty, exec_target(POD, "sh", "-c", f"echo fault-{place}; echo must-not-be-seen; sleep 60")
    )
    assert session.code == 101
    session.finish()
    assert session.output(1) == b""
    if place == "recorder-tape":
        assert session.status["status"] == "Failure"
        assert session.closed == 1000
    else:
        assert session.closed is None  # nothing of the session is trusted any more, so it says nothing
    assert "error id" in faulty.output
    assert b"secret-in-exception-CANARY" not in faulty.recorded()
    assert b"must-not-be-seen\\r" not in faulty.recorded()
    wait(lambda: not [stream for stream in faulty.sandbox.cluster.upgraded if not stream.closed()])
    assert faulty.call("GET", "/api/v1/namespaces").code == 200


def test_bypass_5_11_duration_and_drain(make_gateway: Callable[..., Gateway]) -> None:
    """A session ends after its limit; one that is open when the gateway stops is told so, and both are recorded whole."""
    gateway = make_gateway(options=["--set", "pratique_session_limit=3"]).start()
    expired = WebSocketClient(gateway, exec_target(POD, "sh", "-c", "echo begun; sleep 60")).finish()
    assert expired.output(1) == b"begun\n"
    assert (expired.status["reason"], expired.closed) == ("Expired", 1000)
    stopped = WebSocketClient(gateway, exec_target(POD, "sh", "-c", "echo drained; sleep 60"))
    over_spdy = SpdyClient(gateway, exec_target(POD, "sh", "-c", "echo drained; sleep 60"))
    streams = over_spdy.open("error", "stdout", "stderr")
    stopped.wait_for(b"drained")
    over_spdy.wait_for(b"drained", streams["stdout"])
    reading = [threading.Thread(target=session.finish) for session in (stopped, over_spdy)]
    for thread in reading:
        thread.start()
    assert gateway.stop() == 0
    for thread in reading:
        thread.join()
    assert (stopped.status["reason"], stopped.closed) == ("ServiceUnavailable", 1000)
    assert json.loads(over_spdy.output(streams["error"]))["reason"] == "ServiceUnavailable"
    casts = parts(gateway, "drained")
    assert len(casts) == 2
    assert all(any("ended by the gateway" in line[2] for line in cast[1:]) for cast in casts)
    assert Recordings(gateway.state).verify(verifier(gateway.state)).ok


def test_a_killed_gateway_loses_nothing_that_was_seen(make_gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    gateway = make_gateway().start()
    session = WebSocketClient(gateway, exec_target(POD, "sh", "-c", "echo seen-before-the-kill; sleep 60"))
    session.wait_for(b"seen-before-the-kill")
    gateway.stop(signal.SIGKILL)
    (cast,) = parts(gateway, "seen-before-the-kill")
    assert "".join(line[2] for line in cast[1:] if line[1] == "o") == "seen-before-the-kill\r\n"
