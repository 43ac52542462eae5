"""What of one client's approvals decides about its next question: open ones, fresh denials, live grants, and traces.

Belongs here: the ledger and its questions. Not here: keeping it (`dynamodb_store` does, in one item with a revision, so that
two replicas never decide on the same ledger), what a grant covers (`grants`). Pure; time is an argument.

It is small on purpose: every change of an approval writes it. Traces (what may a question have come from?) are hints for
reviewers, so only the latest are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pratique.approvals.grants import Asked, Grant, GrantKind, Wish
from pratique.approvals.store import (
    APPROVED_FOR_SECONDS,
    DENIAL_STANDS_SECONDS,
    RELATED_SECONDS,
    Approval,
    Decided,
    Question,
)
from pratique.approvals.transitions import State, state_at
from pratique.errors import Refused

MAX_OPEN = 400
"""Open approvals of one client, those under grants included, which are used within moments. 100 KB of an item's 400."""
MAX_GRANTS = 100
"""Live grants of one client. Somebody who gives more wants a rule."""
MAX_TRACES = 32
_SHORT = 16  # characters of a fingerprint in a trace: enough for a hint


class Entry(msgspec.Struct):
    """An open approval."""

    id: str
    fingerprint: str
    state: State
    created_at: float
    expires_at: float
    intent: str = ""
    grant_id: str = ""


class Denial(msgspec.Struct):
    id: str
    fingerprint: str
    at: float


class Trace(msgspec.Struct):
    """A request that was asked for or used lately."""

    id: str
    fingerprint: str
    intent: str
    created_at: float
    last_attempt_at: float
    used_at: float | None = None


class Ledger(msgspec.Struct):
    """Of one client. Read, changed and written back as a whole; `entries` are the open approvals by id."""

    entries: dict[str, Entry] = msgspec.field(default_factory=dict)
    denials: list[Denial] = msgspec.field(default_factory=list)
    traces: list[Trace] = msgspec.field(default_factory=list)
    grants: list[Grant] = msgspec.field(default_factory=list)

    # --- questions ---

    def standing(self, fingerprint: str, now: float) -> tuple[str, State] | None:
        """What a repeat of the question is answered with: the open approval, else the freshest denial."""
        for entry in self.entries.values():
            if entry.fingerprint == fingerprint and not entry.grant_id and state(entry, now).is_open:
                return entry.id, entry.state
        fresh = [d for d in self.denials if d.fingerprint == fingerprint and d.at > now - DENIAL_STANDS_SECONDS]
        return (max(fresh, key=lambda denial: denial.at).id, State.DENIED) if fresh else None

    def covering(self, asked: Asked, now: float) -> Grant | None:
        """The newest live grant that covers a request."""
        covering = [grant for grant in self.grants if grant.covers(asked, now)]
        return max(covering, key=lambda grant: grant.created_at, default=None)

    def grant(self, grant_id: str, now: float) -> Grant | None:
        """The live grant with this id."""
        return next((grant for grant in self.grants if grant.id == grant_id and grant.is_live(now)), None)

    def pending(self, now: float) -> int:
        return sum(state(entry, now) is State.PENDING for entry in self.entries.values())

    def overdue(self, now: float) -> list[Entry]:
        """Open ones that have expired, and nobody has written it down."""
        return [entry for entry in self.entries.values() if state(entry, now) is State.EXPIRED]

    def supersedes(self, question: Question, now: float) -> str:
        """The id of the latest other question with the same intent, or ""."""
        mark, intent = question.fingerprint[:_SHORT], question.intent[:_SHORT]
        if not intent:
            return ""
        found = [
            (trace.created_at, trace.id)
            for trace in self.traces
            if (trace.intent == intent and trace.fingerprint != mark and trace.last_attempt_at > now - RELATED_SECONDS)
        ]
        found += [
            (entry.created_at, entry.id)
            for entry in self.entries.values()
            if entry.intent == question.intent
            and entry.fingerprint != question.fingerprint
            and state(entry, now) is State.PENDING
        ]
        return max(found)[1] if found else ""

    def repeats(self, question: Question, now: float) -> str:
        """The id of the latest use of the same request, or ""."""
        mark, since = question.fingerprint[:_SHORT], now - RELATED_SECONDS
        used = [(t.used_at, t.id) for t in self.traces if t.fingerprint == mark and t.used_at and t.used_at > since]
        return max(used)[1] if used else ""

    # --- changes ---

    def open(  # noqa: PLR0917 - the fields of an entry
        self, approval_id: str, question: Question, grant_id: str, given: State, now: float, until: float
    ) -> None:
        """Raises Refused (429): more are open than a ledger holds."""
        if len(self.entries) >= MAX_OPEN:
            message = f"{MAX_OPEN} approvals of `{question.client}` are open. Wait until they are used or have expired"
            raise Refused(429, "TooManyRequests", message, rule="approval-quota")
        self.entries[approval_id] = Entry(
            approval_id, question.fingerprint, given, now, until, question.intent, grant_id
        )
        mark, intent = question.fingerprint[:_SHORT], question.intent[:_SHORT]
        self.traces.append(Trace(approval_id, mark, intent, now, now))

    def attempted(self, approval_id: str, now: float) -> None:
        for trace in self.traces:
            if trace.id == approval_id:
                trace.last_attempt_at = now

    def approve(self, approval_id: str, now: float) -> float:
        """When the approval expires now."""
        entry = self.entries[approval_id]
        entry.state = State.APPROVED
        entry.expires_at = max(entry.expires_at, now + APPROVED_FOR_SECONDS)
        return entry.expires_at

    def close(self, approval_id: str, ended: State, now: float) -> None:
        entry = self.entries.pop(approval_id)
        if ended is State.DENIED:
            self.denials.append(Denial(approval_id, entry.fingerprint, now))
        for trace in self.traces:
            if trace.id == approval_id and ended is State.USED:
                trace.used_at = now

    def give(self, grant: Grant, now: float) -> None:
        """Raises Refused (409): more are live than a ledger holds."""
        self.forget(now)
        if len(self.grants) >= MAX_GRANTS:
            message = f"`{grant.client}` has {MAX_GRANTS} live grants. Revoke some, or write a rule"
            raise Refused(409, "Conflict", message, rule="grant")
        self.grants.append(grant)

    def take(self, grant_id: str) -> None:
        """Ends a grant."""
        self.grants = [grant for grant in self.grants if grant.id != grant_id]

    def forget(self, now: float) -> None:
        """Drops what cannot matter any more."""
        self.grants = [grant for grant in self.grants if grant.is_live(now)]
        self.denials = [denial for denial in self.denials if denial.at > now - DENIAL_STANDS_SECONDS]
        since = now - RELATED_SECONDS
        recent = [trace for trace in self.traces if max(trace.last_attempt_at, trace.used_at or 0.0) > since]
        self.traces = sorted(recent, key=lambda trace: trace.last_attempt_at)[-MAX_TRACES:]


def state(entry: Entry, now: float) -> State:
    return state_at(entry.state, entry.expires_at, now)


def grant_of(approval: Approval, decisions: Sequence[Decided], wish: Wish, now: float, grant_id: str) -> Grant | None:
    """What was granted beyond one use; None if nothing was."""
    if wish.kind is GrantKind.ONCE:
        return None
    question = approval.question
    return Grant(
        id=grant_id,
        approval_id=approval.id,
        client=question.client,
        cluster=question.cluster,
        kind=wish.kind,
        rules=question.summary.rules,
        created_at=now,
        expires_at=now + wish.seconds,
        fingerprint="" if wish.scope is not None else question.fingerprint,
        scope=wish.scope,
        session=question.session if wish.kind is GrantKind.SESSION else "",
        reviewers=tuple(each.reviewer for each in decisions),
        reason=decisions[-1].reason,
    )
