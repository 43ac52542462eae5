"""A question is bound to the canonical request and shows it in words."""

from __future__ import annotations

import pytest

from pratique.approvals.question import MAX_CLAIM_CHARACTERS, question_from
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
    return question_from(client, cluster, request, VERDICT).fingerprint


def test_the_question_carries_words_rules_terms_and_masked_body():
    question = question_from("agent", "prod", canonical(dry_run=True), VERDICT, body="a: ***\n", claims={"ua": "x\n"})
    assert question.summary.words == "dry run of: delete Deployment a/d"
    assert question.summary.path == "/apis/apps/v1/namespaces/a/deployments/d?dryRun=All"
    assert (question.summary.rules, question.summary.message) == (("p/r",), "ask first")
    assert question.summary.body == "a: ***\n"
    assert question.summary.claims == {"ua": "x\\u{a}"}
    assert (question.client, question.cluster, question.terms) == ("agent", "prod", TERMS)


def test_without_terms_the_defaults_hold():
    assert question_from("a", "c", canonical(), Verdict(Action.REQUIRE_APPROVAL)).terms == ApprovalTerms()


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
    empty = {"body": b"", "document": None, "options": {"command": ("ls",)}}
    websocket = canonical("GET", target, content_type="", **empty)
    spdy = canonical("POST", target, **empty)
    assert mark(websocket) == mark(spdy)
    assert question_from("a", "c", spdy, VERDICT).summary.words == "run `ls` in Pod a/p"


def test_a_long_claim_is_cut():
    question = question_from("a", "c", canonical(), VERDICT, claims={"ua": "x" * 1000})
    assert len(question.summary.claims["ua"]) == MAX_CLAIM_CHARACTERS
