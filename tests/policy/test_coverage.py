"""Which rules and conditions were reached, and which rules others make pointless."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.documents import parse
from pratique.policy.coverage import Answers, Coverage, covered_by, gaps
from pratique.policy.decision import compile_policies
from pratique.policy.discovery_class import DiscoveredAttributes
from pratique.policy.overlaps import Kind, covers, overlaps, witness
from pratique.policy.request import PolicyRequest
from pratique.verdict import Action

HEAD = "apiVersion: pratique/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n  rules:\n"


def policies(*rules, head=HEAD):
    text = head + "".join(f"  - {{name: r{number}, {rule}}}\n" for number, rule in enumerate(rules))
    return compile_policies(parse(text, "p.yaml"))


def request(verb="get", resource="pods", namespace="dev", name="web", **more):
    sub = resource.partition("/")[2]
    attributes = DiscoveredAttributes(
        verb, more.pop("group", ""), "v1", resource.partition("/")[0], sub, namespace, name
    )
    return PolicyRequest(more.pop("client", "a"), attributes, **more)


READ = "verbs: [get, list], resources: [pods], action: Allow"
ASKED = 'verbs: [create], resources: [pods], action: Allow, conditions: [{name: a, expression: "object.x == 1"}, {name: b, expression: "object.y == 1"}]'


def created(**document):
    return request("create", name="", document=document)


def test_rules_and_conditions_are_counted_by_what_they_said():
    found = covered_by(
        policies(READ, ASKED), [request(), request(resource="services"), created(x=1, y=1), created(x=2), created()]
    )
    assert found.matched == {"p/r0": 1, "p/r1": 1}
    assert found.answers == {("p/r1", "a"): Answers(1, 1, 1), ("p/r1", "b"): Answers(1, 0, 0)}
    assert found.requests == 5


def test_gaps_are_said_with_their_place():
    rules = policies(READ, ASKED, "verbs: [delete], resources: [pods], action: Deny")
    assert [str(gap) for gap in gaps(rules, covered_by(rules, [request(), created(x=1, y=1), created()]))] == [
        "p.yaml:7:5: condition `a` of rule `p/r1` is never false",
        "p.yaml:7:5: condition `a` of rule `p/r1` has no answer for 1 requests, which denies them",
        "p.yaml:7:5: condition `b` of rule `p/r1` is never false",
        "p.yaml:8:5: nothing matches rule `p/r2`",
    ]
    nothing = [str(gap).partition(": ")[2] for gap in gaps(rules, Coverage())]
    assert "condition `a` of rule `p/r1` is never asked" in nothing
    false = [str(gap) for gap in gaps(rules, covered_by(rules, [created(x=2, y=1)]))]
    assert "p.yaml:7:5: condition `a` of rule `p/r1` is never true" in false


def test_counts_of_several_add_up():
    rules = policies(READ, ASKED)
    together = covered_by(rules, [created(x=1, y=1)])
    together.merge(covered_by(rules, [created(x=1, y=2), request()]))
    assert together == covered_by(rules, [created(x=1, y=1), created(x=1, y=2), request()])


ALLOW_PODS = "verbs: [get], resources: [pods], namespaces: [dev], action: Allow"


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ([ALLOW_PODS, "verbs: ['*'], resources: ['*'], action: Deny"], [(Kind.SHADOWED, "p/r0", "p/r1")]),
        ([ALLOW_PODS, "verbs: [get], resources: [pods], namespaces: ['d*'], action: Deny"], [(Kind.SHADOWED, "p/r0", "p/r1")]),
        ([ALLOW_PODS, "verbs: [get], resources: [pods], namespaces: [prod], action: Deny"], []),
        ([ALLOW_PODS, "verbs: [get], resources: ['*'], action: Allow"], [(Kind.REDUNDANT, "p/r0", "p/r1")]),
        ([ALLOW_PODS, ALLOW_PODS], [(Kind.REDUNDANT, "p/r1", "p/r0")]),
        (["verbs: [get], resources: [pods/log], action: Allow", "verbs: [get], resources: ['*'], action: Allow"], []),
        (["verbs: [get], resources: [pods/log], action: Allow", "verbs: [get], resources: ['*/*'], action: Allow"], [(Kind.REDUNDANT, "p/r0", "p/r1")]),
        (["verbs: [create], apiGroups: [rbac.authorization.k8s.io], resources: [roles], action: Allow",
          "verbs: ['*'], apiGroups: ['*'], resources: ['*'], action: Allow"], []),
        ([ALLOW_PODS, "verbs: [get], resources: [pods], action: Deny, dryRun: true"], []),
        ([ALLOW_PODS, "verbs: [get], resources: [pods], action: Deny, conditions: [{name: c, expression: 'request.name == \"x\"'}]"], []),
        ([ALLOW_PODS, "verbs: [get], resources: [pods], action: RequireApproval"], []),
        (["verbs: [get], nonResourceURLs: [/version], action: Allow", "verbs: ['*'], nonResourceURLs: ['*'], action: Deny"],
         [(Kind.SHADOWED, "p/r0", "p/r1")]),
        (["verbs: [delete], resources: [pods], action: RequireApproval, approval: {reviewers: [a]}",
          "verbs: ['*'], resources: [pods], namespaces: [prod], action: RequireApproval, approval: {reviewers: [b]}"],
         [(Kind.CONTRADICTORY, "p/r1", "p/r0")]),
        (["verbs: [delete], resources: [pods], action: RequireApproval, message: why",
          "verbs: ['*'], resources: [pods], action: RequireApproval"], []),
    ],
)  # fmt: skip
def test_what_others_make_pointless_is_named_with_an_example(rules, found):
    reported = list(overlaps(policies(*rules)))
    assert [(one.kind, one.rule, one.by) for one in reported] == found
    assert all(one.example and str(one).startswith("p.yaml:") for one in reported)


VERBS, RESOURCES = ["get", "list", "create", "*"], ["pods", "pods/log", "*", "*/*", "pods/*", "secrets"]
SPACES, NAMES = [None, ["dev"], ["d*"], ["*"]], [None, ["web"], ["w*"]]
ACTIONS = ["Allow", "RequireApproval", "Deny"]


def any_rule(draw):
    pick = {
        "verbs": draw(st.sampled_from(VERBS)), "resources": draw(st.sampled_from(RESOURCES)), "action": draw(st.sampled_from(ACTIONS)),
        "namespaces": draw(st.sampled_from(SPACES)), "resourceNames": draw(st.sampled_from(NAMES)),
    }  # fmt: skip
    text = f"verbs: ['{pick['verbs']}'], resources: ['{pick['resources']}'], action: {pick['action']}"
    return text + "".join(f", {name}: {pick[name]}" for name in ("namespaces", "resourceNames") if pick[name])


REQUESTS = [
    request(verb, resource, namespace, "" if verb in {"list", "create"} and "/" not in resource else name, document={"metadata": {"name": name}})
    for verb, resource, namespace, name in itertools.product(["get", "list", "create"], ["pods", "pods/log", "secrets"], ["dev", "prod", ""], ["web", "x"])
]  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_who_is_covered_matches_nothing_that_the_other_does_not(data):
    rules = policies(any_rule(data.draw), any_rule(data.draw))
    narrow, wide = rules.rules
    if covers(wide, narrow) and wide.action in {Action.DENY, narrow.action}:
        for each in REQUESTS:
            matched = {trace.rule for trace in rules.explain(each) if trace.matched}
            assert narrow.id not in matched or wide.id in matched, each


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_rule_that_is_called_pointless_can_be_removed(data):
    """The verdict of every request stays, but for the name of the rule."""
    texts = [any_rule(data.draw) for _ in range(3)]
    rules = policies(*texts)
    for found in overlaps(rules):
        if found.kind is Kind.CONTRADICTORY:
            continue
        number = int(found.rule.removeprefix("p/r"))
        fewer = policies(*(text for index, text in enumerate(texts) if index != number))
        assert [rules.decide(each).action for each in REQUESTS] == [fewer.decide(each).action for each in REQUESTS]


def test_an_example_is_a_request_that_the_rule_matches():
    for rule in policies(READ, ALLOW_PODS, "verbs: [get], nonResourceURLs: ['/apis/*'], action: Allow").rules:
        example = witness(rule)
        assert example is not None
        assert (
            policies(READ, ALLOW_PODS, "verbs: [get], nonResourceURLs: ['/apis/*'], action: Allow")
            .decide(example)
            .action
            is Action.ALLOW
        )
