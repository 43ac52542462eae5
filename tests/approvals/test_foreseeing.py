"""The effect is what the cluster says, masked; what was shown and has changed since is another effect."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from pratique.approvals import foreseeing, listing
from pratique.approvals.effects import AffectedObject, Effect, has_changed
from pratique.approvals.foreseeing import Foreseer
from pratique.errors import OwnCallError, Refused
from pratique.kube.canonical import RawRequest, canonicalise
from pratique.kube.rehearsal import NO_OBJECT, OwnAnswer, Precondition

DEPLOYMENT = "/apis/apps/v1/namespaces/a/deployments/d"
OWN_CALL = "id-{}".format
POD = "/api/v1/namespaces/a/pods/p"


def request(method, target, body=b"", kind=b"application/json", upgrade=False):
    headers = [(b"Host", b"x")]
    if body:
        headers += [(b"Content-Type", kind), (b"Content-Length", str(len(body)).encode())]
    if upgrade:
        headers += [
            (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13"),
            (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="), (b"Sec-WebSocket-Protocol", b"v5.channel.k8s.io, v4.channel.k8s.io"),
        ]  # fmt: skip
    return canonicalise(RawRequest(method.encode(), target.encode(), tuple(headers), body))


def thing(name="d", uid="u1", version="7", kind="Deployment", owner="", **more):
    metadata = {"name": name, "namespace": "a", "uid": uid, "resourceVersion": version}
    if owner:
        metadata["ownerReferences"] = [{"uid": owner}]
    return {"kind": kind, "metadata": metadata, **more}


class Cluster:
    """Answers by method and target; what is not there is a 404. `asked` is what was asked."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []

    async def send(self, asked, audit_id):
        assert len(audit_id) <= 64
        target = asked.target.decode()
        self.asked.append((asked.method, target, asked.dry_run))
        found = self.answers.get(f"{asked.method} {target}", self.answers.get(target))
        if isinstance(found, Exception):
            raise found
        if isinstance(found, OwnAnswer):
            return found
        return OwnAnswer(200, found) if found is not None else OwnAnswer(404, {"kind": "Status", "message": "not here"})


def look(cluster, asked, mask=lambda _request, _client, document: document):
    return asyncio.run(Foreseer(cluster.send, mask).look(asked, "agent", OWN_CALL))


def test_a_patch_is_shown_as_before_and_after_by_a_dry_run():
    before, after = thing(spec={"replicas": 2}), thing(spec={"replicas": 0}, version="8")
    cluster = Cluster(**{f"GET {DEPLOYMENT}": before, f"PATCH {DEPLOYMENT}?dryRun=All": after})
    body = b'{"spec":{"replicas":0}}'
    sight = look(cluster, request("PATCH", DEPLOYMENT, body, b"application/merge-patch+json"))
    assert [line for line in sight.effect.difference if line[0] in "+-"] == ["-  replicas: 2", "+  replicas: 0"]
    assert sight.effect.objects == (AffectedObject("Deployment", "a", "d", "u1"),)
    assert ("replicas", "0") in sight.effect.risks
    assert sight.precondition == Precondition("7", "u1")
    assert ("PATCH", f"{DEPLOYMENT}?dryRun=All", True) in cluster.asked
    assert all(method == "GET" or is_dry for method, _, is_dry in cluster.asked), "nothing real is sent"


def test_everything_shown_went_through_the_mask():
    before, after = thing(spec={"p": "hunter2"}), thing(spec={"p": "hunter3"})
    cluster = Cluster(**{f"GET {DEPLOYMENT}": before, f"PUT {DEPLOYMENT}?dryRun=All": after})
    masked = lambda _request, _client, document: {**document, "spec": "***"} if "spec" in document else document  # noqa: E731
    sight = look(cluster, request("PUT", DEPLOYMENT, b'{"spec":{}}'), masked)
    assert "hunter" not in str(sight.effect)
    assert "nothing that can be shown would change" in sight.effect.notes


def test_a_put_or_apply_of_nothing_is_a_create_and_must_find_nothing():
    cluster = Cluster(**{f"PATCH {DEPLOYMENT}?dryRun=All": thing(spec={})})
    sight = look(cluster, request("PATCH", DEPLOYMENT, b"{}", b"application/merge-patch+json"))
    assert sight.precondition == Precondition(NO_OBJECT)
    assert "would be created" in sight.effect.notes[0]
    assert sight.effect.objects[0].uid == ""


def test_a_create_shows_what_the_cluster_would_make():
    target = "/apis/apps/v1/namespaces/a/deployments"
    cluster = Cluster(**{f"POST {target}?dryRun=All": thing(spec={"replicas": 1, "added-by": "a webhook"})})
    sight = look(cluster, request("POST", target, b'{"metadata":{"generateName":"d-"}}'))
    assert any("a webhook" in line for line in sight.effect.difference)
    assert "the cluster makes the name" in sight.effect.notes[0]
    assert sight.precondition is None


def test_what_the_cluster_would_refuse_is_unknown_with_its_words():
    cluster = Cluster(**{
        f"GET {DEPLOYMENT}": thing(),
        f"PUT {DEPLOYMENT}?dryRun=All": OwnAnswer(422, {"kind": "Status", "message": "no\x1b[31m"}),
    })  # fmt: skip
    effect = look(cluster, request("PUT", DEPLOYMENT, b"{}")).effect
    assert (effect.known, effect.problem) == (False, "the cluster would refuse it: 422 no\\u{1b}[31m")


@pytest.mark.parametrize("error", [OwnCallError("no route"), Refused(403, "Forbidden", "not asked")])
def test_what_cannot_be_asked_is_unknown_and_no_error(error):
    effect = look(Cluster(**{DEPLOYMENT: error}), request("DELETE", DEPLOYMENT)).effect
    assert (effect.known, effect.problem) == (False, str(error))


def test_a_cluster_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(foreseeing, "LOOK_SECONDS", 0.01)

    async def never(_request, _audit_id):
        await asyncio.Event().wait()

    effect = asyncio.run(Foreseer(never, lambda *a: a[2]).look(request("DELETE", DEPLOYMENT), "agent", OWN_CALL)).effect
    assert effect.problem == "the cluster did not answer in time"


def test_a_deletion_counts_what_its_object_owns_and_what_that_owns():
    cluster = Cluster(**{
        DEPLOYMENT: thing(),
        "/apis/apps/v1/namespaces/a/replicasets?limit=500": {"items": [
            thing("rs", "u2", owner="u1"), thing("other", "u9", owner="u8")]},
        "/api/v1/namespaces/a/pods?limit=500": {"items": [
            thing("p1", "u3", owner="u2"), thing("p2", "u4", owner="u2"), thing("p3", "u5", owner="u9")]},
    })  # fmt: skip
    sight = look(cluster, request("DELETE", DEPLOYMENT))
    assert sight.effect.cascade == (("Pod", 2), ("ReplicaSet", 1))
    assert sight.effect.cascade_complete
    assert sight.precondition == Precondition("7", "u1")


def test_orphans_stay():
    options = b'{"propagationPolicy":"Orphan"}'
    effect = look(Cluster(**{DEPLOYMENT: thing()}), request("DELETE", DEPLOYMENT, options)).effect
    assert effect.cascade == ()
    assert "stays" in effect.notes[0]


def test_a_namespace_takes_everything_along_and_says_what_could_not_be_counted():
    one = {"items": [thing()], "metadata": {"remainingItemCount": 11}}
    cluster = Cluster(**{"/api/v1/namespaces/a": thing(kind="Namespace"), "/api/v1/namespaces/a/pods?limit=1": one})
    effect = look(cluster, request("DELETE", "/api/v1/namespaces/a")).effect
    assert effect.cascade == (("Pod", 12),)
    assert not effect.cascade_complete, "the other kinds answered 404"


def test_custom_objects_go_with_their_namespace_and_with_their_definition():
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    crd = {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com", "uid": "u"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets"},
            "versions": [{"name": "v1", "served": True}],
        },
    }
    two = {"items": [thing()], "metadata": {"remainingItemCount": 1}}
    cluster = Cluster(**{
        "/api/v1/namespaces/a": thing(kind="Namespace"),
        f"{crds}?limit=500": {"items": [{"metadata": {"name": "widgets.example.com"}}]},
        f"{crds}/widgets.example.com": crd,
        "/apis/example.com/v1/namespaces/a/widgets?limit=1": two,
        "/apis/example.com/v1/widgets?limit=1": two,
    })  # fmt: skip
    assert look(cluster, request("DELETE", "/api/v1/namespaces/a")).effect.cascade == (("widgets.example.com", 2),)
    of_definition = look(cluster, request("DELETE", f"{crds}/widgets.example.com")).effect
    assert of_definition.cascade == (("widgets.example.com", 2),)
    assert of_definition.cascade_complete


def test_what_owns_nothing_is_not_asked_about():
    cluster = Cluster(**{"/api/v1/namespaces/a/configmaps/c": thing(kind="ConfigMap")})
    look(cluster, request("DELETE", "/api/v1/namespaces/a/configmaps/c"))
    assert len(cluster.asked) == 1


def test_a_selection_is_listed_page_by_page():
    target = "/api/v1/namespaces/a/pods"
    cluster = Cluster(**{
        f"{target}?labelSelector=app%3Dx&limit=500": {"items": [thing("p2", "u2")], "metadata": {"continue": "t"}},
        f"{target}?continue=t&labelSelector=app%3Dx&limit=500": {"items": [thing("p1", "u1")]},
    })  # fmt: skip
    effect = look(cluster, request("DELETE", f"{target}?labelSelector=app%3Dx")).effect
    assert [(each.name, each.uid) for each in effect.objects] == [("p1", "u1"), ("p2", "u2")]
    assert effect.total == 2


def test_more_than_can_be_looked_at_is_said(monkeypatch):
    monkeypatch.setattr(listing, "MAX_LISTED", 1)
    target = "/api/v1/namespaces/a/pods"
    page = {"items": [thing("p", "u")], "metadata": {"continue": "t"}}
    effect = look(Cluster(**{f"{target}?limit=500": page}), request("DELETE", target)).effect
    assert (effect.total, effect.cascade_complete) == (1, False)
    assert "more than 1 objects" in effect.notes[0]


@pytest.mark.parametrize("subresource", ["exec?command=ls&stdin=true&stdout=true", "portforward?ports=80"])
def test_bypass_5_13_a_connection_is_to_one_pod_and_its_images(subresource):
    pod = thing("p", "u1", kind="Pod", status={"containerStatuses": [{"imageID": "sha256:1"}]})
    asked = request("GET", f"{POD}/{subresource}", upgrade=True)
    one = look(Cluster(**{POD: pod}), asked).effect
    assert one.objects == (AffectedObject("Pod", "a", "p", "u1"),)
    other_image = {**pod, "status": {"containerStatuses": [{"imageID": "sha256:2"}]}}
    assert has_changed(one, look(Cluster(**{POD: other_image}), asked).effect)
    recreated = {**pod, "metadata": {**pod["metadata"], "uid": "u2"}}
    assert has_changed(one, look(Cluster(**{POD: recreated}), asked).effect)
    assert not has_changed(one, look(Cluster(**{POD: pod}), asked).effect)


def test_an_eviction_is_shown_as_the_deletion_that_it_is():
    body = b'{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"p"}}'
    sight = look(Cluster(**{POD: thing("p", kind="Pod")}), request("POST", f"{POD}/eviction", body))
    assert sight.effect.objects[0].name == "p"
    assert sight.precondition == Precondition("7", "u1")


@pytest.mark.parametrize("target", ["/healthz", "/api/v1/namespaces/a/secrets", f"{POD}/log"])
def test_reads_have_no_effect_to_show(target):
    cluster = Cluster()
    assert look(cluster, request("GET", target)).effect is None
    assert cluster.asked == []


def test_a_token_request_is_never_rehearsed():
    cluster = Cluster()
    body = b'{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","spec":{}}'
    assert look(cluster, request("POST", "/api/v1/namespaces/a/serviceaccounts/s/token", body)).effect is None
    assert cluster.asked == []


def test_bypass_6_06_an_object_that_was_made_anew_or_changed_is_another_effect():
    body = b'{"spec":{"replicas":0}}'
    asked = request("PATCH", DEPLOYMENT, body, b"application/merge-patch+json")

    def effect(before):
        after = {**before, "spec": {"replicas": 0}}
        return look(Cluster(**{f"GET {DEPLOYMENT}": before, f"PATCH {DEPLOYMENT}?dryRun=All": after}), asked).effect

    shown = effect(thing(spec={"replicas": 2}, status={"ready": 1}))
    assert not has_changed(shown, effect(thing(spec={"replicas": 2}, version="99", status={"ready": 2})))
    assert has_changed(shown, effect(thing(spec={"replicas": 3})))
    assert has_changed(shown, effect(thing(uid="u2", spec={"replicas": 2})))
    assert has_changed(shown, Effect(known=False, problem="x"))


def selection(*uids):
    objects = tuple(AffectedObject("Pod", "a", f"p{uid}", uid) for uid in uids)
    return Effect(objects=objects, total=len(uids), digest=str(sorted(uids)))


def test_bypass_6_05_a_selection_may_shrink_and_not_grow():
    shown = selection("1", "2")
    assert not has_changed(shown, selection("1", "2"))
    assert not has_changed(shown, selection("1"))
    assert has_changed(shown, selection("1", "2", "3"))
    assert has_changed(shown, selection("1", "3"))
    assert has_changed(replace(shown, total=300), selection("1")), "what was not shown in full is compared as a whole"


def test_bypass_6_16_what_goes_along_may_vary_a_little():
    shown = Effect(cascade=(("Pod", 10),), digest="d")
    assert not has_changed(shown, Effect(cascade=(("Pod", 12),), digest="d"))
    assert not has_changed(shown, Effect(cascade=(("Pod", 2),), digest="d"))
    assert has_changed(shown, Effect(cascade=(("Pod", 14),), digest="d"))
    assert has_changed(shown, Effect(cascade=(("Pod", 10), ("PersistentVolumeClaim", 4)), digest="d"))


def test_what_was_approved_as_unknown_stays_approved():
    assert not has_changed(Effect(known=False), selection("1"))
    assert not has_changed(None, selection("1"))
    assert not has_changed(selection("1"), None)
