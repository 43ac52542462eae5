"""List requests: selectors, `limit` and `continue`, resourceVersion rules, and the envelope of the asked form.

Pure. The continue token has etcd3's shape (`{"v","rv","start"}`); a page shows the current state, not a snapshot.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from pratique.sandbox import selectors, status, tables
from pratique.sandbox.accept import Form
from pratique.sandbox.query import Query
from pratique.sandbox.resources import Resource
from pratique.sandbox.routes import Route
from pratique.sandbox.store import Store

JSON = dict[str, Any]


def match_of(route: Route, resource: Resource, query: Query) -> selectors.Match:
    """What this list, watch or deletecollection is about."""
    labels = selectors.label_match(query.first("labelSelector"))
    fields = selectors.field_match(resource, query.first("fieldSelector"))
    found = selectors.both(labels, fields)
    if route.name:
        return selectors.both(found, lambda obj: bool(obj["metadata"]["name"] == route.name))
    return found


def check_version(store: Store, query: Query) -> None:
    text = query.first("resourceVersion")
    match = query.first("resourceVersionMatch")
    if match and not text:
        message = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise status.StatusError(422, "Invalid", f' "" is invalid: resourceVersionMatch: Forbidden: {message}')
    if not text:
        return
    if not text.isdigit():
        raise status.bad_request(f"invalid resource version `{text}`")
    if int(text) > store.version:
        message = f"Too large resource version: {text}, current: {store.version}"
        causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
        raise status.StatusError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})


def page(objects: list[JSON], query: Query, store: Store, *, filtered: bool) -> tuple[list[JSON], JSON]:
    """The objects of this page, and the list's metadata."""
    version, start = store.version, ""
    if token := query.first("continue"):
        version, start = _opened(token)
    limit = query.number("limit") or 0
    rest = [obj for obj in objects if _place(obj) >= start]
    metadata: JSON = {"resourceVersion": str(version)}
    if limit and len(rest) > limit:
        metadata["continue"] = _token(version, _place(rest[limit]))
        if not filtered:
            metadata["remainingItemCount"] = len(rest) - limit
        rest = rest[:limit]
    return rest, metadata


def _place(obj: JSON) -> str:
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"


def _token(version: int, start: str) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _opened(token: str) -> tuple[int, str]:
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(found["rv"]), str(found["start"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise status.bad_request("continue key is not valid: illegal base64 data") from error


def envelope(resource: Resource, objects: list[JSON], metadata: JSON, form: Form, now: float, *, include: str) -> JSON:
    if form.kind == "Table":
        return tables.table(resource, objects, now, include=include, metadata=metadata, version=form.version)
    if form.kind == "PartialObjectMetadataList":
        version = f"meta.k8s.io/{form.version}"
        items = [tables.partial(obj, form.version) for obj in objects]
        return {"kind": form.kind, "apiVersion": version, "metadata": metadata, "items": items}
    items = objects if resource.custom else [_bare(obj) for obj in objects]
    return {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": metadata, "items": items}


def _bare(obj: JSON) -> JSON:
    """Items of built-in lists carry no kind and apiVersion (leaks.md, rule 2)."""
    return {name: value for name, value in obj.items() if name not in {"kind", "apiVersion"}}
