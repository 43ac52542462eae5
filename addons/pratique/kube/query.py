"""The query of a URL, as Go's net/url reads and writes it.

Belongs here: `ParseQuery`, `QueryUnescape`, `QueryEscape` on bytes. Not here: what a parameter means (`options`),
which are refused (`canonical`). Source: Go 1.25 net/url/url.go. Python's `parse_qsl` differs: it keeps pairs with `;`
and bad escapes.

Text is `str` with `surrogateescape` for bytes that are not UTF-8, so that nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# What Go's QueryEscape leaves as it is (shouldEscape, encodeQueryComponent).
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*\Z")


class EscapeError(ValueError):
    """Go's `url.EscapeError`; the text is Go's."""


class Query(NamedTuple):
    """An ordered multimap. `errors`: Go's texts for the pairs that it dropped, in order."""

    pairs: tuple[tuple[str, str], ...] = ()
    errors: tuple[str, ...] = ()

    def values_of(self, name: str) -> list[str]:
        return [value for key, value in self.pairs if key == name]

    def first(self, name: str) -> str | None:
        """Go's `Values.Get`, but None for absent: the server tells absent from empty."""
        for key, value in self.pairs:
            if key == name:
                return value
        return None

    def grouped(self) -> dict[str, list[str]]:
        """Go's `url.Values`: name → values in order."""
        values: dict[str, list[str]] = {}
        for key, value in self.pairs:
            values.setdefault(key, []).append(value)
        return values


EMPTY = Query()


def unescape(raw: bytes, *, plus: bool = False) -> bytes:
    """Go's `unescape`: every `%XX` once. `plus`: also `+` as space (a query component). EscapeError on a bad escape."""
    if plus and b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" not in raw:
        return raw
    bad = _BAD_ESCAPE.search(raw)
    if bad is not None:
        sequence = raw[bad.start() : bad.start() + 3].decode("latin-1")
        raise EscapeError(f'invalid URL escape "{sequence}"')
    return unquote_to_bytes(raw)


def text(raw: bytes) -> str:
    """UTF-8 text; other bytes become lone surrogates (`surrogateescape`)."""
    return raw.decode("utf-8", "surrogateescape")


def parse(raw: bytes) -> Query:
    """Go's `url.ParseQuery`. Linear in the length."""
    if not raw:
        return EMPTY
    pairs: list[tuple[str, str]] = []
    errors: list[str] = []
    for part in raw.split(b"&"):
        if b";" in part:
            errors.append("invalid semicolon separator in query")
        elif part:
            key, _, value = part.partition(b"=")
            try:
                pairs.append((text(unescape(key, plus=True)), text(unescape(value, plus=True))))
            except EscapeError as error:
                errors.append(str(error))
    return Query(tuple(pairs), tuple(errors))


def escape(value: str) -> str:
    """Go's `QueryEscape`."""
    if _PLAIN.match(value):
        return value
    return quote_from_bytes(value.encode("utf-8", "surrogateescape"), " ").replace(" ", "+")


def encode(pairs: Iterable[tuple[str, str]]) -> bytes:
    """The pairs in the order given (Go's `Values.Encode` sorts by name: so does `canonical`)."""
    return "&".join([f"{escape(key)}={escape(value)}" for key, value in pairs]).encode("ascii")
