"""HTTP/2 towards the client: Status bodies, as many streams as upstream connections, and a bound for what is not read."""

from __future__ import annotations

from dataclasses import dataclass

from h2.errors import ErrorCodes
from h2.events import Event, StreamReset
from mitmproxy.proxy import commands, context, events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ErrorCode, RequestProtocolError, ResponseData, ResponseProtocolError
from mitmproxy.proxy.layers.http._http2 import Http2Server

from pratique.interlock.refusals import error_status, status_code
from pratique.interlock.upstream import Commands


@dataclass(frozen=True)
class Limits:
    """`request`, `response`: bytes of one body that are buffered. `unread`: bytes that wait for an HTTP/2 client to read.

    `streams`: how many requests an HTTP/2 client may have open at once on one connection.
    """

    request: int
    response: int
    unread: int
    streams: int


class StatusHttp2Server(Http2Server):
    """HTTP/2 towards the client."""

    def __init__(self, ctx: context.Context, limits: Limits) -> None:
        super().__init__(ctx)
        self._limit = limits.unread
        self._unread = 0
        """Bytes that h2 keeps because the client's window is closed; never less than the truth."""
        self._resets: dict[commands.RequestWakeup, int] = {}
        settings = self.h2_conn.local_settings
        settings.max_concurrent_streams = limits.streams
        settings.acknowledge()  # h2 sends the old value otherwise

    def unsent(self) -> int:
        """Bytes that wait for the client's window, and one for each stream whose end waits."""
        waiting = self.h2_conn.stream_buffers.values()
        return sum(len(piece.data) + piece.end_stream for pieces in waiting for piece in pieces)

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Wakeup):
            stream_id = self._resets.pop(event.command)
            yield ReceiveHttp(RequestProtocolError(stream_id, "the client does not read", ErrorCode.CANCEL))
        elif isinstance(event, ResponseData) and self.is_open_for_us(event.stream_id):
            yield from self._send_data(event)
        elif isinstance(event, events.DataReceived):
            yield from super()._handle_event(event)
            self._unread = self.unsent()
        else:
            yield from self._send(event)

    def handle_h2_event(self, event: Event) -> CommandGenerator[bool]:
        """A reset that came in one piece with its request. mitmproxy 12.2.3 loses it, and would serve nobody for ever.

        It has forgotten the stream at the end of the request, because h2 had read the reset by then.
        """
        if isinstance(event, StreamReset) and event.stream_id not in self.streams:
            error = RequestProtocolError(event.stream_id, "stream reset by client", ErrorCode.CANCEL)
            yield ReceiveHttp(error)  # for a stream that is over this is nothing
        return (yield from super().handle_h2_event(event))

    def _send_data(self, event: ResponseData) -> Commands:
        if self._unread > self._limit:
            yield from self._reset(event.stream_id)
            return
        yield from super()._handle_event(event)
        if event.stream_id in self.h2_conn.stream_buffers:
            self._unread += len(event.data)

    def _reset(self, stream_id: int) -> Commands:
        self.h2_conn.reset_stream(stream_id, ErrorCodes.ENHANCE_YOUR_CALM)
        self.streams.pop(stream_id, None)
        yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        # The stream is just sending to us, so it is told afterwards.
        wakeup = commands.RequestWakeup(0)
        self._resets[wakeup] = stream_id
        yield wakeup

    def _send(self, event: events.Event) -> Commands:
        if isinstance(event, ResponseProtocolError) and (code := status_code(event)) is not None:
            stream = self.h2_conn.streams.get(event.stream_id)
            if stream and self.is_open_for_us(event.stream_id) and not stream.state_machine.headers_sent:
                headers = [(b":status", b"%d" % code), (b"content-type", b"application/json")]
                self.h2_conn.send_headers(event.stream_id, headers)
                self.h2_conn.send_data(event.stream_id, error_status(code, event.message), end_stream=True)
                if data := self.h2_conn.data_to_send():
                    yield commands.SendData(self.conn, data)
                return
        yield from super()._handle_event(event)
