"""What a container printed reaches a person's terminal as text, colours and cursor moves, and as nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.recorder.terminal import MAX_SEQUENCE, RESET, TerminalFilter, pauses

HARMLESS = [
    "plain ünïcode 漢字\r\n\ttext\b",
    "\x1b[31;1mred\x1b[0m",
    "\x1b[38;2;1;2;3m\x1b[38:5:9m",
    "\x1b[2J\x1b[H\x1b[10;20H\x1b[K\x1b[3A",
    "\x1b[?1049h\x1b[?25l\x1b[?25h\x1b[?7;25h",
    "\x1b7\x1b8\x1bM\x1b(0\x1b(B",
    "\x1b[5;20r\x1b[2L\x1b[P",
]
DANGEROUS = [
    ("the clipboard", "\x1b]52;c;cm0gLXJm\x07"),
    ("the title", "\x1b]0;title\x1b\\"),
    ("a link", "\x1b]8;;file:///etc/passwd\x1b\\"),
    ("a question that the terminal answers", "\x1b[6n\x1b[c\x1b[>c\x1b[0x\x1b[?6n"),
    ("a setting request", "\x1bP$q q\x1b\\"),
    ("the window", "\x1b[8;1;1t\x1b[21t"),
    ("the printer", "\x1b[5i\x1b[?5i"),
    ("mouse and paste modes", "\x1b[?1000h\x1b[?2004h\x1b[?1;1000h"),
    ("a reset", "\x1bc\x1b#8\x1b[!p"),
    ("privacy and application strings", "\x1b^pm\x1b\\\x1b_apc\x1b\\\x1bXsos\x1b\\"),
    ("C1 controls", "\x9b31m\x9d0;t\x9c\x90\x85"),
    ("other controls", "\x07\x00\x0e\x0f\x7f\x05"),
    ("bidi marks", "\u202e\u2066\u200f"),
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_shows_text_passes_unchanged(text: str) -> None:
    assert TerminalFilter().feed(text) == text


@pytest.mark.parametrize(("what", "text"), DANGEROUS, ids=[case[0] for case in DANGEROUS])
def test_what_makes_a_terminal_act_is_left_out(what: str, text: str) -> None:
    shown = TerminalFilter().feed(f"a{text}z")
    assert "\x1b" not in shown
    assert shown[0] == "a"
    assert shown[-1] == "z"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


def test_a_string_that_never_ends_is_swallowed_as_a_terminal_would() -> None:
    shown = TerminalFilter()
    assert shown.feed("a\x1b]52;c;" + "x" * 10 * MAX_SEQUENCE) == "a"
    assert shown.feed("still\x1b") == ""
    assert shown.feed("\\after") == "after"


def test_an_endless_sequence_is_no_sequence_and_costs_little() -> None:
    assert TerminalFilter().feed("\x1b[" + "1" * 2 * MAX_SEQUENCE).startswith("[1")
    assert TerminalFilter().feed("\x1b]" * 200_000) == ""
    assert TerminalFilter().feed("\x1b" * 200_000) == ""


@given(
    st.lists(st.sampled_from([*HARMLESS, *(text for _, text in DANGEROUS), "ab", "\x1b", "["]), max_size=6), st.data()
)
@settings(max_examples=200, deadline=None)
def test_however_it_is_cut_the_same_is_shown(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    filtered = TerminalFilter()
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join(map(filtered.feed, parts)) == TerminalFilter().feed(text)


@given(st.text(st.sampled_from("\x1b[]?;:0123456789hlmnctPX^_\\\x07\x9b a"), max_size=60))
@settings(max_examples=500, deadline=None)
def test_only_the_listed_sequences_ever_pass(text: str) -> None:
    shown = TerminalFilter().feed(text)
    listed = r"\x1b(?:\[[0-9;:]*[@A-HJ-MPSTXdefmr`as]|\[\?[0-9;]*[hl]|[78DEM])"
    assert "\x1b" not in re.sub(listed, "", shown)


def test_a_pipe_gets_lines_and_no_sequence() -> None:
    plain = TerminalFilter(plain=True)
    assert "".join(map(plain.feed, HARMLESS[:2])) == "plain ünïcode 漢字\n\ttextred"
    assert plain.feed("\x1b[31mred\x1b[0m\r\n") == "red\n"


def test_a_pause_is_bounded_and_scaled() -> None:
    assert list(pauses([0.5, 1.0, 61.0, 60.0, 62.0], speed=2.0, idle=2.0)) == [0.25, 0.25, 1.0, 0.0, 0.5]
    assert TerminalFilter().feed(RESET) == RESET
