r"""Elements of a list that have the same fields, cut out and proved many at once.

Belongs here: where such elements begin, and where what follows their metadata begins. Not here: elements that differ
from the first one (`arrays.py` cuts them one by one), what a kind means (`plain.py`).

A run is decoded into structs that have the fields of the first element and no other, undecoded. What is written beside
the values (names, quotes, colons, commas, braces) has a length that is known, if nothing is there but that: spaces,
escapes, and fields that stand twice all make the text longer. So where the lengths add up to that of the run, each of
them is exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import accumulate, repeat
from operator import add, attrgetter
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from pratique.kube.arrays import FIELDS, Fields
from pratique.kube.plain import ENVELOPES

type Holds = Callable[[str, str], bool]
"""(apiVersion, kind): whether elements of it need no more than those of the request's type."""

# Decoded, since they say what an element is.
_NAMING = ("apiVersion", "kind")
_METADATA = b'"metadata":'
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:/@-]+\Z")
# Fields of an element; Kubernetes' own types have 18 at most (events).
_MAX_FIELDS = 24
# Combinations of names whose decoders are kept (some 10 KB each). They come from the cluster, so they are bounded.
_REMEMBERED = 64


class Cut(NamedTuple):
    """`starts`: where each element begins; one more is behind the last one and its comma. `metadata`: bytes of each."""

    starts: list[int]
    metadata: list[int]


class _Elements:
    """Those with the fields `names`."""

    def __init__(self, names: tuple[str, ...]) -> None:
        fields = {name: f"field{number}" for number, name in enumerate(names)}
        element = msgspec.defstruct(
            "Element",
            [(field, str if name in _NAMING else Raw) for name, field in fields.items()],
            rename={field: name for name, field in fields.items()},
            forbid_unknown_fields=True,
            gc=False,
        )
        self.decode: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[element]).decode  # type: ignore[valid-type]
        self.values = [attrgetter(field) for name, field in fields.items() if name not in _NAMING]
        self.naming = [attrgetter(fields[name]) for name in _NAMING if name in fields]
        self.version, self.kind = (attrgetter(fields[name]) if name in fields else None for name in _NAMING)
        self.metadata = [name for name in names if name not in _NAMING].index("metadata") if "metadata" in names else -1
        """Index in `values`; -1 for none."""
        quotes = sum(len('""') for name in names if name in _NAMING)
        self.around = len("{},") + quotes + sum(len(name) + len('"":,') for name in names) - len(",")


_known: dict[tuple[str, ...], _Elements] = {}


def _elements(names: tuple[str, ...]) -> _Elements:
    known = _known.get(names)
    if known is None:
        if len(_known) >= _REMEMBERED:
            _known.clear()
        known = _known[names] = _Elements(names)
    return known


class Alike:
    """Elements like the one that begins at `body[start]`, whose `fields` are known."""

    def __init__(self, body: bytes, start: int, fields: Fields, holds: Holds) -> None:
        self._body = body
        self._elements = _elements(tuple(fields))
        self._holds = holds
        behind = behind_metadata(body, start, fields)
        self._head = body[start : behind - len(fields.get("metadata", b""))] if behind is not None else b""
        """An element up to its metadata: most begin with the same bytes."""

    @staticmethod
    def suits(fields: Fields) -> bool:
        """Whether elements with such fields can be cut."""
        return (
            len(fields) <= _MAX_FIELDS
            and not fields.keys() <= set(_NAMING)
            and fields.keys().isdisjoint(ENVELOPES)
            and all(map(_PLAIN_NAME.match, fields))
        )

    def cut(self, start: int, end: int) -> Cut | None:
        """Of `body[start:end]`, elements with commas between them; None if one of them differs, or is not held.

        msgspec.MsgspecError if they are no such elements.
        """
        known = self._elements
        found = known.decode(b"".join([b"[", memoryview(self._body)[start:end], b"]"]))
        kinds = None
        if known.kind is not None:
            versions = map(known.version, found) if known.version is not None else repeat("")
            kinds = set(zip(versions, map(known.kind, found), strict=False))
            if not all(self._holds(*kind) for kind in kinds):
                return None
        lengths = [list(map(len, map(value, found))) for value in known.values]
        metadata, around = lengths[known.metadata] if known.metadata >= 0 else [], known.around
        if kinds is not None and len(kinds) == 1:
            around += sum(map(len, kinds.pop()))
        else:
            lengths += [list(map(len, map(value, found))) for value in known.naming]
        sums: Iterable[int] = repeat(around)
        for column in lengths:
            sums = map(add, column, sums)
        starts = list(accumulate(sums, initial=start))
        return Cut(starts, metadata) if starts[-1] == end + len(",") else None

    def behind(self, cut: Cut, index: int) -> int | None:
        """Where what follows the metadata of an element begins (all of it, without metadata); None if it is not told."""
        start, head = cut.starts[index], self._head
        if not cut.metadata:
            return start
        if head and self._body.startswith(head, start):
            return start + len(head) + cut.metadata[index]
        fields = FIELDS.decode(memoryview(self._body)[start : cut.starts[index + 1] - len(",")])
        return behind_metadata(self._body, start, fields)


def behind_metadata(body: bytes, start: int, fields: Fields) -> int | None:
    """Of the object with `fields` at `body[start:…]`; `start` if it has none, None if it is not written as expected.

    Fields of objects are sorted, or in the order of a struct: `apiVersion`, `kind` and few others come before it.
    """
    place = start + len("{")
    for name, field in fields.items():
        if name == "metadata":
            return place + len(_METADATA) + len(field) if body.startswith(_METADATA, place) else None
        place += len(name) + len(field) + len('"":,')
    return start
