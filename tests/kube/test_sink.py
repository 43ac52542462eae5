"""A body with changes is what a plain copy of it is, however much is put in place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from pratique.kube import sink
from pratique.kube.sink import Sink, spliced


@settings(deadline=None)
@given(
    st.binary(max_size=40), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.binary(max_size=30))), st.data()
)
def test_changes_are_put_in_place(body: bytes, steps: list[tuple[int, int, bytes]], data: Any) -> None:
    changes, place = [], 0
    for gap, size, new in steps:
        start, end = place + gap, place + gap + size
        if 0 < end <= len(body):
            changes.append((start, end, new))
            place = end
    wanted, done = b"", 0
    for start, end, new in changes:
        wanted += body[done:start] + new
        done = end
    wanted += body[done:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sink, "_HELD", data.draw(st.sampled_from([0, 7, 1 << 20])))
        made = Sink(body)
        cut = data.draw(st.integers(0, len(changes)))
        made.put(changes[:cut])
        made.put((start, end, Raw(new)) for start, end, new in changes[cut:])
        assert made.changed == bool(changes)
        assert made.get() == wanted
        assert spliced(body, changes) == wanted


def test_nothing_put_is_the_same_body() -> None:
    body = b"abc"
    assert spliced(body, []) is body
