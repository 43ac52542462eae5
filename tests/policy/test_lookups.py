"""What the policy needs is asked before it decides; whatever goes wrong is a refusal; the write is tied to what was seen."""

from __future__ import annotations

import asyncio

import pytest

from pratique.errors import CredentialError, OwnCallError, Refused
from pratique.kube.rehearsal import OwnAnswer
from pratique.policy.lookups import LABELS_KEPT, LABELS_SECONDS, Lookups, NotAnswered
from pratique.policy.needs import Needs
from pratique.policy.request import ABSENT, PolicyRequest
from tests.kube.test_rehearsal import MERGE, canonical

POD = "/api/v1/namespaces/dev/pods/web"
PATCH = canonical("PATCH", POD, {"spec": {}}, MERGE)
OBJECT = {"metadata": {"name": "web", "uid": "u", "resourceVersion": "7"}, "spec": {"a": 1}}
STATUS = {"kind": "Status", "reason": "Invalid", "message": "spec: Invalid value: hunter2"}


class Cluster:
    """Answers own calls; keeps what was asked."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []
        self.now = 100.0

    async def send(self, request, audit_id):
        kind = "dry_run" if request.dry_run else "namespace" if request.attributes.resource == "namespaces" else "live"
        self.asked.append((kind, request, audit_id))
        await asyncio.sleep(0)
        answer = self.answers[kind]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, OwnAnswer) else OwnAnswer(200, answer)


def see(cluster, needs, request=PATCH, lookups=None, shown=lambda document: "masked"):
    lookups = lookups or Lookups(cluster, lambda: cluster.now)
    asked = PolicyRequest.from_canonical("mcp-1", request)
    return asyncio.run(lookups.see(request, asked, needs, lambda what: f"audit-own-{what}", shown))


def test_nothing_is_asked_that_is_not_needed():
    cluster = Cluster()
    seen = see(cluster, Needs())
    assert (seen.canonical, cluster.asked) == (PATCH, [])


def test_bypass_3_17_the_result_of_a_patch_is_the_servers_own_and_the_patch_is_tied_to_it():
    cluster = Cluster(dry_run=OBJECT)
    seen = see(cluster, Needs(result=True))
    [(_, rehearsed, audit_id)] = cluster.asked
    assert rehearsed.target == POD.encode() + b"?dryRun=All"
    assert rehearsed.document == PATCH.document
    assert audit_id == "audit-own-dry-run"
    assert seen.request.result == OBJECT
    assert seen.request.old_object is ABSENT
    assert seen.canonical.document == {"spec": {}, "metadata": {"resourceVersion": "7"}}
    assert seen.canonical.target == PATCH.target


def test_the_patch_that_is_rehearsed_is_tied_to_the_live_object_already_when_both_are_judged():
    cluster = Cluster(live=OBJECT, dry_run={"metadata": {"resourceVersion": "9"}})
    seen = see(cluster, Needs(old_object=True, result=True))
    assert [kind for kind, _, _ in cluster.asked] == ["live", "dry_run"]
    rehearsed = cluster.asked[1][1]
    assert rehearsed.document["metadata"]["resourceVersion"] == "7"
    assert rehearsed.body == seen.canonical.body
    assert (seen.request.old_object, seen.request.result) == (OBJECT, {"metadata": {"resourceVersion": "9"}})


def test_an_object_that_is_not_there_is_null_and_must_not_come_into_being():
    missing = OwnAnswer(404, {"kind": "Status", "reason": "NotFound"})
    put = canonical("PUT", "/apis/coordination.k8s.io/v1/namespaces/dev/leases/a", {"metadata": {"name": "a"}})
    seen = see(Cluster(live=missing), Needs(old_object=True), put)
    assert seen.request.old_object is None
    assert seen.canonical.document["metadata"]["resourceVersion"] == "1"


def test_bypass_6_6_a_delete_that_was_judged_on_its_object_carries_its_uid_and_version():
    seen = see(Cluster(live=OBJECT), Needs(old_object=True), canonical("DELETE", POD))
    assert seen.canonical.document["preconditions"] == {"resourceVersion": "7", "uid": "u"}


def test_an_exec_is_judged_on_its_pod_and_goes_as_it_is():
    request = canonical("GET", f"{POD}/exec?command=id&stdout=true")
    cluster = Cluster(live=OBJECT)
    seen = see(cluster, Needs(old_object=True), request)
    assert cluster.asked[0][1].target == POD.encode()
    assert (seen.request.old_object, seen.canonical) == (OBJECT, request)


ANSWERS = [
    (OwnAnswer(422, STATUS), 422, "Invalid", "422 Invalid"),
    (OwnAnswer(409, {"reason": "Conflict"}), 409, "Conflict", "409 Conflict"),
    (OwnAnswer(403, None), 403, "BadRequest", "403"),
    (OwnAnswer(403, {"reason": "a b\r\nc"}), 403, "BadRequest", "403"),
    (OwnAnswer(401, {"reason": "Unauthorized"}), 503, "ServiceUnavailable", "401 Unauthorized"),
    (OwnAnswer(429, {"reason": "TooManyRequests"}), 503, "ServiceUnavailable", "429 TooManyRequests"),
    (OwnAnswer(500, {"reason": "InternalError"}), 503, "ServiceUnavailable", "500 InternalError"),
    (OwnAnswer(307, None), 503, "ServiceUnavailable", "307"),
    (OwnAnswer(200, None), 503, "ServiceUnavailable", "something else"),
    (OwnAnswer(200, {"metadata": 1}), 503, "ServiceUnavailable", "something else"),
    (OwnCallError("the API server cannot be reached"), 503, "ServiceUnavailable", "cannot be reached"),
    (CredentialError("no token"), 503, "ServiceUnavailable", "no token"),
    (Refused(403, "Forbidden", "not for the gateway to ask"), 503, "ServiceUnavailable", "not for the gateway"),
]


@pytest.mark.parametrize(("answer", "code", "reason", "fault"), ANSWERS)
@pytest.mark.parametrize(("kind", "needs"), [("live", Needs(old_object=True)), ("dry_run", Needs(result=True))])
def test_every_answer_that_is_no_object_is_a_refusal(kind, needs, answer, code, reason, fault):
    with pytest.raises(NotAnswered) as caught:
        see(Cluster(**{kind: answer}), needs)
    refusal = caught.value.refusal
    assert (refusal.code, refusal.reason) == (code, reason)
    assert fault in str(caught.value)
    assert "hunter2" not in str(caught.value) + refusal.message
    assert ("masked" in refusal.message) == (code == answer.code if isinstance(answer, OwnAnswer) else False)


def test_a_client_that_asks_for_another_version_gets_its_conflict_and_nothing_is_rehearsed():
    stale = canonical("PATCH", POD, {"metadata": {"resourceVersion": "6"}}, MERGE)
    cluster = Cluster(live=OBJECT)
    with pytest.raises(NotAnswered) as caught:
        see(cluster, Needs(old_object=True, result=True), stale)
    assert caught.value.refusal.code == 409
    assert [kind for kind, _, _ in cluster.asked] == ["live"]


def test_what_has_no_dry_run_is_a_refusal():
    with pytest.raises(NotAnswered):
        see(Cluster(), Needs(result=True), canonical("GET", f"{POD}/exec?command=id"))


# Labels of namespaces

LABELS = Needs(namespace_labels=True)
DEV = {"metadata": {"name": "dev", "labels": {"team": "a"}}}


def test_labels_are_asked_once_and_believed_for_a_moment():
    cluster = Cluster(namespace=DEV)
    lookups = Lookups(cluster, lambda: cluster.now)
    assert see(cluster, LABELS, lookups=lookups).request.namespace_labels == {"team": "a"}
    cluster.now += LABELS_SECONDS - 0.1
    see(cluster, LABELS, lookups=lookups)
    assert [request.target for _, request, _ in cluster.asked] == [b"/api/v1/namespaces/dev"]
    cluster.now += 0.2
    cluster.answers["namespace"] = {"metadata": {}}
    assert see(cluster, LABELS, lookups=lookups).request.namespace_labels == {}
    assert len(cluster.asked) == 2


def test_a_clock_that_goes_back_does_not_prolong_belief():
    cluster = Cluster(namespace=DEV)
    lookups = Lookups(cluster, lambda: cluster.now)
    see(cluster, LABELS, lookups=lookups)
    cluster.now -= 50
    see(cluster, LABELS, lookups=lookups)
    assert len(cluster.asked) == 2


def test_requests_that_come_together_ask_once():
    cluster = Cluster(namespace=DEV)
    lookups = Lookups(cluster, lambda: cluster.now)
    asked = PolicyRequest.from_canonical("mcp-1", PATCH)

    async def together():
        calls = [lookups.see(PATCH, asked, LABELS, lambda what: f"audit-own-{what}") for _ in range(5)]
        left = asyncio.ensure_future(lookups.see(PATCH, asked, LABELS, lambda what: f"audit-own-{what}"))
        await asyncio.sleep(0)
        left.cancel()  # a client that leaves does not end the lookup of the others
        return await asyncio.gather(*calls)

    seen = asyncio.run(together())
    assert {tuple(each.request.namespace_labels.items()) for each in seen} == {(("team", "a"),)}
    assert len(cluster.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [OwnAnswer(404, {"reason": "NotFound"}), OwnCallError("down"), OwnAnswer(500, None), {"metadata": {"labels": [1]}}],
)
def test_labels_that_cannot_be_had_are_a_refusal_and_are_asked_again(answer):
    cluster = Cluster(namespace=answer)
    lookups = Lookups(cluster, lambda: cluster.now)
    for _ in range(2):
        with pytest.raises(NotAnswered):
            see(cluster, LABELS, lookups=lookups)
    assert len(cluster.asked) == 2


def test_the_number_of_namespaces_that_are_remembered_is_bounded():
    cluster = Cluster(namespace=DEV)
    lookups = Lookups(cluster, lambda: cluster.now)
    for number in range(LABELS_KEPT + 5):
        lookups._labels[f"n{number}"] = (cluster.now, {})
    see(cluster, LABELS, lookups=lookups)
    assert len(lookups._labels) == LABELS_KEPT
    assert "dev" in lookups._labels


def test_a_namespace_with_a_name_that_is_none_is_not_asked_for():
    odd = canonical("PATCH", "/api/v1/namespaces/DEV_x/pods/web", {}, MERGE)
    cluster = Cluster(namespace=DEV)
    with pytest.raises(NotAnswered):
        see(cluster, LABELS, odd)
    assert cluster.asked == []
