"""The fast path decodes only parts of an object; what it gives is what the rules make of the whole decoded object."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from pratique.masking.document import TreeMasker
from pratique.masking.fast import RawMasker
from pratique.masking.hits import Hits
from pratique.masking.known import KnownValues
from pratique.masking.locate import containers
from pratique.masking.masker import Scope
from pratique.masking.plan import Plan
from pratique.kube.objects import ObjectType, fields_of
from tests.masking.session import default_masks, masks

TYPES = [
    ObjectType("", "secrets"),
    ObjectType("", "configmaps"),
    ObjectType("", "pods"),
    ObjectType("", "events"),
    ObjectType("", "services"),
    ObjectType("apps", "controllerrevisions"),
    ObjectType("example.com", "things"),
    ObjectType("velero.io", "downloadrequests"),
    ObjectType("authentication.k8s.io", "selfsubjectreviews"),
]
OWN = masks(
    "{name: named, jsonPaths: [$.spec.token, '$.spec.users[*].name']}",
    "{name: filtered, match: {resources: [pods]}, jsonPaths: ['$.spec.containers[?(@.name==\"a\")].args']}",
    "{name: deep, match: {resources: [things]}, jsonPaths: ['$..spec'], keyNames: [secret*]}",
    "{name: custom, match: {resources: [events]}, patterns: [{name: mine, regex: 'x[0-9]{3}'}]}",
    "{name: keys, match: {resources: [configmaps, controllerrevisions]}, keyNames: [general, plain]}",
    "{name: gone, match: {resources: [services]}, jsonPaths: [$.status, $.metadata.annotations.gone], as: drop}",
)

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
VALUES = st.recursive(
    SCALARS | PAIRS,
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


def scope(kind: ObjectType, own: bool) -> Scope:
    return Scope(OWN if own else default_masks(), kind, "ns", "agent", KnownValues())


def reference(document: Any, plan: Plan, within: Scope) -> Any:
    hits = Hits()
    TreeMasker(within, hits).apply(document, plan)
    return document, hits.total


@pytest.mark.parametrize("spaces", [False, True], ids=["compact", "pretty"])
@settings(max_examples=250, deadline=None)
@given(OBJECTS, st.sampled_from(TYPES), st.booleans())
def test_a_masked_object_is_what_the_rules_make_of_the_decoded_one(
    spaces: bool, document: Any, kind: ObjectType, own: bool
) -> None:
    text = (
        json.dumps(document, indent=1 if spaces else None, ensure_ascii=False).encode()
        if spaces
        else msgspec.json.encode(document)
    )
    within = scope(kind, own)
    wanted, total = reference(json.loads(text), within.plan, within)
    hits = Hits()
    raw = RawMasker(within, TreeMasker(within, hits)).masked(Raw(text), fields_of(text), within.plan)
    assert (json.loads(text) if raw is None else json.loads(bytes(raw))) == wanted
    assert bool(hits.total) == bool(total)
    assert raw is not None or not total


@settings(max_examples=300, deadline=None)
@given(VALUES.filter(lambda value: isinstance(value, dict | list)), st.data())
def test_the_containers_around_offsets_hold_them_and_nothing_smaller_does(document: Any, data: Any) -> None:
    text = msgspec.json.encode({"pad": "p" * 400, "x": [document, "q" * 400]})
    hits = sorted(data.draw(st.lists(st.integers(0, len(text) - 1), min_size=1, max_size=4)))
    spans = containers(text, hits)
    assert spans is not None
    for hit in hits:
        (span,) = [(start, end) for start, end in spans if start <= hit < end]
        msgspec.json.decode(text[span[0] : span[1]])
    assert spans == sorted(spans)
    assert all(left[1] <= right[0] for left, right in zip(spans, spans[1:], strict=False))
