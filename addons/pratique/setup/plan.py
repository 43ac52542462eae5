"""The plan: what is wanted, against what is there.

Pure: documents in, steps out. The same inputs give the same steps, so that a second run has nothing to do.

INVARIANT: what is there and does not say that it is ours is neither changed nor deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_WHOLE = frozenset({"data"})
"""Maps that must be exactly as wanted: a policy that was removed must not stay in a ConfigMap."""

type Document = Mapping[str, Any]


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    """Deleted and created: what it depends on is made anew."""
    DELETE = "delete"
    KEEP = "keep"
    REFUSE = "refuse"
    """It is there and is not ours."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing that is wanted. `wanted` has every field that is compared with what is found.

    `once`: made when it is missing and then left alone (keys). `stays`: not deleted with the rest. `after`: the key of a
    thing by which it is bound; when that one is created, this is replaced.
    """

    kind: str
    name: str
    wanted: Document
    why: str
    once: bool = False
    stays: bool = False
    after: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Found:
    """What is there: the fields of `Thing.wanted`, and whether it says that it is ours."""

    document: Document
    ours: bool


@dataclass(frozen=True, slots=True)
class Step:
    action: Action
    thing: Thing
    differs: tuple[str, ...] = ()
    """Paths of fields that are not as wanted."""

    @property
    def changes(self) -> bool:
        return self.action not in {Action.KEEP, Action.REFUSE}


def plan(things: Sequence[Thing], found: Mapping[str, Found | None]) -> tuple[Step, ...]:
    """Steps in the order of `things`; then what is found, is ours, and is not wanted any more goes."""
    steps: list[Step] = []
    created: set[str] = set()
    for thing in things:
        step = _wanted(thing, found.get(thing.key), created)
        if step.action in {Action.CREATE, Action.REPLACE}:
            created.add(thing.key)
        steps.append(step)
    wanted = {thing.key for thing in things}
    for key, there in found.items():
        if there is not None and there.ours and key not in wanted:
            kind, _, name = key.partition(":")
            steps.append(Step(Action.DELETE, Thing(kind, name, {}, "nothing needs it any more")))
    return tuple(steps)


def plan_back(things: Sequence[Thing], found: Mapping[str, Found | None]) -> tuple[Step, ...]:
    """Steps that take everything back, in the opposite order. What is not there needs none."""
    steps = []
    for thing in reversed(things):
        there = found.get(thing.key)
        if there is None:
            continue
        if thing.stays:
            steps.append(Step(Action.KEEP, thing))
        else:
            steps.append(Step(Action.DELETE if there.ours else Action.REFUSE, thing))
    return tuple(steps)


def _wanted(thing: Thing, there: Found | None, created: set[str]) -> Step:
    if there is None:
        return Step(Action.CREATE, thing)
    if thing.once or (thing.stays and not there.ours):
        return Step(Action.KEEP, thing)
    differs = tuple(differences(thing.wanted, there.document))
    stale = thing.after in created
    if not differs and not stale:
        return Step(Action.KEEP, thing)
    if not there.ours:
        return Step(Action.REFUSE, thing, differs)
    return Step(Action.REPLACE if stale else Action.UPDATE, thing, differs)


def differences(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Paths at which `found` lacks something that is wanted. What it has beyond that is no difference, but in lists."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping) and path not in _WHOLE:
        return [
            line for key in wanted for line in differences(wanted[key], found.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if wanted == found else [path or "all of it"]
