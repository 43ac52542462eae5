"""I/O: reads fields.json, once. The fields of the built-in kinds: JSON names, types, protobuf numbers.

`fields.json` holds facts of k8s.io/api, apimachinery, apiextensions and kube-aggregator 1.36.2: `kinds` maps apiVersion and
kind to a message; `messages` maps a message to rows of [number, JSON name, type, flags], read from the `protobuf` and
`json` tags of the Go types. Flags are `r` repeated, `m` map from string, `i` inlined struct, `p` pointer (zero is a value).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message."""

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
def _table() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(__file__).with_name("fields.json").read_text("utf-8"))
    return loaded


def kinds() -> Mapping[str, Mapping[str, str]]:
    """ApiVersion → kind → message."""
    found: Mapping[str, Mapping[str, str]] = _table()["kinds"]
    return found


def message_of_kind(api_version: str, kind: str) -> str:
    """`apps.v1.Deployment`; "" when the kind is not built in."""
    return kinds().get(api_version, {}).get(kind, "")


@functools.cache
def messages() -> Mapping[str, tuple[Field, ...]]:
    """Message → its fields."""
    return {name: tuple(Field(*row) for row in rows) for name, rows in _table()["messages"].items()}


@functools.cache
def numbered(message: str) -> Mapping[int, Field]:
    """Field number → field. KeyError for a message that is not in the table."""
    return {field.number: field for field in messages()[message]}


@functools.cache
def named(message: str) -> dict[str, Field]:
    """JSON name → field, with inlined structs spread out."""
    found: dict[str, Field] = {}
    for field in messages().get(message, ()):
        found |= named(field.type) if field.inline else {field.name: field}
    return found
