"""What is held back: never less than a match that has begun, and as the engine with partial matches says it."""

from __future__ import annotations

import functools

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.masking import patterns
from pratique.masking.patterns import GENERAL, PATTERNS, Pattern, PatternSet, compile_re2
from pratique.masking.prefixes import UnknownSyntaxError, prefixes


@functools.cache
def one(name: str) -> PatternSet:
    return PatternSet([PATTERNS[name]])


@functools.cache
def general() -> PatternSet:
    return PatternSet(PATTERNS[name] for name in GENERAL)


def by_partial_match(pattern_set: PatternSet, text: bytes, start: int = 0) -> int:
    """The other engine, without its time limit."""
    match = regex.compile(pattern_set._regex.encode() + patterns._SENTINEL.encode()).search(text, start, partial=True)
    return len(text) if match is None else match.start()


@pytest.mark.parametrize("name", PATTERNS)
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_whatever_begins_a_match_is_held_from_its_first_byte(name: str, data: st.DataObject) -> None:
    found = data.draw(
        st.from_regex(PATTERNS[name].regex.encode(), fullmatch=True).filter(lambda text: b"\n" not in text)
    )
    text = b"x = " + found
    for begin, end in one(name).matches(text, 0):
        for cut in range(begin + 1, end):
            assert one(name).hold(text[:cut], 0) <= begin, text[:cut]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [b"password", b"=", b": ", b'"', b"AKIA", b"ABCDEFGH", b" ", b"eyJ", b"aaaaaaaaaaaa", b".", b"Bearer ", b"--token ",
                 b"://u:p", b"@", b"-----BEGIN RSA PRIVATE KEY", b"-----", b"-----END ", b"sig=", b"?", b"authorization: ", b"ghp_", b"x"]
            ),
            st.binary(max_size=3).map(lambda raw: raw.replace(b"\n", b" ")),
        ),
        max_size=9,
    )
)  # fmt: skip
def test_no_less_is_held_than_by_an_engine_with_partial_matches(pieces: list[bytes]) -> None:
    text = b"".join(pieces)
    assert general().hold(text, 0) <= by_partial_match(general(), text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"plain words",
        b"2026-11-25T17:20:01Z INFO path=/api/v1/items status=200 ",
        b"user@host:~$ ",
        b"a password is needed ",
        b"$ pass",
        b"AKI",
    ],
)
def test_no_more_is_held_where_nothing_begins(text: bytes) -> None:
    assert general().hold(text, 0) == by_partial_match(general(), text)


def test_a_long_line_is_no_burden() -> None:
    """32 KiB without a line end: the other engine needs 0.2 s and gives up, which held everything back."""
    text = b"2026-11-25 INFO request path=/api/v1/items status=200 duration=12ms " * 500
    assert general().hold(text, 0) == len(text)
    assert general().hold(text + b"password=hun", 0) == len(text)


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


@pytest.mark.parametrize("pattern", [r"\pN+", "(?s:a.b)", r"a(?=b)", r"(a)\1", "(?x) a", "é{2}€"])
def test_what_cannot_be_translated_is_said(pattern: str) -> None:
    with pytest.raises(UnknownSyntaxError):
        prefixes(pattern)


def test_a_pattern_that_cannot_be_translated_is_held_by_the_other_engine() -> None:
    custom = PatternSet([Pattern("digits", r"code-\pN{4}")])
    assert custom._begun is None
    assert custom.hold(b"my code-12", 0) == 3
    assert custom.hold(b"my code", 0) == 3
    assert custom.hold(b"nothing", 0) == len(b"nothing")
