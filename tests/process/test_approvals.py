"""Requests that a person decides, on a real gateway: each happens once, as it was shown, or not at all."""

from __future__ import annotations

import http.server
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.webhooks import verify
from pratique.sandbox.cluster import Sandbox
from tests.process.gateway import Answer, Gateway
from tests.process.reviewing import MAPS, POLICY, Held, Reviewer, changed, configmap, make, wait_for
from tests.process.streams import SpdyClient, WebSocketClient, exec_target

pytestmark = pytest.mark.process
CLIENTS = ("agent", "other", "patient", "flooder")
SECRET = "a secret for webhooks"
WEBHOOK = """
apiVersion: pratique/v1
kind: Webhook
metadata: {{name: ops}}
spec: {{url: "http://127.0.0.1:{port}/hook", secretFile: secret, events: [asked, denied, used]}}
"""
HOLDS = {name: 0 for name in CLIENTS if name != "patient"}


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Requests of `patient` are held until they are decided, those of the others not at all."""
    folder = tmp_path_factory.mktemp("approvals")
    documents = {"webhook.yaml": WEBHOOK.format(port=receiver.server_port), "secret": SECRET}
    running = Gateway(folder, sandbox, policy=POLICY, hold=45, clients=CLIENTS, holds=HOLDS, documents=documents)
    yield running.start()
    running.stop()


class Receiver(http.server.ThreadingHTTPServer):
    """Of webhooks: what came so far."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[bytes, dict[str, str]]] = []


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Receiver)
        self.server.got.append((body, dict(self.headers)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Not into the test's output."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(30)


@pytest.fixture(scope="module")
def edited(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One whose documents are edited."""
    running = Gateway(tmp_path_factory.mktemp("edited"), sandbox, policy=POLICY, hold=45).start()
    yield running
    running.stop()


def edit(gateway: Gateway, old: str, new: str) -> None:
    """Its policy as it was made, with this change, in force."""
    assert old in POLICY
    before = gateway.output.count("documents reloaded")
    (gateway.policies / "policy.yaml").write_text(POLICY.replace(old, new) + f"# edit {before}\n")
    wait_for(lambda: gateway.output.count("documents reloaded") > before)


@pytest.fixture
def alice(gateway: Gateway) -> Iterator[Reviewer]:
    alice = Reviewer(gateway, "alice")
    yield alice
    alice.clear()  # or the tests together would reach the quota of pending approvals


@pytest.fixture
def bob(gateway: Gateway) -> Reviewer:
    return Reviewer(gateway, "bob")


def sent_body(gateway: Gateway, marker: str) -> object:
    (record,) = changed(gateway, marker)
    return json.loads(record.body)


def test_a_held_delete_is_approved_through_the_api_and_happens_once(gateway: Gateway, alice: Reviewer) -> None:
    target = make(gateway, "held-one")
    held = Held(gateway, "DELETE", target, client="patient")
    approval_id = alice.decide("held-one", reason="cleaning up")
    answer = held.answer()
    assert answer.code == 200, answer.body
    assert len(changed(gateway, "held-one")) == 1
    assert alice.show(approval_id)["row"]["state"] == "used"
    assert gateway.call("GET", target).code == 404


def test_it_carries_the_uid_that_was_shown(gateway: Gateway, alice: Reviewer) -> None:
    target = make(gateway, "with-uid")
    uid = gateway.call("GET", target).json["metadata"]["uid"]
    gateway.call("DELETE", target)
    shown = alice.show(alice.decide("with-uid"))
    assert shown["effect"]["objects"] == [
        {"kind": "ConfigMap", "namespace": "payments", "name": "with-uid", "uid": uid}
    ]
    assert gateway.call("DELETE", target).code == 200
    body = sent_body(gateway, "with-uid")
    assert body["preconditions"]["uid"] == uid  # type: ignore[index]


def test_denied_while_held_is_told_with_the_reason(gateway: Gateway, alice: Reviewer) -> None:
    target = make(gateway, "denied-one")
    held = Held(gateway, "DELETE", target, client="patient")
    alice.decide("denied-one", "deny", reason="it is still in use")
    answer = held.answer()
    assert (answer.code, answer.reason) == (403, "ApprovalDenied")
    assert "`alice` denied it: it is still in use" in answer.json["message"]
    assert changed(gateway, "denied-one") == []


def test_expired_is_told_in_clear_text(gateway: Gateway) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "expires"}, "stringData": {"p": "x"}}
    answer = gateway.call("POST", "/api/v1/namespaces/payments/secrets", secret, client="patient")
    assert (answer.code, answer.reason) == (403, "ApprovalExpired")
    assert "Send the request again to ask anew" in answer.json["message"]
    posted = [record for record in gateway.seen("payments/secrets") if record.method == "POST"]
    assert [record for record in posted if b'"expires"' in record.body] == []


def test_pending_says_where_to_approve_and_what_to_do(gateway: Gateway) -> None:
    answer = gateway.call("DELETE", make(gateway, "where"))
    assert (answer.code, answer.reason) == (403, "ApprovalPending")
    approval_id = answer.json["details"]["causes"][-1]["message"]
    assert f"{gateway.admin}/a/{approval_id}" in answer.json["message"]
    assert f"pratique approvals approve {approval_id}" in answer.json["message"]
    assert "Repeat exactly the same request after approval" in answer.json["message"]
    assert changed(gateway, "configmaps/where") == []


def test_approved_after_the_hold_the_repeat_succeeds(gateway: Gateway, alice: Reviewer) -> None:
    target = make(gateway, "late-one")
    assert gateway.call("DELETE", target).reason == "ApprovalPending"
    alice.decide("late-one")
    assert gateway.call("DELETE", target).code == 200
    assert len(changed(gateway, "late-one")) == 1


def test_a_controller_is_told_to_retry_with_growing_patience(gateway: Gateway) -> None:
    target = make(gateway, "controller")
    agent = {"User-Agent": "manager/v1.2 (linux/amd64) kubernetes/abcdef"}
    answers = [gateway.call("DELETE", target, headers=agent) for _ in range(2)]
    assert [(answer.code, answer.headers["retry-after"]) for answer in answers] == [(429, "5"), (429, "10")]
    assert answers[0].json["details"]["retryAfterSeconds"] == 5


def test_bypass_6_02_of_two_parallel_copies_exactly_one_is_carried_out(gateway: Gateway, alice: Reviewer) -> None:
    target = make(gateway, "copies")
    assert gateway.call("DELETE", target).reason == "ApprovalPending"
    alice.decide("copies")
    answers = [held.answer() for held in [Held(gateway, "DELETE", target) for _ in range(4)]]
    assert len(changed(gateway, "configmaps/copies")) == 1
    assert sorted(answer.code for answer in answers).count(200) == 1


def test_bypass_6_01_a_changed_byte_parameter_or_type_is_another_question(gateway: Gateway, alice: Reviewer) -> None:
    target = make(gateway, "bound-tight")
    merge = {"Content-Type": "application/merge-patch+json"}
    patch = b'{"data":{"a":"c"}}'
    gateway.call("PATCH", target, patch, merge)
    alice.decide("patch ConfigMap payments/bound-tight")
    others = [
        gateway.call("PATCH", target, b'{"data":{"a":"d"}}', merge),
        gateway.call("PATCH", f"{target}?fieldManager=x", patch, merge),
        gateway.call("PATCH", target, patch, {"Content-Type": "application/strategic-merge-patch+json"}),
        gateway.call("PATCH", target, patch, merge, client="other"),
    ]
    assert {answer.reason for answer in others} == {"ApprovalPending"}
    assert changed(gateway, "bound-tight") == []
    assert gateway.call("PATCH", target, patch, merge).code == 200


def test_bypass_6_03_a_repeat_joins_and_another_patch_of_the_object_supersedes(
    gateway: Gateway, alice: Reviewer
) -> None:
    target = make(gateway, "joined")
    merge = {"Content-Type": "application/merge-patch+json"}
    first = [gateway.call("PATCH", target, b'{"data":{"a":"1"}}', merge) for _ in range(2)]
    ids = {answer.json["details"]["causes"][-1]["message"] for answer in first}
    assert len(ids) == 1
    assert alice.show(ids.copy().pop())["row"]["attempts"] == 2
    second = gateway.call("PATCH", target, b'{"data":{"a":"2"}}', merge).json["details"]["causes"][-1]["message"]
    assert alice.show(second)["supersedes"] in ids


def test_bypass_6_04_what_was_done_is_not_done_again_by_a_retry(gateway: Gateway, alice: Reviewer) -> None:
    """The client lost the answer and repeats (urllib3 does, 3 times): asked anew, and the reviewer is told why."""
    target = make(gateway, "lost-answer")
    gateway.call("DELETE", target)
    used = alice.decide("lost-answer")
    assert gateway.call("DELETE", target).code == 200
    again = gateway.call("DELETE", target)
    assert again.reason == "ApprovalPending"
    assert alice.show(again.json["details"]["causes"][-1]["message"])["repeats"] == used
    assert len(changed(gateway, "lost-answer")) == 1


def test_bypass_6_04_a_cluster_that_does_not_answer_is_not_asked_twice(gateway: Gateway, alice: Reviewer) -> None:
    target = make(gateway, "conflicting")
    gateway.call("PUT", target, configmap("conflicting", a="x"))
    alice.decide("update ConfigMap payments/conflicting")
    answer = gateway.call("PUT", target, configmap("conflicting", a="x"))
    assert answer.code == 200
    assert "retry-after" not in answer.headers
    assert len(changed(gateway, "conflicting")) == 1


def test_bypass_6_05_a_selection_that_grew_is_asked_anew(gateway: Gateway, alice: Reviewer) -> None:
    make(gateway, "grows")
    target = f"{MAPS}?labelSelector=app%3Dgrows"
    first = gateway.call("DELETE", target)
    assert first.reason == "ApprovalPending"
    approval_id = alice.decide("with labels `app=grows`")
    assert [each["name"] for each in alice.show(approval_id)["effect"]["objects"]] == ["grows"]
    more = configmap("grows-too")
    more["metadata"]["labels"] = {"app": "grows"}
    assert gateway.call("POST", MAPS, more).code == 201
    again = gateway.call("DELETE", target)
    assert again.reason == "ApprovalPending"
    assert changed(gateway, "app%3Dgrows") == []
    asked = alice.show(alice.find("with labels `app=grows`"))
    assert {each["name"] for each in asked["effect"]["objects"]} == {"grows", "grows-too"}
    assert "has changed" in alice.show(approval_id)["note"]
    alice.decide("with labels `app=grows`")
    assert gateway.call("DELETE", target).code == 200
    assert gateway.call("GET", f"{MAPS}/grows-too").code == 404


def test_bypass_6_06_an_object_that_was_made_anew_is_asked_about_anew(gateway: Gateway, alice: Reviewer) -> None:
    target = make(gateway, "recreated")
    gateway.call("DELETE", target)
    alice.decide("recreated")
    _recreate(gateway, "recreated")
    assert gateway.call("DELETE", target).reason == "ApprovalPending"
    assert changed(gateway, "configmaps/recreated") == []


def test_bypass_6_06_a_patch_is_tied_to_the_version_that_was_shown(gateway: Gateway, alice: Reviewer) -> None:
    target = make(gateway, "versioned")
    merge = {"Content-Type": "application/merge-patch+json"}
    gateway.call("PATCH", target, b'{"data":{"a":"c"}}', merge)
    alice.decide("patch ConfigMap payments/versioned")
    version = gateway.call("GET", target).json["metadata"]["resourceVersion"]
    assert gateway.call("PATCH", target, b'{"data":{"a":"c"}}', merge).code == 200
    assert sent_body(gateway, "versioned") == {"data": {"a": "c"}, "metadata": {"resourceVersion": version}}


def test_bypass_6_07_a_tag_that_can_change_later_is_said(gateway: Gateway, alice: Reviewer) -> None:
    target = "/apis/apps/v1/namespaces/payments/deployments/api"
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "api", "image": "evil:latest"}]}}}}
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    answer = gateway.call("PATCH", target, json.dumps(patch).encode(), strategic)
    risks = alice.show(answer.json["details"]["causes"][-1]["message"])["effect"]["risks"]
    assert {"what": "image", "value": "api: evil:latest (a tag: it can change later)"} in risks


def test_bypass_6_08_what_the_cluster_would_make_is_judged_and_shown(gateway: Gateway, alice: Reviewer) -> None:
    """The dry run's result, with the server's defaults: not the body."""
    target = "/apis/apps/v1/namespaces/payments/deployments/api"
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "extra", "image": "x@sha256:0"}]}}}}
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    answer = gateway.call("PATCH", target, json.dumps(patch).encode(), strategic)
    lines = alice.show(answer.json["details"]["causes"][-1]["message"])["effect"]["difference"]
    assert any(line.startswith("+") and "terminationMessagePath" in line for line in lines)


def test_bypass_6_09_many_small_steps_are_asked_one_by_one_and_shown_together(
    gateway: Gateway, alice: Reviewer
) -> None:
    target = make(gateway, "salami")
    merge = {"Content-Type": "application/merge-patch+json"}
    slices = [b'{"metadata":{"labels":{"step":"1"}}}', b'{"metadata":{"labels":{"step":"2"}}}', b'{"data":{"a":"x"}}']
    ids = []
    for number, patch in enumerate(slices):
        answer = gateway.call("PATCH", target, patch, merge)
        assert answer.reason == "ApprovalPending"
        ids.append(answer.json["details"]["causes"][-1]["message"])
        assert alice.show(ids[-1])["supersedes"] == (ids[number - 1] if number else "")
        approval_id = ids[-1]
        body = {"decision": "approve", "nonce": alice.show(approval_id)["nonce"]}
        assert alice.call("POST", f"/approvals/{approval_id}/decision", body).code == 200
        assert gateway.call("PATCH", target, patch, merge).code == 200
    assert len(set(ids)) == 3


def test_bypass_5_07_the_spdy_repeat_of_a_denied_exec_is_the_same_denial(gateway: Gateway, alice: Reviewer) -> None:
    pods = gateway.call("GET", "/api/v1/namespaces/payments/pods").json["items"]
    target = exec_target(pods[0]["metadata"]["name"], "true", "five-seven")
    first = WebSocketClient(gateway, target)
    assert (first.code, first.body["reason"]) == (403, "ApprovalPending")
    second = SpdyClient(gateway, target)
    assert (second.code, second.body["reason"]) == (403, "ApprovalPending")
    assert first.body["details"]["causes"][-1] == second.body["details"]["causes"][-1], "one intent, one approval"
    alice.decide("five-seven", "deny", reason="no")
    for client in (WebSocketClient(gateway, target), SpdyClient(gateway, target)):
        assert (client.code, client.body["reason"]) == (403, "ApprovalDenied")


def test_bypass_6_10_names_and_values_cannot_deceive(gateway: Gateway, alice: Reviewer) -> None:
    target = make(gateway, "deceives")
    evil = "ok\u202e\u200b\x1b[2K\r" + "x" * 3000 + "<img src=x onerror=alert(1)>"
    body = configmap("deceives", evil=evil)
    gateway.call("PUT", target, body)
    shown = alice.show(alice.find("update ConfigMap payments/deceives"))
    text = json.dumps(shown, ensure_ascii=False)
    assert not any(character in text for character in "\u202e\u200b\x1b\r")
    assert "more characters)" in text


def test_bypass_6_11_neither_a_client_nor_the_proxied_port_decides(gateway: Gateway, alice: Reviewer) -> None:
    gateway.call("DELETE", make(gateway, "own-request"))
    approval_id = alice.find("own-request")
    thief = Reviewer(gateway, "alice")
    thief.key = gateway.keys["agent"]
    assert thief.call("GET", f"/approvals/{approval_id}").code == 401
    address = gateway.admin.removeprefix("https://")
    for target in (f"/api/v1/approvals/{approval_id}", "/healthz", f"https://{address}/api/v1/me"):
        answer = gateway.call("GET", target, headers={"Host": address}, client="agent")
        assert b"mayGrant" not in answer.body
        assert answer.headers["content-type"] == "application/json"
        assert answer.code in {400, 403, 404}
    assert alice.show(approval_id)["row"]["state"] == "pending"


def test_bypass_6_12_a_flood_is_refused_and_says_so_without_a_retry(gateway: Gateway) -> None:
    answers = [gateway.call("DELETE", f"{MAPS}/flood-{index}", client="flooder") for index in range(21)]
    assert {answer.code for answer in answers[:20]} == {403}
    assert answers[20].code == 429
    assert "retry-after" not in answers[20].headers
    again = gateway.call("DELETE", f"{MAPS}/flood-0", client="flooder")
    assert again.reason == "ApprovalPending", "a repeat is no new question"
    assert gateway.call("DELETE", f"{MAPS}/flood-0", client="other").reason == "ApprovalPending"
    assert gateway.own_calls("flood-20") == []


def test_bypass_6_13_a_policy_that_changed_during_the_hold_decides(edited: Gateway) -> None:
    edit(edited, "", "")
    target = make(edited, "policy-changes")
    held = Held(edited, "DELETE", target)
    alice = Reviewer(edited, "alice")
    alice.find("policy-changes")
    edit(edited, "- {name: asks, verbs: [delete, ", "- {name: asks, verbs: [")
    alice.decide("policy-changes")
    answer = held.answer()
    assert (answer.code, answer.reason) == (403, "Forbidden")
    assert changed(edited, "policy-changes") == []


def test_bypass_6_15_a_watch_does_not_outlive_the_policy_that_allowed_it(edited: Gateway) -> None:
    edit(edited, "", "")
    with edited.connect() as sock:
        sock.sendall(
            f"GET {MAPS}?watch=true&timeoutSeconds=300 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {edited.keys['agent']}\r\n\r\n".encode()
        )
        received = sock.recv(65536)
        while b'"type"' not in received:
            received += sock.recv(65536)
        edit(edited, "[get, list, watch], apiGroups", "[get, list], apiGroups")
        while not received.endswith(b"0\r\n\r\n"):
            chunk = sock.recv(65536)
            assert chunk, "it ends as the cluster would end it"
            received += chunk


def test_revoking_a_grant_ends_the_stream_that_it_opened(gateway: Gateway, alice: Reviewer) -> None:
    target = "/api/v1/namespaces/payments/services?watch=true&timeoutSeconds=300"
    head = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.keys['agent']}\r\n\r\n".encode()
    assert b"ApprovalPending" in gateway.raw(head)
    alice.decide("watch Service in namespace payments", grant={"kind": "duration", "seconds": 600})
    with gateway.connect() as sock:
        sock.sendall(head)
        received = sock.recv(65536)
        while b'"type"' not in received:
            received += sock.recv(65536)
        alice.revoke_grant()
        while not received.endswith(b"0\r\n\r\n"):
            chunk = sock.recv(65536)
            assert chunk, received[-200:]
            received += chunk
    assert b"ApprovalPending" in gateway.raw(head)


def test_a_grant_for_minutes_covers_repeats_and_no_other_object(gateway: Gateway, alice: Reviewer) -> None:
    merge = {"Content-Type": "application/merge-patch+json"}
    target, other = make(gateway, "granted-a"), make(gateway, "granted-b")
    gateway.call("PATCH", target, b'{"data":{"a":"1"}}', merge)
    grant = {"kind": "duration", "seconds": 600}
    alice.decide("patch ConfigMap payments/granted-a", grant=grant)
    assert [gateway.call("PATCH", target, b'{"data":{"a":"1"}}', merge).code for _ in range(3)] == [200, 200, 200]
    assert gateway.call("PATCH", target, b'{"data":{"a":"2"}}', merge).reason == "ApprovalPending"
    assert gateway.call("PATCH", other, b'{"data":{"a":"1"}}', merge).reason == "ApprovalPending"
    alice.revoke_grant()
    assert gateway.call("PATCH", target, b'{"data":{"a":"1"}}', merge).reason == "ApprovalPending"


def test_a_quorum_of_two_people(gateway: Gateway, alice: Reviewer, bob: Reviewer) -> None:
    target = "/apis/batch/v1/namespaces/payments/jobs/two-people"
    assert gateway.call("DELETE", target).reason == "ApprovalPending"
    alice.decide("delete Job payments/two-people")
    assert gateway.call("DELETE", target).reason == "ApprovalPending"
    bob.decide("delete Job payments/two-people")
    assert gateway.call("DELETE", target).code == 404, "it reached the cluster, which has no such Job"
    assert len(changed(gateway, "two-people")) == 1


def test_a_client_that_leaves_while_held_gets_nothing_done_and_its_repeat_finds_the_approval(
    gateway: Gateway, alice: Reviewer
) -> None:
    target = make(gateway, "left-alone")
    sock = gateway.connect()
    sock.sendall(
        f"DELETE {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.keys['patient']}\r\n\r\n".encode()
    )
    approval_id = alice.find("left-alone")
    sock.close()
    wait_for(lambda: not alice.show(approval_id)["row"]["held"])
    alice.decide("left-alone")
    assert gateway.call("GET", target).code == 200
    assert changed(gateway, "left-alone") == []
    assert gateway.call("DELETE", target, client="patient").code == 200


def test_over_http2_it_is_held_approved_and_carried_out_once(gateway: Gateway, alice: Reviewer) -> None:
    target = make(gateway, "over-h2")
    connection = Http2(gateway)
    stream = connection.request("DELETE", target)
    alice.decide("over-h2")
    status = connection.status(stream)
    connection.close()
    assert status == "200"
    assert len(changed(gateway, "over-h2")) == 1


def test_over_http2_a_reset_stream_gets_nothing_done(gateway: Gateway, alice: Reviewer) -> None:
    target = make(gateway, "reset-h2")
    connection = Http2(gateway)
    stream = connection.request("DELETE", target)
    approval_id = alice.find("reset-h2")
    connection.reset(stream)
    wait_for(lambda: not alice.show(approval_id)["row"]["held"])
    alice.decide("reset-h2")
    other = connection.request("GET", target)
    assert connection.status(other) == "200", "the connection goes on"
    connection.close()
    assert changed(gateway, "reset-h2") == []


def test_bypass_6_14_killed_while_held_after_the_approval_and_after_the_use(make_gateway) -> None:
    """Nothing is lost, nothing happens by itself, and nothing twice."""
    gateway = make_gateway(policy=POLICY, hold=45, clients=("agent", "patient"), holds={"agent": 0}).start()
    alice = Reviewer(gateway, "alice")
    target = make(gateway, "killed")
    held = Held(gateway, "DELETE", target, client="patient")
    approval_id = alice.find("killed")
    _kill(gateway)
    assert not isinstance(held.outcome(), Answer)
    assert alice.show(approval_id)["row"]["state"] == "pending"
    alice.decide("killed")
    _kill(gateway)
    assert alice.show(approval_id)["row"]["state"] == "approved"
    assert gateway.call("GET", target).code == 200
    assert gateway.call("DELETE", target, client="patient").code == 200
    _kill(gateway)
    assert alice.show(approval_id)["row"]["state"] == "used"
    assert gateway.call("DELETE", target).reason == "ApprovalPending"
    assert len(changed(gateway, "killed")) == 1


def _kill(gateway: Gateway) -> None:
    gateway.stop(signal.SIGKILL)
    gateway.start()


def test_a_store_that_is_gone_refuses_when_in_doubt(make_gateway) -> None:
    gateway = make_gateway(policy=POLICY, hold=0).start()
    target = make(gateway, "no-store")
    gateway.call("DELETE", target)
    Reviewer(gateway, "alice").decide("no-store")
    store = SqliteStore(gateway.state / "approvals.sqlite")
    store._db.execute("DROP TABLE approvals")
    store.close()
    answer = gateway.call("DELETE", target)
    assert answer.code == 503
    assert changed(gateway, "no-store") == []
    assert gateway.call("GET", target).code == 200, "what needs no approval is served"


def test_what_carries_a_mask_is_refused_before_anybody_is_asked(gateway: Gateway, alice: Reviewer) -> None:
    secret = gateway.call("GET", "/api/v1/namespaces/payments/secrets/db-credentials").json
    answer = gateway.call("PUT", "/api/v1/namespaces/payments/secrets/db-credentials", secret)
    assert answer.code == 422
    assert not [row for row in alice.rows("all") if "update Secret payments/db-credentials" in row["words"]]


def test_a_webhook_is_told_and_its_link_leads_to_the_approval_once(
    gateway: Gateway, receiver: Receiver, alice: Reviewer
) -> None:
    target = make(gateway, "told")
    gateway.call("DELETE", target)
    approval_id = alice.decide("delete ConfigMap payments/told")
    assert gateway.call("DELETE", target).code == 200

    def messages() -> dict[str, tuple[bytes, dict[str, str]]]:
        of_this = [(body, headers) for body, headers in list(receiver.got) if approval_id.encode() in body]
        return {headers["Pratique-Event"]: (body, headers) for body, headers in of_this}

    wait_for(lambda: "used" in messages())
    for body, headers in messages().values():
        stamp, signature = headers["Pratique-Timestamp"], headers["Pratique-Signature"]
        assert verify(SECRET.encode(), body, stamp, signature, time.time())
    if "asked" not in messages():  # it was decided before it could be told
        return
    link = json.loads(messages()["asked"][0])["link"]
    assert link.startswith(f"{gateway.admin}/link#")
    token = link.partition("#")[2]
    assert alice.call("POST", "/links", {"token": token}).json == {"approval": approval_id}
    assert alice.call("POST", "/links", {"token": token}).code == 410
    assert token not in gateway.output


def test_a_port_that_is_taken_ends_the_start_with_one_line(make_gateway) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        option = f"pratique_admin=127.0.0.1:{taken.getsockname()[1]}"
        output = make_gateway(options=["--set", option]).refused_start()
    assert "the admin listener cannot listen on" in output
    assert "Traceback" not in output


def test_without_an_admin_listener_the_command_line_is_where_to_approve(make_gateway) -> None:
    gateway = make_gateway(policy=POLICY, hold=0, options=["--set", "pratique_admin="]).start()
    message = gateway.call("DELETE", f"{MAPS}/no-page").json["message"]
    assert "approves it with `pratique approvals approve" in message
    assert not (gateway.state / "admin.json").exists()
    assert "reviewers decide at" not in gateway.output


def test_no_raw_value_reaches_a_reviewer_the_store_or_the_log(gateway: Gateway, alice: Reviewer) -> None:
    target = "/api/v1/namespaces/payments/secrets/stripe"
    for kind, body in (
        ("application/merge-patch+json", b'{"stringData":{"api-key":"approval-CANARY-1"}}'),
        ("application/json-patch+json", b'[{"op":"add","path":"/stringData","value":{"k":"approval-CANARY-2"}}]'),
    ):
        gateway.call("PATCH", target, body, {"Content-Type": kind})
    pods = gateway.call("GET", "/api/v1/namespaces/payments/pods").json["items"]
    pod = pods[0]["metadata"]["name"]
    gateway.call(
        "GET",
        f"/api/v1/namespaces/payments/pods/{pod}/exec?command=mysql&command=--password%3Dapproval-CANARY-3&stdout=true",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
        },
    )
    ids = [row["id"] for row in alice.rows("all") if "stripe" in row["words"] or "mysql" in row["words"]]
    assert len(ids) == 3
    shown = "".join(json.dumps(alice.show(approval_id)) for approval_id in ids)
    assert "CANARY" not in shown
    assert "masked-by-pratique" in shown
    assert b"approval-CANARY" not in gateway.recorded()


def _recreate(gateway: Gateway, name: str) -> None:
    """By somebody else, straight at the cluster."""
    for method, target, body in (("DELETE", f"{MAPS}/{name}", None), ("POST", MAPS, configmap(name))):
        assert gateway.behind(method, target, body).code in {200, 201}


class Http2:
    """One HTTP/2 connection to the gateway."""

    def __init__(self, gateway: Gateway) -> None:
        import socket

        import h2.config
        import h2.connection

        self.gateway = gateway
        raw = socket.create_connection(("127.0.0.1", gateway.port), timeout=60)
        self._socket = gateway.tls(("h2",)).wrap_socket(raw, server_hostname="127.0.0.1")
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._connection.initiate_connection()
        self._flush()
        self._statuses: dict[int, str] = {}

    def _flush(self) -> None:
        self._socket.sendall(self._connection.data_to_send())

    def request(self, method: str, target: str) -> int:
        stream = self._connection.get_next_available_stream_id()
        headers = [(":method", method), (":scheme", "https"), (":authority", "x"), (":path", target)]
        key = self.gateway.keys["patient"]
        self._connection.send_headers(stream, [*headers, ("authorization", f"Bearer {key}")], end_stream=True)
        self._flush()
        return int(stream)

    def reset(self, stream: int) -> None:
        self._connection.reset_stream(stream)
        self._flush()

    def status(self, stream: int) -> str:
        import h2.events

        while stream not in self._statuses:
            data = self._socket.recv(65536)
            assert data, "the connection was closed"
            for event in self._connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    self._statuses[event.stream_id] = dict(event.headers)[":status"]
            self._flush()
        return self._statuses[stream]

    def close(self) -> None:
        self._socket.close()
