"""A row says what happened in words, and in stable keys for programs."""

from __future__ import annotations

import pytest

from pratique.recorder.chain import GENESIS, Entry, Kind
from pratique.recorder.record import Stage
from pratique.recorder.timeline import Row, rfc3339, rows, tally
from tests.recorder.support import NOON, record


def made(*, parts: tuple[str, ...] = (), **changes: object) -> Row:
    entry = Entry(n=3, kind=Kind.RECORD, time=NOON, prev=GENESIS, record=record(1, **changes))
    return rows([entry, Entry(n=4, kind=Kind.CHECKPOINT, time=NOON, prev=GENESIS)], parts)[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "list pods -n default"),
        ({"resource": "deployments", "api_group": "apps", "name": "web"}, "list deployments.apps web -n default"),
        ({"verb": "create", "subresource": "exec", "name": "web", "argv": ("ls", "/")}, "create pods/exec web -n default: ls /"),
        ({"verb": "delete", "resource": "namespaces", "name": "default"}, "delete namespaces default"),
        ({"resource": "", "path": "/version", "query": ""}, "GET /version"),
        ({"resource": "", "path": "/apis", "query": "timeout=32s"}, "GET /apis?timeout=32s"),
    ],
)  # fmt: skip
def test_a_request_in_words(changes: dict[str, object], words: str) -> None:
    assert made(**changes).words == words


def test_a_row_for_programs() -> None:
    row = made(verdict="", stage=Stage.STARTED, parts=("flow-1.events", "flow-1.cast", "flow"))
    shown = row.as_json()
    assert (shown["verdict"], shown["open"], shown["stream"], shown["cast"]) == ("refused", True, True, "flow-1.cast")
    assert (shown["time"], shown["milliseconds"], shown["auditID"], shown["entry"]) == (
        "2026-01-01T12:00:01.000Z", 1000, "audit-1", 3,
    )  # fmt: skip
    assert made(parts=("flow-2.events",)).stream is False


def test_times_that_run_backwards_take_nothing() -> None:
    assert made(ended=NOON - 5).milliseconds == 0
    assert made(started=0.0, ended=0.0).time == NOON
    assert rfc3339(NOON + 0.1234) == "2026-01-01T12:00:00.123Z"


def test_the_tally_counts_what_matters() -> None:
    listed = [
        made(), made(masks=("a",)), made(verdict="Deny"), made(approval_id="x", verdict="RequireApproval"),
        made(approval_id="x", parts=("flow-1.cast",)),
    ]  # fmt: skip
    assert tally(listed) == (
        "5 requests: 3 Allow, 1 Deny, 1 RequireApproval; 1 approval; values masked in 1; 1 terminal"
    )
    assert tally([]) == "0 requests"
    assert tally([made()]) == "1 request: 1 Allow"
