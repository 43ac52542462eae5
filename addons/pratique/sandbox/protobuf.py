"""Kubernetes' protobuf bodies to JSON: client-go's typed clients send them since 1.32 (`kubectl auth can-i`, `create`).

Pure. Reads only: answers are JSON, which every client that sends protobuf accepts. Format: `k8s\\0`, then
runtime.Unknown {1: TypeMeta {1: apiVersion, 2: kind}, 2: raw} (apimachinery pkg/runtime/serializer/protobuf).
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pratique.sandbox import schema, status
from pratique.sandbox.schema import Field

JSON = dict[str, Any]

MEDIA = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TIMES = {"meta.v1.Time": "seconds", "meta.v1.MicroTime": "microseconds"}


def decode(body: bytes) -> JSON:
    """The object of a protobuf body; StatusError 400 when it is none, or of a kind that is not built in."""
    try:
        return _decode(body)
    except (IndexError, ValueError, struct.error, UnicodeDecodeError) as error:
        raise status.bad_request(f"couldn't decode the protobuf body: {error}") from error


def _decode(body: bytes) -> JSON:
    if not body.startswith(MAGIC):
        raise ValueError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    envelope = {number: value for number, value in _wire(body[4:]) if isinstance(value, bytes)}
    kinds = {number: value.decode() for number, value in _wire(envelope.get(1, b"")) if isinstance(value, bytes)}
    api_version, kind = kinds.get(1, ""), kinds.get(2, "")
    message = schema.message_of_kind(api_version, kind)
    if not message:
        raise ValueError(f'no kind "{kind}" is registered for version "{api_version}"')
    return {"apiVersion": api_version, "kind": kind, **_message(message, envelope.get(2, b""))}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("varint too long")


def _wire(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) pairs: an int for numbers, bytes for everything with a length."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in {_FIXED64, _FIXED32}:
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(data):
            raise ValueError("unexpected EOF")
        yield tag >> 3, data[at : at + size]
        at += size


def _message(name: str, data: bytes) -> JSON:
    fields = {field.number: field for field in schema.messages().get(name, ())}
    found: JSON = {}
    for number, raw in _wire(data):
        field = fields.get(number)
        if field is None:
            continue
        if field.is_map:
            key, value = _entry(field, raw)
            found.setdefault(field.name, {})[key] = value
        elif field.inline:
            found |= _value(field.type, raw)
        elif field.repeated:
            found.setdefault(field.name, []).append(_value(field.type, raw))
        else:
            _set(found, field, _value(field.type, raw))
    return found


def _set(found: JSON, field: Field, value: Any) -> None:
    """Zero values of fields that are no pointers are what JSON leaves out (`omitempty`)."""
    if value is not None and (field.pointer or value not in ("", 0, False)):
        found[field.name] = value


def _entry(field: Field, raw: int | bytes) -> tuple[str, Any]:
    pair = dict(_wire(_as_bytes(raw)))
    return _as_bytes(pair.get(1, b"")).decode(), _value(field.type, pair.get(2, b""))


def _as_bytes(raw: int | bytes) -> bytes:
    if isinstance(raw, int):
        raise ValueError("wrong wire type")  # noqa: TRY004 - bytes of the client, not our types
    return raw


def _value(kind: str, raw: int | bytes) -> Any:
    if kind == "bool":
        return bool(raw)
    if kind in {"int32", "int64"}:
        number = int(raw) if isinstance(raw, int) else 0
        return number - (1 << 64) if number >> 63 else number
    data = _as_bytes(raw)
    if kind == "double":
        return struct.unpack("<d", data)[0]
    if kind == "string":
        return data.decode()
    if kind == "bytes":
        return base64.b64encode(data).decode()
    return _special(kind, data)


def _special(kind: str, data: bytes) -> Any:
    """Messages whose JSON form is not an object of their fields."""
    if kind in _TIMES:
        parts = {number: value for number, value in _wire(data) if isinstance(value, int)}
        return _time(parts.get(1, 0), parts.get(2, 0), _TIMES[kind])
    found = _message(kind, data)
    if kind == "resource.Quantity":
        return found.get("string", "0")
    if kind == "intstr.IntOrString":
        return found.get("strVal", "") if found.get("type") else found.get("intVal", 0)
    if kind in {"meta.v1.FieldsV1", "runtime.RawExtension", "apiextensions.v1.JSON"}:
        raw = found.get("Raw") or found.get("raw") or ""
        return json.loads(base64.b64decode(raw)) if raw else None
    if kind.endswith(".ExtraValue"):
        return found.get("items", [])
    if kind == "apiextensions.v1.JSONSchemaPropsOrBool":
        return found.get("schema", found.get("allows", False))
    if kind in {"apiextensions.v1.JSONSchemaPropsOrArray", "apiextensions.v1.JSONSchemaPropsOrStringArray"}:
        return found.get("schema") or found.get("jSONSchemas") or found.get("property")
    return found


def _time(seconds: int, nanos: int, precision: str) -> str | None:
    if seconds == 0 or seconds >> 63:
        return None
    at = datetime.fromtimestamp(seconds + nanos / 1e9, UTC)
    return at.isoformat(timespec=precision).replace("+00:00", "Z")
