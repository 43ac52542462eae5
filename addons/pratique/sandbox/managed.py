"""managedFields and server-side apply, simplified: who set which field, conflicts, and removal of fields given up.

Pure. A field is a path of fieldsV1 elements (`f:name`, `k:{"key":"value"}`, `v:"item"`); a set of paths is what one
manager owns. Simplified against structured-merge-diff: one key per list item, no version conversion, no schema for
custom resources (their lists are atomic unless the field name is known to `strategic.MERGE_KEYS`).
"""

from __future__ import annotations

import copy
import json
from typing import Any

from pratique.sandbox.strategic import MERGED_SETS, merge_key

JSON = dict[str, Any]
Path = tuple[str, ...]
MISSING = object()

_UNOWNED = {
    ("f:apiVersion",), ("f:kind",), ("f:metadata", "f:name"), ("f:metadata", "f:namespace"), ("f:metadata", "f:uid"),
    ("f:metadata", "f:resourceVersion"), ("f:metadata", "f:creationTimestamp"), ("f:metadata", "f:generation"),
    ("f:metadata", "f:managedFields"), ("f:metadata", "f:selfLink"), ("f:metadata", "f:deletionTimestamp"),
    ("f:metadata",), ("f:metadata", "f:deletionGracePeriodSeconds"),
}  # fmt: skip


def paths_of(obj: JSON) -> set[Path]:
    """Every leaf field of `obj`, and every item of a keyed list."""
    return {path for path in _walk(obj, (), "") if path not in _UNOWNED}


def _walk(value: Any, at: Path, field: str) -> list[Path]:
    if isinstance(value, dict) and value:
        found = [_walk(item, (*at, f"f:{name}"), name) for name, item in value.items()]
        return [path for paths in found for path in paths]
    if isinstance(value, list) and value:
        if field in MERGED_SETS:
            return [(*at, "v:" + json.dumps(item)) for item in value]
        if key := merge_key(field, value):
            paths = [at] if not at else []
            for item in value:
                here = (*at, _element(key, item))
                paths += [here, *_walk(item, here, "")]
            return paths
    return [at]


def _element(key: str, item: JSON) -> str:
    return "k:" + json.dumps({key: item[key]}, separators=(",", ":"))


def value_at(obj: Any, path: Path) -> Any:
    for element in path:
        obj = _step(obj, element)
        if obj is MISSING:
            return MISSING
    return obj


def _step(node: Any, element: str) -> Any:
    kind, rest = element[:2], element[2:]
    if kind == "f:":
        return node.get(rest, MISSING) if isinstance(node, dict) else MISSING
    if not isinstance(node, list):
        return MISSING
    wanted = json.loads(rest)
    if kind == "v:":
        return wanted if wanted in node else MISSING
    return next((item for item in node if wanted.items() <= item.items()), MISSING)


def _remove(obj: JSON, path: Path) -> None:
    parent = value_at(obj, path[:-1])
    value = _step(parent, path[-1]) if parent is not MISSING else MISSING
    if value is MISSING:
        return
    if isinstance(parent, list):
        parent.remove(value)
    else:
        del parent[path[-1][2:]]


def to_fields(paths: set[Path]) -> JSON:
    """fieldsV1 of a set of paths."""
    root: JSON = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        if path[-1].startswith("k:"):
            node.setdefault(".", {})
    return root


def from_fields(fields: JSON, at: Path = ()) -> set[Path]:
    if not fields:
        return {at} if at else set()
    found: set[Path] = set()
    for element, inner in fields.items():
        found |= {at} if element == "." else from_fields(inner, (*at, element))
    return found


def _entries(obj: JSON) -> list[JSON]:
    return copy.deepcopy(obj.get("metadata", {}).get("managedFields") or [])


def _same(entry: JSON, manager: str, operation: str, subresource: str) -> bool:
    return (entry.get("manager"), entry.get("operation"), entry.get("subresource", "")) == (
        manager, operation, subresource)  # fmt: skip


def _write(obj: JSON, entries: list[JSON]) -> None:
    present = paths_of({name: value for name, value in obj.items() if name != "managedFields"})
    kept = []
    for entry in entries:
        owned = {path for path in from_fields(entry.get("fieldsV1") or {}) if _exists(path, present, obj)}
        if owned:
            kept.append({**entry, "fieldsV1": to_fields(owned)})
    obj["metadata"]["managedFields"] = kept


def _exists(path: Path, present: set[Path], obj: JSON) -> bool:
    return path in present or value_at(obj, path) is not MISSING


def _entry(obj: JSON, manager: str, operation: str, now: str, subresource: str) -> JSON:
    entry = {"manager": manager, "operation": operation, "apiVersion": obj["apiVersion"], "time": now,
             "fieldsType": "FieldsV1"}  # fmt: skip
    return {**entry, "subresource": subresource} if subresource else entry


def record_update(old: JSON | None, new: JSON, manager: str, now: str, subresource: str = "") -> None:
    """Give the fields that differ between `old` and `new` to `manager` (operation Update). Changes `new`."""
    entries = _entries(old) if old else []
    changed = {path for path in paths_of(new) if old is None or value_at(old, path) != value_at(new, path)}
    for entry in entries:
        owned = from_fields(entry.get("fieldsV1") or {})
        if not _same(entry, manager, "Update", subresource):
            entry["fieldsV1"] = to_fields(owned - {path for path in changed if not path[-1].startswith("k:")})
    mine = next((entry for entry in entries if _same(entry, manager, "Update", subresource)), None)
    if changed and mine is None:
        mine = _entry(new, manager, "Update", now, subresource)
        entries.append(mine)
    if changed and mine is not None:
        mine["fieldsV1"] = to_fields(from_fields(mine.get("fieldsV1") or {}) | changed)
        mine["time"] = now
    _write(new, entries)


def conflicts(live: JSON, applied: JSON, manager: str) -> list[tuple[str, Path]]:
    """(other manager, path) for each field of `applied` that someone else owns with another value."""
    wanted = {path for path in paths_of(applied) if not path[-1].startswith(("k:", "v:"))}
    found: list[tuple[str, Path]] = []
    for entry in _entries(live):
        if _same(entry, manager, "Apply", entry.get("subresource", "")):
            continue
        shared = sorted(wanted & from_fields(entry.get("fieldsV1") or {}))
        found += [(entry["manager"], path) for path in shared if value_at(live, path) != value_at(applied, path)]
    return found


def apply(live: JSON | None, applied: JSON, manager: str, now: str, subresource: str = "") -> JSON:
    """The object after a server-side apply that has no conflicts, or is forced."""
    applied = copy.deepcopy(applied)
    applied.get("metadata", {}).pop("managedFields", None)
    wanted = paths_of(applied)
    if live is None:
        entry = {**_entry(applied, manager, "Apply", now, subresource), "fieldsV1": to_fields(wanted)}
        applied["metadata"]["managedFields"] = [entry]
        return applied
    result: JSON = _merged(live, applied, "")
    entries, others, before = [], set[Path](), set[Path]()
    for entry in _entries(live):
        owned = from_fields(entry.get("fieldsV1") or {})
        if _same(entry, manager, "Apply", subresource):
            before = owned
            continue
        lost = {path for path in wanted & owned if value_at(live, path) != value_at(applied, path)}
        others |= owned - lost
        entries.append({**entry, "fieldsV1": to_fields(owned - lost)})
    # whole items first: without its key field an item could no longer be found
    for path in sorted(before - wanted - others, key=len):
        _remove(result, path)
    entries.append({**_entry(applied, manager, "Apply", now, subresource), "fieldsV1": to_fields(wanted)})
    _write(result, entries)
    return result


def _merged(live: Any, applied: Any, field: str) -> Any:
    if isinstance(live, dict) and isinstance(applied, dict):
        result = copy.deepcopy(live)
        for name, value in applied.items():
            result[name] = _merged(live.get(name), value, name)
        return result
    if isinstance(live, list) and isinstance(applied, list):
        if field in MERGED_SETS:
            return [*live, *(item for item in applied if item not in live)]
        if key := merge_key(field, [*live, *applied]):
            return _merged_items(key, live, applied)
    return copy.deepcopy(applied)


def _merged_items(key: str, live: list[JSON], applied: list[JSON]) -> list[JSON]:
    by_name = {item[key]: item for item in applied}
    result = [_merged(item, by_name.pop(item[key], {}), "") for item in live]
    return [*result, *copy.deepcopy(list(by_name.values()))]
