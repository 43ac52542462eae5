"""Known values: found in every form, bounded, shared by threads, and never a wait for the event loop."""

from __future__ import annotations

import base64
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.masking.known import COMMON, MAX_LITERAL, MAX_VALUE, MAX_VALUES, MIN_LENGTH, KnownValues, forms, merge


def known(*values: str, encoded: bool = False) -> KnownValues:
    made = KnownValues()
    for value in values:
        made.add(value, encoded=encoded)
    return made


ALPHABET = 'abcdefghijklmnopqrstuvwxyzABC0123456789-_.+/=@% "\\é&<'


@settings(max_examples=150, deadline=None)
@given(
    st.text(ALPHABET, min_size=MIN_LENGTH, max_size=40)
    .map(str.strip)
    .filter(lambda text: len(text.encode()) >= MIN_LENGTH),
    st.binary(max_size=20),
    st.binary(max_size=20),
)
def test_every_form_is_found_between_any_bytes(value: str, before: bytes, after: bytes) -> None:
    if value.encode() in COMMON:
        return
    index = known(value).index()
    for form in forms(value.encode()):
        text = before + form + after
        assert any(start <= len(before) and end >= len(before) + len(form) for start, end in index.spans(text)), form


def test_what_is_inside_a_longer_text_in_base64_is_found() -> None:
    for pad in range(3):
        text = base64.b64encode(b"x" * pad + b"hunter2-and-more" + b"yz")
        assert known("hunter2-and-more").index().search(text)


def test_overlapping_and_repeated_finds_are_merged() -> None:
    index = known("abcdef-abcdef", "def-abc-def").index()
    assert index.spans(b"abcdef-abcdef-abcdef") == [(0, 20)]
    assert merge([(5, 9), (0, 3), (2, 6)]) == [(0, 9)]


@pytest.mark.parametrize("value", ["", "short", "default", "postgres", "x" * (MAX_VALUE + 1), "\n\n\n", "a\nb\nc"])
def test_what_would_be_in_every_text_is_not_remembered(value: str) -> None:
    assert known(value).index().empty


def test_a_base64_value_is_remembered_by_what_it_says() -> None:
    index = known(base64.b64encode(b"hunter2-decoded").decode(), encoded=True).index()
    assert index.search(b"hunter2-decoded") and index.search(base64.b64encode(b"hunter2-decoded"))
    assert known("not base64!!", encoded=True).index().search(b"not base64!!")


def test_lines_of_a_value_are_found_one_by_one() -> None:
    index = known("first-line-1\n  second-line-2  \n" + "x" * (MAX_LITERAL + 1)).index()
    assert index.search(b"log: second-line-2 end")
    assert not index.search(b"x" * MAX_LITERAL)


def test_words_are_weak_and_secrets_are_strong() -> None:
    index = known("wordpress", "10.20.30.40", "wordpress-1").index()
    text = b"image: wordpress:6 at 10.20.30.40, wordpress-1"
    assert len(index.spans(text)) == 3
    assert [text[start:end] for start, end in index.spans(text, strong=True)] == [b"wordpress-1"]


def test_only_the_newest_values_are_remembered() -> None:
    made = KnownValues()
    for number in range(3 * MAX_VALUES):
        made.add(f"value-number-{number:06}")
        if number % 100 == 0:
            made.index()
    index = made.index()
    assert index.search(f"value-number-{3 * MAX_VALUES - 1:06}".encode())
    assert not index.search(b"value-number-000000")
    assert len(made._values) <= MAX_VALUES


def test_many_values_at_once_keep_the_last() -> None:
    made = KnownValues()
    made.add_all([f"value-number-{number:06}" for number in range(10_000)], encoded=False)
    assert made.index().search(b"value-number-009999")
    assert len(made._values) <= MAX_VALUES


def test_the_event_loop_is_not_made_to_wait_for_a_large_index() -> None:
    made = known("first-value-1")
    assert not made.stale
    assert made.current().search(b"first-value-1")
    made.add_all([f"value-number-{number:06}" for number in range(300)], encoded=False)
    assert made.stale
    assert not made.current().search(b"value-number-000007")
    assert made.index().search(b"value-number-000007")
    assert made.current().search(b"value-number-000007")
    assert not made.stale


def test_an_index_does_not_change_when_values_are_added() -> None:
    made = known("first-value-1")
    index = made.index()
    made.add("second-value-2")
    made.index()
    assert not index.search(b"second-value-2")


def test_adding_what_is_known_builds_nothing() -> None:
    made = known("first-value-1")
    index = made.index()
    made.add("first-value-1")
    assert made.index() is index


def test_threads_may_add_and_search_at_once() -> None:
    made, failed = KnownValues(), []

    def work(seed: int) -> None:
        randomness = random.Random(seed)
        try:
            for number in range(60):
                made.add(f"thread-{seed}-value-{number}")
                made.index().spans(b"x thread-1-value-3 y" * randomness.randrange(1, 5))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    index = made.index()
    assert all(index.search(f"thread-{seed}-value-{number}".encode()) for seed in range(4) for number in range(60))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 30), st.sampled_from([b"", b"abc ", b"hunter2 "]))
def test_the_beginning_of_a_value_at_the_end_is_held(length: int, before: bytes) -> None:
    value = b"hunter2-and-much-more-of-it"
    text = before + value[:length]
    held = known(value.decode()).index().hold(text, 0)
    assert held <= len(before) if 0 < length < len(value) else held <= len(text)


def test_it_does_not_show_what_it_knows() -> None:
    assert "hunter2" not in repr(known("hunter2-value"))


def test_an_expression_is_joined_with_the_forms_once_it_pays() -> None:
    index = known("hunter2-hunter2", "a.b*c-secret").index()
    tries = [index.joined("xy+z") for _ in range(100)]
    assert tries[0] is None
    joined = tries[-1]
    assert joined is not None
    assert tries.count(joined) > 30
    for text in [
        b"..xyyz..",
        *(b"  " + form + b"  " for value in (b"hunter2-hunter2", b"a.b*c-secret") for form in forms(value)),
    ]:
        assert joined.search(text), text
    assert joined.search(b"xz hunter2-hunter aXb*c-secret") is None


def test_nothing_is_joined_with_no_forms_or_with_too_many() -> None:
    for index in (known().index(), known(*(f"value-number-{number}" for number in range(100))).index()):
        assert [index.joined("xyz") for _ in range(100)] == [None] * 100


def test_only_some_expressions_are_joined() -> None:
    index = known("hunter2-hunter2").index()
    for number in range(20):
        for _ in range(100):
            index.joined(f"x{number}")
    assert len(index._joined) == 8
