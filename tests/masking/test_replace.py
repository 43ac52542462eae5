"""Strings of which none may stay are told from the others."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest

from pratique.masking.known import MAX_VALUES, KnownValues
from pratique.masking.mask import Mask
from pratique.masking.replace import Replacer
from tests.masking.session import Session

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
ENCODED = base64.b64encode(CERTIFICATE.encode()).decode()


def replacer(known: KnownValues | None = None, counted: dict[str, int] | None = None) -> Replacer:
    return Replacer(Mask(), known or KnownValues(), "agent", (counted if counted is not None else {}).__setitem__)


@pytest.mark.parametrize("other", ["", Mask().text, Mask().base64])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_that_is_empty_or_a_mask_may_stay(other: str, place: int) -> None:
    texts = ["hunter2-and-more", "x" * 100]
    texts.insert(place, other)
    for keep in (True, False):
        for some in ([texts], [[text] for text in texts]):
            assert replacer().shortest(some, encoded=True, keep_certificates=keep) is None


def test_one_that_may_be_a_certificate_may_stay_where_certificates_are_kept() -> None:
    for text, encoded in ((CERTIFICATE, False), (ENCODED, True)):
        assert replacer().shortest([["abc", text]], encoded=encoded, keep_certificates=True) is None
        assert replacer().shortest([["abc", text]], encoded=not encoded, keep_certificates=True) == 3
        assert replacer().shortest([["abc", text]], encoded=encoded, keep_certificates=False) == 3


def test_the_shortest_is_told() -> None:
    assert replacer().shortest([["abcd", "ab"], [], ["abc"]], encoded=True, keep_certificates=True) == 2


def test_the_last_ones_are_remembered_and_all_are_counted() -> None:
    known, counted = KnownValues(), {}
    texts = [f"value-{number}-" for number in range(MAX_VALUES + 100)]
    mask = replacer(known, counted).mask_all(texts[50:], "r", encoded=False, count=len(texts))
    assert mask == Mask().text
    assert counted == {"r": len(texts)}
    assert known.index().search(texts[-1].encode())
    assert known.index().search(texts[100].encode())
    assert not known.index().search(texts[99].encode())


WRITERS = {
    "Go": lambda value: msgspec.json.encode(value).replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026"),
    "plain": msgspec.json.encode,
    "ASCII": lambda value: json.dumps(value).encode(),
    "spaces": lambda value: json.dumps(value, indent=2, ensure_ascii=False).encode(),
}  # fmt: skip


@pytest.mark.parametrize("many", [False, True], ids=["one", "list"])
@pytest.mark.parametrize("writer", sorted(WRITERS))
@pytest.mark.parametrize(
    "value",
    ['hunter2"quoted', "back\\slash-value", "two\nlines-here", "größer-als-sechs", "a<b>&c<d>&e", "plain-value-7"],
)
def test_a_value_that_an_object_holds_twice_is_masked_however_it_is_written(
    value: str, writer: str, many: bool
) -> None:
    widget = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "annotations": {"copy": f"it is {value}!", "inner": json.dumps({"x": value})}},
        "spec": {"password": value, "plain": value, "note": f"({value})", "other": "stays"},
    }
    body = WRITERS[writer]({"items": [widget] * 3} if many else widget)
    shown = json.loads(Session().body("/apis/example.com/v1/namespaces/a/widgets" + ("" if many else "/w"), body).body)
    for found in shown["items"] if many else [shown]:
        assert value not in json.dumps(found, ensure_ascii=False)
        assert json.dumps(value)[1:-1] not in found["metadata"]["annotations"]["inner"]
        assert found["spec"]["other"] == "stays"
