"""Recordings and the server's audit log are joined by Audit-ID; what differs or is left over is named."""

from __future__ import annotations

from typing import Any

import pytest

from pratique.recorder.join import join
from pratique.recorder.record import Record, Stage


def record(audit_id: str = "a", **more: Any) -> Record:
    fields: dict[str, Any] = {
        "verb": "get", "api_version": "v1", "resource": "pods", "namespace": "n", "name": "p", "answered_by": "upstream",
    }  # fmt: skip
    return Record(audit_id=audit_id, **{**fields, **more})


def event(audit_id: str = "a", user: str = "role-y", stage: str = "ResponseComplete", **more: Any) -> dict[str, Any]:
    reference = {"resource": "pods", "namespace": "n", "name": "p", "apiVersion": "v1"}
    return {
        "auditID": audit_id,
        "stage": stage,
        "verb": "get",
        "user": {"username": user},
        "objectRef": reference,
        **more,
    }


def test_the_same_request_joins() -> None:
    report = join([record()], [event(stage="RequestReceived"), event()])
    assert (report.joined, report.clean) == (1, True)


def test_the_gateways_own_calls_join_once_also_those_about_a_refused_request() -> None:
    refused = record(answered_by="gateway", own_calls=("a-own-1-live",))
    report = join([record("b"), refused], [event("b"), event("a-own-1-live")])
    assert (report.joined, report.own, report.clean) == (1, 1, True)
    again = join([record("b"), refused], [event("b"), event("a-own-1-live"), event("a-own-1-live"), event("b-own-1-x")])
    assert [each["auditID"] for each in again.around] == ["a-own-1-live", "b-own-1-x"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("verb", "list"),
        ("api_group", "apps"),
        ("api_version", "v2"),
        ("resource", "secrets"),
        ("subresource", "log"),
        ("namespace", "x"),
        ("name", "y"),
    ],
)
def test_each_thing_that_differs_is_named(field: str, value: str) -> None:
    report = join([record(**{field: value})], [event()])
    assert [mismatch.field for mismatch in report.mismatches] == [field]
    assert value in str(report.mismatches[0])
    assert not report.clean


def test_a_create_is_named_by_its_body_in_the_audit_log_only() -> None:
    assert join([record(verb="create", name="")], [event(verb="create")]).clean
    assert not join([record(verb="create", name="other")], [event(verb="create")]).clean
    assert not join([record(verb="get", name="")], [event()]).clean


def test_paths_without_resources_are_compared_as_paths() -> None:
    asked = Record(audit_id="a", verb="get", path="/version", answered_by="upstream")
    seen = {"auditID": "a", "stage": "ResponseComplete", "verb": "get", "requestURI": "/version?timeout=32s"}
    assert join([asked], [seen]).clean
    assert [mismatch.field for mismatch in join([asked], [{**seen, "requestURI": "/metrics"}]).mismatches] == ["path"]


def test_a_request_around_the_gateway_is_reported_for_its_users_only() -> None:
    log = [event(), event("b"), event("c", user="somebody-else")]
    assert [found["auditID"] for found in join([record()], log).around] == ["b"]
    assert [found["auditID"] for found in join([record()], log, frozenset({"somebody-else"})).around] == ["c"]


def test_a_recorded_request_that_the_server_never_saw_is_reported_unless_the_gateway_answered_it() -> None:
    report = join([record(), record("lost"), record("refused", answered_by="gateway"), record("", name="x")], [event()])
    assert report.unseen == ["lost"]


def test_events_of_a_stream_are_not_requests() -> None:
    assert join([record(), record("e", stage=Stage.EVENT)], [event()]).unseen == []


def test_a_request_that_a_crash_cut_off_may_have_reached_the_server_or_not() -> None:
    received = record(stage=Stage.RECEIVED, answered_by="")
    assert join([received], [event()]).clean
    assert join([received], []).clean


def test_an_answer_that_was_withheld_was_sent_all_the_same() -> None:
    withheld = record(answered_by="gateway", sent=True, status=502)
    assert join([record(stage=Stage.RECEIVED, answered_by=""), withheld], [event()]).joined == 1


def test_a_request_that_was_refused_after_its_start_was_recorded_was_not_sent() -> None:
    refused = [record(stage=Stage.RECEIVED, answered_by=""), record(answered_by="gateway")]
    assert join(refused, []).clean
    assert [found["auditID"] for found in join([*refused, record("b")], [event(), event("b")]).around] == ["a"]


def test_fetching_the_keys_of_service_account_tokens_is_no_way_around() -> None:
    keys = {"auditID": "k-own-1-keys", "stage": "ResponseComplete", "verb": "get", "requestURI": "/openid/v1/jwks",
            "user": {"username": "role-y"}}  # fmt: skip
    report = join([record()], [event(), keys])
    assert (report.own, report.clean) == (1, True)
    assert not join([record()], [event(), keys | {"requestURI": "/openid/v1/jwks?x=1"}]).clean
    assert not join([record()], [event(), keys | {"verb": "create"}]).clean
