"""The outer form of an HTTP request.

The value that the gateway gets, the request line, and Go's reading of the request target.

Belongs here: `RawRequest`, the forms of a target (origin, absolute, authority, asterisk) as Go 1.25 `net/http`
`readRequest` and `net/url` `parse` read them. Not here: what a path means (`attributes`), which forms are refused
(`canonical`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes

from pratique.kube.query import EscapeError, unescape
from pratique.kube.rules import quoted, refused

# What mitmproxy reports: HTTP/2.0 for HTTP/2.
HTTP_VERSIONS = frozenset({"HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/2"})
# On a request line there is no HTTP/2: Go answers 505.
REQUEST_LINE_VERSIONS = frozenset({"HTTP/1.0", "HTTP/1.1"})

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_SCHEME = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)?:")
_USERINFO = re.compile(rb"[A-Za-z0-9._:~!$&'()*+,;=%@-]*\Z")
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=\[\]<>\":%\x80-\xff-]*\Z")
_PORT = re.compile(rb"(:[0-9]*)?\Z")
# Go's validEncoded, encodePath: the characters that EscapedPath keeps as the client wrote them.
_VALID_ENCODED = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:@\[\]/%-]*\Z")


@dataclass(frozen=True, slots=True)
class RawRequest:
    """One request as it came.

    `target` is the request target (`:path` on HTTP/2), `body` the decoded (dechunked) payload.
    """

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    http_version: str = "HTTP/1.1"


class Target(NamedTuple):
    """Go's `url.URL`, as far as the server reads it.

    `path` is decoded; `text` is `URL.String()`, for the server's messages.
    """

    path: bytes
    raw_query: bytes
    text: str


def read_target(method: str, target: bytes) -> Target:
    """Go's reading of a request line, whatever its form.

    Refused (line/method, target/form, path/escape) where Go answers 400.
    """
    if not _METHOD.match(method):
        raise refused("line/method", f"malformed method {quoted(method)}. Send GET, POST, PUT, PATCH or DELETE")
    if target.startswith(b"/"):
        return _origin_form(target, prefix="")
    if _CONTROL.search(target) or not target:
        raise refused("target/form", f"malformed request target {quoted(target)}. Send a path")
    if target == b"*":
        if method == "OPTIONS":
            # net/http answers it itself, before any handler.
            raise refused("target/form", "the request target `*` names no path. Send a path")
        return Target(b"*", b"", "*")
    return _other_form(b"http://" + target if method == "CONNECT" else target)


def _origin_form(target: bytes, prefix: str) -> Target:
    if _CONTROL.search(target):
        raise refused("target/form", f"malformed request target {quoted(target)}. Percent-encode control characters")
    raw_path, mark, raw_query = target.partition(b"?")
    try:
        path = unescape(raw_path)
    except EscapeError as error:
        raise refused("path/escape", f"malformed path: {error}. Encode % as %25") from None
    return Target(
        path, raw_query, prefix + _escaped_path(raw_path, path) + (mark + raw_query).decode("utf-8", "surrogateescape")
    )


def _escaped_path(raw: bytes, path: bytes) -> str:
    """`URL.EscapedPath`."""
    if _VALID_ENCODED.match(raw):
        return raw.decode("ascii")
    return quote_from_bytes(path, "/$&+,:;=@")


def _other_form(target: bytes) -> Target:
    """Absolute form: the server takes the path and ignores the host."""
    scheme = _SCHEME.match(target)
    if scheme is None or not scheme.group(1):
        raise refused("target/form", f"malformed request target {quoted(target)}. Send a path")
    rest = target[scheme.end() :]
    name = scheme.group(1).decode("ascii").lower()
    if not rest.startswith(b"/"):  # opaque: `mailto:x`; the path is empty
        opaque, _, raw_query = rest.partition(b"?")
        return Target(b"", raw_query, f"{name}:{opaque.decode('utf-8', 'surrogateescape')}")
    if not rest.startswith(b"//"):
        return _origin_form(rest, prefix=f"{name}:")
    before_query, mark, raw_query = rest[2:].partition(b"?")
    authority, slash, path = before_query.partition(b"/")
    _check_authority(authority)
    return _origin_form(
        slash + path + mark + raw_query, prefix=f"{name}://{authority.decode('utf-8', 'surrogateescape')}"
    )


def _check_authority(authority: bytes) -> None:
    """`parseAuthority`: refuse what Go refuses."""
    userinfo, _, host = authority.rpartition(b"@")
    bracket = host.startswith(b"[")
    end = host.rfind(b"]") + 1 if bracket else max(host.rfind(b":"), 0) or len(host)
    if not _USERINFO.match(userinfo) or not _HOST.match(host) or (bracket and not end) or not _PORT.match(host[end:]):
        raise refused("target/form", f"malformed host in the request target {quoted(authority)}. Send a path")


def check_request_line_version(version: str) -> None:
    """Refused (line/version) for a version that a request line cannot have (Go: 400 or 505)."""
    if version not in REQUEST_LINE_VERSIONS:
        raise refused("line/version", f"unsupported protocol version {quoted(version)}. Speak HTTP/1.1 or HTTP/2")


def from_corpus(line: Mapping[str, Any]) -> RawRequest:
    """A line of `requests.jsonl` (method, path or path_b64, headers, body, http_version) as it would arrive.

    `CHUNKED:` before a body says that it was sent in chunks. Refused for a request line that no server reads.
    """
    version = line.get("http_version") or "HTTP/1.1"
    check_request_line_version(version)
    target = line["path"].encode("utf-8", "surrogateescape")
    if any(byte in b" \t\r\n" for byte in target):
        raise refused("line/version", "malformed request line. Percent-encode spaces in the path")
    body = (line.get("body") or "").removeprefix("CHUNKED:")
    headers = tuple(
        (name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in line.get("headers") or ()
    )
    return RawRequest(line["method"].encode(), target, headers, body.encode("utf-8", "surrogateescape"), version)
