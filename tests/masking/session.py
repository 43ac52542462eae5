"""The default policy, and maskers for requests."""

from __future__ import annotations

import functools
import json
import pathlib
from typing import Any

from pratique.documents.document import parse
from pratique.kube.attributes import request_attributes
from pratique.masking.known import KnownValues
from pratique.masking.masker import Masked, Masker
from pratique.masking.rules import MaskSet, compile_masks

POLICY = pathlib.Path(__file__).parents[2] / "policies" / "masking.yaml"


@functools.cache
def default_masks() -> MaskSet:
    return compile_masks(parse(POLICY.read_text(), "masking.yaml"))


def masks(*rules: str, head: str = "") -> MaskSet:
    """A set from rules in YAML flow style."""
    text = "apiVersion: pratique/v1\nkind: MaskPolicy\nmetadata: {name: p}\nspec:\n" + head + "  rules:\n"
    return compile_masks(parse(text + "".join(f"    - {rule}\n" for rule in rules), "p.yaml"))


class Session:
    """One client's session: what one request masks, the next one knows."""

    def __init__(self, mask_set: MaskSet | None = None, client: str = "agent") -> None:
        self.mask_set = mask_set or default_masks()
        self.client = client
        self.known = KnownValues()

    def masker(self, target: str, method: str = "GET") -> Masker:
        return Masker(self.mask_set, request_attributes(method, target.encode()), self.client, self.known)

    def body(self, target: str, document: Any, method: str = "GET", content_type: str = "application/json") -> Masked:
        body = document if isinstance(document, bytes) else json.dumps(document, separators=(",", ":")).encode()
        return self.masker(target, method).mask_body(content_type, body)

    def json(self, target: str, document: Any, method: str = "GET") -> Any:
        return json.loads(self.body(target, document, method).body)
