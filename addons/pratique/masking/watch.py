"""Masking of a watch: what arrives together is looked at together, event by event only where something is to be done.

Belongs here: `WatchStream`. Not here: framing (`pratique.kube.watch`), the masking of one document (`body.py`).
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import Raw

from pratique.errors import FramingError, MaskError
from pratique.kube.alike import behind_metadata
from pratique.kube.objects import Fields, columns_of, fields_of, rewrite_event
from pratique.kube.pieces import Piece
from pratique.kube.plain import PlainKinds
from pratique.kube.sink import spliced
from pratique.kube.watch import MAX_EVENT, EventLines
from pratique.masking.body import DocumentMasker, KnownMasker
from pratique.masking.hits import Hits
from pratique.masking.known import Index

if TYPE_CHECKING:
    from pratique.masking.masker import Scope

_TABLE = b'"Table"'


class WatchStream:
    """A complete event leaves at once, memory is one event and what arrived with it."""

    def __init__(self, scope: Scope, limit: int = MAX_EVENT) -> None:
        self._scope = scope
        self._lines = EventLines(limit)
        self._columns: tuple[str, ...] = ()
        self._document = DocumentMasker(scope)
        self._plain = PlainKinds(self._document.foreign)

    @property
    def hits(self) -> Hits:
        """What was masked so far."""
        return self._document.hits

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes, masked. MaskError."""
        try:
            block = self._lines.feed(data)
            return b"".join(self._masked(block)) if block else b""
        except FramingError as error:
            raise MaskError(f"the watch is {error}") from None

    @property
    def waits(self) -> bool:
        """Nothing waits that `flush` would show."""
        return False

    def flush(self) -> bytes:
        """Part of an event cannot be masked: it waits."""
        return b""

    def close(self) -> bytes:
        """The last event, if only its line end was missing. MaskError if it was cut."""
        rest = self._lines.close()
        try:
            return self._event(rest) if rest else b""
        except FramingError as error:
            raise MaskError(f"the watch ended inside an event: {error}") from None

    def _masked(self, block: bytes) -> Iterator[bytes]:
        """Lines with their ends; several that stay as they are come as one."""
        ends = _ends(block)
        starts, done = [0, *ends], 0
        touched, searched = self._touched(block, ends)
        for index in sorted(touched):
            start, end = starts[index], ends[index]
            if start > done:
                yield from self._without(self._scope.known.current(), block[done:start], searched)
            line = block[start : end - 1]
            if line.strip():
                yield self._event(line)
            done = end
        if done < len(block):
            yield from self._without(self._scope.known.current(), block[done:], searched)

    def _touched(self, block: bytes, ends: list[int]) -> tuple[set[int], Index | None]:
        """The lines that a rule may have something to do in, and those that are no plain event of the request's type.

        In the others no form of the known values is either, where these are given back.
        """
        plan, known = self._scope.plan, self._scope.known.current()
        if plan.eager or not plan.objects.knows:
            return set(range(len(ends))), None
        both = known.joined(plan.objects.expression) if plan.objects.expression else None
        finds = plan.objects.each(block, 0, len(block)) if both is None else (m.span() for m in both.finditer(block))
        view, starts = memoryview(block), [0, *ends]
        is_plain = self._plain.event
        touched = {index for index, end in enumerate(ends) if not is_plain(view[starts[index] : end - 1])}
        for start, end in finds:
            # One that goes on in the next line may cover another one there.
            touched.update(range(bisect.bisect_right(ends, start), bisect.bisect_left(ends, end) + 1))
        return touched, None if both is None else known

    def _event(self, line: bytes) -> bytes:
        known = self._scope.known.current()
        fields = fields_of(line)  # also the proof that the line is one JSON document
        if fields is None:
            raise FramingError("a watch event that is no object", self._lines.offset)
        if (shown := self._edited(line, fields)) is None:
            if _TABLE in line:
                self._columns = columns_of(fields) or self._columns
            shown = rewrite_event(line, fields, self._document, self._columns) or line
        return next(self._without(known, shown + b"\n"))

    def _edited(self, line: bytes, event: Fields) -> bytes | None:
        """A plain event with its values masked in place; None if they cannot be told without decoding more of it."""
        plan, inner = self._scope.plan, event.get("object", Raw(b""))
        start, end = len(line) - len(inner) - 1, len(line) - 1
        if not plan.edits or plan.eager or not plan.objects.knows or list(event) != ["type", "object"]:
            return None
        if start != len(event["type"]) + len('{"type":,"object":') or not self._plain.event(line):
            return None  # spaces, or an envelope
        spans = list(plan.objects.each(line, 0, len(line)))
        if not spans:
            return line
        behind = behind_metadata(line, start, fields_of(inner) or {})
        (changes,) = self._document.edits(line, [Piece(start, end, None, spans, behind)])
        return None if changes is None else spliced(line, changes)

    def _without(self, known: Index, lines: bytes, searched: Index | None = None) -> Iterator[bytes]:
        """Without the values that were known before: no event shows a value of an earlier one.

        `searched`: nothing of these is in `lines`.
        """
        if known is searched or not known.search(lines):
            yield lines
            return
        for line in lines.split(b"\n")[:-1]:
            masker = KnownMasker(self._scope, self.hits, known)
            yield (rewrite_event(line, fields_of(line) or {}, masker, self._columns) or line) + b"\n"


def _ends(block: bytes) -> list[int]:
    """Behind each line end; the last byte is one."""
    ends, place = [], block.find(b"\n")
    while place >= 0:
        ends.append(place + 1)
        place = block.find(b"\n", place + 1)
    return ends
