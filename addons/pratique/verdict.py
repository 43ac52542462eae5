"""The verdict: what the policy says about one request, as a value that every room may hold.

Belongs here: the three actions, their order, the verdict. Not here: how it is found (`pratique.policy`), what an approval
is (`pratique.approvals`), what is done with it (`pratique.identity`).

Only `Verdict.allows` opens the gate. It is true for an Allow, and for a RequireApproval that names the approval by which
a reviewer granted this very request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Action(StrEnum):
    """What a rule asks for. Strictest wins: Deny > RequireApproval > Allow."""

    ALLOW = "Allow"
    REQUIRE_APPROVAL = "RequireApproval"
    DENY = "Deny"

    @property
    def strictness(self) -> int:
        """0 (Allow) to 2 (Deny)."""
        return list(Action).index(self)


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """`approval:` of a rule. Seconds; `reviewers` are globs over reviewer names (empty: any reviewer).

    `grant` is the widest that a reviewer may give: `once`, `session`, or `duration` (minutes, and any of the others).
    """

    reviewers: tuple[str, ...] = ()
    quorum: int = 1
    expires_after: float = 3600.0
    grant: str = "duration"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one request.

    `rules` are ids `POLICY/RULE` of the rules that decided (those with the winning action), sorted; `errors` are texts of
    rules that could not be evaluated (an error is always Deny); `message` is the text of the first deciding rule.
    """

    action: Action
    rules: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    message: str = ""
    terms: ApprovalTerms | None = None
    approval_id: str = ""

    @property
    def allows(self) -> bool:
        """INVARIANT: the only property that opens the gate."""
        if self.errors:
            return False
        return self.action is Action.ALLOW or (self.action is Action.REQUIRE_APPROVAL and bool(self.approval_id))

    def approved(self, approval_id: str) -> Verdict:
        """This verdict after a reviewer granted it. ValueError if it did not ask for an approval."""
        if self.action is not Action.REQUIRE_APPROVAL or not approval_id:
            raise ValueError(f"an approval cannot turn {self.action} into an allow")
        return replace(self, approval_id=approval_id)
