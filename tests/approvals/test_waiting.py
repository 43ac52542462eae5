"""A held request learns of its decision soon, and never waits for ever."""

from __future__ import annotations

import asyncio

import pytest

from pratique.approvals.deciding import Decision
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State
from pratique.approvals.waiting import POLL_SECONDS, TROUBLE_SECONDS, Waiter
from pratique.errors import StoreError
from tests.approvals.helpers import HOUR, VirtualTime, question


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "approvals.sqlite")
    yield store
    store.close()


@pytest.fixture
def clock():
    return VirtualTime()


@pytest.fixture
def waiter(store, clock):
    return Waiter(store, clock=clock, sleep=clock.sleep)


async def until(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the condition did not come true")


@pytest.mark.parametrize(("decision", "state"), [(Decision.APPROVE, State.APPROVED), (Decision.DENY, State.DENIED)])
def test_a_decision_made_elsewhere_ends_the_wait(tmp_path, store, clock, decision, state):
    other = SqliteStore(tmp_path / "approvals.sqlite")

    async def run():
        approval = store.ask(question(), clock())
        waiter = Waiter(store, clock=clock, sleep=lambda _: asyncio.sleep(0.001))
        task = asyncio.create_task(waiter.wait(approval.id, 60))
        await until(lambda: waiter.waiting)
        other.decide(approval.id, decision, "alice", "", clock())
        assert await task is state
        assert waiter.waiting == 0

    asyncio.run(run())
    other.close()


def test_a_decision_made_before_the_wait_is_seen_at_once(store, waiter, clock):
    async def run():
        approval = store.ask(question(), clock())
        store.decide(approval.id, Decision.APPROVE, "alice", "", clock())
        before = clock()
        assert await waiter.wait(approval.id, 60) is State.APPROVED
        assert clock() - before <= 2 * POLL_SECONDS

    asyncio.run(run())


def test_without_a_decision_the_answer_is_pending_in_time(store, waiter, clock):
    async def run():
        approval = store.ask(question(), clock())
        before = clock()
        assert await waiter.wait(approval.id, 45) is State.PENDING
        assert 45 <= clock() - before <= 45 + 2 * POLL_SECONDS

    asyncio.run(run())


def test_expiry_ends_the_wait_and_is_written_down(store, waiter, clock):
    async def run():
        approval = store.ask(question(), clock())
        clock.now += HOUR - 1
        assert await waiter.wait(approval.id, 45) is State.EXPIRED
        assert store.get(approval.id, 0).state is State.EXPIRED

    asyncio.run(run())


def test_many_waits_share_one_poller_and_each_gets_its_own_answer(store, clock):
    polls = 0

    async def run():
        nonlocal polls
        ids = [store.ask(question(f"d{index}", client=f"c{index}"), clock()).id for index in range(50)]

        async def sleep(_):
            nonlocal polls
            polls += 1
            await asyncio.sleep(0.001)

        waiter = Waiter(store, clock=clock, sleep=sleep)
        tasks = [asyncio.create_task(waiter.wait(id_, 60)) for id_ in ids]
        await until(lambda: waiter.waiting == 50)
        for index, id_ in enumerate(ids):
            store.decide(id_, list(Decision)[index % 2], "alice", "", clock())
        states = await asyncio.gather(*tasks)
        assert states == [State.APPROVED, State.DENIED] * 25

    asyncio.run(run())
    assert polls < 2000


def test_a_cancelled_wait_leaves_nothing_and_disturbs_nobody(store, clock):
    async def run():
        approval = store.ask(question(), clock())
        waiter = Waiter(store, clock=clock, sleep=lambda _: asyncio.sleep(0.001))
        leaving, staying = (asyncio.create_task(waiter.wait(approval.id, 60)) for _ in range(2))
        await until(lambda: waiter.waiting == 2)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert waiter.waiting == 1
        store.decide(approval.id, Decision.APPROVE, "alice", "", clock())
        assert await staying is State.APPROVED

    asyncio.run(run())


def test_the_poller_ends_with_the_last_wait_and_begins_again(store, waiter, clock):
    async def run():
        approval = store.ask(question(), clock())
        assert await waiter.wait(approval.id, 1) is State.PENDING
        await until(waiter._poller.done)
        assert await waiter.wait(approval.id, 1) is State.PENDING

    asyncio.run(run())


def test_a_store_that_fails_fails_every_wait(store, waiter, clock):
    async def run():
        approval = store.ask(question(), clock())
        store.close()
        with pytest.raises(StoreError):
            await waiter.wait(approval.id, 60)

    asyncio.run(run())


def test_a_store_that_fails_for_a_moment_ends_no_wait(store, waiter, clock, monkeypatch):
    fine = store.version

    def failing():
        if clock() < 1000.0 + TROUBLE_SECONDS:
            raise StoreError("throttled")
        return fine()

    async def run():
        approval = store.ask(question(), clock())
        monkeypatch.setattr(store, "version", failing)
        store.decide(approval.id, Decision.APPROVE, "alice", "", clock())
        assert await waiter.wait(approval.id, 60) is State.APPROVED
        assert clock() >= 1000.0 + TROUBLE_SECONDS

    asyncio.run(run())


def test_a_wait_ends_in_time_though_the_store_fails(store, waiter, clock):
    async def run():
        approval = store.ask(question(), clock())
        store.close()
        assert await waiter.wait(approval.id, 1) is State.PENDING

    asyncio.run(run())


def test_a_store_that_goes_on_failing_fails_the_next_waits_after_the_same_time(store, waiter, clock):
    async def run():
        approval = store.ask(question(), clock())
        store.close()
        for _ in range(2):
            before = clock()
            with pytest.raises(StoreError):
                await waiter.wait(approval.id, 60)
            assert TROUBLE_SECONDS <= clock() - before <= TROUBLE_SECONDS + 1

    asyncio.run(run())


def test_any_other_fault_of_the_poller_fails_every_wait_too(store, waiter, clock, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    async def run():
        approval = store.ask(question(), clock())
        monkeypatch.setattr(store, "states", broken)
        with pytest.raises(StoreError, match="ZeroDivisionError"):
            await waiter.wait(approval.id, 60)

    asyncio.run(run())


def test_an_approval_that_is_not_there_is_a_store_error(waiter):
    with pytest.raises(StoreError, match="apr-none"):
        asyncio.run(waiter.wait("apr-none", 60))


@pytest.mark.parametrize("how", ["release", "close"])
def test_a_draining_gateway_lets_its_waits_end_as_pending(store, clock, how):
    async def run():
        approval = store.ask(question(), clock())
        waiter = Waiter(store, clock=clock, sleep=lambda _: asyncio.sleep(0.001))
        task = asyncio.create_task(waiter.wait(approval.id, 60))
        await until(lambda: waiter.waiting)
        if how == "release":
            waiter.release()
        else:
            await waiter.close()
        assert await task is State.PENDING
        await waiter.close()

    asyncio.run(run())


def test_a_poller_that_is_cancelled_from_outside_leaves_nobody_waiting(store, clock):
    async def run():
        approval = store.ask(question(), clock())
        waiter = Waiter(store, clock=clock, sleep=lambda _: asyncio.sleep(0.001))
        task = asyncio.create_task(waiter.wait(approval.id, 60))
        await until(lambda: waiter._poller is not None)
        await asyncio.sleep(0.005)
        waiter._poller.cancel()
        assert await task is State.PENDING

    asyncio.run(run())
