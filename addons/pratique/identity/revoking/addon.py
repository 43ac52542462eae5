"""Hooks of revocation: whoever is revoked is refused, what is held is let go, what is open is ended, all is noted.

Second in the chain: the client is known, nothing is decided yet. What is checked when a request comes is checked again
before the credential is written (`Gate`), while its stream is open (`Exchange.rechecks`), and before it is answered.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable

from mitmproxy import http
from mitmproxy.connection import Client

from pratique.errors import Refused
from pratique.exchange import Exchange, answer, exchange, guarded, open_exchanges
from pratique.identity.revoking.current import Current
from pratique.revocation import Kind, Revocation

logger = logging.getLogger("pratique")

type Affects = Callable[[str, str], bool]


class Revoking:
    """`note(text, affects)` writes a line into the recording of each open session that `affects(client, session)`."""

    name = "revoking"

    def __init__(self, current: Current, note: Callable[[str, Affects], None]) -> None:
        self._current = current
        self._note = note
        self._sessions: dict[str, dict[str, set[str]]] = {}
        """Connection → client → sessions: one that is long goes on in a new one, and stays revoked."""
        self._watching: asyncio.Task[None] | None = None

    def running(self) -> None:
        self._watching = asyncio.create_task(self._current.watch(self._changed))

    def done(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    # --- requests ---

    @guarded(answer)
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        if state.refusal is not None or state.client is None:
            return
        connection = flow.client_conn.id
        state.rechecks.append(functools.partial(self._recheck, state, connection))
        _refuse(self._current.check(state.client.name, self._known(state, connection)), state)

    @guarded(answer)
    def request(self, flow: http.HTTPFlow) -> None:
        """The recorder has said which session it is."""
        state = exchange(flow)
        if state.refusal is not None or state.client is None:
            return
        by_client = self._sessions.setdefault(flow.client_conn.id, {})
        by_client.setdefault(state.client.name, set()).add(state.session)
        self._recheck(state, flow.client_conn.id)

    @guarded(answer)
    def response(self, flow: http.HTTPFlow) -> None:
        """What came meanwhile is not shown; a stream is over here, and was rechecked while it was open."""
        state = exchange(flow)
        if state.refusal is None and state.client is not None and not state.streaming:
            self._recheck(state, flow.client_conn.id)

    def client_disconnected(self, client: Client) -> None:
        self._sessions.pop(client.id, None)

    def _known(self, state: Exchange, connection: str) -> set[str]:
        name = state.client.name if state.client is not None else ""
        return self._sessions.get(connection, {}).get(name, set())

    def _recheck(self, state: Exchange, connection: str) -> None:
        name = state.client.name if state.client is not None else ""
        _refuse(self._current.hits(name, {state.session, *self._known(state, connection)}), state)

    # --- what is revoked while it runs ---

    def _changed(self, begun: list[Revocation], ended: list[Revocation]) -> None:
        for each in begun:
            text = f"{each.in_words()} was revoked by {each.by}: {each.reason or 'no reason given'} ({each.id})"
            logger.warning("%s", text)
            self._note(text, functools.partial(_affects, each))
        for each in ended:
            logger.warning("the revocation of %s has ended (%s)", each.in_words(), each.id)
        if begun:
            self._let_go()

    def _let_go(self) -> None:
        """INVARIANT: a request that is held when its client is revoked is refused at once, whoever approves it later."""
        for flow, state in open_exchanges():
            if state.client is None or state.cleared or state.refusal is not None:
                continue
            try:
                self._recheck(state, flow.client_conn.id)
            except Refused as refusal:
                state.refuse(refusal)
                state.gone.set()


def _affects(revocation: Revocation, client: str, session: str) -> bool:
    return revocation.kind is Kind.ALL or revocation.name == (client if revocation.kind is Kind.CLIENT else session)


def _refuse(hit: Revocation | None, state: Exchange) -> None:
    if hit is not None:
        raise hit.refusal(sent=state.cleared)
