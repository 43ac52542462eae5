"""The raw head of an HTTP/1 request, before mitmproxy parses it.

Belongs here: what can only be seen in the bytes, because mitmproxy's parser has accepted it by the time a hook runs
(bare line feeds, control characters, a head that never ends). Pure. Everything else is `pratique.kube.canonical`.
"""

from __future__ import annotations

from pratique.errors import Refused

MAX_HEAD = 1 << 20
"""Bytes of request line and headers. Go's http.Server allows 1 MiB (net/http DefaultMaxHeaderBytes)."""

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


def _bad(message: str, rule: str) -> Refused:
    return Refused(400, "BadRequest", message, rule=rule)
