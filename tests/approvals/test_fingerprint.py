"""An approval is for exactly one request."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.approvals.fingerprint import fingerprint, is_stream

BASE = {
    "client": "agent",
    "cluster": "prod",
    "method": "PATCH",
    "path": b"/api/v1/namespaces/a/pods/b",
    "query": b"fieldManager=x",
    "patch_type": "application/merge-patch+json",
    "body": b"{}",
}


def test_it_is_the_same_for_the_same_request():
    assert fingerprint(**BASE) == fingerprint(**BASE)
    assert len(fingerprint(**BASE)) == 64


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client", "other"),
        ("cluster", "staging"),
        ("method", "PUT"),
        ("path", b"/api/v1/namespaces/a/pods/c"),
        ("query", b"fieldManager=y"),
        ("patch_type", "application/json-patch+json"),
        ("body", b"{ }"),
    ],
)
def test_a_change_of_any_field_is_another_request(field, value):
    assert fingerprint(**{**BASE, field: value}) != fingerprint(**BASE)


FIELDS = st.tuples(*[st.binary(max_size=4)] * 3)


@settings(max_examples=200, deadline=None)
@given(FIELDS, FIELDS)
def test_bytes_cannot_move_from_one_field_into_the_next(one, other):
    def of(fields):
        path, query, body = fields
        return fingerprint(client="c", cluster="k", method="GET", path=path, query=query, body=body)

    assert (of(one) == of(other)) == (one == other)
    moved = (one[0] + one[1], b"", one[2])
    assert moved == one or of(moved) != of(one)


def test_websocket_and_spdy_exec_are_one_intent():
    exec_ = {**BASE, "path": b"/api/v1/namespaces/a/pods/b/exec", "body": b"", "patch_type": "", "is_stream": True}
    assert fingerprint(**{**exec_, "method": "GET"}) == fingerprint(**{**exec_, "method": "POST"})
    assert fingerprint(**{**exec_, "method": "DELETE"}) != fingerprint(**{**exec_, "method": "POST"})


def test_get_and_post_of_anything_else_are_two():
    assert fingerprint(**{**BASE, "method": "GET"}) != fingerprint(**{**BASE, "method": "POST"})


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward"])
def test_streams_are_those_of_core_pods_only(subresource):
    assert is_stream("", "pods", subresource)
    assert not is_stream("subresources.kubevirt.io", "virtualmachineinstances", subresource)
    assert not is_stream("metrics.k8s.io", "pods", subresource)


def test_the_proxy_is_no_stream():
    assert not is_stream("", "pods", "proxy")


def test_text_that_is_not_utf8_has_a_fingerprint_too():
    assert fingerprint(**{**BASE, "client": "a\udcff"}) != fingerprint(**BASE)
