"""`pratique audit join` against CloudWatch: the same report, without what the log cannot hold yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from pratique.cli import audit
from pratique.cli.audit import of_cloudwatch, records
from pratique.recorder import cloudwatch

GROUP = "/aws/eks/prod/cluster"


def _event(audit_id, **fields):
    return {"auditID": audit_id, "stage": "ResponseComplete", "user": {"username": "role-y"}, **fields}


def _sent(state: Path):
    return [each for each in records(state) if each.answered_by == "upstream" and each.audit_id]


@pytest.fixture
def log(monkeypatch):
    """The events that CloudWatch gives."""
    given = []
    monkeypatch.setattr(cloudwatch, "events", lambda group, since: iter(given))
    return given


def test_what_the_server_never_saw_is_named_once_it_had_time_to_be_delivered(recorded, log, monkeypatch):
    sent = {each.audit_id: each for each in _sent(recorded)}
    youngest = max(each.ended for each in sent.values())
    monkeypatch.setattr(audit.time, "time", lambda: youngest + audit.DELIVERY_SECONDS + 1)
    report = of_cloudwatch(recorded, GROUP, "3650d", frozenset())
    assert report.unseen == sorted(sent)
    monkeypatch.setattr(audit.time, "time", lambda: youngest)
    waiting = of_cloudwatch(recorded, GROUP, "3650d", frozenset())
    assert len(waiting.unseen) < len(sent), "what is younger than the delivery takes is not missed"
    monkeypatch.setattr(audit.time, "time", lambda: youngest + 10 * audit.DELIVERY_SECONDS)
    assert of_cloudwatch(recorded, GROUP, "1s", frozenset()).unseen == [], "nor what is older than was asked for"


def test_what_went_around_is_named_and_what_was_cut_is_counted(recorded, log, capsys):
    log += [_event("around-1", verb="get", requestURI="/api"), None]
    report = of_cloudwatch(recorded, GROUP, "1h", frozenset({"role-y"}))
    assert [each["auditID"] for each in report.around] == ["around-1"]
    assert "1 events were cut" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--audit-log", "x", "--cloudwatch", GROUP], ["--cloudwatch", GROUP, "--since", "soon"]])  # fmt: skip
def test_it_says_what_to_give(run, recorded, log, arguments):
    result = run("audit", "join", "--state", recorded, *arguments)
    assert result.exit_code == 2
    assert "--audit-log FILE" in result.stderr or "no time" in result.stderr
