"""What is put in place of a value, keeping its type.

Belongs here: strings, numbers, maps, lists, base64, dropping. Not here: which values (`plan.py`).

Clients decode what they get into typed structs: a string where a number is due, or text where base64 is due, fails
the whole list (measured: kubectl 1.32, Python client 37). So a mask never changes a type; what has no mask of its
type is taken out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from pratique.masking.known import KnownValues
from pratique.masking.mask import NUMBER, Mask

_CERTIFICATES = re.compile(
    r"\s*(?:-----BEGIN (?:TRUSTED )?CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END (?:TRUSTED )?CERTIFICATE-----\s*)+\Z"
)
_DROP = object()


class Replacer:
    """Replaces values of one body. `hit` is called once per replaced value."""

    def __init__(self, mask: Mask, known: KnownValues, hit: Callable[[str], None]) -> None:
        self.mask = mask
        self._known = known
        self._hit = hit
        self.seen: list[str] = []  # strings that were replaced, for the echo check of the same object

    def replace(
        self, parent: Any, key: Any, value: Any, rule: str, *, encoded: bool, keep_certificates: bool = False
    ) -> None:
        """Sets `parent[key]` to the mask of `value`, or deletes it. `encoded`: strings are base64."""
        if keep_certificates and isinstance(value, str) and is_certificate(value, encoded=encoded):
            return
        masked = self._masked(value, rule, encoded=encoded)
        if masked is _DROP:
            del parent[key]
        else:
            parent[key] = masked

    def drop(self, parent: Any, key: Any, rule: str) -> None:
        del parent[key]
        self._hit(rule)

    def flag(self, parent: Any, key: Any, value: str, rule: str) -> None:
        """`--password=…`: what follows the `=`."""
        name, _, rest = value.partition("=")
        if rest != self.mask.text:
            self._remember(rest, encoded=False)
            self._hit(rule)
            parent[key] = f"{name}={self.mask.text}"

    def _masked(self, value: Any, rule: str, *, encoded: bool) -> Any:
        if isinstance(value, str):
            return self._string(value, rule, encoded=encoded)
        if isinstance(value, bool):
            self._hit(rule)
            return _DROP
        if isinstance(value, int | float):
            if value != NUMBER:
                self._hit(rule)
            return NUMBER
        if isinstance(value, dict | list):
            self._below(value, rule, encoded=encoded)
        return value

    def _string(self, value: str, rule: str, *, encoded: bool) -> str:
        mask = self.mask.base64 if encoded else self.mask.text
        if not value:
            return value
        if value in {self.mask.text, self.mask.base64}:  # by another rule: only the form may change
            return mask
        self._remember(value, encoded=encoded)
        self._hit(rule)
        return mask

    def _remember(self, value: str, *, encoded: bool) -> None:
        self._known.add(value, encoded=encoded)
        self.seen.append(value)

    def _below(self, value: Any, rule: str, *, encoded: bool) -> None:
        """The shape stays, every leaf is masked. Iterative: documents may be deep."""
        stack = [value]
        while stack:
            node = stack.pop()
            entries = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
            for key, child in reversed(entries):
                if isinstance(child, dict | list):
                    stack.append(child)
                    continue
                masked = self._masked(child, rule, encoded=encoded)
                if masked is _DROP:
                    del node[key]
                else:
                    node[key] = masked


def is_certificate(value: str, *, encoded: bool) -> bool:
    """Nothing but PEM certificates: public by nature. A bundle with a private key is not."""
    if encoded:
        try:
            value = base64.b64decode(value, validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return False
    return bool(_CERTIFICATES.match(value))
