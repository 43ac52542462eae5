"""HTTP/2 towards the cluster, when the cluster says GOAWAY: what it has begun to answer is still answered.

kube-apiserver sends GOAWAY with every 401 (`UnauthenticatedHTTP2DOSMitigation`), now and then so that clients spread
(`--goaway-chance`), and when it is updated. RFC 9113 §6.8: streams up to the last one that it names go on. mitmproxy 12.2
ends the connection there and then, so that a write that was carried out is answered 502, watches are cut, and a refused
credential is not recognised as one.

Relies on h2's table of frame handlers; the tests in `tests/process/` fail when an upgrade changes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from h2.errors import ErrorCodes
from h2.events import Event
from hyperframe.frame import Frame, GoAwayFrame
from mitmproxy.proxy import context, events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import ErrorCode, RequestHeaders, ResponseProtocolError
from mitmproxy.proxy.layers.http._http2 import Http2Client

GONE = "the cluster closes this connection; the request was not carried out"


@dataclass
class GoingAway(Event):
    """A GOAWAY frame. `last_stream_id`: the last stream that the cluster has looked at, or may still."""

    last_stream_id: int
    error_code: int


class DrainingHttp2Client(Http2Client):
    """One connection to the cluster. `going_away`: it takes no new request."""

    def __init__(self, ctx: context.Context) -> None:
        super().__init__(ctx)
        self.going_away = False
        # h2 itself takes no frame after a GOAWAY, although the answers of streams that go on follow it.
        self.h2_conn._frame_dispatch_table[GoAwayFrame] = _on_goaway  # noqa: SLF001 - it has no other place

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if self.going_away and isinstance(event, RequestHeaders) and event.stream_id not in self.our_stream_id:
            yield ReceiveHttp(ResponseProtocolError(event.stream_id, GONE, ErrorCode.GENERIC_SERVER_ERROR))
            return
        if self.going_away and isinstance(event, HttpEvent) and event.stream_id not in self.our_stream_id:
            return  # the rest of such a request
        yield from super()._handle_event(event)
        while self.going_away and self.stream_queue:  # they waited for a free stream, and were not sent
            stream_id, _ = self.stream_queue.popitem()
            yield ReceiveHttp(ResponseProtocolError(stream_id, GONE, ErrorCode.GENERIC_SERVER_ERROR))

    def handle_h2_event(self, event: Event) -> CommandGenerator[bool]:
        if not isinstance(event, GoingAway):
            return (yield from super().handle_h2_event(event))
        if event.error_code != ErrorCodes.NO_ERROR:
            yield from self.close_connection(f"HTTP/2 connection closed by the cluster: error {event.error_code}")
            return True
        self.going_away = True
        for stream_id in [each for each in self.streams if each > event.last_stream_id]:
            del self.streams[stream_id]
            yield ReceiveHttp(ResponseProtocolError(stream_id, GONE, ErrorCode.GENERIC_SERVER_ERROR))
        return False


def _on_goaway(frame: GoAwayFrame) -> tuple[list[Frame], list[Any]]:
    return [], [GoingAway(frame.last_stream_id, frame.error_code)]
