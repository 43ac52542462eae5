"""A mask never becomes a value (leaks.md M): found in whatever wraps it, and what a PUT would delete unseen."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from pratique.errors import Refused
from pratique.kube.attributes import request_attributes
from pratique.kube.objects import ObjectType
from pratique.masking.mask import MARK, NUMBER, Mask
from pratique.masking.writeback import (
    MAX_FIELDS,
    RULE,
    TEXT,
    about_lost_values,
    find_masks,
    lost_values,
    refuse_masks,
    replaces_values,
)
from tests.masking.session import Session, default_masks, masks

MASK = Mask()
TAGGED = Mask("prod-1")
SECRET = "/api/v1/namespaces/t1/secrets/s1"


def b64(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def yaml_of(document: Any) -> str:
    return "".join(f"{key}: {value}\n" for key, value in document.items())


@pytest.mark.parametrize("mask", [MASK, TAGGED], ids=["plain", "tagged"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda mask: mask.text,
        lambda mask: mask.base64,
        lambda mask: f"before {mask.text} after",
        lambda mask: b64(f"user:{mask.text}@host"),
        lambda mask: b64(mask.base64),
        lambda mask: b64(f"x{mask.base64}"),
        lambda mask: b64(b64(mask.base64)),
        lambda mask: b64(f"yz{b64(f'x{mask.base64}')}"),
        lambda mask: b64(b64(f"xy{mask.text}")),
        lambda mask: b64(mask.text).replace("=", ""),
        lambda mask: base64.urlsafe_b64encode(f"??>{mask.text}".encode()).decode(),
        lambda mask: "\n".join(b64(f"a long text before {mask.text}")[i : i + 20] for i in range(0, 90, 20)),
        lambda mask: json.dumps({"data": {"password": mask.base64}}),
        lambda mask: json.dumps({"a": json.dumps({"data": {"password": mask.text}})}),
        lambda mask: json.dumps(mask.text).replace("m", "\\u006d"),
        lambda mask: yaml_of({"password": mask.base64}),
        lambda mask: mask.text.encode().hex(),
    ],
)
def test_a_mask_is_found_in_whatever_wraps_it(wrap: Any, mask: Mask) -> None:
    assert find_masks({"data": {"x": wrap(mask)}}) == ["data.x"]


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({"data": {"password": MASK.base64}}, ["data.password"]),
        ({"spec": {"containers": [{"args": ["a", f"--token={MASK.text}"]}]}}, ["spec.containers[0].args[1]"]),
        ({"data": {"tls.key": MASK.base64}}, ["data[tls.key]"]),
        ({"data": {MASK.text: "x"}}, [f"data[{MASK.text}]"]),
        ({"spec": {"pin": NUMBER}}, ["spec.pin"]),
        ([{"op": "replace", "path": "/data/x", "value": MASK.base64}], ["[0].value"]),
        ([{"op": "test", "path": "/data/x", "value": MASK.base64}], ["[0].value"]),
        (MASK.text, [""]),
        ({"metadata": {"annotations": {"a": json.dumps({"data": {"x": MASK.base64}})}}}, ["metadata.annotations.a"]),
        ({"a": MASK.text, "b": [MASK.text], "c": {"d": MASK.text}}, ["a", "b[0]", "c.d"]),
    ],
)
def test_fields_are_written_as_api_servers_write_them(document: Any, fields: list[str]) -> None:
    assert find_masks(document) == fields


@pytest.mark.parametrize(
    "document",
    [{}, None, [], "x", 1, True, {"data": {"password": "aHVudGVyMg=="}}, {"a": "masked-by"}, {"a": MARK[:-1]}, {"n": -NUMBER}, {"b": '{"a'},
     {"c": "{" * 3000}],
)  # fmt: skip
def test_honest_bodies_pass(document: Any) -> None:
    assert find_masks(document) == []
    refuse_masks(document, request_attributes("PUT", SECRET.encode()))


def test_what_the_gateway_shows_is_found_in_every_field_that_it_masked() -> None:
    """Whatever the form: text, base64, number, in a manifest inside an annotation."""
    session = Session()
    shown = session.json(SECRET, {"kind": "Secret", "data": {"a": b64("value-a"), "b": b64("value-b")}})
    assert find_masks(shown) == ["data.a", "data.b"]
    thing = {"spec": {"password": 123456, "apiKey": "k-value", "list": [{"token": 1.5}]}}
    shown = session.json("/apis/example.com/v1/namespaces/t1/things/x", thing)
    assert find_masks(shown) == ["spec.password", "spec.apiKey", "spec.list[0].token"]


def test_the_refusal_says_the_same_in_the_message_and_in_the_causes() -> None:
    document = {"data": {"password": MASK.base64, "token": MASK.base64}}
    with pytest.raises(Refused) as caught:
        refuse_masks(document, request_attributes("PUT", SECRET.encode()))
    refusal = caught.value
    assert (refusal.code, refusal.reason, refusal.rule) == (422, "Invalid", RULE)
    assert [(cause.field, cause.message) for cause in refusal.causes] == [("data.password", TEXT), ("data.token", TEXT)]
    assert "secrets `s1`" in refusal.message and refusal.message.count(TEXT) == 2
    assert "remove the field or send the real one" in TEXT


def test_a_body_full_of_masks_names_only_some_fields() -> None:
    assert len(find_masks({f"k{index}": MASK.text for index in range(1000)})) == MAX_FIELDS


def test_deep_bodies_do_not_end_the_stack() -> None:
    document: Any = {"x": MASK.text}
    for _ in range(20_000):
        document = [document]
    assert len(find_masks(document)) == 1


# --- M.4: masks that are dropped ---

LIVE = {"metadata": {"name": "s1"}, "data": {"password": b64("x"), "user": b64("y")}}


@pytest.mark.parametrize(
    ("document", "lost"),
    [
        ({}, ["password", "user"]),
        ({"data": None}, ["password", "user"]),
        ({"data": {}}, ["password", "user"]),
        ({"data": {"user": "eQ=="}}, ["password"]),
        ({"data": {"user": "eQ=="}, "stringData": {"password": "new"}}, []),
        ({"data": {"user": "", "password": "x", "more": "y"}}, []),
        ("no object", ["password", "user"]),
    ],
)
def test_m_4_values_that_a_put_leaves_out_are_lost(document: Any, lost: list[str]) -> None:
    assert lost_values(document, LIVE) == lost


@pytest.mark.parametrize("live", [None, {}, {"data": None}, {"data": "x"}, "x"])
def test_m_4_where_nothing_was_nothing_is_lost(live: Any) -> None:
    assert lost_values({}, live) == []


@pytest.mark.parametrize(
    ("method", "target", "dry_run", "asks"),
    [
        ("PUT", SECRET, False, True),
        ("PUT", SECRET, True, False),
        ("PATCH", SECRET, False, False),
        ("POST", "/api/v1/namespaces/t1/secrets", False, False),
        ("PUT", "/api/v1/namespaces/t1/configmaps/c", False, False),
        ("PUT", "/apis/example.com/v1/namespaces/t1/secrets/s", False, False),
    ],
)
def test_m_4_is_about_puts_of_masked_secrets(method: str, target: str, dry_run: bool, asks: bool) -> None:
    attributes = request_attributes(method, target.encode())
    plan = default_masks().plan(ObjectType(attributes.api_group, attributes.resource), "t1", "agent")
    assert replaces_values(attributes, plan, dry_run=dry_run) is asks


def test_m_4_a_client_that_sees_values_knows_what_it_deletes() -> None:
    plan = masks("{name: a, match: {resources: [pods]}, keyNames: [x]}").plan(ObjectType("", "secrets"), "t1", "agent")
    assert not replaces_values(request_attributes("PUT", SECRET.encode()), plan, dry_run=False)


def test_m_4_the_text_names_what_goes_and_what_to_do() -> None:
    text = about_lost_values([f"k{index:02}" for index in range(20)])
    assert "`k00`" in text and "and 4 more" in text and "patch it" in text and "approve" in text
