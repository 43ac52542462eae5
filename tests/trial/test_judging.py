"""The engine on recordings: the same verdict as live, or an honest Unknown."""

from __future__ import annotations

import pytest

from pratique.masking.mask import Mask
from pratique.recorder.argv import SCRUBBED
from pratique.recorder.record import BODY_BYTES
from pratique.trial.audit_event import patch_media
from pratique.trial.judging import As, Outcome
from tests.trial.support import ASKS, PODS, READ, engine, event, flow, judged, lines, policy, read_all

MASK = Mask()
PATCH = {"Content-Type": "application/merge-patch+json"}
CONDITION = (
    "  - {name: write, verbs: [create, update, patch, get], resources: [pods, secrets, configmaps], action: Allow, "
    'conditions: [{name: c, expression: "object.metadata.name.size() < 9"}]}\n'
)
POWERS = "  - {name: write, verbs: [create, patch, get], resources: [pods], podPowers: [], action: Allow}\n"
PLAIN = "  - {name: write, verbs: ['*'], resources: [pods, secrets, configmaps], action: Allow}\n"
EXEC = "  - {name: exec, verbs: [create], resources: [pods/exec], exec: {commands: [[ls, '**']]}, action: Allow}\n"
POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "c"}]}}


def outcomes(text, data, folder, name="r.flow"):
    return [(found.outcome, found.rules) for found in judged(text, data, folder, name)]


def test_recorded_requests_get_the_verdicts_of_the_folder(tmp_path):
    data = flow() + flow("DELETE", PODS + "/web") + flow("POST", PODS, POD) + flow("GET", PODS + "/..%2f", verdict="")
    assert outcomes(policy(READ + ASKS), data, tmp_path) == [
        ("Allow", ("p/read",)),
        ("RequireApproval", ("p/asks",)),
        ("Deny", ()),
        ("Refused", ()),
    ]


def test_what_was_refused_before_any_policy_stays_refused(tmp_path):
    """Of a client that was not known, or by a header that is not recorded: the request itself looks fine."""
    assert outcomes(policy(READ), flow(verdict=""), tmp_path) == [("Refused", ())]


@pytest.mark.parametrize(
    ("body", "answer", "outcome"),
    [
        ({"spec": {}}, POD, "Allow"),
        ({"spec": {}}, None, "Unknown"),
        ({"spec": {}}, {"kind": "Status", "metadata": {}}, "Unknown"),
        ({"spec": {}}, {"kind": "Table", "metadata": {}}, "Unknown"),
        ({"spec": {}}, b'{"kind":"Pod","metad', "Unknown"),
        ({"spec": {}}, {**POD, "spec": {"hostNetwork": True}}, "Deny"),
    ],
)
def test_the_result_of_a_patch_is_taken_from_its_answer_or_not_known(tmp_path, body, answer, outcome):
    data = flow("PATCH", PODS + "/web", body, headers=PATCH, answer=answer)
    assert [one[0] for one in outcomes(policy(POWERS), data, tmp_path)] == [outcome]


@pytest.mark.parametrize("rules", [CONDITION, PLAIN, POWERS])
def test_a_mask_in_a_body_makes_a_condition_unknown_and_nothing_else(tmp_path, rules):
    masked = {**POD, "metadata": {"name": "web", "annotations": {"a": MASK.text}}}
    expected = "Unknown" if rules is CONDITION else "Allow"
    assert [one[0] for one in outcomes(policy(rules), flow("POST", PODS, masked), tmp_path)] == [expected]
    assert [one[0] for one in outcomes(policy(rules), flow("POST", PODS, POD), tmp_path)] == ["Allow"]
    answered = flow("PATCH", PODS + "/web", {"spec": {}}, headers=PATCH, answer=masked)
    assert [one[0] for one in outcomes(policy(rules), answered, tmp_path)] == [expected]


@pytest.mark.parametrize("rules", [CONDITION, PLAIN, POWERS])
def test_a_body_that_was_cut_is_unknown_where_a_rule_looks_at_it(tmp_path, rules):
    cut = b'{"kind":"Pod","metadata":{"name":"web","annotations":{"a":"' + b"x" * BODY_BYTES
    expected = "Allow" if rules is PLAIN else "Unknown"
    assert [one[0] for one in outcomes(policy(rules), flow("POST", PODS, cut[:BODY_BYTES]), tmp_path)] == [expected]
    config = flow("POST", PODS.replace("pods", "configmaps"), cut[:BODY_BYTES])
    (found,) = judged(policy(PLAIN), config, tmp_path)
    assert (found.outcome, "body" in found.why) == ("Unknown", True), "its content may be an escalation"


def test_a_scrubbed_argument_is_unknown_where_a_rule_looks_at_arguments(tmp_path):
    target = f"{PODS}/web/exec?command={{}}&stdout=true"
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Protocol": f"{SCRUBBED}, v5.channel.k8s.io"}  # fmt: skip
    known, scrubbed = (flow("GET", target.format(word), headers=headers) for word in ("ls", SCRUBBED))
    assert [one[0] for one in outcomes(policy(EXEC), known + scrubbed, tmp_path)] == ["Allow", "Unknown"]


def test_what_the_cluster_would_be_asked_is_unknown(tmp_path):
    rules = (
        "  - {name: w, verbs: [delete], resources: [pods], namespaceSelector: {matchLabels: {a: b}}, action: Allow}\n"
    )
    (found,) = judged(policy(rules), flow("DELETE", PODS + "/web"), tmp_path)
    assert (found.outcome, found.rules) == ("Unknown", ("p/w",))
    assert "labels of the namespace" in found.why


def test_a_write_that_a_person_was_asked_about_by_the_gateway_itself_still_is(tmp_path):
    secret = flow("PUT", PODS.replace("pods", "secrets") + "/s", {"metadata": {"name": "s"}}, verdict="RequireApproval",
                  rules=("builtin/masked-values",))  # fmt: skip
    assert outcomes(policy(PLAIN), secret, tmp_path) == [("RequireApproval", ("builtin/masked-values",))]
    assert outcomes(policy(READ), secret, tmp_path) == [("Deny", ())]


def test_a_body_is_read_as_json_whatever_it_came_as(tmp_path):
    headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    assert outcomes(policy(PLAIN), flow("POST", PODS, POD, headers=headers), tmp_path) == [("Allow", ("p/write",))]


def test_who_counts_as_which_client(tmp_path):
    text = policy(READ, spec="  subjects: [mcp-1]\n")
    (tmp_path / "a.log").write_bytes(lines(event()))
    (recorded,), _ = read_all(tmp_path / "a.log")
    assert engine(text).judge(recorded).client == "system:serviceaccount:agents:mcp"
    assert engine(text).judge(recorded).outcome is Outcome.DENY
    assert engine(text, As("mcp-1", force=True)).judge(recorded).outcome is Outcome.ALLOW
    (tmp_path / "c.jsonl").write_bytes(lines({"id": "1", "method": "GET", "path": PODS}))
    (recorded,), _ = read_all(tmp_path / "c.jsonl")
    assert engine(text).judge(recorded).client == "demo"
    assert engine(text, As("mcp-1")).judge(recorded).outcome is Outcome.ALLOW


# --- audit logs ---

WRITES = "  - {name: w, verbs: ['*'], resources: ['pods', 'pods/exec'], action: Allow}\n"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (event(), "list pods -n dev"),
        (event("watch", PODS + "?watch=true"), "watch pods -n dev"),
        (event("get", PODS + "/web", objectRef={"name": "web"}), "get pods web -n dev"),
        (event("create", PODS, requestObject=POD), "create pods web -n dev"),
        (event("update", PODS + "/web", requestObject=POD), "update pods web -n dev"),
        (event("patch", PODS + "/web", requestObject={"spec": {}}), "patch pods web -n dev"),
        (event("patch", PODS + "/web", requestObject=[{"op": "remove", "path": "/a"}]), "patch pods web -n dev"),
        (event("patch", PODS + "/web?fieldManager=x&force=true", requestObject=POD), "apply pods web -n dev"),
        (event("delete", PODS + "/web"), "delete pods web -n dev"),
        (event("deletecollection", PODS), "deletecollection pods -n dev"),
        (event("delete", PODS + "/web", requestObject={"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/__internal", "propagationPolicy": "Background"}),
         "delete pods web -n dev"),
        (event("create", PODS + "/web/exec?command=ls&stdout=true", objectRef={"subresource": "exec"}), "create pods/exec web -n dev"),
        (event("get", PODS + "/web/exec?command=ls&stdout=true", objectRef={"subresource": "exec"}), "get pods/exec web -n dev"),
    ],
)  # fmt: skip
def test_every_verb_of_an_audit_log_becomes_the_request_that_it_was(tmp_path, given, words):
    (found,) = judged(policy(WRITES), lines(given), tmp_path, "a.log")
    assert (found.asked.words, found.outcome) == (words, "Allow")
    assert not found.canonical.upgrade or found.request.exec.command == ("ls",)


def test_paths_that_are_no_resources(tmp_path):
    rules = "  - {name: w, verbs: [get], nonResourceURLs: [/version], action: Allow}\n"
    (found,) = judged(policy(rules), lines(event("get", "/version", objectRef={"resource": ""})), tmp_path, "a.log")
    assert (found.asked.words, found.outcome) == ("get /version", "Allow")


def test_the_level_of_an_audit_log_decides_what_can_be_known(tmp_path):
    patch, made = {"spec": {"x": 1}}, {**POD, "spec": {"hostNetwork": True}}
    metadata = event("patch", PODS + "/web")
    request = event("patch", PODS + "/web", requestObject=patch)
    whole = event("patch", PODS + "/web", requestObject=patch, responseObject=made)
    found = outcomes(policy(POWERS), lines(metadata, request, whole), tmp_path, "a.log")
    assert [one[0] for one in found] == ["Unknown", "Unknown", "Deny"]
    assert [one[0] for one in outcomes(policy(PLAIN), lines(metadata), tmp_path, "a.log")] == ["Allow"]


def test_who_acted_as_somebody_else_is_that_somebody(tmp_path):
    (found,) = judged(policy(READ), lines(event(impersonatedUser={"username": "alice"})), tmp_path, "a.log")
    assert found.client == "alice"


def test_the_type_of_a_patch_is_told_from_the_patch():
    assert patch_media("/x", []) == b"application/json-patch+json"
    assert patch_media("/x?fieldManager=k", {"apiVersion": "v1", "kind": "Pod"}).startswith(b"application/apply")
    assert patch_media("/x", {"apiVersion": "v1", "kind": "Pod"}).startswith(b"application/strategic")


def test_what_is_so_whatever_a_patch_makes_is_known(tmp_path):
    """A queued patch has no recorded answer: where it waits for a person in any case, that is said."""
    asks = "  - {name: asks, verbs: [patch], resources: [pods], action: RequireApproval}\n"
    powers = asks.replace("name: asks", "name: powers").replace("action", "podPowers: [privileged], action")
    data = [
        flow("PATCH", PODS + "/web", {"spec": {}}, headers=PATCH, verdict=verdict)
        for verdict in ("RequireApproval", "Deny")
    ]
    assert outcomes(policy(READ + asks + powers), b"".join(data), tmp_path) == [
        ("RequireApproval", ("p/asks",)),
        ("Unknown", ("p/powers",)),
    ]
    assert outcomes(policy(READ + powers), data[0], tmp_path) == [("Unknown", ("p/powers",))]
