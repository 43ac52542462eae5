"""One request through the queue: nothing is granted without a decision, nothing used twice."""

from __future__ import annotations

import asyncio

import pytest

from pratique.approvals.deciding import Decision
from pratique.approvals.queue import ApprovalQueue
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State
from pratique.approvals.waiting import Waiter
from pratique.errors import Refused, StoreError
from tests.approvals.helpers import VirtualTime, question

ASKED = question()


@pytest.fixture
def clock():
    return VirtualTime()


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "approvals.sqlite")
    yield store
    store.close()


@pytest.fixture
def queue(store, clock):
    return ApprovalQueue(store, Waiter(store, clock=clock, sleep=clock.sleep), clock)


def refused_by(coroutine):
    with pytest.raises(Refused) as raised:
        asyncio.run(coroutine)
    return raised.value


def decide(store, clock, decision=Decision.APPROVE):
    (pending,) = store.find(clock(), states={State.PENDING})
    return store.decide(pending.id, decision, "alice", "", clock())


@pytest.mark.parametrize("hold", [0, 45])
def test_undecided_is_pending_after_the_hold(queue, clock, hold):
    before = clock()
    assert refused_by(queue.granted(ASKED, "refuse", hold)).reason == "ApprovalPending"
    assert hold <= clock() - before <= hold + 1


def test_approved_while_held_is_granted_and_used_once(queue, store, clock):
    async def run():
        task = asyncio.create_task(queue.granted(ASKED, "refuse", 1e9))
        while not store.find(clock()):
            await asyncio.sleep(0.001)
        decide(store, clock)
        approval_id = (await task).id
        await queue.use(approval_id, ASKED.fingerprint, "agent")
        return approval_id

    assert refused_by(queue.use(asyncio.run(run()), ASKED.fingerprint, "agent")).reason == "ApprovalUsed"


def test_approved_after_the_hold_the_repeat_succeeds(queue, store, clock):
    refused_by(queue.granted(ASKED, "refuse", 0))
    approval = decide(store, clock)
    assert asyncio.run(queue.granted(ASKED, "refuse", 0)).id == approval.id


def test_a_grant_that_is_not_used_is_there_for_the_next_attempt(queue, store, clock):
    refused_by(queue.granted(ASKED, "refuse", 0))
    decide(store, clock)
    ids = [asyncio.run(queue.granted(ASKED, "refuse", 0)).id for _ in range(2)]
    assert ids[0] == ids[1]


def test_denied_is_told_at_once_to_the_repeat_too(queue, store, clock):
    refused_by(queue.granted(ASKED, "retry", 0))
    decide(store, clock, Decision.DENY)
    assert refused_by(queue.granted(ASKED, "retry", 45)).reason == "ApprovalDenied"


def test_two_copies_that_are_granted_at_once_give_one_use(queue, store, clock):
    refused_by(queue.granted(ASKED, "refuse", 0))
    decide(store, clock)

    async def run():
        granted = await asyncio.gather(*[queue.granted(ASKED, "refuse", 0) for _ in range(4)])
        uses = [queue.use(approval.id, ASKED.fingerprint, "agent") for approval in granted]
        return await asyncio.gather(*uses, return_exceptions=True)

    outcomes = asyncio.run(run())
    assert outcomes.count(None) == 1
    assert {outcome.reason for outcome in outcomes if outcome is not None} == {"ApprovalUsed"}


@pytest.mark.parametrize(("fingerprint", "client"), [("0" * 64, "agent"), (ASKED.fingerprint, "other")])
def test_an_approval_of_another_request_is_not_used_and_not_described(queue, store, clock, fingerprint, client):
    refused_by(queue.granted(ASKED, "refuse", 0))
    approval = decide(store, clock)
    refused = refused_by(queue.use(approval.id, fingerprint, client))
    assert refused.rule == "approval-mismatch"
    assert "payments" not in refused.message
    assert store.get(approval.id, clock()).state is State.APPROVED


def test_an_approval_that_expired_since_the_grant_is_not_used(queue, store, clock):
    refused_by(queue.granted(ASKED, "refuse", 0))
    approval = decide(store, clock)
    clock.now = approval.expires_at
    assert refused_by(queue.use(approval.id, ASKED.fingerprint, "agent")).reason == "ApprovalExpired"


def test_an_approval_that_is_not_in_the_store_is_a_store_error(queue):
    with pytest.raises(StoreError):
        asyncio.run(queue.use("apr-none", ASKED.fingerprint, "agent"))


def test_a_store_that_fails_grants_nothing(queue, store):
    store.close()
    with pytest.raises(StoreError):
        asyncio.run(queue.granted(ASKED, "refuse", 45))
