"""Compares a data file with its journal, and names what happened to each record.

Belongs here: the alignment of recorded hashes with the bytes found. Not here: the journal itself (`chain`), reading
files (`sessions`). Pure; `data` may be a memory map, nothing of it is copied whole.

Records are first looked for where the journal says. Those that are not there are looked for at every boundary of the
file (flow records, lines). Those found are put in file order; out of order means swapped, absent with foreign bytes in
their place means flipped, absent with none means dropped (or truncated, at the end), foreign bytes with nothing absent
means inserted.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pratique.errors import FramingError
from pratique.recorder import layout
from pratique.recorder.chain import Change, Entry, Finding
from pratique.recorder.flowfile import scan

MAX_SEARCH = 200_000
"""Boundaries that are tried for records that moved; beyond, a moved record is reported as flipped or dropped."""


@dataclass(frozen=True, slots=True)
class _Found:
    index: int
    offset: int
    length: int


def _boundaries(part: str, data: memoryview) -> Iterator[int]:
    """Where records of this part could begin; ends early where the framing is broken."""
    if part == layout.FLOW:
        try:
            for offset, _ in scan(data):
                yield offset
        except FramingError:
            return
        return
    whole = bytes(data)
    at = 0
    while at < len(whole):
        yield at
        at = whole.find(b"\n", at) + 1 or len(whole)


def _fits(data: memoryview, offset: int, entry: Entry) -> bool:
    if offset < 0 or offset + entry.length > len(data):
        return False
    return hashlib.sha256(data[offset : offset + entry.length]).hexdigest() == entry.sha256


def _locate(part: str, entries: Sequence[Entry], data: memoryview) -> list[_Found]:
    """Every record that is somewhere in the file, once, in file order."""
    found = [
        _Found(i, entry.offset, entry.length) for i, entry in enumerate(entries) if _fits(data, entry.offset, entry)
    ]
    if len(found) < len(entries):
        found += _search(part, entries, data, {item.index for item in found}, {item.offset for item in found})
    return sorted(found, key=lambda item: item.offset)


def _search(
    part: str, entries: Sequence[Entry], data: memoryview, known: set[int], taken: set[int]
) -> Iterator[_Found]:
    """Looks for the records that are not in their place, at the boundaries that no other record has."""
    wanted: dict[tuple[int, str], list[int]] = {}
    for index, entry in enumerate(entries):
        if index not in known:
            wanted.setdefault((entry.length, entry.sha256), []).append(index)
    lengths = {length for length, _ in wanted}
    for tried, offset in enumerate(_boundaries(part, data)):
        if tried == MAX_SEARCH:
            return
        if offset in taken:
            continue
        for length in lengths:
            digest = hashlib.sha256(data[offset : offset + length]).hexdigest() if offset + length <= len(data) else ""
            if waiting := wanted.get((length, digest)):
                yield _Found(waiting.pop(0), offset, length)
                break


def _in_order(found: Sequence[_Found]) -> list[_Found]:
    """The longest run of records, in file order, whose journal order is rising; the others were moved."""
    tails: list[int] = []
    at: list[int] = []
    before: list[int] = []
    for position, item in enumerate(found):
        place = bisect_left(tails, item.index)
        before.append(at[place - 1] if place else -1)
        tails[place:] = [item.index] if place == len(tails) else [item.index, *tails[place + 1 :]]
        at[place:] = [position] if place == len(at) else [position, *at[place + 1 :]]
    chain: list[_Found] = []
    position = at[-1] if at else -1
    while position >= 0:
        chain.append(found[position])
        position = before[position]
    return chain[::-1]


@dataclass(slots=True)
class _Report:
    session: str
    file: str
    entries: Sequence[Entry]
    findings: list[Finding]

    def note(self, change: Change, message: str, index: int | None = None) -> None:
        n = None if index is None else self.entries[index].n
        self.findings.append(Finding(change, self.session, self.file, message, n))


def compare(
    session: str, part: str, file: str, entries: Sequence[Entry], data: memoryview, *, closed: bool
) -> list[Finding]:
    """What differs between `data`, the whole file, and `entries`, the journal's records of this part.

    `closed`: the session was sealed, so bytes after the last record are an insertion, not a crash's leftover.
    """
    end = max((entry.offset + entry.length for entry in entries), default=0)
    found = _locate(part, entries, data)
    if len(found) == len(entries) and len(data) == end and all(entries[f.index].offset == f.offset for f in found):
        return []
    report = _Report(session, file, entries, [])
    if not found and len(data) >= end and len(entries) > 1:
        report.note(Change.REPLACED, f"none of its {len(entries)} records is in the file")
        return report.findings
    _gaps(report, found, len(data), closed=closed)
    return report.findings


def _gaps(report: _Report, found: Sequence[_Found], size: int, *, closed: bool) -> None:
    """Walks the file from one record in order to the next and explains what lies between."""
    ordered = _in_order(found)
    moved = sorted(set(found) - set(ordered), key=lambda item: item.index)
    for item in moved:
        report.note(Change.SWAPPED, f"the record stands at byte {item.offset}, out of order", item.index)
    present = {item.index for item in found}
    last, at = -1, 0
    for item in [*ordered, _Found(len(report.entries), size, 0)]:
        foreign = item.offset - at - sum(m.length for m in moved if at <= m.offset < item.offset)
        missing = [index for index in range(last + 1, item.index) if index not in present]
        at_end = item.index == len(report.entries)
        _explain(report, missing, foreign, at, at_end=at_end, closed=closed)
        last, at = item.index, item.offset + item.length


def _explain(report: _Report, missing: list[int], foreign: int, at: int, *, at_end: bool, closed: bool) -> None:
    lost = sum(report.entries[index].length for index in missing)
    if not missing:
        if foreign > 0 and at_end and not closed:
            report.note(Change.UNSEALED, f"{foreign} bytes after the last record")
        elif foreign > 0:
            report.note(Change.INSERTED, f"{foreign} bytes at byte {at} belong to no record")
    elif at_end and foreign < lost:
        report.note(
            Change.TRUNCATED, f"the file ends {lost - foreign} bytes early, {len(missing)} records are cut", missing[0]
        )
    else:
        for index in missing:
            if foreign > 0:
                report.note(Change.FLIPPED, "the bytes of the record were changed", index)
            else:
                report.note(Change.DROPPED, "the record is not in the file", index)
