"""Audit events out of CloudWatch Logs: the calls by botocore's own model of them, the pages, and what cannot be read."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pratique.errors import RecordError
from pratique.recorder import cloudwatch

GROUP = "/aws/eks/prod/cluster"


@pytest.fixture
def logs() -> Any:
    return boto3.client("logs", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y")


def test_every_page_of_the_audit_streams_is_read(logs: Any) -> None:
    asked = {"logGroupName": GROUP, "logStreamNamePrefix": "kube-apiserver-audit-", "startTime": 1_790_000_000_000}
    pages = [
        ({"events": [{"message": '{"auditID":"a"}'}, {"message": '{"auditID":"cut'}], "nextToken": "t"}, asked),
        ({"events": [], "nextToken": "u"}, {**asked, "nextToken": "t"}),  # CloudWatch sends empty pages
        ({"events": [{"message": '{"auditID":"b"}'}]}, {**asked, "nextToken": "u"}),
    ]
    with Stubber(logs) as stub:
        for page, expected in pages:
            stub.add_response("filter_log_events", page, expected)
        assert list(cloudwatch.events(GROUP, 1_790_000_000.0, logs)) == [{"auditID": "a"}, None, {"auditID": "b"}]
        stub.assert_no_pending_responses()


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException", "ThrottlingException"])
def test_a_refusal_says_what_to_look_at(logs: Any, code: str) -> None:
    with Stubber(logs) as stub:
        stub.add_client_error("filter_log_events", code, "arn:aws:secret-text")
        with pytest.raises(RecordError) as raised:
            list(cloudwatch.events(GROUP, 0.0, logs))
    assert code in str(raised.value)
    assert "logs:FilterLogEvents" in str(raised.value)
    assert "secret-text" not in str(raised.value)


def test_the_client_is_boto3s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert cloudwatch.client().meta.service_model.service_name == "logs"  # type: ignore[attr-defined]
