"""How often each rule masked something.

Belongs here: counting, and the one line for people. Not here: what is masked.
"""

from __future__ import annotations


class Hits(dict[str, int]):
    """Rule ids POLICY/RULE, or names of patterns, and how many values each replaced. `total` is their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def count(self, rule: str, times: int = 1) -> None:
        self[rule] = self.get(rule, 0) + times
        self.total += times

    def add(self, other: Hits) -> None:
        for rule, times in other.items():
            self.count(rule, times)


def summary(hits: dict[str, int]) -> str:
    """`3 values masked (default/secret-data: 3)`; "" if there are none."""
    if not hits:
        return ""
    total = sum(hits.values())
    return f"{total} value{'s' if total > 1 else ''} masked ({', '.join(f'{rule}: {hits[rule]}' for rule in sorted(hits))})"
