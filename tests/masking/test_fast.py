"""The fast path decodes only parts of an object; what it gives is what the rules make of the whole decoded object."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from pratique.kube.objects import ObjectType, fields_of, rewrite
from pratique.masking.body import DocumentMasker
from pratique.masking.document import TreeMasker
from pratique.masking.fast import RawMasker
from pratique.masking.hits import Hits
from pratique.masking.known import Index, KnownValues
from pratique.masking.locate import containers
from pratique.masking.mask import Mask
from pratique.masking.masker import Scope, mask_document
from pratique.masking.plan import Plan
from tests.masking.session import default_masks, masks

TYPES = [
    ObjectType("", "secrets"),
    ObjectType("", "configmaps"),
    ObjectType("", "pods"),
    ObjectType("", "events"),
    ObjectType("", "services"),
    ObjectType("apps", "controllerrevisions"),
    ObjectType("example.com", "things"),
    ObjectType("example.com", "widgets"),
    ObjectType("velero.io", "downloadrequests"),
    ObjectType("authentication.k8s.io", "selfsubjectreviews"),
]
WITH_FILTERS = masks(
    "{name: named, jsonPaths: [$.spec.token, '$.spec.users[*].name']}",
    "{name: filtered, match: {resources: [pods]}, jsonPaths: ['$.spec.containers[?(@.name==\"a\")].args']}",
    "{name: deep, match: {resources: [things]}, jsonPaths: ['$..spec'], keyNames: [secret*]}",
    "{name: custom, match: {resources: [events]}, patterns: [{name: mine, regex: 'x[0-9]{3}'}]}",
)
WITH_FIELDS = masks(
    "{name: inside, match: {resources: [widgets, pods]}, jsonPaths: [$.spec], keyNames: [plain, a]}",
    "{name: general, match: {resources: [widgets, things, events]}, keyNames: [general], patterns: [general]}",
    "{name: keys, match: {resources: [configmaps, controllerrevisions]}, keyNames: [general, plain]}",
    "{name: gone, match: {resources: [services, things]}, jsonPaths: [$.status, $.metadata.annotations.gone], as: drop}",
    "{name: each, match: {resources: [secrets, services]}, jsonPaths: ['$.spec.*', '$.data.*']}",
    "{name: numbers, match: {resources: [selfsubjectreviews]}, keyNames: [a, data, 'existing*'], as: string}",
    "{name: text, match: {resources: [downloadrequests]}, patterns: [{name: mine, regex: 'x[0-9]{3}'}, bearer]}",
)
SETS = {"default": default_masks(), "filters": WITH_FILTERS, "fields": WITH_FIELDS}

NAMES = ["a", "name", "value", "key", "password", "api-token", "data", "spec", "existingSecret", "plain", "défi", 'q"q']
NAMES += ["secretKey", "args", "env", "annotations", "users", "token", "valueFrom", "secretKeyRef", "apiKey", "list\\"]
TEXTS = [
    "",
    "x",
    "hunter2-and-more",
    "DB_PASSWORD",
    "password",
    "--token",
    "--password=abcdef",
    "token=abcdef123 rest",
    "x123",
]
TEXTS += [
    '{"password":"abcdefgh"}',
    "AKIAABCDEFGHIJKLMNOP",
    'a "quoted" one',
    "back\\slash",
    "é\u2028\x00",
    "pg://u:hunter2@h/x",
]
TEXTS += [
    "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----",
    "Bearer abcdefghijklmnopqrstuvwx",
    "LS0tLS1CRUdJTg==",
]
SCALARS = st.one_of(st.sampled_from(TEXTS), st.none(), st.booleans(), st.integers(-5, 5), st.just(1.5))
KEYS = st.sampled_from(NAMES)
PAIRS = st.fixed_dictionaries({"name": st.sampled_from(TEXTS), "value": SCALARS}) | st.fixed_dictionaries(
    {
        "name": st.sampled_from(TEXTS),
        "valueFrom": st.fixed_dictionaries(
            {"secretKeyRef": st.dictionaries(st.sampled_from(["name", "key"]), st.sampled_from(TEXTS))}
        ),
    }
)
DESCRIBED = st.fixed_dictionaries(
    {
        "password": st.dictionaries(
            st.sampled_from(["value", "defaultValue", "a{", "b"]), SCALARS | st.just({}) | st.just("}x{"), max_size=3
        )
    }
)
VALUES = st.recursive(
    SCALARS | PAIRS | DESCRIBED,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.lists(st.sampled_from(TEXTS), max_size=4)
    ),
    max_leaves=20,
)
NESTED = st.fixed_dictionaries(
    {"kind": st.just("Secret"), "data": st.dictionaries(KEYS, st.sampled_from(TEXTS), max_size=2)}
)
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MANIFESTS = st.builds(
    json.dumps, st.fixed_dictionaries({"kind": st.just("Secret"), "data": st.dictionaries(KEYS, SCALARS, max_size=2)})
)
ANNOTATIONS = st.dictionaries(KEYS | st.just("gone"), st.sampled_from(TEXTS), max_size=3) | st.fixed_dictionaries(
    {APPLIED: MANIFESTS}
)
METADATA = st.fixed_dictionaries(
    {"name": st.just("n")},
    optional={
        "annotations": ANNOTATIONS,
        "labels": st.dictionaries(KEYS, st.sampled_from(TEXTS), max_size=2),
        "managedFields": st.just([{"a": 1}]),
    },
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["Thing", "Pod"]),
        "metadata": METADATA | st.none() | st.just([1]),
        "data": st.dictionaries(KEYS, st.sampled_from(TEXTS), max_size=3) | VALUES,
        "stringData": st.dictionaries(KEYS, SCALARS, max_size=2),
        "spec": VALUES | NESTED | st.lists(NESTED, max_size=2),
        "status": VALUES,
        "message": st.sampled_from(TEXTS),
        "password": VALUES,
        "padding": st.just(["x" * 400, {"y": ["z" * 400, {"token": "abcdefgh"}]}]),
    },
)


def scope(kind: ObjectType, rules: str) -> Scope:
    return Scope(SETS[rules], kind, "ns", "agent", KnownValues())


RULES = st.sampled_from(["default", "fields", "fields", "filters"])


def reference(document: Any, plan: Plan, within: Scope) -> Any:
    hits = Hits()
    TreeMasker(within, hits).apply(document, plan)
    return document, hits.total


@pytest.mark.parametrize("spaces", [False, True], ids=["compact", "pretty"])
@settings(max_examples=150, deadline=None)
@given(OBJECTS, st.sampled_from(TYPES), RULES)
def test_a_masked_object_is_what_the_rules_make_of_the_decoded_one(
    spaces: bool, document: Any, kind: ObjectType, rules: str
) -> None:
    text = (
        json.dumps(document, indent=1 if spaces else None, ensure_ascii=False).encode()
        if spaces
        else msgspec.json.encode(document)
    )
    within = scope(kind, rules)
    wanted, total = reference(json.loads(text), within.plan, within)
    hits = Hits()
    raw = RawMasker(within, TreeMasker(within, hits)).masked(Raw(text), fields_of(text), within.plan)
    assert (json.loads(text) if raw is None else json.loads(bytes(raw))) == wanted
    assert bool(hits.total) == bool(total)
    assert raw is not None or not total


def masked(body: bytes, kind: ObjectType, rules: str) -> Any:
    shown, hits = mask_document(scope(kind, rules), body, Index({}))
    assert hits.total or shown == body
    return json.loads(shown)


@settings(max_examples=150, deadline=None)
@given(st.lists(OBJECTS, max_size=4), st.sampled_from(TYPES), RULES)
def test_items_of_a_list_are_masked_as_each_of_them(items: list[Any], kind: ObjectType, rules: str) -> None:
    document = {"kind": "List", "apiVersion": "v1", "items": items}
    shown = masked(msgspec.json.encode(document), kind, rules)["items"]
    assert shown == masked(json.dumps(document, indent=1).encode(), kind, rules)["items"]
    assert shown == [masked(msgspec.json.encode(item), kind, rules) for item in items]


@pytest.mark.parametrize("indent", [None, 1], ids=["compact", "pretty"])
def test_values_that_overlap_are_masked_whole_where_an_object_holds_them_again(indent: int | None) -> None:
    note = "hunter2-and-more, more-and-more, 1hunter2 hunter2"
    spec = {"password": "hunter2-and-more", "apiKey": "aHVudGVyMg==", "token": "1hunter", "note": note}
    body = json.dumps({"spec": spec}, indent=indent, separators=(",", ":") if indent is None else None).encode()
    mask = Mask().text
    assert (
        masked(body, ObjectType("example.com", "things"), "default")["spec"]["note"]
        == f"{mask}, more-and-more, {mask} {mask}"
    )


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
SAID = ["", "hunter2-and-more", "abcdefgh", "x" * 200, CERTIFICATE, CERTIFICATE + "key", Mask().text, Mask().base64]
ENCODED = [base64.b64encode(text.encode()).decode() for text in SAID] + ["not base64", Mask().base64]
SECRET_ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["Secret", "Secret", "Pod"]),
        "metadata": st.fixed_dictionaries(
            {"name": st.just("n"), "uid": st.just("u")},
            optional={
                "labels": st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(SAID[:4]), max_size=2),
                "annotations": st.dictionaries(
                    st.sampled_from(["a", "note"]), st.sampled_from(SAID + ENCODED), max_size=2
                )
                | st.fixed_dictionaries({APPLIED: MANIFESTS}),
                "managedFields": st.just([{"a": 1}]),
                "ownerReferences": st.just([{"name": "abcdefgh"}]),
                "unheard": st.just(1),
            },
        ),
        "data": st.dictionaries(st.sampled_from(["a", "b", "é", 'q"q']), st.sampled_from(ENCODED), max_size=3),
        "stringData": st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(SAID), max_size=2),
        "type": st.sampled_from(["Opaque", "abcdefgh", "kubernetes.io/" + "x" * 40]),
    },
)


@settings(max_examples=200, deadline=None)
@given(st.lists(SECRET_ITEMS, min_size=1, max_size=6), st.sampled_from(["default", "fields"]))
def test_secrets_that_are_masked_together_are_masked_as_each_of_them(items: list[Any], rules: str) -> None:
    kind = ObjectType("", "secrets")
    shown = masked(msgspec.json.encode({"kind": "SecretList", "apiVersion": "v1", "items": items}), kind, rules)[
        "items"
    ]
    assert shown == [masked(msgspec.json.encode(item), kind, rules) for item in items]


def test_what_is_remembered_of_secrets_that_are_masked_together_is_bounded_and_known() -> None:
    within = scope(ObjectType("", "secrets"), "default")
    document = DocumentMasker(within)
    items = [{"data": {f"key-{number}": base64.b64encode(b"value-%d" % number).decode()}} for number in range(1000)]
    body = msgspec.json.encode({"items": items})
    shown = json.loads(rewrite(body, document) or b"")["items"]
    assert shown == [{"data": dict.fromkeys(item["data"], Mask().base64)} for item in items]
    assert document.hits == {"default/secret-data": 1000}
    assert all(len(memory) <= 256 for memory in document._values._masked.values())
    assert within.known.index().search(b"value-999")


def test_a_rule_for_any_depth_does_not_hide_one_with_a_path() -> None:
    items = [{"metadata": {"name": "n"}, "spec": {"plain": "hunter2"}, "status": {"plain": "stays"}}] * 3
    shown = masked(msgspec.json.encode({"items": items}), ObjectType("example.com", "widgets"), "fields")["items"]
    assert {item["spec"]["plain"] for item in shown} == {Mask().text}
    assert {item["status"]["plain"] for item in shown} == {"stays"}


@settings(max_examples=60, deadline=None)
@given(st.lists(OBJECTS, max_size=4), st.sampled_from(TYPES), st.lists(st.sampled_from(TEXTS), max_size=3))
def test_rows_of_a_table_are_masked_as_each_of_them(items: list[Any], kind: ObjectType, cells: list[str]) -> None:
    rows = [{"cells": cells, "object": item} for item in items] + [{"cells": cells}]
    document = {"kind": "Table", "columnDefinitions": [{"name": "Name"}, {"name": "api-token"}], "rows": rows}
    shown = masked(msgspec.json.encode(document), kind, "default")
    assert shown == masked(json.dumps(document, indent=1).encode(), kind, "default")
    assert [row["object"] for row in shown["rows"][:-1]] == [
        masked(msgspec.json.encode(item), kind, "default") for item in items
    ]


ASCII = VALUES.filter(lambda value: isinstance(value, dict | list)).map(
    lambda value: json.loads(json.dumps(value).replace("\\u00e9", "e"))
)


@settings(max_examples=150, deadline=None)
@given(ASCII, st.data())
def test_the_containers_around_offsets_hold_them(document: Any, data: Any) -> None:
    text = msgspec.json.encode({"pad": "p" * 400, "x": [document, "q" * 400]})
    hits = sorted(data.draw(st.lists(st.integers(0, len(text) - 1), min_size=1, max_size=4)))
    spans = containers(text, hits)
    if spans is None:  # a name with an escape has another length than it looks
        assert b'\\"' in text or b"\\\\" in text
        return
    for hit in hits:
        (span,) = [(start, end) for start, end in spans if start <= hit < end]
        assert isinstance(msgspec.json.decode(text[span[0] : span[1]]), dict | list)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(spans))


def test_containers_are_the_smallest_ones_and_stop_where_it_is_deep() -> None:
    text = msgspec.json.encode({"pad": "p" * 400, "a": [{"pad": "q" * 400, "deep": {"token": "t"}}, {"b": 1}]})
    hit = text.index(b"token")
    ((start, end),) = containers(text, [hit]) or []
    assert text[start:end] == b'{"token":"t"}'
    assert containers(text.replace(b'":', b'": ', 1), [hit]) is None
    deep = b'{"a":' * 5000 + b'"token"' + b"}" * 5000
    found = containers(deep, [deep.index(b"token")])
    assert found is None or [end - start > 20_000 for start, end in found] == [True]
