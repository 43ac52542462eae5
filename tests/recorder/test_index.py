"""The index answers who did what and when; the journals stay the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from pratique.errors import RecordError
from pratique.recorder import layout
from pratique.recorder.filters import Filter
from pratique.recorder.index import Index
from pratique.recorder.record import Opened, Stage
from pratique.recorder.spool import Spool
from tests.recorder.support import NOON, flow, make_spool, record, record_session, session_id

A, B = session_id(1), session_id(2)


@pytest.fixture
def spool(tmp_path: Path):
    with make_spool(tmp_path) as spool:
        record_session(spool, 1, 3)
        spool.close_session(A)
        claims = {"kubectl_session": "uuid-1", "user_agent": "kubectl/v1.36", "mcp_client": "helper"}
        spool.open_session(B, Opened(session=B, client="robot", cluster="prod", claims=claims))
        spool.append(
            B,
            flow(7),
            record(7, client="robot", verb="delete", namespace="shop", resource="pods", subresource="exec", verdict="Deny",
                   approval_id="ap-1", audit_id="au-7", path="/api/v1/NameSpaces/shop", argv=("rm", "-rf")),
        )  # fmt: skip
        yield spool


def ids(index: Index, **wanted: object) -> list[str]:
    return [row.session for row in index.sessions(Filter(**wanted))]  # type: ignore[arg-type]


def test_sessions_are_listed_newest_first_with_what_they_did(tmp_path: Path, spool: Spool) -> None:
    with Index(tmp_path) as index:
        assert index.catch_up() > 0
        assert index.catch_up() == 0
        rows = {row.session: row for row in index.sessions(Filter())}
    assert rows[A].client == "agent"
    assert (rows[A].requests, rows[A].closed, rows[A].reason, rows[A].verbs) == (3, NOON, "closed", ("list",))
    assert (rows[B].closed, rows[B].verdicts, rows[B].approvals) == (0, ("Deny",), ("ap-1",))
    assert (rows[B].kubectl_session, rows[B].user_agent, rows[B].mcp_client) == ("uuid-1", "kubectl/v1.36", "helper")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"client": "robot"}, [B]),
        ({"cluster": "prod"}, [B]),
        ({"kubectl_session": "uuid-1"}, [B]),
        ({"verb": "delete"}, [B]),
        ({"verb": "list", "namespace": "default"}, [A]),
        ({"verb": "list", "namespace": "shop"}, []),
        ({"resource": "pods/exec"}, [B]),
        ({"verdict": "Deny"}, [B]),
        ({"approval_id": "ap-1"}, [B]),
        ({"audit_id": "au-7"}, [B]),
        ({"grep": "RM -RF"}, [B]),
        ({"grep": "namespaces/shop"}, [B]),
        ({"grep": "%"}, []),
        ({"grep": "'; DROP TABLE sessions; --"}, []),
        ({"since": NOON + 1}, []),
        ({"until": NOON}, []),
        ({"verb": "delete", "since": NOON + 7}, [B]),
        ({"verb": "delete", "since": NOON + 8}, []),
        ({"limit": 1}, None),
    ],
)  # fmt: skip
def test_filters(tmp_path: Path, spool: Spool, wanted: dict[str, object], found: list[str] | None) -> None:
    with Index(tmp_path) as index:
        index.catch_up()
        if found is None:
            assert len(ids(index, **wanted)) == 1
        else:
            assert ids(index, **wanted) == found


def test_requests_of_all_sessions_are_found_in_order(tmp_path: Path, spool: Spool) -> None:
    with Index(tmp_path) as index:
        index.catch_up()
        assert [row["flow"] for row in index.requests(Filter(grep="default/pods"))] == ["flow-0", "flow-1", "flow-2"]
        row = index.requests(Filter(client="robot", verb="delete"))[0]
        assert (row["session"], row["status"], row["duration"]) == (B, 200, 1.0)


def test_new_entries_are_taken_in_and_an_end_replaces_its_start(tmp_path: Path, spool: Spool) -> None:
    with Index(tmp_path) as index:
        spool.start(B, flow(8), record(8, stage=Stage.STARTED, client="robot"))
        spool.event(B, "watch-8.events", b"{}\n", record(8, stage=Stage.EVENT))
        spool.append(B, b"note", None)
        index.catch_up()
        assert [r["stage"] for r in index.requests(Filter(client="robot"))] == ["ResponseComplete", "ResponseStarted"]
        spool.append(B, flow(8), record(8, client="robot"))
        spool.close_session(B)
        index.catch_up()
        assert [r["stage"] for r in index.requests(Filter(client="robot"))] == ["ResponseComplete"] * 2
        assert ids(index, client="robot") == [B]


def test_retired_and_cut_sessions_are_forgotten(tmp_path: Path, spool: Spool) -> None:
    with Index(tmp_path) as index:
        index.catch_up()
        spool.retire(A, "retention")
        path = layout.chain_path(tmp_path, B)
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(lines[0])
        index.catch_up()
        assert [(row.session, row.requests) for row in index.sessions(Filter())] == [(B, 0)]
        path.write_bytes(b"".join(lines))


def test_a_deleted_or_outdated_index_is_made_anew(tmp_path: Path, spool: Spool) -> None:
    with Index(tmp_path) as index:
        index.catch_up()
        index._db.execute("PRAGMA user_version=99")
    with Index(tmp_path) as index:
        assert ids(index) == []
        index.catch_up()
        assert ids(index) == [B, A] or set(ids(index)) == {A, B}
    path = layout.recordings(tmp_path) / layout.INDEX
    assert path.stat().st_mode & 0o077 == 0
    path.unlink()
    with Index(tmp_path) as index:
        index.catch_up()
        assert set(ids(index)) == {A, B}


def test_an_index_that_cannot_be_used_is_an_error_of_our_own(tmp_path: Path, spool: Spool) -> None:
    path = layout.recordings(tmp_path) / layout.INDEX
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(RecordError, match="may be deleted"):
        Index(tmp_path)
    path.unlink()
    index = Index(tmp_path)
    index._db.execute("DROP TABLE requests")
    with pytest.raises(RecordError, match="up to date"):
        index.catch_up()
    with pytest.raises(RecordError, match="cannot be read"):
        index.requests(Filter())
    index.close()
