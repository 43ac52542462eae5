"""Protobuf bodies of typed clients become the JSON that the API server would make of them, or are refused."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import Refused
from pratique.kube import protobuf
from pratique.kube.body import read_json
from pratique.kube.fields import messages
from pratique.kube.protobuf import ProtobufError


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    data = b""
    while value > 0x7F:
        data += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return data + bytes((value,))


def _field(number: int, value: bytes | float) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _body(api_version: str, kind: str, raw: bytes) -> bytes:
    kinds = _field(1, api_version.encode()) + _field(2, kind.encode())
    return protobuf.MAGIC + _field(1, kinds) + _field(2, raw)


def _decode(body: bytes) -> dict[str, Any]:
    return protobuf.decode(body, read_json)


def _meta(**more: bytes | int) -> bytes:
    return _field(1, b"n") + b"".join(_field(int(number[1:]), value) for number, value in more.items())


def test_a_config_map_with_labels_times_and_bytes():
    label = _field(1, b"app") + _field(2, b"web")
    metadata = _meta(_7=3, _8=_field(1, 1_780_000_000) + _field(2, 0), _9=_field(1, 0), _11=label)
    raw = (
        _field(1, metadata)
        + _field(2, _field(1, b"k") + _field(2, b"v"))
        + _field(3, _field(1, b"b") + _field(2, b"\xff"))
    )
    found = _decode(_body("v1", "ConfigMap", raw))
    assert found == {
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"}, "binaryData": {"b": base64.b64encode(b"\xff").decode()},
        "metadata": {"name": "n", "generation": 3, "creationTimestamp": "2026-05-28T20:26:40Z", "labels": {"app": "web"}},
    }  # fmt: skip


def test_inlined_structs_int_or_string_quantities_and_pointers():
    port = _field(2, _field(1, 1) + _field(2, 0) + _field(3, b"http"))
    probe = _field(1, _field(2, port)) + _field(2, 5)
    memory = _field(1, b"memory") + _field(2, _field(1, b"1Gi"))
    container = _field(1, b"c") + _field(8, _field(1, memory)) + _field(10, probe)
    spec = _field(2, container) + _field(3, b"") + _field(4, 0) + _field(11, 0) + _field(25, -5)
    pod = _decode(_body("v1", "Pod", _field(2, spec)))["spec"]
    assert pod["containers"] == [{"name": "c", "resources": {"limits": {"memory": "1Gi"}},
                                  "livenessProbe": {"httpGet": {"port": "http"}, "initialDelaySeconds": 5}}]  # fmt: skip
    assert pod["terminationGracePeriodSeconds"] == 0
    assert pod["priority"] == -5
    assert "restartPolicy" not in pod
    assert "hostNetwork" not in pod


def test_reviews_extra_values_and_raw_json():
    extra = _field(1, b"scopes") + _field(2, _field(1, b"a") + _field(1, b"b"))
    raw = _field(2, _field(5, extra) + _field(3, b"u"))
    found = _decode(_body("authorization.k8s.io/v1", "SubjectAccessReview", raw))
    assert found["spec"] == {"extra": {"scopes": ["a", "b"]}, "user": "u"}
    revision = _field(2, _field(1, b'{"a":1}')) + _field(3, 4)
    found = _decode(_body("apps/v1", "ControllerRevision", revision))
    assert (found["data"], found["revision"]) == ({"a": 1}, 4)
    assert "data" not in _decode(_body("apps/v1", "ControllerRevision", _field(2, b"")))
    lease = _field(2, _field(3, _field(1, 1_780_000_000) + _field(2, 500_000)))
    assert _decode(_body("coordination.k8s.io/v1", "Lease", lease))["spec"]["acquireTime"].endswith("40.000500Z")


def test_schemas_of_definitions():
    either = _field(24, _field(1, _field(5, b"string"))) + _field(30, _field(1, 1)) + _field(9, 2.5)
    number = _field(1, b"v1") + _field(4, _field(1, either))
    raw = _field(2, _field(1, b"g") + _field(7, number))
    found = _decode(_body("apiextensions.k8s.io/v1", "CustomResourceDefinition", raw))
    inner = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert inner == {"items": {"type": "string"}, "additionalProperties": True, "maximum": 2.5}


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"k8s\x00", _body("v1", "Nope", b""), _body("v1", "ConfigMap", b"\x0a\x05a"), _body("v1", "ConfigMap", b"\x0b"),
     _body("v1", "ConfigMap", b"\xff" * 12), _body("v1", "ConfigMap", _field(2, 5)), _body("v1", "ConfigMap", _field(1, _field(1, b"\xff")))],
)  # fmt: skip
def test_a_body_that_is_none_is_refused(body):
    with pytest.raises(ProtobufError):
        _decode(body)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["ConfigMap", "Pod", "Secret"]), st.binary(max_size=60))
def test_any_bytes_are_an_object_or_our_own_error(kind, raw):
    try:
        found = _decode(_body("v1", kind, raw))
    except ProtobufError:
        pass
    else:
        json.dumps(found)


@pytest.mark.parametrize(
    ("why", "raw"),
    [
        ("an unknown field, which the server drops", _field(2, b"") + _field(99, b"x")),
        ("metadata twice, which the server merges", _field(1, _field(1, b"a")) + _field(1, _field(3, b"ns"))),
        ("a name twice, of which the server takes the last", _field(1, _field(1, b"a") + _field(1, b"b"))),
        (
            "a map key twice",
            _field(2, _field(1, b"k") + _field(2, b"1")) + _field(2, _field(1, b"k") + _field(2, b"2")),
        ),
        ("a map entry with a third field", _field(2, _field(1, b"k") + _field(2, b"1") + _field(3, b"x"))),
        ("a bool that is neither", _field(4, 2)),
        ("a bool as bytes", _field(4, b"\x01")),
        ("field number 0", b"\x02\x00"),
    ],
)
def test_bypass_3_04_what_two_parsers_read_differently_is_refused(why, raw):
    with pytest.raises(ProtobufError):
        _decode(_body("v1", "ConfigMap", raw))


def test_an_envelope_with_an_encoding_of_its_own_is_refused():
    body = _body("v1", "ConfigMap", b"") + _field(3, b"gzip")
    with pytest.raises(ProtobufError, match="encoding"):
        _decode(body)


def test_raw_json_with_duplicate_keys_is_refused():
    with pytest.raises(Refused):
        _decode(_body("apps/v1", "ControllerRevision", _field(2, _field(1, b'{"a":1,"a":2}'))))


def test_a_deep_schema_is_refused_before_python_gives_up():
    inner = b""
    for _ in range(200):
        inner = _field(28, inner)  # JSONSchemaProps.not
    raw = _field(2, _field(7, _field(4, _field(1, inner))))
    with pytest.raises(ProtobufError, match="deeper"):
        _decode(_body("apiextensions.k8s.io/v1", "CustomResourceDefinition", raw))


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ProtobufError, match="int32"):
        _decode(_body("apps/v1", "Deployment", _field(2, _field(1, 1 << 40))))
    with pytest.raises(ProtobufError, match="out of range"):
        _decode(_body("v1", "ConfigMap", _field(1, _field(8, _field(1, 1 << 60)))))


def test_every_type_of_the_table_is_in_the_table():
    scalars = {"bool", "bytes", "double", "int32", "int64", "string"}
    assert {field.type for rows in messages().values() for field in rows} - scalars <= set(messages())
