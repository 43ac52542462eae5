"""A question is bound to the canonical request and shows it in words."""

from __future__ import annotations

import pytest

from pratique.approvals.grants import Target
from pratique.approvals.question import MAX_CLAIM_CHARACTERS, Asker, question_from
from pratique.kube.attributes import request_attributes
from pratique.kube.canonical import CanonicalRequest
from pratique.verdict import Action, ApprovalTerms, Verdict

TERMS = ApprovalTerms(("sre-*",), 2, 60.0)
VERDICT = Verdict(Action.REQUIRE_APPROVAL, ("p/r",), (), "ask first", TERMS)


def canonical(method="DELETE", target="/apis/apps/v1/namespaces/a/deployments/d?dryRun=All", **more):
    raw = target.encode()
    fields = {
        "query": (),
        "headers": (),
        "content_type": "application/json",
        "body": b"{}",
        "document": {},
        "patch_type": "",
    }
    return CanonicalRequest(
        method, target.partition("?")[0], target=raw, attributes=request_attributes(method, raw), **{**fields, **more}
    )


def mark(request, client="agent", cluster="prod"):
    return question_from(Asker(client), cluster, request, VERDICT).fingerprint


def test_the_question_carries_words_rules_terms_and_masked_body():
    question = question_from(
        Asker("agent", "192.0.2.1", "s1", {"ua": "x\n"}), "prod", canonical(dry_run=True), VERDICT, body="a: ***\n"
    )
    assert question.summary.words == "dry run of: delete Deployment a/d"
    assert question.summary.path == "/apis/apps/v1/namespaces/a/deployments/d?dryRun=All"
    assert (question.summary.rules, question.summary.message) == (("p/r",), "ask first")
    assert question.summary.body == "a: ***\n"
    assert question.summary.claims == {"ua": "x\\u{a}"}
    assert (question.client, question.cluster, question.terms) == ("agent", "prod", TERMS)
    assert (question.summary.source, question.session) == ("192.0.2.1", "s1")
    assert question.target == Target("delete", "apps", "deployments", "a", "d", dry_run=True)


def test_without_terms_the_defaults_hold():
    assert question_from(Asker("a"), "c", canonical(), Verdict(Action.REQUIRE_APPROVAL)).terms == ApprovalTerms()


@pytest.mark.parametrize(
    "other",
    [
        canonical("PUT"),
        canonical(target="/apis/apps/v1/namespaces/a/deployments/e?dryRun=All"),
        canonical(target="/apis/apps/v1/namespaces/a/deployments/d"),
        canonical(content_type="application/yaml"),
        canonical(body=b"[]"),
    ],
)
def test_what_is_sent_differs_so_does_the_fingerprint(other):
    assert mark(other) != mark(canonical())


def test_client_and_cluster_are_part_of_it():
    assert len({mark(canonical()), mark(canonical(), client="b"), mark(canonical(), cluster="b")}) == 3


def test_exec_over_websocket_and_over_spdy_is_one_question():
    target = "/api/v1/namespaces/a/pods/p/exec?command=ls&stdout=true"
    empty = {"body": b"", "document": None, "options": {"podExecOptions": {"command": ["ls"]}}}
    websocket = canonical("GET", target, content_type="", **empty)
    spdy = canonical("POST", target, **empty)
    assert mark(websocket) == mark(spdy)
    assert question_from(Asker("a"), "c", spdy, VERDICT).summary.words == "run `ls` in Pod a/p"


def test_a_long_claim_is_cut():
    question = question_from(Asker("a", claims={"ua": "x" * 1000}), "c", canonical(), VERDICT)
    assert len(question.summary.claims["ua"]) == MAX_CLAIM_CHARACTERS


def test_the_name_of_a_create_is_in_its_body_and_one_that_the_cluster_makes_is_none():
    def made(metadata):
        request = canonical("POST", "/api/v1/namespaces/a/pods", document={"metadata": metadata})
        question = question_from(Asker("a"), "c", request, VERDICT)
        return question.target.name, question.summary.words

    assert made({"name": "p"}) == ("p", "create Pod a/p")
    assert made({"generateName": "p-"}) == ("", "create Pod a/(name made by the cluster)")
    assert made("none") == ("", "create Pod a/(name made by the cluster)")


def test_another_patch_of_the_same_object_has_the_same_intent():
    one, two = (question_from(Asker("a"), "c", canonical("PATCH", body=body), VERDICT) for body in (b"{}", b'{"a":1}'))
    assert one.intent == two.intent
    assert one.fingerprint != two.fingerprint
    other = question_from(Asker("b"), "c", canonical("PATCH"), VERDICT)
    assert other.intent != one.intent


def test_a_path_that_is_no_resource_is_the_targets_name():
    request = canonical("GET", "/metrics")
    assert question_from(Asker("a"), "c", request, VERDICT).target == Target("get", name="/metrics")
