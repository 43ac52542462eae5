"""Watches and followed logs, over real HTTPS."""

from __future__ import annotations

import http.client
import json
import threading

import pytest

from pratique.sandbox.cluster import Sandbox
from tests.sandbox.kit import Client, pod

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def _events(response: http.client.HTTPResponse, count: int) -> list[dict]:
    return [json.loads(response.readline()) for _ in range(count)]


def _maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def _version(client: Client, namespace: str) -> str:
    return client.ok("GET", _maps(namespace))["metadata"]["resourceVersion"]


def test_a_watch_tells_what_happens_and_leaves_the_rest_out(client, namespace):
    query = f"?watch=1&resourceVersion={_version(client, namespace)}&labelSelector=w%3D1"
    response = client.send("GET", _maps(namespace) + query)
    assert response.getheader("Transfer-Encoding") == "chunked"
    client.ok("POST", _maps(namespace), {"metadata": {"name": "other"}})
    client.ok("POST", _maps(namespace), {"metadata": {"name": "a", "labels": {"w": "1"}}, "data": {"k": "1"}})
    client.ok("PUT", f"{_maps(namespace)}/a", {"metadata": {"name": "a", "labels": {"w": "1"}}, "data": {"k": "2"}})
    client.ok("PUT", f"{_maps(namespace)}/a", {"metadata": {"name": "a"}, "data": {"k": "3"}})
    client.ok("PUT", f"{_maps(namespace)}/a", {"metadata": {"name": "a", "labels": {"w": "1"}}})
    client.ok("DELETE", f"{_maps(namespace)}/a")
    events = _events(response, 5)
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]
    assert events[0]["object"]["kind"] == "ConfigMap"
    assert events[2]["object"]["data"] == {"k": "3"}


def test_a_watch_without_a_version_starts_with_what_is_there(client, namespace):
    client.ok("POST", _maps(namespace), {"metadata": {"name": "a"}})
    response = client.send("GET", f"{_maps(namespace)}?watch")
    assert {event["object"]["metadata"]["name"] for event in _events(response, 2)} == {"a", "kube-root-ca.crt"}


@pytest.mark.parametrize(
    "path", ["watch/namespaces/{0}/configmaps", "watch/namespaces/{0}/configmaps/kube-root-ca.crt"]
)
def test_the_old_watch_paths_are_served(client, namespace, path):
    response = client.send("GET", "/api/v1/" + path.format(namespace))
    assert _events(response, 1)[0]["object"]["metadata"]["name"] == "kube-root-ca.crt"


def test_a_watch_list_ends_its_start_with_a_bookmark(client, namespace):
    query = "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    added, bookmark = _events(client.send("GET", _maps(namespace) + query), 2)
    assert (added["type"], bookmark["type"]) == ("ADDED", "BOOKMARK")
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert client("GET", f"{_maps(namespace)}?watch=1&sendInitialEvents=true").code == 422


def test_a_watch_table_has_its_columns_once(client, namespace):
    query = "?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    response = client.send("GET", _maps(namespace) + query, Accept=TABLE)
    first, bookmark = _events(response, 2)
    client.ok("POST", _maps(namespace), {"metadata": {"name": "b"}})
    (second,) = _events(response, 1)
    assert first["object"]["columnDefinitions"]
    assert (bookmark["object"]["kind"], bookmark["object"]["rows"]) == ("Table", [])
    assert second["object"]["columnDefinitions"] is None
    assert second["object"]["rows"][0]["cells"][0] == "b"


def test_a_metadata_watch_carries_metadata_only(client, namespace):
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    (event,) = _events(client.send("GET", f"{_maps(namespace)}?watch=1", Accept=accept), 1)
    assert set(event["object"]) == {"kind", "apiVersion", "metadata"}


def test_a_watch_ends_properly_at_its_timeout(client, namespace):
    query = f"?watch=1&timeoutSeconds=1&resourceVersion={_version(client, namespace)}"
    response = client.send("GET", _maps(namespace) + query)
    assert response.read() == b""


def test_a_version_that_is_too_old_is_a_410_event(sandbox, client, namespace):
    old = _version(client, namespace)
    client.ok("POST", _maps(namespace), {"metadata": {"name": "a"}})
    sandbox.call(lambda cluster: cluster.store.compact())
    (event,) = _events(client.send("GET", f"{_maps(namespace)}?watch=1&resourceVersion={old}"), 1)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    assert client("GET", f"{_maps(namespace)}?watch=1&resourceVersion=x").code == 400


def test_bookmarks_come_when_nothing_happens(client, namespace, monkeypatch):
    monkeypatch.setattr("pratique.sandbox.streams.BOOKMARK_SECONDS", 0.05)
    version = _version(client, namespace)
    response = client.send("GET", f"{_maps(namespace)}?watch=1&allowWatchBookmarks=true&resourceVersion={version}")
    assert _events(response, 1)[0]["type"] == "BOOKMARK"


def test_a_watcher_that_left_is_forgotten(sandbox: Sandbox, client, namespace):
    before = sandbox.call(lambda cluster: len(cluster._streams))
    response = client.send("GET", f"{_maps(namespace)}?watch=1")
    response.readline()
    response.close()
    for _ in range(100):
        client.ok("GET", "/version")
        if sandbox.call(lambda cluster: len(cluster._streams)) <= before:
            return
    pytest.fail("the watch goes on without a client")


# -- logs --------------------------------------------------------------------------------------------------------------
@pytest.fixture
def noisy(sandbox: Sandbox, client: Client, namespace: str) -> str:
    client.ok("POST", f"/api/v1/namespaces/{namespace}/pods", pod())
    for number in range(3):
        sandbox.append_log(namespace, "p", "c", f"line {number}")
    return f"/api/v1/namespaces/{namespace}/pods/p/log"


@pytest.mark.parametrize(
    ("query", "expected"),
    [("", b"line 0\nline 1\nline 2\n"), ("?tailLines=1", b"line 2\n"), ("?tailLines=0", b""), ("?limitBytes=4", b"line"),
     ("?sinceSeconds=60", b"line 0\nline 1\nline 2\n"), ("?sinceTime=2999-01-01T00:00:00Z", b""), ("?container=c&tailLines=1", b"line 2\n")],
)  # fmt: skip
def test_logs_by_option(client, noisy, query, expected):
    reply = client("GET", noisy + query)
    assert (reply.code, reply.headers["content-type"], reply.body) == (200, "text/plain", expected)


def test_timestamps_go_before_the_line(client, noisy):
    line = client("GET", f"{noisy}?timestamps=true&tailLines=1").body
    assert line[10:11] == b"T"
    assert line.endswith(b"Z line 2\n")


@pytest.mark.parametrize(
    ("query", "code"), [("?container=x", 400), ("?previous=true", 400), ("?sinceTime=x", 400), ("?tailLines=-1", 422)]
)
def test_logs_that_are_refused(client, noisy, query, code):
    assert client("GET", noisy + query).code == code


def test_a_pod_of_several_containers_needs_a_name(client):
    name = client.ok("GET", "/api/v1/namespaces/payments/pods?labelSelector=app%3Dapi")["items"][0]["metadata"]["name"]
    reply = client("GET", f"/api/v1/namespaces/payments/pods/{name}/log")
    assert (reply.code, "choose one of: [api metrics]" in reply.json["message"]) == (400, True)


def test_following_shows_new_lines_as_they_come(sandbox, client, noisy, namespace):
    response = client.send("GET", f"{noisy}?follow=true&tailLines=1")
    assert response.readline() == b"line 2\n"
    writer = threading.Timer(0.05, sandbox.append_log, (namespace, "p", "c", "fresh"))
    writer.start()
    assert response.readline() == b"fresh\n"
    response.close()
