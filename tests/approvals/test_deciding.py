"""Somebody else than the client decides, of those the rule names, as many as it asks for."""

from __future__ import annotations

import pytest

from pratique.approvals.deciding import check_reviewer, quorum_reached
from pratique.errors import Refused
from pratique.verdict import ApprovalTerms

ANYBODY = ApprovalTerms()


@pytest.mark.parametrize("reviewer", ["agent", "AGENT", "Agent"])
def test_the_client_does_not_decide_its_own_request(reviewer):
    with pytest.raises(Refused, match="somebody else"):
        check_reviewer(reviewer, "agent", ANYBODY)


@pytest.mark.parametrize("reviewer", ["", " "])
def test_a_nameless_decision_is_refused(reviewer):
    with pytest.raises(Refused) as raised:
        check_reviewer(reviewer, "agent", ANYBODY)
    assert raised.value.code == 403


def test_only_the_rules_reviewers_decide():
    terms = ApprovalTerms(reviewers=("sre-*", "alice"))
    check_reviewer("sre-bob", "agent", terms)
    check_reviewer("alice", "agent", terms)
    with pytest.raises(Refused, match="not among"):
        check_reviewer("bob", "agent", terms)


def test_anybody_else_decides_when_the_rule_names_nobody():
    check_reviewer("bob", "agent", ANYBODY)


def test_one_person_is_one_voice_however_the_name_is_spelt():
    terms = ApprovalTerms(quorum=2)
    assert not quorum_reached(["alice"], terms)
    assert not quorum_reached(["alice", "Alice"], terms)
    assert quorum_reached(["alice", "bob"], terms)


@pytest.mark.parametrize("quorum", [0, -1])
def test_a_quorum_below_one_still_needs_one(quorum):
    assert not quorum_reached([], ApprovalTerms(quorum=quorum))
