"""Headers: which of the client's are read, which are refused, and the short list that is sent upstream.

Belongs here: the allow-list with its reasons, framing checks, Accept, upgrades and sub-protocols. Not here: Host,
Authorization, Content-Length and Audit-ID, which the adapter sets after everything of the client's is gone.

Sent upstream, nothing else:

    Accept           rewritten to JSON forms: what cannot be parsed cannot be masked
    Accept-Encoding  identity: the same reason
    Content-Type     of the canonical body
    User-Agent       shown in the cluster's audit log; a claim, never used to decide
    If-None-Match    non-resource requests only: saves megabytes of OpenAPI and discovery
    Connection, Upgrade, Sec-WebSocket-*, X-Stream-Protocol-Version   exec, attach and portforward only
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from pratique.kube.attributes import RequestAttributes
from pratique.kube.rules import quoted, refused

# Clients send 10 to 20; Go limits the bytes (1 MiB), not the number.
HEADER_COUNT = 256
KEY_SET = "/openid/v1/jwks"
# kubectl sends 300 bytes for discovery. A longer Accept is answered as JSON.
ACCEPT_BYTES = 4096
# The two spellings of one type (kube-openapi 2025 handler.go `mimePb` and `mimePbDeprecated`).
OPENAPI_PROTOBUF = (
    b"application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    b"application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
)
USER_AGENT_BYTES = 512

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_PRINTABLE = re.compile(rb"[\x20-\x7e]*\Z")
_HOST = re.compile(rb"[A-Za-z0-9!$%&'()*+,.:;=_~\[\]-]*\Z")
_LENGTH = re.compile(rb"[0-9]{1,18}\Z")
_BEARER = b"base64url.bearer.authorization.k8s.io"
_SINGLE = (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding", b"host", b"upgrade")
_WEBSOCKET_SINGLE = (b"sec-websocket-key", b"sec-websocket-version")
_WEBSOCKET_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==\Z")

_NO_TRAILERS = frozenset({b"transfer-encoding", b"content-length", b"trailer"})

# Resource pods, by subresource: what the gateway's stream readers know.
WEBSOCKET_PROTOCOLS = {
    "exec": ("v5.channel.k8s.io", "v4.channel.k8s.io"),
    "attach": ("v5.channel.k8s.io", "v4.channel.k8s.io"),
    "portforward": ("SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io"),
}
SPDY_PROTOCOLS = {
    "exec": ("v5.channel.k8s.io", "v4.channel.k8s.io"),
    "attach": ("v5.channel.k8s.io", "v4.channel.k8s.io"),
    "portforward": ("portforward.k8s.io",),
}

Headers = dict[bytes, list[bytes]]


class Upgrade(NamedTuple):
    """`protocol` is "" (none), "websocket" or "SPDY/3.1"; `headers` are those of the upstream handshake."""

    protocol: str = ""
    subprotocols: tuple[str, ...] = ()
    headers: tuple[tuple[bytes, bytes], ...] = ()


NO_UPGRADE = Upgrade()


def read_headers(fields: tuple[tuple[bytes, bytes], ...]) -> Headers:
    """Lower-case name → values without outer spaces.

    Refused for what no honest client sends, whatever the request is.
    """
    if len(fields) > HEADER_COUNT:
        raise refused("header/count", f"more than {HEADER_COUNT} headers. Send fewer")
    found: Headers = {}
    for raw_name, raw_value in fields:
        name = raw_name.lower()
        if not _NAME.match(name):
            raise refused("header/name", f"malformed header name {quoted(raw_name)}. Send a token")
        if _BAD_VALUE.search(raw_value):
            raise refused("header/value", f"the header {quoted(raw_name)} has a control character. Send one line")
        found.setdefault(name, []).append(raw_value.strip(b" \t"))
    _check_host_and_expect(found)
    for name in found:
        if name.startswith(b"impersonate") and name.replace(b"_", b"-").startswith(b"impersonate-"):
            raise refused(
                "header/impersonate",
                f"impersonation ({quoted(name)}) is not allowed through the gateway. Call without --as",
            )
    for name in _SINGLE:
        if name in found and len(found[name]) > 1:
            raise refused("header/duplicate", f"the header {quoted(name)} stands twice. Send it once")
    _refuse_bearer(found)
    return found


def _check_host_and_expect(found: Headers) -> None:
    """Both end here, but a hop in front may act on them: only what Go's net/http takes."""
    for host in found.get(b"host", ()):
        check_host(host)
    for value in found.get(b"expect", ()):
        if value.lower() != b"100-continue":
            raise refused("header/expect", f"the expectation {quoted(value)} is not known. Send 100-continue, or none")


def check_host(host: bytes) -> None:
    """Refused (header/host) for what Go's net/http refuses."""
    if not _HOST.match(host):
        raise refused("header/host", f"malformed Host {quoted(host)}. Send a host name")


def _refuse_bearer(found: Headers) -> None:
    for value in found.get(b"sec-websocket-protocol", ()):
        if any(token.strip(b" \t").lower().startswith(_BEARER) for token in value.split(b",")):
            # INVARIANT: the text names no token.
            raise refused(
                "header/bearer-subprotocol",
                "a bearer token as WebSocket sub-protocol is not allowed. Send Authorization",
            )


def check_framing(found: Headers, version: str) -> int | None:
    """The length that the client declared (None: chunked, or no body header). Refused for every ambiguous framing."""
    coding = found.get(b"transfer-encoding")
    length = found.get(b"content-length")
    if coding is not None:
        if coding[0].lower() != b"chunked" or version != "HTTP/1.1":
            raise refused(
                "framing/transfer-encoding",
                f"the transfer encoding {quoted(coding[0])} is not chunked. Send Content-Length",
            )
        if length is not None:
            raise refused(
                "framing/both-lengths", "Transfer-Encoding and Content-Length stand together. Send one of them"
            )
        _check_trailer(found)
        return None
    if length is None:
        return None
    if not _LENGTH.match(length[0]):
        raise refused("framing/content-length", f"malformed Content-Length {quoted(length[0])}. Send a plain number")
    return int(length[0])


def _check_trailer(found: Headers) -> None:
    """Trailers are dropped; one that frames the message is refused, as Go's net/http does."""
    named = [name.strip(b" \t").lower() for value in found.get(b"trailer", ()) for name in value.split(b",")]
    if not _NO_TRAILERS.isdisjoint(named):
        raise refused("framing/trailer", "the Trailer header names a header of the framing. Send no trailers")


def upstream_headers(
    found: Headers, attributes: RequestAttributes, content_type: str, upgrade: Upgrade, *, proxied: bool
) -> tuple[tuple[bytes, bytes], ...]:
    """The allow-list above, in one order, for every request."""
    accept = found.get(b"accept")
    first = accept[0] if accept else b""  # the server reads only the first
    headers = [
        (b"Accept", _accept(first, attributes, proxied=proxied)),
        (b"Accept-Encoding", b"identity"),
    ]
    if content_type:
        headers.append((b"Content-Type", content_type.encode("ascii")))
    agent = found.get(b"user-agent")
    if agent and _PRINTABLE.match(agent[0]):
        headers.append((b"User-Agent", agent[0][:USER_AGENT_BYTES]))
    known = found.get(b"if-none-match")
    if known and not attributes.is_resource_request and _PRINTABLE.match(known[0]):
        headers.append((b"If-None-Match", known[0]))
    return (*headers, *upgrade.headers)


def _accept(value: bytes, attributes: RequestAttributes, *, proxied: bool) -> bytes:
    if proxied:
        return _verbatim_accept(value)
    if attributes.resource == "pods" and attributes.subresource in WEBSOCKET_PROTOCOLS:
        return b"*/*"  # these answer with a stream or a Status; kube-apiserver 1.36 has no JSON form of it and says 406
    if attributes.path == KEY_SET:
        return b"*/*"  # it is JSON by another name (application/jwk-set+json); 1.36 says 406 to application/json
    if attributes.path == "/openapi/v2" and any(form in value for form in OPENAPI_PROTOBUF):
        # kubectl up to 1.26 reads the answer as protobuf, whatever type it has. It is the public schema, no object.
        return next(form for form in OPENAPI_PROTOBUF if form in value)
    return rewrite_accept(value)


def _verbatim_accept(value: bytes) -> bytes:
    return value if value and len(value) <= ACCEPT_BYTES and _PRINTABLE.match(value) else b"*/*"


# Kinds that an answer can be converted to, with their groups and versions; everything else is dropped from Accept.
_CONVERSIONS = {
    (b"Table", b"meta.k8s.io"): (b"v1", b"v1beta1"),
    (b"PartialObjectMetadata", b"meta.k8s.io"): (b"v1", b"v1beta1"),
    (b"PartialObjectMetadataList", b"meta.k8s.io"): (b"v1", b"v1beta1"),
    (b"APIGroupDiscoveryList", b"apidiscovery.k8s.io"): (b"v2", b"v2beta1"),
}


@lru_cache(maxsize=256)
def rewrite_accept(value: bytes) -> bytes:
    """An Accept header as JSON forms in the client's order of preference; never empty, so never refused.

    Protobuf, CBOR and YAML become JSON with the same conversion (client-go reads by the Content-Type of the answer).
    A client that asks only for a conversion is not given the plain object.
    """
    if len(value) > ACCEPT_BYTES:
        return b"application/json"
    clauses = [_clause(part) for part in value.split(b",")]
    ordered = sorted((clause for clause in clauses if clause is not None), key=lambda clause: -clause[0])
    forms = dict.fromkeys(form for _, form in ordered)
    return b",".join(forms) or b"application/json"


def _clause(part: bytes) -> tuple[float, bytes] | None:
    """Quality and JSON form of one clause.

    None if it is refused by the client (q=0) or asks for an unknown conversion.
    """
    media, *raw = (piece.strip(b" \t") for piece in part.split(b";"))
    if not media:
        return None
    parameters = {
        key.strip(b" \t").lower(): value.strip(b' \t"') for key, _, value in (piece.partition(b"=") for piece in raw)
    }
    quality = _quality(parameters.get(b"q", b"1"))
    if quality <= 0:
        return None
    form = b"application/json"
    kind = parameters.get(b"as", b"")
    if kind:
        group, version = parameters.get(b"g", b""), parameters.get(b"v", b"")
        if version not in _CONVERSIONS.get((kind, group), ()):
            return None
        form += b";as=" + kind + b";v=" + version + b";g=" + group
        if parameters.get(b"profile") == b"nopeer":
            form += b";profile=nopeer"
    if parameters.get(b"stream") == b"watch":
        form += b";stream=watch"
    return quality, form


def _quality(value: bytes) -> float:
    return float(value) if re.match(rb"[01](\.[0-9]{0,3})?\Z", value) else 1.0


def read_upgrade(found: Headers, method: str, attributes: RequestAttributes) -> Upgrade:
    """The upgrade that is forwarded: exec, attach and portforward of pods.

    Elsewhere the request goes on without it. Refused.
    """
    offered = found.get(b"upgrade")
    upgradable = (
        attributes.resource == "pods" and attributes.api_group == "" and attributes.subresource in WEBSOCKET_PROTOCOLS
    )
    # Other methods are not served by these subresources: without the upgrade the server answers 405.
    if not offered or not upgradable or method not in {"GET", "POST"} or not _asks_for_upgrade(found):
        return NO_UPGRADE
    protocol = offered[0].lower()
    if protocol == b"websocket":
        return _websocket(found, method, attributes.subresource)
    if protocol == b"spdy/3.1":
        return _spdy(found, attributes.subresource)
    raise refused("upgrade/protocol", f"the upgrade {quoted(offered[0])} is not known. Use websocket or SPDY/3.1")


def _asks_for_upgrade(found: Headers) -> bool:
    return any(
        b"upgrade" in [token.strip(b" \t").lower() for token in value.split(b",")]
        for value in found.get(b"connection", ())
    )


def _websocket(found: Headers, method: str, subresource: str) -> Upgrade:
    if method != "GET":
        raise refused("upgrade/method", f"a WebSocket starts with GET, not {quoted(method)}. Use GET")
    keys, versions = (found.get(name, []) for name in _WEBSOCKET_SINGLE)
    if versions != [b"13"] or len(keys) != 1 or not _WEBSOCKET_KEY.match(keys[0]):
        raise refused("upgrade/protocol", "malformed WebSocket handshake. Send version 13 and one key")
    protocols = _allowed(found.get(b"sec-websocket-protocol", []), WEBSOCKET_PROTOCOLS[subresource])
    headers = (
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Key", keys[0]),
        (b"Sec-WebSocket-Protocol", ", ".join(protocols).encode()),
    )
    return Upgrade("websocket", protocols, headers)


def _spdy(found: Headers, subresource: str) -> Upgrade:
    protocols = _allowed(found.get(b"x-stream-protocol-version", []), SPDY_PROTOCOLS[subresource])
    versions = tuple((b"X-Stream-Protocol-Version", protocol.encode()) for protocol in protocols)
    return Upgrade("SPDY/3.1", protocols, ((b"Connection", b"Upgrade"), (b"Upgrade", b"SPDY/3.1"), *versions))


def _allowed(values: list[bytes], known: tuple[str, ...]) -> tuple[str, ...]:
    """What the client offers of `known`, in its order.

    Refused if nothing is left: without one the server takes raw channels.
    """
    offered = [token.strip(b" \t").decode("latin-1") for value in values for token in value.split(b",")]
    protocols = tuple(dict.fromkeys(protocol for protocol in offered if protocol in known))
    if not protocols:
        raise refused(
            "upgrade/subprotocol", f"none of the offered sub-protocols can be read. Offer {' or '.join(known)}"
        )
    return protocols
