"""Hooks of the approvals room: what a client claims, the held flow in mitmproxy's own views, and what runs beside.

The policy room asks `granted` for an approval, the gate `use`s it up; both go to `Holding`. Here is what mitmproxy has to
do with it: a held flow is shown as intercepted, but resuming it there releases nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

from mitmproxy import ctx, flow, hooks, http

from pratique.approvals.claims import claims_of
from pratique.approvals.holding import Held, Holding
from pratique.approvals.store import Approval, ApprovalStore
from pratique.errors import StoreError
from pratique.exchange import Exchange, answer, exchange, guarded, open_exchanges, raw_request

logger = logging.getLogger("pratique")

WITHDRAWAL_SECONDS = 0.25  # a stream ends within a second of its revocation
PRUNE_SECONDS = 3600.0
KEEP_SECONDS = 90 * 86400.0  # closed approvals; the recordings are the long memory


class Approvals:
    """`end(flow)` closes what an approval opened; `clock` gives seconds since the epoch."""

    name = "approvals"

    def __init__(
        self,
        holding: Holding,
        store: ApprovalStore,
        end: Callable[[http.HTTPFlow], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._holding = holding
        self._store = store
        self._end = end
        self._clock = clock
        self._flows: WeakKeyDictionary[Exchange, http.HTTPFlow] = WeakKeyDictionary()
        self._held: dict[str, http.HTTPFlow] = {}
        self._tasks: list[asyncio.Task[None]] = []
        holding.on_asked(self._show)

    # --- what the policy and the gate call ---

    async def granted(self, state: Exchange) -> str:
        """As `Holding.granted`; the flow is shown as intercepted meanwhile."""
        try:
            return await self._holding.granted(state)
        finally:
            self._hide(state)

    async def use(self, approval_id: str, state: Exchange) -> None:
        await self._holding.use(approval_id, state)

    # --- hooks ---

    @guarded(answer)
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        state.claims = claims_of(raw_request(flow).headers)
        state.source = str(flow.client_conn.peername[0])
        self._flows[state] = flow

    def update(self, flows: list[flow.Flow]) -> None:
        """INVARIANT: only a reviewer's decision releases a held request. Somebody resumed it: shown as held again."""
        for resumed in flows:
            if resumed.id in self._held and not resumed.intercepted:
                logger.warning("a held request was resumed in mitmproxy: it waits for its reviewer all the same")
                resumed.intercept()

    def running(self) -> None:
        self._tasks = [asyncio.create_task(self._withdraw()), asyncio.create_task(self._prune())]

    def done(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._store.close()

    # --- the held flow, as mitmproxy shows it ---

    def _show(self, held: Held, approval: Approval) -> None:
        flow = self._flows.get(held) if isinstance(held, Exchange) else None
        if flow is None or not approval.state.is_open:
            return
        flow.comment = f"waits for approval {approval.id}"
        self._held[flow.id] = flow
        flow.intercept()
        ctx.master.addons.trigger(hooks.UpdateHook([flow]))

    def _hide(self, state: Exchange) -> None:
        flow = self._flows.get(state)
        if flow is None or self._held.pop(flow.id, None) is None:
            return
        flow.comment = flow.comment.replace("waits for", "asked for")
        flow.resume()
        ctx.master.addons.trigger(hooks.UpdateHook([flow]))

    # --- beside the requests ---

    async def _withdraw(self) -> None:
        """Ends streams whose approval, or the grant behind it, was revoked."""
        seen: tuple[int, int] | None = None
        while True:
            await asyncio.sleep(WITHDRAWAL_SECONDS)
            try:
                # The version is read before the flows: what is revoked in between is seen the next time.
                version = await asyncio.to_thread(self._store.version)
                opened = {state.approval: flow for flow, state in open_exchanges() if _may_be_open(state)}
                if opened and version != seen:
                    for approval_id in await asyncio.to_thread(self._store.withdrawn, list(opened)):
                        logger.warning("approval %s was revoked: what it opened is ended", approval_id)
                        self._end(opened[approval_id])
                seen = version
            except StoreError as error:
                logger.error("revocations cannot be read: %s", error)

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            try:
                await asyncio.to_thread(self._store.prune, self._clock() - KEEP_SECONDS)
            except StoreError as error:
                logger.error("old approvals cannot be removed: %s", error)


def _may_be_open(state: Exchange) -> bool:
    """An upgrade counts as ended with its 101; closing what has gone does nothing."""
    return bool(state.approval) and (not state.ended or bool(state.canonical and state.canonical.upgrade))
