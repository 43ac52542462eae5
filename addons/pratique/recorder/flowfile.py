"""Flow files without mitmproxy: find the records, decode one, encode one.

A flow file is a row of tnetstrings `<length>:<payload><tag>` (https://tnetstrings.info; the dialect of
mitmproxy/io/tnetstring.py 12.2.3, which adds `;` for UTF-8 text and `^` for floats). Pure: bytes in, bytes or values
out. Not here: what a flow means (`export`), where files are (`layout`).

"Need more" is a result (`Splitter.pending`, `scan` stops early), malformed bytes are a FramingError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pratique.errors import FramingError

MAX_RECORD_BYTES = 256 * 1024 * 1024
"""A longer record is malformed: bodies are cut long before, and 12 digits of length must not make a reader buffer."""

MAX_DEPTH = 32
"""Nesting of a record; mitmproxy's own reaches 6."""

_MAX_DIGITS = len(str(MAX_RECORD_BYTES))
_TAGS = frozenset(b",;#^!~]}")


def _header(data: memoryview, at: int, base: int) -> tuple[int, int] | None:
    """(payload start, payload length) of the string at `at`; None when more bytes are needed."""
    prefix = bytes(data[at : at + _MAX_DIGITS + 1])
    digits, colon, _ = prefix.partition(b":")
    if digits and not (digits.isdigit() and digits.isascii()):
        raise FramingError("a flow record does not begin with its length", base + at)
    if len(digits) > _MAX_DIGITS or (len(digits) > 1 and digits[:1] == b"0") or (colon and not digits):
        raise FramingError("a flow record has a malformed length", base + at)
    if not colon:
        return None
    if int(digits) > MAX_RECORD_BYTES:
        raise FramingError(f"a flow record is longer than {MAX_RECORD_BYTES} bytes", base + at)
    return at + len(digits) + 1, int(digits)


def scan(data: bytes | memoryview, base: int = 0) -> Iterator[tuple[int, int]]:
    """(offset, length) of every whole record in `data`, in order; an unfinished last one is left out.

    FramingError (offset counted from `base`) when the bytes at a boundary cannot begin a record.
    """
    view = memoryview(data)
    at = 0
    while at < len(view):
        head = _header(view, at, base)
        if head is None or head[0] + head[1] >= len(view):
            return
        end = head[0] + head[1]
        if view[end] not in _TAGS:
            raise FramingError("a flow record does not end with a type tag", base + end)
        yield at, end + 1 - at
        at = end + 1


class Splitter:
    """Cuts a stream of flow records at their boundaries, however the bytes arrive.

    Holds at most one unfinished record; raises FramingError on malformed bytes and stays failed.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._offset = 0
        self._need = 1

    @property
    def pending(self) -> int:
        """Bytes of an unfinished record; 0 at a boundary."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The records that `data` completes. Records before a malformed one are returned, the next call raises."""
        self._buffer += data
        if len(self._buffer) < self._need:
            return []
        snapshot = bytes(self._buffer)
        records: list[bytes] = []
        used = 0
        try:
            for offset, length in scan(snapshot, self._offset):
                records.append(snapshot[offset : offset + length])
                used = offset + length
            head = _header(memoryview(snapshot), used, self._offset)
            self._need = head[0] + head[1] + 1 - used if head else 1
        except FramingError:
            if not records:
                raise
        del self._buffer[:used]
        self._offset += used
        return records


def _number[T: (int, float)](kind: Callable[[bytes], T], payload: bytes, offset: int) -> T:
    try:
        return kind(payload)
    except ValueError:
        raise FramingError("a flow record holds a malformed number", offset) from None


def _text(payload: bytes, offset: int) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise FramingError("a flow record holds text that is not UTF-8", offset) from None


def _constant(payload: bytes, values: dict[bytes, Any], offset: int) -> Any:
    if payload not in values:
        raise FramingError("a flow record holds a malformed constant", offset)
    return values[payload]


def _items(data: memoryview, start: int, end: int, depth: int) -> list[Any]:
    items: list[Any] = []
    while start < end:
        value, start = _value(data[:end], start, depth + 1)
        items.append(value)
    return items


def _mapping(items: list[Any], offset: int) -> dict[Any, Any]:
    keys = items[::2]
    if len(items) % 2 or not all(isinstance(key, str | bytes) for key in keys) or len(set(keys)) != len(keys):
        raise FramingError("a flow record holds a malformed dictionary", offset)
    return dict(zip(keys, items[1::2], strict=True))


def _value(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    head = _header(data, at, 0)
    if head is None or head[0] + head[1] >= len(data):
        raise FramingError("a flow record is cut short", at)
    if depth > MAX_DEPTH:
        raise FramingError(f"a flow record is nested deeper than {MAX_DEPTH}", at)
    start, end = head[0], head[0] + head[1]
    tag = data[end : end + 1].tobytes()
    if tag in b"]}":
        items = _items(data, start, end, depth)
        return (items if tag == b"]" else _mapping(items, at)), end + 1
    return _scalar(tag, data[start:end].tobytes(), at), end + 1


def _scalar(tag: bytes, payload: bytes, at: int) -> Any:
    match tag:
        case b",":
            return payload
        case b";":
            return _text(payload, at)
        case b"#":
            return _number(int, payload, at)
        case b"^":
            return _number(float, payload, at)
        case b"!":
            return _constant(payload, {b"true": True, b"false": False}, at)
        case b"~":
            return _constant(payload, {b"": None}, at)
        case _:
            raise FramingError("a flow record has an unknown type tag", at)


def decode(record: bytes | memoryview) -> Any:
    """The value of exactly one record. FramingError when it is malformed, cut short or followed by anything."""
    view = memoryview(record)
    value, end = _value(view, 0, 0)
    if end != len(view):
        raise FramingError("bytes follow a flow record", end)
    return value


def _pack(payload: bytes, tag: bytes) -> bytes:
    return b"%d:%b%b" % (len(payload), payload, tag)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value that is encoded already, to stand in a larger one."""

    data: bytes


SLOT = object()


def encode(value: Any) -> bytes:
    """One record of None, bool, int, float, bytes, str, list, tuple, dict, Encoded. TypeError for anything else."""
    kind = type(value)
    if kind not in _ENCODERS:  # a subclass, such as a StrEnum
        kind = next((each for each in _ENCODERS if isinstance(value, each)), kind)
    encoder = _ENCODERS.get(kind)
    if encoder is None:
        raise TypeError(f"{type(value).__name__} cannot stand in a flow record")
    return encoder(value)


class Form:
    """A mapping of which most is always the same: names and what stands for itself are encoded once.

    `SLOT` stands for a value that `fill` is given, in this order.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fixed = [b""]
        for name, value in fields.items():
            self._fixed[-1] += encode(name) + (b"" if value is SLOT else encode(value))
            if value is SLOT:
                self._fixed.append(b"")

    def fill(self, *values: Any) -> Encoded:
        """ValueError where there are more or fewer values than slots."""
        parts = [self._fixed[0]]
        for value, fixed in zip(values, self._fixed[1:], strict=True):
            parts += _ENCODERS.get(type(value), encode)(value), fixed
        return Encoded(_pack(b"".join(parts), b"}"))


def encode_pairs(pairs: Sequence[tuple[bytes, bytes]]) -> Encoded:
    """As `encode`, for headers."""
    inside = [b"%d:%b,%d:%b," % (len(name), name, len(value), value) for name, value in pairs]
    return Encoded(_pack(b"".join([b"%d:%b]" % (len(pair), pair) for pair in inside]), b"]"))


def _encode_text(value: str) -> bytes:
    return _pack(value.encode(), b";")


def _encode_items(value: Sequence[Any]) -> bytes:
    parts = [_ENCODERS.get(type(item), encode)(item) for item in value]
    return _pack(b"".join(parts), b"]")


def _encode_mapping(value: Mapping[Any, Any]) -> bytes:
    parts = [_ENCODERS.get(type(part), encode)(part) for item in value.items() for part in item]
    return _pack(b"".join(parts), b"}")


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    str: _encode_text,
    bytes: lambda value: b"%d:%b," % (len(value), value),
    bool: lambda value: b"4:true!" if value else b"5:false!",
    int: lambda value: _pack(b"%d" % value, b"#"),
    float: lambda value: _pack(repr(value).encode(), b"^"),
    type(None): lambda _value: b"0:~",
    list: _encode_items,
    tuple: _encode_items,
    dict: _encode_mapping,
    Encoded: lambda value: value.data,
}
"""`bool` before `int`, whose subclass it is."""
