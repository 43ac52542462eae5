"""Lists of objects that are nothing but values (Secrets): runs of them at once.

Belongs here: a run of such objects, decoded into one typed list and back. Not here: single objects (`fast.py`), what
is put in place of a value (`replace.py`).

Every value of every item is replaced, so each microsecond per item counts: decoding a Secret takes six. What a typed
list cannot hold (an unknown field, a value that is no string) is not taken, and the items are masked one by one.
"""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from pratique.masking.fast import RawMasker, is_gone
from pratique.masking.hits import Hits
from pratique.masking.plan import PathRule, Plan
from pratique.masking.replace import Replacer

_SECRET = b'"Secret"'


class Metadata(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """metav1.ObjectMeta (1.36, and `selfLink` of before), in the order in which API servers write it."""

    name: Raw | UnsetType = UNSET
    generate_name: Raw | UnsetType = UNSET
    namespace: Raw | UnsetType = UNSET
    self_link: Raw | UnsetType = UNSET
    uid: Raw | UnsetType = UNSET
    resource_version: Raw | UnsetType = UNSET
    generation: Raw | UnsetType = UNSET
    creation_timestamp: Raw | UnsetType = UNSET
    deletion_timestamp: Raw | UnsetType = UNSET
    deletion_grace_period_seconds: Raw | UnsetType = UNSET
    labels: Raw | UnsetType = UNSET
    annotations: Raw | UnsetType = UNSET
    owner_references: Raw | UnsetType = UNSET
    finalizers: Raw | UnsetType = UNSET
    managed_fields: Raw | UnsetType = UNSET


class Item(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """A Secret, in the order in which API servers write it. Values are text, the rest is as it came."""

    kind: Raw | UnsetType = UNSET
    api_version: Raw | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    immutable: Raw | UnsetType = UNSET
    data: dict[str, str] | UnsetType = UNSET
    string_data: dict[str, str] | UnsetType = UNSET
    type: Raw | UnsetType = UNSET


_DECODER = msgspec.json.Decoder(list[Item])
_VALUES = {"data": "data", "stringData": "string_data"}
_METADATA = {field.encode_name: field.name for field in msgspec.structs.fields(Metadata)}
_REMEMBERED = 256  # combinations of keys; they come from the cluster, so they are bounded
_COPIES = ("annotations", "labels")
"""Of the metadata, where a value may be seen again; the rest names the object."""


def fits(plan: Plan) -> bool:
    """All that the plan masks are the values of `data` and `stringData`, and parts of the metadata."""
    return bool(plan.values) and plan.values <= _VALUES.keys() and set(plan.nodes or ()) <= {*plan.values, "metadata"}


class _Column(NamedTuple):
    """The values under one name: of which items, in which maps, and all of them."""

    name: str
    entry: PathRule
    indices: list[int]
    maps: list[dict[str, str]]
    texts: list[str]
    lengths: set[int]


class ValuesMasker:
    """For the items of one list whose plan `fits`."""

    def __init__(self, plan: Plan, replacer: Replacer, raw: RawMasker, hits: Hits) -> None:
        nodes = plan.nodes or {}
        each = {name: node.each.whole[0] for name, node in nodes.items() if name in _VALUES and node.each is not None}
        self._entries = [(_VALUES[name], entry) for name, entry in each.items()]
        self._masked: dict[str, dict[tuple[str, ...], Raw]] = {name: {} for name, _ in self._entries}
        self._plan = plan
        self._metadata = node = nodes.get("metadata")
        children = node.children if node is not None else {}
        dropped = {
            _METADATA[name]: child.whole[0].rule.id
            for name, child in children.items()
            if name in _METADATA and child.whole and child.whole[0].rule.as_ == "drop"
        }
        self._dropped = list(dropped.items())
        """Fields of the metadata that are gone, whatever they hold, and the rule that says so."""
        named = _METADATA if node is not None and node.each is not None else children
        rest = {_METADATA[name] for name in named if name in _METADATA} - dropped.keys() | set(_COPIES)
        self._rest, self._bare = attrgetter(*rest), (UNSET,) * len(rest)
        """The others in which a rule has something to do, or a value may be seen again; how they are if there are none."""
        self._replacer = replacer
        self._raw = raw
        self._hits = hits

    def masked(self, body: bytes, start: int, end: int) -> bytes | None:
        """Items `body[start:end]` with commas between them, masked; None if they do not fit."""
        try:
            items = _DECODER.decode(_array(body, start, end))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None
        if any([item.kind is not UNSET and bytes(item.kind) != _SECRET for item in items]):  # noqa: C419 - faster
            return None
        before = self._hits.total
        columns = self._columns(items)
        shown = [self._item(item) for item in items] if columns is None else self._together(items, columns)
        return msgspec.json.encode(shown)[1:-1] if self._hits.total > before else body[start:end]

    # --- all items at once ---

    def _columns(self, items: list[Item]) -> list[_Column] | None:
        """The values of all items; None if one of them may have to stay."""
        columns = []
        for name, entry in self._entries:
            indices = [index for index, item in enumerate(items) if getattr(item, name)]
            maps = [getattr(items[index], name) for index in indices]
            texts = list(chain.from_iterable(map(dict.values, maps)))
            lengths = set(map(len, texts))
            keep = entry.rule.keep_certificates
            if self._replacer.may_stay(texts, lengths, encoded=entry.encoded, keep_certificates=keep):
                return None
            columns.append(_Column(name, entry, indices, maps, texts, lengths))
        return columns

    def _together(self, items: list[Item], columns: list[_Column]) -> list[Item] | list[Item | Raw]:
        for name, entry, indices, maps, texts, _ in columns:
            mask, memory = self._replacer.mask_all(texts, entry.rule.id, encoded=entry.encoded), self._masked[name]
            for index, keys in zip(indices, map(tuple, maps), strict=True):
                setattr(items[index], name, memory.get(keys) or self._remembered(memory, keys, mask))
        self._drop(items)
        shortest = min([min(column.lengths) for column in columns if column.texts], default=0)
        # A value that is twice as long as what is left cannot be in it (`RawMasker.echoes_in`).
        short = shortest <= 2 * max([len(item.type) for item in items if item.type is not UNSET], default=0)
        rest, bare = self._rest, self._bare
        closely = [
            index
            for index, item in enumerate(items)
            if short or (item.metadata is not UNSET and rest(item.metadata) != bare)
        ]
        return self._each(items, closely, columns) if closely else items

    @staticmethod
    def _remembered(memory: dict[tuple[str, ...], Raw], keys: tuple[str, ...], mask: str) -> Raw:
        """A map with masks under these keys, as JSON: many Secrets have the same ones."""
        if len(memory) >= _REMEMBERED:
            memory.clear()
        made = memory[keys] = Raw(msgspec.json.encode(dict.fromkeys(keys, mask)))
        return made

    def _each(self, items: list[Item], closely: list[int], columns: list[_Column]) -> list[Item | Raw]:
        """Items of which some have to be looked at closely, and what was in them."""
        seen: dict[int, list[str]] = {index: [] for index in closely}
        for column in columns:
            for index, values in zip(column.indices, column.maps, strict=True):
                if index in seen:
                    seen[index] += values.values()
        shown: list[Item | Raw] = list(items)
        for index, texts in seen.items():
            self._replacer.seen = texts
            shown[index] = self._closely(items[index])
        return shown

    def _drop(self, items: list[Item]) -> None:
        for name, rule in self._dropped:
            dropped = 0
            for item in items:
                metadata = item.metadata
                if metadata is not UNSET and getattr(metadata, name) is not UNSET:
                    setattr(metadata, name, UNSET)
                    dropped += 1
            if dropped:
                self._hits.count(rule, dropped)

    # --- one item ---

    def _item(self, item: Item) -> Item | Raw:
        replacer = self._replacer
        replacer.seen = []
        for name, entry in self._entries:
            values = getattr(item, name)
            if values:
                replacer.replace_values(
                    values, entry.rule.id, encoded=entry.encoded, keep_certificates=entry.rule.keep_certificates
                )
        self._drop([item])
        return self._closely(item)

    def _closely(self, item: Item) -> Item | Raw:
        """The metadata, and the values that are shown a second time."""
        metadata, node = item.metadata, self._metadata
        if node is not None and metadata is not UNSET:
            fields = {name: getattr(metadata, attribute) for name, attribute in _METADATA.items()}
            present = {name: field for name, field in fields.items() if field is not UNSET}
            for name, changed in self._raw.children(node, present, self._plan).items():
                setattr(metadata, _METADATA[name], UNSET if is_gone(changed) else changed)
        if self._replacer.seen and (found := self._raw.echoes_in(_unnamed(item))):
            return self._raw.without(Raw(msgspec.json.encode(item)), found)
        return item


def _array(body: bytes, start: int, end: int) -> memoryview | bytes:
    """Elements as an array; no copy where they are all of it."""
    view = memoryview(body)
    if body[start - 1 : start] == b"[" and body[end : end + 1] == b"]":
        return view[start - 1 : end + 1]
    return b"".join([b"[", view[start:end], b"]"])


def _unnamed(item: Item) -> bytes:
    """Where a value may be seen again: not in the values, which are masked, nor in names."""
    parts = [item.type] if item.type is not UNSET else []
    if item.metadata is not UNSET:
        parts += [field for name in _COPIES if (field := getattr(item.metadata, name)) is not UNSET]
    return b"\n".join(parts)
