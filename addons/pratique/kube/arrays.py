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
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
type Span = tuple[int, int]


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


def elements(array: Array) -> Iterator[tuple[int, int, dict[str, Raw]]]:
    """(start, end, fields) of each element, in order. NotInPlaceError if they cannot be told apart."""
    body, start, stop, _ = array
    separator = _separator(array)
    view = memoryview(body)
    while start < stop:
        for end in _ends(body, start, stop, separator):
            try:
                fields = _FIELDS.decode(view[start:end])
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
    separator = _separator(array)
    while start < stop:
        place = body.rfind(separator, start, start + size) if stop - start > size else stop - 1
        place = body.find(separator, start + size, stop) if place < 0 else place
        end = place + 1 if place >= 0 else stop
        yield start, end
        start = end + 1


class Piece(NamedTuple):
    """The element `body[start:end]`, and what was found in it (None: nobody looked)."""

    start: int
    end: int
    fields: dict[str, Raw]
    found: list[Span] | None


def touched(array: Array, spans: Iterator[Span] | None, check: Callable[[bytes], bool]) -> Iterator[Piece]:
    """The elements in which `spans` (in order) are, and all that `check` does not pass. NotInPlaceError.

    `check` is given runs of elements in which nothing was found, with commas between them: False if one of them has to
    be looked at all the same, msgspec.MsgspecError if they are no objects.
    """
    finds = _Finds(spans)
    if spans is None:
        yield from _each(array, finds)
        return
    start, separator = array.start, _separator(array)
    while start < array.stop:
        piece = _next(array, start, separator, finds)
        end = array.stop if piece is None else piece.start - 1
        if end > start and not all(
            _passes(array.body, run, check) for run in groups(Array(array.body, start, end, {}))
        ):
            yield from _each(array._replace(start=start), finds, piece)
            return
        if piece is not None:
            yield piece
        start = array.stop if piece is None else piece.end + 1


def _next(array: Array, start: int, separator: bytes, finds: _Finds) -> Piece | None:
    """The next element in which something was found, if it can be told where it is."""
    hit = finds.next
    if hit is None:
        return None
    body = array.body
    place = body.rfind(separator, start, hit[0] + 1)
    begin = place + len("},") if place >= 0 else start
    for end in _ends(body, max(begin, hit[0]), array.stop, separator):
        try:
            fields = _FIELDS.decode(memoryview(body)[begin:end])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            continue
        return Piece(begin, end, fields, finds.before(end))
    raise NotInPlaceError


def _passes(body: bytes, run: Span, check: Callable[[bytes], bool]) -> bool:
    try:
        return check(body[run[0] : run[1]])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False


def _each(array: Array, finds: _Finds, piece: Piece | None = None) -> Iterator[Piece]:
    """Every element. `piece` was cut already: its finds are gone from `finds`."""
    taken = piece.found or [] if piece is not None else []
    for start, end, fields in elements(array):
        found = finds.before(end)
        if found is not None:
            found = [span for span in taken if start <= span[0] < end] + found
        yield Piece(start, end, fields, found)


class _Finds:
    """Spans, handed out element by element."""

    def __init__(self, spans: Iterator[Span] | None) -> None:
        self._spans = spans
        self.next = next(spans, None) if spans is not None else None

    def before(self, end: int) -> list[Span] | None:
        """Those before `end` that were not handed out yet; None if nobody looked."""
        if self._spans is None:
            return None
        found: list[Span] = []
        while self.next is not None and self.next[0] < end:
            found.append(self.next)
            self.next = next(self._spans, None)
        return found


def _separator(array: Array) -> bytes:
    """`},` and the beginning of the first element up to its first name; b"" for no elements. NotInPlaceError."""
    body, start, stop, _ = array
    if start == stop:
        return b""
    first = body.find(b":", start, start + _FIRST_NAME)
    separator = b"}," + body[start : first + 1]
    if first < 0 or not separator.startswith(b'},{"'):
        raise NotInPlaceError
    return separator


def _ends(body: bytes, start: int, stop: int, separator: bytes) -> Iterator[int]:
    """Where the element at `start` may end, nearest first."""
    place = start
    for _ in range(_JOINS):
        place = body.find(separator, place + 1, stop)
        yield place + 1 if place >= 0 else stop
        if place < 0:
            return
