"""The log as JSON: one object a line whatever is said, ids that join, and no text of an exception."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from pratique.errors import StartError
from pratique.observing.finished import Finished
from pratique.observing.logs import FIELDS, JsonFormatter, decision, request_fields, wants_json


def line(
    message: str, *arguments: Any, level: int = logging.INFO, exc: BaseException | None = None, **extra: Any
) -> Any:
    info = (type(exc), exc, exc.__traceback__) if exc is not None else None
    record = logging.LogRecord("pratique", level, __file__, 1, message, arguments, info)
    for name, value in extra.items():
        setattr(record, name, value)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert text.isascii()
    return json.loads(text)


def test_any_other_format_is_no_start() -> None:
    assert [wants_json(each) for each in ("text", "json")] == [False, True]
    with pytest.raises(StartError, match="`jsno`"):
        wants_json("jsno")


def test_what_is_said_is_a_message_with_time_and_level() -> None:
    found = line("documents reloaded from %s", "a\nb\x1b[31m", level=logging.WARNING)
    assert found["message"] == "documents reloaded from a b\\x1b[31m"
    assert (found["level"], found["event"]) == ("warning", "log")
    assert found["time"].endswith("Z")
    assert len(found["time"]) == len("2026-01-01T00:00:00.000Z")


def test_an_exception_is_its_class_and_place() -> None:
    try:
        raise ValueError("CANARY")
    except ValueError as error:
        found = line("it failed", exc=error)
    assert found["exception"].startswith("ValueError at ")
    assert "test_logs.py:" in found["exception"]
    assert "CANARY" not in json.dumps(found)


def test_a_request_has_the_ids_that_join_it_and_leaves_out_what_is_empty() -> None:
    request = Finished(
        client="agent", session="s-1", audit_id="a-1", approval="apr-1", verb="create", resource="pods",
        subresource="exec", namespace="payments", name="db-0", action="RequireApproval", rules=("p/exec",), code=101,
        masked={"text": 2, "known": 1}, duration=1.23456, held=0.5, upstream=0.25, stream=True,
    )  # fmt: skip
    found = line("request", **{FIELDS: request_fields(request)})
    assert {name: found[name] for name in found if name not in {"time", "level", "message"}} == {
        "event": "request", "client": "agent", "session": "s-1", "approval": "apr-1", "auditID": "a-1",
        "verb": "create", "resource": "pods/exec", "namespace": "payments", "name": "db-0",
        "verdict": "RequireApproval", "rules": ["p/exec"], "code": 101, "masked": 3, "stream": True,
        "seconds": 1.2346, "held": 0.5, "upstream": 0.25,
    }  # fmt: skip
    assert request_fields(Finished()) == {"event": "request", "code": 0, "seconds": 0.0}


def test_a_decision_says_who_and_about_what() -> None:
    found = line(
        "reviewer %s: %s",
        "alice",
        "approve",
        **decision(reviewer="alice", decision="approve", approval="apr-1", grant=""),
    )
    assert {name: found[name] for name in ("event", "reviewer", "decision", "approval", "message")} == {
        "event": "decision", "reviewer": "alice", "decision": "approve", "approval": "apr-1",
        "message": "reviewer alice: approve",
    }  # fmt: skip
    assert "grant" not in found


@pytest.mark.parametrize("odd", ["\ud800", "\u202e", "\x00", "é"])
def test_no_text_breaks_a_line(odd: str) -> None:
    found = line("%s", odd, **{FIELDS: {"name": odd}})
    assert found["name"] == odd
