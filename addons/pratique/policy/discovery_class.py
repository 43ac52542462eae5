"""Every resource, subresource and verb that a cluster serves, and the class that a set of policies puts it in.

Belongs here: requests made from discovery (meta/v1 APIResourceList), their classes. Not here: fetching discovery.
Bodies are minimal and harmless, so the class is that of the plain request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pratique.policy.decision import PolicySet
from pratique.policy.request import APPLY_PATCH, MERGE_PATCH, ExecOptions, PolicyRequest
from pratique.verdict import Action

NAMESPACE = "dev"
NAME = "example"

_METHODS = {"get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT", "patch": "PATCH"}
_COLLECTIVE = frozenset({"list", "watch", "deletecollection"})


@dataclass(frozen=True, slots=True)
class DiscoveredAttributes:
    """RequestInfo of a request that was made from discovery."""

    verb: str
    api_group: str
    api_version: str
    resource: str
    subresource: str
    namespace: str
    name: str
    is_resource_request: bool = True
    field_selector: str = ""
    label_selector: str = ""
    error: str | None = None

    @property
    def path(self) -> str:
        """The object's place without its namespace; for messages only."""
        return f"/{self.api_group or 'api'}/{self.api_version}/{self.resource}"


@dataclass(frozen=True, slots=True)
class Classified:
    """`label` is `VERB RESOURCE.GROUP`; `actions` are those of all matching rules: more than one is an overlap."""

    label: str
    namespaced: bool
    action: Action
    rules: tuple[str, ...]
    actions: frozenset[str]


def requests_of(
    lists: Iterable[Mapping[str, Any]], client: str, namespace: str = NAMESPACE
) -> Iterator[tuple[str, PolicyRequest]]:
    """One request for each resource and verb of APIResourceLists, `apply` beside each `patch`."""
    for each in lists:
        group, _, version = str(each["groupVersion"]).rpartition("/")
        for resource in each["resources"]:
            for verb in resource["verbs"]:
                for way in (verb, "apply") if verb == "patch" else (verb,):
                    yield _request(client, (group, version), resource, way, namespace)


def _request(
    client: str, served: tuple[str, str], resource: Mapping[str, Any], verb: str, namespace: str
) -> tuple[str, PolicyRequest]:
    group, version = served
    name, _, subresource = str(resource["name"]).partition("/")
    namespace = namespace if resource.get("namespaced") else ""
    namespace = NAME if (group, name) == ("", "namespaces") and verb not in {"create", *_COLLECTIVE} else namespace
    unnamed = verb in _COLLECTIVE or (verb == "create" and not subresource)
    attributes = DiscoveredAttributes(
        "patch" if verb == "apply" else verb, group, version, name, subresource, namespace, "" if unnamed else NAME
    )
    writes = verb in {"create", "update", "patch", "apply"}
    request = PolicyRequest(
        client=client,
        attributes=attributes,
        method=_METHODS.get(attributes.verb, "DELETE"),
        patch_type={"patch": MERGE_PATCH, "apply": APPLY_PATCH}.get(verb, ""),
        document={"metadata": {"name": NAME}} if writes else None,
        result={"metadata": {"name": NAME}} if verb in {"patch", "apply"} else None,
        exec=ExecOptions(("true",)) if subresource in {"exec", "attach"} else None,
    )
    return f"{verb} {resource['name']}" + (f".{group}" if group else ""), request


def classify(
    policies: PolicySet, lists: Iterable[Mapping[str, Any]], client: str, namespace: str = NAMESPACE
) -> list[Classified]:
    """The class of each request of a discovery."""
    classified: list[Classified] = []
    for label, request in requests_of(lists, client, namespace):
        verdict = policies.decide(request)
        actions = frozenset(trace.action for trace in policies.explain(request) if trace.matched)
        classified.append(Classified(label, bool(request.namespace), verdict.action, verdict.rules, actions))
    return classified
