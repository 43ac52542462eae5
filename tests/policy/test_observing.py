"""`mode: Observe`: what a policy would decide is told, and decides nothing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.documents import parse
from pratique.errors import DocumentErrors
from pratique.policy.decision import compile_policies
from pratique.policy.discovery_class import DiscoveredAttributes
from pratique.policy.explain import explain
from pratique.policy.needs import NOTHING
from pratique.policy.observing import UNKNOWN, Observed, Observer
from pratique.policy.patterns import Globs
from pratique.policy.request import PolicyRequest


def document(name, rules, **spec):
    fields = "".join(f"  {key}: {value}\n" for key, value in spec.items())
    listed = "".join(f"  - {{name: r{number}, {rule}}}\n" for number, rule in enumerate(rules))
    return f"---\napiVersion: pratique/v1\nkind: Policy\nmetadata: {{name: {name}}}\nspec:\n{fields}  rules:\n{listed}"


def policies(*documents):
    return compile_policies(parse("".join(documents), "p.yaml"))


def request(verb="get", resource="pods", namespace="dev", client="a", **more):
    attributes = DiscoveredAttributes(
        verb, "", "v1", *resource.partition("/")[::2], namespace, "" if verb == "list" else "web"
    )
    return PolicyRequest(client, attributes, **more)


ALLOW = "verbs: ['*'], resources: [pods], action: Allow"
DENY = "verbs: ['*'], resources: [pods], action: Deny"
ASK = "verbs: ['*'], resources: [pods], action: RequireApproval"


def seen(*documents, **asked):
    found = policies(*documents)
    return found.decide(request(**asked)).action.value, [str(one) for one in found.observe(request(**asked))]


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([document("a", [ALLOW]), document("b", [DENY], mode="Observe")], ("Allow", ["b Deny b/r0"])),
        ([document("a", [ALLOW]), document("b", [ASK], mode="Observe")], ("Allow", ["b RequireApproval b/r0"])),
        ([document("a", [DENY]), document("b", [ALLOW], mode="Observe")], ("Deny", ["b Deny a/r0"])),
        ([document("a", [DENY]), document("b", [ALLOW], mode="Observe", base="a")], ("Deny", ["b Allow b/r0"])),
        ([document("a", [ALLOW]), document("b", ["verbs: [list], resources: [pods], action: Allow"], mode="Observe", base="a")],
         ("Allow", ["b Deny"])),
        ([document("b", [ALLOW], mode="Observe")], ("Deny", ["b Allow b/r0"])),
        ([document("a", [ALLOW], subjects="[x]"), document("b", [ALLOW], subjects="[y]", mode="Observe", base="a")], ("Deny", [])),
        ([document("a", [ALLOW]), document("b", [DENY], mode="Observe"), document("c", [ASK], mode="Observe")],
         ("Allow", ["b Deny b/r0", "c RequireApproval c/r0"])),
        ([document("a", [ALLOW]), document("b", ["verbs: [get], resources: [pods], namespaceSelector: {matchLabels: {a: b}}, action: Deny"],
          mode="Observe")], ("Allow", ["b Unknown"])),
    ],
)  # fmt: skip
def test_what_would_be_is_told_beside_what_is(documents, expected):
    assert seen(*documents) == expected


def test_a_client_that_loses_its_base_is_told_of():
    """The observed policy is for fewer clients: whoever is left out would be denied."""
    documents = [document("a", [ALLOW]), document("b", [ALLOW], mode="Observe", base="a", subjects="[x]")]
    assert seen(*documents) == ("Allow", ["b Deny"])


@pytest.mark.parametrize(
    ("documents", "place"),
    [
        ([document("b", [DENY], mode="Observe", base="a")], "p.yaml:7:3: there is no enforced policy `a`"),
        ([document("a", [DENY], mode="Observe"), document("b", [DENY], mode="Observe", base="a")], "no enforced policy `a`"),
        ([document("a", [DENY], base="b"), document("b", [DENY])], "`base` goes with `mode: Observe`"),
        ([document("a", [DENY], mode="Watch")], "value `Watch` is not known"),
        ([document("a", ["verbs: [nothing], resources: [pods], action: Deny"], mode="Observe")], "verb `nothing` is not known"),
    ],
)  # fmt: skip
def test_an_observed_policy_must_be_as_right_as_any(documents, place):
    with pytest.raises(DocumentErrors, match="p.yaml") as caught:
        policies(*documents)
    assert place in str(caught.value)


def test_a_base_with_errors_of_its_own_is_one_error():
    broken = document("a", ["verbs: [nothing], resources: [pods], action: Deny"])
    with pytest.raises(DocumentErrors) as caught:
        policies(broken, document("b", [DENY], mode="Observe", base="a"))
    assert len(caught.value.errors) == 1


class Broken:
    def needs(self, _request):
        return NOTHING

    def decide(self, _request):
        raise RecursionError


def test_a_fault_in_an_observed_policy_is_unknown():
    assert Observer("b", Broken(), (Globs(["*"]),)).see(request()) == Observed("b", UNKNOWN)


def test_explain_shows_it():
    found = explain(policies(document("a", [ALLOW]), document("b", [DENY], mode="Observe")), request())
    assert found.as_json()["observed"] == [{"policy": "b", "action": "Deny", "rules": ["b/r0"]}]
    assert all(trace.rule.startswith("a/") for trace in found.rules)


@pytest.mark.parametrize("one", [Observed("p", "Deny", ("p/a", "q/b")), Observed("p", "Unknown")])
def test_as_text_and_back(one):
    assert Observed.parse(str(one)) == one


VERBS, RESOURCES = ["get", "list", "create", "delete", "*"], ["pods", "pods/exec", "secrets", "*", "*/*"]
MORE = [
    "", "namespaces: [dev]", "resourceNames: ['w*']", "conditions: [{name: c, expression: 'oldObject.x == 1'}]", "dryRun: true",
    "namespaceSelector: {matchLabels: {a: b}}", "conditions: [{name: c, expression: 'object.x == 1'}]", "podPowers: [privileged]",
]  # fmt: skip
REQUESTS = [
    request(verb, resource, namespace, document={"metadata": {"name": "web"}})
    for verb, resource, namespace in itertools.product(["get", "list", "create", "delete"], ["pods", "pods/exec", "secrets"], ["dev", "x", ""])
]  # fmt: skip


@st.composite
def rules(draw):
    def one():
        more = draw(st.sampled_from(MORE))
        verb, resource = draw(st.sampled_from(VERBS)), draw(st.sampled_from(RESOURCES))
        action = draw(st.sampled_from(["Allow", "RequireApproval", "Deny"]))
        return f"verbs: ['{verb}'], resources: ['{resource}'], action: {action}" + (f", {more}" if more else "")

    return [one() for _ in range(draw(st.integers(1, 3)))]


@settings(max_examples=30, deadline=None)
@given(rules(), rules(), rules(), st.sampled_from(["", "a"]))
def test_observed_policies_never_change_a_verdict_nor_what_the_cluster_is_asked(enforced, one, other, base):
    fields = {"mode": "Observe"} | ({"base": base} if base else {})
    alone = policies(document("a", enforced))
    watched = policies(document("a", enforced), document("b", one, **fields), document("c", other, mode="Observe"))
    for each in REQUESTS:
        assert watched.observe(each)
        assert watched.decide(each) == alone.decide(each)
        assert watched.needs(each) == alone.needs(each)
        assert [trace.rule for trace in watched.explain(each)] == [trace.rule for trace in alone.explain(each)]


@settings(max_examples=20, deadline=None)
@given(rules(), rules())
def test_what_was_observed_is_what_happens_when_it_is_enforced(enforced, new):
    watched = policies(document("a", enforced), document("b", new, mode="Observe", base="a"))
    then = policies(document("b", new))
    for each in REQUESTS:
        (found,) = watched.observe(each)
        verdict = then.decide(each)
        assert found.action == UNKNOWN or (found.action, found.rules) == (verdict.action.value, verdict.rules)
