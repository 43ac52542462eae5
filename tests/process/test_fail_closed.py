"""Invariant 2: whatever fails, nothing is forwarded (request side) or nothing of the body is shown (response side)."""

from __future__ import annotations

import socket

import pytest

from tests.process.gateway import Gateway, read_answer
from tests.process.h2client import H2Client

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


def test_an_exception_at_the_gate_forwards_nothing(faulty: Gateway) -> None:
    """The credential is not written, so the interlock lets nothing pass."""
    before = len(faulty.sandbox.requests)
    answer = faulty.call("GET", "/api/v1/namespaces", headers={"User-Agent": "fault-gate-request"})
    assert (answer.code, answer.reason) == (500, "InternalError")
    assert len(faulty.sandbox.requests) == before


def _ask_as(gateway: Gateway, name: str) -> bytes:
    """What comes back on a connection whose TLS handshake asks for `name`."""
    context = gateway.tls()
    context.check_hostname = False
    with (
        socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as raw,
        context.wrap_socket(raw, server_hostname=name) as sock,
    ):
        sock.sendall(gateway.head("GET /api/v1/namespaces/payments/configmaps/fault-of-a-connection"))
        return read_answer(sock)


def test_an_exception_while_a_connection_is_made_ends_it(faulty: Gateway) -> None:
    with pytest.raises(OSError):
        _ask_as(faulty, "fault-next-layer")
    answer = _ask_as(faulty, "fault-server-connect")
    assert answer.startswith(b"HTTP/1.1 502")
    assert b'"kind":"Status"' in answer
    assert faulty.seen("fault-of-a-connection") == []
    assert b" 404 " in _ask_as(faulty, "no-fault")
    assert len(faulty.seen("fault-of-a-connection")) == 1


def test_an_exception_in_a_layer_closes_the_connection(faulty: Gateway) -> None:
    """mitmproxy logs it, text and all, and leaves the client waiting."""
    target = "/api/v1/namespaces/fault-layer/configmaps/x"
    with pytest.raises(OSError, match="closed|reset|EOF|violation"):
        faulty.call("GET", target, timeout=20)
    with H2Client(faulty) as client:
        stream = client.streams[client.request("GET", target)]
        client.wait_for_end(stream)
        assert client.closed
    assert faulty.seen("fault-layer") == []
    assert "a connection failed and was closed: Boom" in faulty.output
    assert "CANARY" not in faulty.output


def test_an_exception_status_has_an_error_id_that_the_log_has_too(faulty: Gateway) -> None:
    answer = faulty.call("GET", "/api/v1/namespaces/fault-policy-request/configmaps/x")
    assert answer.code == 500
    assert answer.reason == "InternalError"
    error_id = answer.json["message"].rsplit("error id ", 1)[1].rstrip(")")
    assert error_id in faulty.output


def test_after_all_those_faults_an_honest_request_is_served(faulty: Gateway) -> None:
    assert faulty.call("GET", "/api/v1/namespaces").code == 200
