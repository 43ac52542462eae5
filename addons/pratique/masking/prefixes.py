r"""From a pattern to an expression of everything that could still become a match of it.

Belongs here: `prefixes`. Not here: patterns (`patterns.py`), what is held back (`text.py`).

A stream must know where the first match may begin that its end does not decide yet. `prefixes(p)` matches every string
with which a match of p can begin, so `(?:…)\z`, searched by RE2 (which reads such an expression from the end of the text
and stops where nothing is left), tells that at the speed of RE2: some 200 times that of an engine with partial matches.

It may match too much, which holds back more than is needed, and never too little: word borders and line ends inside a
pattern are left out, since the next byte is not known. Source of the node names: CPython 3.12 and 3.13 `re._parser`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_parser: Any = re._parser  # type: ignore[attr-defined]  # noqa: SLF001 - the only parser of regular expressions at hand
_UNBOUNDED: Any = _parser.MAXREPEAT
_MAX_REPEAT = 1000  # RE2's own limit
_CATEGORIES = {
    "CATEGORY_DIGIT": "0-9",
    "CATEGORY_SPACE": r"\t\n\f\r ",
    "CATEGORY_WORD": "0-9A-Za-z_",
}


class UnknownSyntaxError(Exception):
    """The pattern uses what is not translated here; another engine must do."""


def prefixes(pattern: str) -> str:
    """An expression, in what RE2 and `re` read alike, of every prefix of every match (the empty one too).

    Raises UnknownSyntaxError.
    """
    try:
        parsed = _parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UnknownSyntaxError(str(error)) from None
    if parsed.state.flags & ~re.UNICODE:
        raise UnknownSyntaxError("flags for the whole pattern")
    return _some(list(parsed), leading=True)


def _some(nodes: Sequence[Any], *, leading: bool = False) -> str:
    """Every prefix of a sequence: a prefix of its first node, or that node and a prefix of the rest."""
    if not nodes:
        return ""
    rest = _some(nodes[1:]) if len(nodes) > 1 else ""
    whole = _whole(nodes[0], leading=leading)
    if not whole:
        return rest
    begun = _begun(nodes[0])
    return f"(?:{begun}|{whole}{rest})" if begun else f"(?:{whole}{rest})?"


def _begun(node: Any) -> str:
    """Prefixes of one node that are not empty and, mostly, not the whole; "" if it has none."""
    name, value = str(node[0]), node[1]
    match name:
        case "BRANCH":
            return "|".join(_some(list(branch)) for branch in value[1])
        case "SUBPATTERN":
            return _flagged(value, _some(list(value[3])))
        case "MAX_REPEAT" | "MIN_REPEAT":
            _, most, body = value
            inside = _some(list(body))
            if len(body) == 1 and str(body[0][0]) in _SINGLE:  # `x{3,5}` begins as `x{0,5}`
                return f"(?:{_sequence(body)}){_count(0, most)}"
            less = most if most is _UNBOUNDED else max(int(most) - 1, 0)
            return f"(?:{_sequence(body)}){_count(0, less)}{inside}"
        case _:
            return ""


_SINGLE = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})


def _sequence(nodes: Sequence[Any]) -> str:
    return "".join(_whole(node) for node in nodes)


def _whole(node: Any, *, leading: bool = False) -> str:
    """One node as it is; "" for what takes no byte, but for a border in front of the whole pattern."""
    name, value = str(node[0]), node[1]
    match name:
        case "LITERAL":
            return _literal(value)
        case "NOT_LITERAL":
            return f"[^{_literal(value)}]"
        case "ANY":
            return "."
        case "IN":
            return _class(value)
        case "BRANCH":
            return f"(?:{'|'.join(_sequence(branch) for branch in value[1])})"
        case "SUBPATTERN":
            return _flagged(value, _sequence(value[3]))
        case "MAX_REPEAT" | "MIN_REPEAT":
            least, most, body = value
            return f"(?:{_sequence(body)}){_count(least, most)}"
        case "AT":
            return r"\b" if leading and str(value) == "AT_BOUNDARY" else ""
        case _:
            raise UnknownSyntaxError(name)


def _flagged(value: Any, inner: str) -> str:
    _, added, removed, _ = value
    if removed or added & ~re.IGNORECASE:
        raise UnknownSyntaxError("flags of a group")
    return f"(?i:{inner})" if added else f"(?:{inner})"


def _literal(code: int) -> str:
    if code > 0xFF:
        raise UnknownSyntaxError("a character that is no byte")
    return f"\\x{code:02x}"


def _class(items: Sequence[Any]) -> str:
    parts = []
    for kind, value in items:
        match str(kind):
            case "NEGATE":
                parts.append("^")
            case "LITERAL":
                parts.append(_literal(value))
            case "RANGE":
                parts.append(f"{_literal(value[0])}-{_literal(value[1])}")
            case "CATEGORY" if str(value) in _CATEGORIES:
                parts.append(_CATEGORIES[str(value)])
            case other:
                raise UnknownSyntaxError(other)
    return f"[{''.join(parts)}]"


def _count(least: Any, most: Any) -> str:
    if int(least) > _MAX_REPEAT or (most is not _UNBOUNDED and int(most) > _MAX_REPEAT):
        raise UnknownSyntaxError("a long repeat")
    return f"{{{least},{'' if most is _UNBOUNDED else most}}}"
