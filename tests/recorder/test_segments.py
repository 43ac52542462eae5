"""Names of objects, signed pieces of the journal of all sessions, pauses and what may go: without a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from pratique.recorder import layout
from pratique.recorder.chain import GENESIS, Entry, Kind
from pratique.recorder.segments import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Destination,
    closed_sessions,
    outlived,
    pause,
    signed_piece,
    upload_order,
)
from tests.recorder.support import NOON, make_spool, record_session, session_id

A, B = session_id(1), session_id(2)


@pytest.mark.parametrize(
    ("prefix", "cluster", "key"), [("p", "c", "p/c/x"), ("/a/b/", "c", "a/b/c/x"), ("", "c", "c/x"), ("", "", "x")]
)
def test_an_objects_name_has_no_empty_part(prefix: str, cluster: str, key: str) -> None:
    assert Destination("b", prefix, cluster).key("x") == key


def test_the_journal_of_a_session_is_copied_last() -> None:
    assert upload_order([f"{A}.chain", f"{A}.flow", f"{A}.f.cast"]) == [f"{A}.f.cast", f"{A}.flow", f"{A}.chain"]
    assert Destination("b", "p", "c").file_key(A, f"{A}.flow") == f"p/c/2026-01-01/{A}.flow"


def test_a_piece_of_the_journal_ends_with_a_signature(tmp_path: Path) -> None:
    with make_spool(tmp_path) as spool:
        path = layout.recordings(tmp_path) / layout.SESSIONS_CHAIN
        record_session(spool, 1)
        piece = signed_piece(path.read_bytes())
        assert piece is not None
        assert (piece.first, piece.last, piece.name) == (0, 1, "000000000000-000000000001.chain")
        assert path.read_bytes().startswith(piece.data)
        assert signed_piece(path.read_bytes()[len(piece.data) :]) is None, "an open is not signed yet"
    data = path.read_bytes()
    whole = signed_piece(data)
    assert whole is not None
    assert whole.data == data
    rest = signed_piece(data[len(piece.data) :])
    assert rest is not None
    assert (rest.first, rest.last) == (2, whole.last)
    assert signed_piece(b"") is None
    assert signed_piece(b"{]\n" + data) is None


def entry(n: int, kind: Kind, session: str, reason: str = "") -> Entry:
    return Entry(n=n, kind=kind, time=NOON + n, prev=GENESIS, session=session, reason=reason)


def test_closed_sessions_are_those_that_were_not_removed() -> None:
    entries = [
        entry(0, Kind.OPENED, A), entry(1, Kind.CLOSED, A), entry(2, Kind.CLOSED, B), entry(3, Kind.RETIRED, B),
        entry(4, Kind.OPENED, session_id(3)), entry(5, Kind.CLOSED, session_id(4), "missing"),
        entry(6, Kind.CLOSED, "../../etc"), entry(7, Kind.CLOSED, session_id(5), "damaged"),
    ]  # fmt: skip
    assert closed_sessions(entries) == {A: NOON + 1, session_id(5): NOON + 7}


def test_a_session_outlives_its_days_once() -> None:
    closed = {A: NOON, B: NOON + 86400}
    assert outlived(closed, NOON + 86401, 1) == [A]
    assert outlived(closed, NOON + 10 * 86400, 1) == [A, B]
    assert outlived(closed, NOON + 10 * 86400, 0) == []


def test_the_pause_grows_to_a_limit() -> None:
    assert pause(1, 0.0) == FIRST_PAUSE_SECONDS / 2
    assert [pause(n, 1.0) for n in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert pause(1000, 1.0) == LONGEST_PAUSE_SECONDS
