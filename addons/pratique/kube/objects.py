"""Where the objects sit in a response, and of which type they are.

Belongs here: single object, List, Table, PartialObjectMetadata, watch event, Status, AdmissionReview. Not here: what
is done with an object (a `Visitor` does it), the framing of watches (`watch.py`).

The type of an object comes from the URL: items of a list carry no kind, rows of a Table are PartialObjectMetadata,
`kind` may be absent (measured, Kubernetes 1.36.2). A kind that says something else is a second type, never a
replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import lru_cache
from itertools import chain, compress, repeat
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Raw

from pratique.errors import FramingError
from pratique.kube.arrays import Array, NotInPlaceError, find_array, groups
from pratique.kube.attributes import RequestAttributes
from pratique.kube.kinds import KINDS
from pratique.kube.pieces import Piece, touched
from pratique.kube.plain import ENVELOPES, PlainKinds
from pratique.kube.sink import Change, Sink

# Bytes of elements that a visitor is given at once: some milliseconds' work, of which none holds Python for one.
_RUN = 3 << 19
# Kinds of which the type is remembered; they come from the cluster, so they are bounded.
_KINDS = 1024
# Envelopes inside envelopes (a List of Lists of …): more is no response of an API server.
MAX_NESTING = 8

_RESOURCES = {(group, kind): resource for (group, resource), kind in KINDS.items()}


class ObjectType(NamedTuple):
    """What mask rules match: API group and resource, with the subresource (`serviceaccounts/token`)."""

    group: str
    resource: str


type Span = tuple[int, int]
type Fields = dict[str, Raw]
"""Top-level fields, undecoded."""


class Visitor(Protocol):
    """What is done at each place. None: leave it as it is."""

    def run(self, body: bytes, start: int, end: int) -> bytes | None:
        """Elements `body[start:end]` with commas between them, masked; None if they are to be handed over one by one."""

    def edits(self, body: bytes, pieces: Sequence[Piece]) -> Sequence[list[Change] | None]:
        """The changes in each of these objects of the request's type, in which `finds` found something.

        None if they cannot be told without more of the object: then `object` is called.
        """

    def object(self, raw: Raw, fields: Fields | None = None) -> Raw | None:
        """`fields` are those of `raw`, where the caller has them."""

    def head(self, fields: Fields) -> Raw | None:
        """What a list says about itself: an object without items."""

    def status(self, raw: Raw) -> Raw | None: ...
    def cells(self, columns: tuple[str, ...], raw: Raw, row: Raw | None) -> Raw | None:
        """`row` is the object of the same row, which has been visited."""

    def finds(self, body: bytes, start: int, stop: int, columns: tuple[str, ...] | None) -> Iterator[Span] | None:
        """Where in `body[start:stop]` something may have to change, in order. None: everything is to be looked at.

        These are elements of a List, or rows of a Table with `columns`. Too many are allowed, one too few is a leak.
        """

    def restart(self) -> None:
        """The document is visited once more from its beginning: what was counted does not count."""

    def foreign(self, api_version: str, kind: str) -> bool:
        """Whether objects of this kind need more than those of the request's type."""


def type_of_request(attributes: RequestAttributes) -> ObjectType:
    """From the URL."""
    subresource = f"/{attributes.subresource}" if attributes.subresource else ""
    return ObjectType(attributes.api_group, attributes.resource + subresource)


@lru_cache(_KINDS)
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


class _Object(msgspec.Struct, gc=False):
    """Any."""


_OBJECTS = msgspec.json.Decoder(list[_Object])


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


def rewrite(body: bytes, visitor: Visitor) -> bytes | None:
    """The document with every place rewritten; None if nothing was. FramingError."""
    rewriter = _Rewriter(visitor, ())
    for name in ("items", "rows"):
        array = find_array(body, name)
        if array is None:
            continue
        try:
            return rewriter.array(array, name)
        except NotInPlaceError:
            visitor.restart()
    changed = rewriter.document(Raw(body), 0)
    return None if changed is None else bytes(changed)


def rewrite_event(event: bytes, fields: Fields, visitor: Visitor, columns: tuple[str, ...]) -> bytes | None:
    """The same for an event of a watch, whose `fields` are known.

    `columns`: names of the columns of a Table whose first event was seen before (later ones have none).
    """
    changed = _Rewriter(visitor, columns).document(Raw(event), 0, fields)
    return None if changed is None else bytes(changed)


class _Rewriter:
    """One document. `depth` counts envelopes."""

    def __init__(self, visitor: Visitor, columns: tuple[str, ...]) -> None:
        self._visitor = visitor
        self._columns = columns
        self._plain = PlainKinds(visitor.foreign)
        self._plain_kinds: dict[tuple[bytes, bytes], bool] = {}

    def document(self, raw: Raw, depth: int, fields: dict[str, Raw] | None = None) -> Raw | None:
        if depth > MAX_NESTING:
            raise FramingError(f"more than {MAX_NESTING} envelopes inside each other")
        fields = fields_of(raw) if fields is None else fields
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
        changed = self._visitor.object(raw, fields) if inside is None else self._visitor.object(inside)
        return changed or inside

    # --- in place ---

    def array(self, array: Array, name: str) -> bytes | None:
        """A List or a Table whose elements are cut out of the body one by one. NotInPlaceError."""
        kind = string_of(array.rest.get("kind"))
        table = kind == "Table" or (name == "rows" and "columnDefinitions" in array.rest)
        if table != (name == "rows") or not (table or not kind or kind.endswith("List")):
            raise NotInPlaceError
        if table:
            columns = columns_of(array.rest) or self._columns
            return _spliced(array, None, self._changes(array, columns), name)
        head = self._visitor.head(array.rest) if array.rest else None
        return _spliced(array, head, self._changes(array, None), name)

    def _changes(self, array: Array, columns: tuple[str, ...] | None) -> Iterator[Sequence[Change]]:
        """Of the elements that change, in order."""
        if columns is None:
            start = yield from self._runs(array)
            array = array._replace(start=start)
        if array.start == array.stop:
            return
        spans = self._visitor.finds(array.body, array.start, array.stop, columns)
        if columns is None:
            for pieces in touched(array, spans, self._plain.all, self._plain.holds):
                yield self._of_elements(array.body, pieces)
            return
        for piece in chain.from_iterable(touched(array, spans, self._are_rows, None)):
            if piece.fields is not None and (changed := self._row_fields(piece.fields, columns, 0)) is not None:
                yield [(piece.start, piece.end, changed)]

    def _of_elements(self, body: bytes, pieces: Sequence[Piece]) -> Sequence[Change]:
        visitor = self._visitor
        plain = [piece.fields is None or self._is_plain(piece.fields) for piece in pieces]
        found = iter(visitor.edits(body, list(compress(pieces, plain)))) if pieces[0].found else repeat(None)
        changes: list[Change] = []
        for piece, is_plain in zip(pieces, plain, strict=True):
            if is_plain and (edits := next(found)) is not None:
                changes += edits
                continue
            raw = Raw(memoryview(body)[piece.start : piece.end])
            changed = visitor.object(raw, piece.fields) if is_plain else self.document(raw, 1, piece.fields)
            if changed is not None:
                changes.append((piece.start, piece.end, changed))
        return changes

    def _runs(self, array: Array) -> Generator[Sequence[Change], None, int]:
        """Of many elements at once, as long as the visitor takes them; where the rest starts."""
        for start, end in groups(array, _RUN):
            run = self._visitor.run(array.body, start, end)
            if run is None:
                return start
            yield [(start, end, run)]
        return array.stop

    def _is_plain(self, fields: Fields) -> bool:
        """An object of the request's own type, or of a type with no other rules: no envelope."""
        if not fields.keys().isdisjoint(ENVELOPES):
            return False
        if "kind" not in fields:
            return True
        key = (bytes(fields["kind"]), bytes(fields.get("apiVersion", b"")))
        known = self._plain_kinds.get(key)
        if known is None:
            holds = self._plain.holds(string_of(fields.get("apiVersion")), string_of(fields["kind"]))
            known = self._plain_kinds[key] = holds
        return known

    @staticmethod
    def _are_rows(run: bytes | memoryview) -> bool:
        """Rows have no kinds of their own. msgspec.MsgspecError."""
        _OBJECTS.decode(b"".join([b"[", run, b"]"]))
        return True

    # --- decoded, level by level ---

    def _list(self, fields: dict[str, Raw], depth: int) -> Raw | None:
        items = _each(fields["items"], lambda item: self.document(item, depth + 1))
        rest = {name: field for name, field in fields.items() if name != "items"}
        masked = self._visitor.head(rest) if rest else None
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
        return self._row_fields(fields, columns, depth)

    def _row_fields(self, fields: dict[str, Raw], columns: tuple[str, ...], depth: int) -> Raw | None:
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


def _spliced(array: Array, head: Raw | None, changes: Iterator[Sequence[Change]], name: str) -> bytes | None:
    """The body with the changes in it."""
    sink = Sink(array.body)
    if head is not None:
        opening = f',"{name}":[' if len(head) > len(b"{}") else f'"{name}":['
        sink.put([(0, array.start, bytes(head)[:-1] + opening.encode())])
    for some in changes:
        sink.put(some)
    if not sink.changed:
        return None
    if head is not None:
        sink.put([(array.stop, len(array.body), b"]}")])
    return sink.get()


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
