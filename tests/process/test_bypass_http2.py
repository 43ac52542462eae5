"""Row 2.12 of the threat list: HTTP/2 frames that would become another HTTP/1.1 request, sent raw to a real gateway.

The cluster speaks HTTP/1.1 behind the gateway, and its record is the witness: nothing that is refused arrives, and what
arrives is what was judged.
"""

from __future__ import annotations

import re

import pytest

from tests.process.gateway import Gateway
from tests.process.raw_http2 import Outcome, RawHttp2

pytestmark = pytest.mark.process
CONFIGMAPS = b"/api/v1/namespaces/payments/configmaps/"
JSON = (b"content-type", b"application/json")


class Probe:
    def __init__(self, gateway: Gateway, name: str) -> None:
        self.gateway, self.name = gateway, name
        self.path = CONFIGMAPS + b"front-" + name.encode()
        self.auth = (b"authorization", b"Bearer " + gateway.keys["agent"].encode())

    @property
    def pseudo(self) -> dict[bytes, bytes]:
        return {b":method": b"GET", b":scheme": b"https", b":authority": b"gateway", b":path": self.path}

    def headers(self, *more: tuple[bytes, bytes], **changed: bytes | None) -> list[tuple[bytes, bytes]]:
        """The usual headers, with pseudo headers changed (`method=`, …; None: left out) and more after them."""
        pseudo = self.pseudo | {b":" + name.encode(): value for name, value in changed.items() if value is not None}
        left_out = {b":" + name.encode() for name, value in changed.items() if value is None}
        return [*[(n, v) for n, v in pseudo.items() if n not in left_out], self.auth, *more]

    def ask(
        self, headers: list[tuple[bytes, bytes]], *bodies: bytes, trailers: list[tuple[bytes, bytes]] | None = None
    ) -> Outcome:
        with RawHttp2(self.gateway) as connection:
            frames = [connection.headers(1, headers, end=not bodies and trailers is None)]
            for at, body in enumerate(bodies):
                frames.append(connection.data(1, body, end=trailers is None and at == len(bodies) - 1))
            if trailers is not None:
                frames.append(connection.headers(1, trailers, end=True))
            connection.send(*frames)
            return connection.outcome()

    def arrived(self) -> list:
        return [record for record in self.gateway.sandbox.requests if self.name in record.uri]


@pytest.fixture
def probe(gateway: Gateway, request: pytest.FixtureRequest) -> Probe:
    return Probe(gateway, re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-"))


def test_the_witness_sees_a_request_that_is_right(probe: Probe) -> None:
    assert probe.ask(probe.headers()).status == 404
    (record,) = probe.arrived()
    assert (record.method, record.uri) == ("GET", probe.path.decode())
    assert record.header("host") == probe.gateway.sandbox.info.server.removeprefix("https://")


PSEUDO: dict[str, dict[str, bytes | None]] = {
    "an absolute path": {"path": b"https://other" + CONFIGMAPS + b"front"},
    "a path without a slash": {"path": b"api/v1/namespaces"},
    "an asterisk": {"path": b"*"},
    "an empty path": {"path": b""},
    "no path": {"path": None},
    "a space in the path": {"path": CONFIGMAPS + b"a b"},
    "a line break in the path": {"path": CONFIGMAPS + b"x HTTP/1.1\r\nHost: h\r\n\r\nGET /y"},
    "a NUL in the path": {"path": CONFIGMAPS + b"\x00"},
    "a fragment": {"path": CONFIGMAPS + b"x#y"},
    "a raw byte in the path": {"path": CONFIGMAPS + b"\xff"},
    "no method": {"method": None},
    "an empty method": {"method": b""},
    "a method with a space": {"method": b"GET /x HTTP/1.1"},
    "a method with a line break": {"method": b"GET /x HTTP/1.1\r\nX: y\r\n\r\nGET"},
    "a lower-case method": {"method": b"get"},
    "an unknown method": {"method": b"PROPFIND"},
    "no scheme": {"scheme": None},
    "a line break in the scheme": {"scheme": b"https\r\nx: y"},
    "a line break in the authority": {"authority": b"h\r\nx: y"},
    "a space in the authority": {"authority": b"a b"},
    "an unknown pseudo header": {"foo": b"bar"},
    "a response's pseudo header": {"status": b"200"},
    "extended CONNECT": {"method": b"CONNECT", "protocol": b"websocket"},
    "a protocol without CONNECT": {"protocol": b"websocket"},
    "CONNECT": {"method": b"CONNECT", "path": None, "scheme": None, "authority": b"127.0.0.1:443"},
    "CONNECT with a path": {"method": b"CONNECT"},
}


@pytest.mark.parametrize("changed", PSEUDO.values(), ids=PSEUDO)
def test_bypass_2_12_pseudo_headers(probe: Probe, changed: dict[str, bytes | None]) -> None:
    before = len(probe.gateway.sandbox.requests)
    outcome = probe.ask(probe.headers((b"x-probe", probe.name.encode()), **changed))
    assert outcome.refused, outcome
    assert len(probe.gateway.sandbox.requests) == before


@pytest.mark.parametrize("name", [b":method", b":path", b":scheme", b":authority"])
@pytest.mark.parametrize("value", [b"same", b"other"])
def test_bypass_2_12_a_pseudo_header_twice(probe: Probe, name: bytes, value: bytes) -> None:
    headers = probe.headers()
    again = (
        probe.pseudo[name]
        if value == b"same"
        else {b":method": b"DELETE", b":path": CONFIGMAPS + b"other"}.get(name, b"other")
    )
    assert probe.ask([(name, again), *headers]).refused
    assert probe.arrived() == []


def test_bypass_2_12_a_pseudo_header_after_the_others(probe: Probe) -> None:
    headers = probe.headers()
    assert probe.ask([*headers[1:], headers[0]]).refused
    assert probe.arrived() == []


FIELDS = {
    "an upper-case name": (b"X-Upper", b"a"),
    "a line break in a value": (b"x", b"a\r\nauthorization: Bearer other"),
    "a line feed in a value": (b"x", b"a\nb"),
    "a carriage return in a value": (b"x", b"a\rb"),
    "a NUL in a value": (b"x", b"a\x00b"),
    "a line break in a name": (b"x: y\r\nz", b"a"),
    "a colon in a name": (b"x:y", b"a"),
    "a space in a name": (b"x y", b"a"),
    "an empty name": (b"", b"a"),
    "a NUL in a name": (b"x\x00", b"a"),
    "transfer-encoding": (b"transfer-encoding", b"chunked"),
    "connection": (b"connection", b"close, authorization"),
    "upgrade": (b"upgrade", b"websocket"),
    "keep-alive": (b"keep-alive", b"5"),
    "proxy-connection": (b"proxy-connection", b"close"),
    "te": (b"te", b"gzip"),
    "another host": (b"host", b"other"),
    "impersonation": (b"impersonate-user", b"admin"),
    "a credential as sub-protocol": (b"sec-websocket-protocol", b"base64url.bearer.authorization.k8s.io.eA"),
}


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_bypass_2_12_header_fields(probe: Probe, field: tuple[bytes, bytes]) -> None:
    outcome = probe.ask(probe.headers(field))
    arrived = probe.arrived()
    if not outcome.refused:
        # What HTTP/2 does not forbid may pass, if nothing of it does.
        assert field[0] in {b"keep-alive", b"proxy-connection", b"te", b"host"}
        (record,) = arrived
        assert field[1].decode() not in {value for _, value in record.headers}
        return
    assert arrived == []


LENGTHS = {
    "longer than the data": (b"10", b"{}"),
    "shorter than the data": (b"1", b"{}"),
    "none where there is data": (b"0", b"{}"),
    "a plus": (b"+2", b"{}"),
    "a list": (b"2, 2", b"{}"),
    "no number": (b"x", b"{}"),
}


@pytest.mark.parametrize(("length", "body"), LENGTHS.values(), ids=LENGTHS)
def test_bypass_2_12_a_length_that_is_not_that_of_the_data(probe: Probe, length: bytes, body: bytes) -> None:
    assert probe.ask(probe.headers(JSON, (b"content-length", length), method=b"PUT"), body).refused
    assert probe.arrived() == []


def test_bypass_2_12_two_lengths(probe: Probe) -> None:
    lengths = [(b"content-length", b"2"), (b"content-length", b"3")]
    assert probe.ask(probe.headers(JSON, *lengths, method=b"PUT"), b"{}").refused
    assert probe.arrived() == []


def test_bypass_2_12_a_body_without_a_length_is_framed_anew(probe: Probe) -> None:
    outcome = probe.ask(probe.headers(JSON, method=b"PUT"), b'{"apiVersion":"v1",', b'"kind":"ConfigMap"}')
    assert outcome.status
    (record,) = probe.arrived()
    assert record.header("content-length") == str(len(record.body))
    assert record.header("transfer-encoding") is None


def test_bypass_2_12_a_body_on_a_get(probe: Probe) -> None:
    assert probe.ask(probe.headers(), b"GET / HTTP/1.1\r\n\r\n").status == 400
    assert probe.arrived() == []


TRAILERS = {
    "a pseudo header": [(b":path", CONFIGMAPS + b"other")],
    "a method": [(b":method", b"DELETE")],
    "an upper-case name": [(b"X", b"a")],
    "a line break": [(b"x", b"a\r\nb")],
}


@pytest.mark.parametrize("trailers", TRAILERS.values(), ids=TRAILERS)
def test_bypass_2_12_malformed_trailers(probe: Probe, trailers: list[tuple[bytes, bytes]]) -> None:
    assert probe.ask(probe.headers(JSON, method=b"PUT"), b"{}", trailers=trailers).refused
    assert probe.arrived() == []


def test_bypass_2_02_and_2_12_trailers_do_not_arrive(probe: Probe) -> None:
    trailers = [(b"x-remote-user", b"admin"), (b"x-late", b"1")]
    outcome = probe.ask(probe.headers(JSON, method=b"PUT"), b"{}", trailers=trailers)
    assert outcome.status
    (record,) = probe.arrived()
    assert {name.lower() for name, _ in record.headers}.isdisjoint({"x-remote-user", "x-late", "trailer"})


def test_bypass_2_13_the_authority_selects_nothing(probe: Probe) -> None:
    assert probe.ask(probe.headers(authority=b"kubernetes.default.svc:443")).status == 404
    (record,) = probe.arrived()
    assert record.header("host") == probe.gateway.sandbox.info.server.removeprefix("https://")


def test_bypass_2_12_a_refusal_does_not_harm_the_next_stream(probe: Probe) -> None:
    with RawHttp2(probe.gateway) as connection:
        connection.send(connection.headers(1, probe.headers(path=b"/api/v1/namespaces//secrets"), end=True))
        first = connection.outcome(1)
        assert (first.status, b'"kind":"Status"' in first.body) == (400, True)
        connection.send(connection.headers(3, probe.headers(), end=True))
        assert connection.outcome(3).status == 404
    assert len(probe.arrived()) == 1
