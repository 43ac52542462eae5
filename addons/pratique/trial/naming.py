"""From many names to few: which names a rule must list, and where the evidence supports a glob.

Belongs here: generated suffixes, prefixes, the thresholds. Pure. Not here: what the names are of (`usage`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ANY = "*"
MIN_ALIKE = 3
"""Distinct names with one prefix and generated suffixes that make a glob: two may be chance."""
MAX_LISTED = 12
"""Names that a person reads in a rule; more distinct ones than this are taken for any name."""
MAX_REMEMBERED = 4096
"""Distinct names of one cell that are kept; beyond it, it is any name anyway."""
_MIN_PREFIX = 3
"""Characters of a glob's prefix, so that no rule says `a*`."""

# What Kubernetes generates (apimachinery util/rand): no vowels, no 0, 1 and 3.
_RANDOM = r"[bcdfghjklmnpqrstvwxz2456789]{5}"
_GENERATED = re.compile(
    rf"(?P<prefix>.{{{_MIN_PREFIX},}}?-)(?:[bcdfghjklmnpqrstvwxz2456789]{{8,10}}-{_RANDOM}|[0-9]{{1,12}}(?:-{_RANDOM})?|{_RANDOM})\Z"
)
"""The names of pods of a ReplicaSet; of jobs of a CronJob and of their pods, of a StatefulSet; of anything with generateName."""


def prefix_of(name: str) -> str:
    """What stands before a suffix that looks generated, with its dash; "" for a name that somebody gave."""
    match = _GENERATED.match(name)
    return match["prefix"] if match else ""


def generalised(names: Iterable[str], *, listed: int = MAX_LISTED) -> tuple[str, ...] | None:
    """The names as a rule lists them, sorted; None: any name."""
    distinct = set(names)
    if len(distinct) > MAX_REMEMBERED:
        return None
    alike: dict[str, set[str]] = {}
    for name in distinct:
        if prefix := prefix_of(name):
            alike.setdefault(prefix, set()).add(name)
    globs = {f"{prefix}*": found for prefix, found in alike.items() if len(found) >= MIN_ALIKE}
    covered = set[str]().union(*globs.values()) if globs else set()
    plain = {name for name in distinct - covered if ANY not in name}
    if len(globs) + len(plain) > listed or len(plain) + len(covered) < len(distinct):
        return None
    return tuple(sorted([*globs, *plain]))


def is_exact(names: tuple[str, ...]) -> bool:
    """Whether RBAC can say the same: it has no globs."""
    return not any(ANY in name for name in names)
