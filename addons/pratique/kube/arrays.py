r"""The long array of a List or a Table, taken apart in place: no element is decoded that nobody asks for.

Belongs here: where the elements are. Not here: which of them are looked at (`pieces.py`), what they are (`objects.py`).

An array of 20 MB decoded at once holds Python's only thread for a quarter of a second, and three copies in memory. So
elements are cut where a server that writes no spaces begins the next one (`},{"metadata":`), and each piece is
proved to be one JSON object. JSON has one reading: if head, pieces and tail are each well-formed and nothing but
commas is between them, they are the document. Whatever does not fit (spaces, a nested array of the same look) gives
None or NotInPlaceError, and the caller decodes as usual.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import Raw

# Bytes in which the array must begin: columns of a Table come before its rows (20 columns with descriptions: 6 KB).
_HEAD = 65_536
# Bytes after the array: `metadata` of lists of custom resources, whose fields are sorted.
_TAIL = 4096
# Bytes of elements that are handed over at once: less than a millisecond's work.
RUN = 131_072
# Longest name of an element's first field.
_FIRST_NAME = 64
# An element may hold what looks like the beginning of the next one; more often than this it is decoded as usual.
_JOINS = 8

# A letter that is escaped, which no API server does.
_HIDDEN = re.compile(rb"\\u00[4-7]")
FIELDS = msgspec.json.Decoder(dict[str, Raw])

type Span = tuple[int, int]
type Fields = dict[str, Raw]
"""Top-level fields, undecoded."""


class NotInPlaceError(Exception):
    """The array is not written as expected. Not an error of the document: decode it as usual."""


class Array(NamedTuple):
    """`body[start:stop]` are the elements with commas between them; `rest` the other fields of the document."""

    body: bytes
    start: int
    stop: int
    rest: Fields


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


def _object(text: bytes, mark: bytes) -> Fields | None:
    """Its fields; None if `text` is no object, or one in which a name may be spelt in another way or stand twice."""
    if _HIDDEN.search(text) or text.count(mark) > 1:
        return None
    try:
        return FIELDS.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def elements(array: Array) -> Iterator[tuple[int, int, Fields]]:
    """(start, end, fields) of each element, in order. NotInPlaceError if they cannot be told apart."""
    body, start, stop, _ = array
    separator = separator_of(array)
    view = memoryview(body)
    while start < stop:
        for end in ends_of(body, start, stop, separator):
            try:
                fields = FIELDS.decode(view[start:end])
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                continue  # inside the element
            break
        else:
            raise NotInPlaceError
        yield start, end, fields
        start = end + 1


def groups(array: Array, size: int = RUN) -> Iterator[Span]:
    """(start, end) of runs of elements of about `size` bytes, in order. Not proved: an end may be inside an element."""
    body, start, stop, _ = array
    separator = separator_of(array)
    while start < stop:
        end = run_from(body, start, stop, separator, size)
        yield start, end
        start = end + 1


def run_from(body: bytes, start: int, stop: int, separator: bytes, size: int = RUN) -> int:
    """Where the run that begins at `start` ends."""
    if stop - start <= size:
        return stop
    place = body.rfind(separator, start, start + size)
    place = body.find(separator, start + size, stop) if place < 0 else place
    return place + 1 if place >= 0 else stop


def separator_of(array: Array) -> bytes:
    """`},` and the beginning of the first element up to its first name; b"" for no elements. NotInPlaceError."""
    body, start, stop, _ = array
    if start == stop:
        return b""
    first = body.find(b":", start, start + _FIRST_NAME)
    separator = b"}," + body[start : first + 1]
    if first < 0 or not separator.startswith(b'},{"'):
        raise NotInPlaceError
    return separator


def ends_of(body: bytes, start: int, stop: int, separator: bytes) -> Iterator[int]:
    """Where the element at `start` may end, nearest first."""
    place = start
    for _ in range(_JOINS):
        place = body.find(separator, place + 1, stop)
        yield place + 1 if place >= 0 else stop
        if place < 0:
            return
