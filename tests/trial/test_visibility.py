"""What a new set of masks would show that the old one hid, told from bodies that are masked already."""

from __future__ import annotations

import json

import pytest

from pratique.documents import parse
from pratique.errors import MaskError
from pratique.kube.attributes import request_attributes
from pratique.masking.known import KnownValues
from pratique.masking.masker import Masker
from pratique.masking.rules import compile_masks
from pratique.trial.recorded import Answer
from pratique.trial.visibility import Seen, Sight, compare, probe, shown
from tests.trial.support import READ, SECRETS, masks, policy

ANNOTATION = "  - {name: notes, match: {resources: [secrets]}, jsonPaths: [$.metadata.annotations.note]}\n"
KEYS = "  - {name: keys, keyNames: ['*password*']}\n"
TOKENS = "  - {name: tokens, patterns: [{name: ticket, regex: 'TICKET-[0-9]+'}]}\n"
DROPS = "  - {name: drops, match: {resources: [secrets]}, jsonPaths: [$.metadata.managedFields], as: drop}\n"
SECRET = {
    "kind": "Secret",
    "apiVersion": "v1",
    "metadata": {"name": "s", "annotations": {"note": "TICKET-42"}, "managedFields": [{"a": 1}]},
    "data": {"password": "aHVudGVyMg==", "user": "YWxpY2U="},
}
LIST = {"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": [SECRET, SECRET]}


def of(rules):
    return compile_masks(parse(policy(READ) + masks(rules), "p.yaml"))


def differences(old, new, document=SECRET, target="/api/v1/namespaces/dev/secrets/s", *, raw=False):
    """A recording under the old set, then the two sets compared on what was recorded."""
    attributes = request_attributes("GET", target.encode())
    body = json.dumps(document).encode()
    recorded = (
        body if raw else Masker(of(old), attributes, "mcp-1", KnownValues()).mask_body("application/json", body).body
    )
    answer = Answer(200, "application/json", recorded, raw)
    return set(compare(of(old), of(new), attributes, "mcp-1", answer))


@pytest.mark.parametrize("raw", [False, True])
def test_a_path_that_is_no_longer_masked_is_newly_visible(raw):
    only_password = SECRETS.replace("$.data.*", "$.data.password")
    assert differences(SECRETS, only_password, raw=raw) == {Seen(Sight.VISIBLE, ".data.user")}
    assert differences(only_password, SECRETS, raw=raw) == {Seen(Sight.HIDDEN, ".data.user")}
    assert differences(SECRETS, SECRETS, raw=raw) == set()


def test_in_a_list_each_field_is_told_once():
    found = differences(SECRETS + ANNOTATION, SECRETS, LIST, "/api/v1/secrets")
    assert found == {Seen(Sight.VISIBLE, ".items[*].metadata.annotations.note")}


def test_key_names_are_told_from_the_keys():
    assert differences(KEYS, ANNOTATION) == {
        Seen(Sight.VISIBLE, ".data.password"),
        Seen(Sight.HIDDEN, ".metadata.annotations.note"),
    }


def test_what_a_pattern_masked_may_be_visible_because_the_value_is_gone():
    assert differences(SECRETS + TOKENS, SECRETS) == {Seen(Sight.MAY_BE_VISIBLE, "(what a pattern masked)", "m/tokens")}
    assert differences(SECRETS + TOKENS, SECRETS, raw=True) == {Seen(Sight.VISIBLE, ".metadata.annotations.note")}


def test_a_pattern_that_goes_by_what_stands_before_the_value_is_certain():
    document = {**SECRET, "metadata": {"name": "s", "annotations": {"note": "password=hunter2hunter2"}}}
    general = "  - {name: general, patterns: [general]}\n"
    other = "  - {name: x, match: {resources: [nothing]}, jsonPaths: [$.a]}\n"
    assert Seen(Sight.VISIBLE, ".metadata.annotations.note") in differences(
        SECRETS + general, SECRETS + other, document
    )


def test_a_field_that_was_dropped_may_be_visible():
    assert differences(SECRETS + DROPS, SECRETS) == {
        Seen(Sight.MAY_BE_VISIBLE, "(a field that was dropped)", "m/drops")
    }
    assert differences(SECRETS, SECRETS + DROPS) == {Seen(Sight.HIDDEN, ".metadata.managedFields")}


def test_what_is_masked_now_is_counted_on_bodies_that_are_masked_already():
    attributes = request_attributes("GET", b"/api/v1/namespaces/dev/secrets/s")
    recorded = Masker(of(SECRETS), attributes, "mcp-1", KnownValues()).mask_body(
        "application/json", json.dumps(SECRET).encode()
    )
    answer = Answer(200, "application/json", recorded.body)
    assert shown(of(SECRETS), attributes, "mcp-1", answer).hits == recorded.hits == {"m/secrets": 2}
    assert shown(of(KEYS), attributes, "mcp-1", answer).hits == {"m/keys": 1}


def test_logs_are_compared_as_text():
    attributes = request_attributes("GET", b"/api/v1/namespaces/dev/pods/web/log")
    answer = Answer(200, "text/plain", b"a TICKET-42 b", raw=True)
    assert compare(of(TOKENS), of(SECRETS), attributes, "mcp-1", answer) == [Seen(Sight.VISIBLE, "(text)")]


def test_of_an_answer_that_was_cut_nothing_is_said():
    attributes = request_attributes("GET", b"/api/v1/namespaces/dev/secrets/s")
    cut = Answer(200, "application/json", b'{"kind":"Secret","data":{"a":"')
    assert shown(of(SECRETS), attributes, "mcp-1", cut).unknown
    with pytest.raises(MaskError):
        compare(of(SECRETS), of(KEYS), attributes, "mcp-1", cut)


def test_probes_are_told_apart_whatever_their_number():
    made = [probe(number) for number in (0, 1, 10, 9_999_999)]
    assert len(set(made)) == 4
    assert all(one.isalpha() and len(one) == 12 for one in made)


def test_a_watch_is_compared_event_by_event():
    events = b"".join(json.dumps({"type": "ADDED", "object": SECRET}).encode() + b"\n" for _ in range(3))
    attributes = request_attributes("GET", b"/api/v1/namespaces/dev/secrets?watch=true")
    watch = Masker(of(SECRETS), attributes, "mcp-1", KnownValues()).watch_stream()
    answer = Answer(200, "application/json", watch.feed(events) + watch.close())
    found = compare(of(SECRETS), of(ANNOTATION), attributes, "mcp-1", answer)
    assert set(found) >= {Seen(Sight.VISIBLE, ".object.data.password"), Seen(Sight.VISIBLE, ".object.data.user")}
    assert shown(of(SECRETS), attributes, "mcp-1", answer).hits == {"m/secrets": 6}
