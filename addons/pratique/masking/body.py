"""Masking of one JSON document: the visitor that knows what to do at each place where an object sits.

Belongs here: objects of the request's type and of another, Status texts, cells of Tables, values that an object holds
twice. Not here: content types and streams (`masker.py`), envelopes (`pratique.kube.objects`), the rules at work
(`fast.py`, `document.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from pratique.errors import FramingError
from pratique.kube.objects import (
    Fields,
    decode,
    encode,
    fields_of,
    string_of,
    type_of_kind,
)
from pratique.kube.pieces import Piece
from pratique.kube.plain import GENERIC_KINDS
from pratique.kube.sink import Change
from pratique.masking.document import TreeMasker
from pratique.masking.fast import RawMasker
from pratique.masking.hits import Hits
from pratique.masking.inplace import InPlace
from pratique.masking.known import MIN_LENGTH, Index
from pratique.masking.plan import ListHead, Plan, Span
from pratique.masking.text import TextMasker
from pratique.masking.values import ValuesMasker, fits
from pratique.masking.walk import Slot, walk

if TYPE_CHECKING:
    from pratique.masking.masker import Scope

# Fields of an object that hold nothing but its name, or a copy of one word.
_BARE = frozenset({"apiVersion", "kind", "metadata", "immutable"})


class DocumentMasker:
    """The `Visitor` of one document. Not shared between threads; what it uses is."""

    def __init__(self, scope: Scope) -> None:
        self.hits = Hits()
        self._scope = scope
        self._tree = TreeMasker(scope, self.hits)
        self._raw = RawMasker(scope, self._tree)
        self._replacer = self._tree.replacer
        plan = scope.plan
        self._in_place = InPlace(plan, self._replacer, self._raw)
        self._values = ValuesMasker(plan, self._replacer, self._raw, self.hits) if fits(plan) else None
        self._plans: dict[tuple[bytes, bytes], Plan | None] = {}

    @cached_property
    def _text(self) -> TextMasker:
        scope = self._scope
        return TextMasker(scope.patterns, scope.known, scope.mask, self.hits.count)

    def restart(self) -> None:
        """The document is visited once more from its beginning."""
        self.hits.clear()
        self.hits.total = 0

    # --- the visitor ---

    def finds(
        self, body: bytes, start: int, stop: int, columns: tuple[str, ...] | None
    ) -> Iterator[tuple[int, int]] | None:
        plan = self._scope.plan
        finder = plan.objects if columns is None else plan.rows
        if plan.eager or not finder.knows or (columns and self._sensitive(columns)):
            return None
        return finder.each(body, start, stop)

    def run(self, body: bytes, start: int, end: int) -> bytes | None:
        return self._values.masked(body, start, end) if self._values is not None else None

    def foreign(self, api_version: str, kind: str) -> bool:
        return self._plan_of_kind(api_version, kind) is not None

    def edits(self, body: bytes, pieces: Sequence[Piece]) -> list[list[Change] | None]:
        return self._in_place.changes(body, pieces)

    def object(self, raw: Raw, fields: Fields | None = None) -> Raw | None:
        self._replacer.seen = []
        fields = fields_of(raw) if fields is None else fields
        masked = self._raw.masked(raw, fields, self._scope.plan)
        if fields is not None and (other := self._other_plan(fields)) is not None:
            now = raw if masked is None else masked
            masked = self._raw.masked(now, fields_of(now), other) or masked
        return masked if masked is None else self._without_echo(masked)

    def head(self, fields: Fields) -> Raw | None:
        raw = encode(fields)
        if self._scope.plan.spares_heads and _is_list_head(raw):
            other = self._other_plan(fields)
            if other is None or other.spares_heads:
                return None
        return self.object(raw, fields)

    def status(self, raw: Raw) -> Raw | None:
        """Message and causes: servers quote values there."""
        status = decode(raw)
        details = status.get("details")
        causes = details.get("causes") if isinstance(details, dict) else None
        texts = [status, *(cause for cause in causes or () if isinstance(cause, dict))]
        before = self.hits.total
        for holder in texts:
            if isinstance(holder.get("message"), str):
                holder["message"] = self._text.mask_text(holder["message"])
        return encode(status) if self.hits.total > before else None

    def cells(self, columns: tuple[str, ...], raw: Raw, row: Raw | None) -> Raw | None:
        """Printer columns show any field: by the column's name, by patterns, and by what the row's object held."""
        held, self._replacer.seen = (self._replacer.seen if row else []), []
        if not (held or self._sensitive(columns) or self._scope.plan.cells.finds(raw)):
            return None
        cells = decode(raw)
        if not isinstance(cells, list):
            raise FramingError("cells of a Table that are no array")
        before, keys = self.hits.total, self._scope.plan.keys
        texts = []
        for index, cell in enumerate(cells):
            sensitive = index < len(columns) and any(names.matches(columns[index]) for names in keys)
            if (sensitive and cell is not None) or (isinstance(cell, str) and _holds(cell, held)):
                self._replacer.replace(cells, index, cell, self._scope.column_rule, encoded=False)
            elif isinstance(cell, str):
                texts.append(Slot(cells, index, cell))
            else:
                texts += walk([cell], (), _nothing, collect=True)
        self._tree.texts(texts, self._text)
        return encode(cells) if self.hits.total > before else None

    # --- parts ---

    def _sensitive(self, columns: tuple[str, ...]) -> bool:
        return any(names.matches(column) for names in self._scope.plan.keys for column in columns)

    def _other_plan(self, fields: Fields) -> Plan | None:
        """Where the kind says another type than the URL, the rules for that type count as well."""
        if "kind" not in fields:
            return None
        key = (bytes(fields.get("apiVersion", b"")), bytes(fields["kind"]))
        if key not in self._plans:
            self._plans[key] = self._plan_of_kind(string_of(fields.get("apiVersion")), string_of(fields["kind"]))
        return self._plans[key]

    def _plan_of_kind(self, api_version: str, kind: str) -> Plan | None:
        if kind in GENERIC_KINDS:
            return None
        found = type_of_kind(api_version, kind)
        plan = self._scope.plan_of(found)
        return None if found == self._scope.plan.kind or plan.empty else plan

    def _without_echo(self, raw: Raw) -> Raw:
        """The object may hold a value twice: where it was masked, and where no rule looks (an annotation)."""
        if not self._replacer.seen or not (found := self._raw.echoes_in(self._unnamed(raw))):
            return raw
        return self._raw.without(raw, found)

    def _unnamed(self, raw: Raw) -> bytes:
        """The parts of an object in which a value may be seen again; all of it where they cannot be told."""
        fields = self._raw.fields
        if fields is None:
            return bytes(raw)
        masked = self._scope.plan.values
        parts: list[Raw | bytes] = [field for name, field in fields.items() if name not in _BARE and name not in masked]
        if "metadata" in fields:
            text = bytes(fields["metadata"])
            if b'"annotations"' in text or b'"labels"' in text:
                parts.append(text)
        return b"\n".join(parts)


_HEAD = msgspec.json.Decoder(ListHead)


def _is_list_head(raw: Raw) -> bool:
    try:
        _HEAD.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def _holds(cell: str, values: Sequence[str]) -> bool:
    """Short values count only where they are all of the cell: they are in every text."""
    return any(value == cell or (len(value) >= MIN_LENGTH and value in cell) for value in values if value)


class KnownMasker:
    """The `Visitor` of a document that was masked: values of the session that no rule has found there."""

    def __init__(self, scope: Scope, hits: Hits, known: Index) -> None:
        self._known = known
        self._hits = hits
        self._tree = TreeMasker(scope, hits)

    def restart(self) -> None:
        """Nothing: a value that was replaced is not found a second time."""

    def finds(self, body: bytes, start: int, stop: int, columns: tuple[str, ...] | None) -> Iterator[Span] | None:  # noqa: ARG002
        return iter(sorted(self._known.each(body, start, stop, strong=True)))

    def foreign(self, api_version: str, kind: str) -> bool:  # noqa: ARG002
        return False

    def run(self, *_: object) -> None:
        """Items are looked at one by one."""

    def edits(self, body: bytes, pieces: Sequence[Piece]) -> list[None]:  # noqa: ARG002
        """Objects are decoded: it is not known where in them a value may stay."""
        return [None] * len(pieces)

    def object(self, raw: Raw, fields: Fields | None = None) -> Raw | None:  # noqa: ARG002
        if not self._known.search(bytes(raw)):
            return None
        before, document = self._hits.total, decode(raw)
        self._tree.known(document, self._known)
        return encode(document) if self._hits.total > before else None

    def head(self, fields: Fields) -> Raw | None:
        return self.object(encode(fields))

    def status(self, raw: Raw) -> Raw | None:
        return self.object(raw)

    def cells(self, columns: tuple[str, ...], raw: Raw, row: Raw | None) -> Raw | None:  # noqa: ARG002
        return self.object(raw)


def _nothing(parent: Any, key: Any, value: Any, index: int, flag: bool) -> None:  # noqa: FBT001 - a callback
    """No key names: never called."""
