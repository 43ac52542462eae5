"""Strategic merge patch (apimachinery pkg/util/strategicpatch 1.34), and the lists that are merged by a key.

Pure. The keys come from the struct tags of k8s.io/api; a list that is not named here is replaced whole, which is what
the real server does with atomic lists (tolerations, args, command, ...).
"""

from __future__ import annotations

import copy
from typing import Any

from pratique.sandbox import status

MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "ports": ("containerPort", "port"),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "conditions": ("type",),
    "addresses": ("type",),
    "ownerReferences": ("uid",),
    "podIPs": ("ip",),
    "hostIPs": ("ip",),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
}
"""Field name to the candidates for its merge key; the first that an item has counts."""

MERGED_SETS = ("finalizers",)
"""Lists of strings that are merged, not replaced."""

_DIRECTIVES = ("$patch", "$retainKeys")
_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def merge_key(field: str, items: list[Any]) -> str | None:
    """The key by which `items` of the list `field` are told apart, or None when the list is atomic."""
    for candidate in MERGE_KEYS.get(field, ()):
        if items and all(isinstance(item, dict) and candidate in item for item in items):
            return candidate
    return None


def strategic_merge(original: Any, patch: dict[str, Any]) -> dict[str, Any]:
    """The patched object; raises StatusError 400 on a directive that cannot be followed."""
    if not isinstance(original, dict):
        original = {}
    directive = patch.get("$patch")
    if directive == "replace":
        return {name: copy.deepcopy(value) for name, value in patch.items() if name not in _DIRECTIVES}
    if directive == "delete":
        return {}
    if directive not in {None, "merge"}:
        raise status.bad_request(f"Unknown patch directive: {directive}")
    result = dict(original)
    if "$retainKeys" in patch:
        result = {name: value for name, value in result.items() if name in patch["$retainKeys"]}
    for name, value in patch.items():
        _merge_field(result, name, value, patch)
    return result


def _merge_field(result: dict[str, Any], name: str, value: Any, patch: dict[str, Any]) -> None:
    if name in _DIRECTIVES:
        return
    if name.startswith(_DELETE_FROM):
        field = name.removeprefix(_DELETE_FROM)
        result[field] = [item for item in result.get(field) or [] if item not in value]
    elif name.startswith(_ORDER):
        field = name.removeprefix(_ORDER)
        if field not in patch:
            result[field] = _ordered(field, result.get(field) or [], value)
    elif value is None:
        result.pop(name, None)
    elif isinstance(value, dict):
        result[name] = strategic_merge(result.get(name), value)
    elif isinstance(value, list):
        merged = _merge_list(name, result.get(name) or [], value)
        result[name] = _ordered(name, merged, patch.get(_ORDER + name))
    else:
        result[name] = value


def _merge_list(field: str, current: list[Any], patch: list[Any]) -> list[Any]:
    if field in MERGED_SETS:
        return [*current, *(item for item in patch if item not in current)]
    plain = [item for item in patch if not _is_replace(item)]
    key = merge_key(field, [item for item in [*current, *plain] if item is not None])
    if len(plain) != len(patch):
        return [_stripped(item) for item in plain]
    if key is None:
        return copy.deepcopy(patch)
    return _merge_items(key, current, patch)


def _is_replace(item: Any) -> bool:
    return isinstance(item, dict) and item.get("$patch") == "replace"


def _stripped(item: Any) -> Any:
    return strategic_merge({}, item) if isinstance(item, dict) else item


def _merge_items(key: str, current: list[Any], patch: list[Any]) -> list[Any]:
    result = list(current)
    for item in patch:
        at = next((index for index, old in enumerate(result) if old[key] == item[key]), None)
        if item.get("$patch") == "delete":
            result = [old for old in result if old[key] != item[key]]
        elif at is None:
            result.append(strategic_merge({}, item))
        else:
            result[at] = strategic_merge(result[at], item)
    return result


def _ordered(field: str, items: list[Any], order: list[Any] | None) -> list[Any]:
    """Items named in `order` come in that order; the others keep their places before them."""
    if not order:
        return items
    key = merge_key(field, [item for item in items if isinstance(item, dict)])
    names = [item.get(key) if key and isinstance(item, dict) else item for item in order]

    def name(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    listed = sorted((item for item in items if name(item) in names), key=lambda item: names.index(name(item)))
    return [item for item in items if name(item) not in names] + listed
