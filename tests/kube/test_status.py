"""Status bodies that clients can show."""

from __future__ import annotations

import json

from pratique.errors import Cause, CredentialError, Refused
from pratique.kube.status import from_error, from_refused, harmless, status


def test_the_template_that_clients_expect():
    body = json.loads(
        status(
            403,
            "Forbidden",
            "no",
            details={"kind": "pods", "name": "p1"},
            causes=[Cause("PolicyDenied", "no", "gateway")],
            retry_after=30,
        )
    )
    assert body == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no", "reason": "Forbidden", "code": 403,
        "details": {"kind": "pods", "name": "p1", "causes": [{"reason": "PolicyDenied", "message": "no", "field": "gateway"}], "retryAfterSeconds": 30},
    }  # fmt: skip
    assert "details" not in json.loads(status(400, "BadRequest", "x"))


def test_control_characters_escape_sequences_and_bidi_marks_are_made_harmless():
    assert harmless("a\x1b[31mb\r\nc\td") == "a\\x1b[31mb\\x0d c d"
    assert harmless("\u202e\u200b\ud800\U000e0001") == "\\u202e\\u200b\\ud800\\U000e0001"
    assert harmless("é ok") == "é ok"
    assert b"\x1b" not in status(
        400, "BadRequest", "\x1b]52;c;x\x07", details={"name": "\x1b"}, causes=[Cause("\x1b", "\x1b")]
    )


def test_a_refusal_names_its_rule_and_other_errors_say_nothing_of_the_inside():
    refusal = Refused(400, "BadRequest", "why", rule="path/escape", causes=(Cause("A", "b"),), retry_after=1)
    body = json.loads(from_refused(refusal))
    assert body["details"]["causes"][0] == {"reason": "path/escape", "message": "why", "field": "gateway"}
    assert from_error(refusal) == from_refused(refusal)
    other = from_error(CredentialError("arn:aws:iam::1:role/x"))
    assert json.loads(other)["code"] == 503
    assert b"arn" not in other
    assert "causes" not in json.loads(from_refused(Refused(404, "NotFound", "x"))).get("details", {})
