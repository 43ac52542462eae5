"""The mask: the one constant that stands where a sensitive value was.

Belongs here: its text, its base64 and number forms, how it is recognised in text. Not here: where it goes
(`rules.py`), how a write that carries it is refused (`writeback.py`).

INVARIANT: derived from nothing (no hash, length or prefix of the value), else equality and size oracles remain.
Every form holds `MARK` (or is `NUMBER`), whatever the tag, so that a mask made by another deployment is recognised
as well.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field

from pratique.masking.patterns import compile_re2

MARK = "**masked-by-pratique"
# An int32 (typed clients decode it) that no field holds by accident: a mask of 0 could be written back unseen.
NUMBER = -1_934_062_117
_TAG = re.compile(r"[a-z0-9-]{0,32}\Z")


@dataclass(frozen=True, slots=True)
class Mask:
    """`tag` names the deployment (at most 32 of a-z, 0-9 and `-`). ValueError for any other."""

    tag: str = ""
    text: str = field(init=False)
    base64: str = field(init=False)

    def __post_init__(self) -> None:
        if not _TAG.match(self.tag):
            raise ValueError(f"mask tag `{self.tag}` is not of a-z, 0-9 and `-` (at most 32). Choose another.")
        text = f"{MARK}:{self.tag}**" if self.tag else f"{MARK}**"
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "base64", base64.b64encode(text.encode()).decode())


def _wrapped(values: set[bytes]) -> set[bytes]:
    """Base64 of each value at three offsets in a longer text, without the characters that its neighbours decide."""
    found: set[bytes] = set()
    for value in values:
        for offset, skip in ((0, 0), (1, 2), (2, 3)):
            encoded = base64.b64encode(b"\0" * offset + value)[skip : (offset + len(value)) * 8 // 6]
            found |= {encoded, encoded.replace(b"+", b"-").replace(b"/", b"_")}
    return found


_PLAIN = {MARK.encode()}
# The mask, its base64 (what Secrets show), and twice the base64 of that: copied Secrets, Secrets in Secrets, manifests.
_ONCE = _wrapped(_PLAIN)
_TWICE = _wrapped(_ONCE)
_FORMS = sorted(_PLAIN | _ONCE | _TWICE | _wrapped(_TWICE) | {MARK.encode().hex().encode()}, reverse=True)
_search = compile_re2("|".join(re.escape(form.decode()) for form in _FORMS)).search


def carries(text: bytes) -> bool:
    """Whether a mask of any deployment is in `text`: plain, in base64 up to three times, or hex."""
    return _search(text) is not None
