"""mitmproxy's HTTP layers, with these differences. Set through the `next_layer` hook, mitmproxy's own extension point.

1. Every error that mitmproxy answers by itself (upstream down, malformed request) is a Kubernetes Status, not a web page.
2. Request and response bodies have limits of their own, and a request head is looked at before it is parsed.
3. A client that leaves is noticed at once (HTTP/2 resets fire no hook), also while its upstream connection is made.
4. Streams can be ended in an orderly way; one that cannot be masked any more is cut.
5. An HTTP/2 client may have as many streams as it gets upstream connections, and what it does not read is bounded.
6. An exception in a layer closes the connection. mitmproxy logs it and leaves the client waiting.
7. After a 101 the connection is carried by `TunnelLayer`, also before the cluster is there (`held`).
8. Bodies of HTTP/1 are read by `BodyReader`: without trailers, and in as few pieces as they arrive in.

The side of the cluster is in `upstream`.

Relies on mitmproxy 12.2's `proxy.layers.http`; `tests/interlock/test_layers.py` fails when an upgrade changes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from mitmproxy import flow as mitmflow
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, context, events, layer
from mitmproxy.proxy.layers.http import DropStream, HttpStream, SendHttp, _http1
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestProtocolError,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook
from mitmproxy.proxy.layers.http._http1 import Http1Server

from pratique.errors import Refused
from pratique.exchange import exchange, find, finish, place_of
from pratique.interlock.bodies import BodyReader
from pratique.interlock.head import MAX_HEAD, check_head
from pratique.interlock.held import AnswerUpgrade, HeldStream
from pratique.interlock.http2 import Limits, StatusHttp2Server
from pratique.interlock.refusals import error_response, status_code
from pratique.interlock.together import together
from pratique.interlock.tunnel import EndStreams, TunnelLayer, Watch
from pratique.interlock.upstream import Commands, Patience, UpstreamLayer, fork

logger = logging.getLogger("pratique")


def install_readers() -> None:
    """In both directions. There is no extension point: the readers are made by a function of mitmproxy's module."""
    make = _http1.make_body_reader
    if getattr(make, "is_ours", False):
        return

    def make_body_reader(expected_size: int | None) -> Any:
        return BodyReader(make(expected_size))

    make_body_reader.is_ours = True  # type: ignore[attr-defined]  # a mark, so that it is done once
    _http1.make_body_reader = make_body_reader


install_readers()


class StatusHttp1Server(Http1Server):
    """HTTP/1.1 towards the client."""

    _tail = b""
    """The last bytes that were looked at: the end of a head may be cut anywhere."""

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        if isinstance(event, events.DataReceived):
            try:
                if self._may_be_complete(event.data):
                    check_head(bytes(self.buf))
            except Refused as refusal:
                yield commands.SendData(self.conn, error_response(refusal.code, str(refusal)))
                yield commands.CloseConnection(self.conn)
                self.state = self.wait
                return
        for command in super().read_headers(event):
            if isinstance(command, commands.SendData):
                yield commands.SendData(self.conn, error_response(400, ""))
            else:
                yield command

    def _may_be_complete(self, data: bytes) -> bool:
        """Whether the parser could now see a whole head. Not looking before keeps a slow head linear."""
        window = self._tail + data if data else bytes(self.buf)  # no data: what is left of the message before
        self._tail = window[-2:]
        return b"\n\n" in window or b"\n\r\n" in window or len(self.buf) > MAX_HEAD

    def read_body(self, event: events.Event) -> Commands:
        """A body that cannot be read is answered, then closed."""
        for command in super().read_body(event):
            unanswered = not self.response and self.conn.state & ConnectionState.CAN_WRITE
            if isinstance(command, commands.CloseConnection) and unanswered and not self.request_done:
                yield commands.SendData(self.conn, error_response(400, ""))
            yield command

    def send(self, event: Any) -> Commands:
        code = status_code(event) if isinstance(event, ResponseProtocolError) else None
        if code is not None and not self.response and self.conn.state & ConnectionState.CAN_WRITE:
            yield commands.SendData(self.conn, error_response(code, event.message))
            yield commands.CloseConnection(self.conn)
            return
        yield from super().send(event)


class LimitedHttpStream(HeldStream):
    """One request. `limits`, `left` and `watch` are set by the layer that makes it."""

    limits: Limits
    _sizes: dict[bool, int]
    switched = False
    """The cluster has answered 101, so its connection serves no other request."""

    def __init__(self, ctx: context.Context, stream_id: int) -> None:
        super().__init__(ctx, stream_id)
        self._sizes = {}

    def make_server_connection(self) -> Commands:
        """INVARIANT: nothing is sent for a client that left while the connection was made."""
        connected = yield from super().make_server_connection()
        return bool(connected) and not (yield from self.check_killed(True))

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> Commands:
        """An informational answer is none: what comes after it would not be read."""
        self.switched = event.response.status_code == 101
        if event.response.status_code < 200 and not self.switched:
            message = "an answer that was not asked for"
            yield SendHttp(RequestProtocolError(self.stream_id, message, ErrorCode.CANCEL), self.context.server)
            error = ResponseProtocolError(self.stream_id, message, ErrorCode.GENERIC_SERVER_ERROR)
            yield from self.handle_protocol_error(error)
            return
        yield from super().state_wait_for_response_headers(event)

    def state_stream_response_body(self, event: events.Event) -> Commands:
        yield from super().state_stream_response_body(event)
        if self._has_failed() and self.server_state == self.state_stream_response_body:
            yield from self._cut()

    def send_response(self, already_streamed: bool = False) -> Commands:  # noqa: FBT001, FBT002 - mitmproxy's signature
        if already_streamed and self._has_failed():
            yield from self._cut()
            return
        yield from super().send_response(already_streamed)
        if self.child_layer is None and self.early is None and (state := find(self.flow)) is not None:
            finish(state)

    def flow_done(self) -> Commands:
        if self.flow.response is None or self.flow.response.status_code != 101:
            if self.switched:
                self.server_state = self.state_errored  # what the cluster says after its 101 is for nobody
                yield commands.CloseConnection(self.context.server)
            yield from super().flow_done()
            return
        if self.early is not None:
            yield from self.attach()
            return
        self.flow.live = False
        self.child_layer = TunnelLayer(self.context, self.flow, exchange(self.flow), self.watch)
        self._handle_event = self.passthrough
        yield from self.child_layer.handle_event(events.Start())
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def _has_failed(self) -> bool:
        """The callable that masks a stream says so by its attribute `failed`."""
        return self.flow.response is not None and getattr(self.flow.response.stream, "failed", False) is True

    def _cut(self) -> Commands:
        """End a stream so that the client sees that it is not whole."""
        message = "the answer could not be masked"
        self.flow.error = mitmflow.Error(message)
        self.client_state = self.server_state = self.state_errored
        self.flow.live = False
        yield HttpErrorHook(self.flow)
        yield SendHttp(RequestProtocolError(self.stream_id, message, ErrorCode.CANCEL), self.context.server)
        yield SendHttp(ResponseProtocolError(self.stream_id, message, ErrorCode.KILL), self.context.client)
        yield DropStream(self.stream_id)

    def check_body_size(self, request: bool) -> Commands:  # noqa: FBT001 - mitmproxy's signature
        limit = self.limits.request if request else self.limits.response
        buffered = len(self.request_body_buf if request else self.response_body_buf)
        streamed = not request and self.flow.response is not None and self.flow.response.stream
        if streamed or (not request and self._will_stream()) or max(buffered, self._announced(request)) <= limit:
            return False
        yield from self._too_large(request)
        return True

    def _announced(self, request: bool) -> int:  # noqa: FBT001 - as above
        """Bytes; 0 where none are announced. Read once: the head does not change."""
        if request not in self._sizes:
            try:
                size = http1.expected_http_body_size(self.flow.request, None if request else self.flow.response)
            except ValueError:
                size = None
            self._sizes[request] = max(size or 0, 0)
        return self._sizes[request]

    def _will_stream(self) -> bool:
        """Response headers are not judged yet: the `responseheaders` hook decides whether the body streams."""
        return not self.response_body_buf

    def _too_large(self, request: bool) -> Commands:  # noqa: FBT001 - as above
        message = f"{'request' if request else 'response'} body exceeds the limit"
        code = ErrorCode.REQUEST_TOO_LARGE if request else ErrorCode.RESPONSE_TOO_LARGE
        self.flow.error = mitmflow.Error(message)
        yield HttpErrorHook(self.flow)
        yield SendHttp(ResponseProtocolError(self.stream_id, message, code), self.context.client)
        self.client_state = self.state_errored
        if not request:
            yield SendHttp(RequestProtocolError(self.stream_id, message, code), self.context.server)
        self.server_state = self.state_errored
        self.flow.live = False


class StatusHttpLayer(UpstreamLayer):
    """The HTTP layer of one client connection."""

    def __init__(
        self, ctx: context.Context, limits: Limits, patience: Patience, left: Callable[[Any], None], watch: Watch
    ) -> None:
        super().__init__(ctx, patience)
        self._limits = limits
        self._left = left
        self._watch = watch
        self._broken = False

    def _handle_event(self, event: events.Event) -> Commands:
        if self._broken:
            return
        try:
            yield from together(self._handle(event))
        except Exception as exc:  # noqa: BLE001 - whatever it is, nothing more is sent or shown
            self._broken = True
            logger.error("a connection failed and was closed: %s at %s", type(exc).__name__, place_of(exc))
            for stream in self.streams.values():
                if hasattr(stream, "flow"):
                    self._left(stream.flow)
                    finish(exchange(stream.flow))
            for connection in list(self.connections):
                yield commands.CloseConnection(connection)

    def _handle(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            ctx = fork(self.context)
            multiplexes = self.context.client.alpn == b"h2"
            server = StatusHttp2Server(ctx, self._limits) if multiplexes else StatusHttp1Server(ctx)
            self.connections.setdefault(self.context.client, server)
        if isinstance(event, EndStreams):
            yield from self._end_streams(event)
            to_client = self.connections[self.context.client]
            if isinstance(to_client, StatusHttp2Server):
                event.unsent.append(to_client.unsent)
        elif isinstance(event, AnswerUpgrade):
            yield from self._answer_upgrade(event)
        else:
            yield from super()._handle_event(event)

    def make_stream(self, stream_id: int) -> Commands:
        stream = LimitedHttpStream(fork(self.context), stream_id)
        stream.limits, stream.left, stream.watch = self._limits, self._left, self._watch
        self.streams[stream_id] = stream
        yield from self.event_to_child(stream, events.Start())

    def event_to_child(self, child: Any, event: events.Event) -> Commands:
        if isinstance(event, RequestProtocolError) and isinstance(child, HttpStream) and hasattr(child, "flow"):
            self._left(child.flow)
        yield from super().event_to_child(child, event)

    def _answer_upgrade(self, event: AnswerUpgrade) -> Commands:
        """HTTP/2 has no upgrades (RFC 9113 8.6)."""
        for stream in list(self.streams.values()):
            if getattr(stream, "flow", None) is event.flow and self.context.client.alpn != b"h2":
                yield from self.event_to_child(stream, event)

    def _end_streams(self, event: EndStreams) -> Commands:
        for stream in list(self.streams.values()):
            if event.flow is not None and getattr(stream, "flow", None) is not event.flow:
                continue
            if isinstance(stream.child_layer, TunnelLayer) or getattr(stream, "early", None) is not None:
                yield from self.event_to_child(stream, event)
            elif stream.server_state == stream.state_stream_response_body:
                server: Connection = stream.flow.server_conn
                yield from self.event_to_child(stream, ResponseEndOfMessage(stream.stream_id))
                yield commands.CloseConnection(server)


class RefuseConnection(layer.Layer):
    """Answers the first bytes of a connection that is not served (`answer` may be empty) and closes it."""

    def __init__(self, ctx: context.Context, answer: bytes) -> None:
        super().__init__(ctx)
        self._answer = answer

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            if self._answer:
                yield commands.SendData(self.context.client, self._answer)
            yield commands.CloseConnection(self.context.client)
