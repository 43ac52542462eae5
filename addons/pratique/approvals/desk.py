"""I/O: the desk at which reviewers see and decide: every channel (page, API, command line) goes through it.

Belongs here: what a reviewer may see, decide and take back. Not here: how they proved who they are (`admin`, the command
line), the rule's terms (`deciding`), keeping it (`store`). Blocks; call it from a thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from pratique.approvals.deciding import Decision
from pratique.approvals.grants import Grant, Wish
from pratique.approvals.reviewers import Reviewer
from pratique.approvals.store import Approval, ApprovalStore
from pratique.approvals.transitions import State
from pratique.errors import Refused

MAX_SHOWN = 200  # of a list; a reviewer with more to do does not read further


class Desk:
    """`clock` gives seconds since the epoch."""

    def __init__(self, store: ApprovalStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def version(self) -> tuple[int, int]:
        return self._store.version()

    def find(self, reviewer: Reviewer, states: Collection[State] = (), limit: int = MAX_SHOWN) -> list[Approval]:
        """What is in the reviewer's field, the newest first."""
        found = self._store.find(self._clock(), states, limit=10 * limit)
        return [approval for approval in found if _may_see(reviewer, approval)][:limit]

    def get(self, reviewer: Reviewer, approval_id: str) -> Approval:
        """Raises Refused (404): there is none, or none that they may see."""
        approval = self._store.get(approval_id, self._clock())
        if approval is None or not _may_see(reviewer, approval):
            raise Refused(404, "NotFound", f"no approval `{approval_id}`", rule="approval-id")
        return approval

    def decide(
        self, reviewer: Reviewer, approval_id: str, decision: Decision, reason: str = "", wish: Wish | None = None
    ) -> Approval:
        """Raises Refused: (404) none; (403) not theirs to decide or to grant; (409) not pending any more."""
        wish = wish or Wish()
        question = self.get(reviewer, approval_id).question
        reviewer.check(question.client, question.target, wish)
        return self._store.decide(
            approval_id, decision, reviewer.name, reason, self._clock(), wish=wish, person=reviewer.person
        )

    def revoke(self, reviewer: Reviewer, approval_id: str) -> Approval:
        """Takes back an approval, used or not, and what was granted with it; open streams of it end.

        Raises Refused: (404) none; (409) there is nothing to revoke.
        """
        self.get(reviewer, approval_id)
        now = self._clock()
        ended = [
            self._store.revoke_grant(grant.id, reviewer.name, now)
            for grant in self._store.grants(now)
            if grant.approval_id == approval_id
        ]
        ended += [
            self._store.revoke(approval_id, now, f"{reviewer.name} revoked it"),
            self._store.withdraw(approval_id, now),
        ]
        approval = self.get(reviewer, approval_id)
        if not any(ended):
            message = f"the approval is {approval.state}, there is nothing to revoke"
            raise Refused(409, "Conflict", message, rule="transition")
        return approval

    def grants(self, reviewer: Reviewer, *, ended: bool = False) -> list[Grant]:
        """The grants of approvals in the reviewer's field."""
        found = self._store.grants(self._clock(), ended=ended, limit=MAX_SHOWN)
        return [grant for grant in found if self._is_theirs(reviewer, grant)]

    def revoke_grant(self, reviewer: Reviewer, grant_id: str) -> None:
        """Raises Refused: (404) no live grant that they may see."""
        theirs = {grant.id for grant in self.grants(reviewer)}
        if grant_id not in theirs or not self._store.revoke_grant(grant_id, reviewer.name, self._clock()):
            raise Refused(404, "NotFound", f"no live grant `{grant_id}`", rule="grant-id")

    def _is_theirs(self, reviewer: Reviewer, grant: Grant) -> bool:
        origin = self._store.get(grant.approval_id, self._clock())
        return origin is not None and _may_see(reviewer, origin)


def _may_see(reviewer: Reviewer, approval: Approval) -> bool:
    return reviewer.may_see(approval.client, approval.question.target)
