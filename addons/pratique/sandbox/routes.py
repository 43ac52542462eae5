"""From a URL path to what it names: a resource request, or a non-resource path (apiserver's RequestInfo, simplified).

Pure. The path is percent-decoded first and split at `/` afterwards, as in Go.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from pratique.sandbox.resources import Registry, Resource

OWN_SUBRESOURCES = {"status", "finalize"}
"""`/namespaces/NAME/<these>` are subresources of the namespace, not resources in it."""


@dataclass(frozen=True, slots=True)
class Route:
    """`resource` is None for a non-resource path. `rest` is what follows the subresource (proxy paths)."""

    path: str
    resource: Resource | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    watch: bool = False


def parse(raw_path: str, registry: Registry) -> Route:
    path = unquote(raw_path, errors="surrogateescape")
    parts = path.split("/")[1:]
    if parts and not parts[-1]:
        parts.pop()
    if len(parts) >= 3 and parts[0] == "api" and parts[1]:
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis" and parts[1]:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return Route(path)
    watch = rest[0] == "watch"
    return _resource_route(path, registry, group, version, rest[1:] if watch else rest, watch=watch)


def _resource_route(path: str, registry: Registry, group: str, version: str, parts: list[str], *, watch: bool) -> Route:
    namespace = ""
    if parts[:1] == ["namespaces"] and len(parts) >= 3 and parts[2] not in OWN_SUBRESOURCES:
        namespace, parts = parts[1], parts[2:]
    elif parts[:1] == ["namespaces"] and len(parts) >= 2:
        namespace = parts[1]
    resource = registry.find(group, version, parts[0]) if parts else None
    if resource is None or (namespace and not resource.namespaced and resource.plural != "namespaces"):
        return Route(path)
    name, subresource, rest = (*parts[1:3], "", "")[0], (*parts[2:3], "")[0], "/".join(parts[3:])
    return Route(path, resource, namespace, name if len(parts) > 1 else "", subresource, rest, watch)
