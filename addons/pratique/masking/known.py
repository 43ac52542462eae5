"""Known values: the second net under the masks.

Belongs here: the set of values that were masked in one session, in every form in which they may show up in text, and
finding them. Not here: which values are masked (`rules.py`), lines and streams (`text.py`).

RE2 takes seconds to build one expression of all the forms. Of each form only _FRAGMENT bytes from its middle go into
the expression, which then is small and fast (more than 300 MB/s, without holding Python's lock); what is found is
compared with the forms. Any transformation (gzip, `rev`, splitting) defeats this net: it is never the first one.

One object per session, shared by its requests and threads: `add` may be called anywhere, the index is built when
text is searched.
"""

from __future__ import annotations

import binascii
import bisect
import contextlib
import json
import re
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from urllib.parse import quote

import re2

from pratique.masking.mask import carries
from pratique.masking.patterns import compile_hint, re2_options

MIN_LENGTH = 6  # bytes; shorter values are in every text (leaks.md, design rule 3)
MAX_VALUES = 512  # values of a session that are remembered, those that were seen last
MAX_VALUE = 16_384  # bytes; of a longer value only its lines are of use, and those of a certificate are not
MAX_LITERAL = 1024  # bytes of one line of a value: what streams may hold back at most
_FEW = 64  # values that are indexed in about a millisecond
_MAX_LINES = 64  # lines of one value
_FRAGMENT = 5
_JOINABLE = 4096  # bytes of forms (some ten values) that an expression of rules is joined with in about 15 ms
_JOINED = 8  # expressions; there is one for each type that is watched
_PAYS = 64  # searches of 64 KiB: what is saved by then is what joining costs
# Bytes of one expression. With 4 MiB, text in base64 made it start anew all the time (1 MB/s; with 16 MiB 70 MB/s).
_MEMORY = 16 << 20

# Values that are words of every cluster: masking them would hide nothing and break every message.
COMMON = frozenset(
    b"default kube-system kube-public kube-node-lease localhost 127.0.0.1 0.0.0.0 production staging development "
    b"enabled disabled username password kubernetes Opaque root admin postgres".split()
)
_WEAK = re.compile(rb"[a-z-]{1,12}\Z|[0-9.:]{1,15}\Z")
# What neither URL nor JSON escapes.
_UNRESERVED = re.compile(rb"[A-Za-z0-9_.~-]*\Z")


type Span = tuple[int, int]
type Fragments = dict[bytes, list[tuple[bytes, int, bool]]]
"""Fragment → (form, offset of the fragment in it, looks like an ordinary word)."""


class Index:
    """Every form that is known, ready to be searched for. Immutable, but for what `joined` makes once."""

    def __init__(self, fragments: Fragments) -> None:
        self._fragments = fragments
        self._joined: dict[str, re2._Regexp] = {}
        self._asked: Counter[str] = Counter()
        self._regex = _compiled(fragments) if fragments else None
        self._literals = sorted({literal for found in fragments.values() for literal, _, _ in found})
        self._longest = max(map(len, self._literals), default=0)
        self._size = sum(map(len, self._literals))

    @property
    def empty(self) -> bool:
        return not self._fragments

    def search(self, text: bytes) -> bool:
        """Whether any form is in `text`."""
        return next(self.each(text, 0, len(text)), None) is not None

    def each(self, text: bytes, start: int, stop: int, *, strong: bool = False) -> Iterator[Span]:
        """Where forms are in `text[start:stop]`, in the order of their middles, one at a time; they may overlap.

        `strong`: leave out those that look like ordinary words.
        """
        place = start
        while self._regex is not None and (match := self._regex.search(text, place, stop)) is not None:
            found = match.span()[0]
            for literal, offset, weak in self._fragments[text[found : found + _FRAGMENT]]:
                begin = found - offset
                if begin >= start and not (weak and strong) and text.startswith(literal, begin, stop):
                    yield begin, begin + len(literal)
            place = found + 1

    def joined(self, expression: str) -> re2._Regexp | None:
        """An expression for what `expression` finds and for every form: one search in place of two.

        Its finds may cover each other. None where making it (some milliseconds, a megabyte or two) does not pay: not
        asked for often enough, or too much is known, or for too many expressions.
        """
        if expression in self._joined:
            return self._joined[expression]
        if len(self._joined) == _JOINED or not 0 < self._size <= _JOINABLE:
            return None
        self._asked[expression] += 1
        if self._asked[expression] < _PAYS:
            return None
        # Whole forms: a fragment is in ordinary text sooner or later, which then would have to be looked at again.
        self._joined[expression] = made = compile_hint(f"{expression}|{_alternatives(self._literals)}")
        return made

    def spans(self, text: bytes, start: int = 0, *, strong: bool = False) -> list[Span]:
        """Where forms are, merged and in order."""
        return merge(list(self.each(text, start, len(text), strong=strong)))

    def hold(self, text: bytes, start: int) -> int:
        """Where a form that is not finished yet may begin; `len(text)` if nowhere."""
        for begin in range(max(start, len(text) - self._longest + 1), len(text)):
            tail = text[begin:]
            place = bisect.bisect_left(self._literals, tail)
            if place < len(self._literals) and self._literals[place].startswith(tail):
                return begin
        return len(text)


_NOTHING = Index({})


class KnownValues:
    """Values of one session. `never` are words that are no secret there (its namespaces and the like)."""

    def __init__(self, never: frozenset[str] = frozenset()) -> None:
        self._never = COMMON | {word.encode() for word in never} if never else COMMON
        self._building = threading.Lock()
        self._adding = threading.Lock()
        self._new: deque[tuple[Sequence[str], bool]] = deque()
        self._waiting = 0  # values in it
        self._values: dict[bytes, frozenset[bytes]] = {}
        """Each value and its forms, the one that was seen last at the end."""
        self._index = _NOTHING

    def __repr__(self) -> str:
        return f"<KnownValues of {len(self._values)}>"

    def add(self, value: str, *, encoded: bool = False) -> None:
        """Remembers a value; `encoded`: it is base64, and what it decodes to is remembered."""
        with self._adding:
            self._new.append(((value,), encoded))
            self._waiting += 1
            if self._waiting > MAX_VALUES:
                self._forget()

    def add_all(self, values: Sequence[str], *, encoded: bool) -> None:
        """The same for many, which are not changed afterwards."""
        with self._adding:
            self._new.append((values, encoded))
            self._waiting += len(values)
            self._forget()

    def _forget(self) -> None:
        """What is added and would not be remembered."""
        while self._waiting - len(self._new[0][0]) >= MAX_VALUES:
            self._waiting -= len(self._new.popleft()[0])

    @property
    def stale(self) -> bool:
        """`index` would take up to some ten milliseconds."""
        return bool(self._waiting) and self._waiting + len(self._values) > _FEW

    def index(self) -> Index:
        """All that is known now; values that are added later are not in it."""
        if self._waiting:
            with self._building:
                values = self._newest()
                if values.keys() != self._values.keys():
                    self._index = Index(_fragments(values))
                self._values = values
        return self._index

    def current(self) -> Index:
        """The same, but without waiting: where many values are known, those of the last `index`.

        For the event loop: streams search every chunk, and a watch may add values with every event.
        """
        return self._index if self.stale else self.index()

    def _newest(self) -> dict[bytes, frozenset[bytes]]:
        """As many as are remembered. What is too much is left out before its forms are made."""
        with self._adding:
            added, self._new, self._waiting = list(self._new), deque(), 0
        values: dict[bytes, frozenset[bytes]] = {}
        for line in chain(self._lines(added), reversed(self._values)):
            if line not in values:
                values[line] = self._values.get(line) or frozenset(forms(line))
                if len(values) == MAX_VALUES:
                    break
        return dict(reversed(values.items()))

    def _lines(self, added: list[tuple[Sequence[str], bool]]) -> Iterator[bytes]:
        """The lines of values, last one first."""
        for batch, encoded in reversed(added):
            for value in reversed(batch):
                if MIN_LENGTH <= len(value) <= MAX_VALUE:
                    for line in reversed(_lines(value, encoded=encoded)):
                        # A mask that somebody wrote is no value: every mask would be replaced by another from then on.
                        if line in self._values or (line not in self._never and not carries(line)):
                            yield line


def _fragments(values: dict[bytes, frozenset[bytes]]) -> Fragments:
    fragments: Fragments = {}
    seen: set[bytes] = set()
    for value, literals in values.items():
        weak = not is_strong(value)
        for literal in literals - seen:
            offset = (len(literal) - _FRAGMENT) // 2
            found = fragments.setdefault(literal[offset : offset + _FRAGMENT], [])
            found.append((literal, offset, weak and literal == value))
        seen |= literals
    return fragments


def is_strong(value: bytes) -> bool:
    """It does not look like an ordinary word."""
    return not _WEAK.match(value)


def _compiled(fragments: Iterable[bytes]) -> re2._Regexp:
    options = re2_options()
    options.never_nl = False
    options.max_mem = _MEMORY
    return re2.compile(_alternatives(fragments).encode(), options)


def _alternatives(texts: Iterable[bytes]) -> str:
    return "|".join("".join(f"\\x{byte:02x}" for byte in text) for text in sorted(texts))


def _lines(value: str, *, encoded: bool) -> list[bytes]:
    """The lines of a value that can be recognised in text: logs and messages come line by line."""
    raw = value.encode("utf-8", "surrogatepass")
    if encoded:
        with contextlib.suppress(binascii.Error):
            raw = binascii.a2b_base64(raw, strict_mode=True)
    lines = [line.strip() for line in raw.splitlines()[:_MAX_LINES]]
    return [line for line in lines if MIN_LENGTH <= len(line) <= MAX_LITERAL]


def forms(value: bytes) -> set[bytes]:
    """The value as it is, in base64 (three offsets, both alphabets), hex, URL- and JSON-escaped; none below MIN_LENGTH."""
    found = {value, binascii.b2a_base64(value, newline=False), value.hex().encode(), value.hex().upper().encode()}
    for offset, skip in ((0, 0), (1, 2), (2, 3)):
        encoded = binascii.b2a_base64(b"\0" * offset + value, newline=False)
        found.add(encoded[skip : (offset + len(value)) * 8 // 6])
    if not _UNRESERVED.match(value):
        text = value.decode("utf-8", "surrogateescape")
        quoted = quote(value, safe="")
        found |= {quoted.encode(), quote(value).encode(), quoted.replace("%20", "+").encode()}
        found |= {form.encode("utf-8", "surrogateescape") for form in json_escaped(text)}
    found |= {form.replace(b"+", b"-").replace(b"/", b"_") for form in found if b"+" in form or b"/" in form}
    return {form for form in found if len(form) >= MIN_LENGTH}


def json_escaped(text: str) -> set[str]:
    """As it stands between the quotes of a JSON string: as most write it, and as Go's encoding/json does."""
    plain = json.dumps(text, ensure_ascii=False)[1:-1]
    return {plain, plain.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")}


def merge(spans: list[Span]) -> list[Span]:
    """Sorted, overlapping ones joined."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
