"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396), with the API server's error texts.

Pure. Raises StatusError: 400 for a patch that is none, 422 for one that cannot be applied.
"""

from __future__ import annotations

import copy
from typing import Any

from pratique.sandbox import status

MAX_OPERATIONS = 10_000  # apiserver's maxJSONPatchOperations


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396 §2."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def json_patch(target: Any, operations: Any) -> Any:
    if not isinstance(operations, list):
        raise status.bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []jsonpatch"
        )
    if len(operations) > MAX_OPERATIONS:
        text = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise status.StatusError(413, "RequestEntityTooLarge", text)
    result = copy.deepcopy(target)
    for operation in operations:
        try:
            result = _apply(result, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            text = "the server rejected our request due to an error in our request"
            raise status.StatusError(422, "Invalid", text) from error
    return result


def _apply(doc: Any, operation: dict[str, Any]) -> Any:
    kind, path = operation["op"], _tokens(operation["path"])
    if kind == "test":
        if _get(doc, path) != operation.get("value"):
            raise ValueError("test failed")
        return doc
    if kind == "remove":
        return _remove(doc, path)
    if kind == "add":
        return _add(doc, path, copy.deepcopy(operation["value"]))
    if kind == "replace":
        _get(doc, path)
        return _add(_remove(doc, path) if path else doc, path, copy.deepcopy(operation["value"]))
    source = _tokens(operation["from"])
    value = copy.deepcopy(_get(doc, source))
    if kind == "move":
        return _add(_remove(doc, source), path, value)
    if kind == "copy":
        return _add(doc, path, value)
    raise ValueError(f"unknown op {kind}")


def _tokens(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValueError("a JSON pointer starts with /")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _index(node: list[Any], token: str, *, limit: int) -> int:
    index = int(token)
    index = index + len(node) if index < 0 else index
    if not 0 <= index < limit:
        raise IndexError(token)
    return index


def _get(doc: Any, path: list[str]) -> Any:
    for token in path:
        doc = doc[_index(doc, token, limit=len(doc))] if isinstance(doc, list) else doc[token]
    return doc


def _add(doc: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(doc, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(parent, last, limit=len(parent) + 1), value)
    else:
        parent[last] = value
    return doc


def _remove(doc: Any, path: list[str]) -> Any:
    if not path:
        return None
    parent, last = _get(doc, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[_index(parent, last, limit=len(parent))]
    else:
        del parent[last]
    return doc
