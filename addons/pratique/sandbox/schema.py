"""I/O: reads fields.json, once. The fields of the built-in kinds: names, types, protobuf numbers.

`fields.json` holds facts of k8s.io/api and apimachinery 1.36 (generated.proto for numbers and types, the struct tags
for JSON names): message name to rows of [number, JSON name, type, flags]; flags are `r` repeated, `m` map from
string, `i` inlined struct, `p` pointer (zero is a value). Serves protobuf bodies, OpenAPI and field validation.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

from pratique.sandbox.resources import Resource

PACKAGES = {
    "": "core",
    "authentication.k8s.io": "authentication",
    "authorization.k8s.io": "authorization",
    "apiextensions.k8s.io": "apiextensions",
    "coordination.k8s.io": "coordination",
    "discovery.k8s.io": "discovery",
    "networking.k8s.io": "networking",
    "rbac.authorization.k8s.io": "rbac",
    "scheduling.k8s.io": "scheduling",
    "storage.k8s.io": "storage",
}
"""API group to package, where they differ."""

DELETE_OPTIONS = "meta.v1.DeleteOptions"


@dataclass(frozen=True, slots=True)
class Field:
    number: int
    name: str
    type: str
    flags: str

    @property
    def repeated(self) -> bool:
        return "r" in self.flags

    @property
    def is_map(self) -> bool:
        return "m" in self.flags

    @property
    def inline(self) -> bool:
        return "i" in self.flags

    @property
    def pointer(self) -> bool:
        return "p" in self.flags


@functools.cache
def messages() -> dict[str, tuple[Field, ...]]:
    text = Path(__file__).with_name("fields.json").read_text("utf-8")
    return {name: tuple(Field(*row) for row in rows) for name, rows in json.loads(text).items()}


@functools.cache
def named(message: str) -> dict[str, Field]:
    """JSON name to field, with inlined structs spread out."""
    found: dict[str, Field] = {}
    for field in messages().get(message, ()):
        found |= named(field.type) if field.inline else {field.name: field}
    return found


def message_of_kind(api_version: str, kind: str) -> str:
    """`apps.v1.Deployment`; "" when the kind is not built in."""
    group, _, version = api_version.rpartition("/")
    name = f"{PACKAGES.get(group, group)}.{version}.{kind}"
    if kind == "DeleteOptions":
        return DELETE_OPTIONS
    return name if name in messages() else ""


def message_of(resource: Resource) -> str:
    return "" if resource.custom else message_of_kind(resource.api_version, resource.kind)
