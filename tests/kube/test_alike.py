"""Elements that are cut many at once are cut where they are, or not at all."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.kube import alike
from pratique.kube.alike import Alike, behind_metadata
from pratique.kube.arrays import FIELDS

VALUE = st.sampled_from(
    [
        None, 0, -1.5, True, "", "a", "é\u2028", '"},{"a":', {}, [], {"metadata": {"a": 1}}, [{"kind": "Pod"}], 'x","metadata":',
        {"a": {"b": ["c", 1]}}, "\\", "},{",
    ]
)  # fmt: skip
NAMES = ["apiVersion", "kind", "metadata", "spec", "status", "a"]
KINDS = st.sampled_from(["Pod", "Thing", "é", 'q"q'])


def write(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@st.composite
def element(draw: Any, names: list[str]) -> dict[str, Any]:
    return {name: draw(KINDS if name in {"apiVersion", "kind"} else VALUE) for name in names}


@st.composite
def texts(draw: Any) -> list[str]:
    """Elements with the same fields in some order, of which one may be written in another way."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    found = [write(draw(element(draw(st.permutations(names))))) for _ in range(draw(st.integers(1, 5)))]
    if draw(st.booleans()):
        spoil = draw(
            st.sampled_from([
                lambda text: text.replace(":", ": ", 1),
                lambda text: text.replace("{", "{ ", 1),
                lambda text: text + " ",
                lambda text: " " + text,
                lambda text: text[:-1] + "," + text[1:],  # every field twice
                lambda text: text.replace('"kind"', '"k\\u0069nd"', 1),
                lambda text: text.replace('"Pod"', '"P\\u006fd"', 1),
                lambda text: text[:-1] + ',"more":1}',
                lambda text: "{" + text[1:].partition(",")[2] if "," in text else text,
                lambda text: text.replace('"spec"', '"sp\\u0065c"', 1),
            ])
        )  # fmt: skip
        place = draw(st.integers(0, len(found) - 1))
        found[place] = spoil(found[place])
    return found


def cut(found: list[str], holds: Any = lambda *_: True) -> Any:
    """What is cut of a list of these elements; "" where they are not taken."""
    body = ("[" + ",".join(found) + "]").encode()
    try:
        fields = FIELDS.decode(found[0].encode())
    except msgspec.MsgspecError:
        return body, None, None
    if not Alike.suits(fields):
        return body, None, None
    like = Alike(body, 1, fields, holds)
    try:
        return body, like, like.cut(1, len(body) - 1)
    except msgspec.MsgspecError:
        return body, like, None


@settings(max_examples=400, deadline=None)
@given(texts())
def test_elements_are_cut_where_they_are_or_not_at_all(found: list[str]) -> None:
    body, like, made = cut(found)
    if made is None:
        return
    assert [body[start : end - 1].decode() for start, end in pairwise(made.starts)] == found
    for index, text in enumerate(found):
        fields = FIELDS.decode(text.encode())
        behind = like.behind(made, index)
        assert behind == behind_metadata(body, made.starts[index], fields)
        if "metadata" not in fields:
            assert behind == made.starts[index]
        else:
            value = bytes(fields["metadata"])
            assert body[behind - len(value) - len(b'"metadata":') : behind] == b'"metadata":' + value
            assert set(FIELDS.decode(b"{" + body[behind + 1 : made.starts[index + 1] - 2] + b"}")) < set(fields)


def test_elements_as_servers_write_them_are_cut() -> None:
    found = [
        write({"apiVersion": "v1", "kind": "Pod", "metadata": {"n": n}, "spec": {"é": ["x" * n]}}) for n in range(99)
    ]
    body, like, made = cut(found)
    assert [body[start : end - 1].decode() for start, end in pairwise(made.starts)] == found
    assert [like.behind(made, n) for n in (0, 9, 98)] == [body.index(b',"spec"', made.starts[n]) for n in (0, 9, 98)]
    mixed = [text.replace("Pod", "P" * (n % 3 + 1)) for n, text in enumerate(found)]
    body, like, made = cut(mixed)
    assert [body[start : end - 1].decode() for start, end in pairwise(made.starts)] == mixed
    assert [like.behind(made, n) for n in (0, 9, 98)] == [body.index(b',"spec"', made.starts[n]) for n in (0, 9, 98)]


@pytest.mark.parametrize(
    "found",
    [
        ['{"a":1,"b":2}', '{"a":1, "b":2}'],
        ['{"a":1,"b":2}', '{"a":1,"a":1,"b":2}'],
        ['{"a":1,"b":2}', '{"a":1}'],
        ['{"a":1,"b":2}', '{"a":1,"b":2,"c":3}'],
        ['{"a":1,"b":2}', '{"\\u0061":1,"b":2}'],
        ['{"kind":"A","b":2}', '{"kind":"\\u0041","b":2}'],
        ['{"kind":"é","b":2}', '{"kind":"é","b":2}'],
        ['{"kind":"A","b":2}', '{"kind":null,"b":2}'],
        ['{"kind":"A","b":2}', '{"kind":1,"b":2}'],
        ['{"a":1,"b":2}', "[1,2]"],
        ['{"a":1,"b":2}', "null"],
        ['{"a":1,"b":2}', '{"a":1,"b":}'],
        ['{"a":1,"b":2} ', '{"a":1,"b":2}'],
        [' {"a":1,"b":2}', '{"a":1,"b":2}'],
    ],
)
def test_others_are_not(found: list[str]) -> None:
    assert cut(found)[2] is None


@pytest.mark.parametrize(
    "fields",
    ["{}", '{"kind":"A"}', '{"apiVersion":"v1","kind":"A"}', '{"a":1,"items":[]}', '{"a":1,"rows":1}', '{"object":{}}', '{"é":1}',
     '{"q\\"":1}', "{" + ",".join(f'"f{n}":1' for n in range(99)) + "}"],
)  # fmt: skip
def test_what_may_be_an_envelope_or_has_strange_names_is_left_to_somebody_else(fields: str) -> None:
    assert not Alike.suits(FIELDS.decode(fields.encode()))


def test_every_kind_is_asked_for() -> None:
    asked: set[tuple[str, str]] = set()
    found = [write({"apiVersion": f"v{n % 2}", "kind": "AB"[n % 2], "a": 1}) for n in range(9)]
    assert cut(found, lambda *kind: asked.add(kind) or True)[2] is not None
    assert asked == {("v0", "A"), ("v1", "B")}
    assert cut(found, lambda _, kind: kind == "A")[2] is None
    assert cut([write({"a": 1, "kind": ""})], lambda *kind: kind != ("", ""))[2] is None
    assert cut([write({"a": 1, "apiVersion": "v1"})], lambda *_: pytest.fail("no kind"))[2] is not None


def test_what_is_remembered_of_shapes_is_bounded() -> None:
    for number in range(500):
        assert cut([write({f"a{number}": 1, "b": 2})])[2] is not None
    assert len(alike._known) <= 64
