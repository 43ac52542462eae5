"""Kubernetes objects against the models of the Python client: an unknown field or a wrong type is an error with its path."""

from __future__ import annotations

import re
from typing import Any

from kubernetes import client

MODELS = vars(client.models)
_PREFIXES = ("V1", "CoreV1")


def problems(manifest: dict[str, Any]) -> list[str]:
    """Empty for a manifest that a strict API server would take by its schema."""
    group, _, version = str(manifest.get("apiVersion", "")).rpartition("/")
    name = f"{version[0].upper()}{version[1:]}{manifest.get('kind', '')}"
    if name not in MODELS:
        return [f"no model for {group or 'core'}/{version} {manifest.get('kind')}"]
    return list(_object(manifest, MODELS[name], name))


def _object(value: Any, model: type, path: str):
    if not isinstance(value, dict):
        yield f"{path}: not an object"
        return
    by_json = {json: python for python, json in model.attribute_map.items()}
    for key, item in value.items():
        if key not in by_json:
            yield f"{path}.{key}: unknown field"
        else:
            yield from _value(item, model.openapi_types[by_json[key]], f"{path}.{key}")


def _value(value: Any, kind: str, path: str):
    if inner := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            yield f"{path}: not a list"
            return
        for number, item in enumerate(value):
            yield from _value(item, inner[1], f"{path}[{number}]")
    elif inner := re.fullmatch(r"dict\(str, (.+)\)", kind):
        if not isinstance(value, dict):
            yield f"{path}: not a map"
            return
        for key, item in value.items():
            yield from _value(item, inner[1], f"{path}.{key}")
    elif kind in MODELS:
        yield from _object(value, MODELS[kind], path)
    elif not isinstance(value, _PLAIN.get(kind, object)) or (kind == "int" and isinstance(value, bool)):
        yield f"{path}: not {kind}"


_PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}
