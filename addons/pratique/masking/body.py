"""Masking of one JSON document: the visitor that knows what to do at each place where an object sits.

Belongs here: applying plans to objects, Status texts, cells of Tables, JSON inside strings, Secrets inside other
objects. Not here: content types and streams (`masker.py`), envelopes (`pratique.kube.objects`).
"""

from __future__ import annotations

import base64
import binascii
import bisect
import contextlib
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from pratique.errors import FramingError
from pratique.kube.objects import GENERIC_KINDS, ObjectType, decode, encode, fields_of, string_of, type_of_kind
from pratique.masking.jsonpath import Match
from pratique.masking.known import COMMON, MIN_LENGTH
from pratique.masking.patterns import compile_re2
from pratique.masking.plan import NESTED_SECRET, PathRule, Plan, apply_paths, pattern_set
from pratique.masking.replace import Replacer
from pratique.masking.text import KNOWN, TextMasker
from pratique.masking.walk import Slot, starts, walk

if TYPE_CHECKING:
    from pratique.masking.masker import Scope
    from pratique.masking.rules import MaskRule

# JSON in strings in JSON in strings …: deeper than this, the string is masked whole.
MAX_JSON_DEPTH = 4
_SECRET = ObjectType("", "secrets")
_nested_secret = compile_re2(NESTED_SECRET).search


class DocumentMasker:
    """The `Visitor` of one document. Not shared between threads; what it uses is."""

    def __init__(self, scope: Scope, *, search_known: bool) -> None:
        self.hits: dict[str, int] = {}
        self._scope = scope
        self._search_known = search_known
        self._replacer = Replacer(scope.mask, scope.known, self._hit)
        self._text = TextMasker(scope.patterns, scope.known, scope.mask, self._hit)
        self._depth = 0

    def _hit(self, rule: str) -> None:
        self.hits[rule] = self.hits.get(rule, 0) + 1

    def _total(self) -> int:
        return sum(self.hits.values())

    # --- the visitor ---

    def object(self, raw: Raw) -> Raw | None:
        self._replacer.seen = []
        masked = self._masked(raw, self._scope.plan)
        other = self._other_plan(raw)
        return (self._masked(masked or raw, other) if other else None) or masked

    def status(self, raw: Raw) -> Raw | None:
        """Message and causes: servers quote values there."""
        status = decode(raw)
        details = status.get("details")
        causes = details.get("causes") if isinstance(details, dict) else None
        texts = [status, *(cause for cause in causes or () if isinstance(cause, dict))]
        before = self._total()
        for holder in texts:
            if isinstance(holder.get("message"), str):
                holder["message"] = self._text.mask_text(holder["message"])
        return encode(status) if self._total() > before else None

    def cells(self, columns: tuple[str, ...], raw: Raw, row: Raw | None) -> Raw | None:
        """Printer columns show any field: by the column's name, by patterns, and by what the row's object held."""
        cells = decode(raw)
        if not isinstance(cells, list):
            raise FramingError("cells of a Table that are no array")
        before, keys = self._total(), self._scope.plan.keys
        held, self._replacer.seen = (self._replacer.seen if row else []), []
        for index, cell in enumerate(cells):
            sensitive = index < len(columns) and any(names.matches(columns[index]) for names in keys)
            if isinstance(cell, str) and cell and (sensitive or any(value in cell for value in held)):
                self._replacer.replace(cells, index, cell, self._scope.column_rule, encoded=False)
            elif isinstance(cell, str):
                cells[index] = self._text.mask_text(cell)
            else:
                self._patterns(walk([cell], (), _nothing, collect=True), self._text)
        return encode(cells) if self._total() > before else None

    # --- one object ---

    def _other_plan(self, raw: Raw) -> Plan | None:
        """Where the kind says another type than the URL, the rules for that type count as well."""
        if b'"kind"' not in memoryview(raw)[:_KIND_WITHIN].tobytes():
            return None
        fields = fields_of(raw) or {}
        kind = string_of(fields.get("kind"))
        if kind in GENERIC_KINDS:
            return None
        found = type_of_kind(string_of(fields.get("apiVersion")), kind)
        plan = self._scope.plan_of(found)
        return None if found == self._scope.plan.kind or plan.empty else plan

    def _masked(self, raw: Raw, plan: Plan) -> Raw | None:
        known = self._search_known and self._scope.known.search(memoryview(raw))
        if not known and not plan.may_touch(raw):
            return None
        nested = _nested_secret(memoryview(raw)) is not None
        fields = None if known or nested or plan.whole else fields_of(raw)
        if fields is None:
            return self._whole(raw, plan, nested=nested, known=known)
        parts = {name: decode(field) for name, field in fields.items() if plan.may_touch(field, name)}
        before = self._total()
        names = list(parts)
        self._apply(parts, plan)
        if self._total() == before:
            return None
        for name in names:
            if name not in parts:
                del fields[name]
        return self._without_echo(encode({**fields, **parts}))

    def _whole(self, raw: Raw, plan: Plan, *, nested: bool, known: bool) -> Raw | None:
        before = self._total()
        document = decode(raw)
        if nested:  # first: it knows what is base64
            self._nested(document)
        self._apply(document, plan)
        if known:
            self._known(document)
        return self._without_echo(encode(document)) if self._total() > before else None

    def _without_echo(self, raw: Raw) -> Raw:
        """The object may hold a value twice: where it was masked, and where no rule looks (an annotation)."""
        whole = bytes(raw)
        if not any(form in whole for value in self._replacer.seen for form in _echoes(value)):
            return raw
        document = decode(raw)
        self._known(document)
        return encode(document)

    def _apply(self, document: Any, plan: Plan) -> None:
        apply_paths(plan, document, self._change)
        keyed, patterned = plan.any_depth
        if keyed or patterned:
            roots = starts(document) if isinstance(document, dict) else [document]
            self._search(roots, keyed, patterned)
        for rule in plan.searches:
            for path in rule.paths:
                self._search_below(path.find(document), rule)

    def _change(self, entry: PathRule, match: Match) -> None:
        rule = entry.rule
        if rule.as_ == "drop":
            self._replacer.drop(match.parent, match.key, rule.id)
        elif rule.as_ == "json" and isinstance(match.value, str):
            self._json(match, rule)
        else:
            self._replacer.replace(
                match.parent,
                match.key,
                match.value,
                rule.id,
                encoded=entry.encoded,
                keep_certificates=rule.keep_certificates,
            )

    def _search_below(self, matches: Iterable[Match], rule: MaskRule) -> None:
        roots, slots = [], []
        for match in matches:
            if isinstance(match.value, dict | list):
                roots.append(match.value)
            elif isinstance(match.value, str) and match.parent is not None:
                slots.append(Slot(match.parent, match.key, match.value))
        keyed, patterned = ([rule] if rule.keys else []), ([rule] if rule.patterns else [])
        self._search(roots, keyed, patterned, slots)

    def _search(
        self, roots: list[Any], keyed: Sequence[MaskRule], patterned: Sequence[MaskRule], more: Sequence[Slot] = ()
    ) -> None:
        def found(parent: Any, key: Any, value: Any, index: int, flag: bool) -> None:  # noqa: FBT001 - a callback
            rule = keyed[index]
            if flag:
                self._replacer.flag(parent, key, value, rule.id)
            else:
                self._replacer.replace(
                    parent, key, value, rule.id, encoded=rule.as_ == "base64", keep_certificates=rule.keep_certificates
                )

        keys = [rule.keys for rule in keyed if rule.keys]
        slots = walk(roots, keys, found, collect=bool(patterned))
        if patterned:
            names = {pattern.name: rule.id for rule in reversed(patterned) for pattern in rule.patterns}
            patterns = pattern_set(tuple(pattern for rule in patterned for pattern in rule.patterns))
            text = TextMasker(
                patterns, self._scope.nothing_known, self._scope.mask, lambda name: self._hit(names.get(name, name))
            )
            self._patterns([*slots, *more], text)

    def _patterns(self, slots: Sequence[Slot], text: TextMasker) -> None:
        for slot in _touched(
            slots, lambda joined: [s for s in text.spans(joined, 0) if not text.is_mask(joined[s[0] : s[1]])]
        ):
            slot.parent[slot.key] = text.mask_text(slot.text)

    # --- values that were masked before ---

    def _known(self, document: Any) -> None:
        """Everywhere but in the metadata that names the object; ordinary words stay (a database called `postgres`)."""
        roots = starts(document) if isinstance(document, dict) else [document]
        metadata = document.get("metadata") if isinstance(document, dict) else None
        if isinstance(metadata, dict) and "labels" in metadata:
            roots.append(metadata["labels"])
        known, mask = self._scope.known, self._scope.mask.text.encode()
        for slot in _touched(walk(roots, (), _nothing, collect=True), lambda text: known.spans(text, strong=True)):
            text, end, pieces = slot.text.encode(), 0, []
            for start, stop in known.spans(text, strong=True):
                pieces += [text[end:start], mask]
                end = stop
                self._hit(KNOWN)
            slot.parent[slot.key] = b"".join([*pieces, text[end:]]).decode("utf-8", "replace")

    # --- objects inside objects ---

    def _json(self, match: Match, rule: MaskRule) -> None:
        """A manifest in a string (`last-applied-configuration`), masked as the object that it is; else dropped."""
        before = self._total()
        inner = _document_in(match.value) if self._depth < MAX_JSON_DEPTH else None
        if inner is None:
            self._replacer.replace(match.parent, match.key, match.value, rule.id, encoded=False)
            return
        self._depth += 1
        self._inner(inner)
        self._depth -= 1
        if self._total() > before:
            self._hit(rule.id)
            end = "\n" if match.value.endswith("\n") else ""
            match.parent[match.key] = bytes(encode(inner)).decode() + end

    def _inner(self, inner: Any) -> None:
        """By its own kind first, which knows what is base64, then as a part of the object that it is in."""
        plan = self._scope.plan
        if isinstance(inner, dict):
            found = type_of_kind(str(inner.get("apiVersion", "")), str(inner.get("kind", "")))
            if found != plan.kind:
                self._apply(inner, self._scope.plan_of(found))
        self._nested(inner)
        self._apply(inner, plan)

    def _nested(self, document: Any) -> None:
        """Every map of kind Secret below `document`, by the rules for Secrets."""
        plan = self._scope.plan_of(_SECRET)
        stack = [document]
        while stack:
            node = stack.pop()
            if isinstance(node, dict):
                if node.get("kind") == "Secret" and node is not document:
                    self._apply(node, plan)
                stack += node.values()
            elif isinstance(node, list):
                stack += node


# Bytes at the start of an object within which an API server writes `kind` (struct fields first, map keys sorted:
# `apiVersion`, `kind`).
_KIND_WITHIN = 512


def _nothing(parent: Any, key: Any, value: Any, index: int, flag: bool) -> None:  # noqa: FBT001 - a callback
    """No key names: never called."""


def _touched(slots: Sequence[Slot], search: Callable[[bytes], Sequence[tuple[Any, ...]]]) -> list[Slot]:
    """The slots in whose text something is found. One search for all of them: no match crosses a line end."""
    if not slots:
        return []
    texts = [slot.text.encode("utf-8", "surrogatepass") for slot in slots]
    spans = search(b"\n".join(texts))
    if not spans:
        return []
    ends = list(accumulate(len(text) + 1 for text in texts))
    touched = sorted({bisect.bisect_right(ends, span[0]) for span in spans})
    return [slots[index] for index in touched]


def _document_in(text: str) -> Any:
    """The object or array that is written in a string; None if there is none."""
    try:
        inner = decode(text.encode("utf-8", "surrogatepass"))
    except FramingError:
        return None
    return inner if isinstance(inner, dict | list) else None


def _echoes(value: str) -> list[bytes]:
    raw = value.encode("utf-8", "surrogatepass")
    found = [raw]
    with contextlib.suppress(binascii.Error, ValueError):
        found.append(base64.b64decode(raw, validate=True))
    return [form for form in found if len(form) >= MIN_LENGTH and form not in COMMON]
