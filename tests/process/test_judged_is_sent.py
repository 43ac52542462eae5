"""Conditions on the live object and on the result of a patch, with a real process: asked first, judged, tied, sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pratique.approvals.deciding import Decision
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State
from pratique.sandbox.cluster import Sandbox
from tests.process.gateway import Gateway

pytestmark = pytest.mark.process

POLICY = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: judged}
spec:
  rules:
    - {name: read, verbs: [get, list], resources: [configmaps, secrets], action: Allow}
    - name: small-changes
      verbs: [patch, update, apply, create]
      resources: [configmaps]
      conditions:
        - {name: few keys, expression: "size(object.?data.orValue({})) <= 2"}
        - {name: not locked, expression: "oldObject == null || oldObject.metadata.?labels.?locked.orValue('no') == 'no'"}
      action: Allow
    - name: secrets-with-one-key
      verbs: [patch]
      resources: [secrets]
      conditions: [{name: one key, expression: "size(object.data) == 1"}]
      action: Allow
    - name: disposable
      verbs: [delete]
      resources: [configmaps]
      conditions: [{name: is disposable, expression: "oldObject.metadata.labels['disposable'] == 'yes'"}]
      action: RequireApproval
    - name: only-in-payments
      verbs: [create]
      resources: [services]
      namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: payments}}
      action: Allow
"""
MAPS = "/api/v1/namespaces/payments/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}


@pytest.fixture(scope="module")
def judging(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    running = Gateway(tmp_path_factory.mktemp("judging"), sandbox, policy=POLICY, hold=20).start()
    yield running
    running.stop()


def make(gateway: Gateway, name: str, **metadata: Any) -> None:
    body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, **metadata}, "data": {"a": "1"}}
    answer = gateway.call("POST", MAPS, body)
    assert answer.code == 201, answer.body


def writes(gateway: Gateway, name: str) -> list[tuple[str, bool, Any]]:
    """(method, is a dry run, body) of what reached the cluster about an object, reads left out."""
    seen = [record for record in gateway.sandbox.requests if f"configmaps/{name}" in record.uri]
    return [
        (record.method, "dryRun=All" in record.query, json.loads(record.body) if record.body else None)
        for record in seen
        if record.method != "GET"
    ]


def live(gateway: Gateway, name: str) -> Any:
    return gateway.call("GET", f"{MAPS}/{name}").json


def test_bypass_3_17_a_patch_is_judged_by_its_result_and_what_was_judged_is_what_is_sent(judging: Gateway) -> None:
    make(judging, "patched")
    version = live(judging, "patched")["metadata"]["resourceVersion"]
    answer = judging.call("PATCH", f"{MAPS}/patched", {"data": {"b": "2"}}, MERGE)
    assert (answer.code, answer.json["data"]) == (200, {"a": "1", "b": "2"}), answer.body
    tied = {"data": {"b": "2"}, "metadata": {"resourceVersion": version}}
    assert writes(judging, "patched") == [("PATCH", True, tied), ("PATCH", False, tied)]

    refused = judging.call("PATCH", f"{MAPS}/patched", {"data": {"c": "3"}}, MERGE)
    assert (refused.code, refused.reason) == (403, "Forbidden")
    assert live(judging, "patched")["data"] == {"a": "1", "b": "2"}
    assert [dry for _, dry, _ in writes(judging, "patched")] == [True, False, True]


def test_own_calls_join_with_the_clients_request_in_the_audit_log_and_are_no_client_requests(judging: Gateway) -> None:
    make(judging, "audited")
    answer = judging.call("PATCH", f"{MAPS}/audited", {"data": {"b": "2"}}, MERGE)
    audit_id = answer.headers["audit-id"]
    records = [record for record in judging.sandbox.requests if "configmaps/audited" in record.uri]
    assert [record.audit_id for record in records] == [
        f"{audit_id}-own-1-live",
        f"{audit_id}-own-2-dry-run",
        audit_id,
    ]
    recordings = list((judging.state / "recordings").rglob("*"))
    recorded = b"".join(path.read_bytes() for path in recordings if path.is_file())
    assert f"{audit_id}-own-2-dry-run".encode() in recorded
    assert [record.header("user-agent") for record in records[:2]] == ["pratique (own call)"] * 2


def test_a_json_patch_an_apply_and_a_put_are_judged_the_same(judging: Gateway) -> None:
    make(judging, "ways")
    operations = [{"op": "add", "path": "/data/b", "value": "2"}, {"op": "add", "path": "/data/c", "value": "3"}]
    kind = {"Content-Type": "application/json-patch+json"}
    assert judging.call("PATCH", f"{MAPS}/ways", operations, kind).code == 403
    assert judging.call("PATCH", f"{MAPS}/ways", operations[:1], kind).code == 200
    assert writes(judging, "ways")[-1][2][-1]["path"] == "/metadata/resourceVersion"
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ways"}, "data": {"c": "3"}}
    assert judging.call("PATCH", f"{MAPS}/ways?fieldManager=t", applied, APPLY).code == 403, "its result has three keys"
    assert judging.call("PUT", f"{MAPS}/ways", {"metadata": {"name": "ways"}, "data": {"x": "1"}}).code == 200
    assert writes(judging, "ways")[-1][2]["metadata"]["resourceVersion"]


def test_bypass_3_18_an_apply_that_creates_is_tied_to_there_being_no_object(judging: Gateway) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new-by-apply"}, "data": {"c": "3"}}
    answer = judging.call("PATCH", f"{MAPS}/new-by-apply?fieldManager=t", body, APPLY)
    assert answer.code == 201, answer.body
    assert writes(judging, "new-by-apply")[-1][2]["metadata"]["resourceVersion"] == "1"


def test_the_live_object_decides_and_a_locked_one_stays(judging: Gateway) -> None:
    make(judging, "locked", labels={"locked": "yes"})
    answer = judging.call("PATCH", f"{MAPS}/locked", {"metadata": {"labels": {"locked": "no"}}}, MERGE)
    assert answer.code == 403, "the patch unlocks it, but the live object counts"
    assert [dry for _, dry, _ in writes(judging, "locked")] == [True]


def test_what_the_cluster_would_refuse_is_answered_as_the_cluster_would(judging: Gateway) -> None:
    missing = judging.call("PATCH", f"{MAPS}/not-there", {"data": {}}, MERGE)
    assert (missing.code, missing.reason) == (404, "NotFound")
    make(judging, "stale")
    stale = judging.call("PATCH", f"{MAPS}/stale", {"metadata": {"resourceVersion": "2"}}, MERGE)
    assert (stale.code, stale.reason) == (409, "Conflict")
    assert [dry for _, dry, _ in writes(judging, "stale")] == []


def test_a_guess_about_a_secret_is_refused_before_it_is_rehearsed(judging: Gateway) -> None:
    """Otherwise the dry run would tell a right guess from a wrong one."""
    guess = [{"op": "test", "path": "/data/password", "value": "Z3Vlc3M="}]
    kind = {"Content-Type": "application/json-patch+json"}
    before = len(judging.sandbox.requests)
    answer = judging.call("PATCH", "/api/v1/namespaces/payments/secrets/db-credentials", guess, kind)
    assert answer.code in {403, 422}
    assert len(judging.sandbox.requests) == before


def test_labels_of_the_namespace_are_looked_up_by_the_gateway(judging: Gateway) -> None:
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "labelled"}, "spec": {"ports": [{"port": 80}]}}
    allowed = judging.call("POST", "/api/v1/namespaces/payments/services", body)
    assert allowed.code == 201, allowed.body
    assert judging.call("POST", "/api/v1/namespaces/default/services", body).code == 403
    nowhere = judging.call("POST", "/api/v1/namespaces/no-such-namespace/services", body)
    assert nowhere.code == 404
    assert not [r for r in judging.seen("no-such-namespace") if r.method == "POST"]


def approve(gateway: Gateway, name: str, before: Any) -> None:
    store = SqliteStore(gateway.state / "approvals.sqlite")
    deadline = time.monotonic() + 50
    while time.monotonic() < deadline:
        for approval in store.find(time.time(), [State.PENDING]):
            if name in approval.question.summary.path:
                before()
                store.decide(approval.id, Decision.APPROVE, "alice", "", time.time())
                return
        time.sleep(0.05)
    raise AssertionError("no approval was asked for")


def label(gateway: Gateway, name: str, value: str) -> None:
    def change(cluster: Any) -> None:
        found = json.loads(json.dumps(cluster.store.get(("", "configmaps"), "payments", name)))
        found["metadata"]["labels"] = {"disposable": value}
        cluster.store.put(("", "configmaps"), found)

    gateway.sandbox.call(change)


@pytest.mark.parametrize(("value", "code"), [("no", 403), ("yes", 200)])
def test_bypass_6_06_an_object_that_changes_during_the_hold_is_judged_anew(
    judging: Gateway, value: str, code: int
) -> None:
    name = f"held-{value}"
    make(judging, name, labels={"disposable": "yes"})
    uid = live(judging, name)["metadata"]["uid"]
    reviewer = threading.Thread(target=approve, args=(judging, name, lambda: label(judging, name, value)))
    reviewer.start()
    answer = judging.call("DELETE", f"{MAPS}/{name}")
    reviewer.join()
    assert answer.code == code, answer.body
    sent = [body for method, _, body in writes(judging, name) if method == "DELETE"]
    if code == 200:
        assert sent[0]["preconditions"]["uid"] == uid
        assert "resourceVersion" in sent[0]["preconditions"]
    else:
        assert sent == []
        assert "judged/disposable" in answer.json["message"] or "no rule allows" in answer.json["message"]


def test_a_cluster_that_does_not_let_the_gateway_ask_is_a_refusal_with_the_error_in_the_log(judging: Gateway) -> None:
    make(judging, "unlucky")
    token = judging.sandbox.info.static_token
    judging.sandbox.call(lambda cluster: setattr(cluster.authenticator, "_static", "another"))
    try:
        answer = judging.call("PATCH", f"{MAPS}/unlucky", {"data": {"b": "2"}}, MERGE)
    finally:
        judging.sandbox.call(lambda cluster: setattr(cluster.authenticator, "_static", token))
    assert (answer.code, answer.reason) == (503, "ServiceUnavailable")
    assert writes(judging, "unlucky") == []
    assert f"401 Unauthorized (audit id {answer.headers['audit-id']})" in judging.output
