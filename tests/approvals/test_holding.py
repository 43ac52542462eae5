"""A held exchange: what was shown is what is done, for a client that is still there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from pratique.approvals.deciding import Decision
from pratique.approvals.effects import Effect
from pratique.approvals.foreseeing import Sight, unknown
from pratique.approvals.grants import GrantKind, Wish
from pratique.approvals.holding import CHANGED, Holding
from pratique.approvals.queue import ApprovalQueue
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State
from pratique.approvals.waiting import Waiter
from pratique.errors import Refused
from pratique.identity.clients import Client
from pratique.kube.canonical import RawRequest, canonicalise
from pratique.kube.rehearsal import Precondition
from pratique.verdict import Action, Verdict
from tests.approvals.helpers import VirtualTime

DELETE = canonicalise(RawRequest(b"DELETE", b"/api/v1/namespaces/a/configmaps/c", ((b"Host", b"x"),), b""))
KUBECTL = {"User-Agent": "kubectl/v1.36.2 (linux/amd64) kubernetes/abc"}
RUNNER = {"User-Agent": "runner/v1.2.3 (linux/amd64) kubernetes/abc"}
PYTHON = {"User-Agent": "OpenAPI-Generator/37.0.1/python"}
UPGRADE = (
    (b"Host", b"x"), (b"Connection", b"Upgrade"), (b"Upgrade", b"SPDY/3.1"), (b"X-Stream-Protocol-Version", b"v4.channel.k8s.io"),
)  # fmt: skip
POD = b"/api/v1/namespaces/a/pods/p"
EXEC = canonicalise(RawRequest(b"POST", POD + b"/exec?command=id&stdout=true", UPGRADE, b""))
FORWARD = canonicalise(
    RawRequest(b"POST", POD + b"/portforward", (*UPGRADE[:3], (UPGRADE[3][0], b"portforward.k8s.io")), b"")
)
ONE, OTHER = Effect(digest="one"), Effect(digest="other")
NOW = Precondition("7", "u")


class Masks:
    def body(self, request, client):
        return "masked body"

    def text(self, request, client, text):
        return text.replace("ConfigMap", "masked-kind")

    def document(self, request, client, document):
        return document


class Foreseer:
    """Sees each of `effects` once, then the last for ever."""

    def __init__(self, *effects):
        self.effects = list(effects)
        self.looks = 0

    async def look(self, request, client, own_call):
        self.looks += 1
        effect = self.effects.pop(0) if len(self.effects) > 1 else self.effects[0]
        return Sight(effect, NOW)


@dataclass(eq=False)
class Held:
    client: Any = field(default_factory=lambda: Client("agent"))
    session: str = "s1"
    source: str = "192.0.2.7"
    claims: dict = field(default_factory=dict)
    canonical: Any = DELETE
    verdict: Any = field(default_factory=lambda: Verdict(Action.REQUIRE_APPROVAL, ("p/r",)))
    precondition: Any = None
    gone: Any = field(default_factory=asyncio.Event)

    def own_call(self, what):
        return f"id-{what}"


@pytest.fixture
def clock():
    return VirtualTime()


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "s", max_pending=2)
    yield store
    store.close()


@pytest.fixture
def make(store, clock):
    def make(*effects, exec_hold=300.0):
        foreseer = Foreseer(*effects) if effects else None
        queue = ApprovalQueue(store, Waiter(store, clock=clock, sleep=clock.sleep, poll_seconds=1.0), clock)
        holding = Holding(
            queue, "prod", Masks(), lambda: 45.0, exec_hold=lambda: exec_hold, foreseer=foreseer, clock=clock
        )
        return holding, foreseer

    return make


def approve(store, clock, wish=None):
    (pending,) = store.find(clock(), states={State.PENDING})
    return store.decide(pending.id, Decision.APPROVE, "alice", "", clock(), wish=wish)


def refused_by(work):
    with pytest.raises(Refused) as raised:
        asyncio.run(work)
    return raised.value


def test_what_reviewers_see_is_masked_and_says_who_asks(make, store, clock):
    holding, _ = make(ONE)
    refused_by(holding.granted(Held(claims={"User-Agent": "x"})))
    (listed,) = store.find(clock())
    approval = store.get(listed.id, clock())
    summary = approval.question.summary
    assert listed.question.summary.body == ""  # a list does not read what is large
    assert (summary.words, summary.body) == ("delete masked-kind a/c", "masked body")
    assert (summary.source, summary.claims, approval.question.session) == ("192.0.2.7", {"User-Agent": "x"}, "s1")
    assert summary.effect == ONE


def test_approved_and_unchanged_it_goes_on_tied_to_what_was_shown(make, store, clock):
    holding, foreseer = make(ONE)
    refused_by(holding.granted(Held()))
    approval, held = approve(store, clock), Held()
    assert asyncio.run(holding.granted(held)) == approval.id
    assert held.precondition == NOW
    assert foreseer.looks == 2
    asyncio.run(holding.use(approval.id, held))
    assert store.get(approval.id, clock()).state is State.USED


def test_bypass_6_05_6_06_another_effect_than_the_one_shown_is_asked_anew(make, store, clock):
    holding, _ = make(ONE, OTHER)
    refused_by(holding.granted(Held()))
    approval, held = approve(store, clock), Held()
    refused = refused_by(holding.granted(held))
    assert refused.reason == "ApprovalPending"
    ended, (asked,) = store.get(approval.id, clock()), store.find(clock(), states={State.PENDING})
    assert (ended.state, ended.note) == (State.REVOKED, CHANGED)
    assert asked.question.summary.effect == OTHER
    assert held.precondition is None
    again = approve(store, clock)
    assert asyncio.run(holding.granted(held)) == again.id


def test_what_cannot_be_looked_at_again_is_not_done_and_the_approval_stays(make, store, clock):
    holding, _ = make(ONE, unknown("the API server cannot be reached"), ONE)
    refused_by(holding.granted(Held()))
    approval = approve(store, clock)
    refused = refused_by(holding.granted(Held()))
    assert (refused.code, refused.retry_after) == (503, None)
    assert "cannot be reached" in refused.message
    assert store.get(approval.id, clock()).state is State.APPROVED
    assert asyncio.run(holding.granted(Held())) == approval.id


def test_a_grant_needs_no_second_look(make, store, clock):
    holding, foreseer = make(ONE, OTHER)
    refused_by(holding.granted(Held()))
    first = approve(store, clock, Wish(GrantKind.DURATION, 600))
    store.consume(first.id, first.question.fingerprint, "agent", clock())
    looks = foreseer.looks
    held = Held()
    second = asyncio.run(holding.granted(held))
    assert second != first.id
    assert foreseer.looks == looks
    assert held.precondition is None


def test_a_repeat_that_joins_does_not_ask_the_cluster_again(make, store, clock):
    holding, foreseer = make(ONE)
    for _ in range(3):
        refused_by(holding.granted(Held()))
    assert foreseer.looks == 1
    (approval,) = store.find(clock())
    assert approval.attempts == 3


def test_bypass_6_12_over_quota_nothing_is_asked_of_the_cluster(make, store):
    holding, foreseer = make(ONE)
    targets = [f"/api/v1/namespaces/a/configmaps/c{index}".encode() for index in range(3)]
    held = [Held(canonical=canonicalise(RawRequest(b"DELETE", target, ((b"Host", b"x"),), b""))) for target in targets]
    refused = [refused_by(holding.granted(each)) for each in held]
    assert [each.code for each in refused] == [403, 403, 429]
    assert refused[2].retry_after is None
    assert foreseer.looks == 2


def test_a_client_that_leaves_gets_nothing_done(make, store, clock):
    holding, _ = make(ONE)

    async def run():
        held = Held()
        task = asyncio.create_task(holding.granted(held))
        while not store.find(clock()):
            await asyncio.sleep(0.001)
        held.gone.set()
        await task

    assert refused_by(run()).rule == "approval/gone"
    approval = approve(store, clock)
    assert approval.state is State.APPROVED


@pytest.mark.parametrize("missing", ["canonical", "verdict"])
def test_an_exchange_that_has_not_got_that_far_is_refused(make, missing):
    held = Held()
    setattr(held, missing, None)
    assert refused_by(make(ONE)[0].granted(held)).code == 500


def test_waiting_is_answered_by_the_kind_of_client(make):
    holding, _ = make(ONE)
    controller = {"User-Agent": "manager/v1 (linux/amd64) kubernetes/abc"}
    refused = [refused_by(holding.granted(Held(claims=controller))) for _ in range(3)]
    assert [(each.code, each.retry_after) for each in refused] == [(429, 5), (429, 10), (429, 20)]
    assert refused_by(holding.granted(Held())).code == 403


def test_the_hold_is_no_longer_than_the_client_or_the_gateway_wants(make, clock):
    holding, _ = make(ONE)
    before = clock()
    refused_by(holding.granted(Held(client=Client("agent", hold_seconds=3))))
    assert 3 <= clock() - before < 5
    before = clock()
    refused_by(holding.granted(Held(client=Client("agent", hold_seconds=290))))
    assert 45 <= clock() - before < 48


def test_without_a_foreseer_the_request_alone_is_shown(make, store, clock):
    holding, _ = make()
    refused_by(holding.granted(Held()))
    approval = approve(store, clock)
    assert approval.question.summary.effect is None
    assert asyncio.run(holding.granted(Held())) == approval.id


@pytest.mark.parametrize(
    ("held", "exec_hold", "early", "seconds"),
    [
        ({"canonical": EXEC, "claims": KUBECTL}, 300, 300, 300),
        ({"canonical": EXEC, "claims": RUNNER}, 300, 45, 45),  # nobody sees the lines
        ({"canonical": EXEC, "claims": PYTHON}, 300, 0, 45),  # would take a refusal for output
        ({"canonical": EXEC}, 300, 0, 45),
        ({"canonical": EXEC, "claims": KUBECTL}, 10, 45, 45),
        ({"canonical": EXEC, "claims": KUBECTL}, 0, 0, 45),
        ({"canonical": EXEC, "claims": KUBECTL, "client": Client("agent", hold_seconds=0)}, 300, 0, 0),
        ({"canonical": EXEC, "claims": KUBECTL, "client": Client("agent", hold_seconds=5)}, 300, 300, 300),
        ({"canonical": FORWARD, "claims": KUBECTL}, 300, 0, 45),  # has no stderr
        ({"claims": KUBECTL}, 300, 0, 45),
    ],
)
def test_who_is_answered_before_it_is_approved_and_how_long_it_is_held(make, clock, held, exec_hold, early, seconds):
    holding, _ = make(exec_hold=exec_hold)
    told = []

    async def asked(_held, approval, early):
        told.append((approval.state, early))

    holding.on_asked(asked)
    before = clock()
    assert refused_by(holding.granted(Held(**held))).reason == "ApprovalPending"
    assert told == [(State.PENDING, early)]
    assert seconds <= clock() - before < seconds + 3


def test_what_cannot_be_answered_early_is_refused(make):
    holding, _ = make()

    async def asked(_held, _approval, _early):
        raise Refused(503, "ServiceUnavailable", "it cannot be recorded")

    holding.on_asked(asked)
    assert refused_by(holding.granted(Held(canonical=EXEC, claims=KUBECTL))).code == 503


def test_a_gateway_that_stops_tells_whom_it_held_and_who_asks_then_to_repeat_it(make, store, clock):
    """Also who would rather read: it is no answer to the question. But an upgrade is never told to retry."""
    holding, _ = make(ONE)

    async def run():
        tasks = [asyncio.create_task(holding.granted(Held(client=Client(name, waits="refuse")))) for name in ("a", "b")]
        while holding.waiting < 2:
            await asyncio.sleep(0)
        assert holding.release()
        return await asyncio.gather(*tasks, return_exceptions=True)

    before = clock()
    held = asyncio.run(run())
    assert [(each.code, each.reason, each.retry_after) for each in held] == [(429, "TooManyRequests", 5)] * 2
    assert {approval.state for approval in store.find(clock())} == {State.PENDING}
    late = refused_by(holding.granted(Held(client=Client("a", waits="refuse"))))
    assert (late.code, late.rule) == (429, "approval-pending")
    assert clock() - before < 40, "nobody is held any more"
