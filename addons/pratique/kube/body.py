"""Bodies: strict JSON, strict YAML, and what a body must be on its URL.

Belongs here: parsing into plain values, deterministic JSON, content types, kind and name against the URL,
DeleteOptions. Not here: what the object may contain (policy), writes that carry a mask (masking). Only JSON leaves
this module; an apply patch is JSON text under its own content type (JSON is YAML). YAML is read in `yamlbody`, the
protobuf of typed clients in `protobuf`.

The server's own readings differ from every parser's: it merges duplicate keys and takes the first YAML document. So
input that two parsers read differently is refused, and the rest is written anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from pratique.kube import protobuf
from pratique.kube.attributes import RequestAttributes
from pratique.kube.kinds import expected
from pratique.kube.rules import quoted, refused
from pratique.kube.yamlbody import read_yaml

# kube-apiserver's MaxRequestBodyBytes (generic/config.go): 3 MiB, it answers 413 above.
BODY_BYTES = 3 * 1024 * 1024
# Bytes that are read at once: of YAML in up to 17 ms, of JSON in about 9 ms.
_SMALL, _LARGE = 1024, 256 * 1024
# Objects have about 20 levels; a CRD's schema reaches 60. Python's parser would recurse up to its own limit.
BODY_DEPTH = 100

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
PATCH_TYPES = {
    "application/json-patch+json": "json-patch",
    "application/merge-patch+json": "merge-patch",
    "application/strategic-merge-patch+json": "strategic-merge-patch",
    APPLY: "apply-patch",
}
_READABLE = {"": JSON, JSON: JSON, "application/yaml": "application/yaml", protobuf.MEDIA: protobuf.MEDIA}
_DELETE_FIELDS: dict[str, type] = {
    "gracePeriodSeconds": int,
    "orphanDependents": bool,
    "propagationPolicy": str,
    "preconditions": dict,
    "dryRun": list,
    "ignoreStoreReadErrorWithClusterBreakingPotential": bool,
}


class Body(NamedTuple):
    """A canonical body: `data` is `document` as JSON, `content_type` what it is sent as ("" with no body)."""

    content_type: str = ""
    document: Any = None
    data: bytes = b""
    patch_type: str = ""


def reads_slowly(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
    """Whether reading a body takes more than some ten milliseconds: a large one, and small ones that are not JSON."""
    if len(body) <= _SMALL:
        return False
    other = any(name.lower() == b"content-type" and b"json" not in value.lower() for name, value in headers)
    return other or len(body) > _LARGE


def media_type(header: bytes | None) -> str:
    """The media type of a Content-Type header, lower-case, without parameters."""
    return "" if header is None else header.partition(b";")[0].strip(b" \t").lower().decode("latin-1")


def check_content_type(method: str, header: bytes | None) -> str:
    """The media type if a body of it can be read. Refused (body/content-type)."""
    media = media_type(header)
    if method == "PATCH":
        if media in PATCH_TYPES:
            return media
        raise refused(
            "body/content-type",
            f"the patch type {quoted(media)} cannot be judged. Send one of {', '.join(PATCH_TYPES)}",
        )
    if media in _READABLE:
        return _READABLE[media]
    raise refused("body/content-type", f"the body type {quoted(media)} cannot be judged. Send application/json")


def read_body(method: str, media: str, raw: bytes, attributes: RequestAttributes) -> Body:
    """The canonical form of a non-empty body on a resource or non-resource URL (not DELETE: `read_delete`). Refused."""
    patch_type = PATCH_TYPES.get(media, "") if method == "PATCH" else ""
    document = _parse(media, raw)
    if attributes.is_resource_request:
        _check_shape(document, patch_type)
        if patch_type != "json-patch":
            _check_identity(document, attributes)
    return Body(media if patch_type else JSON, document, dump(document), patch_type)


def _parse(media: str, raw: bytes) -> Any:
    if media == "application/yaml" or (media == APPLY and not raw.lstrip(b" \t\r\n").startswith(b"{")):
        return read_yaml(raw, BODY_DEPTH)
    return _read_protobuf(raw) if media == protobuf.MEDIA else read_json(raw)


def _read_protobuf(raw: bytes) -> Any:
    try:
        return protobuf.decode(raw, read_json)
    except protobuf.ProtobufError as error:
        raise refused("body/protobuf", f"the protobuf body cannot be judged: {error}. Send application/json") from None


def read_json(raw: bytes) -> Any:
    """Strict RFC 8259 JSON in UTF-8.

    No duplicate keys, no NaN, no infinite floats, no BOM, no trailing data. Refused.
    """
    try:
        text = raw.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
    except UnicodeDecodeError as error:
        raise refused("body/json", f"the body is not UTF-8 at byte {error.start}. Send UTF-8") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # JSONDecodeError, and integers longer than int() takes
        raise refused("body/json", f"the body is not JSON: {error}. Send one JSON value") from None
    # Fewer brackets than levels allowed: it cannot be deeper.
    if raw.count(b"{") + raw.count(b"[") > BODY_DEPTH and _deeper(value):
        raise _too_deep()
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # dict() kept the last value of each key: the key whose value is not in its place stands twice.
        last = {key: index for index, (key, _) in enumerate(pairs)}
        repeated = next(key for index, (key, _) in enumerate(pairs) if last[key] != index)
        raise refused("body/duplicate-key", f"the key {quoted(repeated)} stands twice in one object. Send it once")
    return found


def _constant(name: str) -> Any:
    raise refused("body/json", f"the body is not JSON: {quoted(name)} is no number. Send a string")


def _float(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise refused("body/json", f"the number {quoted(text)} is too large. Send a string")
    return value


def _too_deep() -> Exception:
    return refused("body/depth", f"the body is nested deeper than {BODY_DEPTH} levels. Send a flatter object")


def _deeper(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(BODY_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def _children(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def dump(document: Any) -> bytes:
    """Deterministic JSON: keys sorted, no spaces, UTF-8. Refused (body/json) for lone surrogates."""
    try:
        return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        raise refused("body/json", "the body has half of a surrogate pair. Send valid Unicode") from None


def _check_shape(document: Any, patch_type: str) -> None:
    if patch_type == "json-patch":
        if not isinstance(document, list) or not all(isinstance(operation, dict) for operation in document):
            raise refused("body/shape", 'a JSON patch is a list of operations. Send `[{"op": …}]`')
    elif not isinstance(document, dict):
        raise refused("body/shape", "the body is not a JSON object. Send one object")


def _check_identity(document: dict[str, Any], attributes: RequestAttributes) -> None:
    """Type from the URL; what the body says must agree."""
    kind, versions = expected(attributes.api_group, attributes.api_version, attributes.resource, attributes.subresource)
    said_kind, said_version = document.get("kind"), document.get("apiVersion")
    if said_kind and ((kind and said_kind != kind) or (said_kind == "List" and "items" in document)):
        raise refused(
            "body/kind",
            f"the body is a {quoted(said_kind)}, the URL takes {quoted(kind or attributes.resource)}. Send that kind",
        )
    if said_version and versions and said_version not in tuple(versions):
        wanted = quoted(" or ".join(sorted(versions)))
        raise refused(
            "body/kind", f"the apiVersion is {quoted(said_version)}, the URL takes {wanted}. Send that version"
        )
    metadata = document.get("metadata")
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise refused("body/shape", "metadata is not a JSON object. Send an object")
    _check_equal("name", metadata.get("name"), attributes.name)
    if attributes.resource != "namespaces":
        _check_equal("namespace", metadata.get("namespace"), attributes.namespace)


def _check_equal(field: str, said: Any, wanted: str) -> None:
    if said and wanted and said != wanted:
        raise refused(
            "body/name", f"metadata.{field} is {quoted(said)}, the URL says {quoted(wanted)}. Send the same {field}"
        )


def read_delete(media: str, raw: bytes, from_query: dict[str, Any], attributes: RequestAttributes) -> Body:
    """DeleteOptions as the server decides them: the body if there is one, the query only without a body. Refused."""
    options = _delete_options(_parse(media, raw), attributes) if raw else from_query
    document = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
    return Body(JSON, document, dump(document))


def _delete_options(document: Any, attributes: RequestAttributes) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise _no_delete_options("the body is not an object")
    options = {key: value for key, value in document.items() if value is not None}
    _, versions = expected(attributes.api_group, attributes.api_version, attributes.resource, "")
    if options.pop("kind", "") not in ("", "DeleteOptions"):
        raise _no_delete_options(f"the kind is {quoted(document['kind'])}")
    if options.pop("apiVersion", "") not in ("", "v1", "meta.k8s.io/v1", *versions):
        raise _no_delete_options(f"the apiVersion is {quoted(document['apiVersion'])}")
    for key, value in options.items():
        wanted = _DELETE_FIELDS.get(key)
        if wanted is None or type(value) is not wanted:
            raise _no_delete_options(f"{quoted(key)} is not a field of it, or has another type")
    if options.get("dryRun", ["All"]) not in ([], ["All"]):
        raise _no_delete_options(f"dryRun is {quoted(options['dryRun'])}, only `All` is known")
    return options


def _no_delete_options(why: str) -> Exception:
    return refused(
        "body/delete-options", f"the body of a DELETE must be DeleteOptions: {why}. Send DeleteOptions or no body"
    )
