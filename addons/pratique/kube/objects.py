"""Where the objects sit in a response, and of which type they are.

Belongs here: single object, List, Table, PartialObjectMetadata, watch event, Status, AdmissionReview. Not here: what is done with an
object (a `Visitor` does it), the framing of watches (`watch.py`).

The type of an object comes from the URL: items of a list carry no kind, rows of a Table are PartialObjectMetadata, `kind` may be
absent (measured, Kubernetes 1.36.2). A kind that says something else is a second type, never a replacement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Raw

from pratique.errors import FramingError
from pratique.kube.attributes import RequestAttributes
from pratique.kube.kinds import KINDS

# Envelopes inside envelopes (a List of Lists of …): more is no response of an API server.
MAX_NESTING = 8

_RESOURCES = {(group, kind): resource for (group, resource), kind in KINDS.items()}
# Kinds that say nothing about the type: the URL does.
GENERIC_KINDS = frozenset({"", "Status", "Table", "List", "PartialObjectMetadata", "PartialObjectMetadataList", "WatchEvent", "Scale"})


class ObjectType(NamedTuple):
    """What mask rules match: API group and resource, with the subresource (`serviceaccounts/token`)."""

    group: str
    resource: str


class Visitor(Protocol):
    """What is done at each place. None: leave it as it is."""

    def object(self, raw: Raw) -> Raw | None: ...
    def status(self, raw: Raw) -> Raw | None: ...
    def cells(self, columns: tuple[str, ...], raw: Raw, row: Raw | None) -> Raw | None: ...


def type_of_request(attributes: RequestAttributes) -> ObjectType:
    """From the URL."""
    subresource = f"/{attributes.subresource}" if attributes.subresource else ""
    return ObjectType(attributes.api_group, attributes.resource + subresource)


def type_of_kind(api_version: str, kind: str) -> ObjectType:
    """From apiVersion and kind: Kubernetes' own resources by name, others by the plural that controller-gen would take."""
    group = api_version.rpartition("/")[0]
    return ObjectType(group, _RESOURCES.get((group, kind)) or _plural(kind.lower()))


def _plural(kind: str) -> str:
    if kind.endswith(("s", "x", "z", "ch", "sh")):
        return kind + "es"
    return kind[:-1] + "ies" if kind.endswith("y") and kind[-2:-1] not in "aeiou" else kind + "s"


def fields_of(raw: Raw | bytes) -> dict[str, Raw] | None:
    """The top-level fields, undecoded; None if it is no object. FramingError if it is not JSON."""
    try:
        return _FIELDS.decode(raw)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise FramingError(f"not JSON: {error}") from None


_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ARRAY = msgspec.json.Decoder(list[Raw])


def string_of(raw: Raw | None) -> str:
    """A field that is a string; "" if it is absent or something else."""
    if raw is None or bytes(memoryview(raw)[:1]) != b'"':
        return ""
    return str(decode(raw))


def is_null(raw: Raw) -> bool:
    return len(raw) == len(b"null") and bytes(raw) == b"null"


def decode(raw: Raw | bytes) -> Any:
    """Plain values. FramingError if it is not JSON."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise FramingError(f"not JSON: {error}") from None


def encode(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))


def rewrite(raw: Raw, visitor: Visitor, columns: tuple[str, ...] = (), depth: int = 0) -> Raw | None:
    """The document with every place rewritten; None if nothing was. FramingError.

    `columns`: names of the columns of a Table whose first event was seen before (later ones have none).
    """
    if depth > MAX_NESTING:
        raise FramingError(f"more than {MAX_NESTING} envelopes inside each other")
    fields = fields_of(raw)
    if fields is None:
        return visitor.object(raw)
    shape = _shape(fields)
    return shape(raw, fields, visitor, columns, depth) if shape else visitor.object(raw)


type Shape = Callable[[Raw, dict[str, Raw], Visitor, tuple[str, ...], int], Raw | None]


def _shape(fields: dict[str, Raw]) -> Shape | None:
    kind = string_of(fields.get("kind"))
    if kind == "Status":
        return _status
    if kind == "Table" or ("rows" in fields and "columnDefinitions" in fields):
        return _table
    if not kind and "type" in fields and "object" in fields:
        return _event
    if kind == "AdmissionReview":
        return _review
    if "items" in fields and (not kind or kind.endswith("List")):
        return _list
    return None


def _status(raw: Raw, fields: dict[str, Raw], visitor: Visitor, columns: tuple[str, ...], depth: int) -> Raw | None:
    masked = visitor.status(raw)
    return visitor.object(masked or raw) or masked


def _event(raw: Raw, fields: dict[str, Raw], visitor: Visitor, columns: tuple[str, ...], depth: int) -> Raw | None:
    return _replaced(fields, {"object": rewrite(fields["object"], visitor, columns, depth + 1)})


def _list(raw: Raw, fields: dict[str, Raw], visitor: Visitor, columns: tuple[str, ...], depth: int) -> Raw | None:
    items = _each(fields["items"], lambda item: rewrite(item, visitor, columns, depth + 1))
    rest = {name: field for name, field in fields.items() if name != "items"}
    masked = visitor.object(encode(rest)) if rest else None
    if masked is not None:
        changed: dict[str, Raw] = fields_of(masked) or {}
        fields = {name: changed.get(name, field) for name, field in fields.items() if name == "items" or name in changed}
        items = items or fields["items"]
    return _replaced(fields, {"items": items})


def _each(raw: Raw, change: Callable[[Raw], Raw | None]) -> Raw | None:
    """A JSON array with its items changed; None if none was. What is no array stays (`"items":null`)."""
    try:
        items = _ARRAY.decode(raw)
    except msgspec.ValidationError:
        return None if is_null(raw) else _refuse("a list whose items are no array")
    touched = False
    for index, item in enumerate(items):
        changed = change(item)
        if changed is not None:
            items[index] = changed
            touched = True
    return encode(items) if touched else None


def _refuse(message: str) -> Raw:
    raise FramingError(message)


def _table(raw: Raw, fields: dict[str, Raw], visitor: Visitor, columns: tuple[str, ...], depth: int) -> Raw | None:
    names = columns_of(fields) or columns
    rows = None
    if "rows" in fields:
        rows = _each(fields["rows"], lambda row: _row(row, names, visitor, depth))
    return _replaced(fields, {"rows": rows})


def _row(raw: Raw, columns: tuple[str, ...], visitor: Visitor, depth: int) -> Raw | None:
    fields = fields_of(raw)
    if fields is None:
        return _refuse("a row of a Table that is no object")
    inner = fields.get("object")
    changed = {}
    if inner is not None and not is_null(inner):
        changed["object"] = rewrite(inner, visitor, (), depth + 1)
    if "cells" in fields:
        changed["cells"] = visitor.cells(columns, fields["cells"], inner)
    return _replaced(fields, changed)


def columns_of(fields: dict[str, Raw]) -> tuple[str, ...]:
    """Names of the columns; () where there are none (later events of a Table watch)."""
    if string_of(fields.get("kind")) != "Table" and "object" in fields:  # an event
        inner = fields_of(fields["object"])
        return columns_of(inner) if inner and "columnDefinitions" in inner else ()
    definitions = decode(fields["columnDefinitions"]) if "columnDefinitions" in fields else None
    return tuple(str(column.get("name", "")) for column in definitions or () if isinstance(column, dict))


def _review(raw: Raw, fields: dict[str, Raw], visitor: Visitor, columns: tuple[str, ...], depth: int) -> Raw | None:
    request = fields_of(fields["request"]) if "request" in fields else None
    changed: dict[str, Raw | None] = {}
    if request:
        inner = {
            name: rewrite(request[name], visitor, (), depth + 1)
            for name in ("object", "oldObject")
            if name in request and not is_null(request[name])
        }
        changed["request"] = _replaced(request, inner)
    masked = _replaced(fields, changed)
    return visitor.object(masked or raw) or masked


def _replaced(fields: dict[str, Raw], changes: dict[str, Raw | None]) -> Raw | None:
    kept = {name: value for name, value in changes.items() if value is not None}
    return encode({**fields, **kept}) if kept else None
