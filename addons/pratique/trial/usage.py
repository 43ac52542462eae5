"""What a client used: each verb on each resource, where, by which names, how often.

Belongs here: counting, in memory that does not grow with the number of requests; what is left out because it escalates. Pure. Not
here: rules (`proposal`).

A request counts as all that it does (`pratique.policy.demands`): a patch also reads, an apply also creates. So a cell is a
demand, and not a request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from pratique.policy import escalation
from pratique.policy.demands import NON_RESOURCE_VERBS, RESOURCE_VERBS, Demand, demands_of
from pratique.policy.request import PolicyRequest
from pratique.policy.rules import RESOURCE_NAME
from pratique.trial.judging import Judgement
from pratique.trial.naming import MAX_REMEMBERED
from pratique.trial.recorded import SCRUBBED_TEXT, RecordedRequest
from pratique.trial.tally import Example, example
from pratique.verdict import Action

EVERYWHERE = None
"""The namespace of a request to all namespaces."""
MAX_COMMANDS = 8
"""Distinct command lines that a rule lists."""
KEPT = 3
MAX_LEFT_OUT = 200

_READS = frozenset({"get", "list", "watch"})
_HARMLESS_WRITES = frozenset(
    {
        ("create", "", "configmaps"),
        ("create", "", "events"),
        ("patch", "", "events"),
        ("create", "events.k8s.io", "events"),
        ("patch", "events.k8s.io", "events"),
        ("create", "", "persistentvolumeclaims"),
        ("create", "coordination.k8s.io", "leases"),
        ("update", "coordination.k8s.io", "leases"),
        ("patch", "coordination.k8s.io", "leases"),
        ("create", "authentication.k8s.io", "selfsubjectreviews"),
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
        ("create", "authorization.k8s.io", "selfsubjectrulesreviews"),
    }
)
"""Writes that run nothing, reach nothing and change nothing of others. Whatever else writes, a person approves."""


class Left(StrEnum):
    """Why a request is in no rule."""

    ESCALATION = "escalation of privileges: write the rule yourself, if it must be"
    UNREADABLE = "it cannot be read, or was refused before any policy"
    UNNAMED = "no rule can name it"
    DENIED = "it was denied, or the cluster refused it, when it was recorded"


class Cell(NamedTuple):
    """One verb on one resource. `resource` with its subresource."""

    action: Action
    verb: str
    group: str
    resource: str
    dry_run: bool = False


class Path(NamedTuple):
    """One verb on paths that are no resources."""

    action: Action
    verb: str


@dataclass(slots=True)
class Names:
    """Of a cell in one namespace. `unknown`: some request did not tell its name, or there were too many."""

    names: set[str] = field(default_factory=set)
    unknown: bool = False

    def add(self, name: str | None) -> None:
        """None: not known."""
        if name is None or len(self.names) >= MAX_REMEMBERED or len(name) > 253:
            self.unknown = True
        else:
            self.names.add(name)


@dataclass(slots=True)
class Evidence:
    """How often a cell was used, and what for."""

    requests: int = 0
    examples: list[Example] = field(default_factory=list)
    commands: set[tuple[str, ...]] | None = field(default_factory=set)
    """Of exec; None: too many, or not known."""

    def add(self, one: Example) -> None:
        """One more."""
        self.requests += 1
        if len(self.examples) < KEPT:
            self.examples.append(one)


@dataclass(slots=True)
class Usage:
    """Of one client. `left_out`: requests that no rule is for, by reason and in words."""

    client: str
    also_denied: bool = False
    cells: dict[Cell, dict[str | None, Names]] = field(default_factory=dict)
    evidence: dict[Cell, Evidence] = field(default_factory=dict)
    paths: dict[Path, set[str]] = field(default_factory=dict)
    path_evidence: dict[Path, Evidence] = field(default_factory=dict)
    left_out: dict[tuple[Left, str], int] = field(default_factory=dict)
    requests: int = 0

    def take(self, recorded: RecordedRequest, found: Judgement) -> bool:
        """One request; whether a rule will be for it. `found` need not be of any particular policy."""
        if found.client != self.client:
            return False
        self.requests += 1
        request = found.request
        reason = self._reason(recorded, request)
        if reason or request is None:
            self._leave_out(reason or Left.UNREADABLE, found.asked.words)
            return False
        one = example(recorded, found)
        if not request.attributes.is_resource_request:
            self._path(request, one)
            return True
        for demand in demands_of(request).required:
            self._cell(request, demand, one)
        return True

    def _reason(self, recorded: RecordedRequest, request: PolicyRequest | None) -> Left | None:
        if request is None or request.attributes.error:
            return Left.UNREADABLE
        if not self.also_denied and not was_used(recorded):
            return Left.DENIED
        if not request.attributes.is_resource_request:
            return None if _is_nameable(request) else Left.UNNAMED
        demands = demands_of(request).required
        if not all(map(_can_be_named, demands)):
            return Left.UNNAMED
        if any(map(escalation.by_resource, demands)) or escalation.by_content(request):
            return Left.ESCALATION
        if "body" in recorded.lost and escalation.is_checked(request.attributes):
            return Left.ESCALATION
        return None

    def _leave_out(self, reason: Left, words: str) -> None:
        key = (reason, words)
        if key in self.left_out or len(self.left_out) < MAX_LEFT_OUT:
            self.left_out[key] = self.left_out.get(key, 0) + 1

    def _path(self, request: PolicyRequest, one: Example) -> None:
        verb = request.attributes.verb
        path = Path(Action.ALLOW if verb in {"get", "head"} else Action.REQUIRE_APPROVAL, verb)
        self.paths.setdefault(path, set()).add(request.attributes.path)
        self.path_evidence.setdefault(path, Evidence()).add(one)

    def _cell(self, request: PolicyRequest, demand: Demand, one: Example) -> None:
        resource = resource_of(demand)
        group = demand.groups[0]
        rehearses = request.rehearses and demand.verb not in _READS
        action = action_of(demand.verb, group, resource, rehearses=rehearses)
        cell = Cell(action, demand.verb, group, resource, rehearses)
        name = None if demand.verb in {"list", "watch", "deletecollection"} and not request.name else request.name
        if name is not None and SCRUBBED_TEXT in name:
            name = None
        self.cells.setdefault(cell, {}).setdefault(request.namespace, Names()).add(name)
        evidence = self.evidence.setdefault(cell, Evidence())
        evidence.add(one)
        if request.exec is not None:
            evidence.commands = _with_command(evidence.commands, request)

    def rehearsed(self) -> set[tuple[str, str]]:
        """(group, resource) of which dry runs were seen."""
        return {(cell.group, cell.resource) for cell in self.cells if cell.dry_run}

    def __iter__(self) -> Iterator[Cell]:
        return iter(sorted(self.cells))


def action_of(verb: str, group: str, resource: str, *, rehearses: bool) -> Action:
    """Reads, dry runs and a few harmless writes are allowed; for the rest a person is asked."""
    harmless = verb in _READS or rehearses or (verb, group, resource) in _HARMLESS_WRITES
    return Action.ALLOW if harmless else Action.REQUIRE_APPROVAL


def was_used(recorded: RecordedRequest) -> bool:
    """Whether the request did what it asked for, or waited for a person."""
    if recorded.verdict:
        return recorded.verdict in {Action.ALLOW.value, Action.REQUIRE_APPROVAL.value}
    answer = recorded.answer
    return answer is None or not (answer.raw and answer.status in {401, 403})


def _can_be_named(demand: Demand) -> bool:
    known = demand.verb in RESOURCE_VERBS and RESOURCE_NAME.match(resource_of(demand)) is not None
    return known and "*" not in resource_of(demand) + demand.groups[0]


def _is_nameable(request: PolicyRequest) -> bool:
    attributes = request.attributes
    return attributes.verb in NON_RESOURCE_VERBS and attributes.path.startswith("/") and "*" not in attributes.path


def resource_of(demand: Demand) -> str:
    """As in `pods/exec`."""
    return f"{demand.resource}/{demand.subresource}" if demand.subresource else demand.resource


def _with_command(commands: set[tuple[str, ...]] | None, request: PolicyRequest) -> set[tuple[str, ...]] | None:
    command = request.exec.command if request.exec else None
    if commands is None or not command or any("*" in argument for argument in command):
        return None  # a star would be a glob, and stands in what was scrubbed
    found = commands | {command}
    return found if len(found) <= MAX_COMMANDS else None
