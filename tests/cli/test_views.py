"""Recorded bodies as text for people: nothing is hidden, masks and failures stand out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pratique.cli.views import MASKED, frame_text, is_masked, object_text, watch_text
from pratique.masking.mask import NUMBER, Mask

MASK = Mask()


def test_every_form_of_a_mask_is_recognised_with_any_tag() -> None:
    for mask in (MASK, Mask("prod-eu-1")):
        assert is_masked(mask.text)
        assert is_masked(mask.base64)
        assert is_masked(f"url: {mask.text}@host")
    assert is_masked(NUMBER)
    assert not any(map(is_masked, ["", "value", 0, 1, True, None, "**"]))


def test_an_object_is_yaml_with_its_masks_marked() -> None:
    value = {
        "kind": "Secret",
        "metadata": {"name": "db", "labels": {}},
        "data": {"p": MASK.base64},
        "list": [{"a": 1}, "x", []],
    }
    assert object_text(json.dumps(value).encode()).splitlines() == [
        "kind: Secret", "metadata:", "  name: db", "  labels: {}", "data:", f'  p: "{MASK.base64}"{MASKED}', "list:",
        "- a: 1", "- x", "- []",
    ]  # fmt: skip


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4))
@settings(deadline=None)
def test_the_yaml_says_what_the_json_said(value: dict[str, object]) -> None:
    shown = object_text(json.dumps({"a": value}).encode())
    assert YAML(typ="safe", pure=True).load(shown) == {"a": value}


def test_a_status_begins_with_its_outcome() -> None:
    status = {"kind": "Status", "status": "Failure", "code": 422, "reason": "Invalid", "message": "two\nlines",
              "details": {"causes": [{"field": "data.p", "message": "a mask", "reason": "FieldValueInvalid"}]}}  # fmt: skip
    assert object_text(json.dumps(status).encode()).splitlines()[:3] == [
        "# ✖ Failure 422 Invalid", "# two lines", "#   data.p: a mask (FieldValueInvalid)",
    ]  # fmt: skip
    assert object_text(b'{"kind":"Status","status":"Success"}').startswith("# ✔ Success\n")


def test_a_table_is_aligned() -> None:
    table = {"kind": "Table", "columnDefinitions": [{"name": "Name"}, {"name": "Data"}],
             "rows": [{"cells": ["a-long-name", 1]}, {"cells": ["b", MASK.text]}]}  # fmt: skip
    assert object_text(json.dumps(table).encode()).splitlines() == [
        "# Table: 2 rows", "NAME          DATA", "a-long-name   1", f"b             {MASK.text}{MASKED}",
    ]  # fmt: skip


def test_a_list_says_how_many() -> None:
    assert object_text(b'{"kind":"PodList","items":[{},{}]}').startswith("# PodList: 2 items\n")


def test_watch_events_are_a_list() -> None:
    events = [
        {"type": "ADDED", "object": {"kind": "Pod", "metadata": {"namespace": "shop", "name": "web", "resourceVersion": "7"}, "status": {"phase": "Running"}}},
        {"type": "MODIFIED", "object": {"kind": "Secret", "metadata": {"name": "s"}, "data": {"a": MASK.base64}, "l": [MASK.text]}},
        {"type": "ADDED", "object": {"kind": "Event", "metadata": {}, "reason": "Failed", "message": "pull\nfailed"}},
        {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "9"}}},
        {"type": "ERROR", "object": {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}},
    ]  # fmt: skip
    assert watch_text(b"".join(json.dumps(each).encode() + b"\n" for each in events)).splitlines() == [
        "# 5 watch events",
        "1  ADDED     Pod  shop/web  Running  rv=7",
        f"2  MODIFIED  Secret  s  rv={MASKED}: data.a, l[0]",
        "3  ADDED     Event  Failed: pull failed  rv=",
        "4  BOOKMARK  Pod  rv=9",
        "5  ERROR     ✖ Failure 410 Expired too old",
    ]


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (b"\x01one\r\ntwo\n", "stdout │ one\nstdout │ two"),
        (b"\x02\x1b[31moops\x1b[0m", "stderr │ oops"),
        (b"\x00secret", "stdin  │ secret"),
        (b'\x03{"status":"Success"}', "status │ ✔ exit 0"),
        (b'\x03{"status":"Failure","message":"no","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}', "status │ ✖ exit 7: no"),
        (b'\x03{"status":"Failure","reason":"Forbidden","message":"no"}', "status │ ✖ Forbidden: no"),
        (b"\x03plain", "status │ plain"),
        (b'\x04{"Width":80}', 'resize │ {"Width":80}'),
        (b"\xff\x00", "close  │ stdin"),
        (b"\x01", "stdout │ "),
        (b"\x01\xff", "stdout │ \ufffd"),
    ],
)  # fmt: skip
def test_a_frame_is_its_channels_name_and_text(frame: bytes, text: str) -> None:
    assert frame_text(frame) == text


@pytest.mark.parametrize(
    ("view", "data"),
    [
        (object_text, b""), (object_text, b"[]"), (object_text, b"{"), (object_text, b"\xff"), (watch_text, b""),
        (watch_text, b'{"kind":"Pod"}\n'), (watch_text, b"[]\n"), (frame_text, b""), (frame_text, b"\x07x"),
    ],
)  # fmt: skip
def test_what_is_something_else_is_a_value_error(view, data: bytes) -> None:
    with pytest.raises(ValueError):
        view(data)
