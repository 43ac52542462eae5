"""JSON patches (RFC 6902) as they may be stored and shown: a list of operations, each with a value for some place.

Belongs here: which operations carry a value that would be masked where it goes. Not here: objects (`body.py`), refusing
operations that read a value (`oracles.py`, whose notion of "masked" is used). A patch is no object, so that no path of a
rule would ever match in it as it stands.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pratique.kube.attributes import RequestAttributes
from pratique.kube.objects import type_of_request
from pratique.masking.known import KnownValues
from pratique.masking.masker import Masker
from pratique.masking.oracles import is_index, placed, reads_masked, tokens_of
from pratique.masking.rules import MaskSet


def mask_operations(operations: Any, attributes: RequestAttributes, mask_set: MaskSet, client: str) -> Any:
    """`operations` with the mask for every value that is masked, or holds something masked, where it goes.

    In doubt the mask: what cannot be read as a list of operations is masked as a whole. Raises MaskError.
    """
    if not mask_set.applies_to(client):
        return operations
    if not isinstance(operations, list):
        return mask_set.mask.text
    plan = mask_set.plan(type_of_request(attributes), attributes.namespace, client)
    masker = Masker(mask_set, attributes, client, KnownValues())

    def masked(operation: Any) -> Any:
        if not isinstance(operation, dict):
            return mask_set.mask.text
        if "value" not in operation:
            return operation
        value, tokens = operation["value"], tokens_of(operation.get("path"))
        if tokens is None or reads_masked(tokens, plan, leaf=not isinstance(value, dict | list)):
            return {**operation, "value": mask_set.mask.text}
        return {**operation, "value": _in_place(masker, tokens, value, mask_set.mask.text)}

    return [masked(operation) for operation in operations]


def _in_place(masker: Masker, tokens: list[str], value: Any, mask: str) -> Any:
    """Masked as a part of the object: rules that search (key names, patterns) look into it."""
    document = msgspec.json.encode(placed(tokens, value))
    masked = msgspec.json.decode(masker.mask_body("application/json", document).body)
    try:
        for step in tokens:
            masked = masked[0] if is_index(step) else masked[step]
    except (KeyError, IndexError, TypeError):  # a rule dropped the place itself
        return mask
    return masked
