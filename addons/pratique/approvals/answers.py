"""What a client is told about its approval: always a refusal, never a 2xx, in words for a person and for a model.

Belongs here: code, reason, message, Retry-After. Not here: finding out (`queue`). Pure; time stands in the approval.

Facts (client-go 0.36): 429 with an integer Retry-After is repeated up to 10 times, 403 never; both print the message;
a 202 would look like success. Retry-After grows, so that 11 attempts span many minutes: 5+10+20+30+60·6 s = 7 min and
the holds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pratique.approvals.store import Approval
from pratique.approvals.transitions import State
from pratique.approvals.words import escaped_name, escaped_prose
from pratique.errors import Cause, Refused

type Waits = Literal["refuse", "retry"]

RETRY_AFTER_SECONDS = (5, 10, 20, 30, 60)  # by attempt; the last for all that follow


def answer(approval: Approval, waits: Waits, page: str = "") -> Refused:
    """The refusal for a request whose approval is not (or no longer) at hand. `page`: the URL where it is decided."""
    state = approval.state
    if state.is_open:
        return _pending(approval, waits, page)
    code, reason, text = _CLOSED[state]
    message = f"`{_words(approval)}` was not carried out: {text.format(_approval=approval.id)}"
    said = _said(approval) + (f" ({escaped_prose(approval.note)})" if approval.note else "")
    return Refused(code, reason, message + said, f"approval-{state}", _causes(approval))


_AGAIN = "Send the request again to ask anew"
_CLOSED: dict[State, tuple[int, str, str]] = {
    State.DENIED: (403, "ApprovalDenied", "approval `{_approval}` was denied. Do not repeat it unchanged"),
    State.EXPIRED: (403, "ApprovalExpired", "approval `{_approval}` expired. " + _AGAIN),
    State.CANCELLED: (403, "ApprovalCancelled", "approval `{_approval}` was cancelled. " + _AGAIN),
    State.REVOKED: (
        403,
        "ApprovalRevoked",
        "approval `{_approval}` was revoked. Ask the reviewers before repeating it",
    ),
    State.USED: (
        403,  # not 409: `kubectl apply` would recompute its patch and ask five times more
        "ApprovalUsed",
        "approval `{_approval}` was used by another copy of this request. Look at the object before repeating it",
    ),
}


def _pending(approval: Approval, waits: Waits, page: str) -> Refused:
    where = f"at {page} or with" if page else "with"
    until = datetime.fromtimestamp(approval.expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    message = (
        f"`{_words(approval)}` waits for a reviewer's approval and was not carried out{_rule(approval)}. "
        f"The approval is `{approval.id}`; a reviewer approves it {where} `pratique approvals approve {approval.id}`. "
        f"Repeat exactly the same request after approval, before {until}"
    )
    if waits == "refuse":
        return Refused(403, "ApprovalPending", message, "approval-pending", _causes(approval))
    retry_after = RETRY_AFTER_SECONDS[min(approval.attempts, len(RETRY_AFTER_SECONDS)) - 1]
    return Refused(429, "TooManyRequests", message, "approval-pending", _causes(approval), retry_after)


def _words(approval: Approval) -> str:
    return escaped_prose(approval.question.summary.words)


def _rule(approval: Approval) -> str:
    summary = approval.question.summary
    rules = ", ".join(f"`{escaped_name(rule)}`" for rule in summary.rules)
    said = f": {escaped_prose(summary.message)}" if summary.message else ""
    return f" (rule {rules}{said})" if rules else ""


def _said(approval: Approval) -> str:
    """What the reviewer wrote, if a reviewer closed it."""
    if approval.state is not State.DENIED or not approval.decisions:
        return ""
    said = f": {escaped_prose(approval.reason)}" if approval.reason else " without a reason"
    return f". `{escaped_prose(approval.reviewer)}` denied it{said}"


def _causes(approval: Approval) -> tuple[Cause, ...]:
    """For programs: the id without parsing prose."""
    return (Cause("ApprovalID", approval.id, "approval"),)
