"""OpenAPI v3 and v2 of what the sandbox serves: for `kubectl explain`, `apply`, and to announce field validation.

Pure. Schemas of built-in kinds come from the field table, without descriptions; custom resources have their own.
The PATCH operations do not offer strategic merge, so kubectl merges by its own built-in types, which know the keys.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pratique.sandbox import schema
from pratique.sandbox.resources import Registry, Resource

JSON = dict[str, Any]

_SCALARS: dict[str, JSON] = {
    "string": {"type": "string"},
    "bytes": {"type": "string", "format": "byte"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "meta.v1.Time": {"type": "string", "format": "date-time"},
    "meta.v1.MicroTime": {"type": "string", "format": "date-time"},
    "resource.Quantity": {"type": "string"},
    "intstr.IntOrString": {"type": "string", "format": "int-or-string"},
    "meta.v1.FieldsV1": {"type": "object"},
    "runtime.RawExtension": {"type": "object"},
    "apiextensions.v1.JSON": {"type": "object"},
}
_QUERY = ("dryRun", "fieldManager", "fieldValidation", "force")
_META = "meta.v1.ObjectMeta"


def _name(message: str) -> str:
    """`io.k8s.api.apps.v1.Deployment` of `apps.v1.Deployment`."""
    package = "io.k8s.apimachinery.pkg.apis" if message.startswith(("meta.", "runtime.")) else "io.k8s.api"
    return f"{package}.{message}"


def _type(kind: str, reference: str) -> JSON:
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    if kind.endswith(".ExtraValue"):
        return {"type": "array", "items": {"type": "string"}}
    return {"$ref": reference + _name(kind)} if kind in schema.messages() else {"type": "object"}


def _properties(message: str, reference: str) -> JSON:
    found: JSON = {}
    for name, field in schema.named(message).items():
        inner = _type(field.type, reference)
        if field.is_map:
            found[name] = {"type": "object", "additionalProperties": inner}
        elif field.repeated:
            found[name] = {"type": "array", "items": inner}
        else:
            found[name] = inner
    return found


def _reachable(message: str, found: dict[str, None]) -> None:
    if message in found or message in _SCALARS or message not in schema.messages():
        return
    found[message] = None
    for field in schema.named(message).values():
        _reachable(field.type, found)


def _gvk(resource: Resource) -> JSON:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _schemas(resources: list[Resource], reference: str) -> JSON:
    found: dict[str, None] = {}
    for resource in resources:
        _reachable(schema.message_of(resource) or _META, found)
    schemas: JSON = {_name(item): {"type": "object", "properties": _properties(item, reference)} for item in found}
    for resource in resources:
        own: JSON = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
        name = _schema_name(resource)
        body: JSON = _custom(resource, reference) if resource.custom else schemas.get(name, {"type": "object"})
        properties = {**own, **(body.get("properties") or {})}
        schemas[name] = {**body, "properties": properties, "x-kubernetes-group-version-kind": [_gvk(resource)]}
    return schemas


def _schema_name(resource: Resource) -> str:
    if resource.custom:
        return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])
    return _name(schema.message_of(resource))


def _custom(resource: Resource, reference: str) -> JSON:
    body = dict(resource.schema or {"type": "object"})
    metadata = {"$ref": reference + _name(_META)}
    return {**body, "properties": {**(body.get("properties") or {}), "metadata": metadata}}


def _paths(resource: Resource, reference: str) -> JSON:
    root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
    base = f"{root}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"{root}/{resource.plural}"
    paths = {base: {"post": _operation(resource, "post", reference)}}
    if "get" in resource.verbs:
        paths[base]["get"] = _operation(resource, "list", reference)
        one = {method: _operation(resource, method, reference) for method in ("get", "put", "patch", "delete")}
        paths[f"{base}/{{name}}"] = one
    return paths


def _operation(resource: Resource, action: str, reference: str) -> JSON:
    body = {"application/json": {"schema": {"$ref": reference + _schema_name(resource)}}}
    parameters = [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in _QUERY]
    return {
        "operationId": f"{action}{resource.group}{resource.version}{resource.kind}",
        "parameters": parameters if action in {"post", "put", "patch", "delete"} else [],
        "responses": {"200": {"description": "OK", "content": body}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(resource),
    }


def _group_path(resource: Resource) -> str:
    return f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"


def v3_index(registry: Registry) -> JSON:
    paths: JSON = {}
    for resource in registry:
        path = _group_path(resource)
        if path not in paths:
            digest = hashlib.sha256(repr(registry.of_group_version(resource.group, resource.version)).encode())
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest.hexdigest()[:32].upper()}"}
    return {"paths": paths}


def v3(registry: Registry, path: str) -> JSON | None:
    """The document of one group and version, such as `apis/apps/v1`; None when there is none."""
    resources = [item for item in registry if _group_path(item) == path]
    if not resources:
        return None
    reference = "#/components/schemas/"
    paths: JSON = {}
    for resource in resources:
        paths |= _paths(resource, reference)
    info = {"title": "Kubernetes sandbox", "version": "v1.34.2"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": _schemas(resources, reference)}}


def v2(registry: Registry) -> JSON:
    info = {"title": "Kubernetes sandbox", "version": "v1.34.2"}
    definitions = _schemas([item for item in registry if "get" in item.verbs], "#/definitions/")
    return {"swagger": "2.0", "info": info, "paths": {}, "definitions": definitions}
