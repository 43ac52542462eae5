r"""Kubernetes' protobuf bodies to plain values: typed clients write them since client-go 0.32 (`kubectl create`, `auth can-i`).

Belongs here: the envelope, the wire, the JSON form of each built-in message. Not here: the table of fields (`fields`), what
a body must be on its URL (`body`). Nothing is ever written as protobuf: what was judged is sent as JSON.

Format: `k8s\0`, then runtime.Unknown {1: TypeMeta {1: apiVersion, 2: kind}, 2: raw, 3: contentEncoding, 4: contentType}
(apimachinery pkg/runtime/serializer/protobuf). Go's generated decoders merge a message that stands twice, take the last of
two scalars and drop what they do not know; all of that is refused, since no client writes it.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pratique.kube.fields import Field, message_of_kind, numbered

MEDIA = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
MAX_DEPTH = 100
"""Nested messages; as for JSON bodies (`body.BODY_DEPTH`)."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WORD = 1 << 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z, the last that RFC 3339 can write
_TIMES = {"meta.v1.Time": "seconds", "meta.v1.MicroTime": "microseconds"}
_RAW = frozenset({"meta.v1.FieldsV1", "runtime.RawExtension", "apiextensions.v1.JSON"})
_NUMBERS = frozenset({"bool", "int32", "int64"})


class ProtobufError(ValueError):
    """The body cannot be read; the message says why and quotes nothing of it."""


def decode(body: bytes, read_json: Callable[[bytes], Any]) -> dict[str, Any]:
    """The object of a body, as its JSON would be. `read_json` reads the raw extensions in it.

    Raises:
        ProtobufError: not this format, of a kind that is not built in, or readable in more than one way.
    """
    if not body.startswith(MAGIC):
        raise ProtobufError("it does not begin with `k8s` and a zero byte")
    try:
        return _Decoder(read_json).object(body[len(MAGIC) :])
    except (UnicodeDecodeError, struct.error):
        raise ProtobufError("a value is not UTF-8 or cut short") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise ProtobufError("it is cut short")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            break
        if shift >= 70:
            raise ProtobufError("a number has more than ten bytes")
    if value >= _WORD:
        raise ProtobufError("a number has more than 64 bits")
    return value, at


def wire(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """(field number, wire type, value): an int for varints, bytes for everything with a length."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if not tag >> 3:
            raise ProtobufError("a field has the number 0")
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, kind, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in {_FIXED64, _FIXED32}:
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ProtobufError("a field has a wire type that is not used")
        if at + size > len(data):
            raise ProtobufError("it is cut short")
        yield tag >> 3, kind, data[at : at + size]
        at += size


class _Decoder:
    def __init__(self, read_json: Callable[[bytes], Any]) -> None:
        self._read_json = read_json
        self._depth = 0

    def object(self, data: bytes) -> dict[str, Any]:
        envelope = _strings(data, 4)
        kinds = _strings(envelope.get(1, b""), 2)
        if envelope.get(3) or envelope.get(4):
            raise ProtobufError("the object in it has an encoding of its own")
        api_version, kind = kinds.get(1, b"").decode(), kinds.get(2, b"").decode()
        message = message_of_kind(api_version, kind)
        if not message:
            raise ProtobufError("its kind is not one of the built-in kinds")
        return {"apiVersion": api_version, "kind": kind, **self._message(message, envelope.get(2, b""))}

    def _message(self, name: str, data: bytes) -> dict[str, Any]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ProtobufError(f"it is nested deeper than {MAX_DEPTH} levels")
        fields, found, seen = numbered(name), dict[str, Any](), set[int]()
        for number, kind, raw in wire(data):
            field = fields.get(number)
            if field is None:
                raise ProtobufError(f"field {number} of {name} is not known")
            if not (field.repeated or field.is_map):
                if number in seen:
                    raise ProtobufError(f"`{field.name}` of {name} stands twice")
                seen.add(number)
            self._add(found, field, kind, raw)
        self._depth -= 1
        return found

    def _add(self, found: dict[str, Any], field: Field, kind: int, raw: int | bytes) -> None:
        if field.is_map:
            key, value = self._entry(field, _as_bytes(raw))
            entries = found.setdefault(field.name, {})
            if key in entries:
                raise ProtobufError(f"a key of `{field.name}` stands twice")
            entries[key] = value
            return
        value = self._value(field.type, kind, raw)
        if field.inline:
            found.update(value)
        elif field.repeated:
            found.setdefault(field.name, []).append(value)
        elif value is not None and (field.pointer or value not in ("", 0, False)):
            # Go writes fields that are no pointers also when they are zero; JSON leaves those out (`omitempty`).
            found[field.name] = value

    def _entry(self, field: Field, data: bytes) -> tuple[str, Any]:
        pair: dict[int, tuple[int, int | bytes]] = {}
        for number, kind, raw in wire(data):
            if number not in {1, 2} or number in pair:
                raise ProtobufError(f"an entry of `{field.name}` is no pair")
            pair[number] = (kind, raw)
        empty: tuple[int, int | bytes] = (_VARINT, 0) if field.type in _NUMBERS else (_BYTES, b"")
        key = _as_bytes(pair.get(1, (_BYTES, b""))[1]).decode()
        return key, self._value(field.type, *pair.get(2, empty))

    def _value(self, kind: str, wire_type: int, raw: int | bytes) -> Any:
        if kind in _NUMBERS:
            return _number(kind, wire_type, raw)
        if kind == "double":
            return _double(wire_type, raw)
        if wire_type != _BYTES:
            raise ProtobufError(f"a {kind} has another wire type")
        data = _as_bytes(raw)
        if kind == "string":
            return data.decode()
        if kind == "bytes":
            return base64.b64encode(data).decode()
        return self._special(kind, data)

    def _special(self, kind: str, data: bytes) -> Any:
        """Messages whose JSON form is not an object of their fields."""
        found = self._message(kind, data)
        if kind in _TIMES:
            return _time(found.get("seconds", 0), found.get("nanos", 0), _TIMES[kind])
        if kind == "resource.Quantity":
            return found.get("string", "0")
        if kind == "intstr.IntOrString":
            return _int_or_string(found)
        if kind in _RAW:
            raw = found.get("Raw") or found.get("raw") or ""
            return self._read_json(base64.b64decode(raw)) if raw else None
        if kind.endswith(".ExtraValue"):
            return found.get("items", [])
        if kind == "apiextensions.v1.JSONSchemaPropsOrBool":
            return found.get("schema", found.get("allows", False))
        if kind in {"apiextensions.v1.JSONSchemaPropsOrArray", "apiextensions.v1.JSONSchemaPropsOrStringArray"}:
            return found.get("schema") or found.get("jSONSchemas") or found.get("property")
        return found


def _strings(data: bytes, last: int) -> dict[int, bytes]:
    """Fields 1 to `last`, all of them strings or messages, each at most once."""
    found: dict[int, bytes] = {}
    for number, _kind, raw in wire(data):
        if number > last or number in found or isinstance(raw, int):
            raise ProtobufError("its envelope is malformed")
        found[number] = raw
    return found


def _as_bytes(raw: int | bytes) -> bytes:
    if isinstance(raw, int):
        raise ProtobufError("a field has another wire type")
    return raw


def _number(kind: str, wire_type: int, raw: int | bytes) -> int | bool:
    if wire_type != _VARINT or not isinstance(raw, int):
        raise ProtobufError("a number has another wire type")
    value = raw - _WORD if raw >> 63 else raw
    if kind == "bool" and value in {0, 1}:
        return bool(value)
    if kind == "bool" or (kind == "int32" and not -(1 << 31) <= value < 1 << 31):
        raise ProtobufError(f"a number is no {kind}")
    return value


def _double(wire_type: int, raw: int | bytes) -> float:
    if wire_type != _FIXED64 or isinstance(raw, int):
        raise ProtobufError("a number has another wire type")
    value: float = struct.unpack("<d", raw)[0]
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 - NaN
        raise ProtobufError("a number is not finite")
    return value


def _int_or_string(found: dict[str, Any]) -> int | str:
    kind = found.get("type", 0)
    if kind not in {0, 1}:
        raise ProtobufError("an IntOrString is neither")
    value: int | str = found.get("strVal", "") if kind else found.get("intVal", 0)
    return value


def _time(seconds: int, nanos: int, precision: str) -> str | None:
    """RFC 3339 as metav1.Time and MicroTime write it; None for the zero time, which Go writes as an empty message."""
    if not seconds and not nanos:
        return None
    if not 0 <= seconds <= _LAST_SECOND or not 0 <= nanos < 1_000_000_000:
        raise ProtobufError("a time is out of range")
    at = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    return at.isoformat(timespec=precision).replace("+00:00", "Z")
