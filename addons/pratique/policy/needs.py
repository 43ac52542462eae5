"""What the cluster has to be asked before a request can be decided.

Belongs here: the value. Not here: when it is needed (`decision.py`), asking (`lookups.py`).
"""

from __future__ import annotations

from typing import NamedTuple


class Needs(NamedTuple):
    """`old_object`: the live object; `result`: the dry run of a patch; `namespace_labels`: of the request's namespace."""

    old_object: bool = False
    result: bool = False
    namespace_labels: bool = False

    def __or__(self, other: Needs) -> Needs:
        return Needs(*(mine or theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def names(self) -> tuple[str, ...]:
        """For people: in the words of a policy."""
        words = ("oldObject", "the result of the patch", "the labels of the namespace")
        return tuple(word for word, needed in zip(words, self, strict=True) if needed)


NOTHING = Needs()
