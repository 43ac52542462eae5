"""The client connections that are open, as mitmproxy holds them. I/O: what is not in a layer's hands.

Relies on mitmproxy 12.2's `Proxyserver.connections` and `ConnectionHandler.transports`.
"""

from __future__ import annotations

from typing import Any

from mitmproxy import ctx, http
from mitmproxy.connection import Client
from mitmproxy.proxy import events

from pratique.errors import Refused
from pratique.exchange import exchange, open_exchanges
from pratique.interlock.tunnel import EndStreams


def handlers() -> list[Any]:
    """Mitmproxy's handlers, one for each connection."""
    return list(ctx.master.addons.get("proxyserver").connections.values())


def close(client: Client) -> None:
    """Close a client's connection; mitmproxy then closes its upstream."""
    for handler in handlers():
        if handler.client is client and (transport := handler.transports.get(client)) and transport.handler:
            transport.handler.cancel("closed by pratique")


async def end_stream(flow: http.HTTPFlow, refusal: Refused) -> None:
    """With a Status where there is a place for one, else as if the cluster had ended it; nothing if it has ended."""
    exchange(flow).stream.end(refusal)
    await tell(flow, EndStreams(flow))


async def tell(flow: http.HTTPFlow, event: events.Event) -> None:
    """Hand an event to the layers of a flow's client connection; nothing if it is closed."""
    for handler in handlers():
        if handler.client is flow.client_conn:
            await handler.server_event(event)


async def end_watches() -> None:
    """Every streamed answer, as if the cluster had ended it."""
    for flow, state in open_exchanges():
        if state.streaming and not state.ended:
            for handler in handlers():
                if handler.client is flow.client_conn:
                    await handler.server_event(EndStreams(flow))


def has_unsent(end: EndStreams) -> bool:
    """Whether a client has not been sent everything yet: in its HTTP/2 window, or in its socket."""
    if any(unsent() for unsent in end.unsent):
        return True
    writers = [transport.writer for handler in handlers() for transport in handler.transports.values()]
    return any(writer.transport.get_write_buffer_size() for writer in writers if writer is not None)
