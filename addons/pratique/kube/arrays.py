r"""The long array of a List or a Table, taken apart in place: no element is decoded that nobody asks for.

Belongs here: where the elements are. Not here: what they are (`objects.py`).

An array of 20 MB decoded at once holds Python's only thread for a quarter of a second, and three copies in memory. So
elements are cut where a server that writes no spaces begins the next one (`},{"metadata":`), and each piece is
proved to be one JSON object. JSON has one reading: if head, pieces and tail are each well-formed and nothing but
commas is between them, they are the document. Whatever does not fit (spaces, a nested array of the same look) gives
None or NotInPlaceError, and the caller decodes as usual.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

# Bytes in which the array must begin: columns of a Table come before its rows (20 columns with descriptions: 6 KB).
_HEAD = 65_536
# Bytes after the array: `metadata` of lists of custom resources, whose fields are sorted.
_TAIL = 4096
# Longest name of an element's first field.
_FIRST_NAME = 64
# An element may hold what looks like the beginning of the next one; more often than this it is decoded as usual.
_JOINS = 8

# A letter that is escaped, which no API server does.
_HIDDEN = re.compile(rb"\\u00[4-7]")
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
type Split = Callable[[memoryview], dict[str, Any]]


class NotInPlaceError(Exception):
    """The array is not written as expected. Not an error of the document: decode it as usual."""


class Array(NamedTuple):
    """`body[start:stop]` are the elements with commas between them; `rest` the other fields of the document."""

    body: bytes
    start: int
    stop: int
    rest: dict[str, Raw]


def find_array(body: bytes, name: str) -> Array | None:
    """The array in the top-level field `name`; None if it is not plainly there."""
    mark = f'"{name}"'.encode()
    opening = mark + b":["
    place = body.find(opening, 0, _HEAD)
    if place < 0:
        return None
    start = place + len(opening)
    head = _object(body[: start - 1] + b"null}", mark)
    if head is None:
        return None
    stop = len(body)
    for _ in range(_JOINS):
        stop = body.rfind(b"]", max(start, len(body) - _TAIL), stop)
        if stop < 0:
            return None
        tail = _object(b'{"":null' + body[stop + 1 :], mark)
        if tail is not None and mark not in body[stop:]:
            tail.pop("", None)
            head.pop(name)
            return Array(body, start, stop, {**head, **tail})
    return None


def _object(text: bytes, mark: bytes) -> dict[str, Raw] | None:
    """Its fields; None if `text` is no object, or one in which a name may be spelt in another way or stand twice."""
    if _HIDDEN.search(text) or text.count(mark) > 1:
        return None
    try:
        return _FIELDS.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def elements(array: Array, split: Split = _FIELDS.decode) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(start, end, fields) of each element, in order. NotInPlaceError if they cannot be told apart.

    `split` gives the fields of an object, or raises msgspec.MsgspecError if it is none.
    """
    body, start, stop, _ = array
    if start == stop:
        return
    view = memoryview(body)
    first = body.find(b":", start, start + _FIRST_NAME)
    separator = b"}," + body[start : first + 1]
    if first < 0 or not separator.startswith(b'},{"'):
        raise NotInPlaceError
    while start < stop:
        for end in _ends(body, start, stop, separator):
            try:
                fields = split(view[start:end])
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                continue  # inside the element
            break
        else:
            raise NotInPlaceError
        yield start, end, fields
        start = end + 1


def _ends(body: bytes, start: int, stop: int, separator: bytes) -> Iterator[int]:
    """Where the element at `start` may end, nearest first."""
    place = start
    for _ in range(_JOINS):
        place = body.find(separator, place + 1, stop)
        yield place + 1 if place >= 0 else stop
        if place < 0:
            return
