"""Beginnings: for every match, every beginning of it is found at the end of a text."""

from __future__ import annotations

import random

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.masking.hits import Hits
from pratique.masking.known import KnownValues
from pratique.masking.mask import Mask
from pratique.masking.patterns import GENERAL, PATTERNS, Pattern, PatternSet, compile_re2
from pratique.masking.prefixes import UnknownSyntaxError, prefixes
from pratique.masking.text import TextMasker, TextStream
from tests.masking.test_patterns import EXAMPLES

LETTERS = "abcAB01 -_=:\"'\\.{}"


@pytest.mark.parametrize(("name", "text", "secret"), EXAMPLES)
def test_every_beginning_of_a_match_is_found_at_the_end(name: str, text: str, secret: str) -> None:
    patterns = PatternSet([PATTERNS[name]])
    raw = text.encode()
    for start, end in patterns.matches(raw, 0):
        for place in range(start + 1, end):
            assert patterns.hold(raw[:place], 0) <= start, raw[:place]


PIECES = st.sampled_from(
    ["a", "b", "[ab]", "[^a]", ".", r"\.", r"\x41", "(?:ab|b)", "(a|bc)", "(?i:ab)", r"\b", "(?:a|b(?:c|a))"]
)
REPEATS = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "{0,2}?"])
EXPRESSIONS = st.lists(st.tuples(PIECES, REPEATS), min_size=1, max_size=4).map(
    lambda parts: "".join(piece + (repeat if piece != r"\b" else "") for piece, repeat in parts)
)


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, st.integers(0, 2**32))
def test_beginnings_of_random_expressions(expression: str, seed: int) -> None:
    randomness = random.Random(seed)
    text = "".join(randomness.choice("abcA. ") for _ in range(12))
    begins = re2.compile(f"(?:{prefixes(expression)})\\z")
    for match in re2.finditer(expression, text):
        for place in range(match.start() + 1, match.end()):
            found = begins.search(text[:place])
            assert found is not None and found.start() <= match.start(), (expression, text[:place])


def test_what_cannot_begin_a_match_is_not_held() -> None:
    patterns = PatternSet(PATTERNS[name] for name in GENERAL)
    for text in (b"harmless", b"$ ", b"a = b ", b"done.\r", b"level=info ", b"x" * 40):
        assert patterns.hold(text, 0) >= len(text) - 8, text


@pytest.mark.parametrize(
    "expression", [r"\pL+x", "(?P<n>a)", r"\Qa.b\E", "a(?#x)", "(", "a)", r"\C", "a(?=b)", r"(a)\1", "(?x) a"]
)
def test_other_syntax_is_not_guessed_at(expression: str) -> None:
    with pytest.raises(UnknownSyntaxError):
        prefixes(expression)


def test_a_pattern_whose_beginnings_are_not_known_holds_unfinished_lines() -> None:
    patterns = PatternSet([Pattern("own", r"\pL{3}[0-9]+")])
    stream = TextStream(TextMasker(patterns, KnownValues(), Mask(), Hits().count))
    assert stream.feed(b"anything ab") == b""
    assert stream.feed(b"c12\nmore") == b"anything " + Mask().text.encode() + b"\n"
    assert stream.close() == b"more"


@pytest.mark.parametrize("name", PATTERNS)
@settings(max_examples=10, deadline=None)
@given(st.data())
def test_whatever_begins_a_match_is_held_from_its_first_byte(name: str, data: st.DataObject) -> None:
    found = data.draw(
        st.from_regex(PATTERNS[name].regex.encode(), fullmatch=True).filter(lambda text: b"\n" not in text)
    )
    text, patterns = b"x = " + found, PatternSet([PATTERNS[name]])
    for begin, end in patterns.matches(text, 0):
        for cut in range(begin + 1, end):
            assert patterns.hold(text[:cut], 0) <= begin, text[:cut]


@pytest.mark.parametrize(
    ("pattern", "begun", "other"),
    [
        ("abc", [b"", b"a", b"ab", b"abc"], [b"b", b"abcd", b"ac"]),
        ("a{2,3}b", [b"", b"a", b"aaa", b"aaab"], [b"aaaa", b"b"]),
        ("(?:ab){2}c", [b"", b"ab", b"aba", b"abab", b"ababc"], [b"abc", b"ababab"]),
        ("(?i:ab)[^c-d]", [b"A", b"aB", b"abx"], [b"abc"]),
        ("x(?:yy|zz)?w", [b"x", b"xy", b"xyy", b"xz", b"xw"], [b"xyz", b"y"]),
        (r"a\d+\.", [b"a", b"a1", b"a12."], [b"a.", b"ab"]),
        ("a.*?b", [b"a", b"axx", b"ab", b"abb"], [b"b"]),
    ],
)
def test_prefixes_of_small_patterns(pattern: str, begun: list[bytes], other: list[bytes]) -> None:
    compiled = compile_re2(f"(?:{prefixes(pattern)})")
    assert [text for text in begun if not compiled.fullmatch(text)] == []
    assert [text for text in other if compiled.fullmatch(text)] == []


def test_a_long_line_is_no_burden() -> None:
    """An engine with partial matches needs 0.2 s for 32 KiB without a line end."""
    patterns = PatternSet(PATTERNS[name] for name in GENERAL)
    text = b"2026-11-25 INFO request path=/api/v1/items status=200 duration=12ms " * 500
    assert patterns.hold(text, 0) == len(text)
    assert patterns.hold(text + b"password=hun", 0) == len(text)
