"""MaskPolicy documents: what is refused, where, and with which remedy; which rules match; what `as` does."""

from __future__ import annotations

import base64
import gc
import weakref
from typing import Any

import pytest

from pratique.documents.document import parse
from pratique.errors import DocumentErrors
from pratique.kube.objects import ObjectType
from pratique.masking.mask import NUMBER, Mask
from pratique.masking.rules import MaskSet, compile_masks
from tests.masking.session import Session, masks

HEAD = "apiVersion: pratique/v1\nkind: MaskPolicy\nmetadata:\n  name: p\nspec:\n  rules:\n"
MASK = Mask()


@pytest.mark.parametrize(
    ("rule", "position", "text"),
    [
        ("- name: a\n      jsonPaths: ['$.a[']", "8:19", "`$.a[` is not a JSONPath"),
        ("- name: a\n      jsonPaths: [$.a, $.b.`len`]", "8:24", "is not supported in a mask"),
        ("- name: a\n      jsonPaths: ['$.l[?(@.a =~ \"(?=x)\")]']", "8:19", "is not an RE2 regular expression"),
        ("- name: a\n      keyNames: [password]\n      as: drop", "9:7", "`as: drop` does not go with keyNames"),
        ("- name: a\n      as: json\n      patterns: [general]", "8:7", "`as: json` does not go with"),
        ("- name: a", "7:7", "says neither where nor what"),
        ("- name: a/b\n      keyNames: [x]", "7:7", "is empty or has a `/`"),
        ("- name: a\n      patterns: [nope]", "8:18", "pattern `nope` is not known. Use `general`, a built-in name"),
        ("- name: a\n      patterns: [{name: own, regex: '('}]", "8:18", "is not an RE2 regular expression"),
        ("- name: a\n      patterns: [{name: own, regex: 'x*'}]", "8:18", "matches the empty string"),
        ("- name: a\n      patterns: [general]\n      as: base64", "9:7", "patterns cannot look into base64"),
        ("- name: a\n      jsonPath: [$.a]", "8:7", "jsonPath"),
        ("- name: a\n      jsonPaths: [$.a]\n      as: hide", "9:11", "hide"),
        ("- name: a\n      jsonPaths: [$.a]\n      keep: [everything]", "9:14", "everything"),
        ("- name: a\n      keyNames: [x]\n    - name: a\n      keyNames: [y]", "9:7", "rule `a` is there twice"),
    ],
)
def test_a_rule_at_fault_is_named_with_its_position(rule: str, position: str, text: str) -> None:
    with pytest.raises(DocumentErrors) as caught:
        compile_masks(parse(f"{HEAD}    {rule}\n", "p.yaml"))
    (error, *_) = caught.value.errors
    assert str(error).startswith(f"p.yaml:{position}: "), error
    assert text in str(error)


def test_all_errors_are_told_at_once() -> None:
    rules = "    - name: a\n      jsonPaths: ['$[', '$.b[']\n    - name: b\n      patterns: [nope]\n"
    with pytest.raises(DocumentErrors) as caught:
        compile_masks(parse(HEAD + rules, "p.yaml"))
    assert len(caught.value.errors) == 3


def test_a_policy_without_rules_is_a_mistake() -> None:
    with pytest.raises(DocumentErrors, match="masks nothing"):
        compile_masks(parse(HEAD.replace("rules:\n", "rules: []\n"), "p.yaml"))


@pytest.mark.parametrize(
    ("match", "group", "resource", "namespace", "matches"),
    [
        ("{}", "apps", "deployments", "a", True),
        ("{apiGroups: ['']}", "", "pods", "a", True),
        ("{apiGroups: ['']}", "apps", "deployments", "a", False),
        ("{apiGroups: ['*.example.com', '!bad.example.com']}", "good.example.com", "x", "a", True),
        ("{apiGroups: ['*.example.com', '!bad.example.com']}", "bad.example.com", "x", "a", False),
        ("{resources: [pods]}", "", "pods/status", "a", True),
        ("{resources: [pods/status]}", "", "pods", "a", False),
        ("{resources: [serviceaccounts/token]}", "", "serviceaccounts/token", "a", True),
        ("{resources: ['*', '!secrets']}", "", "secrets", "a", False),
        ("{namespaces: [a]}", "", "pods", "a", True),
        ("{namespaces: [a]}", "", "pods", "b", False),
        ("{namespaces: [a]}", "", "pods", "", True),
        ("{namespaces: ['!kube-system']}", "", "pods", "kube-system", False),
    ],
)
def test_which_objects_a_rule_matches(match: str, group: str, resource: str, namespace: str, matches: bool) -> None:
    made = masks(f"{{name: a, match: {match}, jsonPaths: [$.x]}}")
    assert made.plan(ObjectType(group, resource), namespace, "agent").empty is not matches


def test_a_policy_is_for_the_clients_that_it_names() -> None:
    made = masks("{name: a, jsonPaths: [$.x]}", head="  clients: ['mcp-*', '!mcp-admin']\n")
    assert [made.applies_to(client) for client in ("mcp-1", "mcp-admin", "other")] == [True, False, False]
    assert Session(made, "other").json("/api/v1/pods", {"x": "shown"}) == {"x": "shown"}
    assert MaskSet().text_patterns(ObjectType("", "pods"), "", "any") is None


def test_plans_are_remembered_but_not_for_ever() -> None:
    made = masks("{name: a, jsonPaths: [$.x]}")
    for number in range(5000):
        made.plan(ObjectType("", f"kind{number}"), "", "agent")
    assert len(made._plans) <= 4096
    assert made.plan(ObjectType("", "pods"), "a", "x") is made.plan(ObjectType("", "pods"), "b", "x")


def test_rules_of_a_set_that_was_replaced_are_not_kept() -> None:
    """Each reload of the documents makes new ones."""
    inside = "{name: b, jsonPaths: [$.data], patterns: [general]}"
    made = masks("{name: a, match: {resources: [pods]}, patterns: [general], keyNames: [password]}", inside)
    secrets = masks("{name: c, match: {resources: [secrets]}, jsonPaths: ['$.data.*']}")
    pod = {"data": {"x": "token=abcdefgh1"}, "y": ["token=abcdefgh2"], "password": "abcdefgh3"}
    secret = {"metadata": {"name": "s"}, "data": {"x": "YWJjZGVmZ2g="}}
    listed = {"apiVersion": "v1", "kind": "SecretList", "metadata": {}, "items": [secret] * 3}
    assert "abcdefgh" not in str(Session(made).json("/api/v1/pods", pod))
    assert "YWJj" not in str(Session(secrets).json("/api/v1/secrets", listed))
    rules = [weakref.ref(rule) for rule in (*made.rules, *secrets.rules)]
    del made, secrets
    gc.collect()
    assert [rule() for rule in rules] == [None] * 3


# --- what is put in place ---

VALUE: dict[str, Any] = {
    "s": "text",
    "n": 5,
    "f": 1.5,
    "b": True,
    "none": None,
    "m": {"s": "x", "l": ["y", 1, False]},
    "e": "",
    "l": [True, "z"],
}


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        (
            "auto",
            {
                "s": MASK.text,
                "n": NUMBER,
                "f": NUMBER,
                "none": None,
                "m": {"s": MASK.text, "l": [MASK.text, NUMBER]},
                "e": "",
                "l": [MASK.text],
            },
        ),
        (
            "base64",
            {
                "s": MASK.base64,
                "n": NUMBER,
                "f": NUMBER,
                "none": None,
                "m": {"s": MASK.base64, "l": [MASK.base64, NUMBER]},
                "e": "",
                "l": [MASK.base64],
            },
        ),
        ("drop", None),
    ],
)
def test_a_mask_keeps_the_type_or_takes_the_value_out(how: str, shown: Any) -> None:
    session = Session(masks(f"{{name: a, jsonPaths: [$.spec], as: {how}}}"))
    got = session.json("/apis/example.com/v1/things/x", {"metadata": {"name": "x"}, "spec": VALUE})
    assert got.get("spec") == shown


def test_bytes_are_known_by_the_type_of_the_object() -> None:
    session = Session(masks("{name: a, jsonPaths: ['$.data.*', '$.binaryData.*']}"))
    document = {"data": {"a": "dmFsdWU="}, "binaryData": {"b": "dmFsdWU="}}
    assert session.json("/api/v1/namespaces/a/secrets/s", document) == {
        "data": {"a": MASK.base64},
        "binaryData": {"b": MASK.text},
    }
    assert session.json("/api/v1/namespaces/a/configmaps/s", document) == {
        "data": {"a": MASK.text},
        "binaryData": {"b": MASK.base64},
    }


def test_the_clients_name_takes_the_place_of_the_gateways() -> None:
    session = Session(masks("{name: a, jsonPaths: [$.status.userInfo.username], as: client}"), "agent-7")
    assert session.json("/apis/x/v1/y", {"status": {"userInfo": {"username": "arn:aws:x"}}}) == {
        "status": {"userInfo": {"username": "agent-7"}}
    }


def test_a_pattern_of_the_operators_own() -> None:
    session = Session(
        masks("{name: a, match: {resources: [pods]}, patterns: [{name: badge, regex: 'badge-([0-9]{6})'}]}")
    )
    assert session.json("/api/v1/pods", {"spec": {"x": "a badge-123456 b"}}) == {
        "spec": {"x": f"a badge-{MASK.text} b"}
    }
    assert session.masker("/api/v1/namespaces/a/pods/p/log").mask_text("badge-123456") == f"badge-{MASK.text}"


def test_whole_values_by_key_in_two_rules_are_masked_once() -> None:
    session = Session(masks("{name: a, keyNames: [x]}", "{name: b, keyNames: ['*'], as: base64}"))
    masked = session.body("/apis/example.com/v1/things/x", {"spec": {"x": "value-1", "y": "value-2"}})
    assert masked.hits == {"p/a": 1, "p/b": 1}
    assert base64.b64decode(__import__("json").loads(masked.body)["spec"]["y"]).decode() == MASK.text


@pytest.mark.parametrize("tag", ["UPPER", "a b", "x" * 33, "é"])
def test_a_tag_of_the_mask_is_checked(tag: str) -> None:
    with pytest.raises(ValueError, match="mask tag"):
        Mask(tag)
    assert Mask("prod-1").text == "**masked-by-pratique:prod-1**"
