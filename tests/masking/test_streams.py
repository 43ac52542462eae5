"""Watches: events in any chunking give the same bytes, leave at once, and end closed where one cannot be masked."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import FramingError, MaskError, Refused
from pratique.kube.objects import ObjectType
from pratique.kube.watch import EventLines
from pratique.masking.hits import Hits
from pratique.masking.mask import Mask
from pratique.masking.masker import Masker, mask_document
from tests.masking.canary import VALUE, b64, find
from tests.masking.session import Session, masks
from tests.masking.test_fast import OBJECTS, RULES, SETS, TYPES

SECRETS = "/api/v1/namespaces/t1/secrets?watch=1"
THINGS = "/apis/example.com/v1/things?watch=1"
SECRET = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"p": b64()}}
COLUMNS = [{"name": "Name"}, {"name": "Password"}]


def event(kind: str, document: Any) -> bytes:
    return json.dumps({"type": kind, "object": document}, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def table(columns: Any, value: str = VALUE) -> Any:
    row = {"cells": ["a", value], "object": {"metadata": {"name": "a"}}}
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": columns, "rows": [row]}


MARK = {"kind": "Secret", "apiVersion": "v1", "metadata": {"annotations": {"k8s.io/initial-events-end": "true"}}}
SHORT = event("ADDED", {"data": {"p": b64("x" * 9)}}) + event("ERROR", {"kind": "Status", "message": "é"})
LONG = b"".join(
    [
        event("ADDED", SECRET),
        event("BOOKMARK", MARK),
        event("DELETED", {**SECRET, "data": {}}),
        event("MODIFIED", {"é": "\u2028"}),
        b"\n\n",
    ]
)
TABLES = event("ADDED", table(COLUMNS)) + event("MODIFIED", table(None)) + event("DELETED", table(None))


def fed(target: str, pieces: list[bytes], session: Session | None = None) -> bytes:
    stream = (session or Session()).masker(target).watch_stream()
    return b"".join([stream.feed(piece) for piece in pieces]) + stream.close()


def cut(text: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@pytest.mark.parametrize(("target", "text"), [(SECRETS, LONG), (THINGS, TABLES)], ids=["events", "tables"])
def test_byte_by_byte_and_cut_anywhere_is_the_whole(target: str, text: bytes) -> None:
    whole = fed(target, [text])
    assert find(whole) == []
    assert fed(target, [text[index : index + 1] for index in range(len(text))]) == whole
    for place in range(len(text)):
        assert fed(target, cut(text, [place])) == whole, place


def test_cut_at_every_pair_of_positions_is_the_whole() -> None:
    whole = fed(SECRETS, [SHORT])
    for first in range(len(SHORT)):
        for second in range(first, len(SHORT)):
            assert fed(SECRETS, cut(SHORT, [first, second])) == whole, (first, second)


def test_each_event_leaves_with_its_line_end() -> None:
    stream = Session().masker(SECRETS).watch_stream()
    for one in (event("ADDED", SECRET), event("DELETED", SECRET), event("BOOKMARK", MARK)):
        assert stream.feed(one[:-1]) == b""
        shown = stream.feed(b"\n")
        assert json.loads(shown)["type"] == json.loads(one)["type"]
    assert stream.flush() == stream.close() == b""


def test_an_event_without_a_value_keeps_its_bytes() -> None:
    line = b'{"type":"ADDED", "object":{"kind":"Pod","metadata":{"name":"a"}, "spec":{"x":1.50}}}\n'
    assert fed("/api/v1/pods?watch=1", [line]) == line
    assert fed(SECRETS, [event("BOOKMARK", MARK)]) == event("BOOKMARK", MARK)


PODS = "/api/v1/namespaces/t1/pods?watch=1"
POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "a"},
    "spec": {"env": [{"name": "TOKEN", "value": VALUE}]},
}


def as_each(target: str, lines: list[bytes], session: Session) -> tuple[list[Any], dict[str, int]]:
    """Events masked one by one, as whole documents."""
    scope, hits, shown = session.masker(target)._scope, Hits(), []
    for line in lines:
        body, counted = mask_document(scope, line, session.known.current())
        hits.add(counted)
        shown.append(json.loads(body))
    return shown, dict(hits)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["ADDED", "ERROR"]), OBJECTS), max_size=6), st.sampled_from(TYPES), RULES, st.booleans()
)  # fmt: skip
def test_events_that_come_together_are_masked_as_each_of_them(
    events: list[tuple[str, Any]], kind: ObjectType, rules: str, spaces: bool
) -> None:
    group = f"apis/{kind.group}" if kind.group else "api"
    target = f"/{group}/v1/{kind.resource}?watch=1"
    lines = [event(what, found) for what, found in events]
    if spaces:
        lines = [json.dumps(json.loads(line)).encode() + b"\n" for line in lines]
    wanted, hits = as_each(target, lines, Session(SETS[rules]))
    stream = Session(SETS[rules]).masker(target).watch_stream()
    shown = stream.feed(b"".join(lines))
    assert [json.loads(line) for line in shown.splitlines()] == wanted
    assert dict(stream.hits) == hits


@pytest.mark.parametrize(
    "rule", ["patterns: [{name: mine, regex: 'x[0-9]{3}'}]", "keyNames: ['*']", "jsonPaths: ['$..note']"]
)
def test_rules_that_cannot_be_looked_for_in_bytes_count_in_watches(rule: str) -> None:
    session = Session(masks(f"{{name: r, match: {{resources: [pods]}}, {rule}}}"))
    stream = session.masker(PODS).watch_stream()
    for _ in range(3):
        assert b"x123" not in stream.feed(event("ADDED", {**POD, "spec": {"note": "x123"}}) * 2)


def test_a_value_of_one_event_is_not_shown_by_the_next_that_comes_with_it() -> None:
    said = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "b"}, "status": {"note": f"it is {VALUE}"}}
    shown = fed(PODS, [event("ADDED", POD) + event("ADDED", said) + event("MODIFIED", POD) + event("ADDED", said)])
    assert find(shown) == []
    assert shown.count(Mask().text.encode()) == 4


def test_a_long_watch_finds_known_values_by_the_expression_of_its_rules() -> None:
    session = Session()
    session.known.add(VALUE)
    stream = session.masker(PODS).watch_stream()
    harmless = event("ADDED", {**POD, "spec": {"nodeName": "a"}})
    said = event("ADDED", {**POD, "spec": {"note": b64()}})
    for _ in range(70):
        assert stream.feed(harmless * 2) == harmless * 2
    assert session.known.index()._joined
    shown = stream.feed(harmless + said + harmless)
    assert find(shown) == []
    assert shown.startswith(harmless)
    assert shown.endswith(harmless)
    assert find(stream.feed(event("ADDED", POD))) == []
    new = event("ADDED", {**POD, "spec": {"env": [{"name": "TOKEN", "value": "another-value-1"}]}})
    assert b"another-value-1" not in stream.feed(new + event("ADDED", {**POD, "spec": {"note": "another-value-1"}}))


def test_a_find_that_goes_over_a_line_end_hides_none_behind_it() -> None:
    lines = event("ADDED", {**POD, "spec": {"a": "x"}})[:-2] + b', "token"\n'
    with pytest.raises(MaskError):
        fed(PODS, [lines + b': "x"}' + event("ADDED", POD)])
    for before in (b'{"type":"A","object":{"note":"token', b'{"type":"A","object":{"note":"password=', b""):
        whole = before + b'"}}\n' if before else b"\n"
        assert find(fed(PODS, [whole + event("ADDED", POD)])) == []


def test_columns_of_the_first_event_of_a_table_watch_count_for_later_ones() -> None:
    shown = [json.loads(line) for line in fed(THINGS, [TABLES]).splitlines()]
    assert [each["object"]["rows"][0]["cells"][0] for each in shown] == ["a", "a", "a"]
    later = fed(THINGS, [event("ADDED", table(None))])
    assert VALUE.encode() in later  # nothing says which column it is


def test_tables_and_objects_may_take_turns() -> None:
    stream = (
        event("ADDED", table(COLUMNS)) + event("ADDED", {"spec": {"password": VALUE}}) + event("ADDED", table(None))
    )
    assert find(fed(THINGS, [stream])) == []
    assert find(fed(THINGS, [event("ADDED", {"spec": {"x": 1}}), event("ADDED", table(COLUMNS))])) == []


@pytest.mark.parametrize(
    "line",
    [b"nonsense", b"[]", b'"x"', b"{}{}", b'{"type":"ADDED","object":{"a":1}', b"\xff\xfe", b"{" * 50_000, b'{"type":"ADDED","object":' + b"[" * 90_000],
)  # fmt: skip
def test_what_is_no_event_ends_the_watch_and_is_not_shown(line: bytes) -> None:
    stream = Session().masker(SECRETS).watch_stream()
    assert find(stream.feed(event("ADDED", SECRET))) == []
    with pytest.raises(MaskError) as caught:
        stream.feed(line + b"\n")
    assert "nonsense" not in str(caught.value)


def test_a_watch_that_ends_inside_an_event_shows_nothing_of_it() -> None:
    stream = Session().masker(SECRETS).watch_stream()
    assert stream.feed(event("ADDED", SECRET)[:-5]) == b""
    with pytest.raises(MaskError, match="inside an event"):
        stream.close()


def test_a_last_event_without_a_line_end_is_shown() -> None:
    assert find(fed(SECRETS, [event("ADDED", SECRET)[:-1]])) == []
    assert fed(SECRETS, [event("ADDED", SECRET)[:-1]]) == fed(SECRETS, [event("ADDED", SECRET)])


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in pieces"])
def test_an_event_over_the_limit_ends_the_watch(whole: bool) -> None:
    stream = Session().masker(SECRETS).watch_stream(limit=1000)
    big = event("ADDED", {"data": {"p": "A" * 2000}})
    pieces = [big] if whole else cut(big, list(range(0, len(big), 100)))
    with pytest.raises(MaskError, match="longer than 1000"):
        [stream.feed(piece) for piece in pieces]


def test_memory_is_one_event() -> None:
    lines = EventLines()
    for _ in range(1000):
        assert lines.feed(LONG)
    assert lines._parts == []
    lines.feed(b"x" * 1000)
    assert sum(map(len, lines._parts)) == 1000
    assert lines.offset == 1000 * len(LONG)


def test_the_offset_of_a_malformed_event_is_told() -> None:
    lines = EventLines(limit=10)
    lines.feed(b"12345\n")
    with pytest.raises(FramingError) as caught:
        lines.feed(b"x" * 11)
    assert caught.value.offset == 6


TEXTS = st.sampled_from(["x", VALUE, b64(), "\n", "\u2028", '"', "\\", "}{", "token=abcdefgh"])
DOCUMENTS = st.recursive(
    TEXTS | st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["ADDED", "ERROR", "?"]),
        "object": DOCUMENTS | st.fixed_dictionaries({"data": st.dictionaries(TEXTS, TEXTS, max_size=2)}),
    }
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(EVENTS, max_size=4),
    st.integers(0, 2**32),
    st.sampled_from([SECRETS, THINGS, "/api/v1/configmaps?watch=1"]),
)
def test_random_events_in_random_pieces(events: list[Any], seed: int, target: str) -> None:
    text = b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in events)
    whole = fed(target, [text])
    randomness = random.Random(seed)
    assert fed(target, cut(text, [randomness.randint(0, len(text)) for _ in range(6)])) == whole
    assert len(whole.splitlines()) == len(events)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                b"{",
                b"}",
                b'"',
                b"\n",
                b"items",
                b":",
                b"[",
                b"]",
                b",",
                b'"rows":[',
                b'"object":',
                b'"type":"A"',
                b"\xff",
                b"1",
                b"null",
            ]
        ),
        max_size=14,
    ).map(b"".join)
)
def test_any_bytes_are_masked_or_raise_our_own_error(text: bytes) -> None:
    masker: Masker = Session().masker(SECRETS)
    for decode in (lambda: masker.mask_body("application/json", text), lambda: fed(SECRETS, [text])):
        try:
            decode()
        except MaskError:
            pass


class _Events:
    """A stream of masked events that ends inside one."""

    def __init__(self, masker: Masker) -> None:
        from pratique.exchange import Exchange
        from pratique.masking.addon import ENDED, Stream

        self.served = b""
        self.stream = Stream(Exchange(), masker, masker.watch_stream(), ENDED)

    def feed(self, data: bytes) -> None:
        self.served += b"".join(self.stream(data))


@pytest.mark.parametrize("rest", [b"", b'{"type":"ADD'], ids=["between events", "inside an event"])
def test_a_watch_that_the_gateway_ends_says_why_in_its_last_event(rest: bytes) -> None:
    events = _Events(Session().masker(SECRETS))
    events.feed(event("ADDED", SECRET) + rest)
    events.stream.end(Refused(403, "Revoked", "it was revoked", rule="identity/revoked"))
    events.feed(b"")
    _, last, end = events.served.split(b"\n")
    assert (end, events.stream.failed) == (b"", False)
    told = json.loads(last)
    assert (told["type"], told["object"]["kind"], told["object"]["code"]) == ("ERROR", "Status", 403)
