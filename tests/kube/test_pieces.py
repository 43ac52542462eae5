"""Which elements of a long array are looked at: all in which something was found, and all that are not plainly harmless."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.kube import pieces
from pratique.kube.alike import behind_metadata
from pratique.kube.arrays import FIELDS, Array, NotInPlaceError, run_from
from pratique.kube.pieces import touched
from pratique.kube.plain import PlainKinds

FIELD = st.sampled_from(
    ["x", "hit", "hit hit", '},{"a":1', '},{"kind":"hit"}', [{"a": 1}, {"a": "hit"}], {"kind": "Foreign"}, 1]
)
ITEMS = st.fixed_dictionaries(
    {"a": FIELD},
    optional={"kind": st.sampled_from(["Pod", "Pod", "Foreign"]), "metadata": FIELD, "z": FIELD, "items": st.just([])},
)
ALIKE = st.fixed_dictionaries({"a": FIELD, "kind": st.just("Pod"), "metadata": FIELD, "z": FIELD})


def finds(body: bytes, start: int, stop: int) -> Any:
    while (start := body.find(b"hit", start, stop)) >= 0:
        yield start, start + 3
        start += 3


def write(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()  # each begins with `a`


def is_harmless(item: dict[str, Any]) -> bool:
    return "items" not in item and item.get("kind") != "Foreign"


@settings(max_examples=400, deadline=None)
@given(
    st.lists(ITEMS, max_size=6) | st.lists(ALIKE, max_size=12),
    st.sampled_from([1, 40, 200, 1 << 17]),
    st.sampled_from([0, 1, 6, 1000]),
)
def test_what_was_found_is_given_out_with_its_element(items: list[dict[str, Any]], size: int, dense: int) -> None:
    body = b"[" + b",".join(map(write, items)) + b"]"
    array = Array(body, 1, len(body) - 1, {})
    plain = PlainKinds(lambda _, kind: kind == "Foreign")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "run_from", functools.partial(run_from, size=size))
        patch.setattr(pieces, "_DENSE", dense)
        try:
            given_out = [
                piece for some in touched(array, finds(body, 1, len(body)), plain.all, plain.holds) for piece in some
            ]
        except NotInPlaceError:  # an element holds what looks like the beginning of the next one: decoded as usual
            assert any("},{" in write(item).decode() for item in items)
            return
    place, starts = 1, {}
    for item in items:
        starts[place] = item
        place += len(write(item)) + 1
    assert [piece.start for piece in given_out] == sorted({piece.start for piece in given_out})
    for piece in given_out:
        item = starts.pop(piece.start)
        assert body[piece.start : piece.end] == write(item)
        assert piece.found == list(finds(body, piece.start, piece.end))
        fields = FIELDS.decode(write(item))
        assert is_harmless(item) if piece.fields is None else piece.fields.keys() == fields.keys()
        assert piece.behind in {None, behind_metadata(body, piece.start, fields)}
        assert piece.behind is not None or not piece.found
    for item in starts.values():
        assert b"hit" not in write(item)
        assert is_harmless(item)


def test_many_are_given_out_at_once() -> None:
    items = [{"a": 1, "kind": "Pod", "metadata": {"n": n}, "z": "hit" if n % 3 else "x"} for n in range(900)]
    body = b"[" + b",".join(map(write, items)) + b"]"
    plain = PlainKinds(lambda *_: False)
    some = list(touched(Array(body, 1, len(body) - 1, {}), finds(body, 1, len(body)), plain.all, plain.holds))
    assert [len(each) for each in some] == [600]
    assert all(piece.fields is None and piece.behind is not None for piece in some[0])


def test_where_nobody_looked_every_element_is_given_out() -> None:
    body = b'[{"a":1},{"a":2,"metadata":{}}]'
    some = list(touched(Array(body, 1, len(body) - 1, {}), None, lambda _: pytest.fail("asked"), lambda *_: True))
    assert [[body[piece.start : piece.end] for piece in each] for each in some] == [
        [b'{"a":1}'],
        [b'{"a":2,"metadata":{}}'],
    ]
    assert [piece.found for each in some for piece in each] == [None, None]
