"""The layer that carries an upgraded connection: only what comes out of its `pratique.tunnel` session is sent.

Stands where mitmproxy would put its WebSocket or TCP layer, which know no channels, keep every message in memory, cut
messages into fragments, and forward what a hook failed to look at (mitmproxy.md F12, F17-F19). Recorded first, sent
then. INVARIANT: after any exception both sides are closed and nothing more is forwarded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, context, events, layer

from pratique.errors import Refused
from pratique.exchange import Exchange, fault, finish
from pratique.tunnel.session import Session, Step
from pratique.tunnel.waiting import Notice

Commands = Generator[commands.Command, Any, Any]

RECHECK_SECONDS = 0.5
"""How often an open tunnel or stream is held against client, policy and gateway: what ends there ends here that soon."""

WAKE_SECONDS = 0.001
"""The shortest time to the next wake-up: a time that is past must not become a busy loop."""


@dataclass
class EndStreams(events.Event):
    """End the streams of a connection: responses as if the cluster had ended them, tunnels with a Status.

    `flow`: only the stream of this flow; None: all. `unsent` then tells how many bytes still wait for clients.
    """

    flow: http.HTTPFlow | None = None
    unsent: list[Callable[[], int]] = field(default_factory=list)


@dataclass
class Wait(events.Event):
    """The server is not there yet; the client is told what for."""

    notice: Notice


@dataclass
class Attach(events.Event):
    """The server is there."""


@dataclass
class RequestOver(events.Event):
    """There will be no server: the request was refused, by us or by the cluster, or it failed."""

    refusal: Refused


@dataclass(frozen=True)
class Watch:
    """Told when a tunnel begins, and when its client's connection is closed."""

    opened: Callable[[http.HTTPFlow], None]
    closed: Callable[[http.HTTPFlow], None]


class TunnelLayer(layer.Layer):
    """One tunnel. `state.tunnel` was set by the interlock.

    `request_open`: the client was answered early, and its request is still under way; the rooms put their things away
    only when both have ended.
    """

    def __init__(
        self, ctx: context.Context, flow: http.HTTPFlow, state: Exchange, watch: Watch, *, request_open: bool = False
    ) -> None:
        super().__init__(ctx)
        self.request_open = request_open
        self._flow = flow
        self._state = state
        self._watch = watch
        self._broken = state.tunnel is None
        self._gone = False
        self._closing: set[Connection] = set()
        self._wake_at: float | None = None
        self._recheck_at = time.monotonic() + RECHECK_SECONDS

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start | Attach):
            self._watch.opened(self._flow)
        if isinstance(event, Attach | RequestOver):
            self.request_open = False
        step = self._guarded(event)
        yield from self._apply(step)
        if (self._broken or self._session.done or self._session.over) and not self.request_open:
            finish(self._state)
        if self.context.client in self._closing and not self._gone:
            self._gone = True
            self._watch.closed(self._flow)
        yield from self._wake()

    @property
    def has_ended(self) -> bool:
        """Nothing of the client's may reach a server (any more)."""
        return self._broken or self._session.ended

    @property
    def _session(self) -> Session:
        if self._state.tunnel is None:
            raise RuntimeError("a tunnel layer without a session")
        return self._state.tunnel

    def _guarded(self, event: events.Event) -> Step:
        if self._broken:
            return Step(close_server=True, close_client=True)
        try:
            return self._recorded(self._step(event, time.monotonic()), time.monotonic())
        except Exception as exc:  # noqa: BLE001 - whatever it is, nothing of it may be forwarded
            fault(self._state, exc, "interlock.tunnel")
            self._broken = True
            return Step(close_server=True, close_client=True)

    def _step(self, event: events.Event, now: float) -> Step:
        from_client = isinstance(event, events.ConnectionEvent) and event.connection == self.context.client
        match event:
            case events.DataReceived(data=data):
                return (self._session.from_client if from_client else self._session.from_server)(data, now)
            case events.ConnectionClosed():
                return (self._session.client_left if from_client else self._session.server_left)(now)
            case EndStreams():
                text = "the gateway is stopping and has ended this session. Open it again"
                return self._session.end(Refused(503, "ServiceUnavailable", text, rule="tunnel/stopping"), now)
            case events.Wakeup():
                return self._tick(now)
            case Wait(notice=notice):
                return self._session.wait(notice, now)
            case RequestOver(refusal=refusal):
                return self._session.end(refusal, now)
            case Attach():
                return self._attach(now)
            case _:
                return Step()

    def _attach(self, now: float) -> Step:
        if self._state.output is None:
            raise RuntimeError("a tunnel without what masks it")
        return self._session.attach(self._state.output, now)

    def _tick(self, now: float) -> Step:
        if self._wake_at is not None and now >= self._wake_at:
            self._wake_at = None
        if now >= self._recheck_at and not self._session.ended:
            self._recheck_at = now + RECHECK_SECONDS
            try:
                for recheck in self._state.rechecks:
                    recheck()
            except Refused as refusal:
                return self._session.end(refusal, now)
        return self._session.tick(now)

    def _recorded(self, step: Step, now: float) -> Step:
        """INVARIANT: what could not be recorded is not sent; the session ends instead."""
        if not step.events:
            return step
        try:
            if self._state.tape is None:
                raise RuntimeError("a tunnel without a tape")
            self._state.tape.write(now, step.events)
        except Exception as exc:  # noqa: BLE001 - a full disk, or a bug
            had_ended = self._session.ended
            ending = self._session.end(fault(self._state, exc, "interlock.tunnel"), now)
            ending.close_server, ending.close_client = True, ending.close_client or had_ended
            return ending
        return step

    def _apply(self, step: Step) -> Commands:
        client, server = self.context.client, self.context.server
        if step.to_server and server not in self._closing:
            yield commands.SendData(server, b"".join(step.to_server))
        if step.to_client and client not in self._closing:
            yield commands.SendData(client, b"".join(step.to_client))
        for connection, close in ((server, step.close_server), (client, step.close_client)):
            if close and connection not in self._closing:
                self._closing.add(connection)
                yield commands.CloseConnection(connection)

    def _wake(self) -> Commands:
        """One timer is enough, unless something is due before it."""
        if self._broken or self._session.over:
            return
        now = time.monotonic()
        due = min(self._session.deadline or self._recheck_at, self._recheck_at)
        if self._wake_at is None or due < self._wake_at:
            self._wake_at = due
            yield commands.RequestWakeup(max(due - now, WAKE_SECONDS))
