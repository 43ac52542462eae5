"""The canonical request: what is judged, and exactly what is sent.

Belongs here: putting the parts together. Not here: the parts (`forms`, `paths`, `parameters`, `headers`, `body`), the
rules of refusal (`rules`). Relies on bytes as they came: mitmproxy's `path_components`, `query` and `text` do not
read as the server does.

INVARIANT: the API server reads `target` as `attributes` (but for trimmed slashes in `path`); the tests compare the
two readings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from pratique.kube.attributes import RequestAttributes, Resolved, resolve
from pratique.kube.body import BODY_BYTES, Body, check_content_type, read_body, read_delete
from pratique.kube.forms import HTTP_VERSIONS, RawRequest
from pratique.kube.headers import Headers, Upgrade, check_framing, read_headers, read_upgrade, upstream_headers
from pratique.kube.options import PROXIED_RESOURCES
from pratique.kube.parameters import Parameters, canonical_parameters, takes_delete_options
from pratique.kube.paths import canonical_path, check_target
from pratique.kube.query import encode
from pratique.kube.rules import RULES, quoted, refused

__all__ = ["RULES", "CanonicalRequest", "Head", "HeadRead", "RawRequest", "canonicalise", "headers_only", "read_head"]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_STREAMS = frozenset({"exec", "attach", "portforward"})
_DRY_RUN_VERBS = {"create": "createOptions", "update": "updateOptions", "patch": "patchOptions"}


@dataclass(frozen=True, slots=True)
class CanonicalRequest:
    """One request in its only spelling.

    `path` is decoded, `target` is path and query as sent; `query` is sorted by name. `headers` lack Authorization,
    Host, Content-Length and Audit-ID. `document` is the parsed body (None: no body, or a proxied one), `body` its
    JSON. `patch_type` is "" or the kind of patch, `upgrade` "" or websocket or SPDY/3.1 with the `subprotocols` that
    are left. `dry_run` as the server decides it; `stream`: the answer does not end by itself (watch, log follow).
    `proxied`: the request is for an application behind the pods, services or nodes proxy: query and body are its own.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    content_type: str
    body: bytes
    document: Any | None
    patch_type: str
    attributes: RequestAttributes
    options: Mapping[str, Any] = field(default_factory=dict)
    upgrade: str = ""
    subprotocols: tuple[str, ...] = ()
    dry_run: bool = False
    stream: bool = False
    proxied: bool = False

    def as_json(self) -> dict[str, Any]:
        """For `explain`; the WebSocket key is left out, it is random."""
        return {
            "method": self.method,
            "path": self.path,
            "query": [list(pair) for pair in self.query],
            "target": self.target.decode("ascii"),
            "headers": [[n.decode(), v.decode("latin-1")] for n, v in self.headers if n != b"Sec-WebSocket-Key"],
            "contentType": self.content_type,
            "body": self.document,
            "bodyBytes": len(self.body),
            "patchType": self.patch_type,
            "attributes": self.attributes.as_json(),
            "options": dict(self.options),
            "upgrade": self.upgrade,
            "subprotocols": list(self.subprotocols),
            "dryRun": self.dry_run,
            "stream": self.stream,
            "proxied": self.proxied,
        }


class Head(NamedTuple):
    """Everything but the body, checked."""

    method: str
    path: str
    encoded_path: str
    resolved: Resolved
    parameters: Parameters
    headers: Headers
    length: int | None
    media: str
    upgrade: Upgrade
    proxied: bool


class HeadRead(NamedTuple):
    """A head that was read, and what it was read of, without credentials."""

    request: RawRequest
    head: Head

    def fits(self, raw: RawRequest) -> bool:
        """Whether it is the head of `raw`, byte for byte."""
        return raw == replace(self.request, body=raw.body)


def canonicalise(raw: RawRequest, read: HeadRead | None = None) -> CanonicalRequest:
    """The canonical form of a whole request. Refused, with a rule of RULES; nothing else is raised.

    `read`: its head, if that was read before; another request's counts for nothing.
    """
    head = read.head if read is not None and read.fits(raw) else read_head(raw)
    if len(raw.body) > BODY_BYTES:
        raise _too_large()
    if head.length is not None and head.length != len(raw.body):
        raise refused(
            "framing/content-length",
            f"Content-Length is {head.length}, the body has {len(raw.body)} bytes. Send its length",
        )
    return _canonical(head, _read_body(head, raw.body))


def headers_only(raw: RawRequest) -> CanonicalRequest:
    """Every check that needs no body, before one is read; `raw.body` is not looked at.

    The result is not to be forwarded. Refused.
    """
    return _canonical(read_head(raw), Body())


def read_head(raw: RawRequest) -> Head:
    """Every check that needs no body. Refused."""
    if raw.http_version not in HTTP_VERSIONS:
        raise refused(
            "line/version", f"unsupported protocol version {quoted(raw.http_version)}. Speak HTTP/1.1 or HTTP/2"
        )
    headers = read_headers(raw.headers)
    length = check_framing(headers, raw.http_version)
    check_target(raw.target)
    method = raw.method.decode("latin-1")
    resolved = resolve(method, raw.target)
    attributes = resolved.attributes
    proxied = (
        attributes.subresource == "proxy" and attributes.api_group == "" and attributes.resource in PROXIED_RESOURCES
    )
    if method not in METHODS and not (method == "OPTIONS" and proxied):
        raise refused(
            "line/method",
            f"the method {quoted(method)} is not served. Send GET, POST, PUT, PATCH or DELETE",
        )
    path, encoded = canonical_path(raw.target, resolved, proxied=proxied)
    parameters = canonical_parameters(resolved, proxied=proxied)
    media = _check_body_headers(method, headers, length, proxied=proxied)
    upgrade = read_upgrade(headers, method, attributes)
    return Head(method, path, encoded, resolved, parameters, headers, length, media, upgrade, proxied)


def _check_body_headers(method: str, headers: Headers, length: int | None, *, proxied: bool) -> str:
    """The media type of the body; "" if none can come."""
    if length is not None and length > BODY_BYTES:
        raise _too_large()
    if headers.get(b"content-encoding", [b"identity"])[0].lower() not in {b"", b"identity"}:
        raise refused("body/content-encoding", "the body is compressed. Send it without Content-Encoding")
    if proxied or method not in _WITH_BODY:
        return ""
    content_type = headers.get(b"content-type", [None])[0]
    # Without a body the type says nothing (client-go sends it anyway), but for a patch the server asks first.
    announced = bool(length) or b"transfer-encoding" in headers or (method == "PATCH" and content_type is not None)
    return check_content_type(method, content_type) if announced else ""


def _too_large() -> Exception:
    return refused("body/too-large", f"the body has more than {BODY_BYTES} bytes. Send a smaller object")


def _read_body(head: Head, raw: bytes) -> Body:
    attributes = head.resolved.attributes
    if head.proxied:
        content_type = head.headers.get(b"content-type", [b""])[0]
        return Body(content_type.decode("latin-1") if raw and content_type.isascii() else "", None, raw)
    if raw and (head.method not in _WITH_BODY or _takes_no_body(attributes)):
        raise refused("body/unexpected", "this request has no body. Send none")
    if takes_delete_options(attributes):
        return read_delete(_media(head) if raw else "", raw, dict(head.parameters.delete), attributes)
    return read_body(head.method, _media(head), raw, attributes) if raw else Body()


def _takes_no_body(attributes: RequestAttributes) -> bool:
    return attributes.resource == "pods" and attributes.api_group == "" and attributes.subresource in {*_STREAMS, "log"}


def _media(head: Head) -> str:
    """The media type, also where the headers did not announce a body (HTTP/2 has no length)."""
    return head.media or check_content_type(head.method, head.headers.get(b"content-type", [None])[0])


def _canonical(head: Head, body: Body) -> CanonicalRequest:
    attributes = head.resolved.attributes
    options = head.parameters.options
    query = head.parameters.pairs
    target = head.encoded_path.encode("ascii") + (b"?" + encode(query) if query else b"")
    headers = upstream_headers(head.headers, attributes, body.content_type, head.upgrade, proxied=head.proxied)
    return CanonicalRequest(
        head.method,
        head.path,
        query,
        target,
        headers,
        body.content_type,
        body.data,
        body.document,
        body.patch_type,
        attributes,
        options,
        head.upgrade.protocol,
        head.upgrade.subprotocols,
        _is_dry_run(attributes, options, body),
        _streams(attributes, options),
        head.proxied,
    )


def _is_dry_run(attributes: RequestAttributes, options: Mapping[str, Any], body: Body) -> bool:
    """INVARIANT: a DELETE is a dry run if its body says so: its query is gone, and the server would ignore it."""
    if attributes.verb in {"delete", "deletecollection"}:
        return isinstance(body.document, dict) and body.document.get("dryRun") == ["All"]
    return bool(options.get(_DRY_RUN_VERBS.get(attributes.verb, ""), {}).get("dryRun") == ["All"])


def _streams(attributes: RequestAttributes, options: Mapping[str, Any]) -> bool:
    return attributes.verb == "watch" or bool(options.get("podLogOptions", {}).get("follow"))
