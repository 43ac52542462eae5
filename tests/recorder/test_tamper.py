"""A data file is compared with its journal record by record, within bounds."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.recorder import tamper
from pratique.recorder.chain import GENESIS, Change, Entry, Kind
from pratique.recorder.tamper import compare
from tests.recorder.support import flow


def journal(records: list[bytes]) -> list[Entry]:
    entries, at = [], 0
    for n, data in enumerate(records, start=1):
        digest = hashlib.sha256(data).hexdigest()
        entries.append(
            Entry(
                n=n, kind=Kind.RECORD, time=1.0, prev=GENESIS, part="flow", offset=at, length=len(data), sha256=digest
            )
        )
        at += len(data)
    return entries


RECORDS = [flow(index) for index in range(5)]
ENTRIES = journal(RECORDS)


def changes(data: bytes, *, closed: bool = True) -> list[Change]:
    return [found.change for found in compare("s", "flow", "s.flow", ENTRIES, memoryview(data), closed=closed)]


def test_bytes_after_the_last_record_of_an_open_session_prove_nothing() -> None:
    data = b"".join(RECORDS)
    assert changes(data) == []
    assert changes(data + b"12", closed=False) == [Change.UNSEALED]
    assert changes(data + b"12") == [Change.INSERTED]


def test_a_search_is_bounded_and_what_it_misses_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tamper, "MAX_SEARCH", 1)
    assert changes(b"".join(RECORDS[1:])), "a shifted file is never taken for whole"


def test_several_changes_are_each_named() -> None:
    data = RECORDS[0] + flow(8) + RECORDS[1] + RECORDS[3].replace(b"body3", b"bodyX") + RECORDS[4]
    assert set(changes(data)) >= {Change.INSERTED, Change.FLIPPED}


@given(st.integers(0, sum(map(len, RECORDS)) - 1), st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_every_single_flipped_bit_is_found(where: int, bit: int) -> None:
    data = bytearray(b"".join(RECORDS))
    data[where] ^= 1 << bit
    assert changes(bytes(data)) == [Change.FLIPPED]


@given(st.lists(st.integers(0, 6), max_size=8))
@settings(max_examples=300, deadline=None)
def test_any_other_row_of_records_is_found(row: list[int]) -> None:
    pool = [*RECORDS, flow(8), flow(9)]
    data = b"".join(pool[index] for index in row)
    assert (changes(data) == []) is (row == [0, 1, 2, 3, 4])
