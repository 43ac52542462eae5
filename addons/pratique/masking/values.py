"""Lists of objects that are nothing but values (Secrets): runs of them at once.

Belongs here: a run of such objects, decoded into one typed list and back. Not here: single objects (`fast.py`), what
is put in place of a value (`replace.py`).

Every value of every item is replaced, so each microsecond per item counts: decoding a Secret takes six. What a typed
list cannot hold (an unknown field, a value that is no string) is not taken, and the items are masked one by one.
"""

from __future__ import annotations

from itertools import chain, compress
from operator import attrgetter
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from pratique.masking.fast import RawMasker, is_gone
from pratique.masking.hits import Hits
from pratique.masking.known import MAX_VALUES
from pratique.masking.plan import PathRule, Plan, remembered
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
_METADATA_OF, _TYPE_OF = attrgetter("metadata"), attrgetter("type")
_METADATA = {field.encode_name: field.name for field in msgspec.structs.fields(Metadata)}
_REMEMBERED = 256  # combinations of keys; they come from the cluster, so they are bounded
_COPIES = ("annotations", "labels")
"""Of the metadata, where a value may be seen again; the rest names the object."""


@remembered
def fits(plan: Plan) -> bool:
    """All that the plan masks are the values of `data` and `stringData`, and parts of the metadata."""
    return bool(plan.values) and plan.values <= _VALUES.keys() and set(plan.nodes or ()) <= {*plan.values, "metadata"}


class _Layout:
    """Where a plan that `fits` has something to do in an item."""

    def __init__(self, plan: Plan) -> None:
        nodes = plan.nodes or {}
        each = {name: node.each.whole[0] for name, node in nodes.items() if name in _VALUES and node.each is not None}
        self.entries = [(_VALUES[name], attrgetter(_VALUES[name]), entry) for name, entry in each.items()]
        self.metadata = node = nodes.get("metadata")
        children = node.children if node is not None else {}
        dropped = {
            _METADATA[name]: child.whole[0].rule.id
            for name, child in children.items()
            if name in _METADATA and child.whole and child.whole[0].rule.as_ == "drop"
        }
        self.dropped = [(name, attrgetter(name), rule) for name, rule in dropped.items()]
        """Fields of the metadata that are gone, whatever they hold, and the rule that says so."""
        named = _METADATA if node is not None and node.each is not None else children
        rest = {_METADATA[name] for name in named if name in _METADATA} - dropped.keys() | set(_COPIES)
        self.rest = [attrgetter(name) for name in sorted(rest)]
        """The others in which a rule has something to do, or a value may be seen again."""


@remembered
def _layout(plan: Plan) -> _Layout:
    return _Layout(plan)


class _Column(NamedTuple):
    """The values under one name: the items that have some, their maps, and the least length of a value."""

    name: str
    entry: PathRule
    holders: list[Item]
    maps: list[dict[str, str]]
    shortest: int

    def last(self) -> list[str]:
        """As many of the values as are remembered, or more."""
        place, count = len(self.maps), 0
        while place and count < MAX_VALUES:
            place -= 1
            count += len(self.maps[place])
        return list(chain.from_iterable(map(dict.values, self.maps[place:])))


class ValuesMasker:
    """For the items of one list whose plan `fits`."""

    def __init__(self, plan: Plan, replacer: Replacer, raw: RawMasker, hits: Hits) -> None:
        self._plan = plan
        self._layout = layout = _layout(plan)
        self._masked: dict[str, dict[tuple[str, ...], Raw]] = {name: {} for name, _, _ in layout.entries}
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
        for name, of, entry in self._layout.entries:
            holders = list(compress(items, map(of, items)))
            if not holders:
                continue
            maps: list[dict[str, str]] = list(map(of, holders))
            shortest = self._replacer.shortest(
                map(dict.values, maps), encoded=entry.encoded, keep_certificates=entry.rule.keep_certificates
            )
            if shortest is None:
                return None
            columns.append(_Column(name, entry, holders, maps, shortest))
        return columns

    def _together(self, items: list[Item], columns: list[_Column]) -> list[Item] | list[Item | Raw]:
        for column in columns:
            name, entry, holders, maps, _ = column
            count, memory = sum(map(len, maps)), self._masked[name]
            mask = self._replacer.mask_all(column.last(), entry.rule.id, encoded=entry.encoded, count=count)
            for item, keys in zip(holders, map(tuple, maps), strict=True):
                setattr(item, name, memory.get(keys) or self._remembered(memory, keys, mask))
        described: list[Metadata] = list(filter(None, map(_METADATA_OF, items)))
        self._drop(described)
        shortest = min([column.shortest for column in columns], default=0)
        # A value that is twice as long as what is left cannot be in it (`RawMasker.echoes_in`).
        short = shortest <= 2 * max(map(len, filter(None, map(_TYPE_OF, items))), default=0)
        rest = self._layout.rest
        if not short and not any([any(map(of, described)) for of in rest]):  # noqa: C419 - faster
            return items
        closely = {
            id(item): index
            for index, item in enumerate(items)
            if short or (item.metadata is not UNSET and any(of(item.metadata) for of in rest))
        }
        return self._each(items, closely, columns)

    @staticmethod
    def _remembered(memory: dict[tuple[str, ...], Raw], keys: tuple[str, ...], mask: str) -> Raw:
        """A map with masks under these keys, as JSON: many Secrets have the same ones."""
        if len(memory) >= _REMEMBERED:
            memory.clear()
        made = memory[keys] = Raw(msgspec.json.encode(dict.fromkeys(keys, mask)))
        return made

    def _each(self, items: list[Item], closely: dict[int, int], columns: list[_Column]) -> list[Item | Raw]:
        """Items of which some (by `id`: their index) have to be looked at closely, and what was in them."""
        seen: dict[int, list[str]] = {index: [] for index in closely.values()}
        for column in columns:
            for item, values in zip(column.holders, column.maps, strict=True):
                if id(item) in closely:
                    seen[closely[id(item)]] += values.values()
        shown: list[Item | Raw] = list(items)
        for index, texts in seen.items():
            self._replacer.seen = texts
            shown[index] = self._closely(items[index])
        return shown

    def _drop(self, described: list[Metadata]) -> None:
        for name, of, rule in self._layout.dropped:
            dropped = list(compress(described, map(of, described)))
            for metadata in dropped:
                setattr(metadata, name, UNSET)
            if dropped:
                self._hits.count(rule, len(dropped))

    # --- one item ---

    def _item(self, item: Item) -> Item | Raw:
        replacer = self._replacer
        replacer.seen = []
        for _, of, entry in self._layout.entries:
            values = of(item)
            if values:
                replacer.replace_values(
                    values, entry.rule.id, encoded=entry.encoded, keep_certificates=entry.rule.keep_certificates
                )
        self._drop([] if item.metadata is UNSET else [item.metadata])
        return self._closely(item)

    def _closely(self, item: Item) -> Item | Raw:
        """The metadata, and the values that are shown a second time."""
        metadata, node = item.metadata, self._layout.metadata
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
