"""Masking of decoded values: what a plan's rules do to an object, or to a part of one.

Belongs here: paths, searches at any depth, manifests in strings, Secrets inside other objects, known values. Not here:
which parts are decoded (`fast.py`), envelopes, Status and Tables (`body.py`).

`apply` on a whole object is the reference: `fast.py` must give the same object, which the tests compare.
"""

from __future__ import annotations

import binascii
import bisect
import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pratique.errors import FramingError
from pratique.kube.objects import ObjectType, decode, encode, type_of_kind
from pratique.masking.hits import Hits
from pratique.masking.jsonpath import Match
from pratique.masking.known import COMMON, MIN_LENGTH, Index, is_strong, json_escaped, merge
from pratique.masking.plan import PathRule, Patterned, Plan, apply_paths, patterned_of
from pratique.masking.replace import Replacer
from pratique.masking.text import KNOWN, TextMasker
from pratique.masking.walk import Slot, walk, walk_object

if TYPE_CHECKING:
    from pratique.masking.masker import Scope
    from pratique.masking.rules import MaskRule

# JSON in strings in JSON in strings …: deeper than this, the string is masked whole.
MAX_JSON_DEPTH = 4
_SECRET = ObjectType("", "secrets")


class TreeMasker:
    """For the objects of one response. Not shared between threads; what it uses is."""

    def __init__(self, scope: Scope, hits: Hits) -> None:
        self._scope = scope
        self.hits = hits
        self.replacer = Replacer(scope.mask, scope.known, scope.client, hits.count)
        self._depth = 0

    def apply(self, document: Any, plan: Plan) -> None:
        """Every rule of the plan, on a whole object."""
        apply_paths(plan, document, self.change)
        self.nested(document, within=False)
        self._apply_searches(document, plan)

    def _apply_searches(self, document: Any, plan: Plan) -> None:
        self.any_depth(document, plan)
        for rule in plan.searches:
            for path in rule.paths:
                self.search_below(path.find(document), rule)

    # --- one value ---

    def change(self, entry: PathRule, match: Match) -> None:
        rule = entry.rule
        if rule.as_ == "drop":
            self.replacer.drop(match.parent, match.key, rule.id)
        elif rule.as_ == "client":
            self.replacer.client(match.parent, match.key, match.value, rule.id)
        elif rule.as_ == "json" and isinstance(match.value, str):
            self._json(match, rule)
        else:
            self.replacer.replace(
                match.parent,
                match.key,
                match.value,
                rule.id,
                encoded=entry.encoded,
                keep_certificates=rule.keep_certificates,
            )

    # --- searches ---

    def any_depth(self, document: Any, plan: Plan) -> None:
        """Rules that search a whole object, but for the metadata that names it."""
        if plan.any_depth:
            names, found = self._keyed(plan.keyed)
            slots = walk_object(document, names, found, collect=plan.patterned is not None)
            self._patterns(slots, plan.patterned)

    def search(self, root: Any, plan: Plan) -> None:
        """Rules that search a whole object, in a part of one."""
        names, found = self._keyed(plan.keyed)
        self._patterns(walk([root], names, found, collect=plan.patterned is not None), plan.patterned)

    def search_below(self, matches: Iterable[Match], rule: MaskRule) -> None:
        """One rule, in what its path has found."""
        names, found = self._keyed([rule] if rule.keys else [])
        roots, slots = [], []
        for match in matches:
            if isinstance(match.value, dict | list):
                roots.append(match.value)
            elif isinstance(match.value, str) and match.parent is not None:
                slots.append(Slot(match.parent, match.key, match.value))
        patterned = patterned_of(rule)
        slots += walk(roots, names, found, collect=patterned is not None)
        self._patterns(slots, patterned)

    def _keyed(self, keyed: Sequence[MaskRule]) -> tuple[list[Any], Callable[[Any, Any, Any, int, bool], None]]:
        replacer = self.replacer

        def found(parent: Any, key: Any, value: Any, index: int, flag: bool) -> None:  # noqa: FBT001 - a callback
            rule = keyed[index]
            if flag:
                replacer.flag(parent, key, value, rule.id)
            else:
                replacer.replace(
                    parent, key, value, rule.id, encoded=rule.as_ == "base64", keep_certificates=rule.keep_certificates
                )

        return [rule.keys for rule in keyed], found

    def _patterns(self, slots: Sequence[Slot], patterned: Patterned | None) -> None:
        if slots and patterned:
            scope, count, names = self._scope, self.hits.count, patterned.rules
            masker = TextMasker(patterned.patterns, scope.nothing_known, scope.mask, lambda name: count(names[name]))
            self.texts(slots, masker)

    def texts(self, slots: Sequence[Slot], text: TextMasker) -> None:
        """Every string, as text."""

        def spans(joined: bytes) -> list[tuple[int, int, str]]:
            return [span for span in text.spans(joined, 0) if not text.is_mask(joined[span[0] : span[1]])]

        for slot in _touched(slots, spans):
            if slot.parent[slot.key] is not slot.text:  # masked whole since, by the name beside it
                continue
            slot.parent[slot.key] = text.mask_text(slot.text)

    # --- values that were masked before ---

    def known(self, document: Any, index: Index) -> None:
        """Everywhere but in the metadata that names the object; ordinary words stay (a database called `postgres`)."""
        mask = self._scope.mask.text.encode()
        slots = walk_object(document, (), _nothing, collect=True, labels=True)
        for slot in _touched(slots, lambda text: index.spans(text, strong=True)):
            text, end, pieces = slot.text.encode("utf-8", "surrogatepass"), 0, []
            for start, stop in index.spans(text, strong=True):
                pieces += [text[end:start], mask]
                end = stop
                self.hits.count(KNOWN)
            slot.parent[slot.key] = b"".join([*pieces, text[end:]]).decode("utf-8", "replace")

    def echoes(self, document: Any, values: Sequence[bytes]) -> None:
        """The same for values that were just masked in the same object."""
        texts = {form for value in values if is_strong(value) for form in _written(value.decode())}
        for slot in walk_object(document, (), _nothing, collect=True, labels=True):
            # All of them in the text as it was: one that is replaced would hide another that it is a part of.
            spans = merge([span for text in texts for span in _places(slot.text, text)])
            if spans:
                ends = [0, *(end for _, end in spans)]
                kept = [slot.text[end:start] for end, (start, _) in zip(ends, spans, strict=False)]
                slot.parent[slot.key] = self._scope.mask.text.join([*kept, slot.text[ends[-1] :]])
                self.hits.count(KNOWN)

    # --- objects inside objects ---

    def _json(self, match: Match, rule: MaskRule) -> None:
        """A manifest in a string (`last-applied-configuration`), masked as the object that it is; else dropped."""
        before = self.hits.total
        inner = _document_in(match.value) if self._depth < MAX_JSON_DEPTH else None
        if inner is None:
            self.replacer.replace(match.parent, match.key, match.value, rule.id, encoded=False)
            return
        self._depth += 1
        self._inner(inner)
        self._depth -= 1
        if self.hits.total > before:
            self.hits.count(rule.id)
            end = "\n" if match.value.endswith("\n") else ""
            match.parent[match.key] = bytes(encode(inner)).decode() + end

    def _inner(self, inner: Any) -> None:
        """By its own kind first, which knows what is base64, then as a part of the object that it is in."""
        plan = self._scope.plan
        if isinstance(inner, dict):
            found = type_of_kind(str(inner.get("apiVersion", "")), str(inner.get("kind", "")))
            if found != plan.kind:
                self.apply(inner, self._scope.plan_of(found))
        self.apply(inner, plan)

    def nested(self, document: Any, *, within: bool) -> None:
        """Every map of kind Secret below `document`, by the rules for Secrets. `within`: it may be one itself."""
        plan = self._scope.plan_of(_SECRET)
        stack = [document]
        while stack:
            node = stack.pop()
            if isinstance(node, dict):
                if node.get("kind") == "Secret" and (within or node is not document):
                    apply_paths(plan, node, self.change)
                    self._apply_searches(node, plan)
                stack += node.values()
            elif isinstance(node, list):
                stack += node


def _nothing(parent: Any, key: Any, value: Any, index: int, flag: bool) -> None:  # noqa: FBT001 - a callback
    """No key names: never called."""


def _places(text: str, part: str) -> Iterator[tuple[int, int]]:
    """Where `part` is in a text."""
    place = text.find(part)
    while place >= 0:
        yield place, place + len(part)
        place = text.find(part, place + len(part))


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


def echoes(value: str) -> list[bytes]:
    """Forms in which an object may hold a masked value a second time, as text."""
    raw = value.encode("utf-8", "surrogatepass")
    found = [raw]
    if is_base64(raw):
        with contextlib.suppress(binascii.Error, ValueError):
            decoded = binascii.a2b_base64(raw, strict_mode=True)
            decoded.decode()
            found.append(decoded)
    return [form for form in found if len(form) >= MIN_LENGTH and form not in COMMON]


def _written(text: str) -> set[str]:
    """As it is, and as it is in JSON that is in a string."""
    return {text, json.dumps(text)[1:-1], *json_escaped(text)}


_ESCAPED = re.compile(rb"\\u[0-9A-Fa-f]{4}|\\.|[^ -~]|[\"<>&\\]", re.DOTALL)


def sign(form: bytes) -> bytes:
    """The longest part of a text, or of a JSON string, that encoders write as it is: without it the form is not there."""
    return form if _ESCAPED.search(form) is None else max(_ESCAPED.split(form), key=len)


_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}\Z")


def is_base64(raw: bytes) -> bool:
    """Whether it may be: what is not mostly shows here, without an exception."""
    return len(raw) % 4 == 0 and _BASE64.match(raw) is not None
