"""A session ends with its last connection and its last request, whichever comes later, and with nothing else."""

from __future__ import annotations

from pratique.recorder.open_sessions import LEFT_SECONDS, OpenSessions
from tests.recorder.support import NOON

KEY = ("agent", "connection-1")


def one(*, pinned: bool = False) -> OpenSessions:
    table = OpenSessions()
    table.begin(KEY, "s", NOON, pinned=pinned)
    table.join("s", "flow-1", "connection-1")
    return table


def test_requests_of_one_key_share_a_session() -> None:
    table = one()
    assert table.current(KEY) == "s"
    assert table.current(("agent", "connection-2")) == ""
    assert table.began("s") == NOON


def test_a_session_ends_with_its_connection() -> None:
    table = one()
    assert table.ended("flow-1") == []
    assert table.left("connection-1", NOON) == ["s"]
    assert table.current(KEY) == ""
    assert table.left("connection-1", NOON) == []


def test_a_held_request_keeps_its_session_open_after_the_client_has_left() -> None:
    table = one()
    assert table.left("connection-1", NOON) == []
    assert table.ended("flow-1") == ["s"]
    assert table.ended("flow-1") == []


def test_kubectls_connections_share_a_session_until_the_last_has_gone() -> None:
    table = one()
    table.join("s", "flow-2", "connection-2")
    table.ended("flow-1")
    table.ended("flow-2")
    assert table.left("connection-1", NOON) == []
    assert table.left("connection-2", NOON) == ["s"]


def test_a_connection_that_comes_back_keeps_the_session() -> None:
    table = one()
    table.left("connection-1", NOON)
    table.join("s", "flow-2", "connection-2")
    assert table.overdue(NOON + 2 * LEFT_SECONDS) == []


def test_a_request_whose_end_never_comes_does_not_keep_a_session_open_for_ever() -> None:
    table = one()
    table.left("connection-1", NOON)
    assert table.overdue(NOON + LEFT_SECONDS) == []
    assert table.overdue(NOON + LEFT_SECONDS + 1) == ["s"]
    assert table.ended("flow-1") == []


def test_a_rotated_session_takes_nothing_new_and_ends_with_its_last_request() -> None:
    table = one()
    assert table.rotate(KEY) == []
    assert table.current(KEY) == ""
    table.begin(KEY, "t", NOON + 1)
    assert table.ended("flow-1") == ["s"]
    assert table.current(KEY) == "t"
    assert table.rotate(KEY) == ["t"]


def test_a_rotated_sessions_leaked_request_is_overdue_too() -> None:
    table = one()
    table.rotate(KEY)
    table.left("connection-1", NOON)
    assert table.overdue(NOON + LEFT_SECONDS + 1) == ["s"]


def test_the_session_of_those_without_a_credential_outlives_their_connections() -> None:
    table = one(pinned=True)
    assert table.ended("flow-1") == []
    assert table.left("connection-1", NOON) == []
    assert table.overdue(NOON + 2 * LEFT_SECONDS) == []
    assert table.current(KEY) == "s"
    assert table.rotate(KEY) == ["s"]
