"""Where in raw JSON a rule that looks at any depth has something to do.

Belongs here: from byte offsets to the smallest maps and lists around them, so that only those are decoded. Not here:
what is looked for (`plan.py`), what is done there (`document.py`).

Offsets are exact where JSON is written without spaces, as API servers do: then the lengths of the parts, which
msgspec finds without decoding them, add up to the length of the whole. Where they do not, the answer is None.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import accumulate

import msgspec
from msgspec import Raw

# Bytes below which a map or list is decoded whole: going further down costs more.
_SMALL = 384
# Levels that are gone down: each reads what is below it once more.
_LEVELS = 24
_MAP = ord("{")
_NESTED = b"{["
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ITEMS = msgspec.json.Decoder(list[Raw])

type Span = tuple[int, int]


def containers(text: bytes | memoryview, hits: Sequence[int]) -> list[Span] | None:
    """Disjoint spans, in order, of the smallest maps or lists of `text` (itself one) that hold the offsets `hits`.

    A map holds its keys and the strings and numbers beside them, a list its strings and numbers; what lies in a child
    is the child's. None if `text` is not written without spaces, or too deep for this Python: all of it is decoded then.
    """
    view = memoryview(text)
    found: list[Span] = []
    stack: list[tuple[int, int, int, Sequence[int]]] = [(0, 0, len(view), hits)]
    while stack:
        level, start, end, inside = stack.pop()
        if end - start <= _SMALL or level == _LEVELS:
            found.append((start, end))
            continue
        try:
            children = _children(view[start:end], start)
        except RecursionError:  # Python 3.12 allows msgspec fewer levels than 3.13
            return None
        if children is None:
            return None
        below = _sorted_into(children, inside, view)
        if below is None:
            found.append((start, end))
        else:
            stack += [(level + 1, *child) for child in below]
    found.sort()
    return found


def _children(view: memoryview, offset: int) -> tuple[list[int], list[int]] | None:
    """Where the values of a map, or the items of a list, start and end. None if there are spaces."""
    if view[0] == _MAP:
        fields = _FIELDS.decode(view)
        if not all(map(str.isascii, fields)):
            return None
        lengths = list(map(len, fields.values()))
        steps = [len(name) + length + len('"":,') for name, length in zip(fields, lengths, strict=True)]
    else:
        lengths = list(map(len, _ITEMS.decode(view)))
        steps = [length + len(",") for length in lengths]
    ends = list(accumulate(steps, initial=offset))[1:]
    if not ends or ends[-1] + len("}") != offset + len(view):
        return None
    return [end - length for end, length in zip(ends, lengths, strict=True)], ends


def _sorted_into(
    children: tuple[list[int], list[int]], hits: Sequence[int], view: memoryview
) -> list[tuple[int, int, Sequence[int]]] | None:
    """Each child that is a map or list, with the hits in it; None if a hit is in none of them."""
    starts, ends = children
    below: dict[int, list[int]] = {}
    for hit in hits:
        index = bisect.bisect_right(starts, hit) - 1
        if index < 0 or hit >= ends[index] or view[starts[index]] not in _NESTED:
            return None
        below.setdefault(index, []).append(hit)
    return [(starts[index], ends[index], inside) for index, inside in below.items()]
