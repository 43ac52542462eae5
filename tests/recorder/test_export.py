"""Exports have the shape that others read, and hold nothing that the recording does not."""

from __future__ import annotations

import json

from pratique.recorder.chain import GENESIS, Entry, Kind
from pratique.recorder.export import audit_event, har, har_entry
from pratique.recorder.flowfile import decode
from pratique.recorder.record import Opened, Record, Stage
from tests.recorder.support import flow, record, session_id

OPENED = Opened(session=session_id(), client="agent", source_ip="10.0.0.9", claims={"user_agent": "kubectl"})


def entry(what: Record | None) -> Entry:
    return Entry(n=4, kind=Kind.RECORD, time=1.0, prev=GENESIS, record=what)


def test_an_audit_event_has_the_api_servers_shape() -> None:
    made = record(1, masks=("secrets/data",), subresource="log", name="web", api_group="apps", message="why",
                  approval_id="ap", errors=("e",), impersonated="bob")  # fmt: skip
    assert audit_event("s", OPENED, entry(made)) == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": "audit-1",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/default/pods?limit=5",
        "verb": "list",
        "user": {"username": "agent"},
        "impersonatedUser": {"username": "bob"},
        "sourceIPs": ["10.0.0.9"],
        "userAgent": "kubectl",
        "objectRef": {"resource": "pods", "namespace": "default", "name": "web", "apiGroup": "apps", "apiVersion": "v1",
                      "subresource": "log"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2026-01-01T12:00:01.000000Z",
        "stageTimestamp": "2026-01-01T12:00:02.000000Z",
        "annotations": {
            "pratique/session": "s", "pratique/entry": "4", "pratique/verdict": "Allow",
            "pratique/rules": "readers/pods", "pratique/approval": "ap", "pratique/masks": "secrets/data",
            "pratique/errors": "e", "pratique/answered-by": "upstream",
        },
    }  # fmt: skip


def test_a_non_resource_request_has_no_object() -> None:
    event = audit_event("s", Opened(session="s"), entry(Record(method="GET", path="/healthz", client="c")))
    assert event is not None
    assert "objectRef" not in event
    assert (event["verb"], event["requestURI"], event["user"]) == ("get", "/healthz", {"username": "c"})


def test_entries_without_a_request_are_no_audit_events() -> None:
    assert audit_event("s", OPENED, entry(None)) is None
    assert audit_event("s", OPENED, entry(record(1, stage=Stage.EVENT))) is None


def test_a_har_entry_shows_request_and_answer() -> None:
    document = har([har_entry(decode(flow(1)), record(1, note="seen"))], "0.1")
    json.dumps(document)
    made = document["log"]["entries"][0]
    assert made["request"]["url"] == "https://api:6443/api/v1/pods?limit=5"
    assert made["request"]["queryString"] == [{"name": "limit", "value": "5"}]
    assert made["response"]["content"] == {"size": 5, "mimeType": "text/plain", "text": "body1"}
    assert (made["time"], made["_auditID"], made["_verdict"], made["comment"]) == (
        2000.0,
        "audit-1",
        "Allow",
        "Allow readers/pods · seen",
    )


def test_binary_bodies_are_base64_and_a_missing_answer_is_status_0() -> None:
    state = decode(flow(1, b"\xff"))
    assert har_entry(state, None)["response"]["content"]["encoding"] == "base64"
    state["request"]["content"] = b"x=1"
    state["response"] = None
    made = har_entry(state, None)
    assert made["response"]["status"] == 0
    assert made["request"]["postData"]["text"] == "x=1"
    json.dumps(har_entry({}, None))
