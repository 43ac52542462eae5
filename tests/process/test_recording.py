"""What a real gateway leaves in its files: streams as they go, held requests, approvals, claims, and nothing secret."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from pratique.cli.exporting import exported
from pratique.cli.web import shown_flow
from pratique.recorder import keys
from pratique.recorder.record import Record
from pratique.recorder.sessions import Recordings
from pratique.sandbox.seed import CANARIES
from tests.cli.conftest import module
from tests.process.gateway import Gateway
from tests.process.kills import dechunked
from tests.process.streams import WebSocketClient, exec_target
from tests.recorder.fakes3 import FakeS3

pytestmark = pytest.mark.process
V5 = "v5.channel.k8s.io"
NAMESPACE = "/api/v1/namespaces/payments"


def until[T](found: Callable[[], T], seconds: float = 60) -> T:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return value


def records(gateway: Gateway, part: str) -> list[tuple[str, Record]]:
    """(session, record) of every request whose path or query holds `part`; the last of each."""
    recordings = Recordings(gateway.state)
    return [
        (session, row.record)
        for session in recordings.ids()
        for row in recordings.timeline(session)
        if row.record and part in f"{row.record.path}?{row.record.query}"
    ]


def request(gateway: Gateway, method: str, target: str, *more: str) -> bytes:
    head = (f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {gateway.keys['agent']}", *more, "", "")
    return "\r\n".join(head).encode()


def stored(gateway: Gateway, session: str, record: Record) -> bytes:
    return b"".join(event.data for event in Recordings(gateway.state).stream(session, record.flow))


def test_what_a_watch_has_shown_is_in_the_files_while_it_goes_on(gateway: Gateway) -> None:
    target = f"{NAMESPACE}/secrets?watch=true&timeoutSeconds=299"
    with gateway.connect() as sock:
        sock.sendall(request(gateway, "GET", target))
        received = b""
        while received.count(b'"type"') < 2:
            received += sock.recv(65536)
        body = dechunked(received.partition(b"\r\n\r\n")[2])
        ((session, record),) = records(gateway, "timeoutSeconds=299")
        assert record.stage == "ResponseStarted"
        assert stored(gateway, session, record).startswith(body)
    until(lambda: records(gateway, "timeoutSeconds=299")[0][1].stage == "ResponseComplete")
    ((session, record),) = records(gateway, "timeoutSeconds=299")
    data = stored(gateway, session, record)
    assert (record.response_bytes, record.response_sha256) == (len(data), "")
    assert "default/secret-data" in record.masks
    assert not [canary for canary in CANARIES if canary.encode() in data]
    recordings = Recordings(gateway.state)
    started, ended = [entry for entry in recordings.timeline(session, events=True) if entry.part == "flow"]
    for entry in (started, ended):
        flow: Any = recordings.flow(session, entry)
        assert flow["response"]["status_code"] == 200, "a stream that its client has cut had an answer"
    assert (record.status, record.note) == (200, "Client disconnected.")


def test_a_log_is_recorded_whole_and_masked(gateway: Gateway) -> None:
    pod = gateway.call("GET", f"{NAMESPACE}/pods").json["items"][0]["metadata"]["name"]
    answer = gateway.call("GET", f"{NAMESPACE}/pods/{pod}/log?container=api&tailLines=7777")
    ((session, record),) = records(gateway, "tailLines=7777")
    assert stored(gateway, session, record) == answer.body


def test_a_held_request_whose_client_left_is_recorded_in_its_session(gateway: Gateway) -> None:
    gateway.call(
        "POST", f"{NAMESPACE}/configmaps", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "gone"}}
    )
    with gateway.connect() as sock:
        sock.sendall(request(gateway, "DELETE", f"{NAMESPACE}/configmaps/gone-while-held"))
        until(lambda: b"gone-while-held" in gateway.recorded())
    ((session, record),) = until(lambda: records(gateway, "gone-while-held"))
    assert (record.verb, record.answered_by, record.verdict) == ("delete", "gateway", "RequireApproval")
    entries = until(lambda: [e for e in Recordings(gateway.state).entries(session) if e.kind == "closed"])
    assert entries[0].reason == "closed"


def test_a_pending_approval_stands_in_the_record(gateway: Gateway) -> None:
    answer = gateway.call("DELETE", f"{NAMESPACE}/configmaps/asked-for")
    ((_, record),) = records(gateway, "configmaps/asked-for")
    assert record.approval_id
    assert record.approval_id in answer.json["message"]
    assert (record.status, record.rules) == (403, ("test/delete-asks",))


def test_kubectls_connections_share_a_session_and_claims_are_kept(gateway: Gateway) -> None:
    headers = {
        "Kubectl-Session": "0b6c2e5e-7a77-4f3b-9d0f-1e9c6a1d2b3c",
        "User-Agent": "kubernetes-mcp-server/v0.0.67 (linux/amd64) claude-code/2.1",
    }
    with gateway.connect():  # keeps nothing open: sessions belong to requests
        for name in ("claims-a", "claims-b"):
            gateway.call("GET", f"{NAMESPACE}/configmaps/{name}", headers=headers)
    sessions = {session for session, _ in records(gateway, "configmaps/claims-")}
    opened = [Recordings(gateway.state).opened(session) for session in sessions]
    assert {each.claims["kubectl_session"] for each in opened} == {headers["Kubectl-Session"]}
    assert {each.claims["mcp_client"] for each in opened} == {"claude-code/2.1"}


@pytest.mark.parametrize(
    ("what", "headers", "target"),
    [
        ("a header", {"X-Secret": "recording-CANARY-1"}, f"{NAMESPACE}/configmaps/scrub-1"),
        ("the user agent", {"User-Agent": "curl token=recording-CANARY-2"}, f"{NAMESPACE}/configmaps/scrub-2"),
        ("a parameter", {}, f"{NAMESPACE}/configmaps/scrub-3?x=recording-CANARY-3"),
        ("an argument", {}, f"{NAMESPACE}/pods/scrub-4/exec?command=mysql&command=-precording-CANARY-4"),
        ("a refused path", {}, "/api/v1/scrub-5%00/recording/token=recording-CANARY-5"),
    ],
)
def test_no_secret_of_a_request_is_stored(gateway: Gateway, what: str, headers: dict[str, str], target: str) -> None:
    gateway.call("GET", target, headers=headers)
    recorded = gateway.recorded()
    assert b"scrub-" in recorded
    assert b"recording-CANARY" not in recorded


def test_a_long_answer_is_stored_up_to_the_limit_with_its_size_and_hash(gateway: Gateway) -> None:
    value = "v" * (1 << 20)
    body: dict[str, Any] = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "long"}, "data": {"a": value}}
    answer = gateway.call("POST", f"{NAMESPACE}/configmaps?fieldManager=long", body)
    assert answer.code == 201
    ((session, record),) = records(gateway, "fieldManager=long")
    assert (record.response_bytes, record.response_cut) == (len(answer.body), 1 << 20)
    assert (record.request_cut, len(record.request_sha256)) == (1 << 20, 64)
    row = next(row for row in Recordings(gateway.state).timeline(session) if row.record == record)
    flow: Any = Recordings(gateway.state).flow(session, row)
    assert len(flow["response"]["content"]) == len(flow["request"]["content"]) == 1 << 20
    assert "response: 1048576 of" in flow["comment"]


def test_an_exec_is_shown_played_and_exported(gateway: Gateway) -> None:
    target = exec_target("db-0", "sh", "-c", "printf 'played-from-a-real-gateway\\n'; exit 4")
    assert WebSocketClient(gateway, target, V5).finish().output(1) == b"played-from-a-real-gateway\n"
    ((session, record),) = until(
        lambda: [found for found in records(gateway, "played-from") if found[1].stage == "ResponseComplete"]
    )
    (row,) = module_json("sessions", "show", session, "--state", gateway.state)["requests"]
    assert (row["cast"], row["status"], row["note"]) == (f"{record.flow}.cast", 101, "exit 4")
    played = module("sessions", "play", session, "--state", gateway.state).stdout
    assert "played-from-a-real-gateway\n" in played
    assert "exit 4" in played
    page = module("sessions", "export", session, "--format", "html", "--state", gateway.state).stdout
    assert "played-from-a-real-gateway" in page
    found = Recordings(gateway.state)
    (entry,) = found.timeline(session)
    flow = shown_flow(found, session, entry, record, found.cast(session, record.flow))
    assert flow.websocket is not None
    assert flow.websocket.messages[0].content == b"\x01played-from-a-real-gateway\r\n"


def test_no_export_of_any_session_holds_a_canary(gateway: Gateway) -> None:
    gateway.call("GET", f"{NAMESPACE}/secrets?resourceVersion=0")
    found, check = Recordings(gateway.state), keys.verifier(gateway.state)
    texts = [exported(found, session, form, check, 1.0) for session in found.ids() for form in ("audit", "har", "html")]
    assert any("masked-by-pratique" in text for text in texts)
    secrets = [*CANARIES, gateway.keys["agent"], gateway.sandbox.info.static_token]
    assert not [secret for secret in secrets if any(secret in text for text in texts)]


def module_json(*arguments: Any) -> Any:
    return json.loads(module(*arguments, "--output", "json").stdout)


def test_a_session_goes_on_in_a_new_one_when_it_is_long(make_gateway) -> None:
    gateway = make_gateway(options=["--set", "pratique_segment_size=1"]).start()
    import http.client

    connection = http.client.HTTPSConnection("127.0.0.1", gateway.port, context=gateway.tls(), timeout=60)
    for _ in range(3):
        connection.request("GET", "/version", headers={"Authorization": f"Bearer {gateway.keys['agent']}"})
        assert connection.getresponse().read()
    recordings = Recordings(gateway.state)
    ids = recordings.ids()
    assert [recordings.opened(each).continues for each in ids] == ["", ids[0], ids[1]]
    assert [len(recordings.timeline(each)) for each in ids] == [1, 1, 1]
    connection.close()
    assert gateway.stop() == 0


def test_while_the_bucket_is_away_and_the_spool_is_full_nothing_is_served(make_gateway) -> None:
    with FakeS3() as s3:
        s3.fail = 503
        options = ["--set", "pratique_segment_bucket=audit", "--set", "pratique_spool_limit=30000"]
        gateway = make_gateway(options=options, environment=s3.environment).start()
        answers = [gateway.call("GET", f"{NAMESPACE}/configmaps/full-{number}") for number in range(20)]
        codes = [answer.code for answer in answers]
        assert codes[0] == 404
        assert codes[-1] == 503
        assert "wait to be copied" in answers[-1].json["message"]
        assert len(gateway.seen("configmaps/full-")) == codes.count(404), "what was refused was not sent"
        s3.fail = 0
        until(lambda: gateway.call("GET", f"{NAMESPACE}/configmaps/again").code == 404)
        assert gateway.stop() == 0
        sealed = {path.name for path in gateway.state.glob("recordings/*/*.chain")}
        assert {name.rpartition("/")[2] for name in s3.objects if "/sessions/" not in name} >= sealed
