"""Invariant 2: whatever fails, nothing is forwarded (request side) or nothing of the body is shown (response side)."""

from __future__ import annotations

import pytest

from tests.process.gateway import Gateway

pytestmark = pytest.mark.process

REQUEST_SIDE = [
    "identity-requestheaders",
    "policy-request",
    "masking-request",
    "recorder-requestheaders",
    "interlock-request",
]
RESPONSE_SIDE = ["masking-responseheaders", "masking-response", "recorder-response", "interlock-response"]


@pytest.mark.parametrize("place", REQUEST_SIDE)
def test_an_exception_on_the_request_side_forwards_nothing(faulty: Gateway, place: str) -> None:
    before = len(faulty.sandbox.requests)
    if place == "interlock-request":  # nothing stands behind it: the connection is closed
        with pytest.raises(OSError):
            faulty.call("GET", f"/api/v1/namespaces/fault-{place}/configmaps/x")
    else:
        answer = faulty.call("GET", f"/api/v1/namespaces/fault-{place}/configmaps/x")
        assert answer.code >= 500
        assert answer.json["kind"] == "Status"
        assert "CANARY" not in answer.body.decode()
    assert len(faulty.sandbox.requests) == before
    assert "CANARY" not in faulty.output


@pytest.mark.parametrize("place", RESPONSE_SIDE)
def test_an_exception_on_the_response_side_shows_nothing(faulty: Gateway, place: str) -> None:
    if place == "interlock-response":  # nothing stands behind it: the connection is closed
        with pytest.raises(OSError):
            faulty.call("GET", f"/api/v1/namespaces/fault-{place}/configmaps/x")
        return
    answer = faulty.call("GET", f"/api/v1/namespaces/fault-{place}/configmaps/x")
    assert answer.code >= 500
    assert answer.json["kind"] == "Status"
    assert "not found" not in answer.body.decode()  # the cluster's own 404 names the object
    assert "CANARY" not in answer.body.decode()


def test_an_exception_status_has_an_error_id_that_the_log_has_too(faulty: Gateway) -> None:
    answer = faulty.call("GET", "/api/v1/namespaces/fault-policy-request/configmaps/x")
    assert answer.code == 500
    assert answer.reason == "InternalError"
    error_id = answer.json["message"].rsplit("error id ", 1)[1].rstrip(")")
    assert error_id in faulty.output


def test_after_all_those_faults_an_honest_request_is_served(faulty: Gateway) -> None:
    assert faulty.call("GET", "/api/v1/namespaces").code == 200
