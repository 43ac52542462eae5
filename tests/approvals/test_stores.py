"""What every store of approvals promises: joined, decided, used at most once, refused when in doubt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pratique.approvals import steps
from pratique.approvals.deciding import Decision
from pratique.approvals.store import APPROVED_FOR_SECONDS, DENIAL_STANDS_SECONDS, MAX_REASON_CHARACTERS
from pratique.approvals.transitions import State
from pratique.errors import Refused, StoreError
from pratique.verdict import ApprovalTerms
from tests.approvals.helpers import HOUR, NOW, approved, in_threads, question, use


def test_a_question_comes_back_as_it_was_asked(store):
    asked = question(terms=ApprovalTerms(("sre-*",), 2, 60.0, "once"))
    approval = store.ask(asked, NOW)
    assert approval.question == asked
    assert (approval.state, approval.attempts, approval.expires_at) == (State.PENDING, 1, NOW + 60)
    assert (approval.reviewer, approval.reason) == ("", "")
    assert store.get(approval.id, NOW) == approval


def test_the_same_question_joins_and_counts_the_attempt(store):
    first = store.ask(question(), NOW)
    again = store.ask(question(), NOW + 5)
    assert (again.id, again.attempts, again.last_attempt_at) == (first.id, 2, NOW + 5)
    approval = store.decide(first.id, Decision.APPROVE, "alice", "", NOW + 6)
    assert store.ask(question(), NOW + 7).id == approval.id


def test_another_question_or_another_client_is_another_approval(store):
    ids = {store.ask(asked, NOW).id for asked in (question(), question("db"), question(client="other"))}
    assert len(ids) == 3


def test_a_used_approval_is_not_joined(store):
    approval = approved(store)
    assert use(store, approval)
    assert store.ask(question(), NOW).id != approval.id


def test_a_denial_stands_for_the_spdy_repeat_and_not_for_ever(store):
    first = store.ask(question(), NOW)
    store.decide(first.id, Decision.DENY, "alice", "no", NOW)
    assert store.ask(question(), NOW + 1).id == first.id
    assert store.ask(question(), NOW + DENIAL_STANDS_SECONDS).id != first.id


def test_an_approval_is_used_once(store):
    approval = approved(store)
    assert use(store, approval)
    assert not use(store, approval)
    assert store.get(approval.id, NOW).state is State.USED


def test_an_approval_is_used_only_by_its_request_and_client(store):
    approval = approved(store)
    assert not store.consume(approval.id, "0" * 64, approval.client, NOW)
    assert not store.consume(approval.id, approval.question.fingerprint, "other", NOW)
    assert not store.consume("apr-none", approval.question.fingerprint, approval.client, NOW)
    assert use(store, approval)


@pytest.mark.parametrize("prepare", ["pending", "denied", "cancelled", "revoked", "expired"])
def test_only_an_approved_one_is_used(store, prepare):
    approval = store.ask(question(), NOW)
    if prepare == "denied":
        store.decide(approval.id, Decision.DENY, "alice", "", NOW)
    elif prepare == "cancelled":
        assert store.cancel(approval.id, NOW)
    elif prepare == "revoked":
        store.decide(approval.id, Decision.APPROVE, "alice", "", NOW)
        assert store.revoke(approval.id, NOW)
    elif prepare == "expired":
        store.expire(NOW + HOUR)
    assert not use(store, approval)
    assert store.get(approval.id, NOW).state == prepare


def test_an_approval_is_not_used_from_its_expiry_on_though_nobody_wrote_it_down(store):
    approval = approved(store)
    assert not use(store, approval, approval.expires_at)
    assert store.get(approval.id, approval.expires_at).state is State.EXPIRED
    assert use(store, approval, approval.expires_at - 0.001)


def test_an_approval_in_the_last_moment_leaves_time_to_repeat(store):
    approval = store.ask(question(), NOW)
    late = NOW + HOUR - 1
    assert store.decide(approval.id, Decision.APPROVE, "alice", "", late).expires_at == late + APPROVED_FOR_SECONDS


def test_an_early_approval_keeps_the_rules_time(store):
    assert approved(store).expires_at == NOW + HOUR


def test_decisions_after_expiry_are_refused(store):
    approval = store.ask(question(), NOW)
    with pytest.raises(Refused) as raised:
        store.decide(approval.id, Decision.APPROVE, "alice", "", NOW + HOUR)
    assert raised.value.code == 409


def test_the_second_decision_is_refused(store):
    approval = approved(store)
    with pytest.raises(Refused, match="approved"):
        store.decide(approval.id, Decision.DENY, "bob", "", NOW)


def test_a_denial_keeps_reviewer_and_reason(store):
    approval = store.ask(question(), NOW)
    denied = store.decide(approval.id, Decision.DENY, "alice", "not on a Friday", NOW + 1)
    assert (denied.state, denied.reviewer, denied.reason) == (State.DENIED, "alice", "not on a Friday")
    assert denied.closed_at == NOW + 1


def test_the_client_cannot_approve_itself(store):
    approval = store.ask(question(client="agent"), NOW)
    with pytest.raises(Refused) as raised:
        store.decide(approval.id, Decision.APPROVE, "agent", "", NOW)
    assert raised.value.code == 403
    assert store.get(approval.id, NOW).state is State.PENDING


def test_a_quorum_needs_distinct_people(store):
    approval = store.ask(question(terms=ApprovalTerms(quorum=2, expires_after=HOUR)), NOW)
    assert store.decide(approval.id, Decision.APPROVE, "alice", "", NOW).state is State.PENDING
    assert not use(store, approval)
    with pytest.raises(Refused, match="already"):
        store.decide(approval.id, Decision.APPROVE, "ALICE", "", NOW)
    assert store.decide(approval.id, Decision.APPROVE, "bob", "", NOW).state is State.APPROVED


def test_one_denial_denies_whatever_the_quorum(store):
    approval = store.ask(question(terms=ApprovalTerms(quorum=2, expires_after=HOUR)), NOW)
    store.decide(approval.id, Decision.APPROVE, "alice", "", NOW)
    assert store.decide(approval.id, Decision.DENY, "bob", "", NOW).state is State.DENIED


def test_an_unknown_approval_cannot_be_decided(store):
    with pytest.raises(Refused) as raised:
        store.decide("apr-none", Decision.APPROVE, "alice", "", NOW)
    assert raised.value.code == 404
    assert store.get("apr-none", NOW) is None


def test_a_reason_that_is_too_long_is_refused_not_cut(store):
    approval = store.ask(question(), NOW)
    with pytest.raises(Refused) as raised:
        store.decide(approval.id, Decision.DENY, "alice", "x" * (MAX_REASON_CHARACTERS + 1), NOW)
    assert raised.value.code == 400


def test_cancel_and_revoke_only_what_they_may(store):
    approval = store.ask(question(), NOW)
    assert not store.revoke(approval.id, NOW)
    assert not store.cancel("apr-none", NOW)
    assert store.cancel(approval.id, NOW)
    assert not store.cancel(approval.id, NOW)


def test_expiry_drops_the_body_that_nobody_decided_about_and_keeps_the_others(store):
    pending, decided = store.ask(question(body="secret"), NOW), approved(store, question("db", body="kept"))
    assert store.expire(NOW + HOUR) == 2
    assert store.expire(NOW + HOUR) == 0
    assert store.get(pending.id, NOW).question.summary.body == ""
    assert store.get(decided.id, NOW).question.summary.body == "kept"


def test_finding_by_state_as_it_counts_now_by_client_and_newest_first(store):
    old = store.ask(question("old"), NOW)
    new = store.ask(question("new", client="other"), NOW + 10)
    assert [found.id for found in store.find(NOW + 10)] == [new.id, old.id]
    assert [found.id for found in store.find(NOW + 10, client="agent")] == [old.id]
    assert [found.id for found in store.find(NOW + HOUR, states={State.PENDING})] == [new.id]
    assert [found.id for found in store.find(NOW + HOUR, states={State.EXPIRED})] == [old.id]
    assert len(store.find(NOW, limit=1)) == 1


def test_states_of_those_that_exist(store):
    one, two = store.ask(question("a"), NOW), approved(store, question("b"))
    assert store.states([one.id, two.id, "apr-none"], NOW) == {one.id: State.PENDING, two.id: State.APPROVED}
    assert store.states([one.id], NOW + HOUR) == {one.id: State.EXPIRED}


def test_too_many_pending_of_one_client_are_429_without_retry_after(stores):
    store = stores.open(max_pending=2)
    first = store.ask(question("a"), NOW)
    store.ask(question("b"), NOW)
    with pytest.raises(Refused) as raised:
        store.ask(question("c"), NOW)
    assert (raised.value.code, raised.value.retry_after) == (429, None)
    assert store.ask(question("a"), NOW).id == first.id, "a repeat is no new question"
    store.ask(question("c", client="other"), NOW)
    store.decide(first.id, Decision.DENY, "alice", "", NOW)
    store.ask(question("c"), NOW)


@pytest.mark.parametrize(("most", "says"), [(1, "waits for 1 approvals already"), (0, "may not ask for approvals")])
def test_a_client_may_have_a_lower_quota_of_its_own(stores, most, says):
    store = stores.open(max_pending=5)
    for number in range(most):
        store.ask(replace(question(f"d{number}"), max_pending=most), 0)
    for asks in (store.ask, store.is_new):
        with pytest.raises(Refused, match=says) as raised:
            asks(replace(question("one-more"), max_pending=most), 0)
        assert (raised.value.code, raised.value.retry_after) == (429, None)
    assert store.ask(question("one-more", client="other"), 0)


def test_expired_ones_do_not_count_against_the_quota(stores):
    store = stores.open(max_pending=1)
    store.ask(question("a"), NOW)
    store.ask(question("b"), NOW + HOUR)


def test_too_many_stored_bytes_are_429(stores):
    store = stores.open(max_open_bytes=2000)
    store.ask(question("a", body="x" * 1000), NOW)
    with pytest.raises(Refused) as raised:
        store.ask(question("b", client="other", body="x" * 1000), NOW)
    assert (raised.value.code, raised.value.retry_after) == (429, None)


def test_one_question_that_is_too_large_is_413(store, monkeypatch):
    monkeypatch.setattr(steps, "MAX_QUESTION_BYTES", 500)
    with pytest.raises(Refused) as raised:
        store.ask(question(body="x" * 500), NOW)
    assert raised.value.code == 413
    assert store.find(NOW) == []


def test_the_version_changes_with_own_and_others_commits_only(store, stores):
    first = store.version()
    assert store.version() == first
    store.ask(question(), NOW)
    second = store.version()
    assert second != first
    other = stores.open()
    third = store.version()
    other.ask(question("db"), NOW)
    assert store.version() != third


def test_it_survives_a_restart(store, stores):
    approval = approved(store)
    store.close()
    again = stores.open()
    assert again.get(approval.id, NOW) == approval
    assert use(again, approval)


def test_of_many_threads_exactly_one_uses_an_approval(store, stores):
    approval = approved(store)
    both = [store, stores.open()]
    assert sum(in_threads(8, lambda index: use(both[index % 2], approval))) == 1


def test_of_many_askers_one_makes_the_approval_and_all_join_it(store, stores):
    both = [store, stores.open()]
    ids = in_threads(8, lambda index: both[index % 2].ask(question(), NOW).id)
    assert len(ids) == 8
    assert len(set(ids)) == 1
    assert store.get(ids[0], NOW).attempts == 8


def test_of_approve_and_deny_at_once_one_wins(store, stores):
    approval = store.ask(question(), NOW)
    both = [store, stores.open()]

    def decide(index):
        try:
            return both[index].decide(approval.id, list(Decision)[index], f"reviewer-{index}", "", NOW).state
        except Refused as refused:
            return refused.code

    outcomes = in_threads(2, decide)
    assert outcomes.count(409) == 1
    assert store.get(approval.id, NOW).state in outcomes


def test_a_refused_change_leaves_nothing_behind(store):
    store._new_id = lambda: "apr-same"
    store.ask(question("a"), NOW)
    with pytest.raises(StoreError):
        store.ask(question("b"), NOW)
    assert [found.question.summary.words for found in store.find(NOW)] == ["delete Deployment payments/a"]
    store.ask(question("a"), NOW)


def test_a_closed_store_is_a_store_error(store):
    store.close()
    for call in (lambda: store.ask(question(), NOW), lambda: store.find(NOW), store.version):
        with pytest.raises(StoreError):
            call()


def test_text_that_cannot_be_stored_is_a_store_error(store):
    with pytest.raises(StoreError):
        store.ask(question(body="\udcff"), NOW)


def test_pruning_forgets_closed_ones_only(store):
    approval = approved(store)
    use(store, approval)
    waiting = store.ask(question("db"), NOW)
    assert store.prune(NOW) == 0
    assert store.prune(NOW + 1) == 1
    assert store.get(approval.id, NOW) is None
    assert store.get(waiting.id, NOW) is not None
