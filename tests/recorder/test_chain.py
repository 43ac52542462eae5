"""A journal is linked, numbered and signed, and a reader accepts nothing else silently."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.recorder.chain import (
    GENESIS,
    MAX_LINE_BYTES,
    Change,
    Entry,
    Finding,
    Kind,
    link,
    parse_line,
    seal,
    to_sign,
    walk,
)
from tests.recorder.support import record


def journal(count: int) -> bytes:
    lines, prev = [], GENESIS
    for n in range(count):
        made = link(Entry(n=n, kind=Kind.RECORD, time=1.0, prev=prev, record=record(n)))
        lines.append(made.line)
        prev = made.hash
    return b"".join(lines)


def always(*_: object) -> bool:
    return True


def test_a_line_reads_back_with_a_fitting_hash() -> None:
    entry = Entry(n=0, kind=Kind.RECORD, time=1.5, prev=GENESIS, record=record(1))
    made = link(entry)
    assert parse_line(made.line[:-1]) == (entry, made.hash, made.hash)


def test_the_hash_covers_the_hash_before() -> None:
    entry = Entry(n=0, kind=Kind.RECORD, time=1.5, prev=GENESIS)
    assert link(entry).hash != link(Entry(n=0, kind=Kind.RECORD, time=1.5, prev="00" * 32)).hash


def test_a_signature_fits_one_journal_and_one_place() -> None:
    signed = {to_sign(j, n, p, k) for j in ("a", "b") for n in (1, 2) for p in ("00", "01") for k in ("k", "l")}
    assert len(signed) == 16


def test_an_absurd_entry_number_costs_nothing() -> None:
    made = link(Entry(n=2**60, kind=Kind.RECORD, time=1.0, prev=GENESIS))
    found = walk("s", "f", made.line, always).findings
    assert [finding.change for finding in found] == [Change.DROPPED]


def test_an_overlong_line_is_damage() -> None:
    assert parse_line(b"x" * (MAX_LINE_BYTES + 1)) is None
    assert parse_line(b'{"entry":{"n":0,"kind":"record","time":1,"prev":"zz"},"hash":""}') is None


def test_a_journal_that_goes_on_after_its_closing_is_an_insertion() -> None:
    seen = walk("s", "f", journal(3), always)
    seal(seen, Entry(n=9, kind=Kind.CLOSED, time=1.0, prev=GENESIS, head=seen.hashes[1], count=2))
    assert [finding.change for finding in seen.findings] == [Change.INSERTED]


def test_a_closed_journal_whose_end_is_not_signed_is_forged() -> None:
    seen = walk("s", "f", journal(3), always)
    seal(seen, Entry(n=9, kind=Kind.CLOSED, time=1.0, prev=GENESIS, head=seen.head, count=3))
    assert [finding.change for finding in seen.findings] == [Change.FORGED]


def test_a_finding_reads_as_a_sentence() -> None:
    assert str(Finding(Change.FLIPPED, "s", "s.flow", "changed", 4)) == "flipped: s.flow entry 4: changed"
    assert str(Finding(Change.DELETED, "s", "s.flow", "gone")) == "deleted: s.flow: gone"


@given(st.integers(0, 10**6), st.integers(0, 7))
@settings(max_examples=200, deadline=None)
def test_every_single_flipped_bit_is_found(where: int, bit: int) -> None:
    data = bytearray(journal(4))
    data[where % len(data)] ^= 1 << bit
    clean = walk("s", "f", journal(4), always)
    seen = walk("s", "f", bytes(data), always)
    seal(seen, Entry(n=9, kind=Kind.CLOSED, time=1.0, prev=GENESIS, head=clean.head, count=4))
    assert any(finding.proves_change and finding.change is not Change.FORGED for finding in seen.findings)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_can_be_walked(data: bytes) -> None:
    seal(walk("s", "f", data, always), None)
