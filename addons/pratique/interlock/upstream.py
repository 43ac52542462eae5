"""mitmproxy's HTTP layer towards the cluster: which connection a request takes, and how long it may take.

One TLS upstream, so this is simpler than mitmproxy's own `HttpLayer.get_connection`, with these differences:

1. A connection that failed or closed is forgotten. mitmproxy keeps it: every later request of the client would be answered
   with the first failure, and an HTTP/2 client would cost an entry for each request that it ever made.
2. A request waits for no free stream of an HTTP/2 connection: watches never free theirs. It gets another connection.
3. Connecting and answering have deadlines.
4. A connection that the cluster is closing answers what it has begun, and takes nothing new (`going_away`).

Relies on mitmproxy 12.2's `proxy.layers.http`; the tests in `tests/process/` fail when an upgrade changes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.proxy import commands, context, events, layer, layers, tunnel
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
    HTTPMode,
    HttpStream,
    RegisterHttpConnection,
)
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ErrorCode, RequestProtocolError, ResponseProtocolError
from mitmproxy.proxy.layers.http._http1 import Http1Client

from pratique.interlock.going_away import DrainingHttp2Client

type Commands = Generator[commands.Command, Any, Any]

TIMED_OUT = "the cluster did not answer in time"
"""The message of a protocol error that means 504."""
ASSUMED_STREAMS = 100
"""Of an HTTP/2 connection before its SETTINGS are read: what Go's client assumes (net/http `initialMaxConcurrentStreams`)."""
MAX_ANSWER_HEAD = 10 << 20
"""Bytes of status line and headers of an answer: what Go's clients take (net/http Transport.MaxResponseHeaderBytes)."""
LOOK_SECONDS = 1.0
"""How often deadlines are looked at: one timer for a client connection, not one for each request."""
SHORTEST_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Patience:
    """Seconds. `answer(flow)` is None where an answer may take any time."""

    connect: float
    answer: Callable[[Any], float | None]


@dataclass
class _Due:
    """When a request fails, and what it waits for: a connection, or (None) the answer."""

    at: float
    connection: GetHttpConnection | None


def fork(ctx: context.Context) -> context.Context:
    """As `Context.fork`, without the connection that is made there for nobody."""
    made = object.__new__(context.Context)
    vars(made).update(vars(ctx))
    made.layers = ctx.layers.copy()
    return made


class LimitedHttp1Client(Http1Client):
    """HTTP/1.1 towards the cluster; mitmproxy reads a head without end. HTTP/2 has a limit of its own."""

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        too_large = isinstance(event, events.DataReceived) and len(self.buf) > MAX_ANSWER_HEAD
        if not too_large or self.stream_id is None:
            yield from super().read_headers(event)
            return
        self.buf.maybe_extract_at_most(len(self.buf))
        yield commands.CloseConnection(self.conn)
        text = "the head of the cluster's answer is too large"
        yield ReceiveHttp(ResponseProtocolError(self.stream_id, text, ErrorCode.GENERIC_SERVER_ERROR))


class UpstreamConnection(layer.Layer):
    """One connection to the cluster, once TLS is established below it. As mitmproxy's `HttpClient`."""

    child_layer: layer.Layer

    def _handle_event(self, event: events.Event) -> Commands:
        error: str | None = yield commands.OpenConnection(self.context.server)
        if not error:
            client = DrainingHttp2Client if self.context.server.alpn == b"h2" else LimitedHttp1Client
            self.child_layer = client(self.context)
            self._handle_event = self.child_layer.handle_event  # type: ignore[method-assign]  # as mitmproxy does
            yield from self.child_layer.handle_event(event)
        yield RegisterHttpConnection(self.context.server, error)


class UpstreamLayer(HttpLayer):
    """The HTTP layer of one client connection, as far as the cluster is concerned."""

    def __init__(self, ctx: context.Context, patience: Patience) -> None:
        super().__init__(ctx, HTTPMode.transparent)
        self._patience = patience
        self._due: dict[int, _Due] = {}
        self._timer: commands.RequestWakeup | None = None

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Wakeup) and event.command is self._timer:
            yield from self._look()
        elif isinstance(event, events.ConnectionEvent) and not self._knows(event.connection):
            return  # the end of a connection that is forgotten
        else:
            yield from super()._handle_event(event)

    def _knows(self, connection: Connection) -> bool:
        return connection in self.connections or connection == self.context.server

    # --- which connection ---

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> Commands:
        self._forget_closed()
        stream = self.command_sources[event]
        yield from self._expect(stream, event)
        connection = self._usable(event) if reuse else None
        if connection is None:
            yield from self._connect(event)
        elif connection in self.waiting_for_establishment:
            self.waiting_for_establishment[connection].append(event)
        else:
            yield from self._give(event, connection, None)

    def _connect(self, event: GetHttpConnection) -> Commands:
        ctx = fork(self.context)
        ctx.server = Server(address=event.address, transport_protocol="tcp")
        ctx.server.sni = self.context.server.sni or event.address[0]
        stack = tunnel.LayerStack()
        stack /= layers.ServerTLSLayer(ctx)
        stack /= UpstreamConnection(ctx)
        self.connections[ctx.server] = stack[0]
        self.waiting_for_establishment[ctx.server].append(event)
        yield from self.event_to_child(stack[0], events.Start())

    def _usable(self, event: GetHttpConnection) -> Connection | None:
        multiplexes = self.context.client.alpn == b"h2"
        for connection in self.connections:
            if not event.connection_spec_matches(connection):
                continue
            if connection in self.waiting_for_establishment:
                if len(self.waiting_for_establishment[connection]) < ASSUMED_STREAMS:
                    return connection
            elif (
                connection.connected and (connection.alpn == b"h2" or not multiplexes) and not self._is_full(connection)
            ):
                return connection
        return None

    def _is_full(self, connection: Connection) -> bool:
        below: Any = self.connections[connection]
        while hasattr(below, "child_layer"):
            below = below.child_layer
        if not isinstance(below, DrainingHttp2Client):
            return False
        if below.going_away:
            return True
        known = below.provisional_max_concurrency is None
        limit = below.h2_conn.remote_settings.max_concurrent_streams if known else ASSUMED_STREAMS
        return below.h2_conn.open_outbound_streams + len(below.stream_queue) >= limit

    def _forget_closed(self) -> None:
        for connection in list(self.connections):
            if (
                isinstance(connection, Server)
                and connection.state is ConnectionState.CLOSED
                and connection not in self.waiting_for_establishment
            ):
                del self.connections[connection]

    def register_connection(self, command: RegisterHttpConnection) -> Commands:
        connection, error = command.connection, command.err
        waiting = self.waiting_for_establishment.pop(connection, [])
        # HTTP/1.1 serves one at a time; mitmproxy uses such a connection for one request of an HTTP/2 client.
        served = len(waiting) if error or connection.alpn == b"h2" else 1
        for event in waiting[:served]:
            yield from self._give(event, None if error else connection, error)
        for event in waiting[served:]:
            yield from self.get_connection(event, reuse=False)

    def _give(self, event: GetHttpConnection, connection: Connection | None, error: str | None) -> Commands:
        stream: Any = self.command_sources.pop(event)
        seconds = None if connection is None else self._patience.answer(stream.flow)
        if seconds is None:
            self._due.pop(stream.stream_id, None)
        else:
            self._due[stream.stream_id] = _Due(time.monotonic() + seconds, None)
        reply: Any = (connection, error)
        yield from self.event_to_child(stream, GetHttpConnectionCompleted(event, reply))

    # --- how long ---

    def _expect(self, stream: Any, event: GetHttpConnection) -> Commands:
        due = self._due.get(stream.stream_id)
        at = due.at if due is not None else time.monotonic() + self._patience.connect
        self._due[stream.stream_id] = _Due(at, event)
        yield from self._set_timer()

    def _set_timer(self) -> Commands:
        if self._timer is not None or not self._due:
            return
        soonest = min(due.at for due in self._due.values()) - time.monotonic()
        self._timer = commands.RequestWakeup(max(SHORTEST_LOOK_SECONDS, min(LOOK_SECONDS, soonest)))
        yield self._timer

    def _look(self) -> Commands:
        self._timer = None
        now = time.monotonic()
        for stream_id, due in list(self._due.items()):
            stream = self.streams.get(stream_id)
            if stream is None or (due.connection is None and not _awaits_answer(stream)):
                self._due.pop(stream_id, None)
            elif due.at <= now and self._due.get(stream_id) is due:
                yield from self._time_out(stream, due)
        yield from self._set_timer()

    def _time_out(self, stream: HttpStream, due: _Due) -> Commands:
        if due.connection is not None:
            del self._due[stream.stream_id]
            yield from self._stop_connecting(due.connection)
        elif stream._paused is not None:  # noqa: SLF001 - in a hook: the answer is here, and is being masked
            due.at += LOOK_SECONDS
        else:
            del self._due[stream.stream_id]
            upstream = self.connections.get(stream.context.server)
            if upstream is not None:
                gone = RequestProtocolError(stream.stream_id, TIMED_OUT, ErrorCode.CANCEL)
                yield from self.event_to_child(upstream, gone)
            late = ResponseProtocolError(stream.stream_id, TIMED_OUT, ErrorCode.GENERIC_SERVER_ERROR)
            yield from self.event_to_child(stream, late)

    def _stop_connecting(self, event: GetHttpConnection) -> Commands:
        for connection, waiting in list(self.waiting_for_establishment.items()):
            if event in waiting:
                waiting.remove(event)
                yield from self._give(event, None, TIMED_OUT)
                if not waiting:
                    yield commands.CloseConnection(connection)


def _awaits_answer(stream: HttpStream) -> bool:
    return stream.server_state in (stream.state_wait_for_response_headers, stream.state_consume_response_body)
