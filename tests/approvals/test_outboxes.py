"""What every outbox of webhooks promises, and that of several replicas one sends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pratique.approvals.dynamodb_outbox import CLAIM_SECONDS
from pratique.approvals.notifying import Notifier
from pratique.approvals.outbox import Message
from pratique.approvals.webhooks import EventName
from tests.approvals.helpers import NOW, VirtualTime, question
from tests.approvals.stores import Stores
from tests.approvals.test_webhooks import DOCUMENT, SECRET, Receiver, webhooks

ASKED = Message("ops", "apr-1", EventName.ASKED)
DENIED = Message("ops", "apr-1", EventName.DENIED)


@pytest.fixture
def outbox(stores):
    return stores.outbox()


@pytest.fixture
def shared(tmp_path):
    stores = Stores("dynamodb", tmp_path)
    yield stores
    stores.close()


def test_a_receiver_is_known_since_its_first_time(outbox, stores):
    assert outbox.since("ops", NOW) == NOW
    assert outbox.since("ops", NOW + 5) == NOW
    assert stores.outbox().since("ops", NOW + 5) == NOW
    assert outbox.since("other", NOW + 5) == NOW + 5


def test_a_message_is_put_in_once_whoever_does_it(outbox, stores):
    assert outbox.add([ASKED, DENIED], NOW) == 2
    assert outbox.add([ASKED, DENIED], NOW) == 0
    assert stores.outbox().add([ASKED], NOW + 1) == 0


def test_what_is_due_is_sent_and_ends(outbox):
    outbox.add([ASKED, DENIED], NOW)
    assert outbox.due(NOW - 1, 8) == []
    assert len(outbox.due(NOW, 1)) == 1
    later = NOW + CLAIM_SECONDS
    found = outbox.due(later, 8)
    assert set(found) == {ASKED, DENIED}
    outbox.end(ASKED, "204", later)
    outbox.again(DENIED, "500", later + 30)
    assert outbox.due(later + 29, 8) == []
    (again,) = outbox.due(later + 30, 8)
    assert (again.event, again.attempts) == (EventName.DENIED, 1)
    assert outbox.add([ASKED], later) == 0, "an ended one is not put in again"


def test_of_two_replicas_that_find_a_message_one_claims_it(shared):
    one, other = shared.outbox(), shared.outbox()
    one.add([ASKED], NOW)
    claimed = []

    def rival(operation, _arguments):
        if operation == "update_item" and not claimed:
            claimed.append(None)
            claimed[:] = other.due(NOW, 8)

    shared.service.before = rival
    assert one.due(NOW, 8) == []
    assert claimed == [ASKED]


def test_the_claim_of_a_replica_that_died_runs_out(shared):
    one, other = shared.outbox(), shared.outbox()
    one.add([ASKED], NOW)
    assert one.due(NOW, 8) == [ASKED]
    assert other.due(NOW + CLAIM_SECONDS - 1, 8) == []
    assert other.due(NOW + CLAIM_SECONDS, 8) == [ASKED]


def test_two_replicas_tell_a_receiver_once(shared, tmp_path: Path):
    (tmp_path / "secret").write_text(SECRET if isinstance(SECRET, str) else SECRET.decode())
    clock, receiver, found = VirtualTime(NOW), Receiver(), webhooks(DOCUMENT, tmp_path)
    stores = [shared.open(), shared.open()]
    notifiers = [
        Notifier(store, shared.outbox(), lambda: found, lambda _id: "", clock=clock, sleep=clock.sleep, post=receiver)
        for store in stores
    ]

    async def step():
        await asyncio.gather(*[notifier.step() for notifier in notifiers])

    asyncio.run(step())
    stores[0].ask(question(), NOW)
    for _ in range(3):
        asyncio.run(step())
    assert receiver.events() == ["asked"]
