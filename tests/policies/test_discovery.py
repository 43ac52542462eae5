"""Everything that a cluster serves is in exactly one class of `mcp-default`, and what the policy does not name is denied.

Made from live discovery: the sandbox's, and that of a real cluster (`-m realcluster`, PRATIQUE_REALCLUSTER).
"""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ruamel.yaml import YAML

from pratique.documents.folder import read_files
from pratique.policy.decision import compile_policies
from pratique.policy.demands import ALIASES
from pratique.policy.discovery_class import Classified, classify
from pratique.sandbox.cluster import Sandbox, SandboxOptions
from pratique.verdict import Action
from tests.sandbox.kit import TOKEN, Client

FOLDER = Path(__file__).parents[2] / "policies"
POLICIES = compile_policies(read_files([FOLDER / f"{n}.yaml" for n in ("read-only", "mcp-default", "break-glass")]))
CLASSES = {
    "read": Action.ALLOW,
    "create": Action.ALLOW,
    "queue": Action.REQUIRE_APPROVAL,
    "no": Action.DENY,
    "escalation": Action.DENY,
    "unnamed": Action.DENY,
}
READING = {"discover", "ask-about-self"}  # rules of the class `read` whose name does not say so
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def discovered(get: Any) -> list[dict[str, Any]]:
    """Every APIResourceList, of every version."""
    paths = [f"/api/{version}" for version in get("/api")["versions"]]
    for group in get("/apis")["groups"]:
        paths += [f"/apis/{version['groupVersion']}" for version in group["versions"]]
    return [get(path) for path in paths]


def class_of(rule: str) -> str:
    name = rule.partition("/")[2]
    return "read" if name in READING else name.partition("-")[0]


def classes(each: Classified) -> set[str]:
    return {class_of(rule) for rule in each.rules} or {"unnamed"}


def named(label: str) -> bool:
    """Whether a rule of `mcp-default` that permits something has this resource, in this group, by name."""
    resource, _, group = label.split()[1].partition(".")
    plain = resource.partition("/")[0]
    groups = {group, ALIASES.get((group, plain), (group, ""))[0]}
    return any(
        rule.policy == "mcp-default" and rule.action is not Action.DENY
        and resource in rule.resources.named and groups & set(rule.rule.api_groups)
        for rule in POLICIES.rules
    )  # fmt: skip


def check(lists: list[dict[str, Any]]) -> dict[str, int]:
    """How many requests are in each class."""
    counts = dict.fromkeys(CLASSES, 0)
    for each in classify(POLICIES, lists, "mcp-1"):
        found = classes(each)
        assert len(found) == 1, f"{each.label} is in the classes {found}"
        [name] = found
        assert each.action is CLASSES[name], each
        counts[name] += 1
        verb = each.label.split()[0]
        if not named(each.label):
            assert each.action is Action.DENY, f"{each.label} is allowed although no rule names it"
        if verb in {"get", "list", "watch", "create"}:
            assert len(each.actions) <= 1, f"the rules that match {each.label} disagree: {each.actions}"
        if verb.startswith("delete"):
            assert each.action is not Action.ALLOW, each
    return counts


def unknown(lists: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same cluster with kinds that nobody thought of: in known groups, in new ones, under known names."""
    every = [{"name": name, "namespaced": True, "verbs": VERBS} for name in ("things", "things/status", "pods/things")]
    fakes = [{"groupVersion": each["groupVersion"], "resources": every} for each in lists]
    names = [resource["name"] for resource in lists[0]["resources"]]
    foreign = [{"name": name, "namespaced": True, "verbs": VERBS} for name in names]
    return [*fakes, {"groupVersion": "example.com/v1", "resources": [*every, *foreign]}]


@pytest.fixture(scope="module")
def sandbox_discovery(tmp_path_factory) -> list[dict[str, Any]]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), SandboxOptions(static_token=TOKEN)) as running:
        client = Client(running.info)
        return discovered(lambda path: client.ok("GET", path))


def test_each_resource_and_verb_of_the_sandbox_is_in_exactly_one_class(sandbox_discovery):
    counts = check(sandbox_discovery)
    assert sum(counts.values()) > 300
    assert all(counts[name] for name in CLASSES if name != "no"), counts


def test_writes_in_kube_system_are_in_the_class_that_is_denied(sandbox_discovery):
    for each in classify(POLICIES, sandbox_discovery, "mcp-1", "kube-system"):
        verb, resource = each.label.split()
        other = resource.startswith(("namespaces", "localsubject", "selfsubject"))
        if each.namespaced and verb not in {"get", "list", "watch"} and not other:
            assert each.action is Action.DENY, each


def test_kinds_that_nobody_thought_of_are_denied(sandbox_discovery):
    found = classify(POLICIES, unknown(sandbox_discovery), "mcp-1")
    assert len(found) > 300
    assert [each for each in found if each.action is not Action.DENY] == []


def test_a_read_only_client_reads_everything_and_writes_nothing(sandbox_discovery):
    for each in classify(POLICIES, sandbox_discovery, "viewer-1"):
        verb, resource = each.label.split()[:2]
        if verb in {"list", "watch"}:
            assert each.action is Action.ALLOW, each
        if verb not in {"get", "list", "watch"} and not resource.startswith("selfsubject"):
            assert each.action is Action.DENY, each


def test_break_glass_allows_no_write_at_once(sandbox_discovery):
    for each in classify(POLICIES, sandbox_discovery, "break-glass-1"):
        if each.label.split()[0] not in {"get", "list", "watch"}:
            assert each.action is not Action.ALLOW, each


@pytest.mark.realcluster
def test_each_resource_and_verb_of_a_real_cluster_is_in_exactly_one_class():
    from tests.e2e.real import kubeconfig

    lists = discovered(real(YAML(typ="safe").load(kubeconfig().read_text())))
    counts = check(lists)
    print(f"\n{len(lists)} group versions: {counts}")
    assert sum(counts.values()) > 500
    found = classify(POLICIES, unknown(lists), "mcp-1")
    assert [each for each in found if each.action is not Action.DENY] == []


def real(config: Any) -> Any:
    """GETs with an admin kubeconfig of files (client certificate or token)."""
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    if "client-certificate" in user:
        context.load_cert_chain(user["client-certificate"], user["client-key"])
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    server = urlsplit(cluster["server"])
    connection = http.client.HTTPSConnection(server.hostname, server.port, context=context, timeout=30)

    def get(path: str) -> Any:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        assert response.status == 200, (path, response.status)
        return json.loads(response.read())

    return get
