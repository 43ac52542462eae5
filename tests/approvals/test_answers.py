"""What a client is told is a refusal that says what to do."""

from __future__ import annotations

import pytest

from pratique.approvals.answers import RETRY_AFTER_SECONDS, answer
from pratique.approvals.deciding import Decision
from pratique.approvals.store import Approval, Decided, Question, Summary
from pratique.approvals.transitions import State

SUMMARY = Summary("delete Deployment payments/api", "DELETE", "/x", rules=("p/r",), message="deletes need a person")


def approval(state=State.PENDING, summary=SUMMARY, attempts=1, decisions=()):
    return Approval(
        "apr-abc", Question("f", "agent", "prod", summary), state, 0.0, 3600.0, attempts, 0.0, None, decisions
    )


@pytest.mark.parametrize("waits", ["refuse", "retry"])
@pytest.mark.parametrize("state", State)
def test_no_answer_looks_like_success_and_each_has_the_id(state, waits):
    refused = answer(approval(state), waits)
    assert refused.code >= 400
    assert "apr-abc" in refused.message
    assert "delete Deployment payments/api" in refused.message
    assert [(cause.reason, cause.message) for cause in refused.causes] == [("ApprovalID", "apr-abc")]


def test_pending_for_an_agent_that_reads_is_403_and_says_how_to_go_on():
    refused = answer(approval(), "refuse")
    assert (refused.code, refused.reason, refused.retry_after) == (403, "ApprovalPending", None)
    assert "`pratique approvals approve apr-abc`" in refused.message
    assert "Repeat exactly the same request after approval, before 1970-01-01 01:00 UTC" in refused.message
    assert "(rule `p/r`: deletes need a person)" in refused.message


def test_a_question_without_a_rule_does_not_name_one():
    assert "rule" not in answer(approval(summary=Summary("get /x", "GET", "/x")), "refuse").message
    assert "(rule `p/r`)" in answer(approval(summary=Summary("w", "GET", "/", rules=("p/r",))), "refuse").message


def test_pending_for_client_go_is_429_with_a_growing_retry_after():
    delays = [answer(approval(attempts=attempts), "retry") for attempts in range(1, 12)]
    assert {refused.code for refused in delays} == {429}
    assert [refused.retry_after for refused in delays] == [5, 10, 20, 30] + [60] * 7
    assert RETRY_AFTER_SECONDS[-1] == 60


def test_a_denial_is_403_with_the_reviewers_words_escaped():
    decided = Decided("alice", Decision.DENY, "not\x1b[31m on a Friday\n", 1.0)
    refused = answer(approval(State.DENIED, decisions=(decided,)), "retry")
    assert (refused.code, refused.reason, refused.retry_after) == (403, "ApprovalDenied", None)
    assert refused.message.endswith("`alice` denied it: not\\u{1b}[31m on a Friday\\u{a}")


def test_a_denial_without_a_reason_says_so():
    decided = Decided("alice", Decision.DENY, "", 1.0)
    assert answer(approval(State.DENIED, decisions=(decided,)), "refuse").message.endswith("denied it without a reason")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.EXPIRED, "ApprovalExpired"),
        (State.CANCELLED, "ApprovalCancelled"),
        (State.REVOKED, "ApprovalRevoked"),
        (State.USED, "ApprovalUsed"),
    ],
)
def test_what_is_closed_is_403_and_never_retried(state, reason):
    refused = answer(approval(state), "retry")
    assert (refused.code, refused.reason, refused.retry_after) == (403, reason, None)
