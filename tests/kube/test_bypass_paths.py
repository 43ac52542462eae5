"""Section 1 of the threat list: parser differentials. One test per row, named after it."""

from __future__ import annotations

import pytest

from pratique.kube.attributes import request_attributes
from tests.kube.requests import EXEC, POD, PODS, canonical, header, refusal


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("/api/v1/namespaces/default%2Fsecrets", "path/encoded-slash"),
        ("/api/v1/namespaces/default/pods/p1%2fexec?command=id", "path/encoded-slash"),
        ("/api/v1/namespaces/default/%73ecrets", "path/encoded-character"),
        ("/%61pi/v1/secrets", "path/encoded-character"),
        ("/api/v1/namespaces/default/secrets/%zz", "path/escape"),
    ],
)
def test_bypass_1_01_an_escape_that_hides_a_separator_or_a_word(target, rule):
    assert refusal("GET", target) == rule


@pytest.mark.parametrize(
    ("spelling", "name"), [("system%3Anode", "system:node"), ("%2A", "*"), ("a%40b", "a@b"), ("a:b", "a:b")]
)
def test_bypass_1_01_names_that_need_an_escape_pass_in_one_spelling(spelling, name):
    request = canonical("GET", f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{spelling}")
    assert request.attributes.name == name
    assert request.target == f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}".encode()


def test_bypass_1_02_double_encoding():
    assert refusal("GET", "/api/v1/namespaces/default%252Fsecrets") == "path/encoded-percent"


@pytest.mark.parametrize(
    "target",
    ["/api/v1/namespaces//secrets", "/apis/apps/v1/namespaces//deployments", "/api/v1/watch/namespaces//secrets"],
)
def test_bypass_1_03_empty_namespace_is_every_namespace(target):
    assert request_attributes("GET", target.encode()).namespace == ""
    assert refusal("GET", target) == "path/empty-segment"


@pytest.mark.parametrize("target", ["//api/v1/secrets", "///api/v1/secrets"])
def test_bypass_1_04_leading_slashes(target):
    assert refusal("GET", target) == "path/empty-segment"


@pytest.mark.parametrize(
    "target",
    ["/x/../api/v1/secrets", "/healthz/../api/v1/secrets", PODS + "/../secrets", PODS + "/..", "/api/v1/./secrets"],
)
def test_bypass_1_05_dot_segments(target):
    assert refusal("GET", target) == "path/dot-segment"


@pytest.mark.parametrize("target", [PODS + "/%2e%2e/secrets", PODS + "/.%2E"])
def test_bypass_1_05_encoded_dot_segments(target):
    assert refusal("GET", target) == "path/encoded-character"


@pytest.mark.parametrize(
    ("method", "target", "verb", "sent"),
    [
        ("GET", "/api/v1/secrets/", "list", b"/api/v1/secrets"),
        ("GET", "/api/v1/secrets//", "list", b"/api/v1/secrets"),
        ("GET", "/api/v1/namespaces/default/", "get", b"/api/v1/namespaces/default"),
    ],
)
def test_bypass_1_06_trailing_slashes_are_trimmed_as_the_server_trims_them(method, target, verb, sent):
    request = canonical(method, target)
    assert (request.attributes.verb, request.target) == (verb, sent)


def test_bypass_1_06_a_trailing_slash_is_a_delete_of_the_namespace():
    info = canonical("DELETE", "/api/v1/namespaces/default/").attributes
    assert (info.verb, info.resource, info.name) == ("delete", "namespaces", "default")


def test_bypass_1_06_non_resource_paths_are_compared_as_they_stand():
    assert canonical("GET", "/version/").target == b"/version/"
    assert canonical("GET", "/").target == b"/"
    assert refusal("GET", "/version//") == "path/empty-segment"


def test_bypass_1_07_an_encoded_slash_as_name_deletes_the_collection():
    assert request_attributes("DELETE", (PODS + "/%2F").encode()).verb == "deletecollection"
    assert refusal("DELETE", PODS + "/%2F") == "path/encoded-slash"


def test_bypass_1_08_an_empty_name_with_a_subresource():
    assert request_attributes("DELETE", b"/api/v1/namespaces/a/secrets//foo").verb == "deletecollection"
    assert refusal("DELETE", "/api/v1/namespaces/a/secrets//foo") == "path/empty-segment"


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("/api/v1/secrets;x=1", "path/semicolon"),
        ("/api/v1/secrets%3Bx=1", "path/semicolon"),
        (PODS + "?dryRun=All;x=1", "query/semicolon"),
        (PODS + "?x=1;watch=true", "query/semicolon"),
    ],
)
def test_bypass_1_09_semicolons(target, rule):
    assert refusal("GET", target) == rule


def test_bypass_1_09_an_encoded_semicolon_is_a_value():
    assert ("command", "a;b") in canonical("POST", EXEC + "&command=a%3Bb").query


@pytest.mark.parametrize("value", ["f", "no", "off", "-1", "t", "yes", "garbage", "00", "0.0", "+0", "false%20"])
def test_bypass_1_10_booleans_with_two_readings(value):
    assert request_attributes("GET", f"{PODS}?watch={value}".encode()).verb == "watch"
    assert refusal("GET", f"{PODS}?watch={value}") == "query/boolean"


@pytest.mark.parametrize(
    ("query", "verb", "sent"),
    [
        ("watch=true", "watch", b"?watch=true"),
        ("watch=1", "watch", b"?watch=true"),
        ("watch=True", "watch", b"?watch=true"),
        ("watch", "watch", b"?watch=true"),
        ("watch=false", "list", b""),
        ("watch=False", "list", b""),
        ("w%61tch=%74rue", "watch", b"?watch=true"),
        ("sendInitialEvents=0&watch=1", "watch", b"?sendInitialEvents=false&watch=true"),
    ],
)
def test_bypass_1_10_booleans_are_sent_in_one_spelling(query, verb, sent):
    request = canonical("GET", f"{PODS}?{query}")
    assert (request.attributes.verb, request.target, request.stream) == (verb, PODS.encode() + sent, verb == "watch")


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ("watch=false&watch=true", "query/duplicate"),
        ("labelSelector=a&labelSelector=a", "query/duplicate"),
        ("watch=%zz", "query/escape"),
        ("Watch=true", "query/misspelt"),
        ("watch=%00", "query/characters"),
        ("fieldSelector=a%0Ab", "query/characters"),
        ("labelSelector=%ff", "query/characters"),
    ],
)
def test_bypass_1_10_duplicates_escapes_case_and_control_characters(query, rule):
    assert refusal("GET", f"{PODS}?{query}") == rule


def test_bypass_1_10_unknown_parameters_are_dropped_but_not_from_a_deletecollection():
    assert canonical("GET", PODS + "?watch[]=true&x=1&%20watch=1").target == PODS.encode()
    assert refusal("DELETE", PODS + "?x=1") == "query/unknown"


def test_bypass_1_11_a_list_of_one_name_is_still_a_list():
    info = canonical("GET", PODS + "?fieldSelector=metadata.name%3Da").attributes
    assert (info.verb, info.name) == ("list", "a")
    assert canonical("GET", PODS + "?fieldSelector=metadata.name%3Db,metadata.name%3Da").attributes.name == "a"


def test_bypass_1_11_no_name_on_a_deletecollection_or_when_options_do_not_decode():
    assert canonical("DELETE", PODS + "?fieldSelector=metadata.name%3Da").attributes.name == ""
    request = canonical("GET", PODS + "?fieldSelector=metadata.name%3Da&limit=abc")
    assert request.attributes.name == ""
    assert request.options["optionsError"] == 'strconv.ParseInt: parsing "abc": invalid syntax'
    assert refusal("DELETE", PODS + "?labelSelector=(((") == "query/option"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("/api/v1/watch/secrets", "path/deprecated-watch"),
        ("/apis/apps/v1/watch/deployments", "path/deprecated-watch"),
        ("/api/v1/watch", "path/deprecated-watch"),
        ("/api/v1/proxy/nodes/n1", "path/deprecated-proxy"),
        ("/apis/apps/v1/proxy/", "path/deprecated-proxy"),
    ],
)
def test_bypass_1_12_deprecated_prefixes(method, target, rule):
    assert refusal(method, target) == rule


@pytest.mark.parametrize(
    "target", ["http://evil/api/v1/secrets", "http:/api/v1/secrets", "ftp://h/api", "evil:443", "*", "", "?watch=1"]
)
def test_bypass_1_13_only_origin_form(target):
    assert refusal("GET", target) == "target/form"


@pytest.mark.parametrize("method", ["get", "Get", "CONNECT", "TRACE", "QUERY", "PROPFIND", "OPTIONS", "", "GET "])
def test_bypass_1_14_methods(method):
    assert refusal(method, POD) == "line/method"
    assert refusal(method, "/healthz") == "line/method"


def test_bypass_1_14_options_reaches_a_proxied_application():
    assert canonical("OPTIONS", POD + "/proxy/x").attributes.verb == ""


def test_bypass_1_15_method_overrides_and_rewritten_urls_are_stripped():
    names = [
        "X-HTTP-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Uri",
        "X-Forwarded-For",
        "Forwarded",
    ]
    request = canonical("GET", POD, [(name, "DELETE") for name in names])
    assert (request.method, request.attributes.verb) == ("GET", "get")
    assert [name for name in names if header(request, name)] == []


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("/api/v1/s\u0435crets", "target/bytes"),
        ("/api/v1/\uff53ecrets", "target/bytes"),
        ("/api/v1/se\u200bcrets", "target/bytes"),
        ("/api/v1/s%D0%B5crets", "path/character"),
    ],
)
def test_bypass_1_16_homoglyphs(target, rule):
    assert refusal("GET", target) == rule


def test_bypass_1_16_case_is_kept_for_an_exact_compare():
    assert canonical("GET", "/api/v1/Secrets").attributes.resource == "Secrets"
    assert not canonical("GET", "/API/v1/secrets").attributes.is_resource_request


@pytest.mark.parametrize("target", ["/api/v1/secrets#frag", PODS + "?watch=1#frag"])
def test_bypass_1_17_fragments(target):
    assert refusal("GET", target) == "target/fragment"


def test_bypass_1_18_a_parameter_after_60_kilobytes_counts():
    assert canonical("GET", f"{PODS}?x={'A' * 60_000}&watch=true").attributes.verb == "watch"
    assert canonical("GET", "/api/v1" + "/x" * 4000).attributes.name == "x"
    assert refusal("GET", "/" + "x" * (1024 * 1024)) == "target/length"
    assert refusal("GET", PODS + "?" + "&".join(["a"] * 10_001)) == "query/parameters"
    for comma in (",", "%2C", "%2c"):
        assert refusal("GET", PODS + "?labelSelector=" + ("a" + comma) * 20_001) == "query/terms"
    assert canonical("GET", PODS + "?labelSelector=" + ",".join(["a"] * 5_000)).attributes.verb == "list"


@pytest.mark.parametrize(
    "name", ["foo%00bar", "foo%0a", "foo%0d%0aX:%201", "a%1b", "%ff%fe", "a%20b", "a\\b", "%E2%80%AEfoo"]
)
def test_bypass_1_19_names_that_no_object_has(name):
    assert refusal("GET", f"/api/v1/namespaces/default/secrets/{name}") == "path/character"


def test_bypass_1_19_raw_bytes():
    assert refusal("GET", b"/api/v1/namespaces/default/secrets/\xff") == "target/bytes"
