"""The fast path decodes only parts of an object; what it gives is what the rules make of the whole decoded object."""

from __future__ import annotations

import base64
import functools
import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from pratique.kube import pieces
from pratique.kube.arrays import run_from
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


SECRETS = ["hunter2-and-more", "abcdefgh", "aHVudGVyMg==", "x", "", "12345678", Mask().text, "a\\nb", "é-and-more"]
FOUND = st.fixed_dictionaries(
    {},
    optional={
        "password": st.sampled_from([*SECRETS, 5, None]),
        "apiKey": st.sampled_from(SECRETS),
        "env": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(["DB_PASSWORD", "HOST"]), "value": st.sampled_from(SECRETS)})
            | PAIRS,
            max_size=2,
        ),
        "note": st.sampled_from([*SECRETS, "hunter2", "hunter2-and-more in a text", "token=abcdef123 rest"]),
        "plain": st.sampled_from(SECRETS),
        "users": st.lists(st.fixed_dictionaries({"a": st.sampled_from(SECRETS)}), max_size=2),
    },
)
ALIKE = st.fixed_dictionaries(
    {
        "apiVersion": st.just("example.com/v1"),
        "kind": st.just("Thing"),
        "metadata": METADATA,
        "spec": FOUND | VALUES,
        "status": FOUND,
    }
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(ALIKE, min_size=1, max_size=12),
    st.sampled_from(["Thing"] * 6 + ["Widget", "Secret", "Status"]),
    st.sampled_from([ObjectType("example.com", "things")] * 12 + TYPES),
    RULES,
    st.sampled_from([200, 1000, 1 << 17]),
    st.sampled_from([1, 6, 1000]),
)
def test_items_that_are_alike_are_masked_as_each_of_them(
    items: list[Any], other: str, kind: ObjectType, rules: str, size: int, dense: int
) -> None:
    items[-1]["kind"] = other
    document = {"kind": "List", "apiVersion": "v1", "items": items}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "run_from", functools.partial(run_from, size=size))
        patch.setattr(pieces, "_DENSE", dense)
        shown = masked(msgspec.json.encode(document), kind, rules)["items"]
    assert shown == [masked(msgspec.json.encode(item), kind, rules) for item in items]
    assert shown == masked(json.dumps(document, indent=1, ensure_ascii=False).encode(), kind, rules)["items"]


@pytest.mark.parametrize("rules", ["default", "fields"])
def test_items_in_their_bytes_count_and_are_remembered_as_if_they_were_decoded(rules: str) -> None:
    items = [
        {
            "metadata": {"name": "n"},
            "spec": {"password": f"hunter2-{n % 90}", "plain": "x" * (n % 3)},
            "status": {"n": n},
        }
        for n in range(300)
    ]
    counted, known = [], []
    for indent in (None, 1):
        within = scope(ObjectType("example.com", "widgets"), rules)
        body = json.dumps({"items": items}, separators=(",", ":") if indent is None else None, indent=indent).encode()
        counted.append(mask_document(within, body, Index({}))[1])
        known.append(set(within.known.index()._literals))
    assert counted[0] == counted[1]
    assert counted[0].total >= 300
    assert known[0] == known[1]


def test_a_value_that_an_item_holds_twice_is_masked_twice_among_others_that_do_not() -> None:
    items = [
        {
            "metadata": {"name": "n"},
            "spec": {"password": f"hunter2-{n}"},
            "status": {"seen": f"is hunter2-{n if n % 7 else n + 1}"},
        }
        for n in range(50)
    ]
    shown = masked(msgspec.json.encode({"items": items}), ObjectType("example.com", "things"), "default")["items"]
    for number, item in enumerate(shown):
        assert item["spec"] == {"password": Mask().text}
        wanted = f"is hunter2-{number + 1}" if number % 7 == 0 else f"is {Mask().text}"
        assert item["status"]["seen"] == wanted


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


def listed(*items: Any, rules: Any = None, kind: str = "things") -> list[Any]:
    """The items, masked among others that are like the first one."""
    more = [{**items[0], "spec": {"password": f"other-{number}"}} for number in range(30)]
    within = Scope(rules or SETS["default"], ObjectType("example.com", kind), "ns", "agent", KnownValues())
    shown = mask_document(within, msgspec.json.encode({"items": [*items, *more]}), Index({}))[0]
    return list(json.loads(shown)["items"][: len(items)])


def test_what_names_an_item_stays_among_items_that_are_masked_in_their_bytes() -> None:
    item = {"metadata": {"name": "n", "labels": {"password": "shown"}}, "spec": {"password": "hunter2"}}
    assert listed(item) == [{**item, "spec": {"password": Mask().text}}]


@pytest.mark.parametrize("stays", ["", Mask().text, Mask().base64])
def test_a_mask_or_nothing_stays_among_items_that_are_masked_in_their_bytes(stays: str) -> None:
    item = {"metadata": {"name": "n"}, "spec": {"password": stays, "apiKey": "hunter2"}}
    assert listed(item) == [{**item, "spec": {"password": stays, "apiKey": Mask().text}}]


def test_each_rule_has_its_own_mask_and_count_in_items_that_are_masked_in_their_bytes() -> None:
    rules = masks(
        "{name: bytes, keyNames: [password], as: base64, keep: [certificates]}",
        "{name: text, keyNames: [token], as: string}",
    )
    encoded = base64.b64encode(CERTIFICATE.encode()).decode()
    items = [
        {"metadata": {"name": "n"}, "spec": {"password": "aHVudGVyMg==", "token": "hunter3"}},
        {"metadata": {"name": "n"}, "spec": {"password": encoded, "token": encoded}},
    ]
    shown = listed(*items, rules=rules)
    assert shown[0]["spec"] == {"password": Mask().base64, "token": Mask().text}
    assert shown[1] == masked_alone(items[1], rules)
    alone = listed({"metadata": {"name": "n"}, "spec": {"password": encoded}}, rules=rules)
    assert alone == [{"metadata": {"name": "n"}, "spec": {"password": encoded}}]


def masked_alone(item: Any, rules: Any) -> Any:
    within = Scope(rules, ObjectType("example.com", "things"), "ns", "agent", KnownValues())
    return json.loads(mask_document(within, msgspec.json.encode(item), Index({}))[0])


@pytest.mark.parametrize("name", ['x"password', "\\password", "pass\nword", "passwörd-password", 'a\\"token'])
@pytest.mark.parametrize("value", ["hunter2", 'hun"ter2', "hunter2\\", "hünter2"])
def test_names_and_values_with_escapes_among_items_that_are_masked_in_their_bytes(name: str, value: str) -> None:
    item = {"metadata": {"name": "n"}, "spec": {name: value, "password": value}}
    assert listed(item) == [masked_alone(item, SETS["default"])]


def test_a_quote_that_is_escaped_does_not_begin_a_name() -> None:
    rules = masks("{name: exact, keyNames: [token, password]}")
    item = {"metadata": {"name": "n"}, "spec": {'x"token': "shown", "token": "hunter2", '"password': "shown"}}
    wanted = {**item, "spec": {**item["spec"], "token": Mask().text}}
    assert listed(item, rules=rules) == [wanted]
    assert masked_alone(item, rules) == wanted


def test_a_secret_whose_type_is_its_value_among_others() -> None:
    items = [
        {"metadata": {"name": "n"}, "stringData": {"a": text}, "type": "hunter2-x"}
        for text in ("other-one-2", "hunter2-x")
    ]
    items += [{"metadata": {"name": "n"}, "data": {"a": base64.b64encode(b"hunter2-x").decode()}, "type": "hunter2-x"}]
    shown = masked(msgspec.json.encode({"items": items}), ObjectType("", "secrets"), "default")["items"]
    assert [item["type"] for item in shown] == ["hunter2-x", Mask().text, Mask().text]


LIST_HEADS = [
    {"kind": "ThingList", "apiVersion": "example.com/v1", "metadata": {"resourceVersion": "1", "continue": "abcdefgh", "remainingItemCount": 3}},
    {"kind": "ThingList", "apiVersion": "example.com/v1", "metadata": {"resourceVersion": "1", "selfLink": "/a"}},
    {"kind": "SecretList", "apiVersion": "v1", "metadata": {}},
    {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": ""}},
    {"kind": "ThingList", "apiVersion": "v1", "metadata": {"annotations": {"password": "hunter2-and-more"}}},
    {"kind": "ThingList", "apiVersion": "v1", "metadata": {"resourceVersion": "1", "token": {"kind": "Secret", "data": {"a": "eA=="}}}},
    {"kind": "ThingList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "password": "hunter2-and-more"},
    {"kind": "ThingList", "apiVersion": "v1", "metadata": None},
    {"kind": "ThingList", "apiVersion": "v1", "metadata": {"remainingItemCount": None}},
    {"kind": "token=abcdef123 rest", "apiVersion": "v1", "metadata": {}},
    {"apiVersion": "v1", "metadata": {"resourceVersion": "1"}},
]  # fmt: skip
HEADS = masks(
    "{name: kinds, match: {resources: [pods]}, keyNames: [kind]}",
    "{name: numbers, match: {resources: [things]}, jsonPaths: [$.metadata.continue]}",
    "{name: all, match: {resources: [widgets]}, jsonPaths: ['$.metadata.*']}",
    "{name: whole, match: {resources: [events]}, jsonPaths: [$.metadata]}",
    "{name: named, match: {resources: [services]}, jsonPaths: [$.kind]}",
    "{name: inside, match: {resources: [configmaps]}, jsonPaths: [$.metadata], patterns: [general]}",
    "{name: any, match: {resources: [secrets]}, jsonPaths: ['$..continue']}",
    "{name: other, match: {resources: [thinglists]}, jsonPaths: [$.metadata.continue]}",
)


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize("head", LIST_HEADS, ids=range(len(LIST_HEADS)))
def test_what_a_list_says_about_itself_is_masked_as_any_object(kind: ObjectType, head: dict[str, Any]) -> None:
    for mask_set in (*SETS.values(), HEADS):
        fields = fields_of(msgspec.json.encode(head)) or {}
        short, long = (DocumentMasker(Scope(mask_set, kind, "ns", "agent", KnownValues())) for _ in range(2))
        assert short.head(fields) == long.object(Raw(msgspec.json.encode(head)))
        assert short.hits == long.hits


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
