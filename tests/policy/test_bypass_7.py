"""Whatever the policy cannot tell is denied, also by a policy that allows everything (threat list, 7)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pratique.errors import Refused
from pratique.policy.cases import parse_cases, policy_request
from pratique.policy.decision import PolicySet, compile_policies
from pratique.verdict import Action, Verdict
from tests.policy.test_decision import ALLOW_ALL, agreed, ask, condition, policies

D = Action.DENY
EVERYTHING = policies(ALLOW_ALL, "verbs: ['*'], nonResourceURLs: ['*'], action: Allow")
CASE = """
apiVersion: pratique/v1
kind: PolicyCases
metadata: {{name: c}}
spec:
  client: a
  cases:
  - {{name: a, request: {{{request}}}, expect: {{action: Refused}}}}
"""


def test_bypass_7_no_policy_denies_everything():
    for compiled in (compile_policies([]), PolicySet(())):
        verdict = compiled.decide(ask())
        assert (verdict.action, verdict.allows) == (D, False)


@pytest.mark.parametrize(
    "request_",
    [
        ask(info={"error": "unable to determine kind and namespace from url"}),
        ask(info={"verb": ""}),
        ask(info={"verb": "watchlist"}),
        ask("get", method="POST"),
        ask("create", method="GET"),
        ask("delete", method="get"),
        ask(info={"is_resource_request": False, "verb": "propfind"}),
        ask(info={"is_resource_request": False, "verb": "connect"}),
        ask(fault="the API server did not answer"),
    ],
)
def test_bypass_7_what_makes_no_sense_is_denied_with_an_error_even_if_everything_is_allowed(request_):
    verdict = agreed(EVERYTHING, request_)
    assert verdict.action is D
    assert verdict.errors


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        ("method: POST, path: /api/v1/namespaces/dev/configmaps, headers: {Content-Type: application/json}, body: '{'", "body/json"),
        ("method: POST, path: /api/v1/namespaces/dev/pods, body: '{\"a\":1,\"a\":2}'", "body/duplicate-key"),
        ("method: POST, path: /api/v1/namespaces/dev/pods, headers: {Content-Type: text/csv}, body: 'a,b'", "body/content-type"),
        ("method: POST, path: /api/v1/namespaces/dev/pods, headers: {Content-Type: application/vnd.kubernetes.protobuf}, body: k8s", "body/protobuf"),
        ("method: POST, path: /api/v1/namespaces/dev/pods, headers: {Content-Encoding: gzip}, body: {}", "body/content-encoding"),
        ("method: PATCH, path: /api/v1/namespaces/dev/pods/a, headers: {Content-Type: application/cbor}, body: {}", "body/content-type"),
        ("method: GET, path: '/api/v1/namespaces/dev/pods/a/exec?command=id', headers: {Connection: Upgrade, Upgrade: h2c}", "upgrade/protocol"),
    ],
)  # fmt: skip
def test_bypass_7_what_cannot_be_read_never_comes_to_a_policy(request_, rule):
    [case] = parse_cases(CASE.format(request=request_), "c.yaml")
    with pytest.raises(Refused) as caught:
        policy_request(case)
    assert caught.value.rule == rule


def test_bypass_7_a_condition_without_an_answer_denies_whichever_rule_it_stands_in():
    for action in ("Allow", "RequireApproval", "Deny"):
        verdict = agreed(policies(ALLOW_ALL, condition("object.a.b == 1", action)), ask("create", document={}))
        assert (verdict.action, verdict.rules) == (D, ("p/r1",))
        assert "Key not found" in verdict.errors[0]
        assert verdict.errors[0] in verdict.message
        assert not verdict.allows


def test_bypass_7_a_verdict_with_an_error_opens_nothing_whatever_its_action():
    for action in Action:
        assert not Verdict(action, errors=("x",)).allows
        assert not replace(Verdict(action, errors=("x",)), approval_id="a").allows


@pytest.mark.parametrize(
    ("group", "resource"), [("example.com", "widgets"), ("", "futures"), ("apps", "pods"), ("", "Pods")]
)
def test_bypass_7_a_resource_that_no_rule_names_is_denied(group, resource):
    named = policies("verbs: ['*'], apiGroups: ['', apps], resources: [pods, deployments], action: Allow")
    verdict = agreed(named, ask("get", resource, info={"api_group": group}))
    assert verdict.action is (Action.ALLOW if (group, resource) == ("apps", "pods") else D)
    assert (
        agreed(
            policies("verbs: ['*'], resources: [pods], action: Allow"), ask("get", resource, info={"api_group": group})
        ).action
        is D
    )


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        1,
        {"spec": 1},
        {"spec": {"template": []}},
        {"spec": {"template": {"spec": {"containers": {"a": 1}}}}},
    ],
)
def test_bypass_7_a_body_that_has_not_the_shape_of_its_kind_has_unknown_powers(document):
    rule = "verbs: [create], apiGroups: [apps], resources: [deployments], podPowers: [], action: Allow"
    request = ask("create", "deployments", info={"api_group": "apps"}, document=document)
    assert agreed(policies(rule), request).action is D
