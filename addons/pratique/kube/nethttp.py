"""What Go's net/http answers by itself, before any handler of the API server sees the request.

Belongs here: `readRequest`, `readTransfer` and `conn.serve` of Go 1.26 `net/http`, and `net/textproto`'s reader, as far
as they refuse. Not here: what the gateway refuses (it refuses all of this, and more). For `explain`, which shows what
the server would make of a request that the gateway refuses: a request that no handler sees has no attributes.

The header lines are written out and read again, as they would be: a value with a line break in it is two lines.
"""

from __future__ import annotations

import re

from pratique.errors import Refused
from pratique.kube.forms import RawRequest, read_target

# http.DefaultMaxHeaderBytes, and what bufio may have read ahead (`initialReadLimitSize`).
HEADER_BYTES = 1024 * 1024 + 4096

_VERSION = re.compile(r"HTTP/[0-9]\.[0-9](?: on a request line)?\Z")
_BREAK = re.compile(rb"[ \r\n]")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_NAME_OR_SPACE = re.compile(rb"[ !#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = re.compile(rb"[A-Za-z0-9!$%&'()*+,.:;=_~\[\]-]*\Z")
_DIGITS = re.compile(rb"[0-9]+\Z")
_NO_TRAILERS = frozenset({b"transfer-encoding", b"trailer", b"content-length"})


def own_answer(raw: RawRequest) -> int | None:
    """The HTTP status that net/http answers itself; None where the request reaches a handler.

    A missing Host is not looked for: that belongs to the connection.
    """
    if _BREAK.search(raw.method) or _BREAK.search(raw.target) or not _VERSION.match(raw.http_version):
        return 400
    if raw.method == b"OPTIONS" and raw.target == b"*":
        return 200  # globalOptionsHandler
    try:
        read_target(raw.method.decode("latin-1"), raw.target)
    except Refused:
        return 400
    headers = _read_headers(raw.headers)
    if headers is None or len(headers.get(b"host", ())) > 1:
        return 400
    if sum(len(name) + len(value) + 4 for name, value in raw.headers) + len(raw.target) > HEADER_BYTES:
        return 431
    return (
        _transfer_answer(headers, raw.http_version)
        or (505 if not raw.http_version.startswith(("HTTP/1.", "HTTP/2")) or "line" in raw.http_version else None)
        or _field_answer(headers)
    )


def _read_headers(fields: tuple[tuple[bytes, bytes], ...]) -> dict[bytes, list[bytes]] | None:
    """`textproto.ReadMIMEHeader`: lower-case name → values. None: malformed. A name with a space is kept as it is."""
    found: dict[bytes, list[bytes]] = {}
    for line in _lines(b"".join(name + b": " + value + b"\r\n" for name, value in fields)):
        name, colon, value = line.partition(b":")
        if not colon or not _NAME_OR_SPACE.match(name) or _CONTROL.search(value):
            return None
        found.setdefault(name.lower(), []).append(value.lstrip(b" \t"))
    return found


def _lines(block: bytes) -> list[bytes]:
    """Header lines with their continuations joined (`readContinuedLineSlice`), up to an empty line."""
    lines: list[bytes] = []
    for physical in block.split(b"\n")[:-1]:
        line = physical.removesuffix(b"\r")
        if not line:
            break
        if line[:1] in b" \t" and lines:
            lines[-1] += b" " + line.strip(b" \t")
        elif line[:1] in b" \t":
            return [b""]  # the first line cannot be a continuation
        else:
            lines.append(line.strip(b" \t"))
    return lines


def _transfer_answer(headers: dict[bytes, list[bytes]], version: str) -> int | None:
    """`readTransfer`: Transfer-Encoding counts on HTTP/1.1 only, Content-Length also beside it."""
    codings = headers.get(b"transfer-encoding")
    chunked = codings is not None and version not in {"HTTP/1.0", "HTTP/0.9"}
    if chunked and (codings is None or len(codings) != 1 or codings[0].lower() != b"chunked"):
        return 501
    lengths = {value.strip(b" \t") for value in headers.get(b"content-length", ())}
    if len(lengths) > 1 or not all(_DIGITS.match(length) and int(length[:25]) < 2**63 for length in lengths):
        return 400
    trailers = [name.strip(b" \t").lower() for value in headers.get(b"trailer", ()) for name in value.split(b",")]
    return 400 if chunked and _NO_TRAILERS.intersection(trailers) else None


def _field_answer(headers: dict[bytes, list[bytes]]) -> int | None:
    """`conn.readRequest` and, for Expect, `conn.serve`."""
    if not all(map(_NAME.match, headers)) or not all(map(_HOST.match, headers.get(b"host", ()))):
        return 400
    expected = headers.get(b"expect", [b""])[0].lower()
    return 417 if expected and b"100-continue" not in re.split(rb"[ \t,]+", expected) else None
