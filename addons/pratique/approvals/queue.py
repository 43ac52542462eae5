"""I/O (asyncio): one request through the queue: ask and hold (`granted`), then use up (`use`); or the refusal.

Belongs here: the order of these steps. Not here: each of them (`store`, `waiting`, `answers`).

Two steps, because between them the policy is asked again and the credential is fetched: what fails there must not use
up the approval.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from pratique.approvals.answers import Waits, answer
from pratique.approvals.store import Approval, ApprovalStore, Question
from pratique.approvals.transitions import State
from pratique.approvals.waiting import Waiter
from pratique.errors import Refused, StoreError


async def _nobody(_approval: Approval) -> None:
    """Nobody wants to know."""


class ApprovalQueue:
    """`store` and `waiter` are those of the process. `page(approval id)` is where reviewers decide; "" for nowhere."""

    def __init__(
        self,
        store: ApprovalStore,
        waiter: Waiter,
        clock: Callable[[], float] = time.time,
        page: Callable[[str], str] = lambda _id: "",
    ) -> None:
        self._store = store
        self._waiter = waiter
        self._clock = clock
        self._page = page
        self._released = False

    async def is_new(self, question: Question) -> bool:
        """Whether `granted` would ask reviewers something new. Raises Refused (429, 413): over quota; StoreError."""
        return await asyncio.to_thread(self._store.is_new, question, self._clock())

    async def granted(
        self,
        question: Question,
        waits: Waits,
        hold_seconds: float,
        asked: Callable[[Approval], Awaitable[None]] = _nobody,
        *,
        waits_when_released: Waits | None = None,
    ) -> Approval:
        """An approval for exactly this request, not used yet; held up to `hold_seconds` for a reviewer.

        `asked(approval)` is awaited before it waits; what it raises is raised. `waits_when_released` is how to answer
        where `release` ended the hold.

        Raises:
            Refused: not approved (yet), denied, expired, over quota: what the client is told.
            StoreError: (503) the store failed.
        """
        approval = await asyncio.to_thread(self._store.ask, question, self._clock())
        await asked(approval)
        state = approval.state
        if state is State.PENDING and hold_seconds > 0:
            state = await self._waiter.wait(approval.id, hold_seconds)
        if state is State.APPROVED:
            return approval
        if self._released and waits_when_released is not None:
            waits = waits_when_released
        raise self._answer(await self._latest(approval.id), waits)

    @property
    def waiting(self) -> int:
        """How many requests are held now."""
        return self._waiter.waiting

    def release(self) -> bool:
        """Lets every hold end undecided; whether there was one. For a gateway that stops."""
        self._released = True
        held = self._waiter.waiting > 0
        self._waiter.release()
        return held

    async def use(self, approval_id: str, fingerprint: str, client: str, waits: Waits = "refuse") -> None:
        """Uses the approval up for this one request. Do nothing after it that may fail before the request is sent.

        INVARIANT: returns for one request only, ever. A crash after it loses the approval (ask again), never executes
        twice.

        Raises:
            Refused: used by a copy, expired or revoked meanwhile, or of another request.
            StoreError: (503) the store failed.
        """
        used = await asyncio.to_thread(self._store.consume, approval_id, fingerprint, client, self._clock())
        if used:
            return
        latest = await self._latest(approval_id)
        if (latest.question.fingerprint, latest.client) != (fingerprint, client):
            raise Refused(403, "Forbidden", "the approval is for another request", rule="approval-mismatch")
        raise self._answer(latest, waits)

    async def revoke(self, approval_id: str, note: str) -> None:
        """Takes an approval back that was not used; nothing if it was not approved. StoreError."""
        await asyncio.to_thread(self._store.revoke, approval_id, self._clock(), note)

    def _answer(self, approval: Approval, waits: Waits) -> Refused:
        return answer(approval, waits, self._page(approval.id))

    async def _latest(self, approval_id: str) -> Approval:
        latest = await asyncio.to_thread(self._store.get, approval_id, self._clock())
        if latest is None:
            raise StoreError(f"the approval `{approval_id}` is not in the store")
        return latest
