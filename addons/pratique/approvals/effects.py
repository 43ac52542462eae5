"""The effect of a request as reviewers see it: what it would change, and a digest by which a change of that is noticed.

Belongs here: the value. Not here: finding it out (`foreseeing`), comparing documents (`difference`), which fields are
risky (`risks`). Everything in it is masked and escaped already.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_OBJECTS = 200  # shown of a deletion; all are counted, and all are in the digest
MAX_DIFF_LINES = 2_000  # shown; the number of the others is told


@dataclass(frozen=True, slots=True)
class AffectedObject:
    """One object that goes or changes. `uid` tells it from a later one of the same name."""

    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Effect:
    """`known` is false where it could not be found out; `problem` then says why, in words for reviewers.

    `objects` are the first of `total`; `cascade` counts per kind what goes with them (`cascade_complete`: everything was
    looked at). `difference` are lines that begin with "+", "-", " " or "@"; `left_out` counts those that are not shown.
    `risks` are (what, value), the most important first. `digest` is over all that is shown: another digest, another
    effect.
    """

    known: bool = True
    problem: str = ""
    objects: tuple[AffectedObject, ...] = ()
    total: int = 0
    cascade: tuple[tuple[str, int], ...] = ()
    cascade_complete: bool = True
    difference: tuple[str, ...] = ()
    left_out: int = 0
    risks: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    digest: str = ""
