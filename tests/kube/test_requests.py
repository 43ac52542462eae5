"""Any bytes: a canonical request or a refusal, never another exception."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import Refused
from pratique.kube.attributes import request_attributes
from pratique.kube.canonical import RawRequest, canonicalise, headers_only
from pratique.kube.rules import REASONS, RULES, quoted, refused
from tests.kube import fuzz_requests
from tests.kube.requests import canonical, raw

FUZZED = 8_000  # a million by hand: see fuzz_requests
pairs = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=30)), max_size=4).map(tuple)
targets = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=60).map(lambda b: b"/api/v1/" + b),
    st.text("/%.?=&;#aps2Fe", max_size=60).map(str.encode),
)
methods = st.one_of(st.sampled_from([b"GET", b"POST", b"PUT", b"PATCH", b"DELETE"]), st.binary(max_size=8))


@given(methods, targets, pairs, st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_canonical_request_or_a_refusal(method, target, headers, body):
    rules = []
    for read in (canonicalise, headers_only):
        try:
            found = read(RawRequest(method, target, headers, body))
        except Refused as error:
            rules.append(error.rule)
        else:
            assert request_attributes(found.method, found.target).verb == found.attributes.verb
    assert set(rules) <= set(RULES)


@given(st.text(max_size=8), targets)
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_attributes_or_a_refusal(method, target):
    try:
        request_attributes(method, target).as_json()
    except Refused as error:
        rule = error.rule
    else:
        rule = "line/method"
    assert rule in RULES


def test_random_and_mutated_requests_read_the_same_before_and_after():
    outcomes = list(fuzz_requests.run(FUZZED, seed=7))
    assert outcomes.count("") > FUZZED // 20
    assert len(set(outcomes)) > len(RULES) // 2, "they reach most rules"


def test_every_rule_has_a_status_a_reason_and_a_row():
    for rule, (code, why, rows) in RULES.items():
        assert code in REASONS
        assert "/" in rule
        assert why
        assert rows


def test_a_rule_that_is_not_in_the_table_cannot_be_used_and_quotes_are_short():
    with pytest.raises(KeyError):
        refused("path/none", "x")
    assert len(quoted("x" * 10_000)) < 130
    assert quoted(b"\xff") == "`\\xff`"


def test_as_json_for_explain_leaves_the_random_key_out():
    shown = canonical("GET", "/api/v1/pods?limit=5", {"Accept": "*/*"}).as_json()
    assert (shown["target"], shown["query"], shown["attributes"]["verb"], shown["dryRun"]) == (
        "/api/v1/pods?limit=5",
        [["limit", "5"]],
        "list",
        False,
    )


def test_headers_only_reads_no_body():
    assert headers_only(raw("POST", "/api/v1/namespaces/a/pods", {}, b"not json")).document is None


def test_log_follow_streams():
    assert canonical("GET", "/api/v1/namespaces/a/pods/p/log?follow=true&tailLines=5").stream
    assert not canonical("GET", "/api/v1/namespaces/a/pods/p/log?follow=false").stream
