"""Request bodies: which content types are read, and what a broken one is answered.

Pure. JSON and YAML; protobuf is read too (typed clients write it), but never written.
"""

from __future__ import annotations

import json
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pratique.kube import protobuf
from pratique.sandbox import merge, status, strategic
from pratique.sandbox.resources import Resource

JSON = dict[str, Any]

MAX_BODY = 3 * 1024 * 1024  # bytes, apiserver's MaxRequestBodyBytes
OBJECTS = ("application/json", "application/yaml", protobuf.MEDIA)
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)


def media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        start = body[:30].decode(errors="replace")
        text = f"couldn't get version/kind; json parse error: {error} ({start} ...)"
        raise status.bad_request(text) from error


def _yaml(body: bytes) -> Any:
    try:
        return json.loads(json.dumps(YAML(typ="safe", pure=True).load(body), default=str))
    except (YAMLError, ValueError) as error:
        raise status.bad_request("error parsing YAML") from error


def _protobuf(body: bytes) -> JSON:
    try:
        return protobuf.decode(body, json.loads)
    except ValueError as error:
        raise status.bad_request(f"couldn't decode the protobuf body: {error}") from error


def decode_object(body: bytes, content_type: str) -> JSON:
    """The object of a POST or PUT."""
    media = media_type(content_type) or "application/json"
    if media not in OBJECTS:
        raise status.unsupported_media(media, OBJECTS)
    if media == protobuf.MEDIA:
        return _protobuf(body)
    found = _json(body) if media == "application/json" else _yaml(body)
    if not isinstance(found, dict):
        raise status.bad_request("couldn't get version/kind; json parse error: cannot unmarshal into object")
    return found


def decode_options(body: bytes, content_type: str) -> JSON | None:
    """The DeleteOptions of a DELETE; None when there is no body at all."""
    return decode_object(body, content_type) if body else None


def patch_type(resource: Resource, content_type: str) -> str:
    media = media_type(content_type)
    accepted = tuple(item for item in PATCHES if not (resource.custom and item == STRATEGIC_PATCH))
    if media not in accepted:
        raise status.unsupported_media(media, accepted)
    return media


def decode_apply(body: bytes) -> JSON:
    found = _yaml(body)
    if not isinstance(found, dict) or not found.get("kind") or not found.get("apiVersion"):
        raise status.bad_request("error decoding YAML: Object 'Kind' is missing")
    return found


def patched(media: str, body: bytes, current: JSON) -> JSON:
    """`current` after a JSON, merge or strategic patch."""
    patch = _json(body)
    if media == JSON_PATCH:
        result = merge.json_patch(current, patch)
    elif not isinstance(patch, dict):
        raise status.bad_request(
            "error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}"
        )
    elif media == MERGE_PATCH:
        result = merge.merge_patch(current, patch)
    else:
        result = strategic.strategic_merge(current, patch)
    if not isinstance(result, dict) or not isinstance(result.get("metadata", {}), dict):
        raise status.StatusError(422, "Invalid", "the server rejected our request due to an error in our request")
    return result
