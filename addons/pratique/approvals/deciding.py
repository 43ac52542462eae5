"""Who may decide an approval, and when enough have.

Belongs here: reviewer ≠ client, the rule's reviewers, the quorum. Not here: how a reviewer proves who they are (the
channels do), keeping the decisions (`store`). Relies on `pratique.verdict.ApprovalTerms`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatchcase

from pratique.errors import Refused
from pratique.verdict import ApprovalTerms


class Decision(StrEnum):
    APPROVE = "approve"
    DENY = "deny"


def check_reviewer(reviewer: str, client: str, terms: ApprovalTerms, *, is_reviewer: bool = True) -> None:
    """Raises Refused (403): the reviewer is nameless, is the client itself, or is not among the rule's reviewers.

    `is_reviewer` False: the name is that of the person behind the reviewer, which no rule lists.
    """
    if not reviewer.strip():
        raise Refused(403, "Forbidden", "a decision needs the name of its reviewer", rule="reviewer")
    if reviewer.casefold() == client.casefold():
        raise Refused(403, "Forbidden", f"`{reviewer}` asked for this approval, somebody else decides", rule="reviewer")
    if is_reviewer and terms.reviewers and not any(fnmatchcase(reviewer, pattern) for pattern in terms.reviewers):
        raise Refused(403, "Forbidden", f"`{reviewer}` is not among the rule's reviewers", rule="reviewer")


def quorum_reached(approvers: Iterable[str], terms: ApprovalTerms) -> bool:
    """Whether as many distinct people have approved as the rule asks for. One denial denies, whatever the quorum."""
    return len({approver.casefold() for approver in approvers}) >= max(1, terms.quorum)
