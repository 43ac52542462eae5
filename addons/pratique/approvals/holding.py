"""I/O (asyncio): an exchange that needs an approval, held until a reviewer decides, the hold ends or the client leaves.

Belongs here: the question that an exchange asks, racing the wait against the client, looking again before it is done.
Not here: the queue itself (`queue`), what is shown of a body (`mask`, given by the composition root), effects
(`foreseeing`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, Protocol

from pratique.approvals.claims import has_a_person, reads_the_status, waits_of
from pratique.approvals.effects import has_changed
from pratique.approvals.foreseeing import Foreseer
from pratique.approvals.question import Asker, question_from
from pratique.approvals.queue import ApprovalQueue
from pratique.approvals.store import Approval, Question
from pratique.errors import Refused
from pratique.kube.canonical import CanonicalRequest
from pratique.kube.handshake import chosen_protocol
from pratique.kube.rehearsal import Precondition
from pratique.verdict import Verdict

CHANGED = "what it would do has changed since it was shown"


class Caller(Protocol):
    """Who asks."""

    @property
    def name(self) -> str: ...
    @property
    def waits(self) -> Literal["auto", "refuse", "retry"]: ...
    @property
    def hold_seconds(self) -> float: ...
    @property
    def pending_approvals(self) -> int | None: ...


class Held(Protocol):
    """What of an exchange is needed (`pratique.exchange.Exchange`)."""

    client: Any
    session: str
    source: str
    claims: dict[str, str]
    canonical: CanonicalRequest | None
    verdict: Verdict | None
    precondition: Precondition | None
    gone: asyncio.Event

    def own_call(self, what: str) -> str:
        """The Audit-ID of one more own call about it."""


class Masks(Protocol):
    """What reviewers may see. The client is given by its name."""

    def body(self, request: CanonicalRequest, client: str) -> str:
        """The request's body."""

    def text(self, request: CanonicalRequest, client: str, text: str) -> str:
        """A line about the request: the arguments of a command may hold a password."""

    def document(self, request: CanonicalRequest, client: str, document: Any) -> Any:
        """A JSON answer of the cluster, to a request about the same object."""


class Holding:
    """`hold()` is the longest hold in seconds. Without a `foreseer` no effect is shown.

    `exec_hold()`: the same for an exec or attach whose upgrade is answered before it is approved, so that a person reads
    what it waits for; 0: none is answered so.
    """

    def __init__(
        self,
        queue: ApprovalQueue,
        cluster: str,
        masks: Masks,
        hold: Callable[[], float],
        *,
        exec_hold: Callable[[], float] = lambda: 0.0,
        foreseer: Foreseer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._cluster = cluster
        self._masks = masks
        self._hold = hold
        self._exec_hold = exec_hold
        self._foreseer = foreseer
        self._clock = clock
        self._stopping = False
        self._asked: Callable[[Held, Approval, float], Awaitable[None]] = _nobody

    def on_asked(self, call: Callable[[Held, Approval, float], Awaitable[None]]) -> None:
        """`call(held, approval, early)` when an exchange has asked, before it waits.

        `early`: its upgrade is to be answered now, and it then waits so many seconds at most; 0: it is not.
        """
        self._asked = call

    async def granted(self, held: Held) -> str:
        """The id of an approval for exactly this request. Raises Refused with what the client is told.

        `held.precondition` is then what the request must carry, so that it does what was shown.
        """
        deadline = self._clock() + self._patience(held)
        while True:
            approval = await self._while_there(held, self._ask(held, deadline))
            if approval.grant_id or approval.question.summary.effect is None or self._foreseer is None:
                return approval.id
            if await self._while_there(held, self._is_as_shown(held, approval)):
                return approval.id

    @property
    def waiting(self) -> int:
        """How many requests are held now."""
        return self._queue.waiting

    def release(self) -> bool:
        """Lets every hold end undecided, now and from now on; whether there was one. For a gateway that stops.

        Clients are told to repeat the request (429), also those that would rather read: it is no answer to their question.
        """
        self._stopping = True
        return self._queue.release()

    async def use(self, approval_id: str, held: Held) -> None:
        """Uses the approval up for this request. Raises Refused if that cannot be (any more)."""
        question = self.question(held, shown=False)
        await self._queue.use(approval_id, question.fingerprint, question.client, self._waits(held))

    async def _while_there[T](self, held: Held, work: Awaitable[T]) -> T:
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(held.gone.wait())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            # INVARIANT: nothing is executed for a client that has left; its next identical request finds the approval.
            if held.gone.is_set():
                raise Refused(499, "ClientGone", "the client left while its request was held", rule="approval/gone")
            return await working
        finally:
            for task in (working, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _ask(self, held: Held, deadline: float) -> Approval:
        question = self.question(held)
        if self._foreseer is not None and await self._queue.is_new(question):
            canonical = _canonical(held)
            sight = await self._foreseer.look(canonical, question.client, held.own_call)
            question = self.question(held, effect=sight.effect)
        seconds = 0.0 if self._stopping else max(0.0, deadline - self._clock())
        early = seconds if self._is_answered_early(held) else 0.0
        return await self._queue.granted(
            question,
            self._waits(held),
            seconds,
            lambda asked: self._asked(held, asked, early),
            waits_when_released=self._waits(held, wanted="retry"),
        )

    def _is_answered_early(self, held: Held) -> bool:
        canonical = held.canonical
        if canonical is None or self._exec_hold() <= 0 or not chosen_protocol(canonical):
            return False
        return reads_the_status(held.claims.get("User-Agent", ""))

    def _patience(self, held: Held) -> float:
        """Seconds. Where nobody would see what it waits for, an exec is held no longer than anything else."""
        caller: Caller = held.client
        usual = min(caller.hold_seconds, self._hold())
        if usual > 0 and self._is_answered_early(held) and has_a_person(held.claims.get("User-Agent", "")):
            return max(usual, self._exec_hold())
        return usual

    async def _is_as_shown(self, held: Held, approval: Approval) -> bool:
        """INVARIANT: what is executed is what was shown. Looks again; if it has changed, the approval ends.

        Raises Refused (503): it cannot be looked at now; the approval stays.
        """
        foreseer = self._foreseer
        if foreseer is None:
            return True
        sight = await foreseer.look(_canonical(held), approval.client, held.own_call)
        shown = approval.question.summary.effect
        if shown is not None and shown.known and sight.effect is not None and not sight.effect.known:
            message = f"approval `{approval.id}` was not used: {sight.effect.problem}. Repeat the request"
            raise Refused(503, "ServiceUnavailable", message, rule="approval/effect")
        if has_changed(shown, sight.effect):
            await self._queue.revoke(approval.id, CHANGED)
            return False
        held.precondition = sight.precondition
        return True

    def _waits(self, held: Held, *, wanted: Literal["auto", "retry"] = "auto") -> Literal["refuse", "retry"]:
        """How this client is answered when a hold ends; `wanted` where that is not for its document to say."""
        caller: Caller = held.client
        upgrade = held.canonical is not None and bool(held.canonical.upgrade)
        user_agent = held.claims.get("User-Agent", "")
        return waits_of(caller.waits if wanted == "auto" else wanted, user_agent, is_upgrade=upgrade)

    def question(self, held: Held, *, effect: Any = None, shown: bool = True) -> Question:
        """What is asked of the reviewers. Raises Refused where an exchange has not got that far.

        `shown` False: only what identifies it.
        """
        canonical, verdict, client = held.canonical, held.verdict, held.client
        if canonical is None or verdict is None or client is None:
            raise Refused(500, "InternalError", "no request is known for this approval", rule="approval/request")
        asker = Asker(client.name, held.source, held.session, held.claims)
        if not shown:
            return question_from(asker, self._cluster, canonical, verdict)
        body = self._masks.body(canonical, client.name)
        question = question_from(asker, self._cluster, canonical, verdict, body=body, effect=effect)
        words = self._masks.text(canonical, client.name, question.summary.words)
        question = replace(question, summary=replace(question.summary, words=words))
        caller: Caller = client
        most = caller.pending_approvals
        return question if most is None else replace(question, max_pending=most)


async def _nobody(_held: Held, _approval: Approval, _early: float) -> None:
    """Nobody wants to know."""


def _canonical(held: Held) -> CanonicalRequest:
    if held.canonical is None:
        raise Refused(500, "InternalError", "no request is known for this approval", rule="approval/request")
    return held.canonical
