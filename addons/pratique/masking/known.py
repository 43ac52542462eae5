"""Known values: the second net under the masks.

Belongs here: the set of values that were masked in one session, in every form in which they may show up in text, and
finding them. Not here: which values are masked (`rules.py`), lines and streams (`text.py`).

Finding is exact and needs no automaton (RE2 takes seconds to build one of 5,000 literals, and thrashes): every
occurrence of a literal of 15 bytes or more covers an aligned 8-byte word, of 6 bytes or more an aligned 4-byte word
in one of two phases. The text is read as words at C speed and compared with a set; only hits are looked at. Any
transformation (gzip, `rev`, splitting) defeats this net: it is never the first one.

One object per session, shared by its requests and threads: `add` may be called anywhere, the index is built when
text is searched.
"""

from __future__ import annotations

import base64
import binascii
import bisect
import contextlib
import re
import sys
import threading
from collections import deque
from collections.abc import Iterable
from itertools import repeat
from typing import Literal
from urllib.parse import quote

MIN_LENGTH = 6  # bytes; shorter values are in every text (leaks.md, design rule 3)
MAX_VALUES = 1024  # values of a session that are remembered; the oldest half is forgotten first
MAX_VALUE = 16_384  # bytes; of a longer value only its lines are of use, and those of a certificate are not
MAX_LITERAL = 1024  # bytes of one line of a value: what streams may hold back at most
_LONG = 15  # bytes: an occurrence covers an aligned 8-byte word
_MAX_LINES = 64  # lines of one value

# Values that are words of every cluster: masking them would hide nothing and break every message.
COMMON = frozenset(
    b"default kube-system kube-public kube-node-lease localhost 127.0.0.1 0.0.0.0 production staging development "
    b"enabled disabled username password kubernetes Opaque root admin postgres".split()
)
_WEAK = re.compile(rb"[a-z-]{1,12}\Z|[0-9.:]{1,15}\Z")

_Words = dict[int, list[tuple[bytes, int, bool]]]
"""First word of a form → (form, offset of the word in it, looks like an ordinary word)."""


class KnownValues:
    """Values of one session. `never` are words that are no secret there (its namespaces and the like)."""

    def __init__(self, never: frozenset[str] = frozenset()) -> None:
        self._never = COMMON | {word.encode() for word in never}
        self._lock = threading.Lock()
        self._new: deque[tuple[str, bool]] = deque(maxlen=MAX_VALUES)
        self._values: dict[bytes, None] = {}
        self._clear()

    def _clear(self) -> None:
        self._words4: _Words = {}
        self._words8: _Words = {}
        self._literals: set[bytes] = set()
        self._sorted: list[bytes] | None = None
        self._longest = 0

    def __repr__(self) -> str:
        return f"<KnownValues of {len(self._values)}>"

    def add(self, value: str, *, encoded: bool = False) -> None:
        """Remembers a value; `encoded`: it is base64, and what it decodes to is remembered."""
        self._new.append((value, encoded))

    def add_all(self, values: Iterable[str], *, encoded: bool) -> None:
        """The same for many."""
        self._new.extend(zip(values, repeat(encoded)))

    @property
    def empty(self) -> bool:
        return not self._new and not self._literals

    def search(self, text: bytes | memoryview) -> bool:
        """Whether any form of any value may be in `text` (never a false no)."""
        self._index()
        if not self._literals:
            return False
        view = memoryview(text)
        return (
            not _disjoint(self._words8, view, 0, "Q")
            or not _disjoint(self._words4, view, 0, "I")
            or not _disjoint(self._words4, view, 2, "I")
        )

    def spans(self, text: bytes, start: int = 0, *, strong: bool = False) -> list[tuple[int, int]]:
        """Where forms of values are, merged and in order. `strong`: leave out those that look like ordinary words."""
        if not self.search(text):
            return []
        found = []
        view = memoryview(text)
        passes: tuple[tuple[_Words, int, Literal["Q", "I"]], ...] = (
            (self._words8, 0, "Q"),
            (self._words4, 0, "I"),
            (self._words4, 2, "I"),
        )
        for words, phase, code in passes:
            size = 8 if code == "Q" else 4
            for index, word in enumerate(_words(view, phase, code)):
                for literal, offset, weak in words.get(word, ()):
                    begin = phase + index * size - offset
                    if begin >= start and not (weak and strong) and text.startswith(literal, begin):
                        found.append((begin, begin + len(literal)))
        return merge(found)

    def hold(self, text: bytes, start: int) -> int:
        """Where a value that is not finished yet may begin; `len(text)` if nowhere."""
        self._index()
        if not self._literals:
            return len(text)
        if self._sorted is None:
            self._sorted = sorted(self._literals)
        for begin in range(max(start, len(text) - self._longest + 1), len(text)):
            tail = text[begin:]
            place = bisect.bisect_left(self._sorted, tail)
            if place < len(self._sorted) and self._sorted[place].startswith(tail):
                return begin
        return len(text)

    def _index(self) -> None:
        if not self._new:
            return
        with self._lock:
            while self._new:
                value, encoded = self._new.popleft()
                if not MIN_LENGTH <= len(value) <= MAX_VALUE:
                    continue
                for line in _lines(value, encoded=encoded):
                    self._remember(line)

    def _remember(self, value: bytes) -> None:
        if value in self._values or value in self._never:
            return
        if len(self._values) >= MAX_VALUES:
            kept = list(self._values)[MAX_VALUES // 2 :]
            self._values = {}
            self._clear()
            for old in kept:
                self._remember(old)
        self._values[value] = None
        weak = bool(_WEAK.match(value))
        for literal in forms(value):
            self._add_literal(literal, weak=weak and literal == value)

    def _add_literal(self, literal: bytes, *, weak: bool) -> None:
        if literal in self._literals:
            return
        words, size, offsets = (self._words8, 8, 8) if len(literal) >= _LONG else (self._words4, 4, 2)
        for offset in range(offsets):
            word = int.from_bytes(literal[offset : offset + size], sys.byteorder)
            words.setdefault(word, []).append((literal, offset, weak))
        self._literals.add(literal)
        self._longest = max(self._longest, len(literal))
        self._sorted = None


def _words(view: memoryview, phase: int, code: Literal["Q", "I"]) -> memoryview[int] | tuple[int, ...]:
    size = 8 if code == "Q" else 4
    end = phase + max(len(view) - phase, 0) // size * size
    return view[phase:end].cast("B").cast(code) if end > phase else ()


def _disjoint(words: _Words, view: memoryview, phase: int, code: Literal["Q", "I"]) -> bool:
    return not words or words.keys().isdisjoint(_words(view, phase, code))


def _lines(value: str, *, encoded: bool) -> list[bytes]:
    """The lines of a value that can be recognised in text: logs and messages come line by line."""
    raw = value.encode()
    if encoded:
        with contextlib.suppress(binascii.Error):
            raw = base64.b64decode(raw, validate=True)
    lines = [line.strip() for line in raw.splitlines()[:_MAX_LINES]]
    return [line for line in lines if MIN_LENGTH <= len(line) <= MAX_LITERAL]


def forms(value: bytes) -> set[bytes]:
    """The value as it is, in base64 (three offsets, both alphabets), hex, URL- and JSON-escaped; none below MIN_LENGTH."""
    text = value.decode("utf-8", "surrogateescape")
    found = {value, base64.b64encode(value), value.hex().encode(), value.hex().upper().encode()}
    found |= {quote(value, safe="").encode(), quote(value).encode(), quote(value, safe="").replace("%20", "+").encode()}
    found |= {_json_escaped(text, html=False), _json_escaped(text, html=True)}
    for offset, skip in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(b"\0" * offset + value)
        end = (offset + len(value)) * 8 // 6
        found.add(encoded[skip:end])
    found |= {form.replace(b"+", b"-").replace(b"/", b"_") for form in found if b"+" in form or b"/" in form}
    return {form for form in found if len(form) >= MIN_LENGTH}


def _json_escaped(text: str, *, html: bool) -> bytes:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t").replace("\r", "\\r")
    if html:  # encoding/json of Go
        escaped = escaped.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return escaped.encode("utf-8", "surrogateescape")


def merge(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted, overlapping ones joined."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
