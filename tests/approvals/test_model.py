"""Whatever reviewers, clients, time and restarts do: nothing is used without a valid approval, and nothing twice."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pratique.approvals.deciding import Decision
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.store import APPROVED_FOR_SECONDS, DENIAL_STANDS_SECONDS
from pratique.approvals.transitions import State
from pratique.errors import Refused
from pratique.verdict import ApprovalTerms
from tests.approvals.helpers import question

LIFE = 100.0
QUOTA = 2
NAMES = st.sampled_from(["a", "b", "c"])
CLIENTS = st.sampled_from(["agent", "other"])
REVIEWERS = st.sampled_from(["alice", "agent"])


class Queue(RuleBasedStateMachine):
    """The model: approval id → [state, expires_at, closed_at, name, client], told by the design and not by SQL."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = SqliteStore(self.folder / "s", max_pending=QUOTA)
        self.now = 1000.0
        self.model = {}

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder)

    def state(self, approval_id):
        state, expires_at, *_ = self.model[approval_id]
        return "expired" if state in {"pending", "approved"} and self.now >= expires_at else state

    def standing(self, name, client):
        for approval_id, (_, _, closed_at, its_name, its_client) in self.model.items():
            fresh = self.state(approval_id) == "denied" and closed_at > self.now - DENIAL_STANDS_SECONDS
            is_open = self.state(approval_id) in {"pending", "approved"}
            if (its_name, its_client) == (name, client) and (is_open or fresh):
                yield approval_id

    @rule(name=NAMES, client=CLIENTS)
    def ask(self, name, client):
        standing = list(self.standing(name, client))
        pending = [i for i, entry in self.model.items() if entry[4] == client and self.state(i) == "pending"]
        try:
            approval = self.store.ask(question(name, client, ApprovalTerms(expires_after=LIFE)), self.now)
        except Refused as refused:
            assert refused.code == 429
            assert not standing
            assert len(pending) >= QUOTA
            return
        if standing:
            assert approval.id in standing
        else:
            assert len(pending) < QUOTA
            assert approval.id not in self.model
            self.model[approval.id] = ["pending", self.now + LIFE, None, name, client]

    @rule(data=st.data(), decision=st.sampled_from(Decision), reviewer=REVIEWERS)
    def decide(self, data, decision, reviewer):
        if not self.model:
            return
        approval_id = data.draw(st.sampled_from(sorted(self.model)))
        entry = self.model[approval_id]
        allowed = self.state(approval_id) == "pending" and reviewer != entry[4]
        try:
            self.store.decide(approval_id, decision, reviewer, "", self.now)
        except Refused:
            assert not allowed
            return
        assert allowed
        if decision is Decision.APPROVE:
            entry[:2] = ["approved", max(entry[1], self.now + APPROVED_FOR_SECONDS)]
        else:
            entry[0], entry[2] = "denied", self.now

    @rule(data=st.data(), name=NAMES, client=CLIENTS)
    def use(self, data, name, client):
        if not self.model:
            return
        approval_id = data.draw(st.sampled_from(sorted(self.model)))
        entry = self.model[approval_id]
        valid = self.state(approval_id) == "approved" and (name, client) == (entry[3], entry[4])
        used = self.store.consume(approval_id, question(name, client).fingerprint, client, self.now)
        assert used == valid
        if used:
            entry[0] = "used"

    @rule(data=st.data(), what=st.sampled_from(["cancel", "revoke"]))
    def end(self, data, what):
        if not self.model:
            return
        approval_id = data.draw(st.sampled_from(sorted(self.model)))
        before, after = {"cancel": ("pending", "cancelled"), "revoke": ("approved", "revoked")}[what]
        possible = self.state(approval_id) == before
        assert getattr(self.store, what)(approval_id, self.now) == possible
        if possible:
            self.model[approval_id][0] = after

    @rule(seconds=st.sampled_from([1.0, DENIAL_STANDS_SECONDS, LIFE, APPROVED_FOR_SECONDS]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def expire(self):
        self.store.expire(self.now)

    @rule()
    def restart(self):
        self.store.close()
        self.store = SqliteStore(self.folder / "s", max_pending=QUOTA)

    @invariant()
    def states_agree(self):
        wanted = {approval_id: State(self.state(approval_id)) for approval_id in self.model}
        assert self.store.states(list(self.model), self.now) == wanted


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
