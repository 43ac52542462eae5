"""One walk over a decoded object for all rules that look at any depth.

Belongs here: finding sensitive keys, pairs and flags, collecting strings for the patterns. Not here: JSONPaths
(`jsonpath.py`), what is put in place (`replace.py`).

The walk is iterative (documents may be deep) and merged: however many rules look at any depth, the object is walked
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from pratique.masking.keys import PAIR_NAMES, PAIR_VALUES, KeyNames

# Of `metadata`, only annotations are looked at: everything else names the object, and a client that cannot name it
# cannot work.
_METADATA_WALKED = ("annotations",)
_NEVER_PATTERNS = frozenset({"apiVersion", "kind", "caBundle", "managedFields", "uid", "resourceVersion"})


class Slot(NamedTuple):
    """`parent[key]` is a string."""

    parent: Any
    key: Any
    text: str


type OnKey = Callable[[Any, Any, Any, int, bool], None]


def walk(roots: Iterable[Any], keys: Sequence[KeyNames], found: OnKey, *, collect: bool) -> list[Slot]:
    """Calls `found(parent, key, value, rule index, is a flag)` for each string or number under a sensitive name.

    Returns the other strings if `collect`. A flag is `--name=value`, of which only what follows the `=` is meant.
    """
    slots: list[Slot] = []
    _descend(list(roots), keys, found, slots if collect else None)
    return slots


def walk_object(
    document: Any, keys: Sequence[KeyNames], found: OnKey, *, collect: bool, labels: bool = False
) -> list[Slot]:
    """The same for an API object: all of it but the metadata that names it. `labels`: those as well."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict):
        return walk([document], keys, found, collect=collect)
    slots: list[Slot] = []
    stack = [metadata[name] for name in _METADATA_WALKED if name in metadata]
    if labels and "labels" in metadata:
        stack.append(metadata["labels"])
    _map(document, keys, found, stack, slots if collect else None, leave="metadata")
    _descend(stack, keys, found, slots if collect else None)
    return slots


def _descend(stack: list[Any], keys: Sequence[KeyNames], found: OnKey, slots: list[Slot] | None) -> None:
    while stack:
        node = stack.pop()
        if type(node) is dict:
            _map(node, keys, found, stack, slots)
        elif type(node) is list:
            _list(node, keys, found, stack, slots)


def _map(  # noqa: PLR0917 - the inner loop
    node: dict[str, Any],
    keys: Sequence[KeyNames],
    found: OnKey,
    stack: list[Any],
    slots: list[Slot] | None,
    leave: str | None = None,
) -> None:
    for key, value in list(node.items()):
        kind = type(value)
        if key == leave:
            continue
        rule = _rule(keys, key)
        if kind is dict:
            if rule >= 0:
                _described(value, rule, found)
            stack.append(value)
        elif kind is list:
            if rule >= 0 and value and type(value[0]) in _SCALARS:
                _items(value, rule, found)
            stack.append(value)
        elif rule >= 0 and kind in _SCALARS:
            found(node, key, value, rule, False)
        elif slots is not None and kind is str and key not in _NEVER_PATTERNS:
            slots.append(Slot(node, key, value))
    if keys and ("value" in node or "defaultValue" in node):
        _pair(node, keys, found)


_SCALARS = frozenset({str, int, float})


def _rule(keys: Sequence[KeyNames], name: str) -> int:
    for index, names in enumerate(keys):
        if names.matches(name):
            return index
    return -1


def _described(value: dict[str, Any], rule: int, found: OnKey) -> None:
    """{"password": {"type": "…", "value": "…"}}; what comes behind a map or list is not looked at (`KeyNames.hint`)."""
    for key, child in list(value.items()):
        if type(child) in {dict, list}:
            return
        if key in PAIR_VALUES and type(child) in _SCALARS:
            found(value, key, child, rule, False)


def _items(values: list[Any], rule: int, found: OnKey) -> None:
    for index, value in enumerate(values):
        if type(value) in _SCALARS:
            found(values, index, value, rule, False)


def _pair(node: dict[str, Any], keys: Sequence[KeyNames], found: OnKey) -> None:
    """{"name": "DB_PASSWORD", "value": "…"}; a list of values is a Tekton parameter."""
    names = [node[name] for name in PAIR_NAMES if isinstance(node.get(name), str)]
    rule = max((_rule(keys, name) for name in names), default=-1)
    if rule < 0:
        return
    for key in PAIR_VALUES:
        value = node.get(key)
        if type(value) in _SCALARS:
            found(node, key, value, rule, False)
        elif type(value) is list:
            _items(value, rule, found)


def _list(node: list[Any], keys: Sequence[KeyNames], found: OnKey, stack: list[Any], slots: list[Slot] | None) -> None:
    previous = -1  # the rule of a flag whose value is the next item
    for index, value in enumerate(node):
        kind = type(value)
        if kind is dict or kind is list:
            stack.append(value)
        elif kind is str:
            if previous >= 0 and not value.startswith("-"):
                found(node, index, value, previous, False)
                previous = -1
                continue
            name, equals, rest = value.partition("=")
            previous = _rule(keys, name.lstrip("-")) if name.startswith("-") else -1
            if previous >= 0 and equals:
                if rest:
                    found(node, index, value, previous, True)
                previous = -1
            elif slots is not None:
                slots.append(Slot(node, index, value))
            continue
        previous = -1
