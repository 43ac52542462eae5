"""Least privilege: the RBAC rules without which a policy's Allow and RequireApproval rules could not be carried out.

Pure. RBAC says less than a policy: it has no globs in names, no conditions and no Deny, so that what comes out is the least
that RBAC can say, and the gateway narrows it. It never holds `escalate`, `bind` or `impersonate`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pratique.documents import Document
from pratique.policy.patterns import ANY, Globs
from pratique.policy.rules import PolicySpec, Rule
from pratique.verdict import Action

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_URL = "://"  # stands for a group that no resource has
CLUSTER = ""
"""Key of the rules that hold in the whole cluster; the others have the name of a namespace."""
# A WebSocket exec is authorised as `get` (create from Kubernetes 1.35 on), a SPDY one as `create`.
_CONNECTIONS = frozenset({"pods/exec", "pods/attach", "pods/portforward"})
# Before a write is judged or shown to reviewers, the gateway reads the object; before a deletecollection it lists.
_READ_FIRST = {"update": "get", "patch": "get", "delete": "get", "deletecollection": "list"}


@dataclass(frozen=True, slots=True)
class Rights:
    """RBAC rules by namespace (CLUSTER: everywhere), and what could not be said exactly."""

    rules: dict[str, list[dict[str, Any]]]
    notes: tuple[str, ...]
    reads_labels: bool = False
    """Whether the gateway reads labels of namespaces: as itself, because the answer is kept for every client."""


def rights(documents: Iterable[Document], clients: Sequence[str]) -> Rights:
    """What the policies whose subjects match any of `clients` need. Documents are valid policies among others."""
    granted: defaultdict[str, defaultdict[_Key, set[str]]] = defaultdict(lambda: defaultdict(set))
    notes: list[str] = []
    reads_labels = False
    for document in documents:
        if document.kind != "Policy":
            continue
        spec = document.convert(("spec",), PolicySpec)
        if not any(Globs(spec.subjects).match(client) for client in clients):
            continue
        for rule in spec.rules:
            if rule.action is not Action.DENY:
                _grant(granted, rule)
                reads_labels |= rule.namespace_selector is not None
                notes += [f"{document.name}/{rule.name}: {note}" for note in _wider(rule)]
    return Rights(
        {namespace: _written(keys) for namespace, keys in sorted(granted.items())}, tuple(notes), reads_labels
    )


type _Key = tuple[str, str, tuple[str, ...]]
"""Kind of rule and its group and resource, or its URL; resource names."""


def _grant(granted: defaultdict[str, defaultdict[_Key, set[str]]], rule: Rule) -> None:
    if rule.non_resource_urls:
        for url in rule.non_resource_urls:
            granted[CLUSTER][_URL, url, ()] |= _url_verbs(rule.verbs)
        return
    names = _exact(rule.resource_names)
    for namespace in _exact(rule.namespaces) or (CLUSTER,):
        for group in rule.api_groups:
            for resource in rule.resources:
                for verb in _verbs(rule.verbs, resource):
                    granted[namespace][group, _resource(resource), _named(names, verb)].add(verb)
    if rule.namespace_selector is not None:
        granted[CLUSTER]["", "namespaces", ()].add("get")


def _verbs(verbs: Iterable[str], resource: str) -> set[str]:
    given = set(ALL_VERBS) if ANY in verbs else {"patch" if verb == "apply" else verb for verb in verbs}
    if "apply" in verbs:
        given.add("create")  # server-side apply of what is not there
    given |= {_READ_FIRST[verb] for verb in given if verb in _READ_FIRST and "/" not in resource}
    if resource in _CONNECTIONS and given & {"get", "create"}:
        given |= {"get", "create"}
    return given


def _url_verbs(verbs: Iterable[str]) -> set[str]:
    return {"get", "head", "post", "put", "patch", "delete", "options"} if ANY in verbs else set(verbs)


def _resource(resource: str) -> str:
    """`*` of RBAC is every resource with its subresources; `*/*` means just that."""
    return ANY if resource in {ANY, "*/*"} else resource


def _exact(values: Sequence[str] | None) -> tuple[str, ...]:
    """The values, if RBAC can say them; else none, which is any."""
    return tuple(values) if values is not None and not any(ANY in value for value in values) else ()


def _named(names: tuple[str, ...], verb: str) -> tuple[str, ...]:
    """RBAC cannot restrict by name what has none in its URL."""
    return () if verb in {"create", "deletecollection"} else names


def _wider(rule: Rule) -> Iterable[str]:
    """Where RBAC cannot say what the rule says."""
    if ANY in rule.resources:
        yield "`*` holds subresources in RBAC, also pods/exec and nodes/proxy: better name the resources"
    if rule.namespaces is not None and not _exact(rule.namespaces) and ANY not in rule.namespaces:
        yield "globs of namespaces: granted in every namespace"
    if rule.resource_names is not None and not _exact(rule.resource_names):
        yield "globs of names: granted for every name"


def _written(keys: defaultdict[_Key, set[str]]) -> list[dict[str, Any]]:
    """Rules with equal verbs and names put together, in a fixed order."""
    together: defaultdict[tuple[str, tuple[str, ...], tuple[str, ...]], set[str]] = defaultdict(set)
    for (group, resource, names), verbs in keys.items():
        together[group, names, tuple(sorted(verbs))].add(resource)
    written = []
    for (group, names, allowed), resources in sorted(together.items()):
        if group == _URL:
            written.append({"nonResourceURLs": sorted(resources), "verbs": list(allowed)})
            continue
        rule: dict[str, Any] = {"apiGroups": [group], "resources": sorted(resources), "verbs": list(allowed)}
        written.append(rule | ({"resourceNames": sorted(names)} if names else {}))
    return written
