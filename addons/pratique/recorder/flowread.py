"""Flow records read for their requests only, and fast: what `flowfile.decode` would say of the named members.

Belongs here: a reader for millions of records, which steps over what nobody asks for. Pure. Not here: the format itself, strict and
in full (`flowfile`); where a record begins and ends has been seen by `flowfile.scan` before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pratique.errors import FramingError

type Wanted = Mapping[bytes, Wanted | None]
"""Members of a dictionary; of one that is a dictionary itself, which of its members (None: the value)."""

_DIGITS = 12
"""Of a length; and the colon."""
_LIST, _DICT = b"]}"


def read_members(record: bytes, wanted: Wanted) -> dict[str, Any] | None:
    """Of a record that is a dictionary; None if it is none. FramingError, offset counted from the start of the record."""
    try:
        start, stop, tag = _span(record, 0)
        return _members(record, start, stop, wanted) if tag == _DICT else None
    except (ValueError, IndexError, RecursionError) as error:
        raise FramingError(f"a flow record is malformed ({type(error).__name__})", 0) from None


def _span(data: bytes, at: int) -> tuple[int, int, int]:
    """Payload and tag of the value at `at`. ValueError, IndexError."""
    colon = data.index(b":", at, at + _DIGITS)
    stop = colon + 1 + int(data[at:colon])
    if stop <= colon:
        raise ValueError("a negative length")
    return colon + 1, stop, data[stop]


def _members(data: bytes, at: int, end: int, wanted: Wanted) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while at < end:
        start, stop, _ = _span(data, at)
        name = data[start:stop]
        start, stop, tag = _span(data, stop + 1)
        if name in wanted:
            inner = wanted[name]
            value = (
                _value(data, start, stop, tag) if inner is None or tag != _DICT else _members(data, start, stop, inner)
            )
            found[name.decode()] = value
        at = stop + 1
    return found


def _value(data: bytes, start: int, stop: int, tag: int) -> Any:
    payload = data[start:stop] if tag not in {_LIST, _DICT} else b""
    match tag:
        case 44:  # ,
            return payload
        case 59:  # ;
            return payload.decode()
        case 35:  # #
            return int(payload)
        case 94:  # ^
            return float(payload)
        case 33:  # !
            return payload == b"true"
        case 126:  # ~
            return None
        case 93:  # ]
            return list(_items(data, start, stop))
        case 125:  # }
            items = list(_items(data, start, stop))
            return dict(zip(items[::2], items[1::2], strict=True))
    raise ValueError("an unknown type tag")


def _items(data: bytes, at: int, end: int) -> Iterator[Any]:
    while at < end:
        start, stop, tag = _span(data, at)
        yield _value(data, start, stop, tag)
        at = stop + 1


def names(*members: str) -> Wanted:
    """Members whose values are wanted whole."""
    return {name.encode(): None for name in members}
