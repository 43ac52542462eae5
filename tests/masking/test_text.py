"""Text: the output of a stream does not depend on how it was cut, and no secret of any line is in it."""

from __future__ import annotations

import base64
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.masking import text as text_module
from pratique.masking.hits import Hits
from pratique.masking.known import KnownValues
from pratique.masking.mask import Mask
from pratique.masking.patterns import GENERAL, PATTERNS, PatternSet
from pratique.masking.text import KNOWN, MAX_HELD, TOO_LONG, TextMasker, TextStream
from tests.masking.canary import VALUE, find, forms

MASK = Mask().text.encode()
PEM = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEowIBAAKCAQEA7bq\nabcdefgh+/==\n-----END RSA PRIVATE KEY-----\n"
SHORT = b"token=abcd1234 x\n-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nu://a:pw@h"
LONG = b"\n".join(
    [
        b"2026-01-02 start", b'level=info password="not real" user=x', b"AKIAABCDEFGHIJKLMNOP and AKIAABC", b"", b"\r",
        b"https://user:hunter2hunter2@host/path?x=1", b"Authorization: Bearer abcdefghijklmnopqrstuvwxyz",
        b"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl tail", PEM.strip(), b"known " + VALUE.encode() + b" end",
        b"ghp_" + b"a" * 40, b"--password hunter2x --verbose", b"no end of token=", b"xoxb-1234567890-abc", b"api_key: abcdef",
        b'{"password":"hunter2","x":1}', b"\xff\xfe broken \x00 bytes", b"key: '" + forms()["base64+1"] + b"'", b"last password=x",
    ]
)  # fmt: skip


def known() -> KnownValues:
    values = KnownValues()
    values.add(VALUE)
    return values


PATTERN_SET = PatternSet(PATTERNS[name] for name in GENERAL)


def stream(hits: Hits | None = None, values: KnownValues | None = None) -> TextStream:
    return TextStream(TextMasker(PATTERN_SET, values or known(), Mask(), (hits if hits is not None else Hits()).count))


def fed(pieces: list[bytes]) -> bytes:
    masked = stream()
    return b"".join([masked.feed(piece) for piece in pieces]) + masked.close()


def cut(text: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(text)]
    return [text[start:end] for start, end in zip(edges, edges[1:], strict=False)]


WHOLE = fed([LONG])


def test_no_secret_of_any_line_is_shown_and_the_rest_is() -> None:
    for secret in (b"not real", b"AKIAABCDEFGHIJKLMNOP", b"hunter2", b"abcdefghijklmnopqrstuvwxyz", b"c2lnbmF0dXJl", b"MIIE",
                   b"abcdefgh+/", b"aaaaaaaa", b"1234567890", b"api_key: abcdef"):  # fmt: skip
        assert secret not in WHOLE, secret
    assert find(WHOLE) == []
    for kept in (
        b"start",
        b"level=info",
        b"user=x",
        b"and AKIAABC",
        b"@host/path?x=1",
        b"--verbose",
        b"tail",
        b"\xff\xfe",
        b"no end of",
    ):
        assert kept in WHOLE, kept


def test_byte_by_byte_is_the_whole() -> None:
    assert fed([LONG[index : index + 1] for index in range(len(LONG))]) == WHOLE


def test_cut_at_every_pair_of_positions_is_the_whole() -> None:
    whole = fed([SHORT])
    assert find(whole) == [] and b"abcd1234" not in whole and b"MIIE" not in whole and b":pw@" not in whole
    for first in range(len(SHORT)):
        for second in range(first, len(SHORT)):
            assert fed(cut(SHORT, [first, second])) == whole, (first, second)


def test_cut_once_anywhere_is_the_whole() -> None:
    for place in range(len(LONG)):
        assert fed(cut(LONG, [place])) == WHOLE, place


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, len(LONG)), max_size=12))
def test_cut_in_random_pieces_is_the_whole(places: list[int]) -> None:
    assert fed(cut(LONG, places)) == WHOLE


WORDS = [
    b"token=",
    b"password",
    b": ",
    b"=",
    b"\n",
    b'"',
    b"'",
    b"AKIA",
    b"ABCDEFGHIJKLMNOP",
    b"eyJ",
    b".",
    b"abcdefgh",
    b" ",
]
WORDS += [
    b"-----BEGIN PRIVATE KEY-----",
    b"-----END PRIVATE KEY-----",
    b"://u:",
    b"@",
    b"\\",
    b"\xff",
    b"--token ",
    b"Bearer ",
]
WORDS += [VALUE.encode(), VALUE.encode()[:8], forms()["base64+0"], forms()["hex"], b"\r", b"ghp_", b"x" * 36, MASK]


@settings(max_examples=120, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=12), st.randoms(use_true_random=False))
def test_random_texts_do_not_depend_on_the_cuts(words: list[bytes], randomness: random.Random) -> None:
    text = b"".join(words)
    whole = fed([text])
    assert fed([text[index : index + 1] for index in range(len(text))]) == whole
    assert fed(cut(text, [randomness.randint(0, len(text)) for _ in range(4)])) == whole


def test_a_complete_line_leaves_at_once() -> None:
    masked = stream()
    assert masked.feed(b"one\ntwo token=abcdef\nthr") == b"one\ntwo token=" + MASK + b"\nthr"
    assert masked.feed(b"ee\n") == b"ee\n"


def test_of_an_unfinished_line_only_what_may_be_a_secret_waits() -> None:
    masked = stream()
    assert masked.feed(b"$ ") == b"$ "
    assert masked.feed(b"export TOK") == b"export "
    assert masked.feed(b"Y") == b"TOKY"
    assert masked.feed(b" token=abc") == b" "
    assert masked.flush() == b"token=" + MASK
    assert masked.feed(b"def\n") == b"\n"


def test_a_line_that_never_ends_is_not_kept() -> None:
    hits = Hits()
    masked = stream(hits)
    shown = b"".join(masked.feed(b"token=" + b"a" * 10_000) for _ in range(60))
    assert hits[TOO_LONG] == 1
    assert b"aaaa" not in shown
    assert len(masked._text) < MAX_HELD
    assert masked.feed(b"rest of it\nnext\n") == b"\nnext\n"


def test_an_unfinished_line_without_a_secret_is_not_kept_either() -> None:
    masked = stream()
    shown = b"".join(masked.feed(b"harmless words " * 100) for _ in range(50))
    assert len(masked._text) < 5000
    assert len(shown) > 60_000


def test_memory_does_not_grow_with_the_stream() -> None:
    masked = stream()
    for _ in range(500):
        masked.feed(LONG + b"\n")
    assert len(masked._text) <= len(LONG)


def test_an_unfinished_line_that_grows_byte_by_byte_is_not_read_again_for_each() -> None:
    looked: list[int] = []

    class Counting(TextMasker):
        def hold(self, text: bytes, start: int) -> int:
            looked.append(len(text))
            return super().hold(text, start)

    masked = TextStream(Counting(PATTERN_SET, KnownValues(), Mask(), Hits().count))
    for _ in range(8_000):
        masked.feed(b"token=a"[len(looked) == 0 :][:1] if looked else b"token=")
    assert sum(looked) < 8_000 * 200


@pytest.mark.parametrize("broken", [b"-----BEGIN PRIVATE KEY-----", b"-----BEGIN PRIVATE KEY----- trailing"])
def test_a_private_key_without_an_end_takes_only_its_lines(broken: bytes) -> None:
    shown = fed([broken + b"\nMIIEabc\nMIIEdef\nthis is a sentence again\nnext\n"])
    assert b"MIIE" not in shown
    assert shown.endswith(b"this is a sentence again\nnext\n")


def test_a_private_key_of_too_many_lines_ends_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "_MAX_KEY_LINES", 4)
    shown = fed([b"-----BEGIN PRIVATE KEY-----\n" + b"oneword\n" * 20])
    assert shown.count(b"oneword\n") == 17


def test_time_stamps_of_logs_do_not_hide_a_private_key() -> None:
    lines = [b"2026-01-02T03:04:05.123456789Z " + line for line in PEM.splitlines()]
    shown = fed([b"\n".join(lines) + b"\n"])
    assert b"MIIE" not in shown and b"abcdefgh" not in shown


def test_hits_name_the_pattern_and_count_masks_once() -> None:
    hits = Hits()
    masked = stream(hits)
    masked.feed(b"token=abcdefgh " + MASK + b"\n" + VALUE.encode() + b"\n")
    assert hits == {"password-assignment": 1, KNOWN: 1}


def test_a_whole_text_without_secrets_is_the_same_object() -> None:
    masker = TextMasker(PATTERN_SET, known(), Mask(), Hits().count)
    text = b"nothing here\n" * 10
    assert masker.mask_bytes(text) is text
    assert masker.mask_text("nothing ü here") == "nothing ü here"


@pytest.mark.parametrize("form", sorted(forms()))
def test_every_form_of_a_known_value_is_found(form: str) -> None:
    shown = fed([b"a " + forms()[form] + b" b\n"])
    assert find(shown) == []


def test_a_known_value_with_special_characters_is_found_escaped() -> None:
    values = KnownValues()
    value = 'p@ss "w&rd"/<1>+é'
    values.add(value)
    raw = value.encode()
    for form in (
        raw, base64.b64encode(raw), base64.urlsafe_b64encode(b"x" + raw + b"yz"), raw.hex().encode(),
        b"p%40ss%20%22w%26rd%22%2F%3C1%3E%2B%C3%A9", b"p%40ss+%22w%26rd%22%2F%3C1%3E%2B%C3%A9",
        b'p@ss \\"w&rd\\"/<1>+\xc3\xa9', b'p@ss \\"w\\u0026rd\\"/\\u003c1\\u003e+\xc3\xa9',
    ):  # fmt: skip
        masked = stream(values=values)
        shown = masked.feed(b"x " + form + b" y\n")
        assert form not in shown, form
        assert find(shown, value=value) == [], form


def test_a_mask_that_was_written_somewhere_is_no_known_value() -> None:
    """Else every mask of that client would be replaced by another one, in text where base64 is due."""
    mask, values = Mask(), KnownValues()
    for text in (mask.text, mask.base64, base64.b64encode(mask.base64.encode()).decode(), f"x {Mask('prod').text} y"):
        values.add(text)
        values.add(base64.b64encode(text.encode()).decode(), encoded=True)
    assert values.index().empty
