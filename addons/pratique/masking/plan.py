r"""The rules for objects of one type, compiled: what is looked for in the raw bytes, what is done with an object.

Belongs here: byte prefilters, the order of rules, base64 or text. Not here: which rules match (`rules.py`), the tree of
plain paths (`nodes.py`), envelopes (`pratique.kube.objects`), the object's way through one request (`body.py`).

Speed comes from not decoding: a rule that cannot touch an object (or a part of one) is seen by an expression over the
raw bytes. INVARIANT: such an expression may find too much, never too little, and starts inside the map or list that
the rule is about. It is exact because API servers escape only `"`, `\`, control characters, `<`, `>`, `&` and
U+2028/9; any other escape counts as found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, wraps
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Raw

from pratique.kube.objects import ObjectType
from pratique.masking.edits import Names
from pratique.masking.jsonpath import Match, Path
from pratique.masking.keys import PAIR_VALUES, KeyNames
from pratique.masking.nodes import Node, build
from pratique.masking.patterns import GENERAL, PATTERNS, Pattern, PatternSet, compile_hint, spans_of

if TYPE_CHECKING:
    from pratique.masking.rules import MaskRule

# Escapes that an API server does not write: they could hide a name from the expressions.
_HIDING = r"\\u00(?:2[^6]|3[^cCeE]|[4-7])|\\/"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:/@-]+\Z")
# Fields that hold bytes in Kubernetes' own types: text there fails every typed client.
_BYTES = {("", "secrets"): "data", ("", "configmaps"): "binaryData"}
# A Secret inside another object (manifests in custom resources): masked by the rules for Secrets.
NESTED_SECRET = r'"kind"\s*:\s*"Secret"'  # noqa: S105 - a kind
# Top-level fields that say what an object is.
NAMING = frozenset({"apiVersion", "kind"})
_REMEMBERED = 1024  # combinations of top-level names; they come from the cluster, so they are bounded
_SETS = 256  # combinations of patterns; they come from policies, which are edited
ANYWHERE = (0, 0)
_QUOTE, _BACKSLASH = ord('"'), ord("\\")

type Span = tuple[int, int]


class _ListMeta(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """metav1.ListMeta."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None
    self_link: str = ""


class ListHead(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """What most lists say about themselves, beside their items. None of it is a value."""

    kind: str
    api_version: str
    metadata: _ListMeta


_HEAD = frozenset(field.encode_name for field in msgspec.structs.fields(_ListMeta))


@dataclass(frozen=True, slots=True, eq=False)
class PathRule:
    """One JSONPath of one rule."""

    rule: MaskRule
    path: Path
    encoded: bool


class Finder:
    """An expression over raw JSON. Without one ("": none can be made) everything counts as found."""

    def __init__(self, hints: Iterable[str]) -> None:
        listed = list(hints)
        self._nothing = not listed
        self.expression = "" if self._nothing or "" in listed else "|".join([*listed, _HIDING])
        self._regex = compile_hint(self.expression) if self.expression else None

    @property
    def knows(self) -> bool:
        """It can tell where."""
        return self._nothing or self._regex is not None

    def finds(self, text: bytes | memoryview) -> bool:
        """Whether anything is found."""
        return not self._nothing if self._regex is None else self._regex.search(text) is not None

    def each(self, text: bytes, start: int, stop: int) -> Iterator[Span]:
        """Spans of what is found in `text[start:stop]`, in order, one at a time; of nothing if it does not know."""
        return iter(()) if self._regex is None else spans_of(self._regex, text, start, stop)

    def all(self, text: bytes) -> list[Span]:
        """Spans of what is found; [ANYWHERE] if it may be anywhere."""
        spans = list(self.each(text, 0, len(text))) if self.knows else [ANYWHERE]
        return [ANYWHERE] if hides(text, spans) else spans


NESTED = Finder([NESTED_SECRET])


def hides(text: bytes, spans: Sequence[Span]) -> bool:
    """Whether one of the finds is an escape that may hide others."""
    for start, _ in spans:  # noqa: SIM110 - faster: there is one mostly
        if text[start] == _BACKSLASH:
            return True
    return False


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
        deep = tuple(rule for rule in self.searches if not rule.paths)
        self.any_depth = bool(deep)
        """There are rules that search a whole object."""
        self.keyed = tuple(rule for rule in deep if rule.keys)
        self.names = Names([rule.keys for rule in deep if rule.keys])
        self.patterned = patterned_by(deep)
        # Path rules as a tree of fields; None if there is one that needs a decoded object.
        self.nodes = build(self.paths, [rule for rule in self.searches if rule.paths], deep=self.any_depth)
        self.edits = (
            self.any_depth
            and self.nodes is not None
            and not any(node.looks_inside for name, node in self.nodes.items() if name != "metadata")
        )
        """Finds behind the metadata are for the rules for any depth alone."""
        self.values = frozenset(name for name, node in (self.nodes or {}).items() if node.is_values and not deep)
        """Top-level fields whose values are all masked, so that nothing is left to find in them."""
        self.done = self.values | {"metadata", *NAMING}
        """Top-level fields in which the rules for any depth find nothing (annotations hang at their node)."""
        self._clean_names: dict[tuple[str, ...], bool] = {}
        self._ordinary: dict[bytes, bool] = {}
        self._finders: dict[MaskRule, Finder] = {}

    @property
    def empty(self) -> bool:
        return not self.rules

    def _encoded(self, rule: MaskRule, path: Path) -> bool:
        if rule.as_ != "auto":
            return rule.as_ == "base64"
        kind = (self.kind.group, self.kind.resource.partition("/")[0])
        return bool(path.steps) and path.steps[0] == (_BYTES.get(kind, ""),)

    def ordinary(self, name: bytes) -> bool:
        """Whether the patterns for any depth find nothing in the name of a pair."""
        if self.patterned is None:
            return True
        known = self._ordinary.get(name)
        if known is None:
            known = not self.patterned.patterns.search(name)
            if len(self._ordinary) >= _REMEMBERED:
                self._ordinary = {}
            self._ordinary[name] = known
        return known

    @cached_property
    def keys(self) -> tuple[KeyNames, ...]:
        """Key names that count anywhere: names of Table columns are measured by them."""
        return tuple(rule.keys for rule in self.searches if rule.keys)

    @cached_property
    def text_patterns(self) -> PatternSet:
        """For text of this type: its rules' patterns and the general ones."""
        own = [pattern for rule in self.rules for pattern in rule.patterns]
        return pattern_set((*own, *(PATTERNS[name] for name in GENERAL)))

    # --- what raw bytes tell ---

    @cached_property
    def eager(self) -> bool:
        """Some rule has something to do in about every object of the type: looking for it first is wasted."""
        return self.nodes is None or any(node.is_values or node.whole for node in self.nodes.values())

    @cached_property
    def _hints(self) -> list[str]:
        hints = [hint for name, node in (self.nodes or {}).items() for hint in _node_hints(node, (name,))]
        hints += [hint for rule in self.searches for hint in _search_hints(rule)]
        return [*hints, NESTED_SECRET] if self.rules else []

    @cached_property
    def objects(self) -> Finder:
        """What any rule may find in objects of the type."""
        return Finder(self._hints)

    @cached_property
    def rows(self) -> Finder:
        """The same for rows of a Table, whose cells are text."""
        return Finder([*self._hints, self.text_patterns.hint])

    @cached_property
    def cells(self) -> Finder:
        """What text patterns may find in the raw cells of a row."""
        return Finder([self.text_patterns.hint])

    def finder(self, rule: MaskRule) -> Finder:
        """What a rule that looks inside may find in a map or list."""
        found = self._finders.get(rule)
        if found is None:
            found = self._finders[rule] = Finder(_search_hints(rule))
        return found

    @cached_property
    def deep(self) -> Finder:
        """What the rules for any depth may find in a map or list, and Secrets in it."""
        hints = [hint for rule in self.searches if not rule.paths for hint in _search_hints(rule)]
        return Finder([*hints, NESTED_SECRET] if self.rules else [])

    @cached_property
    def spares_heads(self) -> bool:
        """Nothing is to be done where a list says about itself no more than `ListHead` has."""
        nodes = self.nodes
        if nodes is None or not nodes.keys().isdisjoint(NAMING):
            return False
        node = nodes.get("metadata", Node())
        asked = bool(node.whole or node.searches or node.deep or node.each) or not node.children.keys().isdisjoint(
            _HEAD
        )
        return not asked and not any(rule.keys.matches(name) for rule in self.keyed if rule.keys for name in NAMING)

    def touches_root(self, fields: dict[str, Raw]) -> bool:
        """Whether rules for any depth may have something to do beside the maps and lists of an object."""
        if not self.any_depth:
            return False
        names = tuple(fields)
        clean = self._clean_names.get(names)
        if clean is None:
            clean = not any(rule.keys.matches(name) for rule in self.keyed if rule.keys for name in names)
            clean = clean and not any(name in names for name in PAIR_VALUES)
            if len(self._clean_names) >= _REMEMBERED:
                self._clean_names = {}
            self._clean_names[names] = clean
        if not clean:
            return True
        texts = [raw for name, raw in fields.items() if name not in NAMING and memoryview(raw)[0] == _QUOTE]
        return bool(texts) and self.deep.finds(b",".join(texts))


@dataclass(frozen=True, slots=True)
class Patterned:
    """The patterns of some rules as one set, and the id of the rule that each is counted for."""

    patterns: PatternSet
    rules: dict[str, str]


def patterned_by(rules: Iterable[MaskRule]) -> Patterned | None:
    """None if they have no patterns."""
    rules = tuple(rules)
    patterns = tuple(pattern for rule in rules for pattern in rule.patterns)
    names = {pattern.name: rule.id for rule in reversed(rules) for pattern in rule.patterns}
    return Patterned(pattern_set(patterns), names) if patterns else None


def remembered[Owner, Made](make: Callable[[Owner], Made]) -> Callable[[Owner], Made]:
    """What is made of a rule or a plan, kept for as long as that: each reload of the documents makes new ones."""
    kept: WeakKeyDictionary[Owner, Made] = WeakKeyDictionary()

    @wraps(make)
    def found(owner: Owner) -> Made:
        try:
            return kept[owner]
        except KeyError:
            made = kept[owner] = make(owner)
            return made

    return found


@remembered
def patterned_of(rule: MaskRule) -> Patterned | None:
    """The patterns of one rule."""
    return patterned_by([rule])


@lru_cache(_SETS)
def pattern_set(patterns: tuple[Pattern, ...]) -> PatternSet:
    """Compiled once per combination; combinations come from policies, not from clients."""
    return PatternSet(patterns)


def _node_hints(node: Node, names: tuple[str, ...]) -> Iterator[str]:
    """One for each value that a rule takes whole: the longest name on the way to it, as a key."""
    if node.whole:
        plain = [name for name in names if _PLAIN_NAME.match(name)]
        yield rf'"{re.escape(max(plain, key=len))}"\s*:' if plain else ""
    for name, child in node.children.items():
        yield from _node_hints(child, (*names, name))
    if node.each is not None:
        yield from _node_hints(node.each, names)


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
