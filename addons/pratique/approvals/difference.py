"""Before and after, as lines that a person reads.

Belongs here: an object as YAML-like lines, what of it is noise, the unified difference. Not here: masking (comes before).
Pure. Everything shown is escaped: nothing in it is invisible, and no value can look like another line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from pratique.approvals.effects import MAX_DIFF_LINES
from pratique.approvals.words import escaped_prose

CONTEXT_LINES = 2
MAX_COMPARED_LINES = 20_000  # of one side; difflib's time grows with the square where everything differs
MAX_VALUE_CHARACTERS = 1_000  # of one value; the rest is counted, so that a payload far to the right is not lost

# What the cluster writes for itself, and what is different in every answer.
_NOISE = ("managedFields", "resourceVersion", "generation", "selfLink")
# kubectl's own copy of what it sent: nothing reads it but kubectl, and it doubles every line.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_NEW_NOISE = (*_NOISE, "uid", "creationTimestamp")
_PLAIN = re.compile(r"[A-Za-z0-9_./@:+-][A-Za-z0-9_./@:+ -]*\Z")
_LOOKS_TYPED = re.compile(r"(?:true|false|null|~|[-+]?[0-9.]+(?:e[-+]?[0-9]+)?)\Z", re.IGNORECASE)


def without_noise(document: Any, *, is_new: bool = False, keep_status: bool = False) -> Any:
    """The object without what says nothing about the change. `is_new`: also what a dry run makes up."""
    if not isinstance(document, dict):
        return document
    metadata = document.get("metadata")
    rest = {key: value for key, value in document.items() if keep_status or key != "status"}
    if isinstance(metadata, dict):
        noise = _NEW_NOISE if is_new else _NOISE
        rest["metadata"] = {key: value for key, value in metadata.items() if key not in noise}
        annotations = metadata.get("annotations")
        if isinstance(annotations, dict) and _LAST_APPLIED in annotations:
            kept = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
            rest["metadata"] |= {"annotations": kept}
    return rest


def difference(before: Any, after: Any) -> tuple[tuple[str, ...], int]:
    """Unified lines ("+", "-", " ", "@" first), and how many were left out. None is no object."""
    old, new = (list(lines_of(each)) if each is not None else [] for each in (before, after))
    if max(len(old), len(new)) > MAX_COMPARED_LINES:
        return (f"@ too large to compare: {len(old)} lines before, {len(new)} after",), len(old) + len(new)
    lines = [
        "@" if line.startswith("@@") else line
        for line in difflib.unified_diff(old, new, lineterm="", n=CONTEXT_LINES)
        if not line.startswith(("---", "+++"))
    ]
    return tuple(lines[:MAX_DIFF_LINES]), max(0, len(lines) - MAX_DIFF_LINES)


def lines_of(value: Any, indent: str = "") -> Iterator[str]:
    """YAML-like, keys sorted. A list of objects begins each with "-"."""
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _entry(f"{indent}{_scalar(str(key))}:", value[key], indent + "  ")
    elif isinstance(value, list) and value:
        for element in value:
            yield from _element(element, indent)
    else:
        yield indent + _scalar(value)


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield head
        yield from lines_of(value, indent)
    else:
        yield f"{head} {_scalar(value)}"


def _element(element: Any, indent: str) -> Iterator[str]:
    if not isinstance(element, dict | list) or not element:
        yield f"{indent}- {_scalar(element)}"
        return
    first = True
    for line in lines_of(element, indent + "  "):
        yield f"{indent}- {line.removeprefix(indent + '  ')}" if first else line
        first = False


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    if not isinstance(value, str):
        return str(value)
    return _text(value)


def _text(value: str) -> str:
    rest = len(value) - MAX_VALUE_CHARACTERS
    if rest > 0:
        return f"{_text(value[:MAX_VALUE_CHARACTERS])} ({rest} more characters)"
    if _PLAIN.match(value) and not _LOOKS_TYPED.match(value) and not value.endswith((" ", ":")):
        return value
    return '"' + escaped_prose(value.replace("\\", "\\\\").replace('"', '\\"')) + '"'
