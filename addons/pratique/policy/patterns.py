"""Globs: `*` stands for any run of characters; nothing else is special.

Belongs here: matching of names, namespaces, clients, images and argument lists against what a rule says. Not here:
which field is matched (`matching.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

ANY = "*"
REST = "**"


def matches(pattern: str, text: str) -> bool:
    """Whole-string match in time linear in the text for each `*` (no regular expression, so no backtracking)."""
    head, *rest = pattern.split(ANY)
    if not rest:
        return pattern == text
    *middle, tail = rest
    if len(text) < len(head) + len(tail) or not text.startswith(head) or not text.endswith(tail):
        return False
    at, end = len(head), len(text) - len(tail)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def matches_argv(patterns: Sequence[str], argv: Sequence[str]) -> bool:
    """One glob for each argument; a trailing `**` stands for any number of further ones (also none)."""
    if patterns and patterns[-1] == REST:
        patterns = patterns[:-1]
        argv = argv[: len(patterns)] if len(argv) >= len(patterns) else argv
    return len(patterns) == len(argv) and all(map(matches, patterns, argv))


class Globs:
    """A list of globs, as a set and a list of real patterns. An empty list matches nothing."""

    __slots__ = ("_others", "_prefixes", "everything", "exact", "patterns")

    def __init__(self, globs: Sequence[str]) -> None:
        self.everything = ANY in globs
        self.exact = frozenset(glob for glob in globs if ANY not in glob)
        self.patterns = tuple(glob for glob in globs if ANY in glob)
        # Nearly every pattern is `prefix*`, which str does by itself.
        self._prefixes = tuple(glob[:-1] for glob in self.patterns if glob.find(ANY) == len(glob) - 1)
        self._others = tuple(glob for glob in self.patterns if glob.find(ANY) != len(glob) - 1)

    def match(self, text: str) -> bool:
        if self.everything or text in self.exact or (self._prefixes and text.startswith(self._prefixes)):
            return True
        return bool(self._others) and any(matches(pattern, text) for pattern in self._others)
