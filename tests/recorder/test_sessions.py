"""Whatever is done to a recording is found and named; what an honest run leaves is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pratique.errors import RecordError
from pratique.recorder import keys, layout
from pratique.recorder.chain import Change, Entry, Kind, link
from pratique.recorder.record import Opened, Stage
from pratique.recorder.sessions import Anchor, Recordings
from tests.recorder.support import flow, make_spool, record, record_session, session_id

SESSION = session_id(1)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    with make_spool(tmp_path) as spool:
        for number in range(3):
            record_session(spool, number)
            spool.event(session_id(number), "exec-1.cast", b'{"version":2}\n')
            spool.event(session_id(number), "exec-1.cast", b'[0.1,"o","one"]\n[0.2,"o","two"]\n')
            spool.close_session(session_id(number))
    return tmp_path


def flow_file(state: Path) -> Path:
    return layout.part_path(state, SESSION, "flow")


def chain_file(state: Path) -> Path:
    return layout.chain_path(state, SESSION)


def verify(state: Path, **options: object):
    return Recordings(state).verify(keys.verifier(state), **options)


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def edit_lines(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    edit(path, lambda data: b"".join(change(data.splitlines(keepends=True))))


FLOWS = [flow(index) for index in range(5)]
SIZE = len(FLOWS[0])


def test_an_untouched_folder_has_no_findings(state: Path) -> None:
    result = verify(state)
    assert result.findings == ()
    assert result.ok
    assert (result.sessions, result.records) == (3, 21)


FILE_CASES = [
    ("a body byte is flipped", lambda d: d.replace(b"body2", b"bodyX"), Change.FLIPPED, 3),
    ("a length digit is flipped", lambda d: d[: 2 * SIZE] + b"9" + d[2 * SIZE + 1 :], Change.FLIPPED, 3),
    ("a record is dropped", lambda d: d.replace(FLOWS[2], b""), Change.DROPPED, 3),
    ("the first record is dropped", lambda d: d.replace(FLOWS[0], b""), Change.DROPPED, 1),
    ("two records are swapped", lambda d: b"".join(FLOWS[i] for i in (0, 2, 1, 3, 4)), Change.SWAPPED, None),
    ("distant records are swapped", lambda d: b"".join(FLOWS[i] for i in (4, 1, 2, 3, 0)), Change.SWAPPED, None),
    ("the end is cut within a record", lambda d: d[:-7], Change.TRUNCATED, 5),
    ("the end is cut at a boundary", lambda d: d[: 3 * SIZE], Change.TRUNCATED, 4),
    ("all is cut", lambda d: b"", Change.TRUNCATED, 1),
    ("a record is inserted", lambda d: d[:SIZE] + flow(9) + d[SIZE:], Change.INSERTED, None),
    ("a record is appended", lambda d: d + flow(9), Change.INSERTED, None),
    ("a record is written twice", lambda d: d[:SIZE] + d, Change.INSERTED, None),
    ("the file is replaced", lambda d: b"".join(flow(i, b"evil") for i in range(20, 26)), Change.REPLACED, None),
]


@pytest.mark.parametrize(("what", "change", "expected", "n"), FILE_CASES, ids=[case[0] for case in FILE_CASES])
def test_a_changed_flow_file_is_found_and_named(
    state: Path, what: str, change, expected: Change, n: int | None
) -> None:
    edit(flow_file(state), change)
    result = verify(state)
    assert not result.ok
    assert {finding.session for finding in result.findings} == {SESSION}
    assert {finding.change for finding in result.findings} == {expected}, result.findings
    if n is not None:
        assert result.findings[0].n == n
    assert all(finding.file == flow_file(state).name for finding in result.findings)


CHAIN_CASES = [
    ("an entry is edited", lambda j: [x.replace(b'"verdict":"Allow"', b'"verdict":"Denyy"') if i == 2 else x for i, x in enumerate(j)], {Change.FLIPPED}),
    ("a line is unreadable", lambda j: [*j[:2], b"{]\n", *j[3:]], {Change.FLIPPED}),
    ("a line is dropped", lambda j: j[:2] + j[3:], {Change.DROPPED}),
    ("lines are swapped", lambda j: [j[0], j[2], j[1], *j[3:]], {Change.SWAPPED}),
    ("a line stands twice", lambda j: [*j[:2], j[1], *j[2:]], {Change.INSERTED}),
    ("the end is cut", lambda j: j[:4], {Change.TRUNCATED}),
    ("the signature is cut off", lambda j: j[:-1], {Change.TRUNCATED}),
    ("all is cut", lambda j: [], {Change.TRUNCATED}),
    ("a signature is another", lambda j: [*j[:-1], j[-1].replace(b'"signature":"', b'"signature":"00')], {Change.FLIPPED}),
    ("the last line has no end", lambda j: [*j[:-1], j[-1][:-5]], {Change.TRUNCATED}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "change", "expected"), CHAIN_CASES, ids=[case[0] for case in CHAIN_CASES])
def test_a_changed_journal_is_found_and_named(state: Path, what: str, change, expected: set[Change]) -> None:
    edit_lines(chain_file(state), change)
    result = verify(state)
    assert not result.ok
    about = {f.change for f in result.findings if f.file == chain_file(state).name and f.proves_change}
    assert expected <= about, result.findings


def rehashed(entries: list[Entry]) -> bytes:
    """What a forger with the disk, but without the key, writes: a journal that is consistent in itself."""
    from msgspec.structs import replace

    from pratique.recorder.chain import GENESIS

    lines, prev = [], GENESIS
    for n, entry in enumerate(entries):
        made = link(replace(entry, n=n, prev=prev))
        lines.append(made.line)
        prev = made.hash
    return b"".join(lines)


def test_a_rewritten_and_rehashed_journal_is_replaced_and_its_signature_forged(state: Path) -> None:
    from msgspec.structs import replace

    entries = Recordings(state).entries(SESSION)
    entries[2] = replace(entries[2], record=record(1, verdict="Deny"))
    chain_file(state).write_bytes(rehashed(entries))
    changes = {finding.change for finding in verify(state).findings}
    assert Change.FORGED in changes


def test_a_rewritten_journal_without_signatures_is_found_by_the_head_in_sessions_chain(state: Path) -> None:
    entries = [entry for entry in Recordings(state).entries(SESSION) if entry.kind is not Kind.CHECKPOINT]
    entries.append(Entry(n=0, kind=Kind.RECORD, time=1.0, prev=""))
    chain_file(state).write_bytes(rehashed(entries))
    assert {finding.change for finding in verify(state).findings} == {Change.REPLACED, Change.FORGED} or {
        finding.change for finding in verify(state).findings
    } == {Change.REPLACED}


def test_one_edited_and_rehashed_line_does_not_fit_the_next(state: Path) -> None:
    from msgspec.structs import replace

    entries = Recordings(state).entries(SESSION)
    line = link(replace(entries[2], time=5.0)).line
    edit_lines(chain_file(state), lambda lines: [*lines[:2], line, *lines[3:]])
    assert [(f.change, f.n) for f in verify(state).findings] == [(Change.REPLACED, 3)]


def test_a_deleted_session_is_missed(state: Path) -> None:
    for path in chain_file(state).parent.glob(f"{SESSION}.*"):
        path.unlink()
    assert [(f.change, f.session) for f in verify(state).findings] == [(Change.DELETED, SESSION)]


@pytest.mark.parametrize("part", ["flow", "exec-1.cast"])
def test_a_deleted_data_file_is_missed(state: Path, part: str) -> None:
    path = layout.part_path(state, SESSION, part)
    path.unlink()
    assert [(f.change, f.file) for f in verify(state).findings] == [(Change.DELETED, path.name)]


def test_a_data_file_that_no_record_speaks_of_is_an_insertion(state: Path) -> None:
    layout.part_path(state, SESSION, "other.cast").write_bytes(b"[]\n")
    assert [f.change for f in verify(state).findings] == [Change.INSERTED]


def test_a_session_replaced_by_another_one_is_found(state: Path) -> None:
    other = layout.chain_path(state, session_id(2))
    shutil.copy(other, chain_file(state))
    assert Change.REPLACED in {f.change for f in verify(state).findings}


def test_a_planted_session_is_found(state: Path) -> None:
    planted = session_id(9)
    for path in list(chain_file(state).parent.glob(f"{SESSION}.*")):
        shutil.copy(path, path.with_name(path.name.replace(SESSION, planted)))
    assert (Change.INSERTED, planted) in {(f.change, f.session) for f in verify(state).findings}


def test_a_flipped_cast_line_is_found(state: Path) -> None:
    edit(layout.part_path(state, SESSION, "exec-1.cast"), lambda d: d.replace(b"one", b"eno"))
    assert [(f.change, f.n) for f in verify(state).findings] == [(Change.FLIPPED, 7)]


def test_the_journal_of_all_sessions_is_missed(state: Path) -> None:
    (layout.recordings(state) / layout.SESSIONS_CHAIN).unlink()
    assert Change.DELETED in {f.change for f in verify(state).findings}


def test_sessions_chain_cut_back_leaves_sessions_that_it_does_not_know(state: Path) -> None:
    edit_lines(layout.recordings(state) / layout.SESSIONS_CHAIN, lambda lines: lines[:4])
    assert {f.change for f in verify(state).findings if f.proves_change} == {Change.INSERTED}


def test_a_head_noted_elsewhere_shows_that_the_newest_sessions_were_cut_off(state: Path) -> None:
    head = verify(state).head
    path = layout.recordings(state) / layout.SESSIONS_CHAIN
    edit_lines(path, lambda lines: lines[:2])
    for item in chain_file(state).parent.iterdir():
        item.unlink()
    assert verify(state).ok, "without a head from elsewhere this cannot be seen: the module says so"
    assert [f.change for f in verify(state, anchor=head).findings] == [Change.TRUNCATED]


def test_another_history_does_not_fit_a_head_noted_elsewhere(state: Path) -> None:
    found = verify(state, anchor=Anchor(2, "00" * 32)).findings
    assert [f.change for f in found] == [Change.REPLACED]


def test_an_unknown_key_proves_nothing(state: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    keys.signer(other)
    result = Recordings(state).verify(keys.verifier(other))
    assert {f.change for f in result.findings if f.proves_change} == {Change.FORGED}


def test_one_session_can_be_verified_alone(state: Path) -> None:
    edit(flow_file(state), lambda d: d[:-1])
    assert not verify(state, session=SESSION).ok
    assert verify(state, session=session_id(0)).ok


def test_a_running_session_is_at_worst_unsealed(tmp_path: Path) -> None:
    with make_spool(tmp_path) as spool:
        session = record_session(spool, 1)
        result = verify(tmp_path)
        assert result.ok
        assert {f.change for f in result.findings} == {Change.UNSEALED}
        assert Recordings(tmp_path).ids() == [session]


def test_a_retired_session_is_not_missed(state: Path) -> None:
    with make_spool(state) as spool:
        spool.retire(SESSION, "retention 90 days")
    assert not chain_file(state).exists()
    assert verify(state).findings == ()


def test_a_timeline_shows_each_request_once(tmp_path: Path) -> None:
    session = session_id()
    with make_spool(tmp_path) as spool:
        spool.open_session(session, Opened(session=session))
        spool.start(session, flow(1), record(1, stage=Stage.STARTED))
        spool.event(session, "watch-1.events", b"{}\n", record(1, stage=Stage.EVENT))
        spool.start(session, flow(2), record(2, stage=Stage.STARTED))
        spool.append(session, flow(1), record(1))
        spool.append(session, b"", record(3, note="no bytes"))
    recordings = Recordings(tmp_path)
    rows = [(row.record.flow, row.record.stage) for row in recordings.timeline(session) if row.record]
    assert rows == [("flow-2", Stage.STARTED), ("flow-1", Stage.COMPLETE), ("flow-3", Stage.COMPLETE)]
    assert len(recordings.timeline(session, events=True)) == 5
    assert recordings.opened(session).session == session


def test_a_flow_can_be_read_by_its_entry(state: Path) -> None:
    recordings = Recordings(state)
    row = recordings.timeline(SESSION)[3]
    assert recordings.flow(SESSION, row)["id"] == "flow-3"
    assert [path.name.split(".", 1)[1] for path in recordings.parts(SESSION)] == ["exec-1.cast", "flow"]
    cast = next(e for e in recordings.entries(SESSION) if e.part == "exec-1.cast")
    edit(layout.part_path(state, SESSION, "exec-1.cast"), lambda d: b"2:ab," + d)
    with pytest.raises(RecordError, match="not a flow"):
        recordings.flow(SESSION, Entry(n=1, kind=Kind.RECORD, time=0, prev="", part=cast.part, offset=0, length=5))
    edit(flow_file(state), lambda d: d[:10])
    with pytest.raises(RecordError, match="cut short"):
        recordings.flow(SESSION, row)


def test_a_session_is_found_by_a_prefix_that_names_only_one(state: Path) -> None:
    recordings = Recordings(state)
    assert recordings.find(SESSION[:18]) == SESSION
    with pytest.raises(RecordError, match="no session"):
        recordings.find("1999")
    with pytest.raises(RecordError, match="3 sessions"):
        recordings.find("2026")


@pytest.mark.parametrize("bad", ["../../etc/passwd", "", "20260101T120000000Z-../../x"])
def test_an_id_never_becomes_a_path(state: Path, bad: str) -> None:
    with pytest.raises(RecordError):
        Recordings(state).entries(bad)


def test_a_session_that_is_not_there_is_an_error(state: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read"):
        Recordings(state).opened(session_id(77))
    chain_file(state).write_bytes(b"")
    with pytest.raises(RecordError, match="does not say"):
        Recordings(state).opened(SESSION)
