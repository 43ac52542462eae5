"""Section 2 of the threat list on the wire: raw bytes to a real gateway, and the cluster's own record as the witness.

Each case asks for a ConfigMap of its own name, and hides a request for another behind it. Whatever the gateway answers,
the hidden one must not arrive, and an ambiguous one must not either.
"""

from __future__ import annotations

import re
import ssl
import time

import pytest

from tests.process.gateway import Gateway

pytestmark = pytest.mark.process
CONFIGMAPS = "/api/v1/namespaces/payments/configmaps/"
SILENCE = 0.1  # seconds without a byte before the next look at whether the answer is complete
GIVE_UP = 60.0


def exchange(gateway: Gateway, *pieces: bytes, answers: int = 1, give_up: float = GIVE_UP) -> bytes:
    """What comes back until the gateway closes, `answers` final answers are complete, or it is time to leave."""
    received = b""
    with gateway.connect(timeout=GIVE_UP) as sock:
        for piece in pieces:
            sock.sendall(piece)
        sock.settimeout(SILENCE)
        deadline = time.monotonic() + give_up
        while time.monotonic() < deadline:
            try:
                data = sock.recv(65536)
            except TimeoutError:
                if finished(received) >= answers:
                    break
                continue
            except (ssl.SSLError, ConnectionError):
                break
            if not data:
                break
            received += data
    return received


def finished(received: bytes) -> int:
    """How many whole final answers the bytes hold."""
    count = 0
    while (head := received.partition(b"\r\n\r\n"))[1]:
        length = re.search(rb"content-length: (\d+)", head[0].lower())
        if head[0].startswith(b"HTTP/1.1 100"):
            received = head[2]
            continue
        size = int(length.group(1)) if length else 0
        if b"transfer-encoding: chunked" in head[0].lower():
            size = head[2].find(b"0\r\n\r\n") + 5
            if size == 4:
                return count
        if len(head[2]) < size:
            return count
        count, received = count + 1, head[2][size:]
    return count


def codes(received: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3})", received) if code != b"100"]


class Probe:
    """One case: the request that is sent, and the one that is hidden in it."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self.gateway, self.name = gateway, name
        self.key = gateway.keys["agent"].encode()
        self.auth = b"Authorization: Bearer " + self.key + b"\r\n"

    @property
    def target(self) -> bytes:
        return f"{CONFIGMAPS}front-{self.name}".encode()

    @property
    def hidden(self) -> bytes:
        return b"GET %shidden-%s HTTP/1.1\r\nHost: h\r\n%s\r\n" % (CONFIGMAPS.encode(), self.name.encode(), self.auth)

    def head(self, method: bytes, lines: bytes, version: bytes = b"HTTP/1.1") -> bytes:
        return b"%s %s %s\r\nHost: h\r\n%s%s\r\n" % (method, self.target, version, self.auth, lines)

    def arrived(self, which: str = "front") -> list:
        return [
            record
            for record in self.gateway.seen(f"{which}-{self.name}")
            if record.path.endswith(f"{which}-{self.name}")
        ]


@pytest.fixture
def probe(gateway: Gateway, request: pytest.FixtureRequest) -> Probe:
    return Probe(gateway, re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-"))


def test_the_witness_sees_two_requests_that_are_two(probe: Probe) -> None:
    received = exchange(probe.gateway, probe.head(b"GET", b"") + probe.hidden, answers=2)
    assert codes(received) == [404, 404]
    assert (len(probe.arrived()), len(probe.arrived("hidden"))) == (1, 1)


LENGTHS = {
    "both lengths": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "both lengths, the other order": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "both, in other cases": b"transfer-encoding: Chunked\r\ncontent-length: 5\r\n",
    "two equal lengths": b"Content-Length: 5\r\nContent-Length: 5\r\n",
    "two different lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n",
    "a list of lengths": b"Content-Length: 5, 5\r\n",
    "a plus": b"Content-Length: +5\r\n",
    "a minus": b"Content-Length: -5\r\n",
    "a hex length": b"Content-Length: 0x5\r\n",
    "a length with an underscore": b"Content-Length: 0_5\r\n",
    "a space in the length": b"Content-Length: 5 0\r\n",
    "an empty length": b"Content-Length: \r\n",
    "a length of 30 digits": b"Content-Length: " + b"9" * 30 + b"\r\n",
    "arabic digits": "Content-Length: \u0665\r\n".encode(),
    "xchunked": b"Transfer-Encoding: xchunked\r\n",
    "identity": b"Transfer-Encoding: identity\r\n",
    "gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "chunked, chunked": b"Transfer-Encoding: chunked, chunked\r\n",
    "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n",
    "a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "a folded coding": b"Transfer-Encoding:\r\n chunked\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n",
    "a tab before the colon": b"Content-Length\t: 5\r\n",
    "a quoted coding": b'Transfer-Encoding: "chunked"\r\n',
    "a semicolon": b"Transfer-Encoding: chunked;q=1\r\n",
}


@pytest.mark.parametrize("lines", LENGTHS.values(), ids=LENGTHS)
def test_bypass_2_01_ambiguous_lengths(probe: Probe, lines: bytes) -> None:
    received = exchange(
        probe.gateway, probe.head(b"PUT", b"Content-Type: application/json\r\n" + lines) + b"0\r\n\r\n" + probe.hidden
    )
    assert codes(received)[0] in {400, 413, 501}
    assert codes(received) == codes(received)[:1], "the connection ends with the first refusal"
    assert probe.arrived() + probe.arrived("hidden") == []


LINES = {
    "a bare line feed": b"X: a\n",
    "a bare line feed before a header": b"X: a\nTransfer-Encoding: chunked\r\n",
    "a bare carriage return": b"X: a\rY: b\r\n",
    "a NUL in a value": b"X: a\x00b\r\n",
    "a NUL in a name": b"X\x00: a\r\n",
    "an escape in a value": b"X: \x1b[31m\r\n",
    "a folded header": b"X: a\r\n b\r\n",
    "a space in a name": b"X Y: a\r\n",
    "a space before the colon": b"Authorization : Bearer x\r\n",
    "an empty name": b": a\r\n",
    "no colon": b"garbage\r\n",
    "two hosts": b"Host: other\r\n",
    "two hosts in another case": b"HOST: other\r\n",
    "a malformed expectation": b"Expect: 200-ok\r\n",
    "brackets in a name": b"X(y): a\r\n",
}


@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
def test_bypass_2_01_header_lines_that_parsers_read_differently(probe: Probe, lines: bytes) -> None:
    received = exchange(probe.gateway, probe.head(b"GET", lines))
    assert codes(received)[0] in {400, 417}
    assert probe.arrived() == []


def test_bypass_2_01_a_first_header_line_that_is_folded(probe: Probe) -> None:
    received = exchange(probe.gateway, b"GET %s HTTP/1.1\r\n X: a\r\nHost: h\r\n%s\r\n" % (probe.target, probe.auth))
    assert codes(received) == [400]
    assert probe.arrived() == []


REQUEST_LINES = {
    "two spaces": b"GET  %s HTTP/1.1",
    "two spaces before the version": b"GET %s  HTTP/1.1",
    "a tab": b"GET\t%s\tHTTP/1.1",
    "HTTP/0.9": b"GET %s HTTP/0.9",
    "no version": b"GET %s",
    "HTTP/2.0": b"GET %s HTTP/2.0",
    "HTTP/2.0, absolute": b"GET https://other%s HTTP/2.0",
    "HTTP/3": b"GET %s HTTP/3.0",
    "lower-case version": b"GET %s http/1.1",
    "version 1.10": b"GET %s HTTP/1.10",
    "absolute": b"GET http://h%s HTTP/1.1",
    "absolute https": b"GET https://h%s HTTP/1.1",
    "no scheme": b"GET h%s HTTP/1.1",
    "CONNECT": b"CONNECT h:443%s HTTP/1.1",
    "lower-case method": b"get %s HTTP/1.1",
    "unknown method": b"PROPFIND %s HTTP/1.1",
    "a NUL in the target": b"GET %s\x00 HTTP/1.1",
    "a raw byte": b"GET %s\xff HTTP/1.1",
    "a fragment": b"GET %s#x HTTP/1.1",
    "a line feed before it": b"\nGET %s HTTP/1.1",
    "a space before it": b" GET %s HTTP/1.1",
}


@pytest.mark.parametrize("line", REQUEST_LINES.values(), ids=REQUEST_LINES)
def test_bypass_1_13_and_2_01_request_lines(probe: Probe, line: bytes) -> None:
    received = exchange(probe.gateway, line % probe.target + b"\r\nHost: h\r\n" + probe.auth + b"\r\n")
    assert not codes(received) or codes(received)[0] >= 400
    assert probe.arrived() == []


CHUNKS = {
    "a size that is no hex": b"zz\r\nab\r\n0\r\n\r\n",
    "a negative size": b"-1\r\nab\r\n0\r\n\r\n",
    "a size with 0x": b"0x2\r\n{}\r\n0\r\n\r\n",
    "a size with a plus": b"+2\r\n{}\r\n0\r\n\r\n",
    "a size with an underscore": b"0_2\r\n{}\r\n0\r\n\r\n",
    "more data than the size": b"2\r\n{}xx\r\n0\r\n\r\n",
    "no end of the chunk": b"2\r\n{}0\r\n\r\n",
    "a bare line feed after the size": b"2\n{}\r\n0\r\n\r\n",
    "a bare line feed after the data": b"2\r\n{}\n0\r\n\r\n",
    "an empty size": b"\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("body", CHUNKS.values(), ids=CHUNKS)
def test_bypass_2_02_malformed_chunks(probe: Probe, body: bytes) -> None:
    head = probe.head(b"PUT", b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n")
    received = exchange(probe.gateway, head + body + probe.hidden)
    assert len(codes(received)) <= 1
    assert not codes(received) or codes(received)[0] >= 400
    assert probe.arrived() + probe.arrived("hidden") == []


def test_bypass_2_02_a_chunk_that_never_ends_is_no_request(probe: Probe) -> None:
    head = probe.head(b"PUT", b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n")
    received = exchange(probe.gateway, head + b"ffffffffffffffff2\r\n{}\r\n0\r\n\r\n" + probe.hidden, give_up=1)
    assert codes(received) == []
    assert probe.arrived() + probe.arrived("hidden") == []


def test_bypass_2_02_extensions_and_trailers_do_not_reach_the_cluster(probe: Probe) -> None:
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"front-%s"}}' % probe.name.encode()
    head = probe.head(
        b"PUT",
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization, X-Remote-User\r\n",
    )
    trailers = b"Authorization: Bearer other\r\nX-Remote-User: admin\r\nImpersonate-User: admin\r\n"
    received = exchange(probe.gateway, head + b"%x;ext=%s\r\n%s\r\n0\r\n%s\r\n" % (len(body), b"a", body, trailers))
    assert len(codes(received)) == 1
    (record,) = probe.arrived()
    names = [name.lower() for name, _ in record.headers]
    assert {"trailer", "transfer-encoding", "x-remote-user", "impersonate-user"}.isdisjoint(names)
    sent = [value for name, value in record.headers if name.lower() == "authorization"]
    assert sent == ["Bearer static-upstream-token-CANARY"]
    assert record.header("content-length") == str(len(record.body))


def test_bypass_2_01_a_request_in_a_body_is_a_body(probe: Probe) -> None:
    hidden = probe.hidden
    received = exchange(probe.gateway, probe.head(b"GET", b"Content-Length: %d\r\n" % len(hidden)) + hidden)
    assert codes(received) == [400]
    assert probe.arrived() + probe.arrived("hidden") == []


def test_bypass_2_01_a_request_after_a_refused_one_is_judged_by_itself(probe: Probe) -> None:
    head = probe.head(b"PUT", b"Content-Type: application/json\r\nContent-Length: 2\r\n")
    received = exchange(probe.gateway, head + b"{]" + probe.hidden, answers=2)
    assert codes(received) == [400, 404]
    assert (len(probe.arrived()), len(probe.arrived("hidden"))) == (0, 1)


def test_bypass_2_03_nothing_is_sent_before_the_whole_body_is_in(probe: Probe) -> None:
    head = probe.head(b"PUT", b"Content-Type: application/json\r\nContent-Length: 100\r\n")
    with probe.gateway.connect() as sock:
        sock.sendall(head + b'{"kind":"ConfigMap"')
        assert probe.gateway.call("GET", "/version").code == 200, "the gateway has had time to look at it"
    assert probe.arrived() == []


def test_bypass_2_03_a_client_that_waits_for_100_is_told_to_go_on(probe: Probe) -> None:
    head = probe.head(b"PUT", b"Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n")
    with probe.gateway.connect() as sock:
        sock.sendall(head)
        received = sock.recv(65536)
        assert received.startswith(b"HTTP/1.1 100")
        assert probe.arrived() == []
        sock.sendall(b"{}")
        while not codes(received):
            received += sock.recv(65536)
    (record,) = probe.arrived()
    assert record.header("expect") is None


def test_bypass_2_03_a_body_over_the_limit_is_refused_before_it_is_read(probe: Probe) -> None:
    head = probe.head(b"PUT", b"Content-Type: application/json\r\nContent-Length: 3145729\r\n")
    assert codes(exchange(probe.gateway, head)) == [413]
    chunked = probe.head(b"PUT", b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n")
    megabyte = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    assert codes(exchange(probe.gateway, chunked, megabyte, megabyte, megabyte, b"1\r\n{\r\n0\r\n\r\n")) == [413]
    assert probe.arrived() == []


@pytest.mark.parametrize(
    "named",
    [
        "close, Authorization",
        "Authorization",
        "authorization, upgrade",
        "Impersonate-User",
        "Accept, User-Agent, Audit-ID",
        "Content-Length",
    ],
)
def test_bypass_2_04_no_header_that_the_gateway_adds_can_be_named_away(probe: Probe, named: str) -> None:
    exchange(probe.gateway, probe.head(b"GET", b"Connection: %s\r\nKeep-Alive: 5\r\n" % named.encode()))
    (record,) = probe.arrived()
    assert record.header("authorization") == "Bearer static-upstream-token-CANARY"
    assert record.header("audit-id")
    assert record.header("connection") in {None, "close"}
    assert record.header("keep-alive") is None


def test_bypass_2_05_one_authorization_is_sent(probe: Probe) -> None:
    exchange(probe.gateway, probe.head(b"GET", b""))
    (record,) = probe.arrived()
    assert [name for name, _ in record.headers if name.lower() == "authorization"] == ["Authorization"]


@pytest.mark.parametrize("lines", [b"Authorization: Bearer other\r\n", b"authorization: Basic eDp5\r\n"])
def test_bypass_2_05_two_credentials_are_refused(probe: Probe, lines: bytes) -> None:
    assert codes(exchange(probe.gateway, probe.head(b"GET", lines))) == [401]
    assert probe.arrived() == []


STRIPPED = (
    "X-Remote-User X-Remote-Group X-Remote-Uid X-Remote-Extra-a X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Client-Cert X-Real-Ip Forwarded "
    "X-SSL-Client-Cert X-Original-URL X-Rewrite-URL X-HTTP-Method-Override X-HTTP-Method Cookie Proxy-Authorization Proxy-Connection TE Range Origin Via "
    "Kubectl-Command Kubectl-Session Sec-WebSocket-Key Sec-WebSocket-Extensions X-Stream-Protocol-Version traceparent Warning If-Match X-Unknown"
).split()  # fmt: skip


def test_bypass_1_15_2_08_2_09_2_10_2_15_only_the_allow_list_arrives(probe: Probe) -> None:
    lines = "".join(f"{name}: stripped-value\r\n" for name in STRIPPED)
    assert codes(exchange(probe.gateway, probe.head(b"GET", lines.encode()))) == [404]
    (record,) = probe.arrived()
    assert {name.lower() for name, _ in record.headers} <= {
        *(
            "host",
            "authorization",
            "audit-id",
            "accept",
            "accept-encoding",
            "user-agent",
            "content-length",
            "connection",
        ),
    }
    assert "stripped-value" not in str(record.headers)
    assert record.method == "GET"


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket", b"SPDY/3.1", b"TLS/1.0", b"foo"])
def test_bypass_2_11_an_upgrade_elsewhere_does_not_arrive(probe: Probe, upgrade: bytes) -> None:
    lines = (
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n" % upgrade
    )
    lines += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    assert codes(exchange(probe.gateway, probe.head(b"GET", lines))) == [404]
    (record,) = probe.arrived()
    assert record.header("upgrade") is None


def test_bypass_2_11_the_http2_preface_on_an_http1_connection(probe: Probe) -> None:
    received = exchange(probe.gateway, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + probe.hidden)
    assert not codes(received) or codes(received)[0] >= 400
    assert probe.arrived("hidden") == []


@pytest.mark.parametrize("host", [b"other.example", b"kubernetes.default.svc:443", b"[::1]:1", b"127.0.0.1:1"])
def test_bypass_2_13_the_host_of_the_client_selects_nothing(probe: Probe, host: bytes) -> None:
    received = exchange(probe.gateway, b"GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (probe.target, host, probe.auth))
    assert codes(received) == [404]
    (record,) = probe.arrived()
    assert record.header("host") == probe.gateway.sandbox.info.server.removeprefix("https://")


def test_bypass_2_13_a_malformed_host_is_refused(probe: Probe) -> None:
    for host in (b"a b", b"a/b", b"a@b", "\u00e9".encode()):
        request = b"GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (probe.target, host, probe.auth)
        assert codes(exchange(probe.gateway, request)) == [400]
    assert probe.arrived() == []


def test_bypass_2_14_the_audit_id_is_the_gateway_s(probe: Probe) -> None:
    received = exchange(probe.gateway, probe.head(b"GET", b"Audit-ID: chosen\r\naudit-id: chosen\r\n"))
    (record,) = probe.arrived()
    assert record.header("audit-id") not in {None, "chosen"}
    assert b"audit-id: " + str(record.header("audit-id")).encode() in received.lower()
