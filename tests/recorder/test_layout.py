"""Names of recordings sort by time and never leave their folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pratique.errors import RecordError
from pratique.recorder import layout
from tests.recorder.support import NOON


def test_ids_sort_by_time_and_name_their_day() -> None:
    ids = [layout.session_id(NOON + step, bytes([255 - i]) * 10) for i, step in enumerate((0, 0.001, 1, 60, 90000))]
    assert ids == sorted(ids)
    assert ids[0].startswith("20260101T120000000Z-")
    assert [layout.day_of(item) for item in ids] == ["2026-01-01"] * 4 + ["2026-01-02"]
    assert all(map(layout.is_session_id, ids))


def test_an_id_needs_enough_randomness() -> None:
    with pytest.raises(ValueError):
        layout.session_id(NOON, b"short")


@pytest.mark.parametrize(
    "bad", ["", "..", "a/b", "20260101T120000000Z-aaaaaaaaaaaaaaaa\n", "20260101T120000000Z-AAAAAAAAAAAAAAAA"]
)
def test_other_texts_are_no_ids(bad: str) -> None:
    with pytest.raises(RecordError):
        layout.check_session_id(bad)


def test_only_known_parts_become_files() -> None:
    for good in ("flow", "exec-1.cast", "a.events"):
        assert layout.check_part(good) == good
    for bad in ("chain", "flow.tail", "../x.cast", "A.cast", ".cast", "x.cast\n", "a.b.cast", ""):
        with pytest.raises(RecordError):
            layout.check_part(bad)
    session = layout.session_id(NOON, bytes(10))
    assert layout.part_path(Path("s"), session, "flow") == Path("s/recordings/2026-01-01") / f"{session}.flow"
