"""The raw head of an HTTP/1 request, before mitmproxy parses it.

Belongs here: what can only be seen in the bytes, because mitmproxy's parser has accepted it by the time a hook runs
(bare line feeds, control characters, spaces in the request line, the client's Host), and framing that two readers
could understand differently: after that no byte of the connection can be trusted, so it ends. Pure. Everything else is
`pratique.kube.canonical`.
"""

from __future__ import annotations

import re

from pratique.errors import Refused
from pratique.kube.headers import check_framing, check_host
from pratique.kube.rules import refused

MAX_HEAD = 1 << 20
"""Bytes of request line and headers. Go's http.Server allows 1 MiB (net/http DefaultMaxHeaderBytes)."""

# Go splits at single spaces and takes nothing else; mitmproxy splits at any white space.
_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^\x00-\x20\x7f]+ (HTTP/1\.[01])\Z")
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_FORBIDDEN = bytes(b for b in range(0x20) if b not in b"\t\r\n") + b"\x7f"


def check_head(buffered: bytes) -> None:
    """Refused for a head that another parser would read otherwise; None while it is fine or still incomplete.

    `buffered` is what has arrived since the end of the last message. RFC 9112 2.2: a recipient may accept a bare LF, so two
    recipients may disagree where a line ends.
    """
    end = buffered.find(b"\r\n\r\n")
    head = buffered if end < 0 else buffered[: end + 4]
    if len(head) > MAX_HEAD:
        raise Refused(
            431, "RequestHeaderFieldsTooLarge", "the request head is larger than 1 MiB", rule="head/too-large"
        )
    if head.lower().count(b"\r\nhost:") > 1:
        raise _bad("the request has more than one Host header", "head/host")
    lines = head.replace(b"\r\n", b"")
    if b"\n" in lines or (b"\r" in lines and not (end < 0 and lines.endswith(b"\r") and lines.count(b"\r") == 1)):
        raise _bad("a line of the request head does not end in CRLF", "head/bare-line-ending")
    if any(byte in _FORBIDDEN for byte in lines) if not lines.isascii() else lines.translate(None, _FORBIDDEN) != lines:
        raise _bad("the request head holds a control character", "head/control-character")
    if end >= 0:
        _check_lines(head[:end].split(b"\r\n"))


def _check_lines(lines: list[bytes]) -> None:
    line = _REQUEST_LINE.match(lines[0])
    if line is None:
        raise _bad("the request line is not `METHOD TARGET HTTP/1.1` with single spaces", "head/request-line")
    framing: dict[bytes, list[bytes]] = {}
    for name, _, value in (each.partition(b":") for each in lines[1:]):
        if name.lower() == b"host":
            check_host(value.strip(b" \t"))
        if name.lower() in _FRAMING:
            framing.setdefault(name.lower(), []).append(value.strip(b" \t"))
    if any(len(values) > 1 for values in framing.values()):
        raise refused("header/duplicate", "a length or a coding of the body stands twice. Send it once")
    check_framing(framing, line.group(1).decode())


def _bad(message: str, rule: str) -> Refused:
    return Refused(400, "BadRequest", message, rule=rule)
