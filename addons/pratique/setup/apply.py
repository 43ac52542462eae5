"""I/O: reads what is there, and carries a plan out.

Belongs here: which place a thing belongs to, the order of reading and doing. Not here: the places (`aws`, `cluster`,
`files`), the plan (`plan`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pratique.setup import aws, plan
from pratique.setup.aws import Aws
from pratique.setup.cluster import Cluster
from pratique.setup.files import Files
from pratique.setup.plan import Action, Found, Step, Thing
from pratique.setup.wanted import Installation

_FILES = frozenset({"file", "kubeconfig"})


@dataclass(frozen=True, slots=True)
class Places:
    aws: Aws
    cluster: Cluster
    files: Files | None

    def read(self, things: Sequence[Thing], labels: dict[str, str]) -> dict[str, Found | None]:
        """What is there of `things`, and what else is ours in the cluster. Raises StartError."""
        found: dict[str, Found | None] = dict(self.cluster.unwanted(labels))
        return found | {thing.key: self._place(thing).read(thing) for thing in things}

    def do(self, steps: Sequence[Step], namespace: str) -> Iterator[Step]:
        """Carries out what changes something; each step once it is done. Raises StartError: the rest is not done."""
        for step in steps:
            if step.changes:
                self._do(step, namespace)
            yield step

    def _do(self, step: Step, namespace: str) -> None:
        thing = step.thing
        if self.files is not None and thing.kind in _FILES:
            if step.action is Action.CREATE:
                self.files.create(thing, self.cluster.authority(namespace))
            return
        place = self.aws if thing.kind in aws.KINDS else self.cluster
        if step.action in {Action.DELETE, Action.REPLACE}:
            place.delete(thing)
        if step.action in {Action.CREATE, Action.REPLACE}:
            place.create(thing)
        if step.action is Action.UPDATE:
            place.update(thing, step.differs)

    def _place(self, thing: Thing) -> Aws | Cluster | Files:
        if self.files is not None and thing.kind in _FILES:
            return self.files
        return self.aws if thing.kind in aws.KINDS else self.cluster


def steps_of(places: Places, what: Installation, things: Sequence[Thing], *, back: bool) -> tuple[Step, ...]:
    """The plan for what is there now."""
    found = places.read(things, what.labels)
    return (plan.plan_back if back else plan.plan)(things, found)
