"""The gateway's own requests are about what the client's request is about, and a write is tied to what was judged."""

from __future__ import annotations

import json

import pytest

from pratique.errors import Refused
from pratique.kube import rehearsal
from pratique.kube.rehearsal import Precondition
from tests.kube import requests

POD = "/api/v1/namespaces/dev/pods/web"
NOW = Precondition("12", "u-1")
MERGE = "application/merge-patch+json"


def canonical(method, path, body=None, content_type=""):
    headers = {"Content-Type": content_type or "application/json"} if body is not None else {}
    if body is not None:
        headers["Content-Length"] = str(len(json.dumps(body)))
    return requests.canonical(method, path, headers, b"" if body is None else body)


def patch(path, body, kind=MERGE):
    return canonical("PATCH", path, body, kind)


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("DELETE", POD, POD),
        ("GET", f"{POD}/exec?command=id&stdout=true", POD),
        ("POST", f"{POD}/eviction", POD),
        ("PUT", f"{POD}/status", POD),
        ("GET", "/api/v1/namespaces/exec/pods/exec/exec?command=id&stdout=true", "/api/v1/namespaces/exec/pods/exec"),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/dev/deployments/web/scale?force=true",
            "/apis/apps/v1/namespaces/dev/deployments/web/scale",
        ),
        ("PUT", "/api/v1/namespaces/dev/finalize", "/api/v1/namespaces/dev"),
        ("GET", "/api/v1/nodes/n1/proxy/pods/proxy/x", "/api/v1/nodes/n1"),
        ("POST", "/api/v1/namespaces/dev/pods", None),
        ("GET", "/api/v1/namespaces/dev/pods", None),
        ("DELETE", "/api/v1/namespaces/dev/pods", None),
        ("GET", "/version", None),
    ],
)
def test_the_live_object_is_the_one_that_the_request_acts_on(method, path, target):
    body = {"PATCH": {}, "PUT": {}, "POST": {}}.get(method)
    found = rehearsal.live(canonical(method, path, body, content_type=MERGE if method == "PATCH" else ""))
    assert (found and found.target.decode()) == target
    if found:
        assert (found.method, found.attributes.verb, found.body) == ("GET", "get", b"")


def test_a_dry_run_is_the_same_write_with_nothing_else_changed():
    write = patch(f"{POD}?fieldManager=me", {"metadata": {"labels": {"a": "b"}}})
    rehearsed = rehearsal.dry_run(write)
    assert rehearsed.target == f"{POD}?dryRun=All&fieldManager=me".encode()
    assert (rehearsed.body, rehearsed.document, rehearsed.method) == (write.body, write.document, "PATCH")
    assert rehearsed.dry_run
    assert rehearsal.dry_run(rehearsed).target == rehearsed.target


def test_a_dry_run_of_a_delete_stands_in_its_body_as_the_server_wants_it():
    rehearsed = rehearsal.dry_run(canonical("DELETE", f"{POD}?gracePeriodSeconds=3"))
    assert rehearsed.document["dryRun"] == ["All"]
    assert rehearsed.document["gracePeriodSeconds"] == 3
    assert b"dryRun" not in rehearsed.target
    assert b'"dryRun":["All"]' in rehearsed.body


@pytest.mark.parametrize("path", [POD, f"{POD}/exec?command=id&stdout=true", "/version"])
def test_reads_and_connections_have_no_dry_run(path):
    with pytest.raises(Refused):
        rehearsal.dry_run(canonical("GET", path))


def test_what_a_selector_selects_is_listed_with_the_same_selectors():
    many = canonical("DELETE", "/api/v1/namespaces/dev/pods?labelSelector=app%3Dx&gracePeriodSeconds=0&limit=3")
    assert rehearsal.selected(many).target == b"/api/v1/namespaces/dev/pods?labelSelector=app%3Dx&limit=500"
    assert rehearsal.selected(many).attributes.verb == "list"


def test_a_namespace_is_asked_for_by_name_only():
    assert rehearsal.namespace("dev").attributes.name == "dev"
    for name in ("a/b", "", "..", "a?x=y", "a%2Fb", "a#b", "a\n", "dév"):
        with pytest.raises(Refused):
            rehearsal.namespace(name)


@pytest.mark.parametrize("kind", [MERGE, "application/strategic-merge-patch+json", "application/apply-patch+yaml"])
def test_bypass_3_17_a_patch_carries_the_version_that_it_was_judged_on(kind):
    query = "?fieldManager=a" if "apply" in kind else ""
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}
    tied = rehearsal.with_precondition(patch(POD + query, body, kind), NOW)
    assert tied.document["metadata"] == {"name": "web", "resourceVersion": "12"}
    assert b'"resourceVersion":"12"' in tied.body


def test_bypass_3_17_a_json_patch_sets_the_version_last_so_that_no_operation_takes_it_away():
    operations = [{"op": "replace", "path": "/metadata", "value": {"name": "web"}}]
    tied = rehearsal.with_precondition(patch(POD, operations, "application/json-patch+json"), NOW)
    assert tied.document == [*operations, {"op": "add", "path": "/metadata/resourceVersion", "value": "12"}]


def test_bypass_6_6_put_delete_and_eviction_carry_the_state_that_they_were_judged_on():
    put = rehearsal.with_precondition(canonical("PUT", POD, {"metadata": {"name": "web"}}), NOW)
    assert put.document["metadata"]["resourceVersion"] == "12"
    deleted = rehearsal.with_precondition(canonical("DELETE", POD), NOW)
    assert deleted.document["preconditions"] == {"resourceVersion": "12", "uid": "u-1"}
    evicted = rehearsal.with_precondition(canonical("POST", f"{POD}/eviction", {"metadata": {"name": "web"}}), NOW)
    assert evicted.document["deleteOptions"]["preconditions"] == {"resourceVersion": "12", "uid": "u-1"}


def test_a_write_that_was_judged_on_no_object_must_find_none():
    apply = patch(f"{POD}?fieldManager=a", {"metadata": {"name": "web"}}, "application/apply-patch+yaml")
    tied = rehearsal.with_precondition(apply, rehearsal.precondition_of(None))
    assert tied.document["metadata"]["resourceVersion"] == rehearsal.NO_OBJECT == "1"
    assert rehearsal.precondition_of({"metadata": {"name": "made", "uid": "new"}}) == Precondition("1")


@pytest.mark.parametrize(
    "request_",
    [
        canonical("PUT", POD, {"metadata": {"name": "web", "resourceVersion": "11"}}),
        patch(POD, {"metadata": {"resourceVersion": "13"}}),
        patch(POD, {"metadata": {"resourceVersion": ["12"]}}),
        canonical("DELETE", POD, {"preconditions": {"resourceVersion": "11"}}),
        canonical("DELETE", POD, {"preconditions": {"uid": "u-2"}}),
        *(
            patch(POD, [{"op": "add", "path": path, "value": value}], "application/json-patch+json")
            for path, value in (
                ("/metadata/resourceVersion", "11"),
                ("/metadata", {"resourceVersion": "11"}),
                ("", {"metadata": {"resourceVersion": "11"}}),
            )
        ),
    ],
)
def test_a_client_that_asks_for_another_version_gets_the_conflict_that_the_server_would_give(request_):
    with pytest.raises(Refused) as caught:
        rehearsal.with_precondition(request_, NOW)
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")


@pytest.mark.parametrize("given", [None, "", "0", "12"])
def test_a_client_that_asks_for_the_same_version_or_for_any_is_tied(given):
    metadata = {} if given is None else {"resourceVersion": given}
    tied = rehearsal.with_precondition(canonical("PUT", POD, {"metadata": metadata}), NOW)
    assert tied.document["metadata"]["resourceVersion"] == "12"


@pytest.mark.parametrize(
    "request_",
    [
        patch(POD, {"metadata": None}),
        patch(POD, {"metadata": {"$patch": "replace"}}, "application/strategic-merge-patch+json"),
        canonical("POST", f"{POD}/eviction", {"deleteOptions": [1]}),
    ],
)
def test_a_body_that_leaves_no_place_for_the_version_is_refused(request_):
    with pytest.raises(Refused) as caught:
        rehearsal.with_precondition(request_, NOW)
    assert caught.value.code == 422


def test_reads_and_connections_go_as_they_are():
    for path in (POD, f"{POD}/exec?command=id&stdout=true"):
        request = canonical("GET", path)
        assert rehearsal.with_precondition(request, NOW) is request


@pytest.mark.parametrize("found", [[], "x", {}, {"metadata": 1}, {"metadata": {"resourceVersion": 3}}])
def test_an_answer_that_is_no_object_ties_nothing(found):
    with pytest.raises(Refused):
        rehearsal.precondition_of(found)
