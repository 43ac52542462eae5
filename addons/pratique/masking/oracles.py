"""Requests that read masked values without being shown them: JSON Patch and field selectors.

Belongs here: which of them touch a masked field. Not here: masks in write bodies (`writeback.py`); guessing by PUT
or dry-run, which is a question of policy (leaks.md C8, C9).

`copy` and `move` carry a value to where no rule looks (leaks.md C5, C6), `test` answers whether a guess is right
(C7), a field selector over a custom resource as well (E).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from pratique.errors import Cause, MaskError, Refused
from pratique.kube.attributes import RequestAttributes
from pratique.kube.objects import type_of_request
from pratique.masking.jsonpath import Names, Wild
from pratique.masking.keys import PAIR_VALUES
from pratique.masking.known import KnownValues
from pratique.masking.masker import Masker
from pratique.masking.plan import Plan
from pratique.masking.rules import MaskRule, MaskSet

RULE = "mask-oracle"
MAX_TOKENS = 100  # steps of a pointer; bodies are not deeper (`kube.body.BODY_DEPTH`)
JSON_PATCH = "json-patch"  # `CanonicalRequest.patch_type`
_READS = {"copy": "from", "move": "from", "test": "path"}
_SAFE_FIELDS = frozenset({"metadata.name", "metadata.namespace"})


class Canonical(Protocol):
    """What is used of `pratique.kube.canonical.CanonicalRequest`."""

    @property
    def document(self) -> Any: ...
    @property
    def patch_type(self) -> str: ...
    @property
    def attributes(self) -> RequestAttributes: ...


def refuse_oracles(request: Canonical, mask_set: MaskSet, client: str = "") -> None:
    """Raises Refused: 422 Invalid for a JSON Patch, 403 Forbidden for a field selector, that reads a masked field."""
    refuse_field_selectors(request.attributes, mask_set, client)
    if request.patch_type != JSON_PATCH:
        return
    found = find_oracles(request.document, request.attributes, mask_set, client)
    if found:
        causes = tuple(
            Cause("FieldValueInvalid", f"{text}; it is masked for this client", field) for field, text in found
        )
        listed = "; ".join(f"{cause.field}: {cause.message}" for cause in causes)
        raise Refused(422, "Invalid", f"the patch is refused: {listed}. Use `add` or `replace` instead", RULE, causes)


def find_oracles(
    patch: Any, attributes: RequestAttributes, mask_set: MaskSet, client: str = ""
) -> list[tuple[str, str]]:
    """(field, what it does) of each operation that would read a masked field; a policy may queue the request instead."""
    plan = mask_set.plan(type_of_request(attributes), attributes.namespace, client)
    masker = Masker(mask_set, attributes, client, KnownValues())
    found = []
    for operation in patch if isinstance(patch, list) else []:
        if isinstance(operation, dict) and (text := _oracle(operation, plan, masker)):
            member = _READS[str(operation.get("op"))]
            found.append((str(operation.get(member, "")), text))
    return found


def _oracle(operation: dict[str, Any], plan: Plan, masker: Masker) -> str:
    op = str(operation.get("op"))
    if op not in _READS or plan.empty:
        return ""
    pointer, value = operation.get(_READS[op], ""), operation.get("value")
    tokens = tokens_of(pointer)
    # evanphx/json-patch ignores what is before the first slash; an empty name is the whole object to other readers.
    if tokens is None or "" in tokens:
        return f"`{op}` with a pointer that cannot be read"
    if op != "test":
        into = tokens_of(operation.get("path")) or []
        # No pattern looks at labels and names.
        hides = bool(plan.searches) and tokens[:1] != ["metadata"] and into[:1] == ["metadata"]
        reads = hides or reads_masked(tokens, plan, leaf=False)
        return f"`{op}` reads a masked value" if reads else ""
    if reads_masked(tokens, plan, leaf=not isinstance(value, dict | list)) or _would_mask(masker, tokens, value):
        return "`test` compares a masked value"
    return ""


def tokens_of(pointer: Any) -> list[str] | None:
    """The steps of a JSON pointer (RFC 6901), at most MAX_TOKENS; None for what is none."""
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        return None
    tokens = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
    return tokens if len(tokens) <= MAX_TOKENS else None


def placed(tokens: Sequence[str], value: Any) -> Any:
    """An object that holds nothing but `value` at its place."""
    document = value
    for step in reversed(tokens):
        document = [document] if is_index(step) else {step: document}
    return document


def is_index(step: str) -> bool:
    return step == "-" or step.isdecimal()


def _would_mask(masker: Masker, tokens: Sequence[str], value: Any) -> bool:
    """Whether the guess itself would be masked where it stands (an entry of an environment, a whole `spec`)."""
    try:
        return bool(masker.mask_body("application/json", msgspec.json.encode(placed(tokens, value))).hits)
    except (MaskError, ValueError, RecursionError):
        return True


def reads_masked(tokens: Sequence[str], plan: Plan, *, leaf: bool) -> bool:
    """Whether the field at `tokens`, or (unless it is a `leaf`) one below it, is masked. In doubt yes."""
    if any(_meets(path.path.steps, tokens, leaf=leaf) for path in plan.paths if path.rule.as_ != "drop" or tokens[1:]):
        return True
    return any(_searched(rule, tokens, leaf=leaf) for rule in plan.searches)


def _searched(rule: MaskRule, tokens: Sequence[str], *, leaf: bool) -> bool:
    """Rules that search: what they find is known by its name, its neighbour (env) or its text."""
    inside = not rule.paths or any(_meets((*path.steps, Wild.DEEP), tokens, leaf=leaf) for path in rule.paths)
    if not inside or not tokens or (tokens[0] == "metadata" and tokens[1:2] != ["annotations"] and not rule.paths):
        return not tokens
    if rule.keys and (any(map(rule.keys.matches, tokens)) or tokens[-1] in PAIR_VALUES):
        return True
    # Text of command lines and configuration may hold a secret that a pattern would find.
    return bool(rule.patterns) and bool({"args", "command", "data", "annotations"} & set(tokens))


def _meets(steps: Sequence[Names | Wild], tokens: Sequence[str], *, leaf: bool) -> bool:
    """Whether `tokens` is on the way to a match, at one, or below one. `leaf`: on the way does not count."""
    if not steps:
        return True
    if not tokens:
        return not leaf
    if steps[0] is Wild.DEEP:
        return len(steps) == 1 or any(_meets(steps[1:], tokens[start:], leaf=leaf) for start in range(len(tokens) + 1))
    if isinstance(steps[0], Wild) or tokens[0] in steps[0]:
        return _meets(steps[1:], tokens[1:], leaf=leaf)
    return False


def refuse_field_selectors(attributes: RequestAttributes, mask_set: MaskSet, client: str = "") -> None:
    """Raises Refused (403) if a field selector asks for a masked field: it answers whether a guess is right (leaks.md E)."""
    plan = mask_set.plan(type_of_request(attributes), attributes.namespace, client)
    for field in _selected(attributes.field_selector):
        tokens = [token for token in field.replace("[", ".").replace("]", "").split(".") if token]
        if field not in _SAFE_FIELDS and not plan.empty and reads_masked(tokens, plan, leaf=True):
            raise Refused(
                403, "Forbidden", f"field selector `{field}` asks for a masked value. Select by name or label.", RULE
            )


def _selected(selector: str) -> Iterable[str]:
    """Field names of `a=b,c!=d` (apimachinery 1.36 `fields.ParseSelector`)."""
    for term in selector.split(","):
        name = term.partition("=")[0].rstrip("!").strip()
        if name:
            yield name
