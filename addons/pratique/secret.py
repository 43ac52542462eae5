"""A string that must not be seen: tokens, keys, passwords.

Belongs here: the type and what it refuses. Not here: where secrets come from or go to. Relies on nothing.

`Secret` protects against the accident (a log line, an f-string, a recorded exception, a pickled flow), not against code
that means to read it: `reveal()` is the one way out, so that a search for it finds every place.
"""

from __future__ import annotations

import hmac
from typing import Never

HIDDEN = "Secret(hidden)"


class Secret:
    """Hides its value from `repr`, `str` and formatting; refuses truth, length, hashing, copying and pickling.

    `bool(secret)` raises TypeError because it is nearly always a mistake for `secret is not None`, and because an empty
    secret is not the same as none.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # a secret in a set or as a key outlives its use

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value. Call it only where it leaves for the one party that may have it."""
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __bool__(self) -> Never:
        raise TypeError("a secret has no truth value. Compare with `is None`")

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError(
            "a secret is neither pickled nor copied. Pass the object on, or call `reveal()` where it is used"
        )
