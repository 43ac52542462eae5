"""`fieldValidation`: which fields of a body are unknown to their kind, and their removal ("pruning").

Pure. Built-in kinds by the field table, custom resources by their structural schema.
"""

from __future__ import annotations

from typing import Any

from pratique.sandbox import schema
from pratique.sandbox.resources import Resource

JSON = dict[str, Any]
_FREE = ("runtime.RawExtension", "meta.v1.FieldsV1", "apiextensions.v1.JSON", "apiextensions.v1.JSONSchemaProps")


def drop_unknown(resource: Resource, body: JSON) -> list[str]:
    """Remove the unknown fields from `body` in place; messages such as `unknown field "spec.foo"`."""
    if resource.custom:
        own = {"apiVersion": _ANY, "kind": _ANY, "metadata": _ANY}
        top = (
            {**resource.schema, "properties": {**(resource.schema.get("properties") or {}), **own}}
            if resource.schema
            else _ANY
        )
        found = _by_schema(top, body, "")
    else:
        found = _by_table(schema.message_of(resource), body, "")
    return [f'unknown field "{path}"' for path in found]


_ANY = {"x-kubernetes-preserve-unknown-fields": True}


def _by_table(message: str, value: Any, at: str) -> list[str]:
    fields = schema.named(message)
    top = {"apiVersion", "kind"} if not at else set()
    if message in _FREE or not fields or not isinstance(value, dict):
        return []
    found: list[str] = []
    for name, item in list(value.items()):
        path = f"{at}.{name}" if at else name
        field = fields.get(name)
        if name in top:
            continue
        if field is None:
            found.append(path)
            del value[name]
        elif field.is_map and isinstance(item, dict):
            for key, inner in item.items():
                found += _by_table(field.type, inner, f"{path}[{key}]")
        elif field.repeated and isinstance(item, list):
            for index, inner in enumerate(item):
                found += _by_table(field.type, inner, f"{path}[{index}]")
        else:
            found += _by_table(field.type, item, path)
    return found


def _by_schema(node: JSON, value: Any, at: str) -> list[str]:
    if node.get("x-kubernetes-preserve-unknown-fields"):
        return []
    found: list[str] = []
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += _by_schema(node.get("items") or _ANY, item, f"{at}[{index}]")
    elif isinstance(value, dict):
        extra = node.get("additionalProperties")
        properties = node.get("properties") or {}
        for name, item in list(value.items()):
            path = f"{at}.{name}" if at else name
            if name in properties:
                found += _by_schema(properties[name], item, path)
            elif not extra:
                found.append(path)
                del value[name]
    return found
