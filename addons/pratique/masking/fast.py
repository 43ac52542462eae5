"""Masking of raw JSON objects: decodes only the parts that a rule has something to do in.

Belongs here: following the tree of plain paths (`nodes.py`) and the hits of the rules for any depth (`locate.py`)
through an object. Not here: what is done to a decoded part (`document.py`).

The result is what `TreeMasker.apply` makes of the decoded object; where that cannot be had part by part, the object
is decoded whole.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from pratique.kube.objects import Fields, decode, encode, fields_of, is_null
from pratique.kube.sink import Change, spliced
from pratique.masking.document import TreeMasker, echoes, sign
from pratique.masking.edits import Edit, find_edits
from pratique.masking.jsonpath import Match
from pratique.masking.locate import containers
from pratique.masking.nodes import Node
from pratique.masking.plan import ANYWHERE, NAMING, NESTED, PathRule, Plan, Span, hides

if TYPE_CHECKING:
    from pratique.masking.masker import Scope

_STRINGS = msgspec.json.Decoder(dict[str, str])
_NESTED = b"{["
_MAP, _LIST = b"{["
# What a node of the tree becomes when a rule drops it.
_GONE = Raw(b"")


class RawMasker:
    """For the objects of one response. Every method gives None for "unchanged"."""

    def __init__(self, scope: Scope, tree: TreeMasker) -> None:
        self._scope = scope
        self._tree = tree
        self._hits = tree.hits
        self.fields: Fields | None = None  # of what `masked` gave last, where it was put together from them

    def masked(self, raw: Raw, fields: Fields | None, plan: Plan) -> Raw | None:
        """One object (or array, or scalar) by the rules of a plan. FramingError if it is not JSON."""
        self.fields = None
        if plan.empty:
            return None
        if fields is None or plan.nodes is None or not _has_metadata(fields):
            return self._decoded(raw, plan)
        if _meet(fields, plan):
            return self._decoded(raw, plan)
        if plan.eager:
            return self._by_fields(raw, fields, plan)
        text = bytes(raw)
        spans = plan.objects.all(text)
        if not spans:
            return None
        found = None if hides(text, spans) or ANYWHERE in spans else _per_field(fields, len(text), spans)
        return self._by_fields(raw, fields, plan) if found is None else self._by_spans(raw, fields, plan, found)

    def _by_spans(self, raw: Raw, fields: Fields, plan: Plan, found: dict[str, list[Span]]) -> Raw | None:
        """Only fields in which something was found."""
        if any(memoryview(fields[name])[0] not in _NESTED for name in found if name not in NAMING):
            return self._decoded(raw, plan)
        changed: Fields = {}
        for name, inside in found.items():
            field = fields[name]
            if memoryview(field)[0] not in _NESTED:
                continue
            node = (plan.nodes or {}).get(name)
            new = self._node(node, field, plan) if node is not None else None
            if name != "metadata" and new is not _GONE:
                new = (self._deep(field, plan, inside) if new is None else self._deep(new, plan, None)) or new
            if new is not None:
                changed[name] = new
        return self._with(fields, changed)

    def _by_fields(self, raw: Raw, fields: Fields, plan: Plan) -> Raw | None:
        """Every field, because something is always to be done, or it is not known where."""
        if plan.any_depth and plan.touches_root(fields):
            return self._decoded(raw, plan)
        changed: Fields = {}
        for name, node in (plan.nodes or {}).items():
            field = fields.get(name)
            if field is not None and (new := self._node(node, field, plan)) is not None:
                changed[name] = new
        for name, field in fields.items():
            if name in plan.done:
                continue
            now = changed.get(name, field)
            if now is not _GONE and memoryview(now)[0] in _NESTED and (new := self._deep(now, plan, None)) is not None:
                changed[name] = new
        return self._with(fields, changed)

    def _with(self, fields: Fields, changed: Fields) -> Raw | None:
        if not changed:
            return None
        self.fields = merged(fields, changed)
        return encode(self.fields)

    def _decoded(self, raw: Raw, plan: Plan) -> Raw | None:
        before, document = self._hits.total, decode(raw)
        holder = {"": document}
        self._tree.apply(document, plan)
        return encode(holder[""]) if self._hits.total > before else None

    # --- paths ---

    def _node(self, node: Node, raw: Raw, plan: Plan) -> Raw | None:
        """The value at a field: the rules below it first, then those that look inside it."""
        if node.whole:
            return self._whole(node.whole[0], node, raw)
        now: Raw | None = None
        if node.children or node.each is not None:
            kind = memoryview(raw)[0]
            if kind == _MAP:
                now = self._values(node, raw) if node.is_values else self._fields(node, raw, plan)
            elif kind == _LIST and node.each is not None:
                now = self._decoded_below(node, raw)
        if node.deep and memoryview(raw)[0] in _NESTED:
            now = self._deep(now or raw, plan, None) or now
        for rule in node.searches:
            text = now or raw
            if not plan.finder(rule).finds(memoryview(text)):
                continue
            holder, before = {"": decode(text)}, self._hits.total
            self._tree.search_below([Match(holder, "", holder[""])], rule)
            if self._hits.total > before:
                now = encode(holder[""])
        return now

    def _whole(self, entry: PathRule, node: Node, raw: Raw) -> Raw | None:
        if entry.rule.as_ == "drop":
            self._hits.count(entry.rule.id)
            return _GONE
        holder, before = {"": decode(raw)}, self._hits.total
        self._tree.change(entry, Match(holder, "", holder[""]))
        for rule in node.searches:
            if "" in holder:
                self._tree.search_below([Match(holder, "", holder[""])], rule)
        if self._hits.total == before:
            return None
        return encode(holder[""]) if "" in holder else _GONE

    def _fields(self, node: Node, raw: Raw, plan: Plan) -> Raw | None:
        fields = fields_of(raw) or {}
        changed = self.children(node, fields, plan)
        return encode(merged(fields, changed)) if changed else None

    def children(self, node: Node, fields: Fields, plan: Plan) -> Fields:
        """What changes of the fields of a map."""
        changed: Fields = {}
        for name, child in node.children.items():
            field = fields.get(name)
            if field is not None and (new := self._node(child, field, plan)) is not None:
                changed[name] = new
        if node.each is not None:
            for name, field in fields.items():
                if (new := self._node(node.each, field, plan)) is not None:
                    changed[name] = new
        return changed

    def _values(self, node: Node, raw: Raw) -> Raw | None:
        """A map whose values are all masked, decoded as such (`data` of a Secret)."""
        if node.each is None:
            return None
        entry = node.each.whole[0]
        try:
            values = _STRINGS.decode(raw)
        except msgspec.MsgspecError:
            return self._decoded_below(node, raw)
        touched = self._tree.replacer.replace_values(
            values, entry.rule.id, encoded=entry.encoded, keep_certificates=entry.rule.keep_certificates
        )
        return encode(values) if touched else None

    def _decoded_below(self, node: Node, raw: Raw) -> Raw | None:
        """Every child of a map or list by the one rule for each of them; also where they are no strings."""
        before, parent = self._hits.total, decode(raw)
        entries = list(parent.items()) if isinstance(parent, dict) else list(enumerate(parent))
        for key, value in reversed(entries):
            for entry in node.each.whole if node.each is not None else ():
                self._tree.change(entry, Match(parent, key, value))
        for rule in node.each.searches if node.each is not None else ():
            entries = list(parent.items()) if isinstance(parent, dict) else list(enumerate(parent))
            self._tree.search_below([Match(parent, key, value) for key, value in entries], rule)
        return encode(parent) if self._hits.total > before else None

    # --- any depth ---

    def _deep(self, raw: Raw, plan: Plan, spans: Sequence[Span] | None) -> Raw | None:
        """A map or list, by the rules for any depth: only what is found is decoded, or the smallest part around it."""
        text = bytes(raw)
        spans = plan.deep.all(text) if spans is None else spans
        if not spans:
            return None
        if (edits := find_edits(text, spans, plan.names, plan.ordinary)) is not None:
            changes = self.edited(edits, plan)
            return Raw(spliced(text, changes)) if changes else None
        parts = None if spans == [ANYWHERE] else containers(text, [start for start, _ in spans])
        changes = []
        for start, end in parts or [(0, len(text))]:
            before, part = self._hits.total, decode(Raw(memoryview(text)[start:end]))
            self._tree.nested(part, within=True)
            if plan.any_depth:
                self._tree.search(part, plan)
            if self._hits.total > before:
                changes.append((start, end, encode(part)))
        return Raw(spliced(text, changes)) if changes else None

    def edited(self, edits: Sequence[Edit], plan: Plan) -> list[Change]:
        """What is put in place of the values."""
        changes: list[Change] = []
        replace = self._tree.replacer.replace_text
        for start, end, value, index in edits:
            rule = plan.keyed[index]
            encoded, keep = rule.as_ == "base64", rule.keep_certificates
            mask = replace(value.decode("utf-8", "replace"), rule.id, encoded=encoded, keep_certificates=keep)
            if mask is not None:
                changes.append((start, end, f'"{mask}"'.encode()))
        return changes

    # --- values that an object holds twice ---

    def echoes_in(self, rest: bytes) -> list[bytes]:
        """Values that were just masked and are in the rest of their object as well."""
        limit = 2 * len(rest)
        values = [value for value in self._tree.replacer.seen if len(value) <= limit]
        return [form for value in values for form in echoes(value) if sign(form) in rest]

    def without(self, raw: Raw, found: Sequence[bytes]) -> Raw:
        """The object without them, where they do not name it."""
        before, document = self._hits.total, decode(raw)
        self._tree.echoes(document, found)
        return encode(document) if self._hits.total > before else raw


def _has_metadata(fields: Fields) -> bool:
    """Or none at all. Anything else in that place is data."""
    metadata = fields.get("metadata")
    return metadata is None or memoryview(metadata)[0] == _MAP or is_null(metadata)


def _per_field(fields: Fields, size: int, spans: Sequence[Span]) -> dict[str, list[Span]] | None:
    """What was found, by field and relative to it; None if it is beside them, or they are written with spaces."""
    names = list(fields)
    lengths = list(map(len, fields.values()))
    ends = list(accumulate([len(name) + length + len('"":,') for name, length in zip(names, lengths, strict=True)]))
    if not ends or ends[-1] + len("}") != size or not all(map(str.isascii, names)):
        return None
    found: dict[str, list[Span]] = {}
    for start, end in spans:
        index = bisect.bisect_right(ends, start)
        offset = ends[index] - lengths[index] if index < len(ends) else start + 1
        if start < offset:
            return None
        found.setdefault(names[index], []).append((start - offset, end - offset))
    return found


def _meet(fields: Fields, plan: Plan) -> bool:
    """A Secret lies where a rule has a path to: its own rules come first, they know what is base64."""
    names = [name for name in plan.nodes or () if name in fields and name != "metadata" and name not in plan.values]
    return any(NESTED.finds(fields[name]) for name in names)


def is_gone(changed: Raw) -> bool:
    """Whether a rule drops what has changed so."""
    return changed is _GONE


def merged(fields: Fields, changed: Fields) -> Fields:
    """The object with changed and without dropped fields."""
    merged = {**fields, **changed}
    if any(field is _GONE for field in changed.values()):
        merged = {name: field for name, field in merged.items() if field is not _GONE}
    return merged
