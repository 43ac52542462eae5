"""A filter means the same to the index and to a timeline; points of time are understood as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pratique.recorder.filters import Filter, matches, moment
from pratique.recorder.index import Index
from pratique.recorder.record import Opened
from tests.recorder.support import NOON, flow, make_spool, record, session_id

RECORDS = [
    record(1),
    record(2, verb="delete", namespace="shop", verdict="Deny", message="Namespaces Stay"),
    record(3, resource="pods", subresource="exec", argv=("rm", "-rf"), approval_id="ap-1", verdict="RequireApproval"),
    record(4, verdict="", verb="", resource="", namespace="", path="/bad"),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory):
    state: Path = tmp_path_factory.mktemp("state")
    session = session_id()
    with make_spool(state) as spool:
        spool.open_session(session, Opened(session=session, client="agent"))
        for number, each in enumerate(RECORDS):
            spool.append(session, flow(number), each)
    with Index(state) as made:
        made.catch_up()
        yield made


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "client": st.sampled_from(["agent", "robot"]),
            "verb": st.sampled_from(["list", "delete", "get"]),
            "resource": st.sampled_from(["pods", "pods/exec", "secrets"]),
            "namespace": st.sampled_from(["default", "shop"]),
            "verdict": st.sampled_from(["Allow", "Deny", "refused", "RequireApproval"]),
            "approval_id": st.sampled_from(["ap-1", "ap-2"]),
            "audit_id": st.sampled_from(["audit-1", "audit-9"]),
            "grep": st.sampled_from(["namespaces stay", "rm -rf", "/bad", "%", "kubectl"]),
        },
    ),
    st.sampled_from([0.0, NOON + 2, NOON + 3.5, NOON + 9]),
    st.sampled_from([0.0, NOON + 2, NOON + 4, NOON + 9]),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_index_and_a_timeline_find_the_same_requests(index: Index, wanted, since: float, until: float) -> None:
    asked = Filter(**wanted, since=since, until=until)
    if asked.asks_requests:  # else the index is asked for sessions
        by_index = {row["flow"] for row in index.requests(asked)}
        assert by_index == {each.flow for each in RECORDS if matches(asked, each, NOON)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", NOON - 1800), ("24h", NOON - 86400), ("7d", NOON - 7 * 86400), ("1.5h", NOON - 5400), ("2w", NOON - 1209600),
        ("2026-01-01", NOON - 43200), ("2026-01-01T12:00", NOON), ("2026-01-01T13:00+01:00", NOON),
    ],
)  # fmt: skip
def test_a_moment_is_a_length_before_now_or_a_date(text: str, expected: float) -> None:
    assert moment(text, NOON) == expected


@pytest.mark.parametrize("text", ["", "soon", "m", "-5m", "5", "5y", "2026-13-01", "1e9d"])
def test_what_is_no_moment_is_an_error_with_a_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="Write 30m"):
        moment(text, NOON)
