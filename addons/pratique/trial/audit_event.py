"""A request of an audit log (audit.k8s.io/v1 Event): a cluster that never had the gateway tells what its clients do.

Belongs here: from an event to a request. Pure. Not here: files (`reading`).

An audit log says less than the wire did. The body is there at level Request or above, the object that a patch made at
RequestResponse. The Content-Type of a patch is never there: it is told from the patch itself, as `patch_media` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from pratique.kube.forms import RawRequest
from pratique.trial.recorded import Answer, Lost, Place, RecordedRequest, lost_in

ENDS = frozenset({"ResponseComplete", "Panic"})
"""The stages that end a request: one event per request. Earlier stages tell of the same requests."""

_METHODS = {
    "get": b"GET",
    "list": b"GET",
    "watch": b"GET",
    "create": b"POST",
    "update": b"PUT",
    "patch": b"PATCH",
    "delete": b"DELETE",
    "deletecollection": b"DELETE",
}
_BODIES = frozenset({"create", "update", "patch"})
_STREAMS = {"exec": b"v5.channel.k8s.io", "attach": b"v5.channel.k8s.io", "portforward": b"SPDY/3.1+portforward.k8s.io"}
_encode = msgspec.json.Encoder().encode


def is_event(line: Mapping[str, Any]) -> bool:
    """Whether a JSON object is an audit event."""
    return "requestURI" in line and "stage" in line and "auditID" in line


def user_of(event: Mapping[str, Any]) -> str:
    """Who asked; where one user acted as another, that other."""
    for key in ("impersonatedUser", "user"):
        found = event.get(key)
        if isinstance(found, dict) and found.get("username"):
            return str(found["username"])
    return ""


def of_event(event: Mapping[str, Any], place: Place) -> RecordedRequest | None:
    """None for an event of an earlier stage. Raises ValueError, TypeError, AttributeError if it is none."""
    if event["stage"] not in ENDS:
        return None
    verb, uri = str(event["verb"]), str(event["requestURI"])
    reference = event.get("objectRef") or {}
    method = _METHODS.get(verb, verb.upper().encode()) if reference.get("resource") else verb.upper().encode()
    target = uri.encode("utf-8", "surrogateescape")
    given = _sent(verb, event.get("requestObject"))
    body = _encode(given) if given is not None else b""
    lost: set[Lost] = set(lost_in(target, body))
    if reference.get("resource") and verb in _BODIES and given is None and not _opens(reference):
        lost.add("body")
    return RecordedRequest(
        raw=RawRequest(method, target, _headers(method, reference, uri, given, body), body),
        place=place,
        client=user_of(event),
        id=str(event.get("auditID", "")),
        answer=_answer(event),
        result=_result(event) if verb == "patch" else None,
        lost=frozenset(lost),
    )


def _sent(verb: str, given: Any) -> Any:
    """The server logs DeleteOptions as `meta.k8s.io/__internal`, which no client sends."""
    if verb in {"delete", "deletecollection"} and isinstance(given, dict):
        return {name: value for name, value in given.items() if name not in {"apiVersion", "kind"}} or None
    return given


def _opens(reference: Mapping[str, Any]) -> bool:
    return reference.get("resource") == "pods" and reference.get("subresource") in _STREAMS


def _headers(
    method: bytes, reference: Mapping[str, Any], uri: str, given: Any, body: bytes
) -> tuple[tuple[bytes, bytes], ...]:
    fields = [(b"Host", b"gateway")]
    if body:
        media = patch_media(uri, given) if method == b"PATCH" else b"application/json"
        fields += [(b"Content-Type", media), (b"Content-Length", b"%d" % len(body))]
    if _opens(reference):
        fields += _upgrade(method, str(reference["subresource"]))
    return tuple(fields)


def _upgrade(method: bytes, subresource: str) -> list[tuple[bytes, bytes]]:
    if method == b"POST":
        protocol = b"portforward.k8s.io" if subresource == "portforward" else _STREAMS[subresource]
        upgrade = b"SPDY/3.1"
        return [(b"Connection", b"Upgrade"), (b"Upgrade", upgrade), (b"X-Stream-Protocol-Version", protocol)]
    return [
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
        (b"Sec-WebSocket-Protocol", _STREAMS[subresource]),
    ]


def patch_media(uri: str, patch: Any) -> bytes:
    """A list is a JSON patch; an object that says what it is, under a field manager, an apply; else strategic.

    A merge patch counts as a strategic one: no rule tells them apart but a condition on `request.patchType`.
    """
    if isinstance(patch, list):
        return b"application/json-patch+json"
    query = parse_qs(uri.partition("?")[2])
    if isinstance(patch, dict) and {"apiVersion", "kind"} <= patch.keys() and "fieldManager" in query:
        return b"application/apply-patch+yaml"
    return b"application/strategic-merge-patch+json"


def _answer(event: Mapping[str, Any]) -> Answer | None:
    status = event.get("responseStatus") or {}
    code = int(status.get("code") or 0)
    shown = event.get("responseObject")
    if not code:
        return None
    return Answer(code, "application/json", _encode(shown) if shown is not None else b"", raw=True)


def _result(event: Mapping[str, Any]) -> Any:
    """The object that a successful patch made."""
    code = int((event.get("responseStatus") or {}).get("code") or 0)
    shown = event.get("responseObject")
    return shown if code in {200, 201} and is_object(shown) else None


def is_object(value: Any) -> bool:
    """An object of Kubernetes, and not a Status or a Table that tells of one."""
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        return False
    return value.get("kind") not in {"Status", "Table", "PartialObjectMetadata"}
