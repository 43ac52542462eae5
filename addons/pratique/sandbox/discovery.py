"""Discovery documents: /api, /apis and below, aggregated (KEP-3352) and legacy; /version.

Pure. Relies on the registry for what is served.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pratique.sandbox import status
from pratique.sandbox.accept import Form
from pratique.sandbox.resources import Registry, Resource

JSON = dict[str, Any]

AGGREGATED = "APIGroupDiscoveryList"

VERSION: JSON = {
    "major": "1", "minor": "34", "gitVersion": "v1.34.2-sandbox", "gitCommit": "0" * 40, "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.24.9", "compiler": "gc", "platform": "linux/amd64",
    "emulationMajor": "1", "emulationMinor": "34", "minCompatibilityMajor": "1", "minCompatibilityMinor": "33",
}  # fmt: skip

_SUBRESOURCE_KINDS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "attach": ("", "v1", "PodAttachOptions", ("create", "get")),
    "ephemeralcontainers": ("", "", "Pod", ("get", "patch", "update")),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "exec": ("", "v1", "PodExecOptions", ("create", "get")),
    "finalize": ("", "", "Namespace", ("update",)),
    "log": ("", "", "Pod", ("get",)),
    "portforward": ("", "v1", "PodPortForwardOptions", ("create", "get")),
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
}
"""Subresource to (group, version, kind, verbs); `status` is of the resource's own kind."""


def _subresource(resource: Resource, name: str) -> tuple[str, str, str, tuple[str, ...]]:
    group, version, kind, verbs = _SUBRESOURCE_KINDS.get(name, ("", "", resource.kind, ("get", "patch", "update")))
    return (group, version, kind, verbs) if version else (resource.group, resource.version, kind, verbs)


def _versions(registry: Registry, group: str) -> list[str]:
    return registry.groups().get(group, []) if group else ["v1"]


def document(path: str, registry: Registry, form: Form, host: str) -> JSON | None:
    """The discovery document at `path`, or None when `path` is not one."""
    parts = [part for part in path.split("/") if part]
    if parts == ["api"]:
        return aggregated([""], registry) if form.kind == AGGREGATED else _legacy_core(host)
    if parts == ["apis"]:
        groups = list(registry.groups())
        return aggregated(groups, registry) if form.kind == AGGREGATED else _legacy_groups(groups, registry)
    if parts == ["api", "v1"]:
        return resource_list("", "v1", registry)
    if parts[:1] == ["apis"] and len(parts) in {2, 3} and parts[1] in registry.groups():
        if len(parts) == 2:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[1], registry)}
        if parts[2] in registry.groups()[parts[1]]:
            return resource_list(parts[1], parts[2], registry)
    return None


def _legacy_core(host: str) -> JSON:
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def _legacy_groups(groups: Iterable[str], registry: Registry) -> JSON:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name, registry) for name in groups]}


def _group(name: str, registry: Registry) -> JSON:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in _versions(registry, name)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def resource_list(group: str, version: str, registry: Registry) -> JSON:
    found = registry.of_group_version(group, version)
    if not found:
        raise status.unknown_path()
    rows = [row for resource in found for row in _legacy_rows(resource)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": found[0].api_version, "resources": rows}


def _legacy_rows(resource: Resource) -> list[JSON]:
    row: JSON = {"name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
                 "kind": resource.kind, "verbs": list(resource.verbs)}  # fmt: skip
    if resource.short_names:
        row["shortNames"] = list(resource.short_names)
    if resource.categories:
        row["categories"] = list(resource.categories)
    rows = [row]
    for name in resource.subresources:
        group, version, kind, verbs = _subresource(resource, name)
        inner: JSON = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced,
                       "kind": kind, "verbs": list(verbs)}  # fmt: skip
        if (group, version) != (resource.group, resource.version):
            inner |= {"group": group, "version": version}
        rows.append(inner)
    return rows


def aggregated(groups: Iterable[str], registry: Registry) -> JSON:
    items = [_aggregated_group(name, registry) for name in groups]
    return {"kind": AGGREGATED, "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_group(group: str, registry: Registry) -> JSON:
    versions = []
    for version in _versions(registry, group):
        rows = [_aggregated_resource(resource) for resource in registry.of_group_version(group, version)]
        versions.append({"version": version, "resources": rows, "freshness": "Current"})
    return {"metadata": {"name": group, "creationTimestamp": None} if group else {}, "versions": versions}


def _aggregated_resource(resource: Resource) -> JSON:
    row: JSON = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        row["shortNames"] = list(resource.short_names)
    if resource.categories:
        row["categories"] = list(resource.categories)
    inner = []
    for name in resource.subresources:
        group, version, kind, verbs = _subresource(resource, name)
        response = {"group": group, "version": version, "kind": kind}
        inner.append({"subresource": name, "responseKind": response, "verbs": list(verbs)})
    return {**row, "subresources": inner} if inner else row
