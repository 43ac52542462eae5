"""What of a request may be stored: headers by allow-list, query, path, argv.

Belongs here: everything that keeps credentials out of recordings, as pure functions. Not here: bodies (the masker has
them before), the patterns of free text and command lines (`argv`), output of streams. The rule is an allow-list: what
is not known to be harmless is stored as a name and SCRUBBED (rows of reference leaks.md §L).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_plus, urlsplit, urlunsplit

from pratique.recorder.argv import SCRUBBED, scrub_argv, scrub_text

MAX_VALUE = 2048
"""Characters of a stored header or query value; the largest honest one is a `continue` token of some 500."""

MAX_REMEMBERED = 256
"""Characters of a text whose scrubbed form is remembered: 4,096 of them are 1 MiB at most."""

MAX_HEADERS = 64
"""Stored headers of one message; clients of Kubernetes send under 20."""

HEADERS = {
    "accept": "which representation was asked for",
    "accept-encoding": "explains the size of the answer",
    "allow": "answer to 405",
    "audit-id": "joins the API server's audit log",
    "cache-control": "says that nothing was cached",
    "connection": "tells upgrades",
    "content-encoding": "how to read the stored body",
    "content-length": "size",
    "content-type": "how to read the stored body",
    "date": "the API server's clock",
    "kubectl-command": "claim: which command",
    "kubectl-session": "claim: which invocation",
    "location": "redirects",
    "retry-after": "explains the client's next request",
    "sec-websocket-protocol": "sub-protocol, without the bearer one",
    "sec-websocket-version": "tells upgrades",
    "server": "who answered",
    "traceparent": "joins traces (W3C trace context)",
    "transfer-encoding": "framing",
    "upgrade": "tells upgrades",
    "user-agent": "claim: which client",
    "vary": "explains caches",
    "warning": "what the API server or the gateway warned of",
    "www-authenticate": "explains a 401",
    "x-kubernetes-pf-flowschema-uid": "priority and fairness",
    "x-kubernetes-pf-prioritylevel-uid": "priority and fairness",
    "x-stream-protocol-version": "exec and port-forward protocol",
}
"""Headers that are stored, lower case, and why. Their values still go through `scrub_text`."""

CREDENTIAL_HEADERS = frozenset({
    "authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key", "x-amz-security-token",
    "impersonate-user", "impersonate-group", "impersonate-uid", "x-remote-user", "x-remote-group", "x-forwarded-for",
})  # fmt: skip
"""Stored with SCRUBBED as value: an auditor must see that there was one. Other names may be secrets themselves."""

QUERY = frozenset({
    "allowwatchbookmarks", "container", "continue", "dryrun", "fieldmanager", "fieldvalidation", "follow", "force",
    "graceperiodseconds", "includeobject", "insecureskiptlsverifybackend", "labelselector", "limit", "limitbytes",
    "orphandependents", "ports", "pretty", "previous", "propagationpolicy", "resourceversion", "resourceversionmatch",
    "sendinitialevents", "sinceseconds", "sincetime", "stderr", "stdin", "stdout", "stream", "taillines", "timeout",
    "timeoutseconds", "timestamps", "tty", "watch",
})  # fmt: skip
"""Parameters of the Kubernetes API (1.36, ListOptions to PodExecOptions) whose values are stored, lower case."""

FIELD_KEYS = frozenset({
    "metadata.name", "metadata.namespace", "spec.nodeName", "spec.restartPolicy", "spec.schedulerName",
    "spec.serviceAccountName", "spec.hostNetwork", "spec.unschedulable", "spec.clusterIP", "spec.type", "status.phase",
    "status.podIP", "status.podIPs", "status.nominatedNodeName", "status.successful", "status.replicas", "type",
    "reason", "reportingComponent", "source", "involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
    "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
    "spec.signerName",
})  # fmt: skip
"""Field selectors of built-in types; a CRD can make a secret field selectable, the selector then holds the value."""

_SUBPROTOCOL = re.compile(
    r"(?:v[1-5]\.)?(?:base64\.)?channel\.k8s\.io|SPDY/3\.1\+portforward\.k8s\.io|portforward\.k8s\.io"
)
_PLAIN = re.compile(
    r"[0-9]{1,12}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT"
)
"""Sizes, Audit-IDs and dates: other ones in every message, so not worth remembering, and nothing in them is scrubbed."""
_TERM = re.compile(r"(?P<key>[^=!]*)(?P<operator>==|!=|=)(?P<value>.*)", re.DOTALL)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    """Control, bidi and invisible characters and lone surrogates as escapes, so that a log cannot be rewritten."""
    return _UNSAFE.sub(lambda hit: hit[0].encode("unicode_escape").decode(), text)


def scrub_value(text: str) -> str:
    """Any text of a client's as it may be stored: tokens replaced, controls escaped, bounded."""
    return _remembered(text) if len(text) <= MAX_REMEMBERED else _scrubbed(text)


def _scrubbed(text: str) -> str:
    clean = printable(scrub_text(text))
    return clean if len(clean) <= MAX_VALUE else f"{clean[:MAX_VALUE]}… ({len(clean)} characters)"


_remembered = functools.lru_cache(4096)(_scrubbed)
"""A client says the same names and headers again and again: six patterns over each are a twentieth of a request's cost."""


def _subprotocols(value: str) -> str:
    names = [name.strip() for name in value.split(",")]
    return ", ".join(name if _SUBPROTOCOL.fullmatch(name) else SCRUBBED for name in names)


def _location(value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        return SCRUBBED
    host = parts.netloc.rpartition("@")[2]
    return scrub_value(urlunsplit((parts.scheme, host, scrub_path(parts.path), scrub_query(parts.query), "")))


def scrub_header(name: str, value: str) -> str | None:
    """The value to store, or None when not even the name may be."""
    lower = name.lower()
    if lower in CREDENTIAL_HEADERS:
        return SCRUBBED
    if lower not in HEADERS:
        return None
    match lower:
        case "sec-websocket-protocol":
            return _subprotocols(value)
        case "location":
            return _location(value)
        case _:
            return value if _PLAIN.fullmatch(value) else scrub_value(value)


def stored_headers(fields: Iterable[tuple[bytes, bytes]]) -> tuple[list[tuple[bytes, bytes]], int]:
    """(headers to store, number of those left out). Names as they came, order kept; at most MAX_HEADERS."""
    kept: list[tuple[bytes, bytes]] = []
    dropped = 0
    for name, value in fields:
        remembered = name.lower() not in _NOT_REMEMBERED and len(value) <= MAX_REMEMBERED
        stored = (_stored_remembered if remembered else _stored)(name, value)
        if stored is None or len(kept) == MAX_HEADERS:
            dropped += 1
        else:
            kept.append(stored)
    return kept, dropped


def _stored(name: bytes, value: bytes) -> tuple[bytes, bytes] | None:
    found = scrub_header(name.decode("latin-1"), value.decode("latin-1"))
    return None if found is None else (name, found.encode("utf-8", "replace"))


_stored_remembered = functools.lru_cache(4096)(_stored)
_NOT_REMEMBERED = frozenset(name.encode() for name in CREDENTIAL_HEADERS) | {b"audit-id", b"date", b"content-length"}
"""No credential is, and nothing that is another one in every message."""


def _field_selector(value: str) -> str:
    return ",".join(_field_term(term) for term in value.split(","))


def _field_term(term: str) -> str:
    parsed = _TERM.fullmatch(term)
    if parsed is None:
        return SCRUBBED if term else ""
    if parsed["key"].strip() in FIELD_KEYS:
        return term
    return f"{parsed['key']}{parsed['operator']}{SCRUBBED}"


def _quote(text: str) -> str:
    """Enough escaping to be one query value again, and still readable."""
    return re.sub(r"[%&#+;\s]", lambda hit: "".join(f"%{byte:02X}" for byte in hit[0].encode()), scrub_value(text))


def scrub_query(query: str) -> str:
    """The query as it may be stored: known parameters with their value, all others as name and SCRUBBED.

    `command` parameters are scrubbed as one argv, `fieldSelector` term by term. Order is kept.
    """
    if not query:
        return ""
    pairs = [_pair(item) for item in query.split("&") if item]
    argv = iter(scrub_argv([value for name, value in pairs if name == "command"]))
    return "&".join(_parameter(name, next(argv) if name == "command" else value) for name, value in pairs)


def _pair(item: str) -> tuple[str, str]:
    name, _, value = item.partition("=")
    return unquote_plus(name), unquote_plus(value)


def _parameter(name: str, value: str) -> str:
    lower = name.lower()
    if name == "command" or lower in QUERY:
        stored = value
    elif lower == "fieldselector":
        stored = _field_selector(value)
    else:
        stored = SCRUBBED
    return f"{_quote(name)}={_quote(stored)}"


def scrub_path(path: str) -> str:
    """The path as it may be stored: percent-encoded as it came, tokens in it replaced, controls escaped."""
    return scrub_value(path)


def argv_of(query: str) -> tuple[str, ...]:
    """The `command` parameters of an exec request, scrubbed."""
    if not query:
        return ()
    values = [value for name, value in map(_pair, query.split("&")) if name == "command"]
    return tuple(scrub_value(argument) for argument in scrub_argv(values))


def scrub_refusal(body: bytes) -> bytes:
    """A Status of the gateway's own as it may be stored: its texts quote what the client sent."""
    try:
        return json.dumps(_scrub_texts(json.loads(body)), ensure_ascii=False, separators=(",", ":")).encode()
    except ValueError:
        return SCRUBBED.encode()


def _scrub_texts(value: Any) -> Any:
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, dict):
        return {name: _scrub_texts(item) for name, item in value.items()}
    return [_scrub_texts(item) for item in value] if isinstance(value, list) else value
