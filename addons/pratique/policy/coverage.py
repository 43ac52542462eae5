"""Which rules and conditions were ever asked, and what they said.

Belongs here: counting over requests (of cases or of recordings), what never happened. Pure. Not here: mask rules, files, printing.

A rule is *matched* when all of it holds, its conditions too. A condition that was only ever true, or only ever false, may as well not
be there, or never work: both answers must have been seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pratique.errors import Position
from pratique.policy.conditions import ConditionError
from pratique.policy.decision import PolicySet
from pratique.policy.facts import Facts
from pratique.policy.matching import CompiledRule
from pratique.policy.request import PolicyRequest


@dataclass(slots=True)
class Answers:
    """Of one condition."""

    true: int = 0
    false: int = 0
    errors: int = 0

    def merge(self, other: Answers) -> None:
        """Adds the counts of others."""
        self.true += other.true
        self.false += other.false
        self.errors += other.errors


@dataclass(slots=True)
class Coverage:
    """`matched`: rule id → requests that it matched; `answers`: (rule id, condition name) → what it said."""

    requests: int = 0
    matched: dict[str, int] = field(default_factory=dict)
    answers: dict[tuple[str, str], Answers] = field(default_factory=dict)

    def take(self, policies: PolicySet, request: PolicyRequest) -> None:
        """One request that got as far as the policies."""
        self.requests += 1
        if request.fault or request.attributes.error:
            return
        facts = Facts(request)
        for rule in policies.candidates(request):
            if not rule.request_mismatch(request, facts) and not rule.found_mismatch(request, facts):
                self._asked(rule, facts)

    def _asked(self, rule: CompiledRule, facts: Facts) -> None:
        for condition in rule.conditions:
            answers = self.answers.setdefault((rule.id, condition.name), Answers())
            try:
                holds = facts.holds(condition)
            except ConditionError:
                answers.errors += 1
                return
            answers.true += holds
            answers.false += not holds
            if not holds:
                return
        self.matched[rule.id] = self.matched.get(rule.id, 0) + 1

    def merge(self, other: Coverage) -> None:
        """Adds the counts of others."""
        self.requests += other.requests
        for rule, count in other.matched.items():
            self.matched[rule] = self.matched.get(rule, 0) + count
        for key, answers in other.answers.items():
            self.answers.setdefault(key, Answers()).merge(answers)


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that nothing shows."""

    position: Position
    message: str

    def __str__(self) -> str:
        return f"{self.position}: {self.message}"


def gaps(policies: PolicySet, covered: Coverage) -> Iterator[Gap]:
    """Rules that nothing matched, conditions of which an answer was never seen; in the order of the documents."""
    for rule in policies.rules:
        if rule.id not in covered.matched:
            yield Gap(rule.position, f"nothing matches rule `{rule.id}`")
        for condition in rule.conditions:
            yield from _condition_gaps(rule, condition.name, covered.answers.get((rule.id, condition.name)))


def _condition_gaps(rule: CompiledRule, name: str, answers: Answers | None) -> Iterator[Gap]:
    what = f"condition `{name}` of rule `{rule.id}`"
    if answers is None:
        yield Gap(rule.position, f"{what} is never asked")
        return
    if not answers.true:
        yield Gap(rule.position, f"{what} is never true")
    if not answers.false:
        yield Gap(rule.position, f"{what} is never false")
    if answers.errors:
        yield Gap(rule.position, f"{what} has no answer for {answers.errors} requests, which denies them")


def covered_by(policies: PolicySet, requests: Iterable[PolicyRequest]) -> Coverage:
    """The coverage of some requests."""
    found = Coverage()
    for request in requests:
        found.take(policies, request)
    return found
