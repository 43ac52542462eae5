"""What is canonical stays as it is, in any spelling of the body; and the work grows as the request does."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import Refused
from pratique.kube.canonical import RawRequest, canonicalise
from tests.kube.fuzz_requests import assert_stable
from tests.kube.requests import POD, PODS, WEBSOCKET, canonical, raw

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), text
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(text, inner, max_size=4)),
    max_leaves=12,
)
objects = st.dictionaries(text, values, max_size=5).filter(
    lambda value: not {"kind", "apiVersion", "metadata"} & set(value)
)
delete_options = st.fixed_dictionaries(
    {},
    optional={
        "gracePeriodSeconds": st.integers(0, 2**63 - 1),
        "propagationPolicy": st.sampled_from(["Background", "Orphan", "x"]),
        "orphanDependents": st.booleans(),
        "dryRun": st.sampled_from([[], ["All"]]),
        "preconditions": st.dictionaries(st.sampled_from(["uid", "resourceVersion"]), text),
    },
)
PATCHES = ("merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")


@given(objects, st.sampled_from(["compact", "indented", "ascii"]))
@settings(max_examples=80, deadline=None)
def test_every_spelling_of_an_object_is_the_same_canonical_bytes(document, style):
    spelling = {"compact": {"separators": (",", ":")}, "indented": {"indent": 2}, "ascii": {"ensure_ascii": True}}[
        style
    ]
    body = json.dumps(document, **({"ensure_ascii": False} | spelling))
    found = canonical("POST", PODS, {"Content-Type": "application/json"}, body)
    assert found.body == canonical("POST", PODS, {}, json.dumps(document, sort_keys=True)).body
    assert found.document == document
    assert_stable(found)


@given(objects)
@settings(max_examples=40, deadline=None)
def test_a_json_text_read_as_yaml_is_the_same_object_or_refused(document):
    body = json.dumps(document, indent=1)
    try:
        found = canonical("POST", PODS, {"Content-Type": "application/yaml"}, body)
    except Refused as error:
        assert error.rule in {"body/yaml", "body/json"}, "a surrogate pair in escapes is none in YAML"
    else:
        assert json.dumps(found.document) == json.dumps(document)
        assert_stable(found)


@given(objects, st.sampled_from(PATCHES), st.sampled_from(["", "?dryRun=All", "?force=1&fieldManager=a+b"]))
@settings(max_examples=40, deadline=None)
def test_patches_are_stable(document, media, query):
    found = canonical("PATCH", POD + query, {"Content-Type": f"application/{media}"}, json.dumps(document))
    assert (found.document, found.patch_type) == (document, media.partition("+")[0])
    assert_stable(found)


@given(st.lists(objects, max_size=4))
@settings(max_examples=40, deadline=None)
def test_json_patches_keep_their_order(operations):
    found = canonical("PATCH", POD, {"Content-Type": "application/json-patch+json"}, json.dumps(operations))
    assert json.loads(found.body) == operations
    assert_stable(found)


@given(
    delete_options,
    st.sampled_from(["", "?dryRun=All", "?gracePeriodSeconds=5&orphanDependents=1&uid=u&resourceVersion=3"]),
)
@settings(max_examples=60, deadline=None)
def test_a_deletion_says_in_its_body_what_it_means_and_nothing_in_its_query(options, query):
    for body in (json.dumps(options), ""):
        found = canonical("DELETE", POD + query, {"Content-Type": "application/json"} if body else {}, body)
        assert found.query == ()
        assert found.document["kind"] == "DeleteOptions"
        assert found.dry_run == (found.document.get("dryRun") == ["All"])
        assert_stable(found)


@pytest.mark.parametrize(
    "number",
    [
        "0.1",
        "1e-7",
        "1.7976931348623157e308",
        "123456789012345678901234567890",
        "-0.0",
        "9007199254740993",
        "5e-324",
        "1E2",
    ],
)
def test_numbers_keep_their_value(number):
    found = canonical("POST", PODS, {}, f'{{"a":{number}}}')
    assert json.loads(found.body, parse_float=float) == json.loads(f'{{"a":{number}}}')
    assert_stable(found)


def test_an_upgrade_is_stable():
    assert_stable(canonical("GET", POD + "/exec?command=a&command=&command=b+c&stdin=1&tty=0", WEBSOCKET))


def calls(action: Callable[[], object]) -> int:
    """Function calls, of Python and of C, that an action makes."""
    count = 0

    def seen(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(seen)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


JSON = (b"Content-Type", b"application/json")
YAML = (b"Content-Type", b"application/yaml")
MERGE = (b"Content-Type", b"application/merge-patch+json")
GROWING: dict[str, Callable[[int], RawRequest]] = {
    "segments": lambda n: raw("GET", "/api/v1/pods" + "/a" * n),
    "escapes in the path": lambda n: raw("GET", "/api/v1/pods/" + "%40" * n),
    "refused segments": lambda n: raw("GET", "/api/v1/pods" + "/%2e" * n),
    "slashes": lambda n: raw("GET", "/api/v1/pods" + "/" * n),
    "a long name": lambda n: raw("GET", "/api/v1/pods/" + "a" * n * 20 + "!"),
    "parameters": lambda n: raw("GET", PODS + "?" + "&".join(f"x{i}=1" for i in range(n))),
    "one parameter again": lambda n: raw("GET", PODS + "?" + "&".join(["limit=1"] * n)),
    "escapes in a parameter": lambda n: raw("GET", PODS + "?continue=" + "%41" * n),
    "plus signs": lambda n: raw("GET", PODS + "?continue=" + "+" * n),
    "commands": lambda n: raw("POST", POD + "/exec?" + "&".join(["command=a"] * n)),
    "field terms": lambda n: raw("GET", PODS + "?fieldSelector=" + ",".join(["metadata.name%3Da"] * n)),
    "escaped field terms": lambda n: raw("GET", PODS + "?fieldSelector=a%3D" + "%5C%5C" * n),
    "label terms": lambda n: raw("GET", PODS + "?labelSelector=" + ",".join(["a"] * n)),
    "label values": lambda n: raw("GET", PODS + f"?labelSelector=a+in+({','.join(f'v{i}' for i in range(n))})"),
    "label symbols": lambda n: raw("GET", PODS + "?labelSelector=" + "!" * n),
    "a long label": lambda n: raw("GET", PODS + "?labelSelector=" + "a-" * n),
    "a long prefix": lambda n: raw("GET", PODS + "?labelSelector=" + "a." * n + "-/b"),
    "digits": lambda n: raw("GET", PODS + "?limit=" + "9" * n),
    "headers": lambda n: RawRequest(b"GET", POD.encode(), tuple((b"x-%d" % i, b"a") for i in range(min(n, 250))), b""),
    "a long header": lambda n: RawRequest(b"GET", POD.encode(), ((b"Accept", b"a," * n), (b"Connection", b"b," * n)), b""),
    "sub-protocols": lambda n: raw("GET", POD + "/exec", WEBSOCKET | {"Sec-WebSocket-Protocol": "v5.channel.k8s.io," * n}),
    "keys": lambda n: RawRequest(b"POST", PODS.encode(), (JSON,), json.dumps({str(i): i for i in range(n)}).encode()),
    "items": lambda n: RawRequest(b"PATCH", POD.encode(), (MERGE,), json.dumps({"a": [{"b": 1}] * n}).encode()),
    "a duplicate after many keys": lambda n: RawRequest(b"POST", PODS.encode(), (JSON,), b"{" + b"".join(b'"%d":1,' % i for i in range(n)) + b'"0":1}'),
    "brackets": lambda n: RawRequest(b"POST", PODS.encode(), (JSON,), b"[" * n),
    "yaml items": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"a:\n" + b"- {b: 1}\n" * n),
    "yaml keys": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"".join(b"k%d: v\n" % i for i in range(n))),
    "yaml comments": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"# x\n" * n + b"a: b\n"),
    "yaml brackets": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"[" * n),
    "yaml braces": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"{" * n),
    "yaml brackets in keys": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"[a]: " * n),
    "yaml dashes": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"- " * n),
    "yaml flow items": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"[" + b"a, " * n + b"]"),
    "yaml quotes": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"a: '" + b"''" * n + b"'\n"),
    "yaml escapes": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b'a: "' + b"\\x41" * n + b'"\n'),
    "yaml text": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"a: |\n" + b"  b\n" * n),
    "yaml words": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"a: " + b"b " * n),
    "yaml colons": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"a: " * n),
    "yaml questions": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"? " * n),
    "yaml indents": lambda n: RawRequest(b"POST", PODS.encode(), (YAML,), b"".join(b" " * (i % 50) + b"- \n" for i in range(n))),
}  # fmt: skip
SMALL, TIMES = 120, 5
# What may grow faster than the request: sorting, and looking at a request at all.
SLACK = 1.25


@pytest.mark.parametrize("make", GROWING.values(), ids=GROWING)
def test_the_work_grows_as_the_request_does(make):
    def work(size: int) -> int:
        request = make(size)

        def once() -> None:
            try:
                canonicalise(request)
            except Refused:
                return

        once()  # caches are filled
        return calls(once)

    small, large = work(SMALL), work(SMALL * TIMES)
    assert large <= small * TIMES * SLACK
