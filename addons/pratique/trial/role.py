"""The RBAC for Role Y that goes with a proposed policy: what the cluster itself must permit the gateway for one client.

Belongs here: from rules to ClusterRole, Role and their bindings. Pure. Not here: applying them.

It errs in another direction than the policy: RBAC has no globs (a rule with one permits every name), its `resourceNames` cannot
narrow `create` and `list`, and the gateway needs `get` on what it changes (it looks at the object before it decides, and shows
reviewers the effect). What waits for a person in the policy is permitted here: the policy is what asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from pratique.trial.naming import is_exact
from pratique.trial.proposal import ProposedRule

_NAMED_VERBS = frozenset({"get", "update", "patch", "delete"})
_CHANGES = frozenset({"update", "patch", "delete"})
_STREAMS = frozenset({"pods/exec", "pods/attach", "pods/portforward"})
_UNSAFE = re.compile(r"[^a-z0-9.-]+")


def dns_name(text: str) -> str:
    """The text as a part of a DNS-1123 name."""
    return _UNSAFE.sub("-", text.lower()).strip("-.")[:50].rstrip("-.") or "client"


class Permission(NamedTuple):
    """One verb on one resource; `namespace` "" is the cluster, `name` "" any."""

    namespace: str
    group: str
    resource: str
    verb: str
    name: str = ""


def permissions(rules: Iterable[ProposedRule]) -> set[Permission]:
    """What is needed for all that the rules may let pass."""
    found: set[Permission] = set()
    for rule in rules:
        for resource in rule.resources:
            for verb in rule.verbs:
                found |= _permissions(rule, resource, verb)
    anyone = {each._replace(name="") for each in found if not each.name}
    found = {each for each in found if not each.name or each._replace(name="") not in anyone}
    clusterwide = {each for each in found if not each.namespace}
    return {each for each in found if not each.namespace or each._replace(namespace="", name="") not in clusterwide}


def _permissions(rule: ProposedRule, resource: str, verb: str) -> set[Permission]:
    verbs = {"apply": {"patch"}}.get(verb, {verb})
    if resource in _STREAMS:
        verbs = {"create", "get"}  # by POST and by GET; Kubernetes 1.35 asks for create in both
    elif verb in _CHANGES | {"apply"}:
        verbs = verbs | {"get"}
    inside = rule.namespaces is not None and is_exact(rule.namespaces) and not _is_namespace(rule.group, resource)
    spaces = rule.namespaces if rule.namespaces is not None and inside else ("",)
    return {
        Permission(space, rule.group, resource, each, name)
        for space in spaces
        for each in verbs
        for name in (rule.names if rule.names is not None and is_exact(rule.names) and each in _NAMED_VERBS else ("",))
    }


def _is_namespace(group: str, resource: str) -> bool:
    """A Namespace is in itself for the policy; in RBAC it is of the cluster, where it is made and listed."""
    return not group and resource.partition("/")[0] == "namespaces"


def manifests(rules: Iterable[ProposedRule], client: str, group: str) -> list[dict[str, Any]]:
    """ClusterRole and Roles with their bindings to `group`, which the access entry of Role Y names."""
    every = list(rules)
    needed = permissions(every)
    urls = sorted({(path, verb) for rule in every for path in rule.paths for verb in rule.verbs})
    name = f"pratique-{dns_name(client)}"[:63].rstrip("-.")
    found: list[dict[str, Any]] = []
    cluster = _rules(each for each in needed if not each.namespace) + _url_rules(urls)
    if cluster:
        found += _role("ClusterRole", name, "", cluster, group)
    for namespace in sorted({each.namespace for each in needed} - {""}):
        found += _role("Role", name, namespace, _rules(each for each in needed if each.namespace == namespace), group)
    return found


def _rules(needed: Iterable[Permission]) -> list[dict[str, Any]]:
    """Same names and verbs together; RBAC multiplies groups with resources, so each group is a rule of its own."""
    names: dict[tuple[str, str, str], set[str]] = {}
    for each in needed:
        names.setdefault((each.group, each.resource, each.verb), set()).add(each.name)
    verbs: dict[tuple[str, str, tuple[str, ...]], set[str]] = {}
    for (group, resource, verb), found in names.items():
        verbs.setdefault((group, resource, tuple(sorted(found - {""}))), set()).add(verb)
    resources: dict[tuple[str, tuple[str, ...], tuple[str, ...]], set[str]] = {}
    for (group, resource, named), found in verbs.items():
        resources.setdefault((group, tuple(sorted(found)), named), set()).add(resource)
    return [
        {"apiGroups": [group], "resources": sorted(found), "verbs": list(does)}
        | ({"resourceNames": list(named)} if named else {})
        for (group, does, named), found in sorted(resources.items())
    ]


def _url_rules(urls: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    by_path: dict[str, list[str]] = {}
    for path, verb in urls:
        by_path.setdefault(path, []).append(verb)
    by_verbs: dict[tuple[str, ...], list[str]] = {}
    for path, verbs in by_path.items():
        by_verbs.setdefault(tuple(verbs), []).append(path)
    return [{"nonResourceURLs": paths, "verbs": list(verbs)} for verbs, paths in sorted(by_verbs.items())]


def _role(kind: str, name: str, namespace: str, rules: list[dict[str, Any]], group: str) -> list[dict[str, Any]]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    api = "rbac.authorization.k8s.io"
    subject = {"kind": "Group", "apiGroup": api, "name": group}
    head = {"apiVersion": f"{api}/v1", "metadata": metadata}
    binding = {"roleRef": {"apiGroup": api, "kind": kind, "name": name}, "subjects": [subject]}
    return [{"kind": kind, **head, "rules": rules}, {"kind": f"{kind}Binding", **head, **binding}]
