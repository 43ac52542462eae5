"""The elements of a long array that somebody has to look at, cut out in place.

Belongs here: which elements these are, and that all others are proved to need nothing. Not here: where the array is
(`arrays.py`), what an element is (`objects.py`).

Where few elements hold something, each of them is cut alone, between runs that are checked as they are. Where many do,
a run is cut at once (`alike.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import msgspec

from pratique.kube.alike import Alike, Cut, Holds, behind_metadata
from pratique.kube.arrays import (
    FIELDS,
    Array,
    Fields,
    NotInPlaceError,
    Span,
    elements,
    ends_of,
    run_from,
    separator_of,
)

# A run is cut at once where it has a find for so many elements of the size of the first one: to cut one of them alone
# takes about as long.
_DENSE = 6

type Check = Callable[[memoryview], bool]
"""Given a run of elements in which nothing was found, with commas between them: False if one of them has to be looked
at all the same, msgspec.MsgspecError if they are no objects."""


class Piece(msgspec.Struct, frozen=True, gc=False):
    """The element `body[start:end]`, and what was found in it (None: nobody looked).

    `fields`: None where it is known to be of a kind that `Holds` says. `behind`: where what follows its metadata
    begins (all of it, without metadata); None if it is not told.
    """

    start: int
    end: int
    fields: Fields | None
    found: list[Span] | None
    behind: int | None = None


def touched(array: Array, spans: Iterator[Span] | None, check: Check, holds: Holds | None) -> Iterator[list[Piece]]:
    """The elements in which `spans` (in order) are, and all that `check` does not pass. NotInPlaceError.

    In every element of several at once something was found.
    """
    if spans is None:
        yield from _each(array, None)
        return
    finds, separator, start = _Finds(spans), separator_of(array), array.start
    together = None if holds is None else _Together.of(array, holds)
    while start < array.stop:
        end = run_from(array.body, start, array.stop, separator)
        pieces = together.cut(start, end, finds) if together is not None else []
        if pieces:
            yield pieces
            start = end + 1
            continue
        pieces = list(_alone(array, start, end, separator, finds))
        gaps = _gaps(start, end, pieces)
        if not all(_passes(array.body, gap, check) for gap in gaps):
            yield from _each(array._replace(start=start), finds, pieces)
            return
        if pieces:
            yield pieces
        start = (pieces[-1].end if pieces else end) + 1


class _Together:
    """Cuts runs of elements that are like the first one of their array, as long as they are."""

    def __init__(self, alike: Alike, size: int) -> None:
        self._alike: Alike | None = alike
        self._size = size

    @staticmethod
    def of(array: Array, holds: Holds) -> _Together | None:
        try:
            first = next(elements(array), None)
        except NotInPlaceError:
            return None
        if first is None or not Alike.suits(first[2]):
            return None
        return _Together(Alike(array.body, array.start, first[2], holds), first[1] - first[0])

    def cut(self, start: int, end: int, finds: _Finds) -> list[Piece]:
        """Of the run `start` to `end`, the elements in which something is; none if they are to be cut alone."""
        alike = self._alike
        if alike is None or finds.count(end) * _DENSE * self._size < end - start:
            return []
        try:
            cut = alike.cut(start, end)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            cut = None
        if cut is None:
            self._alike = None
            return []
        return _pieces(alike, cut, finds.before(end))


def _pieces(alike: Alike, cut: Cut, found: list[Span]) -> list[Piece]:
    """The elements in which something was found."""
    starts, index, stop = cut.starts, -1, -1
    pieces: list[Piece] = []
    inside: list[Span] = []
    for span in found:
        place = span[0]
        if place >= stop:
            while place >= stop:
                index += 1
                stop = starts[index + 1]
            inside = []
            pieces.append(Piece(starts[index], stop - 1, None, inside, alike.behind(cut, index)))
        inside.append(span)
    return pieces


def _alone(array: Array, start: int, end: int, separator: bytes, finds: _Finds) -> Iterator[Piece]:
    """The elements between `start` and `end` in which something was found, cut one by one."""
    body, view = array.body, memoryview(array.body)
    while (hit := finds.next) is not None and hit[0] < end:
        place = body.rfind(separator, start, hit[0] + 1)
        begin = place + len("},") if place >= 0 else start
        for stop in ends_of(body, max(begin, hit[0]), array.stop, separator):
            try:
                fields = FIELDS.decode(view[begin:stop])
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                continue
            break
        else:
            raise NotInPlaceError
        yield Piece(begin, stop, fields, finds.before(stop), behind_metadata(body, begin, fields))
        start = stop + 1


def _gaps(start: int, end: int, pieces: Sequence[Piece]) -> Iterator[Span]:
    """What lies between pieces, or all of it; what lies behind the last piece belongs to the next run."""
    for piece in pieces:
        if piece.start - 1 > start:
            yield start, piece.start - 1
        start = piece.end + 1
    if not pieces:
        yield start, end


def _passes(body: bytes, run: Span, check: Check) -> bool:
    try:
        return check(memoryview(body)[run[0] : run[1]])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False


def _each(array: Array, finds: _Finds | None, pieces: Sequence[Piece] = ()) -> Iterator[list[Piece]]:
    """Every element. `pieces` were cut already: their finds are gone from `finds`."""
    taken = deque(span for piece in pieces for span in piece.found or ())
    for start, end, fields in elements(array):
        found = None
        if finds is not None:
            found = _taken(taken, end) + finds.before(end)
        yield [Piece(start, end, fields, found, behind_metadata(array.body, start, fields) if found else None)]


class _Finds:
    """Spans, handed out element by element."""

    def __init__(self, spans: Iterator[Span]) -> None:
        self._spans = spans
        self._ahead: deque[Span] = deque()
        """Those that were looked for and not handed out yet: the last one may be far away."""

    @property
    def next(self) -> Span | None:
        """The next one that is handed out."""
        if not self._ahead:
            self._look(0)
        return self._ahead[0] if self._ahead else None

    def count(self, end: int) -> int:
        """How many are waiting before `end`."""
        self._look(end)
        ahead = self._ahead
        return len(ahead) - (1 if ahead and ahead[-1][0] >= end else 0)

    def before(self, end: int) -> list[Span]:
        """Those before `end` that were not handed out yet."""
        self._look(end)
        return _taken(self._ahead, end)

    def _look(self, end: int) -> None:
        """Until one is at `end` or behind it."""
        if self._ahead and self._ahead[-1][0] >= end:
            return
        for span in self._spans:
            self._ahead.append(span)
            if span[0] >= end:
                return


def _taken(spans: deque[Span], end: int) -> list[Span]:
    """Those before `end`, which are in `spans` no more."""
    taken: list[Span] = []
    while spans and spans[0][0] < end:
        taken.append(spans.popleft())
    return taken
