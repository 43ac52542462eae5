"""Only what is known to be a read is ever sent again."""

from __future__ import annotations

import pytest

from pratique.recorder.chain import GENESIS, Entry, Kind
from pratique.recorder.reads import read
from pratique.recorder.timeline import Row, row
from tests.recorder.support import record


def made(**changes: object) -> Row:
    what = record(1, **changes)
    return row(Entry(n=1, kind=Kind.RECORD, time=1.0, prev=GENESIS, record=what), what)


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({}, "/api/v1/namespaces/default/pods?limit=5"),
        ({"query": ""}, "/api/v1/namespaces/default/pods"),
        ({"verb": "get", "resource": "", "path": "/version", "query": ""}, "/version"),
        ({"verb": "watch", "query": "watch=true&timeoutSeconds=300"}, "/api/v1/namespaces/default/pods?watch=true&timeoutSeconds=1"),
        ({"verb": "get", "subresource": "log", "path": "/api/v1/namespaces/d/pods/p/log", "query": "follow=true"},
         "/api/v1/namespaces/d/pods/p/log?follow=true"),
        ({"query": "labelSelector=a%3Db%26c"}, "/api/v1/namespaces/default/pods?labelSelector=a%3Db%26c"),
        ({"status": 403, "verdict": "Deny"}, "/api/v1/namespaces/default/pods?limit=5"),
    ],
)  # fmt: skip
def test_a_read_is_sent_as_it_was_recorded(changes: dict[str, object], target: str) -> None:
    assert read(made(**changes)).target == target


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": "POST", "verb": "create"}, "not a read"),
        ({"method": "DELETE", "verb": "delete"}, "not a read"),
        ({"method": "POST"}, "not a read"),
        ({"method": "HEAD"}, "not a read"),
        ({"verb": "proxy"}, "not a read"),
        ({"verb": ""}, "not a read"),
        ({"verb": "get", "subresource": "exec"}, "a connection"),
        ({"verb": "get", "subresource": "attach"}, "a connection"),
        ({"verb": "get", "subresource": "portforward"}, "a connection"),
        ({"verb": "get", "subresource": "proxy"}, "a connection"),
        ({"verb": "get", "path": "/api/v1/namespaces/d/pods/p/exec"}, "a connection"),
        ({"verb": "get", "path": "/api/v1/nodes/n/proxy/run"}, "a connection"),
        ({"query": "token=**scrubbed**"}, "a part was not recorded"),
        ({"path": "/api/v1/secrets/**scrubbed**"}, "a part was not recorded"),
        ({"query": "x=%2A%2Ascrubbed%2A%2A"}, "a part was not recorded"),
        ({"approval_id": "apr-1"}, "needs an approval"),
        ({"status": 0}, "no answer is recorded"),
        ({"path": "http://elsewhere/"}, "no path"),
    ],
)
def test_anything_else_is_not(changes: dict[str, object], reason: str) -> None:
    found = read(made(**changes))
    assert (found.target, found.reason) == ("", reason)
