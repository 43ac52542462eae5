"""Where objects sit: every envelope, in place and level by level alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from pratique.errors import FramingError
from pratique.kube import objects
from pratique.kube.arrays import Array, NotInPlaceError, elements, find_array, groups
from pratique.kube.objects import ObjectType, decode, encode, rewrite, type_of_kind
from pratique.kube.pieces import Piece


class Upper:
    """A visitor that changes every object which holds `secret`, and notes what it was shown."""

    def __init__(self, *, looks: bool = True, runs: bool = False) -> None:
        self.seen: list[str] = []
        self._looks = looks
        self._runs = runs

    def restart(self) -> None:
        self.seen = []

    def finds(self, body: bytes, start: int, stop: int, columns: Any) -> Iterator[tuple[int, int]] | None:
        return self._each(body, start, stop) if self._looks else None

    @staticmethod
    def _each(body: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
        while (start := body.find(b"secret", start, stop)) >= 0:
            yield start, start + 6
            start += 6

    def run(self, body: bytes, start: int, end: int) -> bytes | None:
        if not self._runs:
            return None
        try:
            msgspec.json.decode(b"[" + body[start:end] + b"]", type=list[dict[str, Raw]])
        except msgspec.MsgspecError:
            return None
        return body[start:end].replace(b"secret", b"SECRET")

    def foreign(self, api_version: str, kind: str) -> bool:
        return kind == "Foreign"

    def edits(self, body: bytes, pieces: Sequence[Piece]) -> Any:
        assert all(piece.start <= span[0] < piece.end for piece in pieces for span in piece.found or ())
        return [[(*span, b"SECRET") for span in piece.found or ()] for piece in pieces]

    def object(self, raw: Raw, fields: Any = None) -> Raw | None:
        self.seen.append(bytes(raw).decode())
        return Raw(bytes(raw).replace(b"secret", b"SECRET")) if b"secret" in bytes(raw) else None

    def head(self, fields: Any) -> Raw | None:
        return self.object(encode(fields))

    def status(self, raw: Raw) -> Raw | None:
        return self.object(raw)

    def cells(self, columns: tuple[str, ...], raw: Raw, row: Raw | None) -> Raw | None:
        return self.object(raw)


def write(document: Any, **more: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, **more).encode()


def changed(body: bytes, **how: bool) -> Any:
    visitor = Upper(**how)
    shown = rewrite(body, visitor)
    return json.loads(body if shown is None else shown)


SECRETS = {"items": [{"metadata": {"name": "a"}, "x": "secret"}, {"metadata": {"name": "b"}}], "kind": "SecretList"}


@pytest.mark.parametrize(
    "document",
    [
        {"x": "secret"},
        {"kind": "Secret", "x": "secret"},
        SECRETS,
        {"kind": "List", "items": [SECRETS, {"kind": "Pod", "x": "secret"}]},
        {"items": [{"x": "secret"}]},
        {"kind": "Table", "columnDefinitions": [], "rows": [{"cells": ["secret"], "object": {"x": "secret"}}]},
        {"kind": "Table", "columnDefinitions": None, "rows": [{"cells": [1], "object": None}, {"cells": ["secret"]}]},
        {"rows": [{"cells": ["secret"]}], "columnDefinitions": [{"name": "N"}]},
        {"type": "ADDED", "object": {"kind": "Pod", "x": "secret"}},
        {"type": "ADDED", "object": {"kind": "Table", "columnDefinitions": [], "rows": [{"cells": ["secret"]}]}},
        {"kind": "Status", "message": "secret"},
        {"kind": "AdmissionReview", "request": {"object": {"x": "secret"}, "oldObject": {"x": "secret"}}},
        ["secret"],
        "secret",
    ],
)
@pytest.mark.parametrize("indent", [None, 1], ids=["compact", "pretty"])
def test_every_place_is_visited(document: Any, indent: int | None) -> None:
    body = json.dumps(document, indent=indent, separators=(",", ":") if indent is None else None).encode()
    for looks in (True, False):
        assert changed(body, looks=looks) == json.loads(body.replace(b"secret", b"SECRET"))


def test_an_envelope_may_hold_envelopes_but_not_for_ever() -> None:
    document: Any = {"x": "secret"}
    for _ in range(objects.MAX_NESTING + 1):
        document = {"items": [document]}
    with pytest.raises(FramingError):
        rewrite(write(document), Upper())


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"items":[', b'{"items":[{}', b'{"items":[{}]', b'{"items":[{"a":1}{"a":2}]}', b'{"items":[{"a":1},]}',
     b'{"items":{}}', b'{"kind":"Table","rows":[1]}', b"[" * 100_000, b'{"items":[{"a":1},{"a":}]}', b'{"items":[{"a":1}]}}'],
)  # fmt: skip
def test_what_is_no_json_raises(body: bytes) -> None:
    for looks in (True, False):
        with pytest.raises(FramingError):
            rewrite(body, Upper(looks=looks))


@pytest.mark.parametrize(
    "body",
    [
        b'{"items":[{"x":"secret"}],"items":[{"x":"secret"}]}',
        b'{"\\u0069tems":[{"x":"secret"}],"items":[]}',
        b'{"items":[],"\\u0069tems":[{"x":"secret"}]}',
        b'{"metadata":{"items":[{"x":"secret"}]},"items":[{"x":"secret"}]}',
        b'{"a":"\\"items\\":[","items":[{"x":"secret"}]}',
        b'{"items":[{"x":"],\\"kind\\":\\"secret"},{"x":"}]}"}]}',
        b'{"items":[{"x":[{"y":1},{"x":"secret"}]},{"x":"secret"}]}',
        b'{"items":[{"x":{"y":1},"z":2},{"x":"secret"}]}\n',
        b' {"items" : [ {"x":"secret"} ] } ',
        b'{"items":[{"x":"secret"}, {"x":"secret"}]}',
        b'{"items":[]}',
        b'{"items":[],"rows":[]}',
        b'{"items":null}',
    ],
)
def test_lists_written_in_other_ways_lose_nothing(body: bytes) -> None:
    for how in ({"looks": True}, {"looks": False}, {"runs": True}):
        shown = rewrite(body, Upper(**how))
        # The last of two fields of one name is what a client reads.
        assert json.loads(body if shown is None else shown) == json.loads(body.replace(b"secret", b"SECRET"))


TEXTS = st.sampled_from(["secret", "a", '},{"a":', "]}", '"items":[', "é\u2028", "x" * 300, "secret" * 3, "}]"])
VALUES = st.recursive(
    TEXTS | st.none() | st.integers(0, 9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "kind", "é"]), inner, max_size=3)
    ),
    max_leaves=8,
)
ITEMS = st.fixed_dictionaries(
    {"a": VALUES},
    optional={
        "b": VALUES,
        "kind": st.sampled_from(["Pod", "Foreign", "Status", "PodList", ""]),
        "items": st.none() | st.just([{"a": "secret"}]),
    },
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ITEMS, max_size=5), st.booleans(), st.booleans(), st.booleans())
def test_a_list_in_place_is_what_it_is_level_by_level(items: list[Any], looks: bool, runs: bool, last: bool) -> None:
    head, tail = {"kind": "ThingList", "metadata": {"a": "secret"}}, {"items": items}
    document = {**head, **tail} if last else {**tail, **head}
    spaced = changed(json.dumps(document).encode(), looks=False)
    assert changed(write(document), looks=looks) == spaced
    if not any(item.get("kind") or item.get("items") for item in items):
        assert changed(write(document), runs=runs) == spaced


def test_untouched_elements_are_not_shown_to_the_visitor() -> None:
    visitor = Upper()
    body = write({"items": [{"a": n, "b": "x"} for n in range(50)] + [{"a": "secret", "kind": "Foreign"}]})
    assert rewrite(body, visitor) is not None
    assert visitor.seen == ['{"a":"secret","kind":"Foreign"}']


def test_nothing_changed_is_none_and_what_did_not_change_keeps_its_bytes() -> None:
    body = write({"items": [{"a": 1.50, "b": "\u2028"}, {"a": 1e3}]})
    assert rewrite(body, Upper()) is None
    body = body.replace(b"1.5", b"1.500").replace(b"]", b',{"a":"secret"}]')
    shown = rewrite(body, Upper())
    assert shown == body.replace(b"secret", b"SECRET")


def test_elements_cover_the_array_exactly() -> None:
    body = write({"kind": "L", "items": [{"a": n} for n in range(5)], "metadata": {}})
    array = find_array(body, "items")
    assert array is not None
    assert sorted(array.rest) == ["kind", "metadata"]
    assert b",".join(body[start:end] for start, end, _ in elements(array)) == body[array.start : array.stop]
    assert b",".join(body[start:end] for start, end in groups(array, 12)) == body[array.start : array.stop]


def test_an_element_with_many_false_ends_is_not_read_again_and_again() -> None:
    body = b'{"items":[{"a":[' + b'{"a":1},' * 50_000 + b'{"a":1}]}]}'
    array = find_array(body, "items")
    assert array is not None
    with pytest.raises(NotInPlaceError):
        list(elements(Array(body, array.start, array.stop, {})))
    assert rewrite(body, Upper()) is None


@pytest.mark.parametrize(
    ("api_version", "kind", "resource"),
    [
        ("v1", "Secret", "secrets"),
        ("v1", "Endpoints", "endpoints"),
        ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
        ("example.com/v1", "Database", "databases"),
        ("example.com/v1", "Policy", "policies"),
        ("example.com/v1", "Gateway", "gateways"),
        ("example.com/v1", "Ingress", "ingresses"),
    ],
)
def test_a_kind_has_the_plural_that_its_resource_has(api_version: str, kind: str, resource: str) -> None:
    assert type_of_kind(api_version, kind) == ObjectType(api_version.rpartition("/")[0], resource)


def test_encode_and_decode_are_inverse() -> None:
    assert decode(encode({"a": [1, "é"]})) == {"a": [1, "é"]}
