r"""The commonest finds of the rules with key names, masked in the raw bytes: nothing is decoded but the value.

Belongs here: `"password":"…"`, and `{"name":"DB_PASSWORD","value":"…"}` of an environment. Not here: everything else
(None: the map or list around the find is decoded, `fast.py`).

A `"` that a `:` follows ends a key, in JSON without spaces: inside a string it would be `\"`. So what stands behind it
is the key's value, and what stands before it, back to the quote before, is the key's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from pratique.masking.keys import KeyNames
from pratique.masking.locate import Span

_STRING = re.compile(rb'"([^"\\]*)"')
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


def find_edits(text: bytes, spans: Sequence[Span], keys: Sequence[KeyNames]) -> list[Edit] | None:
    """What the rules do at `spans` (finds of their hints in `text`, in order); None if one of them is none of these."""
    edits: list[Edit] = []
    masked = referred = 0  # where the last value, and the last entry without a value, end
    for start, end in spans:
        quoted = text[start] == _QUOTE
        if start < masked or (start < referred and quoted):
            continue
        if not quoted:
            edit = _keyed(text, start, end, keys) if text[end - 2 : end] == b':"' else None
            if edit is None:
                return None
        else:
            opening = text.rfind(b"{", 0, start)
            pair = _PAIR.match(text, opening)
            reference = None if pair else _REFERENCE.match(text, opening)
            if reference and reference.end() >= end:
                referred = reference.end()
                continue
            if not pair or pair.start() + 1 != start:
                return None
            edit = Edit(pair.start(2) - 1, pair.end(2) + 1, pair[2], _rule(pair[1], keys))
        if edit.rule >= 0:
            edits.append(edit)
            masked = edit.end
    return edits


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
    return next((index for index, names in enumerate(keys) if names.matches(text)), -1)
