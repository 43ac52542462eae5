"""The outer form of an HTTP request.

The value that the gateway gets, the request line, and Go's reading of the request target.

Belongs here: `RawRequest`, the forms of a target (origin, absolute, authority, asterisk) as Go 1.25 `net/http`
`readRequest` and `net/url` `parse` read them. Not here: what a path means (`attributes`), which forms are refused
(`canonical`).
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pratique.kube.query import EscapeError, unescape
from pratique.kube.rules import quoted, refused

# What mitmproxy reports: HTTP/2.0 for HTTP/2.
HTTP_VERSIONS = frozenset({"HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/2"})
# On a request line there is no HTTP/2: Go answers 505.
REQUEST_LINE_VERSIONS = frozenset({"HTTP/1.0", "HTTP/1.1"})
CHUNKED = "CHUNKED:"

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_SCHEME = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)?:")
# RFC 3986 in Go's reading: an escape in a host is of a byte that is not ASCII, or %25.
_USERINFO = re.compile(rb"(?:[A-Za-z0-9._:~!$&'()*+,;=@-]|%[0-9A-Fa-f]{2})*\Z")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=\[\]<>\":\x80-\xff-]|%25|%[89A-Fa-f][0-9A-Fa-f])*\Z")
_HOST_SAFE = "!$&'()*+,;=:[]<>\""
_PORT = re.compile(rb"(:[0-9]*)?\Z")
_ZONE = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=\[\]<>\":% -]+\Z")
# Go's validEncoded, encodePath: the characters that EscapedPath keeps as the client wrote them.
_VALID_ENCODED = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:@\[\]/%-]*\Z")


@dataclass(frozen=True, slots=True)
class RawRequest:
    """One request as it came.

    `target` is the request target (`:path` on HTTP/2), `body` the decoded (dechunked) payload. `http_version` is
    HTTP/2.0 only where the connection negotiated it; what a request line says goes through `line_version`.
    """

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    http_version: str = "HTTP/1.1"


class NotARequest(ValueError):
    """A line of a corpus that has not the fields of a request; the text says which."""


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
    if _CONTROL.search(target):
        raise refused("target/form", f"malformed request target {quoted(target)}. Send a path")
    if method == "CONNECT":
        found = _other_form(b"http://" + target)
        return found._replace(text=found.text.removeprefix("http:"))
    if target == b"*":
        if method == "OPTIONS":
            # net/http answers it itself, before any handler.
            raise refused("target/form", "the request target `*` names no path. Send a path")
        return Target(b"*", b"", "*")
    return _other_form(target)


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
    userinfo, at, host = authority.rpartition(b"@")
    if not _USERINFO.match(userinfo) or not _is_host(host, strict=name in {"http", "https"}):
        raise refused("target/form", f"malformed host in the request target {quoted(authority)}. Send a path")
    shown = f"{name}://{_shown_user(userinfo, at)}{quote_from_bytes(unquote_to_bytes(host), _HOST_SAFE)}"
    return _origin_form(slash + path + mark + raw_query, prefix=shown)


def _shown_user(userinfo: bytes, at: bytes) -> str:
    """`Userinfo.String`."""
    user, colon, password = (quote_from_bytes(unquote_to_bytes(part), "$&+,;=") for part in userinfo.partition(b":"))
    return f"{user}{':' if colon else ''}{password}@" if at else ""


def _is_host(host: bytes, *, strict: bool) -> bool:
    """`parseHost`. `strict`: a name has no colon but that of the port (http and https)."""
    if b"[" in host:
        return _is_address(host)
    colon = host.find(b":") if strict else host.rfind(b":")
    return _HOST.match(host) is not None and (colon < 0 or _PORT.match(host[colon:]) is not None)


def _is_address(host: bytes) -> bool:
    """`[IPv6]`, with a zone after %25."""
    bracketed, closing, port = host[1:].rpartition(b"]")
    address, mark, zone = bracketed.partition(b"%25")
    if not host.startswith(b"[") or not closing or not _PORT.match(port):
        return False
    try:
        IPv6Address(address.decode("ascii"))
        return b"%" not in address and (not mark or _ZONE.match(unescape(zone)) is not None)
    except ValueError:  # EscapeError is one
        return False


def line_version(text: str) -> str:
    """The version of a request line, for `RawRequest`. HTTP/2 is negotiated: on a line it is a claim, and refused."""
    return f"{text} on a request line" if text in HTTP_VERSIONS - REQUEST_LINE_VERSIONS else text


def from_corpus(line: Mapping[str, Any]) -> RawRequest:
    """A line of `requests.jsonl` as it would arrive on a connection that speaks HTTP/1.1.

    Its fields: `method`, `path` or `path_b64`, and where they are there `headers` (pairs), `body`, `http_version`.
    `CHUNKED:` before a body says that it was sent in chunks; that, or its length, is then among the headers.
    NotARequest, or another ValueError, where a field is missing or is not what it should be.
    """
    encoded = _text(line, "path_b64", "")
    target = b64decode(encoded, validate=True) if encoded else _bytes(_text(line, "path"))
    headers = list(_pairs(line.get("headers") or ()))
    body = _text(line, "body", "")
    names = {name.lower() for name, _ in headers}
    if body and not names & {b"content-length", b"transfer-encoding"}:
        chunked = body.startswith(CHUNKED)
        length = str(len(_bytes(body))).encode()
        headers.append((b"Transfer-Encoding", b"chunked") if chunked else (b"Content-Length", length))
    version = line_version(_text(line, "http_version", "HTTP/1.1"))
    return RawRequest(
        _bytes(_text(line, "method")), target, tuple(headers), _bytes(body.removeprefix(CHUNKED)), version
    )


def _text(line: Mapping[str, Any], name: str, absent: str | None = None) -> str:
    """A text field; `absent` stands for a field that is missing or null."""
    value = line.get(name)
    if value is None and absent is not None:
        return absent
    if not isinstance(value, str):
        raise NotARequest(f"`{name}` is missing" if value is None else f"`{name}` is not a string")
    return value


def _pairs(headers: Any) -> Iterator[tuple[bytes, bytes]]:
    if not isinstance(headers, list | tuple):
        raise NotARequest("`headers` is not a list of pairs")
    for pair in headers:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise NotARequest("`headers` is not a list of pairs of strings")
        yield _bytes(pair[0]), _bytes(pair[1])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
