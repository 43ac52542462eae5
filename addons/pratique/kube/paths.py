"""The path of a request: which spellings are refused, and the one that is sent.

Belongs here: characters, escapes, empty and dot segments, trailing slashes. Not here: what the segments mean
(`attributes`). Server's rules: decoded once, then split; nothing is cleaned; trailing slashes of resource paths are
trimmed; non-resource paths are compared as they stand.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from pratique.kube.attributes import RequestAttributes, Resolved
from pratique.kube.rules import quoted, refused

# Go reads 1 MiB of request line and headers (http.DefaultMaxHeaderBytes).
TARGET_BYTES = 1024 * 1024
# Terms of a selector, which are read one by one: 10 µs each. kubectl and controllers send a handful.
TARGET_COMMAS = 20_000

# Names of objects: DNS names, `system:node`, metrics' `*`, and what RBAC names have in the wild: e-mail addresses and
# the like.
_SEGMENT_CHARACTERS = "A-Za-z0-9._:*@+~=,-"
_SEGMENT = re.compile(rf"[{_SEGMENT_CHARACTERS}]+\Z")
_PLAIN = re.compile(rf"(?:/[{_SEGMENT_CHARACTERS}]+)+/?\Z".encode())
_PLAIN_SAFE = "/:*@+~=,"
_NOT_PRINTABLE = re.compile(rb"[^\x21-\x7e]")
_ESCAPE = re.compile(rb"%(..)")
_DOTS = (b"/./", b"/../")
# A client that escapes these hides a word; RFC 3986 calls them unreserved.
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._")


def check_target(target: bytes) -> None:
    """Refuse what no client sends, before the target is read at all. Refused (rules target/*)."""
    if len(target) > TARGET_BYTES:
        raise refused("target/length", f"the request target has more than {TARGET_BYTES} bytes. Send a shorter one")
    if not target.startswith(b"/"):
        raise refused("target/form", f"the request target {quoted(target)} is not a path. Send a path")
    if _NOT_PRINTABLE.search(target):
        raise refused("target/bytes", f"the request target {quoted(target)} has raw bytes. Percent-encode them")
    if target.count(b",") + target.count(b"%2C") + target.count(b"%2c") > TARGET_COMMAS:
        raise refused(
            "query/terms", f"the request target has more than {TARGET_COMMAS} commas. Send a shorter selector"
        )
    if b"#" in target:
        raise refused("target/fragment", f"the request target {quoted(target)} has a `#`. Encode it as %23")


def canonical_path(target: bytes, resolved: Resolved, *, proxied: bool) -> tuple[str, str]:
    """The decoded path and its encoding, as they are judged and sent. Refused (rules path/*)."""
    raw = target.partition(b"?")[0]
    attributes = resolved.attributes
    plain = _PLAIN.match(raw) is not None
    if not plain and raw != b"/":
        _check_spelling(raw, attributes, proxied=proxied)
    if b"/." in raw and any(dots in raw + b"/" for dots in _DOTS):
        raise refused("path/dot-segment", f"the path {quoted(raw)} has a dot segment. Send the path that you mean")
    if attributes.is_resource_request:
        _check_prefix(attributes)
    path = _trimmed(attributes, proxied=proxied)
    return path, path if plain else quote(path, safe=_PLAIN_SAFE)


def _check_spelling(raw: bytes, attributes: RequestAttributes, *, proxied: bool) -> None:
    if b";" in raw or b"%3b" in raw.lower():
        raise refused("path/semicolon", f"the path {quoted(raw)} has a `;`. Leave it out")
    tail = len(attributes.parts) - 3 if proxied else 0
    trimmed = raw.rstrip(b"/")
    outer = len(trimmed) - sum(len(part) + 1 for part in trimmed.split(b"/")[-tail:]) if tail > 0 else len(raw)
    for escape in _ESCAPE.finditer(raw):
        _check_escape(raw, int(escape.group(1), 16), in_tail=escape.start() >= outer)
    segments = attributes.path.split("/")
    inner = segments[1:]
    while inner and not inner[-1]:
        inner.pop()
    if not all(inner) or (len(segments) - 1 - len(inner) > 1 and not attributes.is_resource_request):
        raise refused(
            "path/empty-segment", f"the path {quoted(raw)} has an empty segment. Name the namespace, or leave it out"
        )
    head = inner[: len(inner) - tail] if tail > 0 else inner
    if not all(map(_SEGMENT.match, head)) or not all(map(_tail_segment, inner[len(head) :])):
        raise refused("path/character", f"the path {quoted(raw)} has a character that no name has. Send plain names")


def _check_escape(raw: bytes, byte: int, *, in_tail: bool) -> None:
    if byte == 0x2F:
        raise refused("path/encoded-slash", f"the path {quoted(raw)} has an encoded slash. Send plain names")
    if byte == 0x25:
        raise refused("path/encoded-percent", f"the path {quoted(raw)} is encoded twice. Encode it once")
    if byte == 0x2E or (byte in _UNRESERVED and not in_tail):
        raise refused("path/encoded-character", f"the path {quoted(raw)} escapes a plain character. Send it plain")


def _tail_segment(segment: str) -> bool:
    """A segment of the path inside of a proxied application.

    Any printable text, but nothing that a hop may read as a path.
    """
    return segment.isprintable() and not any(c in segment for c in "\\%?#")


def _check_prefix(attributes: RequestAttributes) -> None:
    if attributes.error is None and attributes.verb not in {"watch", "proxy"}:
        return
    # The verb watch also comes from ?watch; then the prefix is not in the path.
    start = 3 if attributes.api_prefix == "api" else 4
    word = attributes.path.split("/")[start]
    if word == "watch":
        raise refused(
            "path/deprecated-watch",
            "the path prefix /watch/ is not served by the gateway. Use ?watch=true",
        )
    if word == "proxy":
        raise refused(
            "path/deprecated-proxy", "the path prefix /proxy/ was removed from Kubernetes. Use the proxy subresource"
        )


def _trimmed(attributes: RequestAttributes, *, proxied: bool) -> str:
    if not attributes.is_resource_request:
        return attributes.path
    trimmed = attributes.path.rstrip("/")
    # A trailing slash matters to a proxied application: the server keeps it.
    return trimmed + "/" if proxied and attributes.path.endswith("/") else trimmed
