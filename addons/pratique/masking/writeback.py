"""A mask must not become the value: writes that carry one are refused.

Belongs here: finding masks in any write body, whatever wraps them, and the refusal. Not here: JSON Patch tricks that
read masked values (`oracles.py`).

The live value is never put back in place of a mask: that would let a client move a secret to another field, and the
API server's validation errors would quote it (leaks.md M.3, C13).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from pratique.errors import Cause, Refused
from pratique.kube.attributes import RequestAttributes
from pratique.masking.mask import NUMBER, carries
from pratique.masking.oracles import reads_masked
from pratique.masking.plan import Plan

RULE = "mask-write-back"
TEXT = "holds the gateway's mask, not a value; remove the field or send the real one"
MAX_FIELDS = 16  # named in one refusal; kubectl prints one line for each
_MAX_JSON_DEPTH = 4  # JSON in strings in JSON …
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_SPACE = re.compile(r"\s+")


def find_masks(document: Any) -> list[str]:
    """Fields of a decoded body (object, list, JSON Patch, anything) that hold a mask, in document order.

    Written as API servers do: `data.password`, `spec.containers[0].args[1]`. A key that is a mask counts as its own
    field. At most MAX_FIELDS.
    """
    found: list[str] = []
    for path in _masked(document):
        found.append(path)
        if len(found) == MAX_FIELDS:
            break
    return found


def _masked(document: Any) -> Iterator[str]:
    stack: list[tuple[str, Any]] = [("", document)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, dict):
            children = [(_joined(path, key), value) for key, value in node.items()]
            yield from (_joined(path, key) for key in node if _is_masked(key))
        elif isinstance(node, list):
            children = [(f"{path}[{index}]", value) for index, value in enumerate(node)]
        else:
            children = []
            if _is_masked(node):
                yield path
        stack += reversed(children)


def _joined(path: str, key: Any) -> str:
    if not _IDENTIFIER.match(str(key)):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)


def _is_masked(value: Any, depth: int = 0) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value == NUMBER
    if not isinstance(value, str):
        return False
    # Base64 may be wrapped in lines; JSON in a string may escape any character of the mask.
    if carries(_SPACE.sub("", value).encode("utf-8", "surrogatepass")):
        return True
    if value.lstrip()[:1] not in {"{", "[", '"'} or depth >= _MAX_JSON_DEPTH:
        return False
    try:
        inner = msgspec.json.decode(value.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return any(_is_masked(leaf, depth + 1) for leaf in _leaves(inner))


def _leaves(document: Any) -> Iterator[Any]:
    stack = [document]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            stack += node.keys()
            stack += node.values()
        elif isinstance(node, list):
            stack += node
        else:
            yield node


def refuse_masks(document: Any, attributes: RequestAttributes) -> None:
    """Raises Refused (422 Invalid, one cause for each field) if the body of a write carries a mask.

    kubectl prints the causes for most commands and the message for others, so both say the same (leaks.md M.2).
    """
    fields = find_masks(document)
    if not fields:
        return
    causes = tuple(Cause("FieldValueInvalid", TEXT, field) for field in fields)
    listed = "; ".join(f"{field or 'the body'}: {TEXT}" for field in fields)
    raise Refused(422, "Invalid", f"{_subject(attributes)} is invalid: {listed}", RULE, causes)


def _subject(attributes: RequestAttributes) -> str:
    return (
        f"{attributes.resource or 'the request'} `{attributes.name}`"
        if attributes.name
        else attributes.resource or "the request"
    )


def replaces_values(attributes: RequestAttributes, plan: Plan, *, dry_run: bool) -> bool:
    """Whether this is a PUT of an object whose values the client has only seen masked: what it leaves out is deleted.

    Of Secrets: they are nothing but values. A dry run deletes nothing.
    """
    secret = (attributes.api_group, attributes.resource, attributes.subresource) == ("", "secrets", "")
    return attributes.verb == "update" and secret and not dry_run and reads_masked(["data"], plan, leaf=False)


def lost_values(document: Any, live: Any) -> list[str]:
    """Names of values of the live Secret that a PUT of `document` would delete (leaks.md M.4), sorted."""
    kept: set[str] = set()
    for name in ("data", "stringData"):
        values = document.get(name) if isinstance(document, dict) else None
        kept |= values.keys() if isinstance(values, dict) else set()
    held = live.get("data") if isinstance(live, dict) else None
    return sorted(held.keys() - kept) if isinstance(held, dict) else []


def about_lost_values(names: list[str]) -> str:
    """For the reviewer and the client."""
    listed = ", ".join(f"`{name}`" for name in names[:MAX_FIELDS])
    more = f" and {len(names) - MAX_FIELDS} more" if len(names) > MAX_FIELDS else ""
    return (
        f"this update deletes {listed}{more} of the Secret: it does not name them, and they were only seen masked. "
        "To change one value, patch it; to delete these, a person must approve"
    )
