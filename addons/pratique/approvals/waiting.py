"""I/O (asyncio): a held request waits for the decision about its approval.

Belongs here: one poller over the store for all that wait in this process. Not here: what the answer is (`answers`).
Polling, not notifications: the decision may come from another process (`pratique approvals`), and asking SQLite whether
anything changed takes 4 µs. Clock and sleep are injected; a thousand held requests cost one poll.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from pratique.approvals.store import ApprovalStore
from pratique.approvals.transitions import State
from pratique.errors import StoreError

POLL_SECONDS = 0.075  # a person does not notice it; 13 polls a second are no load
TROUBLE_SECONDS = 5.0
"""For so long a store may fail while requests are held: a table that is throttled for a moment must not end every hold."""
EXPIRE_SECONDS = 1.0  # how often what has expired is written down, and states are read although nothing changed


@dataclass(eq=False, slots=True)
class _Wait:
    approval_id: str
    deadline: float
    answer: asyncio.Future[State]


class Waiter:
    """Of one process and one event loop. `clock` gives seconds since the epoch, as the store's times are."""

    def __init__(
        self,
        store: ApprovalStore,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._poll_seconds = poll_seconds
        self._waits: set[_Wait] = set()
        self._poller: asyncio.Task[None] | None = None
        self._is_new = False
        self._version: tuple[int, int] | None = None
        self._expired_at = float("-inf")
        self._failing_since: float | None = None

    @property
    def waiting(self) -> int:
        """How many requests are held."""
        return len(self._waits)

    async def wait(self, approval_id: str, timeout: float) -> State:  # noqa: ASYNC109 - by the injected clock
        """The state once it is not pending any more, or PENDING after `timeout` seconds. Safe to cancel.

        Raises StoreError: the store failed meanwhile, or does not know the approval.
        """
        answer: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        wait = _Wait(approval_id, self._clock() + timeout, answer)
        self._waits.add(wait)
        self._is_new = True
        if self._poller is None or self._poller.done():
            self._failing_since = None
            self._poller = asyncio.create_task(self._poll())
        try:
            return await wait.answer
        finally:
            self._waits.discard(wait)

    def release(self) -> None:
        """Lets every wait end as PENDING now: a draining gateway answers "repeat it"."""
        for wait in self._waits:
            _settle(wait, State.PENDING)

    async def close(self) -> None:
        """Releases, and ends the poller."""
        self.release()
        poller, self._poller = self._poller, None
        if poller is not None:
            poller.cancel()
            with suppress(asyncio.CancelledError):
                await poller

    async def _poll(self) -> None:
        """Runs while somebody waits. INVARIANT: it does not end with a wait unanswered."""
        try:
            while self._waits:
                await self._look_if_possible()
                await self._sleep(self._poll_seconds)
        except StoreError as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - a poller that dies silently would hold requests for ever
            self._fail(f"the approval store cannot be polled: {type(error).__name__}")
        except asyncio.CancelledError:
            self.release()
            raise

    async def _look_if_possible(self) -> None:
        """Raises StoreError: it was not possible for TROUBLE_SECONDS."""
        now = self._clock()
        try:
            await self._look(now)
            self._failing_since = None
        except StoreError:
            self._is_new = True
            self._failing_since = now if self._failing_since is None else self._failing_since
            if now - self._failing_since >= TROUBLE_SECONDS:
                raise
        now = self._clock()  # a store that fails may have taken its time
        for wait in self._waits:
            if now >= wait.deadline:
                _settle(wait, State.PENDING)

    async def _look(self, now: float) -> None:
        if now - self._expired_at >= EXPIRE_SECONDS:
            self._expired_at = now
            self._is_new = True
            await asyncio.to_thread(self._store.expire, now)
        # The version is read before the states: a change in between is seen again, not missed.
        version = await asyncio.to_thread(self._store.version)
        if self._is_new or version != self._version:
            self._is_new, self._version = False, version
            waits = [wait for wait in self._waits if not wait.answer.done()]
            states = await asyncio.to_thread(self._store.states, {wait.approval_id for wait in waits}, now)
            for wait in waits:
                _settle_by(wait, states)

    def _fail(self, message: str) -> None:
        for wait in self._waits:
            if not wait.answer.done():
                wait.answer.set_exception(StoreError(message))


def _settle_by(wait: _Wait, states: dict[str, State]) -> None:
    state = states.get(wait.approval_id)
    if state is None:
        if not wait.answer.done():
            wait.answer.set_exception(StoreError(f"the approval `{wait.approval_id}` is not in the store"))
    elif state is not State.PENDING:
        _settle(wait, state)


def _settle(wait: _Wait, state: State) -> None:
    if not wait.answer.done():
        wait.answer.set_result(state)
