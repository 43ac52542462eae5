"""What a request can come to, without asking the cluster: the real verdict is among it, whatever the cluster says."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.documents import parse
from pratique.policy.decision import compile_policies
from pratique.policy.discovery_class import DiscoveredAttributes
from pratique.policy.possible import MAX_WAYS, possible
from pratique.policy.request import MERGE_PATCH, PolicyRequest
from pratique.verdict import Action

HEAD = "apiVersion: pratique/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n  rules:\n"
PLAIN, PRIVILEGED = (
    {"metadata": {"name": "w"}, "spec": {"containers": [{"name": "c", **more}]}}
    for more in ({}, {"securityContext": {"privileged": True}})
)
PARTS = [
    "", "podPowers: [privileged]", "podPowers: []", "namespaceSelector: {matchLabels: {a: b}}",
    "conditions: [{name: c, expression: 'object.metadata.name == \"w\"'}]", "conditions: [{name: c, expression: 'oldObject.x == 1'}]",
    "conditions: [{name: c, expression: 'request.name == \"w\"'}]",
]  # fmt: skip
ACTIONS = ["Allow", "RequireApproval", "Deny"]


def policies(rules):
    return compile_policies(
        parse(HEAD + "".join(f"  - {{name: r{n}, {rule}}}\n" for n, rule in enumerate(rules)), "p.yaml")
    )


def patch(resource="pods"):
    attributes = DiscoveredAttributes("patch", "", "v1", resource, "", "dev", "w")
    return PolicyRequest("a", attributes, "PATCH", patch_type=MERGE_PATCH, document={"spec": {}})


@st.composite
def rules(draw):
    def one():
        action, part = draw(st.sampled_from(ACTIONS)), draw(st.sampled_from(PARTS))
        if action != "Allow" and part == "podPowers: []":
            part = ""
        return (
            f"verbs: [{draw(st.sampled_from(['patch', 'get', 'patch, get']))}], resources: [pods], action: {action}"
            + (f", {part}" if part else "")
        )

    return [one() for _ in range(draw(st.integers(1, 4)))]


@settings(max_examples=80, deadline=None)
@given(
    rules(), st.sampled_from([PLAIN, PRIVILEGED]), st.sampled_from([{}, {"x": 1}]), st.sampled_from([{}, {"a": "b"}])
)
def test_the_verdict_is_among_the_possible_ones_whatever_the_cluster_says(listed, result, old, labels):
    found = policies(listed)
    asked = patch()
    verdict = found.decide(replace(asked, result=result, old_object=old, namespace_labels=labels))
    ways = possible(found, asked)
    assert (verdict.action, verdict.rules, verdict.terms) in {(way.action, way.rules, way.terms) for way in ways}


def test_a_patch_that_a_person_is_asked_about_in_any_case():
    asks = "verbs: [patch], resources: [pods], action: RequireApproval"
    found = possible(
        policies(["verbs: [get], resources: [pods], action: Allow", asks, f"{asks}, podPowers: [privileged]"]), patch()
    )
    assert {way.action for way in found} == {Action.REQUIRE_APPROVAL}
    assert {way.rules for way in found} == {("p/r1",), ("p/r1", "p/r2")}


def test_where_it_cannot_be_told_nothing_is():
    allow = "verbs: ['*'], resources: ['*'], action: Allow"
    assert possible(policies([allow]), patch("configmaps")) == [], "its content may be an escalation"
    assert possible(policies([allow]), replace(patch(), fault="x")) == []
    many = [f"{allow}, podPowers: [privileged]"] * 9
    assert 2**9 > MAX_WAYS
    assert possible(policies(many), patch()) == []
