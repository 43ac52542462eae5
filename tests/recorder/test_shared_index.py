"""What one replica has recorded, the others know: told from the journal, once or more, never in the way of a request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pratique.dynamodb.table import Table
from pratique.errors import StoreError
from pratique.recorder import keys, layout, storage
from pratique.recorder.filters import Filter
from pratique.recorder.sessions import Recordings
from pratique.recorder.shared_index import OFFSET, SharedIndex, shared
from pratique.recorder.spool import Spool
from tests.dynamodb.service import REGION, Serial, new_table, service
from tests.recorder.support import NOON, make_spool, record_session, session_id
from tests.recorder.test_uploader import options

A, B = session_id(1), session_id(2)


@pytest.fixture
def made() -> Iterator[Serial]:
    with service() as made:
        yield made


@pytest.fixture
def table(made: Serial) -> Table:
    return Table(new_table(made), made)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with make_spool(tmp_path) as opened:
        yield opened


def index(state: Path, table: Table, replica: str = "pod-1") -> SharedIndex:
    return SharedIndex(state, table, replica, lambda session: f"s3://audit/{session}")


def test_a_session_is_told_when_it_opens_and_when_it_is_closed(tmp_path: Path, spool: Spool, table: Table) -> None:
    told = index(tmp_path, table)
    record_session(spool, 1)
    told.step()
    (row,) = shared(table, Filter())
    assert (row.session, row.client, row.opened, row.closed, row.replica) == (A, "agent", NOON, 0.0, "pod-1")
    spool.close_session(A)
    told.step()
    (row,) = shared(table, Filter())
    assert (row.closed, row.reason, row.copy) == (NOON, "closed", f"s3://audit/{A}")
    assert Recordings(tmp_path).verify(keys.verifier(tmp_path)).ok, "its note beside the recordings is no tampering"


def test_what_was_told_is_not_told_again_and_what_is_told_again_is_the_same(
    tmp_path: Path, spool: Spool, table: Table, made: Serial
) -> None:
    record_session(spool, 1)
    spool.close_session(A)
    index(tmp_path, table).step()
    before = shared(table, Filter())
    calls: list[str] = []
    made.before = lambda operation, _arguments: calls.append(operation)
    index(tmp_path, table).step()
    assert calls == []
    (layout.recordings(tmp_path) / OFFSET).write_text("no number")
    index(tmp_path, table).step()
    assert calls == ["update_item"] * 2
    assert shared(table, Filter()) == before


def test_a_table_that_is_away_stops_nothing_and_is_told_later(
    tmp_path: Path, spool: Spool, table: Table, made: Serial, caplog: pytest.LogCaptureFixture
) -> None:
    told = index(tmp_path, table)

    def away(_operation: str, _arguments: object) -> None:
        raise TimeoutError

    made.before = away
    record_session(spool, 1)
    told.step()
    told.step()
    assert caplog.text.count("not told") == 1
    made.before = lambda *_: None
    told.step()
    assert [row.session for row in shared(table, Filter())] == [A]


def test_the_sessions_of_all_replicas_are_found_by_client_and_time(tmp_path: Path, spool: Spool, table: Table) -> None:
    other = tmp_path / "other"
    with make_spool(other) as second:
        record_session(spool, 1)
        record_session(second, 2)
        index(tmp_path, table).step()
        index(other, table, "pod-2").step()
    assert {row.session: row.replica for row in shared(table, Filter())} == {A: "pod-1", B: "pod-2"}
    assert len(shared(table, Filter(client="agent", limit=1))) == 1
    assert shared(table, Filter(client="robot")) == []
    assert shared(table, Filter(since=NOON + 1)) == []
    assert shared(table, Filter(until=NOON - 1)) == []


def test_a_stopping_gateway_tells_that_its_sessions_are_closed(
    tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    given = options(pratique_segment_bucket="", pratique_segment_lock="", pratique_dynamodb_table=table.name)
    opened = storage.Storage(tmp_path, "prod", given)
    record_session(opened.spool, 1)
    opened.close()
    (row,) = shared(table, Filter())
    assert (row.reason, row.copy) == ("shutdown", "")
    assert row.replica.endswith(str(layout.recordings(tmp_path)))


def test_a_table_that_does_not_answer_a_reader_is_an_error(table: Table) -> None:
    table.close()
    with pytest.raises(StoreError):
        shared(table, Filter())
