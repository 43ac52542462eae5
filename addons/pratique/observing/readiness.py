"""Whether the gateway is ready: the outcome of each check, as /readyz tells it.

Belongs here: the values. Not here: asking (`probes`), what is asked (the composition root). Pure. Whoever can reach the
listener can read this: a `problem` is a fixed text of ours, and its detail is in the log.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one check: `problem` is "" where there is none. Not `required`: worth knowing, but the gateway serves."""

    name: str
    problem: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Readiness:
    outcomes: tuple[Outcome, ...]

    @property
    def ready(self) -> bool:
        """Of no checks at all it is false: nothing is known."""
        return bool(self.outcomes) and not any(each.problem and each.required for each in self.outcomes)
