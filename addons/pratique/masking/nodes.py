"""Rules whose JSONPath is plain field names, as a tree of fields.

Belongs here: which rules can be put into it, and what hangs at which field. Not here: how it is followed through a
document (`fast.py`), rules with filters, indices or `..`, which need the whole field decoded (`document.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pratique.masking.jsonpath import Path, Wild

if TYPE_CHECKING:
    from pratique.masking.plan import PathRule
    from pratique.masking.rules import MaskRule


@dataclass
class Node:
    """One field. `whole`: the rule for its value; `searches`: rules that look inside; `deep`: those for any depth too.

    `each` is for every child that is not named.
    """

    whole: list[PathRule] = field(default_factory=list)
    searches: list[MaskRule] = field(default_factory=list)
    deep: bool = False
    children: dict[str, Node] = field(default_factory=dict)
    each: Node | None = None

    @cached_property
    def is_values(self) -> bool:
        """Every value directly below is masked by one rule, and nothing else is asked of it (`$.data.*`)."""
        each = self.each
        return bool(
            each is not None
            and not (self.whole or self.searches or self.children)
            and len(each.whole) == 1
            and each.whole[0].rule.as_ not in {"json", "drop"}
            and not (each.searches or each.children or each.each)
        )

    @cached_property
    def looks_inside(self) -> bool:
        """A rule searches in it, or below."""
        below = [*self.children.values(), *([self.each] if self.each else [])]
        return bool(self.searches) or any(node.looks_inside for node in below)

    def conflicts(self) -> bool:
        """Whether two rules meet on one value, so that their order counts."""
        below = [*self.children.values(), *([self.each] if self.each else [])]
        meets = len(self.whole) > 1 or (self.whole and below) or (self.each is not None and self.children)
        return bool(meets) or any(node.conflicts() for node in below)


def is_plain(path: Path) -> bool:
    """Field names, and at most one `*` at the end."""
    steps = path.steps
    return (
        bool(steps)
        and not path.whole
        and path.plain
        and Wild.DEEP not in steps
        and Wild.ANY not in steps[:-1]
        and steps[0] is not Wild.ANY
    )


def build(whole: Iterable[PathRule], searches: Iterable[MaskRule], *, deep: bool) -> dict[str, Node] | None:
    """The tree; None if a rule does not fit into it, or two of them meet. `deep`: there are rules for any depth."""
    root = Node()
    for entry in whole:
        if not is_plain(entry.path):
            return None
        for node in _at(root, entry.path):
            node.whole.append(entry)
    for rule in searches:
        for path in rule.paths:
            if not is_plain(path):
                return None
            for node in _at(root, path):
                node.searches.append(rule)
    if deep:
        root.children.setdefault("metadata", Node()).children.setdefault("annotations", Node()).deep = True
    return None if root.conflicts() else root.children


def _at(root: Node, path: Path) -> Iterator[Node]:
    """The nodes that a path ends at (several where it has alternatives), made where missing."""
    nodes = [root]
    for step in path.steps:
        below: list[Node] = []
        for node in nodes:
            if isinstance(step, Wild):
                node.each = node.each or Node()
                below.append(node.each)
            else:
                below += [node.children.setdefault(name, Node()) for name in step]
        nodes = below
    yield from nodes
