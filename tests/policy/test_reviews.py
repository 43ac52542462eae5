"""What a client asks about itself is answered by the policy and the cluster together, without a word about the gateway's user."""

from __future__ import annotations

import json
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.documents import parse
from pratique.errors import Refused
from pratique.kube.attributes import RequestAttributes
from pratique.policy.decision import compile_policies
from pratique.policy.reviews import (
    AUTHENTICATION,
    AUTHORIZATION,
    GROUP_OF_CLIENTS,
    KINDS,
    MAX_LISTED,
    Subject,
    is_self_review,
    reviewed,
)


def finished(*arguments):
    steps = reviewed(*arguments)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


POLICY = """
    apiVersion: pratique/v1
    kind: Policy
    metadata: {name: p}
    spec:
      subjects: ["agent"]
      rules:
        - {name: read, verbs: [get, list, watch], apiGroups: ["", apps], resources: [pods, deployments, pods/log], action: Allow}
        - {name: nodes, verbs: [get, list], resources: [nodes], action: Allow}
        - {name: paths, verbs: [get], nonResourceURLs: [/version, /apis/*], action: Allow}
        - {name: delete, verbs: [delete], resources: [pods], action: RequireApproval}
        - {name: own, verbs: [create], resources: [configmaps], namespaces: [mine], action: Allow}
        - name: small
          verbs: [create]
          resources: [services]
          conditions: [{name: inside, expression: object.spec.type == "ClusterIP"}]
          action: Allow
        - {name: tokens, verbs: [create], resources: [secrets], action: Allow}
        - {name: change, verbs: [update, get, create], resources: [namespaces], action: Allow}
        - {name: kept, verbs: [get, list], resources: [pods], namespaces: [kube-system], action: Deny}
"""
DECIDE = compile_policies(parse(textwrap.dedent(POLICY), "policies/p.yaml")).decide
AGENT = Subject("agent", {})
SECRET = "arn:aws:sts::111122223333:assumed-role/RoleY/CANARY"


def attributes(resource, group=AUTHORIZATION, verb="create", subresource=""):
    return RequestAttributes(
        True, verb, "", api_group=group, api_version="v1", resource=resource, subresource=subresource
    )


def access(spec, allowed=True, subject=AGENT):
    answer = {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {"managedFields": [SECRET]},
        "spec": spec,
        "status": {"allowed": allowed, "reason": f"RBAC: allowed by {SECRET}", "evaluationError": SECRET},
    }
    found = finished(attributes("selfsubjectaccessreviews"), {"spec": spec}, answer, subject, DECIDE)
    assert SECRET not in json.dumps(found.document)
    return found


def ask(verb, resource, group="", namespace="dev", name="", subresource=""):
    given = {
        "verb": verb,
        "resource": resource,
        "group": group,
        "namespace": namespace,
        "name": name,
        "subresource": subresource,
    }
    return {"resourceAttributes": {key: value for key, value in given.items() if value}}


YES = [
    ask("get", "pods"), ask("get", "pods", name="web-1"), ask("list", "deployments", "apps", namespace=""), ask("get", "pods", subresource="log"),
    ask("watch", "deployments", "apps"), ask("get", "nodes"), ask("list", "nodes", namespace=""),
    ask("create", "configmaps", namespace="mine"), ask("create", "secrets", name="plain"), {"nonResourceAttributes": {"path": "/version", "verb": "get"}},
]  # fmt: skip


@pytest.mark.parametrize("spec", YES)
def test_what_both_allow_is_allowed(spec):
    status = access(spec).document["status"]
    assert status["allowed"] is True
    assert "policy allows it" in status["reason"]


@pytest.mark.parametrize("spec", YES)
def test_what_the_cluster_does_not_allow_is_not(spec):
    for allowed in (False, None, "true", 1):
        status = access(spec, allowed=allowed).document["status"]
        assert status == {
            "allowed": False,
            "reason": "the gateway's policy would permit it, but the cluster does not allow it",
        }


NO = [
    ask("create", "pods"), ask("get", "secrets"), ask("get", "pods", "batch"), ask("list", "pods", namespace=""), ask("get", "pods", namespace="kube-system"),
    ask("create", "configmaps"), ask("create", "pods", subresource="exec"), ask("delete", "deployments", "apps"),
    ask("get", "nothings"), {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}},
    {"nonResourceAttributes": {"path": "/version", "verb": "post"}},
]  # fmt: skip


@pytest.mark.parametrize("spec", NO)
def test_what_the_policy_denies_is_denied_whatever_the_cluster_allows(spec):
    status = access(spec).document["status"]
    assert (status["allowed"], status["denied"]) == (False, True)
    assert "the gateway's policy denies it" in status["reason"]


def test_nobody_else_may_what_a_client_may():
    assert access(YES[0], subject=Subject("other", {})).document["status"]["allowed"] is False


def test_what_needs_a_person_is_allowed_and_said_where_kubectl_shows_it():
    found = access(ask("delete", "pods", name="web-1"))
    assert found.document["status"] == {"allowed": True, "reason": found.warning}
    assert "a person has to approve" in found.warning
    assert "p/delete" in found.warning


@pytest.mark.parametrize("spec", [ask("create", "services"), ask("update", "namespaces", name="dev")])
def test_what_depends_on_the_body_is_not_promised(spec):
    status = access(spec).document["status"]
    assert status["allowed"] is False
    assert "denied" not in status
    assert "dryRun=All" in status["reason"]


UNKNOWN = [
    {}, {"resourceAttributes": {}}, {"resourceAttributes": None}, {"resourceAttributes": {"verb": "get", "resource": "*"}},
    {"resourceAttributes": {"verb": "get", "resource": "pods", "group": "*"}}, ask("impersonate", "users"), ask("use", "pods"),
    {"nonResourceAttributes": {"path": "/version", "verb": "*"}}, {"resourceAttributes": {"verb": ["get"], "resource": ["pods"]}},
    {"resourceAttributes": {"verb": "get", "resource": "pods", "subresource": "*"}},
]  # fmt: skip


@pytest.mark.parametrize("spec", UNKNOWN)
def test_what_is_no_one_request_is_not_allowed(spec):
    status = access(spec).document["status"]
    assert status["allowed"] is False
    assert "no such request" in status["reason"]


def test_every_verb_is_allowed_only_where_each_is():
    assert access(ask("*", "pods")).document["status"]["denied"] is True


# --- who am I ---


def who(subject=AGENT, **more):
    info = {"username": SECRET, "uid": SECRET, "groups": [SECRET, "system:authenticated"], "extra": {"arn": [SECRET]}}
    answer = {
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": "2026-11-29T00:00:00Z", "annotations": {"a": SECRET}},
        "status": {"userInfo": info},
        "x": SECRET,
    } | more
    return finished(attributes("selfsubjectreviews", AUTHENTICATION), {}, answer, subject, DECIDE).document


def test_who_am_i_is_the_client_and_nothing_of_the_gateways_user():
    found = who()
    assert found == {
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": "2026-11-29T00:00:00Z"},
        "status": {"userInfo": {"username": "agent", "groups": [GROUP_OF_CLIENTS]}},
    }
    acting = Subject("agent", {}, ("system:serviceaccounts", "system:serviceaccounts:mcp"))
    assert who(acting)["status"]["userInfo"]["groups"] == [GROUP_OF_CLIENTS, *acting.groups]


# --- what may I ---

ALL = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]


def rules(theirs=ALL, paths=({"verbs": ["*"], "nonResourceURLs": ["*"]},), namespace="dev", subject=AGENT):
    answer = {
        "kind": "SelfSubjectRulesReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": {},
        "status": {
            "resourceRules": theirs,
            "nonResourceRules": list(paths),
            "incomplete": False,
            "evaluationError": SECRET,
        },
    }
    asked = {"spec": {"namespace": namespace}}
    found = finished(attributes("selfsubjectrulesreviews"), asked, answer, subject, DECIDE).document
    assert SECRET not in json.dumps(found)
    assert found["status"]["incomplete"] is True
    return found["status"]


def listed(status):
    return {
        (group, resource, name): tuple(rule["verbs"])
        for rule in status["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def test_what_may_i_is_what_both_permit():
    assert listed(rules()) == {
        ("", "pods", ""): ("get", "list", "watch", "delete"),
        ("", "pods/log", ""): ("get", "list", "watch"),
        ("", "nodes", ""): ("get", "list"),
        ("apps", "deployments", ""): ("get", "list", "watch"),
        ("", "secrets", ""): ("create",),
        ("", "namespaces", ""): ("get", "create"),
    }
    assert rules()["nonResourceRules"] == [{"verbs": ["get"], "nonResourceURLs": ["/apis/*", "/version"]}]
    assert "`agent`" in rules()["evaluationError"]


def test_what_may_i_differs_by_namespace():
    assert listed(rules(namespace="mine"))["", "configmaps", ""] == ("create",)
    assert "get" not in listed(rules(namespace="kube-system"))["", "pods", ""]


def test_the_clusters_own_rules_limit_it():
    some = [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["web"]},
        {"verbs": ["list"], "apiGroups": ["apps"], "resources": ["*"]},
        {"verbs": ["*"], "apiGroups": [""], "resources": ["*/log", "secrets"]},
    ]
    assert listed(rules(some, paths=())) == {
        ("", "pods", "web"): ("get",),
        ("apps", "deployments", ""): ("list",),
        ("", "pods/log", ""): ("get", "list", "watch"),
        ("", "secrets", ""): ("create",),
    }
    assert rules(some, paths=())["nonResourceRules"] == []
    assert listed(rules([])) == {}
    assert listed(rules(subject=Subject("other", {}))) == {}


def test_a_rules_review_of_a_large_cluster_is_bounded():
    many = [{"verbs": ["get"], "apiGroups": ["g"], "resources": [f"r{number}" for number in range(5_000)]}]
    calls = []

    def decide(request):
        calls.append(request)
        return DECIDE(request)

    answer = {"kind": "SelfSubjectRulesReview", "status": {"resourceRules": many}}
    finished(attributes("selfsubjectrulesreviews"), {"spec": {}}, answer, AGENT, decide)
    assert len(calls) <= MAX_LISTED * 8


# --- which they are, and what is none ---


@pytest.mark.parametrize("key", KINDS)
def test_an_answer_that_is_no_review_is_not_shown(key):
    for answer in (
        None,
        [],
        {},
        {"kind": "Status", "message": SECRET},
        {"kind": "Table"},
        {"kind": KINDS[key], "status": []},
    ):
        with pytest.raises(Refused) as raised:
            finished(attributes(key[1], key[0]), {}, answer, AGENT, DECIDE)
        assert raised.value.code == 502
        assert SECRET not in str(raised.value)


def test_only_the_reviews_about_oneself_are_answered_so():
    assert is_self_review(attributes("selfsubjectreviews", AUTHENTICATION))
    for other in (
        attributes("selfsubjectreviews"),
        attributes("subjectaccessreviews"),
        attributes("selfsubjectaccessreviews", verb="get"),
        attributes("selfsubjectrulesreviews", subresource="status"),
    ):
        assert not is_self_review(other)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["get", "*", "pods", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["spec", "status", "kind", "resourceAttributes", "nonResourceAttributes", "verb", "resource", "verbs",
                         "resources", "apiGroups", "resourceRules", "nonResourceRules", "nonResourceURLs", "allowed"]),
        inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(KINDS)), JSON, JSON)
def test_any_json_is_a_review_or_a_refusal(key, asked, status):
    try:
        found = finished(attributes(key[1], key[0]), asked, {"kind": KINDS[key], "status": status}, AGENT, DECIDE)
    except Refused as refused:
        assert refused.code == 502
    else:
        json.dumps(found.document)
