"""Probes, metrics and the JSON log of a running gateway: they say what happened, and nothing that is masked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.process.gateway import Gateway, eventually
from tests.process.reviewing import MAPS, Held, Reviewer, probe
from tests.process.streams import WebSocketClient, exec_target

pytestmark = pytest.mark.process
CANARY = "log-canary-5d1f0c"


@pytest.fixture(scope="module")
def gateway(sandbox, tmp_path_factory):
    options = ["--set", "pratique_log_format=json"]
    running = Gateway(tmp_path_factory.mktemp("observed"), sandbox, hold=40, options=options).start()
    yield running
    running.stop()


def metric(gateway: Gateway, name: str, **labels: str) -> float:
    text = probe(gateway, "/metrics").body.decode()
    return sum(
        each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == f"pratique_{name}" and labels.items() <= each.labels.items()
    )


def lines(gateway: Gateway) -> list[Any]:
    """Every line is a JSON object."""
    return [json.loads(line) for line in gateway.output.splitlines()]


def logged(gateway: Gateway, **fields: Any) -> Any:
    """The line with these fields; waits for it."""
    found: list[Any] = []

    def look() -> bool:
        found[:] = [line for line in lines(gateway) if fields.items() <= line.items()]
        return bool(found)

    eventually(look)
    return found[-1]


def test_it_is_alive_and_ready_check_by_check(gateway: Gateway) -> None:
    assert probe(gateway, "/healthz").json == {"status": "ok"}
    answer = probe(gateway, "/readyz")
    assert answer.code == 200, answer.body
    assert all(check["ok"] for check in answer.json["checks"])
    assert metric(gateway, "ready") == 1


def test_what_happened_is_counted_and_logged_with_ids_that_join(gateway: Gateway) -> None:
    before = metric(gateway, "requests_total", client="agent", verb="get", code="404")
    answer = gateway.call("GET", f"{MAPS}/counted-and-logged")
    assert answer.code == 404
    line = logged(gateway, event="request", name="counted-and-logged")
    assert (line["client"], line["verdict"], line["rules"], line["code"]) == (
        "agent",
        "Allow",
        ["test/read", "test/write"],
        404,
    )
    assert line["auditID"] == answer.headers["audit-id"]
    assert any(gateway.state.rglob(f"{line['session']}.chain"))
    assert metric(gateway, "requests_total", client="agent", verb="get", code="404") == before + 1
    assert metric(gateway, "upstream_seconds_count", verb="get") >= 1
    assert metric(gateway, "added_seconds_count", verb="get") >= 1
    denied = gateway.call("DELETE", "/api/v1/namespaces/counted-and-denied")
    assert denied.code == 403
    assert logged(gateway, event="request", name="counted-and-denied")["refusal"] == "policy/denied"
    assert metric(gateway, "verdicts_total", action="Deny", rule="test/no-namespaces") >= 1
    assert metric(gateway, "refusals_total", rule="policy/denied") >= 1
    assert gateway.call("GET", MAPS, client="").code == 401
    assert metric(gateway, "requests_total", client="", code="401") >= 1


def test_a_hold_is_seen_while_it_lasts_and_its_decision_is_logged(gateway: Gateway) -> None:
    alice = Reviewer(gateway, "alice")
    held = Held(gateway, "DELETE", f"{MAPS}/held-and-logged")
    approval = alice.find("held-and-logged")
    assert metric(gateway, "held_requests") >= 1
    alice.decide("held-and-logged", reason=CANARY)
    assert held.answer().code == 404
    decided = logged(gateway, event="decision", approval=approval)
    assert (decided["reviewer"], decided["decision"], decided["client"]) == ("alice", "approve", "agent")
    line = logged(gateway, event="request", name="held-and-logged")
    assert line["approval"] == approval
    assert line["held"] > 0
    assert metric(gateway, "hold_seconds_count", approved="true") >= 1


def test_an_open_stream_is_a_gauge_and_then_a_line(gateway: Gateway) -> None:
    before = metric(gateway, "open_streams")
    with gateway.connect() as sock:
        sock.sendall(gateway.head(f"GET {MAPS}?watch=true&timeoutSeconds=300"))
        sock.recv(65536)
        eventually(lambda: metric(gateway, "open_streams") == before + 1)
    eventually(lambda: metric(gateway, "open_streams") == before)
    session = WebSocketClient(gateway, exec_target("db-0", "echo", CANARY)).finish()
    assert session.status["status"] == "Success"
    line = logged(gateway, event="request", resource="pods/exec")
    assert (line["code"], line["stream"], line["name"]) == (101, True, "db-0")


def test_nothing_that_is_masked_or_sent_is_in_log_or_metrics(gateway: Gateway) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "logged"}, "stringData": {"p": CANARY}}
    spaces = "/api/v1/namespaces/payments/secrets"
    assert gateway.call("POST", spaces, secret).code in {201, 409}
    masked = metric(gateway, "masked_values_total")
    assert CANARY.encode() not in gateway.call("GET", f"{spaces}/logged").body
    assert metric(gateway, "masked_values_total") > masked
    gateway.call("GET", f"{MAPS}/{CANARY}")  # a masked value as a name
    gateway.call("GET", f"{MAPS}?labelSelector=a%3D{CANARY}", headers={"User-Agent": CANARY, "X-Odd": CANARY})
    gateway.call(
        "POST", MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x y"}, "data": {"a": CANARY}}
    )
    gateway.call("GET", f"/{CANARY}")
    gateway.raw(f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CANARY}\r\n\r\n".encode())
    alice = Reviewer(gateway, "alice")
    alice.call("POST", "/login", {"key": CANARY})
    logged(gateway, event="request", code=401)
    text = gateway.output + probe(gateway, "/metrics").body.decode() + probe(gateway, "/readyz").body.decode()
    assert CANARY not in text
    for key in gateway.keys.values():
        assert key not in text
    assert "static-upstream-token-CANARY" not in text


def test_edited_documents_with_an_error_are_said_and_it_stays_ready(gateway: Gateway) -> None:
    bad = gateway.policies / "bad.yaml"
    bad.write_text("apiVersion: pratique/v1\nkind: Planet\n")
    eventually(lambda: metric(gateway, "documents_refused") == 1)
    answer = probe(gateway, "/readyz")
    (check,) = [check for check in answer.json["checks"] if not check["ok"]]
    assert (answer.code, check["name"], check["required"]) == (200, "documents", False)
    assert str(bad) not in answer.body.decode()
    bad.unlink()
    eventually(lambda: metric(gateway, "documents_refused") == 0)


def test_without_a_credential_it_is_not_ready_and_then_it_is(make_gateway) -> None:
    gateway = make_gateway()
    token = gateway.folder / "token"
    content = token.read_text()
    token.unlink()
    gateway.start()
    answer = probe(gateway, "/readyz")
    (check,) = [check for check in answer.json["checks"] if not check["ok"]]
    assert (answer.code, check["name"], check["problem"]) == (
        503,
        "credential",
        "no credential for the cluster can be had",
    )
    assert gateway.call("GET", MAPS).code == 503
    token.write_text(content)
    assert probe(gateway, "/readyz").code == 200
    assert f"not ready: credential: the token file `{token}` cannot be read" in gateway.output
    assert "ready again: credential" in gateway.output
