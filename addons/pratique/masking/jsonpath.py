"""JSONPath as jsonpath-ng parses it, compiled to closures.

Belongs here: the syntax nodes that mask rules may use, and where they match. Not here: what is done with a match.
jsonpath-ng's own `update()` is never used: it silently skips maps behind filters and lists behind callables
(1.16.0), and is 2-10 times slower.

A node type that is not compiled raises PathError when the rule is loaded; it is never skipped. `find()` of
jsonpath-ng is the reference: tests/masking/test_jsonpath.py proves equality on random documents.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import re2
from jsonpath_ng import Child, Descendants, Fields, Index, Root, Slice, This
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.filter import And, Expression, Filter, Or
from jsonpath_ng.ext.parser import parse
from jsonpath_ng.jsonpath import Wildcard

from pratique.errors import PratiqueError


class PathError(PratiqueError):
    """A JSONPath that cannot be compiled; the message names the part at fault."""


class Match(NamedTuple):
    """One match: `parent[key]` is `value`; the root has no parent."""

    parent: Any
    key: Any
    value: Any


class Wild(Enum):
    """Steps of `Path.steps` that are no field names."""

    ANY = "*"
    DEEP = ".."


type Step = Callable[[Match, Any], list[Match]]
type Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled JSONPath.

    `steps`: field names (alternatives in a tuple), `Wild.ANY` for one child, `Wild.DEEP` for any depth. `whole`: a
    filter reads `$`, so the path can only be followed on the whole object. `plain`: fields and `*`, nothing else.
    """

    text: str
    steps: tuple[Names | Wild, ...]
    whole: bool
    plain: bool
    step: Step

    def find(self, root: Any) -> list[Match]:
        """Every match in document order."""
        return self.step(Match(None, None, root), root)

    @property
    def top(self) -> Names | None:
        """The top-level fields that the path can enter; None: any."""
        first = self.steps[0] if self.steps else Wild.ANY
        return None if self.whole or isinstance(first, Wild) else first


def compile_path(text: str) -> Path:
    """Raises PathError for bad syntax, a node that masks do not support, or a regular expression that RE2 refuses.

    Also for what jsonpath-ng 1.16 warns of: it will mean something else in 2.0.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            tree = parse(text)
    except (JSONPathError, TypeError, AttributeError, ValueError, DeprecationWarning) as error:
        raise PathError(f"`{text}` is not a JSONPath: {error}") from None
    return Path(text, tuple(_flat(tree)), _reads_root(tree), _is_plain(tree), _compile(tree))


def _flat(node: Any) -> Iterator[Names | Wild]:
    if isinstance(node, Child | Descendants):
        yield from _flat(node.left)
        if isinstance(node, Descendants):
            yield Wild.DEEP
        yield from _flat(node.right)
    elif isinstance(node, Fields):
        yield tuple(node.fields)
    elif not isinstance(node, Root | This):
        yield Wild.ANY


def _is_plain(node: Any) -> bool:
    if isinstance(node, Child):
        return _is_plain(node.left) and _is_plain(node.right)
    return isinstance(node, Root | This | Fields | Wildcard)


def _reads_root(node: Any) -> bool:
    if isinstance(node, Child | Descendants):
        return _reads_root(node.left) or _reads_root(node.right)
    return isinstance(node, Filter) and bool(node._references_root())  # noqa: SLF001 - the parser's own answer


def _compile(node: Any) -> Step:
    compiler = _COMPILERS.get(type(node))
    if compiler is None:
        raise PathError(
            f"`{node}` ({type(node).__name__}) is not supported in a mask. Use fields, indices, `*`, `..`, `[?…]`."
        )
    return compiler(node)


def _root(_: Any) -> Step:
    return lambda _match, root: [Match(None, None, root)]


def _this(_: Any) -> Step:
    return lambda match, _root: [match]


def _child(node: Child) -> Step:
    left, right = _compile(node.left), _compile(node.right)
    return lambda match, root: [found for parent in left(match, root) for found in right(parent, root)]


def _fields(node: Fields) -> Step:
    names = tuple(node.fields)

    def step(match: Match, _root: Any) -> list[Match]:
        value = match.value
        if not isinstance(value, dict):
            return []
        return [Match(value, name, value[name]) for name in names if name in value]

    return step


def _children(value: Any) -> list[Match]:
    if isinstance(value, dict):
        return [Match(value, key, child) for key, child in value.items()]
    if isinstance(value, list):
        return [Match(value, index, child) for index, child in enumerate(value)]
    return []


def _wildcard(_: Any) -> Step:
    return lambda match, _root: _children(match.value)


def _index(node: Index) -> Step:
    indices = tuple(node.indices)

    def step(match: Match, _root: Any) -> list[Match]:
        value = match.value
        if not isinstance(value, list):
            return []
        size = len(value)
        # The index that is kept is the one from the front: a mask may delete from the back.
        return [Match(value, index % size, value[index]) for index in indices if -size <= index < size]

    return step


def _slice(node: Slice) -> Step:
    cut = slice(node.start, node.end, node.step)

    def step(match: Match, _root: Any) -> list[Match]:
        value = match.value
        if not isinstance(value, list) or cut.step == 0:
            return []
        return [Match(value, index, value[index]) for index in range(len(value))[cut]]

    return step


def _descendants(node: Descendants) -> Step:
    left, right = _compile(node.left), _compile(node.right)

    def step(match: Match, root: Any) -> list[Match]:
        found: list[Match] = []
        stack = left(match, root)[::-1]
        while stack:
            here = stack.pop()
            found += right(here, root)
            if isinstance(here.value, dict | list):
                stack += _children(here.value)[::-1]
        return found

    return step


def _filter(node: Filter) -> Step:
    tests = [_test(expression) for expression in node.expressions]
    return lambda match, root: [child for child in _children(match.value) if all(test(child, root) for test in tests)]


type Test = Callable[[Match, Any], bool]


def _test(node: Any) -> Test:
    if isinstance(node, And | Or):
        operands = [_test(operand) for operand in node.operands]
        quantifier = all if isinstance(node, And) else any
        return lambda match, root: quantifier(operand(match, root) for operand in operands)
    if not isinstance(node, Expression):
        raise PathError(f"`{node}` is not supported in a filter. Compare a field with a constant.")
    target = _compile(node.target)
    if node.op is None:
        return lambda match, root: bool(target(match, root))
    if node.op == "!":
        return lambda match, root: not target(match, root)
    if node.op == "=~":
        return _pattern_test(target, str(node.value))
    if isinstance(node.value, tuple(_COMPILERS)):
        return _query_test(target, node.op, _compile(node.value))
    return _constant_test(target, node.op, node.value)


def _pattern_test(target: Step, pattern: str) -> Test:
    try:
        search = re2.compile(pattern).search
    except re2.error as error:
        raise PathError(f"`{pattern}` is not an RE2 regular expression: {error}") from None
    return lambda match, root: any(isinstance(m.value, str) and search(m.value) for m in target(match, root))


def _constant_test(target: Step, op: str, constant: Any) -> Test:
    def test(match: Match, root: Any) -> bool:
        found = target(match, root)
        if not found:  # RFC 9535 2.3.5.2.2: nothing is different from every value
            return op == "!="
        return any(_compare(op, m.value, constant) for m in found)

    return test


def _query_test(target: Step, op: str, query: Step) -> Test:
    def test(match: Match, root: Any) -> bool:
        left, right = target(match, root), query(match, root)
        if not left or not right:
            return _EQUALITY[op](not left and not right)
        return any(_compare(op, m.value, other.value) for m in left for other in right)

    return test


_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_EQUALITY: dict[str, Callable[[bool], bool]] = {
    "==": bool,
    "=": bool,
    "<=": bool,
    ">=": bool,
    "!=": operator.not_,
    "<": lambda _same: False,
    ">": lambda _same: False,
}


def _compare(op: str, left: Any, right: Any) -> bool:
    """RFC 9535 2.3.5.2.2: only two numbers or two strings are ordered; True is not 1."""
    if (_is_number(left) and _is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return _ORDERED[op](left, right)
    return _EQUALITY[op](_same(left, right))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(value, right[key]) for key, value in left.items())
    return not isinstance(left, dict | list) and not isinstance(right, dict | list) and bool(left == right)


_COMPILERS: dict[type, Callable[[Any], Step]] = {
    Root: _root,
    This: _this,
    Child: _child,
    Fields: _fields,
    Wildcard: _wildcard,
    Index: _index,
    Slice: _slice,
    Descendants: _descendants,
    Filter: _filter,
}
