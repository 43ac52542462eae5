"""Response headers: which of the API server's reach the client. Pure.

An allow-list, because what a proxied or aggregated server sends (cookies, redirects with credentials, trailers) is not
known in advance. `Location` is not in it: clients follow redirects with their body (bypass.md 2.16).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Header = tuple[bytes, bytes]

ALLOWED = frozenset({
    b"content-type",
    b"cache-control",
    b"date",
    b"audit-id",
    b"etag",  # aggregated discovery and OpenAPI are cached by it
    b"last-modified",
    b"expires",
    b"vary",
    b"retry-after",
    b"warning",
    b"x-kubernetes-pf-flowschema-uid",
    b"x-kubernetes-pf-prioritylevel-uid",
    b"x-varied-accept",
})  # fmt: skip
ALLOWED_ON_UPGRADE = ALLOWED | {
    b"connection",
    b"upgrade",
    b"sec-websocket-accept",
    b"sec-websocket-protocol",
    b"x-stream-protocol-version",
}


def response_headers(headers: Sequence[Header], *, upgrade: bool, mask: Callable[[str], str]) -> list[Header]:
    """The headers to send on. `mask` replaces sensitive text in `Warning` values. Framing is the adapter's."""
    allowed = ALLOWED_ON_UPGRADE if upgrade else ALLOWED
    kept = [(name, value) for name, value in headers if name.lower() in allowed]
    return [(name, _warning(value, mask) if name.lower() == b"warning" else value) for name, value in kept]


def warning(text: str) -> Header:
    """A `Warning` header (RFC 7234 5.5, code 299) which kubectl prints and MCP servers pass on. Printable ASCII only."""
    clean = "".join(char if " " <= char <= "~" and char not in '"\\' else "?" for char in text)
    return (b"warning", f'299 - "{clean}"'.encode("ascii"))


def _warning(value: bytes, mask: Callable[[str], str]) -> bytes:
    return mask(value.decode("utf-8", "replace")).encode("ascii", "replace").replace(b"\r", b"?").replace(b"\n", b"?")
