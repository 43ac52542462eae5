"""Counts and examples of a trial. Memory does not grow with the number of requests.

Belongs here: what is counted under which heading, putting the counts of several processes together. Pure. Not here: judging,
printing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from pratique.policy.coverage import Coverage
from pratique.trial.judging import Judgement, Outcome
from pratique.trial.recorded import RecordedRequest
from pratique.trial.visibility import Seen, Shown, Sight

MAX_GROUPS = 20_000
"""Rows of one table; more are counted together. A policy with that many rules is not read by a person either."""
OTHERS = "(others)"
MAX_BAD = 100
"""Texts of parts that could not be read; all are counted."""


class Change(StrEnum):
    """How the outcome under the new set differs from that under the old."""

    DENIED = "newlyDenied"
    QUEUED = "newlyQueued"
    ALLOWED = "newlyAllowed"
    TERMS = "otherTerms"  # still to be approved, but by others, or for longer
    NOT_KNOWN = "notKnown"  # the recording cannot tell one of the two
    RULES = "otherRules"  # the same outcome, by other rules


class Example(NamedTuple):
    """One request. `place` is a file and where in it; `why` is the message that its client would get."""

    words: str
    place: str
    id: str
    why: str = ""


@dataclass(slots=True)
class Group:
    """`count` requests and the first few of them; `values` is what a mask rule masked in them."""

    count: int = 0
    values: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, example: Example, keep: int, values: int = 0) -> None:
        """One more."""
        self.count += 1
        self.values += values
        if len(self.examples) < keep:
            self.examples.append(example)

    def merge(self, other: Group, keep: int) -> None:
        """Of a later piece."""
        self.count += other.count
        self.values += other.values
        self.examples += other.examples[: max(0, keep - len(self.examples))]


class Row(NamedTuple):
    """Heading of an outcome."""

    client: str
    outcome: Outcome
    rules: tuple[str, ...]


class ChangeRow(NamedTuple):
    """Heading of a difference. `what` is verb and resource."""

    change: Change
    client: str
    what: str
    before: Outcome
    before_rules: tuple[str, ...]
    after: Outcome
    after_rules: tuple[str, ...]


class SightRow(NamedTuple):
    """Heading of a field that is shown otherwise."""

    sight: Sight
    client: str
    resource: str
    field: str
    rule: str


@dataclass(slots=True)
class Tally:
    """Of some requests. `keep`: examples of each group. `unseen`: answers of which nothing can be said, by reason."""

    keep: int = 3
    requests: int = 0
    outcomes: dict[Row, Group] = field(default_factory=dict)
    masks: dict[tuple[str, str], Group] = field(default_factory=dict)
    changes: dict[ChangeRow, Group] = field(default_factory=dict)
    sights: dict[SightRow, Group] = field(default_factory=dict)
    named: dict[int, Group] = field(default_factory=dict)
    missed: dict[int, Group] = field(default_factory=dict)
    unseen: dict[str, Group] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)
    bad: list[str] = field(default_factory=list)
    bad_count: int = 0

    def judged(self, recorded: RecordedRequest, found: Judgement) -> None:
        """One request under the (new) set."""
        self.requests += 1
        row = Row(found.client, found.outcome, found.rules)
        _add(self.outcomes, row, Row(OTHERS, found.outcome, ()), example(recorded, found), self.keep)

    def shown(self, recorded: RecordedRequest, found: Judgement, masked: Shown) -> None:
        """What is masked in its answer."""
        if masked.unknown:
            self.not_seen(recorded, found, masked.unknown)
        for rule, count in masked.hits.items():
            key = (found.client, rule)
            _add(self.masks, key, (OTHERS, rule), example(recorded, found), self.keep, count)

    def not_seen(self, recorded: RecordedRequest, found: Judgement, why: str) -> None:
        """Its answer cannot be masked, so nothing is known of it."""
        reason = why.partition(":")[0]  # what follows quotes a place, which is another one each time
        _add(self.unseen, reason, OTHERS, example(recorded, found), self.keep)

    def compared(self, recorded: RecordedRequest, before: Judgement, after: Judgement) -> None:
        """One request under the old and the new set."""
        change = change_of(before, after)
        if change is None:
            return
        what = f"{after.asked.verb} {after.asked.resource or after.asked.path}".strip()
        row = ChangeRow(change, after.client, what, before.outcome, before.rules, after.outcome, after.rules)
        others = ChangeRow(change, OTHERS, "", before.outcome, (), after.outcome, ())
        _add(self.changes, row, others, example(recorded, after), self.keep)

    def seen(self, recorded: RecordedRequest, found: Judgement, sights: Iterable[Seen]) -> None:
        """Fields of its answer that are shown otherwise."""
        resource = found.asked.resource or found.asked.path
        for each in sights:
            row = SightRow(each.sight, found.client, resource, each.field, each.rule)
            others = SightRow(each.sight, OTHERS, "", "", "")
            _add(self.sights, row, others, example(recorded, found), self.keep)

    def expected(self, index: int, recorded: RecordedRequest, found: Judgement, *, met: bool) -> None:
        """The request is one that the expectation names as its `index`-th."""
        _add(self.named if met else self.missed, index, index, example(recorded, found), self.keep)

    def unreadable(self, problem: str) -> None:
        """A part of a recording that could not be read."""
        self.bad_count += 1
        if len(self.bad) < MAX_BAD:
            self.bad.append(problem)

    def merge(self, other: Tally) -> None:
        """Adds the counts of a later piece."""
        self.requests += other.requests
        _merge(self.outcomes, other.outcomes, self.keep)
        _merge(self.masks, other.masks, self.keep)
        _merge(self.changes, other.changes, self.keep)
        _merge(self.sights, other.sights, self.keep)
        _merge(self.named, other.named, self.keep)
        _merge(self.missed, other.missed, self.keep)
        _merge(self.unseen, other.unseen, self.keep)
        self.coverage.merge(other.coverage)
        self.bad += other.bad[: max(0, MAX_BAD - len(self.bad))]
        self.bad_count += other.bad_count

    def of_outcome(self, outcome: Outcome) -> int:
        """How many requests end so."""
        return sum(group.count for row, group in self.outcomes.items() if row.outcome is outcome)

    def of_change(self, change: Change) -> int:
        """How many requests change so."""
        return sum(group.count for row, group in self.changes.items() if row.change is change)

    def of_sight(self, sight: Sight) -> int:
        """In how many answers some field is shown so; an answer counts once for each of its fields."""
        return sum(group.count for row, group in self.sights.items() if row.sight is sight)


def example(recorded: RecordedRequest, found: Judgement) -> Example:
    """The request as a row shows it."""
    return Example(found.asked.words, str(recorded.place), recorded.id, found.why)


def change_of(before: Judgement, after: Judgement) -> Change | None:
    """None where nothing is different."""
    if before.outcome is not after.outcome:
        if Outcome.UNKNOWN in {before.outcome, after.outcome}:
            return Change.NOT_KNOWN
        return _CHANGES.get(after.outcome)
    if before.terms != after.terms:
        return Change.TERMS
    if after.outcome is not Outcome.UNKNOWN and before.rules != after.rules:
        return Change.RULES
    return None


_CHANGES = {
    Outcome.DENY: Change.DENIED,
    Outcome.REQUIRE_APPROVAL: Change.QUEUED,
    Outcome.ALLOW: Change.ALLOWED,
}


def _add[K](  # noqa: PLR0917 - one line for each table
    groups: dict[K, Group], key: K, others: K, one: Example, keep: int, values: int = 0
) -> None:
    group = groups.get(key)
    if group is None:
        key = key if len(groups) < MAX_GROUPS else others
        group = groups.setdefault(key, Group())
    group.add(one, keep, values)


def _merge[K](groups: dict[K, Group], others: dict[K, Group], keep: int) -> None:
    for key, group in others.items():
        groups.setdefault(key, Group()).merge(group, keep)
