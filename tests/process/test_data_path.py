"""The whole path with a real process: identity, policy, masking, recorder, on live traffic."""

from __future__ import annotations

import base64
import os
import re
import threading
import time

import pytest

from pratique.approvals.deciding import Decision
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State
from pratique.sandbox.seed import CANARIES
from tests.process.gateway import Gateway

pytestmark = pytest.mark.process
CONFIGMAP = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}


def configmap(name: str) -> dict[str, object]:
    return {**CONFIGMAP, "metadata": {"name": name, "namespace": "payments"}}


def test_a_request_without_a_credential_gets_a_401_status(gateway: Gateway) -> None:
    before = len(gateway.sandbox.requests)
    answer = gateway.call("GET", "/api/v1/namespaces", client="")
    assert (answer.code, answer.reason) == (401, "Unauthorized")
    assert len(gateway.sandbox.requests) == before


def test_a_wrong_key_gets_a_401_status(gateway: Gateway) -> None:
    answer = gateway.call(
        "GET", "/api/v1/namespaces", client="", headers={"Authorization": "Bearer " + gateway.keys["agent"][:-1] + "X"}
    )
    assert answer.code == 401


def test_the_cluster_sees_the_gateways_token_and_none_of_the_clients_credentials(gateway: Gateway) -> None:
    answer = gateway.call(
        "GET",
        "/api/v1/namespaces/payments/configmaps/credential-probe",
        headers={"X-Remote-User": "admin", "Cookie": "a=b", "X-Forwarded-Client-Cert": "x"},
    )
    assert answer.code == 404
    (record,) = gateway.seen("credential-probe")
    assert record.header("authorization") == "Bearer static-upstream-token-CANARY"
    names = {name.lower() for name, _ in record.headers}
    assert names & {"x-remote-user", "cookie", "x-forwarded-client-cert"} == set()
    assert gateway.keys["agent"] not in str(record.headers)
    assert record.header("audit-id") == answer.headers["audit-id"]


@pytest.mark.parametrize(
    "name", ["Impersonate-User", "iMpErSoNaTe-UsEr", "IMPERSONATE-GROUP", "Impersonate-Extra-x", "Impersonate-Uid"]
)
def test_bypass_2_07_impersonation_is_refused_in_any_case(gateway: Gateway, name: str) -> None:
    answer = gateway.call(
        "GET", "/api/v1/namespaces/payments/configmaps/impersonation-probe", headers={name: "system:masters"}
    )
    assert answer.code in {400, 403}
    assert gateway.seen("impersonation-probe") == []


def test_bypass_2_06_a_bearer_subprotocol_never_reaches_the_cluster(gateway: Gateway) -> None:
    answer = gateway.call(
        "GET",
        "/api/v1/namespaces/payments/pods/subprotocol-probe/exec?command=id&stdout=true",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": "base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io",
        },
    )
    assert answer.code >= 400
    assert all(
        "bearer" not in str(record.headers).lower().replace("bearer static", "")
        for record in gateway.seen("subprotocol-probe")
    )


def test_secret_values_are_masked_and_stay_valid_base64(gateway: Gateway) -> None:
    answer = gateway.call("GET", "/api/v1/secrets")
    assert answer.code == 200
    items = answer.json["items"]
    assert items
    assert not [canary for canary in CANARIES if canary.encode() in answer.body]
    values = {value for item in items for key, value in (item.get("data") or {}).items() if not key.endswith(".crt")}
    assert len(values) == 1
    assert "warning" in answer.headers


def test_secret_table_shows_no_value(gateway: Gateway) -> None:
    answer = gateway.call(
        "GET",
        "/api/v1/secrets?includeObject=Object",
        headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
    )
    assert answer.json["kind"] == "Table"
    assert b"canary" not in answer.body


def test_leaks_A1_A2_other_representations_are_answered_in_json(gateway: Gateway) -> None:
    for accept in (
        "application/vnd.kubernetes.protobuf",
        "application/yaml",
        "application/vnd.kubernetes.protobuf, application/json",
    ):
        answer = gateway.call("GET", "/api/v1/secrets", headers={"Accept": accept})
        assert answer.headers["content-type"].startswith("application/json")
        assert b"canary" not in answer.body


def test_a_denied_request_gets_a_status_that_names_the_rule(gateway: Gateway) -> None:
    answer = gateway.call("DELETE", "/api/v1/namespaces/payments")
    assert (answer.code, answer.reason) == (403, "Forbidden")
    assert "test/no-namespaces" in answer.json["message"]
    assert "namespaces stay" in answer.json["message"]
    assert not [
        record
        for record in gateway.sandbox.requests
        if record.method == "DELETE" and record.path == "/api/v1/namespaces/payments"
    ]


def test_what_no_rule_names_is_denied(gateway: Gateway) -> None:
    assert gateway.call("POST", "/api/v1/namespaces/payments/pods", {"kind": "Pod", "apiVersion": "v1"}).code == 403


def test_a_write_passes_and_its_answer_is_masked(gateway: Gateway) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "written"},
        "stringData": {"p": "client-side-CANARY"},
    }
    answer = gateway.call("POST", "/api/v1/namespaces/payments/secrets", secret)
    assert answer.code == 201, answer.body
    assert b"CANARY" not in answer.body
    assert b"client-side-CANARY" not in gateway.recorded()


def test_leaks_M_a_mask_that_comes_back_is_refused_and_the_object_stays(gateway: Gateway) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "write-back"}, "stringData": {"p": "kept"}}
    assert gateway.call("POST", "/api/v1/namespaces/payments/secrets", secret).code == 201
    masked = gateway.call("GET", "/api/v1/namespaces/payments/secrets/write-back").json
    answer = gateway.call("PUT", "/api/v1/namespaces/payments/secrets/write-back", masked)
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert "data" in answer.json["details"]["causes"][-1]["field"]


def _store(gateway: Gateway) -> SqliteStore:
    return SqliteStore(gateway.state / "approvals.sqlite")


def _decide(gateway: Gateway, name: str, decision: Decision) -> str:
    store = _store(gateway)
    deadline = time.monotonic() + 50
    while time.monotonic() < deadline:
        for approval in store.find(time.time(), [State.PENDING]):
            if re.search(rf"(?<![a-z0-9-]){name}(?![a-z0-9-])", approval.question.summary.path):
                store.decide(approval.id, decision, "alice", "because of the test", time.time())
                return approval.id
        time.sleep(0.05)
    raise AssertionError("no approval was asked for")


def test_a_held_delete_happens_once_after_approval(gateway: Gateway) -> None:
    assert gateway.call("POST", "/api/v1/namespaces/payments/configmaps", configmap("held")).code == 201
    thread = threading.Thread(target=_decide, args=(gateway, "held", Decision.APPROVE))
    thread.start()
    answer = gateway.call("DELETE", "/api/v1/namespaces/payments/configmaps/held")
    thread.join()
    if answer.code == 403:  # approved after the hold: the same request again
        assert answer.reason == "ApprovalPending"
        answer = gateway.call("DELETE", "/api/v1/namespaces/payments/configmaps/held")
    assert answer.code == 200, answer.body
    assert len([r for r in gateway.seen("configmaps/held") if r.method == "DELETE"]) == 1


def test_an_undecided_hold_is_answered_pending_and_the_repeat_joins_it(gateway: Gateway) -> None:
    first = gateway.call("DELETE", "/api/v1/namespaces/payments/configmaps/undecided")
    second = gateway.call("DELETE", "/api/v1/namespaces/payments/configmaps/undecided")
    assert (first.code, first.reason) == (403, "ApprovalPending")
    assert first.json["details"]["causes"][-1] == second.json["details"]["causes"][-1]
    assert gateway.seen("undecided") == []


def test_a_denied_approval_tells_the_reviewers_reason(gateway: Gateway) -> None:
    gateway.call("DELETE", "/api/v1/namespaces/payments/configmaps/refused-one")
    _decide(gateway, "refused-one", Decision.DENY)
    answer = gateway.call("DELETE", "/api/v1/namespaces/payments/configmaps/refused-one")
    assert answer.code == 403
    assert "because of the test" in answer.json["message"]
    assert gateway.seen("refused-one") == []


def test_bypass_6_01_another_client_cannot_use_the_approval(gateway: Gateway) -> None:
    gateway.call("DELETE", "/api/v1/namespaces/payments/configmaps/bound")
    _decide(gateway, "bound", Decision.APPROVE)
    other = gateway.call("DELETE", "/api/v1/namespaces/payments/configmaps/bound", client="other")
    assert other.reason == "ApprovalPending"
    assert gateway.seen("configmaps/bound") == []


def test_a_client_that_leaves_while_held_sends_nothing_upstream(gateway: Gateway) -> None:
    sock = gateway.connect()
    sock.sendall(
        f"DELETE /api/v1/namespaces/payments/configmaps/left HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.keys['agent']}\r\n\r\n".encode()
    )
    time.sleep(0.1)
    deadline = time.monotonic() + 50
    while time.monotonic() < deadline and not [
        a for a in _store(gateway).find(time.time()) if "configmaps/left" in a.question.summary.path
    ]:
        time.sleep(0.05)
    sock.close()
    _decide(gateway, "configmaps/left", Decision.APPROVE)
    time.sleep(0.1)
    assert gateway.call("GET", "/api/v1/namespaces").code == 200
    assert gateway.seen("configmaps/left") == []


def test_a_watch_streams_masked_events(gateway: Gateway) -> None:
    with gateway.connect() as sock:
        sock.sendall(
            f"GET /api/v1/namespaces/payments/secrets?watch=true&timeoutSeconds=30 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.keys['agent']}\r\n\r\n".encode()
        )
        received = b""
        while received.count(b'"type"') < 2:
            received += sock.recv(65536)
    assert b"200 OK" in received.split(b"\r\n", 1)[0] or b" 200" in received.split(b"\r\n", 1)[0]
    assert b"canary" not in received
    assert b"ADDED" in received


def test_logs_stream_and_are_masked(gateway: Gateway) -> None:
    pods = gateway.call("GET", "/api/v1/namespaces/payments/pods").json["items"]
    answer = gateway.call("GET", f"/api/v1/namespaces/payments/pods/{pods[0]['metadata']['name']}/log?container=api")
    assert answer.code == 200
    assert answer.body
    assert not [canary for canary in CANARIES if canary.encode() in answer.body]


def test_the_recording_holds_the_requests_and_neither_tokens_nor_values(gateway: Gateway) -> None:
    gateway.call("GET", "/api/v1/namespaces/payments/secrets/recording-probe")
    gateway.call("GET", "/api/v1/namespaces/payments/secrets")
    gateway.call("GET", "/api/v1/recorded-refusal")
    recorded = gateway.recorded()
    assert b"recording-probe" in recorded
    assert b"recorded-refusal" in recorded
    assert b"static-upstream-token-CANARY" not in recorded
    assert gateway.keys["agent"].encode() not in recorded
    assert not [canary for canary in CANARIES if canary.encode() in recorded]


def test_the_documents_reload_and_a_broken_edit_keeps_the_old_set(make_gateway) -> None:
    gateway = make_gateway().start()
    document = gateway.policies / "policy.yaml"
    good = document.read_text()
    document.write_text(good.replace("action: Allow", "action: Alow", 1))
    _wait(lambda: "NOT in force" in gateway.output)
    assert gateway.call("GET", "/api/v1/namespaces").code == 200
    assert "policy.yaml:" in gateway.output
    document.write_text(good.replace("namespaces, deployments", "deployments"))
    _wait(lambda: "documents reloaded" in gateway.output)
    assert gateway.call("GET", "/api/v1/namespaces").code == 403


def _wait(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_a_json_patch_passes_and_a_copy_of_a_masked_value_does_not(gateway: Gateway) -> None:
    secret = {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": "patched"},
        "data": {"p": base64.b64encode(os.urandom(9)).decode()},
    }
    assert gateway.call("POST", "/api/v1/namespaces/payments/secrets", secret).code == 201
    target = "/api/v1/namespaces/payments/secrets/patched"
    patch = {"Content-Type": "application/json-patch+json"}
    allowed = [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]
    result = gateway.call("PATCH", target, allowed, headers=patch)
    assert result.code == 200, result.body
    assert result.json["metadata"]["labels"] == {"a": "b"}
    for op in ("copy", "move"):
        refused = gateway.call(
            "PATCH", target, [{"op": op, "from": "/data/p", "path": "/metadata/labels/stolen"}], headers=patch
        )
        assert (refused.code, refused.reason) == (422, "Invalid")
        assert refused.json["details"]["causes"][-1]["field"] == "/data/p"
    guess = [{"op": "test", "path": "/data/p", "value": "x"}]
    assert gateway.call("PATCH", target, guess, headers=patch).code == 422
    assert len([record for record in gateway.seen("secrets/patched") if record.method == "PATCH"]) == 1
    for kind in ("merge", "strategic-merge"):
        merged = gateway.call(
            "PATCH",
            target,
            {"metadata": {"labels": {"c": kind}}},
            headers={"Content-Type": f"application/{kind}-patch+json"},
        )
        assert merged.json["metadata"]["labels"]["c"] == kind, merged.body
