"""What the gateway asks the API server for itself, about a request of a client: the live object, and its rehearsal.

Belongs here: the requests (live object, server-side dry run, what a selector selects), and the precondition that ties
the write which follows to what was seen. Not here: sending them (`pratique.identity.own_calls`), deciding.

Preconditions as kube-apiserver 1.36.2 answers them (seen): a `metadata.resourceVersion` that is not the live one gives
409 on a PUT, on all four kinds of patch (on a JSON patch as its last operation) and on `/scale`; so do
`preconditions` of DeleteOptions, also inside an Eviction. `resourceVersion: "1"` on an apply or a creating PUT means
that there must be no such object: it is created where there is none, and 409 where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pratique.errors import Refused
from pratique.kube.body import dump
from pratique.kube.canonical import CanonicalRequest, canonicalise
from pratique.kube.forms import RawRequest
from pratique.kube.query import encode

NO_OBJECT = "1"  # no object has it: the first write to an empty etcd has revision 2
SELECTED_LIMIT = 500  # objects in one answer to `selected`; kubectl's own chunk size

# Subresources that open a connection or are made of the parent: what they act on is the parent itself.
_OWN_OBJECT = frozenset({"scale"})
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")  # RFC 1123 label, as namespaces have
_HEADERS = ((b"Accept", b"application/json"), (b"Accept-Encoding", b"identity"))
_SELECTORS = frozenset({"labelSelector", "fieldSelector"})
_WRITES_OBJECT = frozenset({"update", "patch"})


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """What the API server said to an own call. `document` is its JSON, unmasked: no client, reviewer or log sees it."""

    code: int
    document: Any

    @property
    def ok(self) -> bool:
        return 200 <= self.code < 300


@dataclass(frozen=True, slots=True)
class Precondition:
    """The state that a write was judged on. `resource_version` NO_OBJECT: there was no such object."""

    resource_version: str
    uid: str = ""


def live(request: CanonicalRequest) -> CanonicalRequest | None:
    """The GET of the object that a request acts on; None where no one object is named.

    Of `/scale` it is the Scale; of other subresources (exec, eviction, status, …) the object that has them.
    """
    attributes = request.attributes
    if not attributes.is_resource_request or not attributes.name or attributes.verb in {"list", "watch"}:
        return None
    path = request.target.partition(b"?")[0]
    if attributes.subresource and attributes.subresource not in _OWN_OBJECT:
        before = (3 if attributes.api_prefix == "api" else 4) + (
            2 if attributes.namespace and attributes.resource != "namespaces" else 0
        )
        path = b"/".join(path.split(b"/")[: before + 2])  # up to resource and name
    return _get(path)


def namespace(name: str) -> CanonicalRequest:
    """The GET of a Namespace. Raises Refused: not a name."""
    if not _NAME.match(name):
        raise Refused(400, "BadRequest", "not the name of a namespace", rule="rehearsal/namespace")
    return _get(b"/api/v1/namespaces/" + name.encode("ascii"))


def selected(request: CanonicalRequest) -> CanonicalRequest:
    """The list of what a list or deletecollection selects, SELECTED_LIMIT at most (then `metadata.continue` is set)."""
    pairs = [pair for pair in request.query if pair[0] in _SELECTORS]
    return _get(request.target.partition(b"?")[0], (*pairs, ("limit", str(SELECTED_LIMIT))))


def _get(path: bytes, pairs: tuple[tuple[str, str], ...] = ()) -> CanonicalRequest:
    target = path + (b"?" + encode(sorted(pairs)) if pairs else b"")
    return canonicalise(RawRequest(b"GET", target, (*_HEADERS, (b"Host", b"gateway")), b""))


def dry_run(request: CanonicalRequest) -> CanonicalRequest:
    """The same write as a server-side dry run. Raises Refused for what has none (reads, connections)."""
    verb, given = request.attributes.verb, request.document
    if verb in {"delete", "deletecollection"}:
        document = {**(given if isinstance(given, dict) else {}), "dryRun": ["All"]}
        return replace(request, headers=_own_headers(request), document=document, body=dump(document), dry_run=True)
    if verb not in {"create", "update", "patch"} or request.upgrade or request.proxied:
        raise Refused(500, "InternalError", "a request of this kind has no dry run", rule="rehearsal/verb")
    pairs = tuple(sorted({*(pair for pair in request.query if pair[0] != "dryRun"), ("dryRun", "All")}))
    target = request.target.partition(b"?")[0] + b"?" + encode(pairs)
    return replace(request, headers=_own_headers(request), query=pairs, target=target, dry_run=True)


def _own_headers(request: CanonicalRequest) -> tuple[tuple[bytes, bytes], ...]:
    kind = request.content_type.encode("ascii")
    return (*_HEADERS, (b"Content-Type", kind)) if kind else _HEADERS


def precondition_of(found: Any) -> Precondition:
    """Of the live object, or of the result of a dry run (which has the version that it was made from).

    None, or a result without a version: there is no object yet. Raises Refused for what is no object.
    """
    if found is None:
        return Precondition(NO_OBJECT)
    metadata = found.get("metadata") if isinstance(found, Mapping) else None
    if not isinstance(metadata, Mapping):
        raise Refused(502, "InternalError", "the API server answered with no object", rule="rehearsal/object")
    version = metadata.get("resourceVersion") or NO_OBJECT
    uid = metadata.get("uid") if version != NO_OBJECT else ""
    if not isinstance(version, str) or not isinstance(uid or "", str):
        raise Refused(502, "InternalError", "the API server answered with no object", rule="rehearsal/object")
    return Precondition(version, uid or "")


def with_precondition(request: CanonicalRequest, precondition: Precondition) -> CanonicalRequest:
    """The same write, which the API server answers 409 if the object is not any more what it was.

    Requests that can carry no precondition (exec and other connections, reads) are returned as they are.

    Raises Refused: (409) the client asks for another version, so the server would answer 409; (422) a body that leaves
    no place for a version.
    """
    attributes, document = request.attributes, request.document
    if attributes.verb == "delete":
        return _with_body(request, _deleting(document, precondition))
    if attributes.verb == "create" and attributes.subresource == "eviction" and isinstance(document, dict):
        return _with_body(
            request, {**document, "deleteOptions": _deleting(document.get("deleteOptions"), precondition)}
        )
    if attributes.verb not in _WRITES_OBJECT or request.proxied:
        return request
    if request.patch_type == "json-patch":
        return _with_body(request, _versioned_operations(document, precondition))
    return _with_body(request, _versioned(document, precondition))


def _deleting(options: Any, precondition: Precondition) -> dict[str, Any]:
    options = {} if options is None else options
    given = (options.get("preconditions") or {}) if isinstance(options, dict) else None
    if not isinstance(given, dict):
        raise _no_place("its DeleteOptions are not an object")
    wanted = {"resourceVersion": precondition.resource_version}
    if precondition.uid:
        wanted["uid"] = precondition.uid
    for key, value in wanted.items():
        _check_same(given.get(key), value)
    return {**options, "preconditions": wanted}


def _versioned(document: Any, precondition: Precondition) -> dict[str, Any]:
    metadata = document.get("metadata", {}) if isinstance(document, dict) else None
    if not isinstance(metadata, dict):
        raise _no_place("its metadata is not an object")
    if any(key.startswith("$") for key in metadata):
        raise _no_place("its metadata holds a directive of strategic merge patches")
    _check_same(metadata.get("resourceVersion"), precondition.resource_version)
    return {**document, "metadata": {**metadata, "resourceVersion": precondition.resource_version}}


def _versioned_operations(document: Any, precondition: Precondition) -> list[Any]:
    """Last, so that no other operation takes it away; those that ask for a version themselves are read before."""
    operations = list(document or ())
    for operation in operations:
        path, value = operation.get("path"), operation.get("value")
        if path == "":
            path, value = "/metadata", value.get("metadata") if isinstance(value, dict) else None
        if path == "/metadata":
            value = value.get("resourceVersion") if isinstance(value, dict) else None
        elif path != "/metadata/resourceVersion":
            continue
        _check_same(value, precondition.resource_version)
    return [*operations, {"op": "add", "path": "/metadata/resourceVersion", "value": precondition.resource_version}]


def _check_same(asked: Any, judged: str) -> None:
    """INVARIANT: a version that the client asks for is never replaced by another, nor does it replace the judged one."""
    if asked not in (None, "", "0") and asked != judged:
        message = "the object has been modified. Apply your changes to the latest version and try again"
        raise Refused(409, "Conflict", message, rule="rehearsal/version")


def _with_body(request: CanonicalRequest, document: Any) -> CanonicalRequest:
    return replace(request, document=document, body=dump(document))


def _no_place(why: str) -> Refused:
    message = f"this write is judged on the live object and must be tied to it, but {why}. Write them as plain objects"
    return Refused(422, "Invalid", message, rule="rehearsal/precondition")
