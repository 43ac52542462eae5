"""Section 3 of the threat list: bodies. One test per row, named after it."""

from __future__ import annotations

import json

import pytest

from pratique.kube.canonical import headers_only
from tests.kube.requests import POD, PODS, canonical, raw, refusal

JSON = {"Content-Type": "application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}
YAML = {"Content-Type": "application/yaml"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


@pytest.mark.parametrize(
    "body",
    [
        '{"a":1,"a":1}',
        '{"spec":{"x":[{"d":1,"d":2}]}}',
        '{"data":{},"d\\u0061ta":{}}',
        '{"metadata":{},"metadata":null}',
    ],
)
@pytest.mark.parametrize(
    ("method", "target", "headers"), [("POST", PODS, JSON), ("PATCH", POD, MERGE), ("PUT", POD, {})]
)
def test_bypass_3_01_duplicate_keys_at_any_depth(method, target, headers, body):
    assert refusal(method, target, headers, body) == "body/duplicate-key"


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", PODS, {"kind": "Secret"}),
        ("POST", PODS, {"kind": "Pod", "apiVersion": "v2"}),
        ("POST", PODS, {"apiVersion": ["v1"]}),
        ("POST", PODS, {"kind": {}, "a": 1, "apiVersion": "v1", "x": 1} | {"kind": ["Pod"]}),
        ("PUT", DEPLOYMENTS + "/web", {"kind": "Deployment", "apiVersion": "extensions/v1beta1"}),
        ("PUT", DEPLOYMENTS + "/web/scale", {"kind": "Deployment", "apiVersion": "apps/v1"}),
        ("POST", POD + "/eviction", {"kind": "Pod", "apiVersion": "v1"}),
        ("POST", "/apis/x.io/v1/things", {"kind": "Thing", "apiVersion": "x.io/v2"}),
    ],
)
def test_bypass_3_02_the_type_comes_from_the_url(method, target, body):
    assert refusal(method, target, JSON, body) == "body/kind"


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", PODS, {}),
        ("POST", PODS, {"kind": "Pod", "apiVersion": "v1"}),
        ("PUT", DEPLOYMENTS + "/web/status", {"kind": "Deployment", "apiVersion": "apps/v1"}),
        ("PUT", DEPLOYMENTS + "/web/scale", {"kind": "Scale", "apiVersion": "autoscaling/v1"}),
        ("POST", POD + "/eviction", {"kind": "Eviction", "apiVersion": "policy/v1beta1"}),
        ("POST", "/apis/x.io/v1/things", {"kind": "Anything", "apiVersion": "x.io/v1"}),
        ("PUT", "/apis/x.io/v1/things/a/start", {"kind": "Other", "apiVersion": "y/v3"}),
        ("POST", POD + "/unknown", {"kind": "Other", "apiVersion": "y/v3"}),
    ],
)
def test_bypass_3_02_a_body_that_agrees_or_does_not_say_passes(method, target, body):
    assert canonical(method, target, JSON, body).document == body


def test_bypass_3_03_yaml_becomes_json():
    request = canonical(
        "POST", PODS, YAML, "kind: Pod\nspec:\n  hostNetwork: true\n  list: [1, -2, 1.5, a b, '0777', null, ~]\n"
    )
    assert json.loads(request.body) == {
        "kind": "Pod",
        "spec": {"hostNetwork": True, "list": [1, -2, 1.5, "a b", "0777", None, None]},
    }
    assert request.content_type == "application/json"


@pytest.mark.parametrize(
    "body",
    [
        "a: &x 1\nb: *x\n", "a: &x 1\n", "a: *x\n", "a: !!binary aGk=\n", "a: !x 1\n", "a: 1\n---\nb: 2\n", "%YAML 1.1\n---\na: 1\n", "a: {<<: {b: 1}}\n",
        "a: yes\n", "a: No\n", "a: on\n", "a: y\n", "a: 0777\n", "a: 0x1F\n", "a: 0b1\n", "a: 1_000\n", "a: .inf\n", "a: .NaN\n", "a: 1:30\n", "a: 00\n",
        "a: .5\n", "1.5: a\n", "true: a\n", "null: a\n", "? [a]\n: b\n", "a: b: c\n", "\t- a", "# nothing\n", "a: \x00\n", "[" * 30, "a: 99999999999999999999\n",
    ],
)  # fmt: skip
def test_bypass_3_03_yaml_with_two_readings(body):
    assert refusal("POST", PODS, YAML, body) == "body/yaml"


def test_bypass_3_03_yaml_duplicates_depth_size_and_encoding():
    assert refusal("POST", PODS, YAML, "a: 1\na: 2\n") == "body/duplicate-key"
    assert refusal("POST", PODS, YAML, "[" * 101 + "]" * 101) == "body/depth"
    assert refusal("POST", PODS, YAML, "a: " + "b" * 300_000) == "body/too-large"
    assert refusal("POST", PODS, YAML, b"a: \xff\n") == "body/yaml"
    assert refusal("POST", PODS, YAML, "- a\n") == "body/shape"


def test_bypass_3_03_plain_scalars_with_one_reading():
    body = "8080: a\nimage: nginx:1.27\nip: 10.0.0.1\nversion: 1.2.3\nat: 2026-01-02T03:04:05Z\nempty:\ne: 1e3\n'on': q\nt: |\n  yes\n"
    assert canonical("POST", PODS, YAML, body).document == {
        "8080": "a", "image": "nginx:1.27", "ip": "10.0.0.1", "version": "1.2.3", "at": "2026-01-02T03:04:05Z", "empty": None,
        "e": 1000.0, "on": "q", "t": "yes\n",
    }  # fmt: skip


@pytest.mark.parametrize("body", ['{"kind":"Pod"}', "kind: Pod\n", ' \n{"kind": "Pod"}'])
def test_bypass_3_03_an_apply_patch_is_sent_as_json_text(body):
    request = canonical("PATCH", POD + "?fieldManager=x&force=True", APPLY, body)
    assert (request.patch_type, request.content_type, request.body) == (
        "apply-patch",
        "application/apply-patch+yaml",
        b'{"kind":"Pod"}',
    )
    assert request.query == (("fieldManager", "x"), ("force", "true"))


@pytest.mark.parametrize(
    "media",
    ["application/vnd.kubernetes.protobuf", "application/cbor", "text/plain", "application/x-www-form-urlencoded"],
)
@pytest.mark.parametrize(("method", "target"), [("POST", PODS), ("PUT", POD), ("DELETE", POD)])
def test_bypass_3_04_and_3_05_bodies_that_cannot_be_judged(media, method, target):
    rule = "body/protobuf" if media.endswith("protobuf") else "body/content-type"
    assert refusal(method, target, {"Content-Type": media}, b"k8s\x00") == rule


def test_bypass_3_04_the_type_is_refused_before_the_body_is_read():
    with pytest.raises(Exception, match="cannot be judged"):
        headers_only(raw("POST", PODS, {"Content-Type": "application/cbor", "Content-Length": "4"}))
    assert headers_only(raw("POST", PODS, JSON | {"Content-Length": "4"})).body == b""


@pytest.mark.parametrize(
    "media", ["application/apply-patch+cbor", "application/json", "application/vnd.kubernetes.protobuf"]
)
def test_bypass_3_05_patch_types(media):
    assert refusal("PATCH", POD, {"Content-Type": media}, b"{}") == "body/content-type"
    assert refusal("PATCH", POD, {}, b"{}") == "body/content-type"


def test_bypass_3_06_a_missing_content_type_is_json_and_is_set():
    request = canonical("POST", PODS, {}, b"{}")
    assert (request.content_type, (b"Content-Type", b"application/json") in request.headers) == (
        "application/json",
        True,
    )


def test_bypass_3_07_content_types_are_normalised():
    assert (
        canonical("PATCH", POD, {"Content-Type": "Application/Merge-Patch+JSON; charset=utf-8"}, b"{}").content_type
        == "application/merge-patch+json"
    )
    assert (
        canonical("POST", PODS, {"Content-Type": "Application/JSON; charset=x"}, b"{}").content_type
        == "application/json"
    )
    assert refusal("POST", PODS, [("Content-Type", "application/json")] * 2, b"{}") == "header/duplicate"


def test_bypass_3_08_content_encoding():
    assert refusal("POST", PODS, JSON | {"Content-Encoding": "gzip"}, b"{}") == "body/content-encoding"
    assert canonical("POST", PODS, JSON | {"Content-Encoding": "identity"}, b"{}").document == {}


def test_bypass_3_09_a_delete_with_a_body_ignores_its_query():
    request = canonical("DELETE", POD + "?dryRun=All", JSON, b"{}")
    assert (request.dry_run, request.query) == (False, ())
    assert json.loads(request.body) == {"apiVersion": "v1", "kind": "DeleteOptions"}


def test_bypass_3_09_delete_options_move_into_the_body():
    request = canonical(
        "DELETE",
        POD + "?dryRun=All&gracePeriodSeconds=0&propagationPolicy=Background&uid=u&orphanDependents=false&pretty=true",
    )
    assert (request.dry_run, request.query) == (True, (("pretty", "true"),))
    assert json.loads(request.body) == {
        "apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"], "gracePeriodSeconds": 0, "propagationPolicy": "Background",
        "orphanDependents": False, "preconditions": {"uid": "u"},
    }  # fmt: skip
    many = canonical("DELETE", PODS + "?labelSelector=a&resourceVersion=5&dryRun=All")
    assert many.query == (("labelSelector", "a"), ("resourceVersion", "5"))
    assert many.document["preconditions"] == {"resourceVersion": "5"}


def test_bypass_3_09_delete_options_of_the_body_are_kept():
    body = {
        "kind": "DeleteOptions",
        "apiVersion": "apps/v1",
        "dryRun": ["All"],
        "preconditions": {"uid": "u"},
        "gracePeriodSeconds": None,
    }
    request = canonical("DELETE", DEPLOYMENTS + "/web", JSON, body)
    assert request.dry_run
    assert request.document == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "dryRun": ["All"],
        "preconditions": {"uid": "u"},
    }


@pytest.mark.parametrize(
    "body",
    [
        [], {"kind": "Pod"}, {"kind": ["x"]}, {"apiVersion": "v9"}, {"DryRun": ["All"]}, {"dryRun": ["all"]}, {"dryRun": "All"}, {"gracePeriodSeconds": "0"},
        {"orphanDependents": 1}, {"gracePeriodSeconds": True},
    ],
)  # fmt: skip
def test_bypass_3_09_what_is_no_delete_options(body):
    assert refusal("DELETE", POD, JSON, body) == "body/delete-options"


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ("DryRun=All", "query/misspelt"),
        ("dryRun=all", "query/dry-run"),
        ("dryRun=", "query/dry-run"),
        ("dryRun=All&dryRun=None", "query/dry-run"),
        ("dryRun=All&dryRun=All", "query/dry-run"),
        ("dryRun=All;x", "query/semicolon"),
    ],
)
@pytest.mark.parametrize(("method", "target"), [("POST", PODS), ("PUT", POD), ("DELETE", POD)])
def test_bypass_3_10_spellings_of_a_dry_run(method, target, query, rule):
    assert refusal(method, f"{target}?{query}", JSON, b"{}") == rule


@pytest.mark.parametrize(
    ("method", "target", "headers"), [("POST", PODS, JSON), ("PUT", POD, JSON), ("PATCH", POD, MERGE)]
)
def test_bypass_3_10_only_one_spelling_is_a_dry_run(method, target, headers):
    assert canonical(method, target + "?dryRun=All", headers, b"{}").dry_run
    assert not canonical(method, target, headers, b"{}").dry_run


def test_bypass_3_11_exec_and_proxy_are_never_dry_runs():
    assert not canonical("POST", POD + "/exec?command=id&dryRun=All").dry_run
    assert not canonical("DELETE", POD + "/proxy/x?dryRun=All").dry_run
    assert canonical("POST", "/api/v1/namespaces/a/serviceaccounts/b/token?dryRun=All", JSON, b"{}").dry_run


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", POD + "/eviction", {"kind": "Eviction", "metadata": {"name": "other"}}),
        ("PUT", POD, {"metadata": {"name": "p2"}}),
        ("POST", PODS, {"metadata": {"namespace": "kube-system"}}),
    ],
)
def test_bypass_3_12_names_in_the_body_agree_with_the_url(method, target, body):
    assert refusal(method, target, JSON, body) == "body/name"


def test_bypass_3_12_lists_and_other_shapes():
    assert refusal("POST", "/apis/x.io/v1/things", JSON, {"kind": "List", "items": []}) == "body/kind"
    assert refusal("POST", PODS, JSON, []) == "body/shape"
    assert refusal("POST", PODS, JSON, {"metadata": []}) == "body/shape"
    assert refusal("PATCH", POD, {"Content-Type": "application/json-patch+json"}, {}) == "body/shape"
    assert canonical("POST", "/api/v1/namespaces", JSON, {"kind": "Namespace", "metadata": {"name": "x"}}).document[
        "metadata"
    ] == {"name": "x"}


def test_bypass_3_13_keys_are_case_sensitive_and_3_14_escapes_are_read():
    request = canonical("POST", PODS, JSON, '{"Spec":1,"d\\u0061ta":{"é":"\\u00e9"}}')
    assert request.body == '{"Spec":1,"data":{"é":"é"}}'.encode()


@pytest.mark.parametrize(
    "body",
    [
        b"{} x",
        b"{}{}",
        b"\xef\xbb\xbf{}",
        b"{\x00}",
        b"\xff\xfe{\x00}\x00",
        b" ",
        b"{'a':1}",
        b'{"a":1,}',
        b"NaN",
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":"\\ud800"}',
        b'{"a":01}',
        b'{"a":"\n"}',
    ],
)
def test_bypass_3_15_what_is_not_strict_json(body):
    assert refusal("POST", PODS, JSON, body) == "body/json"


def test_bypass_3_16_numbers_depth_and_size():
    huge = "1" * 100
    assert (
        canonical("POST", PODS, JSON, f'{{"a":{huge},"b":1.0,"c":-0.5}}').body
        == f'{{"a":{huge},"b":1.0,"c":-0.5}}'.encode()
    )
    assert refusal("POST", PODS, JSON, '{"a":' + "1" * 5000 + "}") == "body/json"
    assert refusal("POST", PODS, JSON, '{"a":' * 101 + "1" + "}" * 101) == "body/depth"
    assert refusal("POST", PODS, JSON, "[" * 200_000) == "body/depth"
    assert canonical("POST", PODS, JSON, '{"a":' * 100 + "1" + "}" * 100).document
    assert canonical("POST", PODS, JSON, {"a": [[] for _ in range(200)]}).document


@pytest.mark.parametrize("media", ["json-patch+json", "merge-patch+json", "strategic-merge-patch+json"])
def test_bypass_3_17_the_patch_type_is_known_to_policy(media):
    body = [{"op": "test", "path": "/a"}] if media.startswith("json-") else {"spec": {"$patch": "replace"}}
    request = canonical("PATCH", POD, {"Content-Type": f"application/{media}"}, body)
    assert (request.patch_type, request.document) == (media.removesuffix("+json"), body)


def test_bypass_3_18_put_and_apply_keep_their_verbs_for_policy_to_count_as_create():
    assert canonical("PUT", POD, JSON, b"{}").attributes.verb == "update"
    assert canonical("PATCH", POD, APPLY, b"{}").patch_type == "apply-patch"


def test_the_same_object_in_another_spelling_is_the_same_bytes():
    one = canonical("POST", PODS, JSON, '{"b": 1, "a": {"d": 2, "c": 3}}')
    assert (
        one.body
        == canonical("POST", PODS, JSON, '{"a":{"c":3,"d":2},"b":1}').body
        == canonical("POST", PODS, YAML, "b: 1\na: {d: 2, c: 3}\n").body
    )


def test_a_proxied_body_is_the_application_s():
    request = canonical("POST", POD + "/proxy/a%20b/", {"Content-Type": "text/x; a=b"}, b"\xff")
    assert (request.body, request.content_type, request.document, request.target) == (
        b"\xff",
        "text/x; a=b",
        None,
        (POD + "/proxy/a%20b/").encode(),
    )
    assert canonical("GET", POD + "/proxy/x", {}, b"q").body == b"q"
    assert canonical("GET", POD + "/proxy/%61/b").path == POD + "/proxy/a/b"
    for tail, rule in {
        "a%2Fb": "path/encoded-slash",
        "%2e%2e/x": "path/encoded-character",
        "a%3Fb": "path/character",
        "a//b": "path/empty-segment",
    }.items():
        assert refusal("GET", f"{POD}/proxy/{tail}") == rule
