"""Items of DynamoDB as plain dictionaries, and expressions with their names and values.

Belongs here: str, int, float and bytes as DynamoDB's typed values; None is an attribute that is not there. Not here: calls
(`table`). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

type Item = dict[str, Any]


def to_wire(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _wire(value) for name, value in item.items() if value is not None}


def from_wire(item: Mapping[str, Any]) -> Item:
    return {name: _plain(value) for name, value in item.items()}


def _wire(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bytes):
        return {"B": value}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"N": repr(value)}  # 17 digits at most, and DynamoDB keeps 38
    raise TypeError(f"no attribute for {type(value).__name__}")


def _plain(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "N":
        return int(content) if content.lstrip("-").isdigit() else float(content)
    if kind in {"S", "B"}:
        return content
    raise ValueError(f"an attribute of type {kind} was not written by us")


def expression(**values: Any) -> dict[str, Any]:
    """`ExpressionAttributeValues`: `:name` → value."""
    return {"ExpressionAttributeValues": to_wire({f":{name}": value for name, value in values.items()})}


def names(*attributes: str) -> dict[str, Any]:
    """`ExpressionAttributeNames`: `#name` → name. Most names are reserved words of DynamoDB."""
    return {"ExpressionAttributeNames": {f"#{name}": name for name in attributes}}
