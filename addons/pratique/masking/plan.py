r"""The rules for objects of one type, compiled: what is looked for in the raw bytes, what is done with a decoded object.

Belongs here: byte prefilters, the order of rules, base64 or text. Not here: which rules match (`rules.py`), envelopes
(`pratique.kube.objects`), the object's way through one request (`masker.py`).

Speed comes from not decoding: a rule that cannot touch an object (or a top-level field of one) is seen by an
expression over the raw bytes. INVARIANT: such an expression may find too much, never too little. It is exact because
API servers escape only `"`, `\`, control characters, `<`, `>`, `&` and U+2028/9; any other escape counts as found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from pratique.kube.objects import ObjectType
from pratique.masking.jsonpath import Match, Path, Wild
from pratique.masking.keys import KeyNames
from pratique.masking.patterns import GENERAL, PATTERNS, Pattern, PatternSet, compile_re2

if TYPE_CHECKING:
    from pratique.masking.rules import MaskRule

# Escapes that an API server does not write: they could hide a name from the expressions.
_HIDING = r"\\u00(?:2[^6]|3[^cCeE]|[4-7])|\\/"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:/@-]+\Z")
# Fields that hold bytes in Kubernetes' own types: text there fails every typed client.
_BYTES = {("", "secrets"): "data", ("", "configmaps"): "binaryData"}
# A Secret inside another object (manifests in custom resources): masked by the rules for Secrets.
NESTED_SECRET = r'"kind"\s*:\s*"Secret"'  # noqa: S105 - a kind


@dataclass(frozen=True, slots=True, eq=False)
class PathRule:
    """One JSONPath of one rule."""

    rule: MaskRule
    path: Path
    encoded: bool


class Plan:
    """Immutable once made; its memories are only filled with what any thread would compute."""

    def __init__(self, kind: ObjectType, rules: Iterable[MaskRule]) -> None:
        self.kind = kind
        self.rules = tuple(rules)
        whole = [rule for rule in self.rules if rule.paths and not rule.keys and not rule.patterns]
        # Dropped first: what is gone needs no mask. JSON in strings last: it is masked as an object of its own.
        order = {"drop": 0, "json": 2}
        self.paths = [
            PathRule(rule, path, self._encoded(rule, path))
            for rule in sorted(whole, key=lambda rule: order.get(rule.as_, 1))
            for path in rule.paths
        ]
        self.searches = [rule for rule in self.rules if rule.keys or rule.patterns]
        self.whole = any(path.path.whole for path in self.paths) or any(p.whole for r in self.searches for p in r.paths)
        self._hints: dict[str, Callable[[Raw | bytes | memoryview], bool]] = {}

    @property
    def empty(self) -> bool:
        return not self.rules

    def _encoded(self, rule: MaskRule, path: Path) -> bool:
        if rule.as_ != "auto":
            return rule.as_ == "base64"
        kind = (self.kind.group, self.kind.resource.partition("/")[0])
        return bool(path.steps) and path.steps[0] == (_BYTES.get(kind, ""),)

    def may_touch(self, raw: Raw | bytes | memoryview, field: str | None = None) -> bool:
        """Whether a rule may change this object, or this top-level field of it. Never a false no."""
        key = field if field in self._fields else ("" if field is not None else "*")
        test = self._hints.get(key)
        if test is None:
            test = self._hints[key] = self._compile_hint(None if key == "*" else key)
        return test(raw)

    @cached_property
    def _fields(self) -> frozenset[str]:
        """Top-level fields that some path names."""
        paths = [rule.path for rule in self.paths] + [path for rule in self.searches for path in rule.paths]
        return frozenset(name for path in paths for name in path.top or ())

    def _compile_hint(self, field: str | None) -> Callable[[Raw | bytes | memoryview], bool]:
        """`field`: a name that paths know, "" for any other, None for the whole object (whose bytes hold the names)."""
        hints = [_path_hint(entry.path, field) for entry in self.paths if _enters(entry.path, field)]
        for rule in self.searches:
            if not rule.paths or any(_enters(path, field) for path in rule.paths):
                hints += _search_hints(rule)
        if self.rules and field is None:
            hints.append(NESTED_SECRET)
        if not hints:
            return lambda _raw: False
        if "" in hints:
            return lambda _raw: True
        search = compile_re2("|".join([*hints, _HIDING])).search
        return lambda raw: search(memoryview(raw)) is not None

    @cached_property
    def keys(self) -> tuple[KeyNames, ...]:
        """Key names that count anywhere: names of Table columns are measured by them."""
        return tuple(rule.keys for rule in self.searches if rule.keys)

    @cached_property
    def text_patterns(self) -> PatternSet:
        """For text of this type: its rules' patterns and the general ones."""
        own = [pattern for rule in self.rules for pattern in rule.patterns]
        return pattern_set((*own, *(PATTERNS[name] for name in GENERAL)))

    @cached_property
    def any_depth(self) -> tuple[list[MaskRule], list[MaskRule]]:
        """Rules that search whole objects: with key names, with patterns."""
        rules = [rule for rule in self.searches if not rule.paths]
        return [rule for rule in rules if rule.keys], [rule for rule in rules if rule.patterns]


_SETS: dict[tuple[Pattern, ...], PatternSet] = {}


def pattern_set(patterns: tuple[Pattern, ...]) -> PatternSet:
    """Compiled once per combination; combinations come from policies, not from clients."""
    found = _SETS.get(patterns)
    if found is None:
        found = _SETS[patterns] = PatternSet(patterns)
    return found


def _enters(path: Path, field: str | None) -> bool:
    top = path.top
    return field is None or top is None or field in top


def _path_hint(path: Path, field: str | None) -> str:
    """The longest name on the path, as a key; "" if there is none. Inside a field, only names after the first count."""
    steps = path.steps[1:] if field is not None and path.top is not None else path.steps
    names = [step for step in steps if not isinstance(step, Wild) and all(map(_PLAIN_NAME.match, step))]
    if not names:
        return ""
    best = max(names, key=lambda step: min(map(len, step)))
    return rf'"(?:{"|".join(map(re.escape, best))})"\s*:'


def _search_hints(rule: MaskRule) -> list[str]:
    hints = [rule.keys.hint] if rule.keys else []
    if rule.patterns:
        hints.append(pattern_set(rule.patterns).hint)
    return hints


def apply_paths(plan: Plan, document: Any, change: Callable[[PathRule, Match], None]) -> None:
    """Calls `change` for each match, last one first, so that deleting from a list does not move the others."""
    for entry in plan.paths:
        for match in reversed(entry.path.find(document)):
            if match.parent is not None:
                change(entry, match)
