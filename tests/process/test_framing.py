"""F21, F24, F28: what two parsers may read differently is refused with a Status, and nothing of it reaches the cluster.

The tables of such requests are in test_bypass_framing and test_bypass_http2.
"""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path

import pytest

from tests.process.gateway import Gateway

pytestmark = pytest.mark.process
NAMESPACE = "/api/v1/namespaces/payments/configmaps"
BODY = '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"framed"}}'
SIZE = f"{len(BODY):x}"


def post(*headers: str, body: str = BODY) -> str:
    lines = [
        f"POST {NAMESPACE}?probe=framing HTTP/1.1",
        "Host: x",
        "{auth}",
        "Content-Type: application/json",
        *headers,
    ]
    return "\r\n".join([*lines, "", body])


def get(target: str, *headers: str, version: str = "HTTP/1.1") -> str:
    return "\r\n".join([f"GET {target} {version}", "Host: x", "{auth}", *headers, "", ""])


CHUNKED = f"{SIZE}\r\n{BODY}\r\n0\r\n\r\n"
PROBE = f"{NAMESPACE}/probe-framing"
SMUGGLED = f"GET {NAMESPACE}/smuggled-framing HTTP/1.1\r\nHost: x\r\n{{auth}}\r\n\r\n"
REFUSED = {
    "two-lengths": post(f"Content-Length: {len(BODY)}", "Content-Length: 5"),
    "both-framings": post("Transfer-Encoding: chunked", f"Content-Length: {len(BODY)}", body=CHUNKED),
    "leading-zero-length": post(f"Content-Length: 0{len(BODY)}"),
    "too-large": post("Content-Length: 3145729"),
    "chunked-http-1.0": post("Transfer-Encoding: chunked", body=CHUNKED).replace("HTTP/1.1", "HTTP/1.0"),
    "bad-chunk-size": post("Transfer-Encoding: chunked", body=f"zz\r\n{BODY}\r\n0\r\n\r\n"),
    "chunk-without-end": post("Transfer-Encoding: chunked", body=f"{SIZE}\r\n{BODY}XX0\r\n\r\n"),
    "bare-line-feed": get(PROBE).replace("\r\n", "\n"),
    "asterisk-form": "OPTIONS * HTTP/1.1\r\nHost: x\r\n{auth}\r\n\r\n",
    "authority-form": get("127.0.0.1:1"),
    "connect": "CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n{auth}\r\n\r\n",
    "connect-path": f"CONNECT {PROBE} HTTP/1.1\r\nHost: x\r\n{{auth}}\r\n\r\n",
    "h2-preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "empty-line-first": "\r\n" + get(PROBE),
    "chunked-body-on-get": get(PROBE, "Transfer-Encoding: chunked") + CHUNKED,
}


@pytest.mark.parametrize("case", REFUSED)
def test_f24_ambiguous_framing_is_refused(gateway: Gateway, case: str) -> None:
    before = len(gateway.sandbox.requests)
    data = REFUSED[case].replace("{auth}", f"Authorization: Bearer {gateway.keys['agent']}").encode("latin-1")
    received = gateway.raw(data, timeout=5)
    assert len(gateway.sandbox.requests) == before, case
    codes = [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ?", received)]
    assert len(codes) == 1, received
    assert all(400 <= code < 600 for code in codes), received
    assert b'"kind":"Status"' in received


@pytest.mark.parametrize(
    "body",
    [f"{SIZE}\n{BODY}\n0\n\n", f"{SIZE}\r\n{BODY}\r\n0\r\n", f"{SIZE}\r\n{BODY}\r\n", f"ff\r\n{BODY}\r\n0\r\n\r\n"],
)
def test_f24_a_body_that_does_not_end_is_not_served(gateway: Gateway, body: str) -> None:
    """Bare line feeds end no chunk (Go takes them), and what is not whole when the client leaves is dropped."""
    before = len(gateway.sandbox.requests)
    data = post("Transfer-Encoding: chunked", body=body).replace(
        "{auth}", f"Authorization: Bearer {gateway.keys['agent']}"
    )
    with gateway.connect() as sock:
        sock.sendall(data.encode())
    assert gateway.call("GET", "/api/v1/namespaces").code == 200
    assert len(gateway.sandbox.requests) == before + 1


def test_f24_a_second_request_behind_a_refused_one_is_not_served(gateway: Gateway) -> None:
    auth = f"Authorization: Bearer {gateway.keys['agent']}"
    for case in ("both-framings", "two-lengths", "bad-chunk-size", "chunk-without-end", "bare-line-feed"):
        gateway.raw((REFUSED[case] + SMUGGLED).replace("{auth}", auth).encode("latin-1"), timeout=5)
    assert gateway.seen("smuggled-framing") == []


def test_f24_pipelined_requests_are_judged_one_by_one(gateway: Gateway) -> None:
    with gateway.connect() as sock:
        allowed = gateway.head(f"GET {NAMESPACE}/pipelined-1")
        denied = gateway.head("DELETE /api/v1/namespaces/pipelined-2")
        anonymous = gateway.head(f"GET {NAMESPACE}/pipelined-3", client="")
        sock.sendall(allowed + denied + anonymous + allowed)
        received = b""
        while received.count(b"HTTP/1.1 ") < 4 or received.count(b'"kind":"Status"') < 4:
            received += sock.recv(65536)
    assert re.findall(rb"HTTP/1\.1 (\d+)", received) == [b"404", b"403", b"401", b"404"]
    assert gateway.seen("pipelined-2") == gateway.seen("pipelined-3") == []
    assert len(gateway.seen("pipelined-1")) == 2


def test_f24_a_request_in_a_body_stays_a_body(gateway: Gateway) -> None:
    inner = gateway.head(f"GET {NAMESPACE}/smuggled-in-body").decode()
    head = gateway.head(f"POST {NAMESPACE}?x=y", "Content-Type: application/json", f"Content-Length: {len(inner)}")
    assert b" 400 " in gateway.raw(head + inner.encode())
    assert gateway.seen("smuggled-in-body") == []


def test_f24_a_head_that_never_ends_is_refused(gateway: Gateway) -> None:
    with gateway.connect() as sock:
        sock.sendall(gateway.head(f"GET {PROBE}")[:-2])
        sent = 0
        with contextlib.suppress(OSError):  # closed while we are still sending
            while sent < 64 << 20:
                sock.sendall(b"X-A: " + b"a" * 32768 + b"\r\n")
                sent += 32768
        assert sent < 64 << 20


def test_f28_plaintext_on_the_tls_port_is_refused(gateway: Gateway) -> None:
    before = len(gateway.sandbox.requests)
    for data in (gateway.head(f"GET {PROBE}"), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x05\x01\x00", b"SSH-2.0-x\r\n"):
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as sock:
            sock.sendall(data)
            received = b""
            while chunk := sock.recv(65536):
                received += chunk
        assert received.startswith(b"HTTP/1.1 400")
        assert b'"kind":"Status"' in received
    assert len(gateway.sandbox.requests) == before


def test_f28_there_is_no_udp_port(gateway: Gateway) -> None:
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        ports = {int(line.split()[1].rsplit(":", 1)[1], 16) for line in Path(table).read_text().splitlines()[1:]}
        assert gateway.port not in ports
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.connect(("127.0.0.1", gateway.port))
        sock.send(b"\xc0" + b"\x00" * 1199)  # a QUIC initial packet has 1200 bytes at least
        with pytest.raises(ConnectionRefusedError):
            sock.recv(2048)
