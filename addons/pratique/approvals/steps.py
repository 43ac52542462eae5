"""What every store of approvals checks in the same way before it writes: a decision, the quotas; and the ids that it gives.

Belongs here: refusals and their texts. Not here: keeping anything (`sqlite_store`, `dynamodb_store`), the table of
transitions (`transitions`), who may decide (`deciding`). Pure but for the randomness of ids.
"""

from __future__ import annotations

import secrets

from pratique.approvals.deciding import Decision, check_reviewer
from pratique.approvals.store import (
    MAX_QUESTION_BYTES,
    MAX_REASON_CHARACTERS,
    Approval,
    Decided,
)
from pratique.approvals.transitions import Event, State, transition
from pratique.errors import Refused

ID_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"  # nothing that is read wrong over a telephone
ID_CHARACTERS = 10  # 49 bits: unique, and short enough to type. An id is no secret


def new_id() -> str:
    return "apr-" + "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_CHARACTERS))


def grant_id_of(new_id: str) -> str:
    """A grant's id from a fresh id of an approval."""
    return new_id.replace("apr-", "grt-")


def check_reason(reason: str) -> None:
    """Raises Refused (400): too long."""
    if len(reason) > MAX_REASON_CHARACTERS:
        message = f"the reason has more than {MAX_REASON_CHARACTERS} characters. Shorten it"
        raise Refused(400, "BadRequest", message, rule="reason")


def unknown(approval_id: str) -> Refused:
    return Refused(404, "NotFound", f"no approval `{approval_id}`", rule="approval-id")


def after(approval: Approval, decided: Decided, now: float) -> State:
    """The state after a decision that completes the quorum. Raises Refused: not theirs, not now, or not twice."""
    terms = approval.question.terms
    for name in {decided.reviewer, decided.person}:
        check_reviewer(name, approval.client, terms, is_reviewer=name == decided.reviewer)
    if decided.decision is Decision.APPROVE:
        decided.wish.check(terms.grant)
    event = Event.APPROVE if decided.decision is Decision.APPROVE else Event.DENY
    state = transition(approval.state, event, approval.expires_at, now)
    if any(each.person.casefold() == decided.person.casefold() for each in approval.decisions):
        message = f"`{decided.person}` has decided `{approval.id}` already"
        raise Refused(409, "Conflict", message, rule="quorum")
    return state


def check_quota(client: str, pending: int, max_pending: int, size: int, free: float) -> None:
    """Raises Refused: (413) the question of `size` bytes is too large; (429) too many `pending`, or more than is `free`."""
    if size > MAX_QUESTION_BYTES:
        message = f"the request is too large for a question to reviewers ({size} of {MAX_QUESTION_BYTES} bytes)"
        raise Refused(413, "RequestEntityTooLarge", message, rule="approval-size")
    if pending >= max_pending:
        message = f"`{client}` waits for {pending} approvals already. Wait until reviewers have decided some of them"
        if max_pending <= 0:
            message = f"`{client}` may not ask for approvals. Do not repeat it; ask the operator of the gateway"
        raise Refused(429, "TooManyRequests", message, rule="approval-quota")
    if size > free:
        message = "the approval queue holds as much as it may. Try again when reviewers have decided some of it"
        raise Refused(429, "TooManyRequests", message, rule="approval-quota")
