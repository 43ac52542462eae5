"""OpenAPI v2 as protobuf (gnostic openapi_v2.Document): the only form that kubectl before 1.27 asks for.

Pure. Field numbers are those of gnostic's OpenAPIv2.proto.
"""

from __future__ import annotations

import json
from typing import Any

from pratique.sandbox import openapi
from pratique.sandbox.resources import Registry, Resource

JSON = dict[str, Any]

MEDIA = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def _varint(value: int) -> bytes:
    data = b""
    while value > 0x7F:
        data += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return data + bytes((value,))


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode()) if text else b""


def _pair(name: str, value: bytes) -> bytes:
    """A NamedSchema or NamedAny."""
    return _text(1, name) + _bytes(2, value)


def _schema_bytes(node: JSON) -> bytes:
    """openapi_v2.Schema: 1 $ref, 2 format, 4 description, 21 additionalProperties, 22 type, 23 items, 25 properties."""
    data = _text(1, node.get("$ref", "")) + _text(2, node.get("format", "")) + _text(4, node.get("description", ""))
    if "additionalProperties" in node and isinstance(node["additionalProperties"], dict):
        data += _bytes(21, _bytes(1, _schema_bytes(node["additionalProperties"])))
    if "type" in node:
        data += _bytes(22, _text(1, node["type"]))
    if "items" in node:
        data += _bytes(23, _bytes(1, _schema_bytes(node["items"])))
    if "properties" in node:
        inner = b"".join(_bytes(1, _pair(name, _schema_bytes(item))) for name, item in node["properties"].items())
        data += _bytes(25, inner)
    if "x-kubernetes-group-version-kind" in node:
        text = json.dumps(node["x-kubernetes-group-version-kind"])  # JSON is YAML
        data += _bytes(31, _pair("x-kubernetes-group-version-kind", _text(2, text)))
    return data


def _patch_bytes(resource: Resource) -> bytes:
    """A path with a PATCH that takes `dryRun`: where kubectl looks whether a kind knows dry runs."""
    query = _bytes(3, _text(2, "query") + _text(4, "dryRun"))
    parameter = _bytes(1, _bytes(2, query))
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    extension = _pair("x-kubernetes-group-version-kind", _text(2, json.dumps(kind)))
    operation = _bytes(8, parameter) + _bytes(13, extension)
    return _bytes(2, _pair(f"/{resource.api_version}/{resource.plural}/{{name}}", _bytes(8, operation)))


def encode(registry: Registry) -> bytes:
    """The v2 document; kubectl before 1.27 reads it for validation, `explain` and dry runs."""
    document = openapi.v2(registry)
    paths = b"".join(_patch_bytes(resource) for resource in registry if "patch" in resource.verbs)
    schemas = b"".join(_bytes(1, _pair(name, _schema_bytes(node))) for name, node in document["definitions"].items())
    info = _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])
    return _text(1, "2.0") + _bytes(2, info) + _bytes(8, paths) + _bytes(9, schemas)
