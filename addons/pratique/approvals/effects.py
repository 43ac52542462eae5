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


GROWTH = 1.2  # a namespace's numbers change all the time; a fifth more is another deletion than the one that was shown
MIN_GROWTH = 3


def has_changed(shown: Effect | None, now: Effect | None) -> bool:
    """Whether `now` is another effect than the one that was shown; then reviewers are asked again.

    What was shown as unknown was approved as unknown. A selection may shrink, what goes along may vary a little.
    """
    if shown is None or now is None or not shown.known:
        return False
    if not now.known:
        return True
    if shown.digest != now.digest and not _has_shrunk(shown, now):
        return True
    before = dict(shown.cascade)
    return any(
        number > max(before.get(kind, 0) * GROWTH, before.get(kind, 0) + MIN_GROWTH) for kind, number in now.cascade
    )


def _has_shrunk(shown: Effect, now: Effect) -> bool:
    """Of a selection that is shown in full: nothing new in it."""
    if shown.difference or now.difference or not shown.objects or shown.total > len(shown.objects):
        return False
    if now.total >= shown.total or now.risks != shown.risks:
        return False
    return {each.uid for each in now.objects} <= {each.uid for each in shown.objects}
