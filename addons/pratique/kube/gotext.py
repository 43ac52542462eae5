r"""Text as Go's error messages quote it, so that our reading of an error is the server's to the letter.

Belongs here: `strconv.Quote` (Go 1.26 `strconv/quote.go`). Bytes that are not UTF-8 come as lone surrogates
(`surrogateescape`) and are shown as `\xNN`, as Go shows them.
"""

from __future__ import annotations

_SHORT = dict(zip('"\\\a\b\f\n\r\t\v', ('\\"', "\\\\", "\\a", "\\b", "\\f", "\\n", "\\r", "\\t", "\\v"), strict=True))


def go_quote(value: str) -> str:
    """`strconv.Quote`."""
    return '"' + "".join(map(_character, value)) + '"'


def _character(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    point = ord(character)
    if "\udc80" <= character <= "\udcff":
        return f"\\x{point - 0xDC00:02x}"
    return f"\\x{point:02x}" if point < 0x80 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
