"""What the matching rules of one request come to: one verdict, with a message for a person and a language model.

Belongs here: strictness, the terms of several approvals together, the prose. Not here: which rules match.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from pratique.policy import escalation
from pratique.policy.conditions import ConditionError
from pratique.policy.demands import Demand
from pratique.policy.escalation import Escalation
from pratique.policy.matching import CompiledRule
from pratique.policy.request import PolicyRequest
from pratique.verdict import Action, ApprovalTerms, Verdict

MASKED_VALUES_RULE = "builtin/masked-values"  # where masked values would be deleted unseen: the gateway asks a person
ESCALATION_RULE = "builtin/escalation"  # stands in `Verdict.rules` where the class itself denied

_GRANTS = ("once", "session", "duration")  # narrowest first
_TOGETHER = 64  # combinations; hardly varies, and it keeps the rules of sets that were replaced
_FINAL = "Do not retry it unchanged: ask the owner of the policy"


class Outcome:
    """Collects matching rules. `missing` are the required demands that nothing permits so far."""

    __slots__ = ("allowing", "denying", "errors", "escalations", "failed", "missing", "permitted", "queueing")

    def __init__(
        self,
        missing: frozenset[Demand] = frozenset(),
        escalations: frozenset[Escalation] = frozenset(),
        errors: tuple[str, ...] = (),
    ) -> None:
        self.missing = missing
        self.escalations = escalations
        self.errors = errors
        self.allowing: list[CompiledRule] = []
        self.queueing: list[CompiledRule] = []
        self.denying: list[CompiledRule] = []
        self.failed: list[CompiledRule] = []
        self.permitted = False

    def add(self, rule: CompiledRule, covered: frozenset[Demand], *, sure: bool = True) -> None:
        """`sure`: whether it matches by what is known; otherwise it permits nothing."""
        if rule.action is Action.DENY:
            self.denying.append(rule)
            return
        (self.allowing if rule.allow else self.queueing).append(rule)
        if not sure:
            return
        if not self.escalations or rule.permits(self.escalations):
            self.permitted = True
            if self.missing:
                self.missing -= covered

    def fail(self, rule: CompiledRule, error: ConditionError) -> None:
        self.failed.append(rule)
        self.errors = (*self.errors, f"rule `{rule.id}`: {error}")


def verdict_of(request: PolicyRequest, outcome: Outcome) -> Verdict:
    """The strictest of what was collected; see `decision.py` for the order."""
    if outcome.errors:
        rules = _ids((*outcome.failed, *outcome.denying))
        message = f"{_what(request)} is denied because the policy cannot decide on it: {outcome.errors[0]}"
        return Verdict(Action.DENY, rules, outcome.errors, message)
    if outcome.denying:
        denying = _together(tuple(outcome.denying))
        return Verdict(Action.DENY, denying.ids, (), denying.text or f"{_what(request)} is denied. {_FINAL}")
    if outcome.missing or not outcome.permitted:
        return _not_permitted(request, outcome)
    if outcome.queueing:
        return _approval(request, _together(tuple(outcome.queueing)))
    return Verdict(Action.ALLOW, _together(tuple(outcome.allowing)).ids)


class _Together(NamedTuple):
    """Several rules of one action. `text`: of the first (by id) that has one; `terms`: None where `conflict` is set."""

    ids: tuple[str, ...]
    text: str
    terms: ApprovalTerms | None
    conflict: bool


@lru_cache(_TOGETHER)
def _together(rules: tuple[CompiledRule, ...]) -> _Together:
    texts = [rule.rule.message for rule in sorted(rules, key=lambda rule: rule.id) if rule.rule.message]
    terms, conflict = _terms([rule.terms for rule in rules if rule.terms is not None])
    return _Together(_ids(rules), texts[0] if texts else "", terms, conflict)


def _terms(every: list[ApprovalTerms]) -> tuple[ApprovalTerms | None, bool]:
    """The strictest of each term; and whether no reviewer is in all the lists."""
    if not every:
        return None, False
    listed = [terms.reviewers for terms in every if terms.reviewers]
    reviewers = tuple(one for one in listed[0] if all(one in other for other in listed)) if listed else ()
    if listed and not reviewers:
        return None, True
    strictest = ApprovalTerms(
        reviewers=reviewers,
        quorum=max(terms.quorum for terms in every),
        expires_after=min(terms.expires_after for terms in every),
        grant=min((terms.grant for terms in every), key=_GRANTS.index),
    )
    return strictest, False


def _not_permitted(request: PolicyRequest, outcome: Outcome) -> Verdict:
    what = _what(request)
    if outcome.escalations:
        listed = ", ".join(sorted(outcome.escalations))
        message = f"{what} is an escalation ({listed}) that no rule lists under `escalations`. {_FINAL}"
        return Verdict(Action.DENY, (ESCALATION_RULE,), (), message)
    if any(map(escalation.by_resource, outcome.missing)):
        message = f"{what} is an escalation of privileges and no rule names this resource. {_FINAL}"
        return Verdict(Action.DENY, (ESCALATION_RULE,), (), message)
    also = sorted(str(demand) for demand in outcome.missing)
    counted = f" It counts as {', '.join(also)}, which no rule allows." if outcome.allowing or outcome.queueing else ""
    return Verdict(Action.DENY, (), (), f"no rule allows client `{request.client}` {what}.{counted} {_FINAL}")


def _approval(request: PolicyRequest, rules: _Together) -> Verdict:
    if rules.conflict:
        error = f"rules {', '.join(rules.ids)} ask for an approval by different reviewers, and none are in all lists"
        return Verdict(Action.DENY, rules.ids, (error,), f"{_what(request)} is denied: {error}")
    message = rules.text or f"{_what(request)} needs the approval of a person"
    return Verdict(Action.REQUIRE_APPROVAL, rules.ids, (), message, rules.terms)


def _ids(rules: Iterable[CompiledRule]) -> tuple[str, ...]:
    return tuple(sorted({rule.id for rule in rules}))


def _what(request: PolicyRequest) -> str:
    attributes = request.attributes
    if not attributes.is_resource_request:
        return f"`{attributes.verb} {attributes.path}`"
    resource = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    group = f".{attributes.api_group}" if attributes.api_group else ""
    name = f" `{request.name}`" if request.name else ""
    where = f" in namespace `{attributes.namespace}`" if attributes.namespace else ""
    return f"`{attributes.verb} {resource}{group}`{name}{where}"
