"""The RBAC rules are what the policies need: every request that they allow passes, and no right is there for none."""

from __future__ import annotations

import textwrap

from pratique.documents import parse, read_folder
from pratique.setup.rights import CLUSTER, rights
from tests.process.gateway import ROOT


def of(rules, subjects='["*"]', clients=("agent",), name="p"):
    text = (
        f"apiVersion: pratique/v1\nkind: Policy\nmetadata: {{name: {name}}}\nspec:\n  subjects: {subjects}\n  rules:\n"
    )
    return rights(parse(text + textwrap.indent(textwrap.dedent(rules).strip("\n"), "    "), "p.yaml"), clients)


def test_allow_and_require_approval_count_and_deny_does_not():
    found = of("""
        - {name: a, verbs: [get, list], resources: [pods], action: Allow}
        - {name: b, verbs: [delete], resources: [configmaps], action: RequireApproval}
        - {name: c, verbs: [get], resources: [secrets], action: Deny}
    """)
    assert found.rules == {
        CLUSTER: [
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["delete", "get"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        ]
    }
    assert found.notes == ()
    assert not found.reads_labels


def test_only_policies_of_the_clients_count():
    rule = "- {name: a, verbs: [get], resources: [pods], action: Allow}"
    assert of(rule, subjects='["mcp-*"]').rules == {}
    assert of(rule, subjects='["mcp-*"]', clients=("other", "mcp-1")).rules != {}


def test_namespaces_that_can_be_named_get_roles_of_their_own():
    found = of("""
        - {name: a, verbs: [get], resources: [pods], namespaces: [dev, test], action: Allow}
        - {name: b, verbs: [get], resources: [pods], namespaces: ["team-*"], action: Allow}
        - {name: c, verbs: [list], resources: [pods], namespaces: ["*"], action: Allow}
    """)
    assert {scope: [rule["verbs"] for rule in rules] for scope, rules in found.rules.items()} == {
        CLUSTER: [["get", "list"]],
        "dev": [["get"]],
        "test": [["get"]],
    }
    assert found.notes == ("p/b: globs of namespaces: granted in every namespace",)


def test_names_are_kept_where_rbac_can_say_them():
    found = of("""
        - {name: a, verbs: [get, create, patch], resources: [configmaps], resourceNames: [b, a], action: Allow}
        - {name: b, verbs: [get], resources: [secrets], resourceNames: ["x-*"], action: Allow}
    """)
    assert found.rules[CLUSTER] == [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"], "resourceNames": ["a", "b"]},
    ]
    assert found.notes == ("p/b: globs of names: granted for every name",)


def test_what_the_gateway_asks_before_it_decides_is_granted():
    found = of("""
        - {name: a, verbs: [deletecollection], resources: [pods], action: Allow}
        - {name: b, verbs: [apply], apiGroups: [apps], resources: [deployments], action: Allow}
        - {name: c, verbs: [list], resources: [services], namespaceSelector: {matchLabels: {a: b}}, action: Allow}
        - {name: d, verbs: [update], apiGroups: [apps], resources: [deployments/scale], action: Allow}
    """)
    assert found.reads_labels
    assert found.rules[CLUSTER] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["deletecollection", "list"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["services"], "verbs": ["list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["create", "get", "patch"]},
        {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["update"]},
    ]


def test_an_exec_needs_both_verbs_and_urls_are_rules_of_their_own():
    found = of("""
        - {name: a, verbs: [create], resources: [pods/exec], action: RequireApproval}
        - {name: b, verbs: [get], nonResourceURLs: ["/api/*", /version], action: Allow}
        - {name: c, verbs: ["*"], nonResourceURLs: [/metrics], action: Allow}
    """)
    assert {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"]} in found.rules[CLUSTER]
    assert {"nonResourceURLs": ["/api/*", "/version"], "verbs": ["get"]} in found.rules[CLUSTER]
    (metrics,) = [rule for rule in found.rules[CLUSTER] if rule.get("nonResourceURLs") == ["/metrics"]]
    assert len(metrics["verbs"]) == 7


def test_any_verb_is_none_that_escalates():
    found = of("""- {name: a, verbs: ["*"], apiGroups: ["*"], resources: ["*", "pods/log"], action: Allow}""")
    verbs = {verb for rule in found.rules[CLUSTER] for verb in rule["verbs"]}
    assert verbs == {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
    assert {tuple(rule["resources"]) for rule in found.rules[CLUSTER]} == {("*", "pods/log")}
    assert found.notes == (
        "p/a: `*` holds subresources in RBAC, also pods/exec and nodes/proxy: better name the resources",
    )


def test_the_shipped_policies_give_agents_no_way_to_escalate():
    documents = read_folder(ROOT / "policies")
    for client, everything in (("viewer-1", True), ("mcp-1", False), ("break-glass-1", True)):
        found = rights(documents, [client])
        rules = [rule for rules in found.rules.values() for rule in rules]
        verbs = {verb for rule in rules for verb in rule["verbs"]}
        assert not {"escalate", "bind", "impersonate", "*"} & verbs
        assert any("*" in rule.get("resources", []) for rule in rules) is everything
    viewer = [rule for rules in rights(documents, ["viewer-1"]).rules.values() for rule in rules]
    reviews = {"authentication.k8s.io", "authorization.k8s.io"}
    for rule in viewer:
        assert set(rule["verbs"]) <= {"get", "list", "watch", "head"} or set(rule.get("apiGroups", [])) <= reviews, rule
