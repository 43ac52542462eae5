"""Label selectors of rules: `matchLabels` and `matchExpressions`, as in meta/v1 LabelSelector.

Belongs here: the shape, what may not stand in one, matching. Not here: selectors in a query (`pratique.kube.selectors`),
where labels come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

type Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]


class Requirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One of `matchExpressions`. A label that is not there satisfies NotIn and DoesNotExist."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        there, value = self.key in labels, labels.get(self.key)
        match self.operator:
            case "In":
                return there and value in self.values
            case "NotIn":
                return not there or value not in self.values
            case "Exists":
                return there
        return not there


class LabelSelector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """All of it must hold."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        wanted = all(labels.get(key) == value for key, value in self.match_labels.items())
        return wanted and all(each.matches(labels) for each in self.match_expressions)

    def problems(self) -> Iterator[tuple[str, str]]:
        """(message, remedy) of what it may not say."""
        if not self.match_labels and not self.match_expressions:
            yield "`namespaceSelector` is empty and would match everything", "Fill it, or leave it out"
        for each in self.match_expressions:
            if (each.operator in {"In", "NotIn"}) != bool(each.values):
                needs = "needs `values`" if each.operator in {"In", "NotIn"} else "takes no `values`"
                yield f"operator `{each.operator}` {needs}", "See LabelSelector of the Kubernetes API"
            if not each.key:
                yield "a `key` is empty", "Name a label"
