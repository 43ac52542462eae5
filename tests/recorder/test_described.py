"""What is stored of a request is scrubbed text and sizes; a hash is kept only of what is not stored, never of a value."""

from __future__ import annotations

import hashlib

import pytest

from pratique.errors import Cause, Refused
from pratique.exchange import Exchange
from pratique.kube.canonical import RawRequest, canonicalise
from pratique.recorder.described import Sizes, Told, describe, sizes
from pratique.recorder.record import BODY_BYTES, Record, Stage, comment, marker
from pratique.verdict import Action, Verdict
from tests.recorder.support import NOON

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


def told(**changes: object) -> Told:
    values: dict[str, object] = {
        "flow": "f", "method": "GET", "target": "/api/v1/namespaces/shop/secrets/db?limit=5", "headers": {"user-agent": "kubectl"},
        "source_ip": "10.0.0.9", "request_bytes": 0, "request": Sizes(), "status": 200, "response": Sizes(7), "note": "",
    }  # fmt: skip
    return Told(**(values | changes))  # type: ignore[arg-type]


def exchanged(target: str = "/api/v1/namespaces/shop/secrets/db?limit=5") -> Exchange:
    state = Exchange(audit_id="au-1", started=NOON)
    state.canonical = canonicalise(RawRequest(b"GET", target.encode(), ((b"host", b"x"),), b"", "HTTP/1.1"))
    state.verdict = Verdict(Action.ALLOW, ("mcp/read",))
    return state


def made(state: Exchange | None = None, **changes: object) -> Record:
    return describe(state or exchanged(), told(**changes), Stage.COMPLETE, "prod", now=NOON + 2, mask=lambda text: text)


def test_a_request_is_described_by_its_attributes_verdict_and_times() -> None:
    record = made()
    assert (record.verb, record.resource, record.namespace, record.name, record.api_version) == (
        "get",
        "secrets",
        "shop",
        "db",
        "v1",
    )
    assert (record.verdict, record.rules, record.audit_id, record.cluster) == ("Allow", ("mcp/read",), "au-1", "prod")
    assert (record.started, record.ended, record.status, record.answered_by) == (NOON, NOON + 2, 200, "upstream")
    assert (record.path, record.query) == ("/api/v1/namespaces/shop/secrets/db", "limit=5")


@pytest.mark.parametrize(
    "changes",
    [
        {"target": f"/api/v1/namespaces/{JWT}"},
        {"target": f"/version?token={JWT}"},
        {"target": f"/version?unknown={JWT}"},
        {"headers": {"user-agent": f"x Bearer {JWT}"}},
        {"note": f"failed with {JWT}"},
        {"method": JWT},
    ],
)  # fmt: skip
def test_no_field_holds_a_token(changes: dict[str, object]) -> None:
    assert JWT not in str(made(Exchange(), **changes))


def test_a_name_that_is_a_token_and_a_refusal_that_quotes_one_are_scrubbed() -> None:
    state = exchanged(f"/api/v1/namespaces/shop/secrets/{JWT.lower()}")
    state.refusal = Refused(403, "Forbidden", f"no access for {JWT}")
    record = made(state, target="/x")
    assert JWT not in str(record)
    assert (record.answered_by, record.sent) == ("gateway", False)
    state.cleared = True
    assert made(state).sent


def test_the_approval_is_the_one_used_or_the_one_to_wait_for() -> None:
    state = exchanged()
    state.refusal = Refused(
        403, "ApprovalPending", "wait", causes=(Cause("x", "y"), Cause("ApprovalID", "apr-7", "approval"))
    )
    assert made(state).approval_id == "apr-7"
    state.approval = "apr-8"
    assert made(state).approval_id == "apr-8"


def test_a_request_that_nobody_answered_says_so() -> None:
    record = made(Exchange(), status=0, note="client disconnected")
    assert (record.status, record.answered_by, record.verdict, record.note) == (0, "", "", "client disconnected")


def test_only_what_is_not_stored_has_a_hash() -> None:
    small, large = b"x" * BODY_BYTES, b"x" * (BODY_BYTES + 1)
    assert sizes(small) == Sizes(BODY_BYTES)
    assert sizes(large) == Sizes(BODY_BYTES + 1, BODY_BYTES, hashlib.sha256(large).hexdigest())
    assert Sizes.of(9, 9, "ab") == Sizes(9)
    assert Sizes.of(9, 4, "ab") == Sizes(9, 4, "ab")


def test_the_comment_of_a_flow_tells_verdict_approval_masks_and_what_is_missing() -> None:
    record = Record(verdict="RequireApproval", rules=("a/b", "c/d"), approval_id="apr-1", masks=("default/secret-data",),
                    response_bytes=9, response_cut=4, response_sha256="ab", message="wait", note="left")  # fmt: skip
    assert comment(record) == (
        "RequireApproval a/b c/d · approval apr-1 · masked by default/secret-data · "
        "response: 4 of 9 bytes are stored, sha256 ab · wait · left"
    )
    assert comment(Record()) == "refused"
    assert [marker(Record(verdict=v, answered_by=a)) for v, a in (("Allow", "upstream"), ("Deny", "gateway"), ("", "gateway"))] == [
        "", ":no_entry_sign:", ":no_entry_sign:",
    ]  # fmt: skip


def test_what_the_client_was_masked_elsewhere_is_masked_in_query_and_arguments() -> None:
    state = exchanged("/api/v1/namespaces/shop/pods/web/exec?command=echo&command=known-value")
    asked = told(target="/api/v1/namespaces/shop/pods/web/exec?command=echo&command=known-value")
    record = describe(
        state, asked, Stage.COMPLETE, "prod", now=NOON, mask=lambda text: text.replace("known-value", "MASK")
    )
    assert record.argv == ("echo", "MASK")
    assert record.query == "command=echo&command=MASK"
