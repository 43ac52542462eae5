"""What the API shows: approvals, grants and reviewers as JSON values, with how far each claim can be trusted.

Belongs here: the shapes (`openapi` describes them), their making. Not here: who may see them (`desk`). Pure. Times are
seconds since the epoch. All text is masked and escaped already when it comes here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Annotated

import msgspec

from pratique.approvals.deciding import Decision, check_reviewer
from pratique.approvals.effects import Effect
from pratique.approvals.grants import MAX_GRANT_SECONDS, Grant, GrantKind, Scope, Wish
from pratique.approvals.reviewers import Reviewer
from pratique.approvals.store import MAX_REASON_CHARACTERS, Approval
from pratique.approvals.transitions import State
from pratique.approvals.words import escaped_name
from pratique.errors import Refused

BY_CREDENTIAL = "proved by its credential"
BY_CONNECTION = "seen by the gateway; a proxy in between would hide the real one"
_LOUD = frozenset({
    "privileged", "hostNetwork", "hostPID", "hostIPC", "hostPath", "capabilities", "runs as root", "stdin", "exposed",
    "rights", "binds", "grace period", "force",
})  # fmt: skip
BY_CLAIM = "claimed by the client, anybody can send it"


class View(msgspec.Struct, frozen=True, rename="camel"):
    """Base: immutable, camelCase."""


class Input(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Base of what is sent to us: unknown fields are refused."""


class ErrorBody(View, frozen=True):
    code: int
    reason: str
    message: str


class ErrorView(View, frozen=True):
    error: ErrorBody


class LoginInput(Input, frozen=True):
    key: Annotated[str, msgspec.Meta(max_length=256)]


class LinkInput(Input, frozen=True):
    token: Annotated[str, msgspec.Meta(max_length=512)]


class LinkView(View, frozen=True):
    approval: str


class ScopeInput(Input, frozen=True):
    """Globs, wider than the request where stated; "" is the request's own."""

    verb: Annotated[str, msgspec.Meta(max_length=64)] = ""
    namespace: Annotated[str, msgspec.Meta(max_length=128)] = ""
    name: Annotated[str, msgspec.Meta(max_length=256)] = ""


class GrantInput(Input, frozen=True):
    """`once`; or `duration` or `session` for `seconds`, of exactly this request, or of `scope`."""

    kind: GrantKind = GrantKind.ONCE
    seconds: Annotated[float, msgspec.Meta(ge=0, le=MAX_GRANT_SECONDS)] = 0.0
    scope: ScopeInput | None = None

    def wish(self, approval: Approval) -> Wish:
        scope = None
        if self.scope is not None:
            given = {"verb": self.scope.verb, "namespace": self.scope.namespace, "name": self.scope.name}
            scope = Scope.of(approval.question.target, **given)
        return Wish(self.kind, self.seconds, scope)


class DecisionInput(Input, frozen=True):
    """`nonce` is the one that came with the approval as it was shown; it counts once."""

    decision: Decision
    nonce: Annotated[str, msgspec.Meta(max_length=128)]
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARACTERS)] = ""
    grant: GrantInput = GrantInput()


class RevocationInput(Input, frozen=True):
    nonce: Annotated[str, msgspec.Meta(max_length=128)]


class MeView(View, frozen=True):
    reviewer: str
    person: str
    may_grant: GrantKind
    trust: str
    playground: bool = False
    """Whether there is one."""


class ApprovalRow(View, frozen=True):
    """`held`: the client waits on the line now. `approvals` of `quorum` people have approved so far.

    `hints` are a few words on the effect, for a list.
    """

    id: str
    state: State
    client: str
    cluster: str
    words: str
    verb: str
    namespace: str
    hints: tuple[str, ...]
    created_at: float
    expires_at: float
    last_attempt_at: float
    attempts: int
    held: bool
    quorum: int
    approvals: int
    closed_at: float | None = None
    decided_by: tuple[str, ...] = ()
    grant_id: str = ""
    withdrawn: bool = False


class ApprovalList(View, frozen=True):
    approvals: tuple[ApprovalRow, ...]


class Claim(View, frozen=True):
    """`trust` says how far `value` can be believed; `proved` is true for what the gateway checked itself."""

    what: str
    value: str
    trust: str
    proved: bool


class ObjectView(View, frozen=True):
    kind: str
    namespace: str
    name: str
    uid: str


class CountView(View, frozen=True):
    kind: str
    number: int


class RiskView(View, frozen=True):
    what: str
    value: str


class EffectView(View, frozen=True):
    """As `pratique.approvals.effects.Effect`."""

    known: bool
    problem: str
    objects: tuple[ObjectView, ...]
    total: int
    cascade: tuple[CountView, ...]
    cascade_complete: bool
    difference: tuple[str, ...]
    left_out: int
    risks: tuple[RiskView, ...]
    notes: tuple[str, ...]


class GrantedView(View, frozen=True):
    """What a reviewer wanted to grant."""

    kind: GrantKind
    seconds: float
    words: str


class DecisionView(View, frozen=True):
    reviewer: str
    decision: Decision
    reason: str
    at: float
    grant: GrantedView


class ApprovalView(View, frozen=True):
    """One approval, to be decided. `why_not` says why the caller cannot decide it, "" if they can."""

    row: ApprovalRow
    who: tuple[Claim, ...]
    method: str
    path: str
    body: str
    rules: tuple[str, ...]
    message: str
    reviewers: tuple[str, ...]
    effect: EffectView | None
    decisions: tuple[DecisionView, ...]
    scope: ScopeView
    widest_grant: GrantKind
    why_not: str
    nonce: str
    supersedes: str = ""
    repeats: str = ""
    note: str = ""


class ScopeView(View, frozen=True):
    """What the request is about, as a scope states it."""

    verb: str
    resource: str
    api_group: str
    namespace: str
    name: str
    dry_run: bool


class GrantView(View, frozen=True):
    id: str
    approval: str
    client: str
    cluster: str
    kind: GrantKind
    words: str
    created_at: float
    expires_at: float
    reviewers: tuple[str, ...]
    reason: str
    uses: int
    live: bool
    revoked_by: str
    nonce: str


class GrantList(View, frozen=True):
    grants: tuple[GrantView, ...]


def shown_digest(approval: Approval) -> str:
    """Of what a decision is about: it changes when anything of it does but the number of attempts."""
    effect = approval.question.summary.effect
    parts = (
        approval.id,
        approval.state.value,
        effect.digest if effect else "",
        [(each.person, each.decision.value) for each in approval.decisions],
    )
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def row_of(approval: Approval, held: Collection[str]) -> ApprovalRow:
    question = approval.question
    approved = sum(each.decision is Decision.APPROVE for each in approval.decisions)
    return ApprovalRow(
        approval.id,
        approval.state,
        approval.client,
        question.cluster,
        question.summary.words,
        escaped_name(question.target.verb),
        escaped_name(question.target.namespace),
        _hints(question.summary.effect),
        approval.created_at,
        approval.expires_at,
        approval.last_attempt_at,
        approval.attempts,
        approval.id in held,
        question.terms.quorum,
        approved,
        approval.closed_at,
        tuple(each.reviewer for each in approval.decisions),
        approval.grant_id,
        approval.withdrawn_at is not None,
    )


def _hints(effect: Effect | None) -> tuple[str, ...]:
    """What somebody who looks at the list should know before they look at the approval."""
    if effect is None:
        return ()
    if not effect.known:
        return ("effect unknown",)
    found = [f"{effect.total} objects"] if effect.total > 1 else []
    if with_it := sum(number for _, number in effect.cascade):
        found.append(f"{with_it} more go with it")
    return (*found, *dict.fromkeys(what for what, _ in effect.risks if what in _LOUD))


def approval_view(approval: Approval, reviewer: Reviewer, held: Collection[str], nonce: str) -> ApprovalView:
    question, summary, target = approval.question, approval.question.summary, approval.question.target
    widest = min(GrantKind(question.terms.grant), reviewer.may_grant, key=lambda kind: kind.width)
    return ApprovalView(
        row=row_of(approval, held),
        who=who_of(approval),
        method=summary.method,
        path=summary.path,
        body=summary.body,
        rules=summary.rules,
        message=summary.message,
        reviewers=question.terms.reviewers,
        effect=_effect(summary.effect),
        decisions=tuple(
            DecisionView(each.reviewer, each.decision, each.reason, each.at, _granted(each.wish))
            for each in approval.decisions
        ),
        scope=ScopeView(target.verb, target.resource, target.api_group, target.namespace, target.name, target.dry_run),
        widest_grant=widest,
        why_not=_why_not(approval, reviewer),
        nonce=nonce,
        supersedes=approval.supersedes,
        repeats=approval.repeats,
        note=approval.note,
    )


def who_of(approval: Approval) -> tuple[Claim, ...]:
    """Who asks, the surest first."""
    summary = approval.question.summary
    known = [Claim("client", approval.client, BY_CREDENTIAL, proved=True)]
    if summary.source:
        known.append(Claim("address", summary.source, BY_CONNECTION, proved=True))
    return (*known, *(Claim(what, value, BY_CLAIM, proved=False) for what, value in summary.claims.items()))


def grant_view(grant: Grant, nonce: str, now: float) -> GrantView:
    return GrantView(
        grant.id,
        grant.approval_id,
        grant.client,
        grant.cluster,
        grant.kind,
        grant.in_words(),
        grant.created_at,
        grant.expires_at,
        grant.reviewers,
        grant.reason,
        grant.uses,
        grant.is_live(now),
        grant.revoked_by,
        nonce,
    )


def error_view(error: Refused) -> ErrorView:
    return ErrorView(ErrorBody(error.code, error.reason, error.message))


def _why_not(approval: Approval, reviewer: Reviewer) -> str:
    if approval.state is not State.PENDING:
        return f"it is {approval.state}"
    if any(each.person.casefold() == reviewer.person.casefold() for each in approval.decisions):
        return "you have decided it already"
    try:
        reviewer.check(approval.client, approval.question.target, Wish())
        check_reviewer(reviewer.name, approval.client, approval.question.terms)
    except Refused as refused:
        return refused.message
    return ""


def _effect(effect: Effect | None) -> EffectView | None:
    if effect is None:
        return None
    return EffectView(
        effect.known,
        effect.problem,
        tuple(ObjectView(each.kind, each.namespace, each.name, each.uid) for each in effect.objects),
        effect.total,
        tuple(CountView(kind, number) for kind, number in effect.cascade),
        effect.cascade_complete,
        effect.difference,
        effect.left_out,
        tuple(RiskView(what, value) for what, value in effect.risks),
        effect.notes,
    )


def _granted(wish: Wish) -> GrantedView:
    return GrantedView(wish.kind, wish.seconds, wish.scope.in_words() if wish.scope is not None else "")
