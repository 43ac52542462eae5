r"""The expression that matches every beginning of what an expression matches.

Belongs here: reading the part of RE2's syntax that patterns use, and turning it round. Not here: what is done with an
unfinished match (`text.py`).

A stream must know whether the end of what it has may become a secret. `(?:PREFIXES)\z` answers that: RE2 reads the
text backwards from its end and stops as soon as nothing fits, so that harmless text costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

# One character: an escape, a class, or a literal. `\b` and the like are assertions.
_CHARACTER = re.compile(
    r"\\x[0-9a-fA-F]{2}|\\[dDsSwW.+*?()\[\]{}|^$\\/\"'<>&=:,;@!%~`#-]|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\()\[\]|*+?{}^$]"
)
_ASSERTION = re.compile(r"\\[bB]|\^|\$")
_OPENING = re.compile(r"\((?:\?([ims]*):)?")
_REPEAT = re.compile(r"(?:([*+?])|\{(\d+)(,?)(\d*)\})(\??)")
_ONCE = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class UnknownSyntaxError(Exception):
    """The expression uses something that is not read here; it may be a good one all the same."""


@dataclass(frozen=True, slots=True)
class _Node:
    """`text` matches it, `begins` every beginning of it, the empty one included."""

    text: str
    begins: str
    is_character: bool = False
    is_assertion: bool = False


def prefixes(expression: str) -> str:
    """Raises UnknownSyntaxError."""
    reader = _Reader(expression)
    node = reader.alternatives()
    if reader.place < len(expression):
        raise UnknownSyntaxError(expression)
    return node.begins


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.place = 0

    def alternatives(self) -> _Node:
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        if len(branches) == 1:
            return branches[0]
        return _Node(
            _group("|".join(node.text for node in branches)), _group("|".join(node.begins for node in branches))
        )

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self.place < len(self._text) and self._text[self.place] not in "|)":
            parts.append(self._repeated())
        begins = ""
        for part in reversed(parts):
            if part.is_assertion:
                begins = f"(?:{part.text}{begins})?" if begins else ""
            else:
                begins = f"(?:{part.text}{begins}|{part.begins})" if begins else part.begins
        if len(parts) == 1:
            return parts[0]
        return _Node("".join(part.text for part in parts), begins)

    def _repeated(self) -> _Node:
        node = self._atom()
        match = _REPEAT.match(self._text, self.place)
        if match is None:
            return node
        self.place = match.end()
        if match[1]:
            low, high = _ONCE[match[1]]
        else:
            low = int(match[2])
            high = low if not match[3] else int(match[4]) if match[4] else None
        text = f"{node.text if node.is_character else _group(node.text)}{match[0]}"
        if node.is_character:
            return _Node(text, f"{node.text}*" if high is None else f"{node.text}{{0,{high}}}")
        before = f"{_group(node.text)}*" if high is None else f"{_group(node.text)}{{0,{max(high - 1, 0)}}}"
        return _Node(text, f"(?:{before}{node.begins})")

    def _atom(self) -> _Node:
        for expression, make in _ATOMS:
            match = expression.match(self._text, self.place)
            if match is not None:
                self.place = match.end()
                return make(match[0])
        opening = _OPENING.match(self._text, self.place)
        if opening is None or (self._text.startswith("(?", self.place) and opening[1] is None):
            raise UnknownSyntaxError(self._text)
        self.place = opening.end()
        inner = self.alternatives()
        if not self._take(")"):
            raise UnknownSyntaxError(self._text)
        flags = opening[1] or ""
        return _Node(f"(?{flags}:{inner.text})", f"(?{flags}:{inner.begins})")

    def _take(self, text: str) -> bool:
        found = self._text.startswith(text, self.place)
        self.place += len(text) if found else 0
        return found


def _group(text: str) -> str:
    return f"(?:{text})"


def _assertion(text: str) -> _Node:
    return _Node(text, "", is_assertion=True)


def _character(text: str) -> _Node:
    return _Node(text, f"{text}?", is_character=True)


_ATOMS: tuple[tuple[re.Pattern[str], Callable[[str], _Node]], ...] = (
    (_ASSERTION, _assertion),
    (_CHARACTER, _character),
)
