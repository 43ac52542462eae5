"""Where the objects sit in a response, and of which type they are.

Belongs here: single object, List, Table, PartialObjectMetadata, watch event, Status, AdmissionReview. Not here: what
is done with an object (a `Visitor` does it), the framing of watches (`watch.py`).

The type of an object comes from the URL: items of a list carry no kind, rows of a Table are PartialObjectMetadata,
`kind` may be absent (measured, Kubernetes 1.36.2). A kind that says something else is a second type, never a
replacement.
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
GENERIC_KINDS = frozenset(
    {"", "Status", "Table", "List", "PartialObjectMetadata", "PartialObjectMetadataList", "WatchEvent", "Scale"}
)


class ObjectType(NamedTuple):
    """What mask rules match: API group and resource, with the subresource (`serviceaccounts/token`)."""

    group: str
    resource: str


class Visitor(Protocol):
    """What is done at each place. None: leave it as it is."""

    def object(self, raw: Raw) -> Raw | None: ...
    def status(self, raw: Raw) -> Raw | None: ...
    def cells(self, columns: tuple[str, ...], raw: Raw, row: Raw | None) -> Raw | None:
        """`row` is the object of the same row, which has been visited."""


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
        _require_json(raw)
        return None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise FramingError(f"not JSON: {error}") from None


def _require_json(raw: Raw | bytes) -> None:
    """FramingError if it is not JSON: msgspec sees the wrong type before it sees the rest."""
    try:
        _ANY.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise FramingError(f"not JSON: {error}") from None


_ANY = msgspec.json.Decoder(Raw)
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


def rewrite(raw: Raw, visitor: Visitor, columns: tuple[str, ...] = ()) -> Raw | None:
    """The document with every place rewritten; None if nothing was. FramingError.

    `columns`: names of the columns of a Table whose first event was seen before (later ones have none).
    """
    return _Rewriter(visitor, columns).document(raw, 0)


class _Rewriter:
    """One document. `depth` counts envelopes."""

    def __init__(self, visitor: Visitor, columns: tuple[str, ...]) -> None:
        self._visitor = visitor
        self._columns = columns

    def document(self, raw: Raw, depth: int) -> Raw | None:
        if depth > MAX_NESTING:
            raise FramingError(f"more than {MAX_NESTING} envelopes inside each other")
        fields = fields_of(raw)
        if fields is None:
            return self._visitor.object(raw)
        kind = string_of(fields.get("kind"))
        if kind == "Table" or ("rows" in fields and "columnDefinitions" in fields):
            return self._table(fields, depth)
        if not kind and "type" in fields and "object" in fields:
            return _replaced(fields, {"object": self.document(fields["object"], depth + 1)})
        if "items" in fields and (not kind or kind.endswith("List")):
            return self._list(fields, depth)
        inside = self._visitor.status(raw) if kind == "Status" else None
        if kind == "AdmissionReview":
            inside = self._review(fields, depth)
        return self._visitor.object(inside or raw) or inside

    def _list(self, fields: dict[str, Raw], depth: int) -> Raw | None:
        items = _each(fields["items"], lambda item: self.document(item, depth + 1))
        # What a list says about itself (its metadata) is an object without items.
        rest = {name: field for name, field in fields.items() if name != "items"}
        masked = self._visitor.object(encode(rest)) if rest else None
        if masked is None:
            return _replaced(fields, {"items": items})
        changed = fields_of(masked) or {}
        return encode({**changed, "items": fields["items"] if items is None else items})

    def _table(self, fields: dict[str, Raw], depth: int) -> Raw | None:
        columns = columns_of(fields) or self._columns
        if "rows" not in fields:
            return None
        return _replaced(fields, {"rows": _each(fields["rows"], lambda row: self._row(row, columns, depth))})

    def _row(self, raw: Raw, columns: tuple[str, ...], depth: int) -> Raw | None:
        fields = fields_of(raw)
        if fields is None:
            raise FramingError("a row of a Table that is no object")
        inner = fields.get("object")
        inner = None if inner is None or is_null(inner) else inner
        changed: dict[str, Raw | None] = {}
        if inner is not None:
            changed["object"] = self.document(inner, depth + 1)
        if "cells" in fields:
            changed["cells"] = self._visitor.cells(columns, fields["cells"], inner)
        return _replaced(fields, changed)

    def _review(self, fields: dict[str, Raw], depth: int) -> Raw | None:
        request = fields_of(fields["request"]) if "request" in fields else None
        if not request:
            return None
        inner: dict[str, Raw | None] = {
            name: self.document(request[name], depth + 1)
            for name in ("object", "oldObject")
            if name in request and not is_null(request[name])
        }
        return _replaced(fields, {"request": _replaced(request, inner)})


def _each(raw: Raw, change: Callable[[Raw], Raw | None]) -> Raw | None:
    """A JSON array with its items changed; None if none was. `"items":null` is an empty list."""
    try:
        items = _ARRAY.decode(raw)
    except msgspec.ValidationError:
        if is_null(raw):
            return None
        raise FramingError("a list whose items are no array") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise FramingError(f"not JSON: {error}") from None
    touched = False
    for index, item in enumerate(items):
        changed = change(item)
        if changed is not None:
            items[index] = changed
            touched = True
    return encode(items) if touched else None


def columns_of(fields: dict[str, Raw]) -> tuple[str, ...]:
    """Names of the columns; () where there are none (later events of a Table watch)."""
    if string_of(fields.get("kind")) != "Table" and "object" in fields:  # an event
        inner = fields_of(fields["object"])
        return columns_of(inner) if inner and "columnDefinitions" in inner else ()
    definitions = decode(fields["columnDefinitions"]) if "columnDefinitions" in fields else None
    return tuple(str(column.get("name", "")) for column in definitions or () if isinstance(column, dict))


def _replaced(fields: dict[str, Raw], changes: dict[str, Raw | None]) -> Raw | None:
    kept = {name: value for name, value in changes.items() if value is not None}
    return encode({**fields, **kept}) if kept else None
