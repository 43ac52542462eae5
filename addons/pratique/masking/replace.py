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
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pratique.masking.known import MAX_VALUES, KnownValues
from pratique.masking.mask import NUMBER, Mask

_CERTIFICATES = re.compile(
    r"(?:-----BEGIN (?:TRUSTED )?CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END (?:TRUSTED )?CERTIFICATE-----\s*)+\Z"
)
# How they begin, and how their base64 does: told without decoding.
_BEGIN = "-----BEGIN "
_BEGIN_BASE64 = "LS0tLS1CRUdJTi"
_DROP = object()


class Replacer:
    """Replaces values of one body. `count` is called with the rule and how many values it replaced."""

    def __init__(self, mask: Mask, known: KnownValues, client: str, count: Callable[[str, int], None]) -> None:
        self.mask = mask
        self._known = known
        self._client = client
        self._count = count
        self._masks = {mask.text, mask.base64}
        self._never = {"", *self._masks}
        self._longest = max(map(len, self._never))
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

    def shortest(self, texts: Iterable[Iterable[str]], *, encoded: bool, keep_certificates: bool) -> int | None:
        """The least length of strings; None if one of them may be no value: empty, a mask, a certificate.

        One pass: there are a thousand in a megabyte, and to read one is to fetch it from memory.
        """
        begin = () if not keep_certificates else _BEGIN_BASE64 if encoded else _BEGIN
        never, longest, shortest = self._never, self._longest, sys.maxsize
        for some in texts:
            for text in some:
                length = len(text)
                if text.startswith(begin) or (length <= longest and text in never):
                    return None
                shortest = min(shortest, length)
        return shortest

    def mask_all(self, texts: Sequence[str], rule: str, *, encoded: bool, count: int | None = None) -> str:
        """The mask of strings of which none may stay. They are not `seen`.

        `count`: how many they are, where `texts` are only the last ones, MAX_VALUES or more.
        """
        if texts:
            self._known.add_all(texts if len(texts) <= MAX_VALUES else texts[-MAX_VALUES:], encoded=encoded)
            self._count(rule, len(texts) if count is None else count)
        return self.mask.base64 if encoded else self.mask.text

    def replace_values(self, values: dict[str, str], rule: str, *, encoded: bool, keep_certificates: bool) -> bool:
        """All values of a map of strings, as `replace` does it; whether there was one."""
        texts = list(values.values())
        taken = list(values)
        if self.shortest([texts], encoded=encoded, keep_certificates=keep_certificates) is None:
            taken = [key for key, text in values.items() if self._is_due(text, encoded, keep_certificates)]
            texts = [values[key] for key in taken]
        mask = self.mask_all(texts, rule, encoded=encoded)
        values |= dict.fromkeys(taken, mask)
        self.seen += texts
        return bool(texts)

    def replace_text(self, value: str, rule: str, *, encoded: bool, keep_certificates: bool) -> str | None:
        """The mask that takes the place of a string; None if it stays."""
        if not self._is_due(value, encoded, keep_certificates):
            return None
        self._remember(value, encoded=encoded)
        self._count(rule, 1)
        return self.mask.base64 if encoded else self.mask.text

    def _is_due(self, value: str, encoded: bool, keep_certificates: bool) -> bool:  # noqa: FBT001 - in a loop
        if len(value) <= self._longest and value in self._never:  # by another rule
            return False
        return not (keep_certificates and is_certificate(value, encoded=encoded))

    def client(self, parent: Any, key: Any, value: Any, rule: str) -> None:
        """The name of the client who asks, in place of the gateway's own."""
        if isinstance(value, str) and value != self._client:
            parent[key] = self._client
            self._count(rule, 1)

    def drop(self, parent: Any, key: Any, rule: str) -> None:
        del parent[key]
        self._count(rule, 1)

    def flag(self, parent: Any, key: Any, value: str, rule: str) -> None:
        """`--password=…`: what follows the `=`."""
        name, _, rest = value.partition("=")
        if rest != self.mask.text:
            self._remember(rest, encoded=False)
            self._count(rule, 1)
            parent[key] = f"{name}={self.mask.text}"

    def _masked(self, value: Any, rule: str, *, encoded: bool) -> Any:
        if isinstance(value, str):
            return self._string(value, rule, encoded=encoded)
        if isinstance(value, bool):
            self._count(rule, 1)
            return _DROP
        if isinstance(value, int | float):
            if value != NUMBER:
                self._count(rule, 1)
            return NUMBER
        if isinstance(value, dict | list):
            self._below(value, rule, encoded=encoded)
        return value

    def _string(self, value: str, rule: str, *, encoded: bool) -> str:
        if len(value) <= self._longest and value in self._never:  # by another rule, which knew which form is due
            return value
        self._remember(value, encoded=encoded)
        self._count(rule, 1)
        return self.mask.base64 if encoded else self.mask.text

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
    if not value.startswith(_BEGIN_BASE64 if encoded else _BEGIN):
        return False
    if encoded:
        try:
            value = base64.b64decode(value, validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return False
    return bool(_CERTIFICATES.match(value))
