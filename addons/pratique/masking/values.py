"""Lists of objects that are nothing but values (Secrets): runs of them at once.

Belongs here: a run of such objects, decoded into one typed list and back. Not here: single objects (`fast.py`), what
is put in place of a value (`replace.py`).

Every value of every item is replaced, so each microsecond per item counts: decoding a Secret takes six. What a typed
list cannot hold (an unknown field, a value that is no string) is not taken, and the items are masked one by one.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from pratique.masking.fast import RawMasker, merged
from pratique.masking.hits import Hits
from pratique.masking.plan import Plan
from pratique.masking.replace import Replacer

_SECRET = b'"Secret"'


class Item(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A Secret, in the order in which API servers write it. Values are text, the rest is as it came."""

    kind: Raw | UnsetType = UNSET
    api_version: Raw | UnsetType = UNSET
    metadata: dict[str, Raw] | UnsetType = UNSET
    immutable: Raw | UnsetType = UNSET
    data: dict[str, str] | UnsetType = UNSET
    string_data: dict[str, str] | UnsetType = UNSET
    type: Raw | UnsetType = UNSET


_DECODER = msgspec.json.Decoder(list[Item])
_VALUES = {"data": "data", "stringData": "string_data"}


def fits(plan: Plan) -> bool:
    """All that the plan masks are the values of `data` and `stringData`, and parts of the metadata."""
    return bool(plan.values) and plan.values <= _VALUES.keys() and set(plan.nodes or ()) <= {*plan.values, "metadata"}


class ValuesMasker:
    """For the items of one list whose plan `fits`."""

    def __init__(self, plan: Plan, replacer: Replacer, raw: RawMasker, hits: Hits) -> None:
        nodes = plan.nodes or {}
        each = {name: node.each.whole[0] for name, node in nodes.items() if name in _VALUES and node.each is not None}
        self._entries = [(_VALUES[name], entry) for name, entry in each.items()]
        self._plan = plan
        self._metadata = nodes.get("metadata")
        self._replacer = replacer
        self._raw = raw
        self._hits = hits

    def masked(self, text: bytes) -> bytes | None:
        """Items with commas between them, masked; None if they do not fit."""
        try:
            items = _DECODER.decode(b"[" + text + b"]")
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None
        if any(item.kind is not UNSET and bytes(item.kind) != _SECRET for item in items):
            return None
        before = self._hits.total
        shown = [self._item(item) for item in items]
        return msgspec.json.encode(shown)[1:-1] if self._hits.total > before else text

    def _item(self, item: Item) -> Item | Raw:
        replacer = self._replacer
        replacer.seen = []
        for name, entry in self._entries:
            values = getattr(item, name)
            if values:
                replacer.replace_values(
                    values, entry.rule.id, encoded=entry.encoded, keep_certificates=entry.rule.keep_certificates
                )
        metadata, node = item.metadata, self._metadata
        if node is not None and metadata:
            changed = self._raw.children(node, metadata, self._plan)
            if changed:
                item.metadata = metadata = merged(metadata, changed)
        if replacer.seen and (found := self._raw.echoes_in(_unnamed(item))):
            return self._raw.without(Raw(msgspec.json.encode(item)), found)
        return item


def _unnamed(item: Item) -> bytes:
    """Where a value may be seen again: not in the values, which are masked, nor in names."""
    parts = [item.type] if item.type else []
    if item.metadata:
        parts += [item.metadata[name] for name in ("annotations", "labels") if name in item.metadata]
    return b"\n".join(parts)
