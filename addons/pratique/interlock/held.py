"""A request whose upgrade was answered before it was sent: the client talks to a tunnel, while the request still waits.

Belongs here: what becomes of the flow's own answer when the client has its 101 already. mitmproxy's stream goes on as
ever (it is paused in the `request` hook while a reviewer decides, dials, reads the cluster's answer); what it says to the
client is caught here: a 101 joins the tunnel and the cluster, anything else ends the session with a Status in the words
of its protocol. INVARIANT: the client is never answered twice, and a session that has ended gets nothing sent upstream.

What the client sends goes to the tunnel, never into the paused stream. Relies on mitmproxy 12.2's `HttpStream`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import msgspec
from mitmproxy import http
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import DropStream, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook

from pratique.errors import PratiqueError, Refused
from pratique.exchange import exchange, find
from pratique.interlock.refusals import refusal_of, status_code
from pratique.interlock.tunnel import Attach, EndStreams, RequestOver, TunnelLayer, Wait, Watch
from pratique.tunnel.session import Session
from pratique.tunnel.waiting import Notice

type Commands = Generator[commands.Command, Any, Any]

MESSAGE_CHARACTERS = 1024
"""Of what the cluster said, in a message of ours."""


@dataclass
class AnswerUpgrade(events.Event):
    """Answer the upgrade of a held request with `response`; once answered, tell the client `notice` again.

    `open` makes the session, and records what the client is told; what it raises is left in `problem`.
    """

    flow: http.HTTPFlow
    response: http.Response
    open: Callable[[], Session]
    notice: Notice
    problem: PratiqueError | None = None


class HeldStream(HttpStream):
    """`left` and `watch` are set by the layer that makes it."""

    left: Callable[[Any], None]
    watch: Watch
    early: TunnelLayer | None = None
    """Carries the client as long as the cluster is not there."""
    _given_up = False

    def handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, AnswerUpgrade):
            yield from self._answer(event)
        elif self.early is None:
            yield from super().handle_event(event)
        elif isinstance(event, RequestData | RequestEndOfMessage | EndStreams | events.Wakeup):
            yield from self._to_tunnel(event)
        else:
            yield from self._to_flow(event)

    # --- the client ---

    def _answer(self, event: AnswerUpgrade) -> Commands:
        """Only while the `request` hook runs: before it nobody has judged the request, after it there is an answer."""
        state = exchange(self.flow)
        if self.early is not None:
            yield from self._to_tunnel(Wait(event.notice))
            return
        in_hook = self._paused is not None and isinstance(self._paused.command, HttpRequestHook)
        if not in_hook or state.gone.is_set():
            return
        try:
            state.tunnel = event.open()
        except PratiqueError as error:
            event.problem = error
            return
        self.early = TunnelLayer(self.context, self.flow, state, self.watch, request_open=True)
        yield SendHttp(ResponseHeaders(self.stream_id, event.response, True), self.context.client)
        yield from self._to_tunnel(events.Start())
        yield from self._to_tunnel(Wait(event.notice))
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def _to_tunnel(self, event: events.Event) -> Commands:
        tunnel = self.early
        if tunnel is None:
            return
        client = self.context.client
        if isinstance(event, RequestData):
            event = events.DataReceived(client, event.data)
        elif isinstance(event, RequestEndOfMessage):
            event = events.ConnectionClosed(client)
        for command in tunnel.handle_event(event):
            if isinstance(command, commands.SendData):
                yield SendHttp(ResponseData(self.stream_id, command.data), client)
            elif not isinstance(command, commands.CloseConnection):
                yield command
            elif command.connection == client:
                error = ResponseProtocolError(self.stream_id, "EOF", ErrorCode.PASSTHROUGH_CLOSE)
                yield SendHttp(error, client)
        if tunnel.has_ended and tunnel.request_open and not self._given_up:
            self._given_up = True
            yield from self._give_up()

    def _give_up(self) -> Commands:
        """The session ended first: as if the client had left, so that nothing is sent, and what was sent is broken off."""
        self.left(self.flow)
        text = "the session ended before its command was started"
        yield from self._to_flow(RequestProtocolError(self.stream_id, text, ErrorCode.CLIENT_DISCONNECTED))

    # --- the request ---

    def _to_flow(self, event: events.Event) -> Commands:
        for command in super().handle_event(event):
            if self.early is None:
                yield command
            elif isinstance(command, SendHttp) and command.connection == self.context.client:
                yield from self._caught(command.event)
            elif isinstance(command, DropStream):
                yield from self._over(None)  # the stream stays: it carries what the tunnel still has to say
            else:
                yield command

    def _caught(self, said: Any) -> Commands:
        """What the flow would have answered."""
        if isinstance(said, ResponseHeaders) and said.response.status_code != 101:
            yield from self._over(self._refusal(said.response))
        elif isinstance(said, ResponseProtocolError):
            code = status_code(said)
            yield from self._over(None if code is None else refusal_of(code))

    def _over(self, refusal: Refused | None) -> Commands:
        """The request will not be sent (any more)."""
        if self.early is not None and self.early.request_open:
            yield from self._to_tunnel(RequestOver(refusal or _broken_off()))

    def _refusal(self, response: http.Response) -> Refused:
        state = find(self.flow)
        if state is not None and state.refusal is not None:
            return state.refusal
        return refused_by_cluster(response.status_code, response.raw_content or b"")

    # --- the cluster ---

    def attach(self) -> Commands:
        """The cluster's 101 came, was looked at, and is swallowed: from now on this is a tunnel like any other."""
        self.flow.live = False
        self.child_layer, self.early = self.early, None
        self._handle_event = self.passthrough
        yield from self.passthrough(Attach())


def _broken_off() -> Refused:
    text = "the gateway broke the request off. Repeat it; then ask the gateway's operator"
    return Refused(503, "ServiceUnavailable", text, rule="tunnel/broken-off")


class _Status(msgspec.Struct):
    message: str = ""
    reason: str = ""


def refused_by_cluster(code: int, body: bytes) -> Refused:
    """What the cluster answered instead of 101, masked before; INVARIANT: a Failure, whatever its code."""
    try:
        found = msgspec.json.decode(body, type=_Status)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        found = _Status()
    said = f": {found.message[:MESSAGE_CHARACTERS]}" if found.message else ""
    text = f"the cluster answered the upgrade with {code}{said}"
    return Refused(code if code >= 400 else 502, found.reason or "BadGateway", text, rule="tunnel/cluster")
