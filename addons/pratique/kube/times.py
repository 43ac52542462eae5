"""`metav1.Time` in a query: RFC 3339 as Go's `time.Parse` takes it, with Go's error texts.

Belongs here: which texts are a time (Go 1.26 `time/format.go` and `format_rfc3339.go`, which takes more than RFC 3339:
one digit for the hour, a comma before the fraction, offsets of 24 hours). Not here: what the time means; the server
compares it, the text is forwarded.
"""

from __future__ import annotations

import re
from calendar import monthrange

_LAYOUT = "2006-01-02T15:04:05Z07:00"
# (literal before it, its name in the layout, pattern, lowest, highest, what Go calls it when it is out of range)
_FIELDS = (
    ("", "2006", re.compile(rb"[0-9]{4}"), 0, 9999, "year"),
    ("-", "01", re.compile(rb"[0-9]{2}"), 1, 12, "month"),
    ("-", "02", re.compile(rb"[0-9]{2}"), 0, 99, "day"),
    ("T", "15", re.compile(rb"[0-9]{1,2}"), 0, 23, "hour"),
    (":", "04", re.compile(rb"[0-9]{2}"), 0, 59, "minute"),
    (":", "05", re.compile(rb"[0-9]{2}"), 0, 59, "second"),
)
_FRACTION = re.compile(rb"[.,][0-9]+")
_OFFSET = re.compile(rb"(.)([0-9]{2}):([0-9]{2})", re.DOTALL)


class TimeError(ValueError):
    """A text that `time.Parse(time.RFC3339, …)` refuses; the text is Go's."""


def check_time(text: str) -> None:
    """TimeError if the server cannot decode it."""
    value = rest = text.encode("utf-8", "surrogateescape")
    found: list[int] = []
    for literal, name, pattern, low, high, what in _FIELDS:
        if not rest.startswith(literal.encode()):
            raise _cannot(value, rest, literal)
        rest = rest[len(literal) :]
        match = pattern.match(rest)
        if match is None:
            raise _cannot(value, rest, name)
        found.append(int(match.group()))
        rest = rest[match.end() :]
        if not low <= found[-1] <= high:
            raise _out_of_range(value, what)
    fraction = _FRACTION.match(rest)
    rest = _after_zone(value, rest[fraction.end() :] if fraction else rest)
    if rest:
        raise TimeError(f"parsing time {_quote(value)}: extra text: {_quote(rest)}")
    year, month, day = found[:3]
    # Year 0 is a leap year for both; Python's calendar begins at 1.
    if not 1 <= day <= monthrange(year or 400, month)[1]:
        raise _out_of_range(value, "day")


def _after_zone(value: bytes, rest: bytes) -> bytes:
    if rest.startswith(b"Z"):
        return rest[1:]
    offset = _OFFSET.match(rest)
    if offset is None:
        raise _cannot(value, rest, "Z07:00")
    if int(offset.group(2)) > 24:
        raise _out_of_range(value, "time zone offset hour")
    if int(offset.group(3)) > 60:
        raise _out_of_range(value, "time zone offset minute")
    if offset.group(1) not in b"+-":
        raise _cannot(value, rest, "Z07:00")
    return rest[offset.end() :]


def _cannot(value: bytes, rest: bytes, name: str) -> TimeError:
    return TimeError(f'parsing time {_quote(value)} as "{_LAYOUT}": cannot parse {_quote(rest)} as "{name}"')


def _out_of_range(value: bytes, what: str) -> TimeError:
    return TimeError(f"parsing time {_quote(value)}: {what} out of range")


def _quote(value: bytes) -> str:
    """Go's `time.quote`, which is not `strconv.Quote`."""
    return '"' + "".join(_character(byte) for byte in value) + '"'


def _character(byte: int) -> str:
    if byte < 0x20 or byte >= 0x80:
        return f"\\x{byte:02x}"
    return "\\" + chr(byte) if byte in b'"\\' else chr(byte)
