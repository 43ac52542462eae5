r"""The commonest finds of the rules with key names, masked in the raw bytes: nothing is decoded but the value.

Belongs here: `"password":"…"`, and `{"name":"DB_PASSWORD","value":"…"}` of an environment. Not here: everything else
(None: the map or list around the find is decoded, `fast.py`).

A `"` that a `:` follows ends a key, in JSON without spaces: inside a string it would be `\"`. So what stands behind it
is the key's value, and what stands before it, back to the quote before, is the key's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pratique.masking.keys import KeyNames
from pratique.masking.locate import Span

_STRING = re.compile(rb'"([^"\\]*)"')
_NAMED = re.compile(rb'"(?:name|key)":"([^"\\]*)"')
# An entry of an environment, whole.
_PAIR = re.compile(rb'\{"name":"([^"\\]*)","value":"([^"\\]*)"\}')
# One whose value comes from elsewhere, and the reference alone: there is no value in it.
_NAME = rb'"(?:name|key|fieldPath|apiVersion|resource|containerName|divisor)":"[^"\\]*"'
_REFERENCE = re.compile(
    rb'\{(?:"name":"[^"\\]*","valueFrom":\{"[A-Za-z]{1,32}":\{(?:' + _NAME + rb'|"optional":(?:true|false)|,){1,8}\}\}|'
    rb'"name":"[^"\\]*","key":"[^"\\]*"(?:,"optional":(?:true|false))?)\}'
)


class Edit(NamedTuple):
    """`text[start:end]` is a string with its quotes, `value` what it says, `rule` the index of the key names."""

    start: int
    end: int
    value: bytes
    rule: int


def find_edits(
    text: bytes, spans: Sequence[Span], keys: Sequence[KeyNames], ordinary: Callable[[bytes], bool]
) -> list[Edit] | None:
    """What the rules do at `spans` (finds of their hints in `text`, in order); None if one of them is none of these.

    `ordinary(name)`: no pattern would find anything in the name of a pair. (A find of the name may cover another.)
    """
    edits: list[Edit] = []
    masked = referred = 0  # where the last value, and the last entry without a value, end
    for start, end in spans:
        if start < masked:
            continue
        if text[start] != _QUOTE:
            edit = _keyed(text, start, end, keys) if text[end - 2 : end] == b':"' else None
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
            edit = _paired(text, opening, start, keys)
        if edit is None:
            return None
        if edit.rule >= 0:
            edits.append(edit)
            masked = edit.end
    return edits


def _paired(text: bytes, opening: int, start: int, keys: Sequence[KeyNames]) -> Edit | None:
    pair = _PAIR.match(text, opening)
    if pair is None or opening + 1 != start:
        return None
    return Edit(pair.start(2) - 1, pair.end(2) + 1, pair[2], _rule(pair[1], keys))


_QUOTE = ord('"')


def _keyed(text: bytes, start: int, end: int, keys: Sequence[KeyNames]) -> Edit | None:
    close = end - len('":"')
    opening = text.rfind(b'"', 0, close)
    value = _STRING.match(text, end - 1)
    if value is None or opening >= start or opening < 1 or b"\\" in text[opening - 1 : close]:
        return None
    return Edit(value.start(), value.end(), value[1], _rule(text[opening + 1 : close], keys))


def _rule(name: bytes, keys: Sequence[KeyNames]) -> int:
    text = name.decode("utf-8", "replace")
    for index, names in enumerate(keys):
        if names.matches(text):
            return index
    return -1
