"""Plain objects are told by their heads; whatever is not surely one is left to somebody else."""

from __future__ import annotations

import msgspec
import pytest

from pratique.kube.plain import PlainKinds


def plain(*foreign: tuple[str, str]) -> PlainKinds:
    return PlainKinds(lambda version, kind: (version, kind) in foreign)


PLAIN = [
    "{}",
    '{"kind":"Pod","apiVersion":"v1","spec":{"object":1,"items":[]}}',
    '{"kind":"Thing"}',
    '{"apiVersion":"v1"}',
]
OTHER = [
    '{"kind":"Status"}', '{"kind":""}', '{"kind":"PodList"}', '{"kind":"Table"}', '{"kind":"AdmissionReview"}',
    '{"items":null}', '{"rows":null}', '{"object":null}', '{"kind":"Secret","apiVersion":"v1"}',
]  # fmt: skip
UNUSUAL = ['{"items":[]}', '{"rows":1}', '{"object":{}}', '{"kind":null}', '{"kind":1}', '{"apiVersion":[]}']
MALFORMED = ["[]", "1", "null", "", "{", '{"a":}', "{}{}", '{"kind":"\\ud800"}']


def test_elements_are_plain_if_each_of_them_is():
    check = plain(("v1", "Secret")).all
    assert check(",".join(PLAIN).encode())
    for other in OTHER:
        assert not check(f"{PLAIN[0]},{other},{PLAIN[1]}".encode()), other


@pytest.mark.parametrize("text", UNUSUAL + MALFORMED)
def test_elements_that_are_none_raise(text: str):
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        plain().all(f"{{}},{text}".encode())


def test_an_event_is_its_type_and_a_plain_object():
    check = plain(("v1", "Secret")).event
    for text in PLAIN:
        assert check(f'{{"type":"ADDED","object":{text}}}'.encode())
        assert check(memoryview(f' {{"object": {text}, "type":"?"}} '.encode()))
    for text in OTHER + UNUSUAL + MALFORMED:
        assert not check(f'{{"type":"ADDED","object":{text}}}'.encode()), text


@pytest.mark.parametrize(
    "line",
    ['{"object":{}}', '{"type":"ADDED"}', '{"type":"A","object":{},"items":[]}', '{"type":"A","object":{}}{}', "[]", "",
     '{"type":"A","object":' + "[" * 90_000, '{"type":"A","kind":"List","object":{}}'],
)  # fmt: skip
def test_what_is_more_or_less_than_an_event_is_none(line: str):
    assert not plain().event(line.encode())


def test_what_is_known_of_kinds_is_bounded():
    asked: list[str] = []
    kinds = PlainKinds(lambda _, kind: bool(asked.append(kind)))
    for number in range(1000):
        assert kinds.holds("v1", f"Kind{number}")
        assert kinds.holds("v1", f"Kind{number}")
    assert len(asked) == 1000
    assert len(kinds._known) <= 256
