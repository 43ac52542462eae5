"""Whatever reviewers, clients, grants, time and restarts do: nothing is used without a valid approval, and nothing twice."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pratique.approvals.deciding import Decision
from pratique.approvals.grants import GrantKind, Scope, Wish
from pratique.approvals.store import APPROVED_FOR_SECONDS, DENIAL_STANDS_SECONDS
from pratique.approvals.transitions import State
from pratique.errors import Refused
from pratique.verdict import ApprovalTerms
from tests.approvals.helpers import question
from tests.approvals.stores import Stores

LIFE = 100.0
QUOTA = 2
GRANT = 50.0
NAMES = st.sampled_from(["a", "b", "two"])  # "two" needs two people
CLIENTS = st.sampled_from(["agent", "other"])
SESSIONS = st.sampled_from(["s1", "s2"])
REVIEWERS = st.sampled_from([("alice", "alice"), ("bob", "bob"), ("alice-phone", "alice"), ("agent", "agent")])
WISHES = st.sampled_from(["once", "once", "exactly", "scope", "session"])


def asked(name, client, session="s1"):
    terms = ApprovalTerms(expires_after=LIFE, quorum=2 if name == "two" else 1)
    return question(name, client, terms, session=session)


def wish_of(what, name):
    if what == "once":
        return Wish()
    scope = Scope.of(asked(name, "x").target, name="*") if what == "scope" else None
    return Wish(GrantKind.SESSION if what == "session" else GrantKind.DURATION, GRANT, scope)


@dataclass
class Entry:
    """An approval, told by the design and not by SQL."""

    state: str
    expires_at: float
    name: str
    client: str
    session: str
    grant: str = ""
    closed_at: float | None = None
    people: list[str] = field(default_factory=list)
    wishes: list[str] = field(default_factory=list)
    used: int = 0


@dataclass
class Given:
    """A grant: `what` is "exactly", "scope" or "session"."""

    what: str
    expires_at: float
    name: str
    client: str
    session: str
    origin: str
    live: bool = True


class Queue(RuleBasedStateMachine):
    kind = "sqlite"

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.stores = Stores(self.kind, self.folder)
        self.ids = itertools.count()
        self.store = self.opened()
        self.now = 1000.0
        self.model: dict[str, Entry] = {}
        self.given: dict[str, Given] = {}
        self.uses = 0

    def opened(self):
        """Ids in order: Hypothesis must draw the same things again when it shrinks."""
        return self.stores.open(max_pending=QUOTA, new_id=lambda: f"apr-{next(self.ids):05}")

    def teardown(self):
        self.stores.close()
        shutil.rmtree(self.folder)

    @initialize(name=NAMES, what=WISHES)
    def something_is_approved(self, name, what):
        """Without a start most runs would end before a grant was ever used."""
        approval = self.store.ask(asked(name, "agent"), self.now)
        self.model[approval.id] = Entry("pending", self.now + LIFE, name, "agent", "s1")
        for reviewer in ("alice", "bob")[: 2 if name == "two" else 1]:
            self.decided(approval.id, Decision.APPROVE, (reviewer, reviewer), what)

    def state(self, approval_id):
        entry = self.model[approval_id]
        return "expired" if entry.state in {"pending", "approved"} and self.now >= entry.expires_at else entry.state

    def is_live(self, grant_id):
        given = self.given[grant_id]
        return given.live and self.now < given.expires_at

    def covering(self, name, client, session):
        for grant_id, given in self.given.items():
            same = given.what == "scope" or given.name == name
            its = given.what != "session" or given.session == session
            if self.is_live(grant_id) and given.client == client and same and its:
                yield grant_id

    def standing(self, name, client):
        for approval_id, entry in self.model.items():
            if (entry.name, entry.client, entry.grant) != (name, client, ""):
                continue
            fresh = self.state(approval_id) == "denied" and entry.closed_at > self.now - DENIAL_STANDS_SECONDS
            if self.state(approval_id) in {"pending", "approved"} or fresh:
                yield approval_id

    @rule(name=NAMES, client=CLIENTS, session=SESSIONS)
    def ask(self, name, client, session):
        standing = list(self.standing(name, client))
        pending = [i for i, entry in self.model.items() if entry.client == client and self.state(i) == "pending"]
        grants = list(self.covering(name, client, session))
        decided = [i for i in standing if self.state(i) != "pending"]
        try:
            approval = self.store.ask(asked(name, client, session), self.now)
        except Refused as refused:
            assert refused.code == 429
            assert not standing
            assert not grants
            assert len(pending) >= QUOTA
            return
        if grants and not decided:
            assert approval.grant_id in grants
            assert approval.id not in self.model
            for replaced in standing:
                self.model[replaced].state = "cancelled"
            until = min(self.given[approval.grant_id].expires_at, self.now + APPROVED_FOR_SECONDS)
            self.model[approval.id] = Entry("approved", until, name, client, session, approval.grant_id)
        elif standing:
            assert approval.id in standing
        else:
            assert len(pending) < QUOTA
            assert approval.id not in self.model
            self.model[approval.id] = Entry("pending", self.now + LIFE, name, client, session)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), decision=st.sampled_from(Decision), reviewer=REVIEWERS, what=WISHES)
    def decide(self, data, decision, reviewer, what):
        self.decided(data.draw(st.sampled_from(sorted(self.model))), decision, reviewer, what)

    def decided(self, approval_id, decision, reviewer, what):
        entry, (name, person) = self.model[approval_id], reviewer
        allowed = self.state(approval_id) == "pending" and name != entry.client and person not in entry.people
        wish = wish_of(what, entry.name) if decision is Decision.APPROVE else None
        try:
            self.store.decide(approval_id, decision, name, "", self.now, wish=wish, person=person)
        except Refused:
            assert not allowed
            return
        assert allowed
        if decision is Decision.DENY:
            entry.state, entry.closed_at = "denied", self.now
            return
        entry.people.append(person)
        entry.wishes.append(what)
        if len(entry.people) >= (2 if entry.name == "two" else 1):
            entry.state, entry.expires_at = "approved", max(entry.expires_at, self.now + APPROVED_FOR_SECONDS)
            self.grant(approval_id, entry)

    def grant(self, approval_id, entry):
        """The narrowest wish counts; scopes only where all agree."""
        if "once" in entry.wishes:
            return
        what = "session" if "session" in entry.wishes else entry.wishes[0] if len(set(entry.wishes)) == 1 else "exactly"
        (new,) = [grant for grant in self.store.grants(self.now) if grant.id not in self.given]
        assert (new.approval_id, new.expires_at) == (approval_id, self.now + GRANT)
        self.given[new.id] = Given(what, self.now + GRANT, entry.name, entry.client, entry.session, approval_id)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), name=NAMES, client=CLIENTS)
    def use(self, data, name, client):
        approval_id = data.draw(st.sampled_from(sorted(self.model)))
        self.used(approval_id, name, client)

    @precondition(lambda self: any(self.state(i) == "approved" for i in self.model))
    @rule(data=st.data())
    def use_an_approved_one(self, data):
        approval_id = data.draw(st.sampled_from(sorted(i for i in self.model if self.state(i) == "approved")))
        self.used(approval_id, self.model[approval_id].name, self.model[approval_id].client)

    def used(self, approval_id, name, client):
        entry = self.model[approval_id]
        valid = self.state(approval_id) == "approved" and (name, client) == (entry.name, entry.client)
        valid = valid and (not entry.grant or self.is_live(entry.grant))
        used = self.store.consume(approval_id, asked(name, client).fingerprint, client, self.now)
        assert used == valid
        if used:
            entry.state, entry.used = "used", entry.used + 1
            self.uses += 1

    @precondition(lambda self: self.model)
    @rule(data=st.data(), what=st.sampled_from(["cancel", "revoke"]))
    def end(self, data, what):
        approval_id = data.draw(st.sampled_from(sorted(self.model)))
        before, after = {"cancel": ("pending", "cancelled"), "revoke": ("approved", "revoked")}[what]
        possible = self.state(approval_id) == before
        assert getattr(self.store, what)(approval_id, self.now) == possible
        if possible:
            self.model[approval_id].state = after

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def revoke_grant(self, data):
        grant_id = data.draw(st.sampled_from(sorted(self.given)))
        assert self.store.revoke_grant(grant_id, "alice", self.now) == self.is_live(grant_id)
        if not self.is_live(grant_id):
            return
        self.given[grant_id].live = False
        used = {i for i, e in self.model.items() if e.state == "used" and grant_id in {e.grant, ""}}
        opened = {i for i in used if self.model[i].grant == grant_id or i == self.given[grant_id].origin}
        assert opened <= self.store.withdrawn(list(self.model))
        for approval_id, entry in self.model.items():
            if entry.grant == grant_id and entry.state == "approved":
                entry.state = "revoked" if self.state(approval_id) == "approved" else "expired"

    @rule(seconds=st.sampled_from([1.0, DENIAL_STANDS_SECONDS, GRANT, LIFE, APPROVED_FOR_SECONDS]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def expire(self):
        self.store.expire(self.now)
        for approval_id, entry in self.model.items():
            entry.state = self.state(approval_id)

    @rule()
    def restart(self):
        self.store.close()
        self.store = self.opened()

    @invariant()
    def states_agree(self):
        wanted = {approval_id: State(self.state(approval_id)) for approval_id in self.model}
        assert self.store.states(list(self.model), self.now) == wanted

    @invariant()
    def nothing_was_used_twice_and_every_use_of_a_grant_is_counted(self):
        assert all(entry.used <= 1 for entry in self.model.values())
        counted = sum(grant.uses for grant in self.store.grants(self.now, ended=True))
        assert counted == sum(entry.used for entry in self.model.values() if entry.grant)


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


class DynamoQueue(Queue):
    """The same on DynamoDB. Fewer, because moto takes some milliseconds for each call."""

    kind = "dynamodb"


TestDynamoQueue = DynamoQueue.TestCase
TestDynamoQueue.settings = settings(max_examples=3, stateful_step_count=15, deadline=None)
