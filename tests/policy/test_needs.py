"""The policy says what the cluster must be asked, asks for nothing that cannot change a Deny, and errs strictly without."""

from __future__ import annotations

import itertools
import random

import pytest

from pratique.policy.conditions import VARIABLES, _text
from pratique.policy.needs import NOTHING, Needs
from pratique.verdict import Action
from tests.policy.test_decision import ALLOW_ALL, agreed, ask, condition, policies, replace

A, R, D = Action.ALLOW, Action.REQUIRE_APPROVAL, Action.DENY
PATCH = {"patch_type": "merge-patch", "document": {}}
LABELLED = "verbs: ['*'], resources: ['*'], namespaceSelector: {matchLabels: {team: a}}"
POWERS = "verbs: ['*'], resources: ['*'], podPowers: [], action: Allow"
OLD = condition("oldObject != null && oldObject.metadata.name == 'web'")


@pytest.mark.parametrize(
    ("rules", "request_", "needs"),
    [
        ([ALLOW_ALL], ask("patch", **PATCH), ()),
        ([OLD], ask("patch", **PATCH), ("old_object",)),
        ([OLD], ask("update", document={}), ("old_object",)),
        ([OLD], ask("delete"), ("old_object",)),
        ([OLD.replace('resources: ["*"]', "resources: ['*/*']")], ask("create", "pods/exec"), ("old_object",)),
        ([OLD.replace('resources: ["*"]', "resources: ['*/*']")], ask("get", "pods/attach"), ("old_object",)),
        ([OLD], ask("create", document={}), ()),
        ([OLD], ask("get"), ()),
        ([OLD], ask("list"), ()),
        ([OLD], ask("deletecollection"), ()),
        ([OLD], ask("delete", old_object=None), ()),
        ([condition("object.a == 1")], ask("patch", **PATCH), ("result",)),
        ([condition("object.a == 1")], ask("apply", document={"a": 1}), ("result",)),
        ([condition("object.a == 1")], ask("patch", result={}, **PATCH), ()),
        ([condition("object.a == 1")], ask("update", document={}), ()),
        ([condition("'x' in images")], ask("patch", **PATCH), ("result",)),
        ([condition("object == oldObject")], ask("patch", **PATCH), ("old_object", "result")),
        ([POWERS], ask("patch", **PATCH), ("result",)),
        ([f"{LABELLED}, action: Allow"], ask(), ("namespace_labels",)),
        ([f"{LABELLED}, action: Allow"], ask(namespace_labels={}), ()),
        ([f"{LABELLED}, action: Allow"], ask("list", info={"namespace": ""}), ()),
        ([f"{LABELLED}, action: Allow"], ask("get", "nodes", info={"namespace": ""}), ()),
        ([f"{LABELLED}, action: Allow"], ask(client="mcp-2", info={"resource": "widgets"}), ("namespace_labels",)),
        # what is denied whatever the cluster says is not asked for
        ([f"{LABELLED}, action: Deny"], ask(), ()),
        ([f"{LABELLED}, action: Allow", "verbs: [get], resources: [pods], action: Deny"], ask(), ()),
        ([OLD, "verbs: [patch], resources: [pods], action: Deny"], ask("patch", **PATCH), ()),
        ([OLD, condition("request.name == client.labels['x']")], ask("patch", **PATCH), ()),
        ([f"verbs: [patch], resources: [pods], {POWERS.split(', ', 2)[2]}"], ask("patch", **PATCH), ()),
        ([OLD], ask("patch", fault="no answer", **PATCH), ()),
        ([OLD], ask("patch", info={"error": "boom"}, **PATCH), ()),
        # a rule that does not match for another reason asks for nothing
        ([ALLOW_ALL, f"{LABELLED}, resourceNames: [other], action: Deny"], ask(), ()),
        ([ALLOW_ALL, f"{LABELLED}, action: Deny"], ask(), ("namespace_labels",)),
    ],
)
def test_what_must_be_asked_before_the_decision(rules, request_, needs):
    assert policies(*rules).needs(request_) == NOTHING._replace(**dict.fromkeys(needs, True))


def test_needs_add_up_and_have_names_for_people():
    assert Needs(old_object=True) | Needs(result=True) == Needs(True, True, False)
    assert Needs(True, True, True).names == ("oldObject", "the result of the patch", "the labels of the namespace")


@pytest.mark.parametrize(
    ("expression", "request_", "expected", "error"),
    [
        ("oldObject == null", ask("create", document={}), A, ""),
        ("oldObject == null", ask("update", document={}, old_object=None), A, ""),
        ("oldObject.spec.replicas > object.spec.replicas", ask("update", document={"spec": {"replicas": 1}}, old_object={"spec": {"replicas": 2}}), A, ""),
        ("oldObject.metadata.labels['a'] == 'b'", ask("delete", old_object={"metadata": {"labels": {"a": "b"}}}), A, ""),
        ("oldObject.metadata.labels['a'] == 'b'", ask("delete", old_object={"metadata": {}}), D, "Key not found"),
        ("oldObject == null", ask("delete"), D, "`oldObject` is not there"),
        ("oldObject == null", ask("list"), D, "`oldObject` is not there"),
        ("oldObject == null", ask("deletecollection"), D, "`oldObject` is not there"),
        ("object.a == 1", ask("apply", document={"a": 1}), D, "`object` is not there"),
        ("object.a == 1", ask("apply", document={"a": 1}, result={"a": 1}), A, ""),
    ],
)  # fmt: skip
def test_conditions_over_the_live_object_and_the_result_of_a_patch(expression, request_, expected, error):
    verdict = agreed(policies(condition(expression)), request_)
    assert verdict.action is expected
    assert error in "".join(verdict.errors)
    assert bool(error) == bool(verdict.errors)


def test_what_could_not_be_asked_is_deny_with_the_error_in_the_verdict():
    verdict = agreed(policies(ALLOW_ALL), ask(fault="the API server cannot be reached"))
    assert (verdict.action, verdict.errors, verdict.allows) == (D, ("the API server cannot be reached",), False)
    assert "the API server cannot be reached" in verdict.message


# Labels of namespaces: what is not known does not match an Allow rule, and matches a Deny rule.
@pytest.mark.parametrize(
    ("selector", "request_", "allow", "deny"),
    [
        ("matchLabels: {team: a}", ask(namespace_labels={"team": "a", "x": "y"}), A, D),
        ("matchLabels: {team: a}", ask(namespace_labels={"team": "b"}), D, A),
        ("matchLabels: {team: a}", ask(namespace_labels={}), D, A),
        ("matchLabels: {team: a}", ask(), D, D),
        ("matchLabels: {team: a}", ask("list", info={"namespace": ""}), D, D),
        ("matchLabels: {team: a}", ask("get", "nodes", info={"namespace": ""}), D, A),
        ("matchExpressions: [{key: team, operator: In, values: [a, b]}]", ask(namespace_labels={"team": "b"}), A, D),
        ("matchExpressions: [{key: team, operator: In, values: [a, b]}]", ask(namespace_labels={}), D, A),
        ("matchExpressions: [{key: team, operator: NotIn, values: [a]}]", ask(namespace_labels={}), A, D),
        ("matchExpressions: [{key: team, operator: NotIn, values: [a]}]", ask(namespace_labels={"team": "a"}), D, A),
        ("matchExpressions: [{key: team, operator: Exists}]", ask(namespace_labels={"team": ""}), A, D),
        ("matchExpressions: [{key: team, operator: Exists}]", ask(namespace_labels={}), D, A),
        ("matchExpressions: [{key: team, operator: DoesNotExist}]", ask(namespace_labels={}), A, D),
        ("matchExpressions: [{key: team, operator: DoesNotExist}]", ask(namespace_labels={"team": "a"}), D, A),
        ("matchLabels: {a: b}, matchExpressions: [{key: c, operator: Exists}]", ask(namespace_labels={"a": "b"}), D, A),
        (
            "matchLabels: {team: a}",
            ask("create", "namespaces", info={"namespace": ""}, document={"metadata": {"name": "n", "labels": {"team": "a"}}}),
            A,
            D,
        ),
        (
            "matchLabels: {team: a}",
            ask("create", "namespaces", info={"namespace": ""}, document={"metadata": {"name": "n", "labels": [1]}}),
            D,
            D,
        ),
        ("matchLabels: {team: a}", ask("delete", "namespaces", info={"name": "dev"}, namespace_labels={"team": "a"}), A, D),
    ],
)  # fmt: skip
def test_labels_of_the_namespace(selector, request_, allow, deny):
    fields = f"verbs: ['*'], resources: ['*'], namespaceSelector: {{{selector}}}"
    assert agreed(policies(f"{fields}, action: Allow"), request_).action is allow
    assert agreed(policies(f"{fields}, action: Deny", ALLOW_ALL), request_).action is deny


# --- the property that makes asking late safe ---

SNIPPETS = [
    "namespaceSelector: {matchLabels: {team: a}}",
    "podPowers: []",
    "podPowers: [privileged]",
    "resourceNames: [web]",
    "namespaces: [dev]",
    "namespaces: ['d*', other]",
    'conditions: [{name: c, expression: "oldObject.a == 1"}]',
    'conditions: [{name: c, expression: "object.a == 1"}]',
    'conditions: [{name: c, expression: "request.namespace == \'dev\'"}, {name: d, expression: "object.a == oldObject.a"}]',
]
VERBS = ["['*']", "[patch]", "[get, patch]", "[create]", "[delete, update]"]
SPEC = {"spec": {"containers": [{"securityContext": {"privileged": True}}]}}
FOUND = [
    {"namespace_labels": labels, "old_object": old, "result": result}
    for labels, old, result in itertools.product(
        ({}, {"team": "a"}), (None, {"a": 1}, {"a": 2}), ({"a": 1}, {"a": 2, **SPEC})
    )
]


def random_policies(chance):
    rules = []
    for _ in range(chance.randint(1, 4)):
        action = chance.choice(["Allow", "Allow", "Allow", "RequireApproval", "Deny"])
        parts = [f"verbs: {chance.choice(VERBS)}", "resources: ['*/*']", f"action: {action}"]
        for snippet in chance.sample(SNIPPETS, chance.randint(0, 2)):
            if action != "Allow" and snippet == "podPowers: []":
                continue
            if not any(part.partition(":")[0] == snippet.partition(":")[0] for part in parts):
                parts.append(snippet)
        rules.append(", ".join(parts))
    return policies(*rules)


REQUESTS = [
    ask("patch", **PATCH),
    ask("patch", patch_type="strategic-merge-patch", document=SPEC, info={"namespace": "other"}),
    ask("apply", document=SPEC),
    ask("delete"),
    ask("update", document=SPEC),
    ask("create", document=SPEC),
    ask("get"),
    ask("create", "pods/exec"),
    ask("list", info={"namespace": ""}),
]


def test_without_asking_a_decision_is_stricter_and_where_nothing_is_needed_the_same():
    chance, asked = random.Random(7), 0
    for _ in range(80):
        compiled = random_policies(chance)
        for request in REQUESTS:
            without, needs = agreed(compiled, request), compiled.needs(request)
            asked += any(needs)
            for every in FOUND:
                found = dict(every)
                if not request.patch_type:  # only what the cluster can be asked about this request
                    del found["result"]
                if not request.acts_on_object:
                    del found["old_object"]
                verdict = compiled.decide(replace(request, **found))
                if not verdict.errors:  # an Allow rule may match now, and have no answer
                    assert verdict.action.strictness <= without.action.strictness
                if not any(needs):
                    assert verdict.action is without.action
                given = {
                    name: found.get(name)
                    for name, needed in zip(("old_object", "result", "namespace_labels"), needs, strict=True)
                    if needed
                }
                assert compiled.decide(replace(request, **given)).action is verdict.action or not any(needs)
    assert asked > 80, "the rules are such that it matters"


def test_no_variable_tells_the_api_version():
    assert not [name for name in VARIABLES if "version" in name.lower()]


def test_what_only_the_cluster_can_tell_is_said_in_words() -> None:
    said = _text('NOT_FOUND: No value with name "oldObject" found in Activation')
    assert said.startswith("`oldObject` is not there")
