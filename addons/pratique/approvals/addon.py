"""Hooks of the approvals room: what a client claims, the held flow in mitmproxy's own views, and what runs beside.

The policy room asks `granted` for an approval, the gate `use`s it up; both go to `Holding`. Here is what mitmproxy has to
do with it: a held flow is shown as intercepted, but resuming it there releases nothing.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary, ref

from mitmproxy import ctx, hooks, http

from pratique.approvals.admin.api import Context
from pratique.approvals.admin.keys import certificate_for
from pratique.approvals.admin.links import Links
from pratique.approvals.admin.probed import Probes
from pratique.approvals.admin.server import Address, AdminServer, page_of, tls_from
from pratique.approvals.claims import claims_of
from pratique.approvals.desk import Desk
from pratique.approvals.holding import Held, Holding
from pratique.approvals.notifying import Notifier
from pratique.approvals.outbox import Outbox
from pratique.approvals.reviewers import Reviewers
from pratique.approvals.revoking import RevocationDesk
from pratique.approvals.store import Approval, ApprovalStore
from pratique.approvals.transitions import State
from pratique.approvals.webhooks import Webhook
from pratique.errors import Refused, StartError, StoreError
from pratique.exchange import Exchange, answer, exchange, guarded, open_exchanges, raw_request
from pratique.revocation import RevocationStore
from pratique.tunnel.waiting import Notice

logger = logging.getLogger("pratique")

WITHDRAWAL_SECONDS = 0.25  # and half a second until it is rechecked: a stream ends within a second
PRUNE_SECONDS = 3600.0
KEEP_SECONDS = 90 * 86400.0  # closed approvals; the recordings are the long memory


class Documents(Protocol):
    """What is in force now (`pratique.loaded.Loaded`)."""

    @property
    def reviewers(self) -> Reviewers: ...
    @property
    def webhooks(self) -> Sequence[Webhook]: ...


class Approvals:
    """What mitmproxy has to do with approvals. `state` is the state folder, `links` are those in messages."""

    name = "approvals"

    def __init__(
        self,
        holding: Holding,
        store: ApprovalStore,
        documents: Callable[[], Documents],
        state: Path,
        *,
        answer_upgrade: Callable[[http.HTTPFlow, Notice], Awaitable[None]],
        revocations: RevocationStore,
        probes: Probes,
        outbox: Outbox,
        links: Links,
        playground: Any = None,
    ) -> None:
        """`answer_upgrade(flow, notice)` answers the upgrade of a held exec, and tells its client what it waits for."""
        self._holding = holding
        self._store = store
        self._documents = documents
        self._state = state
        self._answer_upgrade = answer_upgrade
        self._revocations = revocations
        self._probes = probes
        self._withdrawn: set[str] = set()
        # Weak on both sides: a flow keeps its exchange, so an exchange that kept its flow would keep both for ever.
        self._flows: WeakKeyDictionary[Exchange, ref[http.HTTPFlow]] = WeakKeyDictionary()
        self._held: dict[str, tuple[http.HTTPFlow, str]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._admin: AdminServer | None = None
        self._url = ""
        self._links = links
        self._playground = playground
        self._outbox = outbox
        holding.on_asked(self._show)

    def page(self, approval_id: str) -> str:
        """Where reviewers decide it; "" if there is no page."""
        return f"{self._url}/a/{approval_id}" if self._url else ""

    def _link(self, approval_id: str) -> str:
        """A link for a message; the token is behind the `#`, which is in no log."""
        return f"{self._url}/link#{self._links.token(approval_id, time.time())}" if self._url else ""

    # --- what the policy and the gate call ---

    async def granted(self, state: Exchange) -> str:
        """As `Holding.granted`; the flow is shown as intercepted meanwhile."""
        state.rechecks.append(functools.partial(self._recheck, state))
        began = time.monotonic()
        try:
            return await self._holding.granted(state)
        finally:
            state.held_seconds = time.monotonic() - began
            self._hide(state)

    async def use(self, approval_id: str, state: Exchange) -> None:
        await self._holding.use(approval_id, state)

    # --- hooks ---

    @guarded(answer)
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        state.claims = claims_of(raw_request(flow).headers)
        state.source = str(flow.client_conn.peername[0])
        self._flows[state] = ref(flow)

    def running(self) -> None:
        """What fails here ends the process before a request is served."""
        first = ctx.options.pratique_worker == 0
        try:
            if first:
                self._start_admin()
            elif ctx.options.pratique_admin:
                self._url = page_of(self._state)
        except StartError as error:
            sys.stderr.write(f"pratique: {error}\n")
            ctx.master.should_exit.set()
            sys.exit(1)
        notifier = Notifier(self._store, self._outbox, lambda: self._documents().webhooks, self._link)
        works = [self._withdraw(), self._prune(), notifier.run()] if first else [self._withdraw()]
        self._tasks = [asyncio.create_task(work) for work in works]

    def done(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._admin is not None:
            self._admin.stop()
        self._outbox.close()

    def close(self) -> None:
        """Called when the last request has been answered: until then it may need the store."""
        self._store.close()

    # --- the admin listener ---

    def _start_admin(self) -> None:
        options = ctx.options
        if not options.pratique_admin:
            return
        wanted = Address.parse(options.pratique_admin)
        given = options.pratique_admin_certificate
        pem = Path(given).expanduser() if given else certificate_for(_store_of_certificates(), wanted.host, self._state)
        self._admin = AdminServer(wanted, self._state, tls_from(pem))
        self._url = (options.pratique_admin_url or self._admin.bind().url).rstrip("/")
        context = Context(
            Desk(self._store),
            RevocationDesk(self._revocations),
            self._probes,
            lambda: self._documents().reviewers,
            self._links,
            lambda: {approval_id for _, approval_id in self._held.values()},
            urlsplit(self._url).hostname or "",
            self._playground,
        )
        self._admin.serve(context, self._url)
        logger.warning("reviewers decide at %s/", self._url)

    # --- the held flow, as mitmproxy shows it ---

    async def _show(self, held: Held, approval: Approval, early: float) -> None:
        flow = self._flow(held) if isinstance(held, Exchange) else None
        if flow is None or not approval.state.is_open:
            return
        flow.comment = f"waits for approval {approval.id}"
        self._held[flow.id] = (flow, approval.id)
        flow.intercept()
        ctx.master.addons.trigger(hooks.UpdateHook([flow]))
        if early > 0 and approval.state is State.PENDING:
            await self._answer_upgrade(flow, Notice(approval.id, self.page(approval.id), early))

    def _flow(self, state: Exchange) -> http.HTTPFlow | None:
        found = self._flows.get(state)
        return found() if found is not None else None

    def _show_again(self) -> None:
        """INVARIANT: only a reviewer's decision releases a held request. Resumed in mitmproxy, it is shown as held again."""
        for flow, _ in self._held.values():
            if not flow.intercepted:
                logger.warning("a held request was resumed in mitmproxy: it waits for its reviewer all the same")
                flow.intercept()
                ctx.master.addons.trigger(hooks.UpdateHook([flow]))

    def _hide(self, state: Exchange) -> None:
        flow = self._flow(state)
        if flow is None or self._held.pop(flow.id, None) is None:
            return
        flow.comment = flow.comment.replace("waits for", "asked for")
        flow.resume()
        ctx.master.addons.trigger(hooks.UpdateHook([flow]))

    # --- beside the requests ---

    async def _withdraw(self) -> None:
        """Looks after what is held, and finds out which open exchanges had their approval, or the grant behind it, revoked; see `_recheck`."""
        seen: tuple[int, int] | None = None
        while True:
            await asyncio.sleep(WITHDRAWAL_SECONDS)
            self._show_again()
            try:
                # The version is read before the exchanges: what is revoked in between is seen the next time.
                version = await asyncio.to_thread(self._store.version)
                opened = {state.approval for _, state in open_exchanges() if state.approval}
                if opened and version != seen:
                    self._withdrawn = await asyncio.to_thread(self._store.withdrawn, opened)
                seen = version
            except StoreError as error:
                logger.error("revocations cannot be read: %s", error)

    def _recheck(self, state: Exchange) -> None:
        if state.approval in self._withdrawn:
            text = f"the approval `{state.approval}` was revoked, and what it had opened is ended"
            raise Refused(403, "ApprovalRevoked", text, rule="approval-withdrawn")

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            try:
                await asyncio.to_thread(self._store.prune, time.time() - KEEP_SECONDS)
            except StoreError as error:
                logger.error("old approvals cannot be removed: %s", error)


def _store_of_certificates() -> Any:
    """Mitmproxy's, with the CA that clients trust."""
    return ctx.master.addons.get("tlsconfig").certstore
