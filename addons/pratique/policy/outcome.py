"""What the matching rules of one request come to: one verdict, with a message for a person and a language model.

Belongs here: strictness, the terms of several approvals together, the prose. Not here: which rules match.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pratique.policy import escalation
from pratique.policy.conditions import ConditionError
from pratique.policy.demands import Demand
from pratique.policy.escalation import Escalation
from pratique.policy.matching import CompiledRule
from pratique.policy.request import PolicyRequest
from pratique.verdict import Action, ApprovalTerms, Verdict

ESCALATION_RULE = "builtin/escalation"  # stands in `Verdict.rules` where the class itself denied

_GRANTS = ("once", "session", "duration")  # narrowest first
_FINAL = "Do not retry it unchanged: ask the owner of the policy"


@dataclass
class Outcome:
    """Collects matching rules. `missing` are the required demands that nothing permits so far."""

    missing: frozenset[Demand] = frozenset()
    escalations: frozenset[Escalation] = frozenset()
    errors: tuple[str, ...] = ()
    matched: dict[Action, list[CompiledRule]] = field(default_factory=dict)
    failed: list[CompiledRule] = field(default_factory=list)
    permitted: bool = False

    def add(self, rule: CompiledRule, covered: frozenset[Demand]) -> None:
        self.matched.setdefault(rule.action, []).append(rule)
        if rule.permits(self.escalations):
            self.missing -= covered
            self.permitted = True

    def fail(self, rule: CompiledRule, error: ConditionError) -> None:
        self.failed.append(rule)
        self.errors = (*self.errors, f"rule `{rule.id}`: {error}")


def verdict_of(request: PolicyRequest, outcome: Outcome) -> Verdict:
    """The strictest of what was collected; see `decision.py` for the order."""
    denying = outcome.matched.get(Action.DENY, [])
    if outcome.errors:
        rules = _ids([*outcome.failed, *denying])
        message = f"{_what(request)} is denied because the policy cannot decide on it: {outcome.errors[0]}"
        return Verdict(Action.DENY, rules, outcome.errors, message)
    if denying:
        return Verdict(Action.DENY, _ids(denying), (), _message(request, denying, f"is denied. {_FINAL}"))
    if outcome.missing or not outcome.permitted:
        return _not_permitted(request, outcome)
    queueing = outcome.matched.get(Action.REQUIRE_APPROVAL, [])
    if queueing:
        return _approval(request, queueing)
    return Verdict(Action.ALLOW, _ids(outcome.matched[Action.ALLOW]))


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
    counted = f" It counts as {', '.join(also)}, which no rule allows." if outcome.matched else ""
    return Verdict(Action.DENY, (), (), f"no rule allows client `{request.client}` {what}.{counted} {_FINAL}")


def _approval(request: PolicyRequest, rules: list[CompiledRule]) -> Verdict:
    every = [rule.terms for rule in rules if rule.terms is not None]
    listed = [terms.reviewers for terms in every if terms.reviewers]
    reviewers = tuple(one for one in listed[0] if all(one in other for other in listed)) if listed else ()
    if listed and not reviewers:
        error = f"rules {', '.join(_ids(rules))} ask for an approval by different reviewers, and none are in all lists"
        return Verdict(Action.DENY, _ids(rules), (error,), f"{_what(request)} is denied: {error}")
    terms = ApprovalTerms(
        reviewers=reviewers,
        quorum=max(terms.quorum for terms in every),
        expires_after=min(terms.expires_after for terms in every),
        grant=min((terms.grant for terms in every), key=_GRANTS.index),
    )
    message = _message(request, rules, "needs the approval of a person")
    return Verdict(Action.REQUIRE_APPROVAL, _ids(rules), (), message, terms)


def _ids(rules: list[CompiledRule]) -> tuple[str, ...]:
    return tuple(sorted({rule.id for rule in rules}))


def _message(request: PolicyRequest, rules: list[CompiledRule], otherwise: str) -> str:
    """The text of the first rule (by id) that has one."""
    texts = [rule.rule.message for rule in sorted(rules, key=lambda rule: rule.id) if rule.rule.message]
    return texts[0] if texts else f"{_what(request)} {otherwise}"


def _what(request: PolicyRequest) -> str:
    attributes = request.attributes
    if not attributes.is_resource_request:
        return f"`{attributes.verb} {attributes.path}`"
    resource = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    group = f".{attributes.api_group}" if attributes.api_group else ""
    name = f" `{request.name}`" if request.name else ""
    where = f" in namespace `{attributes.namespace}`" if attributes.namespace else ""
    return f"`{attributes.verb} {resource}{group}`{name}{where}"
