"""Every verdict that a request could get, whatever the cluster says when it is asked: for who cannot ask it.

Belongs here: the rules that depend on an answer, taken as matching, as not matching, as failing. Pure. Not here: the verdict when the
answer is known (`decision.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from pratique.policy import escalation
from pratique.policy.conditions import ConditionError
from pratique.policy.decision import PolicySet
from pratique.policy.facts import Facts
from pratique.policy.index import Covering
from pratique.policy.matching import CompiledRule
from pratique.policy.outcome import Outcome, verdict_of
from pratique.policy.request import PolicyRequest
from pratique.verdict import Verdict

MAX_WAYS = 256
"""Combinations that are tried: some eight rules that depend on an answer."""

_MATCHES, _DOES_NOT, _FAILS = range(3)


def possible(policies: PolicySet, request: PolicyRequest) -> list[Verdict]:
    """At least one; none where it cannot be told (the content could be an escalation, or there are too many ways)."""
    if request.fault or request.attributes.error or escalation.is_checked(request.attributes):
        return []
    required, rules = policies.covering(request)
    facts = Facts(request)
    sure, failed, unsure = _sorted(rules, request, facts)
    ways = [(_MATCHES, _DOES_NOT, _FAILS) if rule.conditions else (_MATCHES, _DOES_NOT) for rule, _ in unsure]
    count = 1
    for each in ways:
        count *= len(each)
    if count > MAX_WAYS:
        return []
    verdicts: dict[Verdict, None] = {}
    for way in itertools.product(*ways):
        outcome = Outcome(required, facts.escalations)
        for rule, covered in sure:
            outcome.add(rule, covered, sure=rule.allow or rule.is_sure(request, facts))
        for rule, error in [*failed, *_failing(unsure, way)]:
            outcome.fail(rule, error)
        for (rule, covered), says in zip(unsure, way, strict=True):
            if says == _MATCHES:
                outcome.add(rule, covered)
        verdicts[verdict_of(request, outcome)] = None
    return list(verdicts)


def _failing(unsure: Sequence[Covering], way: Sequence[int]) -> Iterator[tuple[CompiledRule, ConditionError]]:
    for (rule, _), says in zip(unsure, way, strict=True):
        if says == _FAILS:
            yield rule, ConditionError("a condition has no answer")


def _sorted(
    rules: Sequence[Covering], request: PolicyRequest, facts: Facts
) -> tuple[list[Covering], list[tuple[CompiledRule, ConditionError]], list[Covering]]:
    """Rules that match, that fail, and that depend on what the cluster would say. The others are gone."""
    sure: list[Covering] = []
    failed: list[tuple[CompiledRule, ConditionError]] = []
    unsure: list[Covering] = []
    for rule, covered in rules:
        if rule.request_mismatch(request, facts):
            continue
        if any(rule.needs(request)):
            unsure.append((rule, covered))
            continue
        try:
            if not rule.found_mismatch(request, facts) and not facts.refused_by(rule.conditions):
                sure.append((rule, covered))
        except ConditionError as error:
            failed.append((rule, error))
    return sure, failed, unsure
