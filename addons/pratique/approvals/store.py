"""What an approval is, and what a store of them promises (`sqlite_store` is one).

Belongs here: the values and the protocol. Not here: SQL, waiting (`waiting`), what clients are told (`answers`).
Times are seconds since the epoch and always given by the caller.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from pratique.approvals.deciding import Decision
from pratique.approvals.effects import Effect
from pratique.approvals.grants import Asked, Grant, Target, Wish
from pratique.approvals.transitions import State
from pratique.verdict import ApprovalTerms

# Reviewers' time is the scarce thing: more than this and a client is asking without thinking, or flooding.
MAX_PENDING_PER_CLIENT = 20
# Bytes of one question; a request body has 3 MiB at most, masked and with words around it.
MAX_QUESTION_BYTES = 4 << 20
# Bytes of all open questions, on the state folder's disk.
MAX_OPEN_BYTES = 256 << 20
MAX_REASON_CHARACTERS = 2_000
# After an approval the client has at least so long to repeat its request: it may be a model that is told to try again.
APPROVED_FOR_SECONDS = 600.0
# kubectl answers a refused exec by asking again over SPDY at once; it must meet the same denial, not a new question.
DENIAL_STANDS_SECONDS = 30.0
# For so long a new question is shown with what it may have come from: `apply` recomputes its patch after a 409 within
# seconds, a model tries again within minutes.
RELATED_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What reviewers are shown. Masked before it comes here: nothing in it is a value that the client may not see.

    `words` is one line ("delete Deployment payments/api"), `body` the masked canonical body as text, `claims` what the
    client says of itself (User-Agent, MCP client name): shown as claims; `source` is the address that it came from.
    """

    words: str
    method: str
    path: str
    body: str = ""
    rules: tuple[str, ...] = ()
    message: str = ""
    claims: dict[str, str] = field(default_factory=dict)
    source: str = ""
    effect: Effect | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asks: joined to an open approval with this fingerprint, else a new one.

    `target` is what grants and reviewers' fields are compared with. `intent` is the fingerprint without query and body:
    another question with the same intent supersedes this one. `max_pending`: how many of the client's may wait; the
    store's own limit counts, too. It is not kept.
    """

    fingerprint: str
    client: str
    cluster: str
    summary: Summary
    terms: ApprovalTerms = field(default_factory=ApprovalTerms)
    target: Target = field(default_factory=Target)
    session: str = ""
    intent: str = ""
    max_pending: int = MAX_PENDING_PER_CLIENT

    @property
    def asked(self) -> Asked:
        return Asked(self.client, self.cluster, self.fingerprint, self.session, self.summary.rules, self.target)


@dataclass(frozen=True, slots=True)
class Decided:
    """One reviewer's decision. `person` is who they are, however many names they have; `wish` what they granted."""

    reviewer: str
    decision: Decision
    reason: str
    at: float
    person: str = ""
    wish: Wish = field(default_factory=Wish)


@dataclass(frozen=True, slots=True)
class Approval:
    """A stored question. `attempts` counts the requests that asked it, `state` is as it counts when it is read.

    `grant_id`: it was not a reviewer who approved it but a grant. `supersedes` and `repeats` are ids of an earlier
    question with the same intent, and of an earlier use of the same request. `withdrawn_at`: it was used, and what it
    opened must end. `note` says why it was cancelled or revoked.
    """

    id: str
    question: Question
    state: State
    created_at: float
    expires_at: float
    attempts: int = 1
    last_attempt_at: float = 0.0
    closed_at: float | None = None
    decisions: tuple[Decided, ...] = ()
    grant_id: str = ""
    supersedes: str = ""
    repeats: str = ""
    withdrawn_at: float | None = None
    note: str = ""

    @property
    def client(self) -> str:
        return self.question.client

    @property
    def reason(self) -> str:
        """The last decision's text, or nothing."""
        return self.decisions[-1].reason if self.decisions else ""

    @property
    def reviewer(self) -> str:
        """The last decision's reviewer, or nothing."""
        return self.decisions[-1].reviewer if self.decisions else ""


class ApprovalStore(Protocol):
    """Durable and shared by all processes that open it. Blocks; call it from a thread (`asyncio.to_thread`).

    Every method raises StoreError when the store cannot be read or written: then nothing is approved.
    """

    def ask(self, question: Question, now: float) -> Approval:
        """The open approval with this fingerprint (one attempt more), else a fresh denial, else a new one.

        A live grant that covers the question gives an approved one, for one use.

        Raises Refused: (429, without Retry-After) too many pending or too much stored; (413) the question is too large.
        """

    def is_new(self, question: Question, now: float) -> bool:
        """Whether `ask` would ask reviewers something new: nothing open or freshly denied, no grant. Changes nothing.

        Raises Refused: as `ask`.
        """

    def get(self, approval_id: str, now: float) -> Approval | None:
        """One approval, or None."""

    def find(
        self, now: float, states: Collection[State] = (), client: str | None = None, limit: int = 100
    ) -> list[Approval]:
        """The newest first; no `states` means all. Without what is large: bodies and differences; `get` has them."""

    def states(self, approval_ids: Collection[str], now: float) -> dict[str, State]:
        """The states of those that exist."""

    def decide(
        self,
        approval_id: str,
        decision: Decision,
        reviewer: str,
        reason: str,
        now: float,
        *,
        wish: Wish | None = None,
        person: str = "",
    ) -> Approval:
        """Counts one person's decision, once. Approved when the quorum is reached, denied by one denial.

        With the quorum the narrowest of the wishes becomes a grant. `person` is the reviewer's name if left out.

        Raises Refused: (404) no such approval; (403) not theirs to decide or to grant; (409) not pending any more, or
        decided by them.
        """

    def consume(self, approval_id: str, fingerprint: str, client: str, now: float) -> bool:
        """Approved → used. True for exactly one caller ever, and only for this fingerprint and client.

        False, too, when the grant that approved it has been revoked or has expired.
        """

    def cancel(self, approval_id: str, now: float, note: str = "") -> bool:
        """Pending → cancelled. False if it was not pending."""

    def revoke(self, approval_id: str, now: float, note: str = "") -> bool:
        """Approved → revoked. False if it was not approved."""

    def withdraw(self, approval_id: str, now: float) -> bool:
        """Of a used approval: what it opened must end. False if it was not used, or is withdrawn already."""

    def withdrawn(self, approval_ids: Collection[str]) -> set[str]:
        """Those of these that are withdrawn."""

    def grants(self, now: float, *, ended: bool = False, limit: int = 100) -> list[Grant]:
        """The live ones, with `ended` all; the newest first."""

    def revoke_grant(self, grant_id: str, by: str, now: float) -> bool:
        """Ends a grant: its unused approvals are revoked, its used ones withdrawn. False if it was not live."""

    def expire(self, now: float) -> int:
        """Writes down what has expired, dropping the bodies; how many."""

    def prune(self, closed_before: float) -> int:
        """Forgets approvals closed before a time; how many."""

    def version(self) -> tuple[int, int]:
        """Differs from an earlier one if anything was changed since, by whichever process."""

    def close(self) -> None:
        """Ends the store's use."""
