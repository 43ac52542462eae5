"""Requests that read masked values without being shown them (leaks.md C5 to C7, E)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from pratique.errors import Refused
from pratique.kube.attributes import RequestAttributes, request_attributes
from pratique.masking.oracles import RULE, refuse_oracles
from tests.masking.canary import VALUE
from tests.masking.session import default_masks, masks

N = "/api/v1/namespaces/t1"
SECRET, POD, CONFIGMAP, SERVICE = f"{N}/secrets/s1", f"{N}/pods/p", f"{N}/configmaps/c", f"{N}/services/s"
DEPLOYMENT, CUSTOM = "/apis/apps/v1/namespaces/t1/deployments/d", "/apis/example.com/v1/namespaces/t1/things/x"


@dataclass
class Asked:
    attributes: RequestAttributes
    document: Any = None
    patch_type: str = ""


def patch(target: str, *operations: Any) -> Asked:
    return Asked(request_attributes("PATCH", target.encode()), list(operations), "json-patch")


def refused(asked: Asked, client: str = "agent") -> Refused:
    with pytest.raises(Refused) as caught:
        refuse_oracles(asked, default_masks(), client)
    assert caught.value.rule == RULE
    assert VALUE not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("op", ["copy", "move"])
@pytest.mark.parametrize(
    ("target", "pointer"),
    [
        (SECRET, "/data/password"),
        (SECRET, "/data/pass~1word"),
        (SECRET, "/data/x~01"),
        (SECRET, "/data"),
        (SECRET, ""),
        (SECRET, "/stringData/x"),
        (SECRET, "/metadata/annotations"),
        (SECRET, "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration"),
        (SECRET, "data/password"),
        (SECRET, None),
        (SECRET, 7),
        (SECRET, "/a" * 200),
        (CONFIGMAP, "/data/application.properties"),
        (CONFIGMAP, "/binaryData/x"),
        (CONFIGMAP, "/data"),
        (POD, "/spec/containers/0/env/3/value"),
        (POD, "/spec/containers/0/args/1"),
        (DEPLOYMENT, "/spec/template/spec/containers/0/command"),
        (CUSTOM, "/spec/password"),
        (CUSTOM, "/spec/users/0/apiKey"),
    ],
)
def test_c5_c6_a_patch_may_not_carry_a_masked_value_to_another_place(target: str, op: str, pointer: Any) -> None:
    refusal = refused(patch(target, {"op": op, "from": pointer, "path": "/metadata/annotations/x"}))
    assert (refusal.code, refusal.reason) == (422, "Invalid")
    assert refusal.causes[0].field == str(pointer)


@pytest.mark.parametrize("target", [POD, CONFIGMAP, DEPLOYMENT, CUSTOM])
@pytest.mark.parametrize("into", ["/metadata/labels/x", "/metadata/generateName", "/metadata/annotations/x"])
def test_c5_no_text_is_carried_to_where_no_pattern_looks(target: str, into: str) -> None:
    refused(patch(target, {"op": "copy", "from": "/spec/description", "path": into}))


@pytest.mark.parametrize(
    ("target", "pointer", "value"),
    [
        (SECRET, "/data/password", "Z3Vlc3M="),
        (SECRET, "/data", {"password": "Z3Vlc3M="}),
        (SECRET, "", {"data": {}}),
        (SECRET, "/", "x"),
        (SECRET, "data/password", "x"),
        (CUSTOM, "/spec/password", "guess"),
        (CUSTOM, "/spec", {"password": "guess"}),
        (CUSTOM, "/spec/users/0", {"name": "u", "token": "guess"}),
        (POD, "/spec/containers/0/env/0/value", "guess"),
        (POD, "/spec/containers/0/env/0", {"name": "DB_PASSWORD", "value": "guess"}),
        (POD, "/spec", {"containers": [{"env": [{"name": "DB_PASSWORD", "value": "guess"}]}]}),
        (POD, "/spec/containers/0/args", ["--token", "guess"]),
        (CUSTOM, "/spec/note", "token=guess-guess"),
        (CONFIGMAP, "/data/x", "guess"),
    ],
)
def test_c7_a_patch_may_not_test_a_guess(target: str, pointer: str, value: Any) -> None:
    assert refused(patch(target, {"op": "test", "path": pointer, "value": value})).code == 422


@pytest.mark.parametrize(
    ("target", "operation"),
    [
        (SECRET, {"op": "replace", "path": "/data/password", "value": "bmV3"}),
        (SECRET, {"op": "remove", "path": "/data/password"}),
        (SECRET, {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}),
        (SECRET, {"op": "test", "path": "/metadata/name", "value": "s1"}),
        (SECRET, {"op": "test", "path": "/type", "value": "Opaque"}),
        (DEPLOYMENT, {"op": "test", "path": "/spec/replicas", "value": 3}),
        (DEPLOYMENT, {"op": "test", "path": "/spec/template/spec/containers/0/image", "value": "nginx:1.27"}),
        (
            DEPLOYMENT,
            {"op": "test", "path": "/spec/template/spec/containers/0", "value": {"name": "c", "image": "nginx"}},
        ),
        (DEPLOYMENT, {"op": "copy", "from": "/spec/replicas", "path": "/spec/revisionHistoryLimit"}),
        (DEPLOYMENT, {"op": "copy", "from": "/metadata/labels", "path": "/spec/selector/matchLabels"}),
        (SERVICE, {"op": "move", "from": "/metadata/labels/a", "path": "/metadata/labels/b"}),
        (CUSTOM, {"op": "test", "path": "/spec/passwordSecretRef", "value": {"name": "a", "key": "b"}}),
        (CUSTOM, {"op": "test", "path": "/spec/replicas", "value": 2}),
    ],
)
def test_honest_patches_pass(target: str, operation: Any) -> None:
    refuse_oracles(patch(target, operation), default_masks(), "agent")


@pytest.mark.parametrize("document", [None, {}, "x", [1, None, "copy"], [{"op": ["copy"]}], [{}]])
def test_what_is_no_patch_is_left_to_the_api_server(document: Any) -> None:
    refuse_oracles(
        Asked(request_attributes("PATCH", SECRET.encode()), document, "json-patch"), default_masks(), "agent"
    )


def test_every_operation_at_fault_is_a_cause() -> None:
    operations = [{"op": "test", "path": "/data/a", "value": "x"}, {"op": "copy", "from": "/data/b", "path": "/data/c"}]
    refusal = refused(patch(SECRET, {"op": "remove", "path": "/data/z"}, *operations))
    assert [cause.field for cause in refusal.causes] == ["/data/a", "/data/b"]


@pytest.mark.parametrize(
    "selector",
    ["data.password%3DZ3Vlc3M", "spec.password%3Dguess", "metadata.name%3Dx,spec.apiKey%3Dguess", "spec.password!%3Dguess",
     "spec.users[0].token%3Dx", "spec.auth.value%3D%3Dguess"],
)  # fmt: skip
@pytest.mark.parametrize(
    "target", ["/apis/example.com/v1/things", "/apis/example.com/v1/namespaces/t1/things?watch=1&x=1"]
)
def test_e_a_field_selector_may_not_ask_for_a_masked_field(target: str, selector: str) -> None:
    if selector.startswith("data"):
        target = target.replace("/apis/example.com/v1", "/api/v1").replace("things", "secrets")
    attributes = request_attributes("GET", f"{target}{'&' if '?' in target else '?'}fieldSelector={selector}".encode())
    refusal = refused(Asked(attributes))
    assert (refusal.code, refusal.reason) == (403, "Forbidden")
    assert "guess" not in str(refusal)


def test_e_also_where_a_collection_is_deleted() -> None:
    refused(Asked(request_attributes("DELETE", b"/apis/example.com/v1/things?fieldSelector=spec.password%3Dx")))


@pytest.mark.parametrize(
    "target",
    [f"{N}/secrets?fieldSelector=metadata.name%3Ds1,type%3DOpaque", f"{N}/pods?fieldSelector=spec.nodeName%3Da,status.phase!%3DRunning",
     f"{N}/events?fieldSelector=involvedObject.name%3Da", "/apis/example.com/v1/things?fieldSelector=spec.secretName%3Da"],
)  # fmt: skip
def test_e_ordinary_field_selectors_pass(target: str) -> None:
    refuse_oracles(Asked(request_attributes("GET", target.encode())), default_masks(), "agent")


def test_a_client_that_sees_values_may_compare_them() -> None:
    only = masks("{name: a, match: {resources: [secrets]}, jsonPaths: ['$.data.*']}", head="  clients: [other]\n")
    asked = patch(SECRET, {"op": "test", "path": "/data/password", "value": "x"})
    refuse_oracles(asked, only, "agent")
    with pytest.raises(Refused):
        refuse_oracles(asked, only, "other")
