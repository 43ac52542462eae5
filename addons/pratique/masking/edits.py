r"""The commonest finds of the rules with key names, masked in the raw bytes: nothing is decoded but the value.

Belongs here: `"password":"…"`, and `{"name":"DB_PASSWORD","value":"…"}` of an environment. Not here: everything else
(None: the map or list around the find is decoded, `fast.py`).

A `"` that a `:` follows ends a key, in JSON without spaces: inside a string it would be `\"`. So what stands behind it
is the key's value, and what stands before it, back to the quote before, is the key's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pratique.masking.keys import KeyNames
from pratique.masking.locate import Span

_NAMED = re.compile(rb'"(?:name|key)":"([^"\\]*)"')
# An entry of an environment, whole.
_PAIR = re.compile(rb'\{"name":"([^"\\]*)","value":"([^"\\]*)"\}')
# One whose value comes from elsewhere, and the reference alone: there is no value in it.
_NAME = rb'"(?:name|key|fieldPath|apiVersion|resource|containerName|divisor)":"[^"\\]*"'
_REFERENCE = re.compile(
    rb'\{(?:"name":"[^"\\]*","valueFrom":\{"[A-Za-z]{1,32}":\{(?:' + _NAME + rb'|"optional":(?:true|false)|,){1,8}\}\}|'
    rb'"name":"[^"\\]*","key":"[^"\\]*"(?:,"optional":(?:true|false))?)\}'
)


type Edit = tuple[int, int, bytes, int]
"""(start, end, what it says, index of the key names): the string with its quotes at `text[start:end]`."""

_NONE = -1  # key names of a name that none matches
_QUOTE = ord('"')
_REMEMBERED = 4096  # names; they come from the cluster, so they are bounded


class Names:
    """The key names of some rules, with a memory of the names that they were asked for."""

    def __init__(self, keys: Sequence[KeyNames]) -> None:
        self._keys = keys
        self.known: dict[bytes, int] = {}
        """A name with its opening quote and the byte before that, and what `of` says."""

    def of(self, name: bytes) -> int:
        """The index of the key names that match; -1 for none."""
        text = name.decode("utf-8", "replace")
        for index, names in enumerate(self._keys):
            if names.matches(text):
                return index
        return _NONE

    def of_key(self, quoted: bytes) -> int | None:
        """Of what stands before the closing quote of a key; None if something is escaped there."""
        if b"\\" in quoted:
            return None
        found = self.of(quoted[2:])
        if len(self.known) >= _REMEMBERED:
            self.known = {}
        self.known[quoted] = found
        return found


def find_edits(
    text: bytes, spans: Sequence[Span], names: Names, ordinary: Callable[[bytes], bool]
) -> list[Edit] | None:
    """What the rules do at `spans` (finds of their hints in `text`, in order); None if one of them is none of these.

    An escape that may hide others is none of these.

    `ordinary(name)`: no pattern would find anything in the name of a pair. (A find of the name may cover another.)
    """
    edits: list[Edit] = []
    masked = referred = 0  # where the last value, and the last entry without a value, end
    for start, end in spans:
        if start < masked:
            continue
        if text[start] != _QUOTE:
            edit = _keyed(text, start, end, names) if text[end - 2 : end] == b':"' else None
        else:
            named = _NAMED.match(text, start)
            if named is None or not ordinary(named[1]):
                return None
            if start < referred:
                continue
            opening = text.rfind(b"{", 0, start)
            reference = _REFERENCE.match(text, opening)
            if reference is not None and reference.end() > start:
                referred = reference.end()
                continue
            edit = _paired(text, opening, start, names)
        if edit is None:
            return None
        if edit[3] != _NONE:
            edits.append(edit)
            masked = edit[1]
    return edits


def _paired(text: bytes, opening: int, start: int, names: Names) -> Edit | None:
    pair = _PAIR.match(text, opening)
    if pair is None or opening + 1 != start:
        return None
    return pair.start(2) - 1, pair.end(2) + 1, pair[2], names.of(pair[1])


def _keyed(text: bytes, start: int, end: int, names: Names) -> Edit | None:
    close = end - len('":"')
    opening, stop = text.rfind(b'"', 0, close), text.find(b'"', end)
    value = text[end:stop]
    if opening >= start or opening < 1 or stop < 0 or b"\\" in value:
        return None
    quoted = text[opening - 1 : close]
    rule = names.known.get(quoted)
    if rule is None and (rule := names.of_key(quoted)) is None:
        return None
    return end - 1, stop + 1, value, rule
