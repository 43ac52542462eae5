"""Objects that need no more than the rules for the request's type: told by their heads, many at once.

Belongs here: which elements of a list, and which events of a watch, are neither an envelope nor of another type with
rules of its own. Not here: what is done with the others (`objects.py`).

Every byte is read here once and proved to be JSON; nothing but the head of an object is made into a Python value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

# Kinds that say nothing about the type: the URL does.
GENERIC_KINDS = frozenset(
    {"", "Status", "Table", "List", "PartialObjectMetadata", "PartialObjectMetadataList", "WatchEvent", "Scale"}
)
# Fields of a document without a kind that make it an envelope.
ENVELOPES = frozenset({"items", "rows", "object"})


class _Head(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """What of an object tells that it is none of the request's type. Anything in `items` and its like is too much."""

    kind: str | UnsetType = UNSET
    api_version: str | UnsetType = UNSET
    items: UnsetType | None = UNSET
    rows: UnsetType | None = UNSET
    object: UnsetType | None = UNSET


class _Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event of a watch, and nothing else."""

    type: Raw
    object: _Head


_HEADS = msgspec.json.Decoder(list[_Head])
_EVENT = msgspec.json.Decoder(_Event)
_ERRORS = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
# Kinds that are remembered. One type has one or two; they come from the cluster, so they are bounded.
_REMEMBERED = 256


class PlainKinds:
    """`foreign(apiVersion, kind)`: whether objects of a kind need more than those of the request's type."""

    def __init__(self, foreign: Callable[[str, str], bool]) -> None:
        self._foreign = foreign
        self._known: dict[tuple[str, str], bool] = {}

    def holds(self, version: str, kind: str) -> bool:
        """An object of the request's own type, or of a type with no other rules: no envelope."""
        known = self._known.get((version, kind))
        if known is None:
            envelope = kind in GENERIC_KINDS or kind == "AdmissionReview" or kind.endswith("List")
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[version, kind] = not envelope and not self._foreign(version, kind)
        return known

    def all(self, run: bytes | memoryview) -> bool:
        """Whether elements, with commas between them, are such objects. msgspec.MsgspecError if they are no JSON.

        False as well where a head is not of the usual types: somebody else has to look.
        """
        return all(map(self._is, set(_HEADS.decode(b"".join([b"[", run, b"]"])))))

    def event(self, line: bytes | memoryview) -> bool:
        """Whether a line is the JSON of one event of such an object, and nothing else."""
        try:
            return self._is(_EVENT.decode(line).object)
        except _ERRORS:
            return False

    def _is(self, head: _Head) -> bool:
        if head.items is not UNSET or head.rows is not UNSET or head.object is not UNSET:
            return False
        return head.kind is UNSET or self.holds(_text(head.api_version), head.kind)


def _text(value: Any) -> str:
    return "" if value is UNSET else value
