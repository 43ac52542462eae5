"""Answers the upgrade of an exec that waits for a reviewer, so that its client can be told what it waits for.

Belongs here: the 101, and what must have happened before it is sent. Not here: whether it is sent (the approvals room),
what the layers do then (`held`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from mitmproxy import ctx, http

from pratique.exchange import Exchange, exchange, fault
from pratique.interlock.connections import tell
from pratique.interlock.held import AnswerUpgrade
from pratique.interlock.opening import open_early
from pratique.kube.handshake import chosen_protocol, switching_headers
from pratique.tunnel.session import Session
from pratique.tunnel.waiting import Notice


class EarlyAnswers:
    """`record(flow)` begins the recording, before anything is told. `recheck()` raises Refused where nothing may go on."""

    def __init__(self, record: Callable[[http.HTTPFlow], None], recheck: Callable[[], None]) -> None:
        self._record = record
        self._recheck = recheck

    async def answer(self, flow: http.HTTPFlow, notice: Notice) -> None:
        """Answers, or tells a client that was answered before. Raises what has to be answered instead of a 101."""
        state = exchange(flow)
        canonical = state.canonical
        chosen = chosen_protocol(canonical) if canonical is not None else ""
        if canonical is None or not chosen:
            return
        response = http.Response.make(101, b"", http.Headers(switching_headers(canonical, chosen)))
        response.headers.pop("content-length", None)  # RFC 9110 8.6
        event = AnswerUpgrade(flow, response, functools.partial(self._open, flow, state, chosen), notice)
        await tell(flow, event)
        if event.problem is not None:
            raise event.problem

    def _open(self, flow: http.HTTPFlow, state: Exchange, chosen: str) -> Session:
        """INVARIANT: what cannot be recorded is not answered."""
        self._recheck()
        session = open_early(state, chosen, ctx.options.pratique_session_limit)
        state.answered = chosen
        try:
            self._record(flow)
        except Exception as exc:  # noqa: BLE001 - a full disk, or a bug: the request is refused before its 101
            state.answered = ""
            raise fault(state, exc, "interlock.early") from None
        state.rechecks.append(self._recheck)
        return session
