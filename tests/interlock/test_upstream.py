"""The layer towards the cluster, without a cluster: what it forgets, and what then still arrives."""

from __future__ import annotations

from types import SimpleNamespace

from mitmproxy import options
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.proxy import commands, context, events
from mitmproxy.proxy.layers.http import GetHttpConnection
from mitmproxy.test import tflow

from pratique.interlock.upstream import Patience, UpstreamLayer

ADDRESS = ("127.0.0.1", 6443)


def layer() -> UpstreamLayer:
    ctx = context.Context(tflow.tclient_conn(), options.Options())
    ctx.server.address = ADDRESS
    return UpstreamLayer(ctx, Patience(1.0, lambda _flow: 1.0))


def server(state: ConnectionState) -> Server:
    made = Server(address=ADDRESS)
    made.state = state
    return made


def test_closed_connections_are_forgotten() -> None:
    """mitmproxy keeps each: an HTTP/2 client would cost an entry for each request that it ever made."""
    tested = layer()
    closed, opened, waited = (
        server(state) for state in (ConnectionState.CLOSED, ConnectionState.OPEN, ConnectionState.CLOSED)
    )
    for connection in (closed, opened, waited):
        tested.connections[connection] = tested
    tested.waiting_for_establishment[waited] = []
    request = GetHttpConnection(("127.0.0.1", 1), tls=True, via=None)
    tested.command_sources[request] = SimpleNamespace(stream_id=1, flow=None)
    yielded = list(tested.get_connection(request))
    assert [type(command) for command in yielded] == [commands.RequestWakeup, commands.OpenConnection]
    assert closed not in tested.connections
    assert {opened, waited} <= set(tested.connections)


def test_what_a_forgotten_connection_still_says_is_ignored() -> None:
    tested = layer()
    late = server(ConnectionState.CLOSED)
    assert list(tested.handle_event(events.ConnectionClosed(late))) == []
    assert list(tested.handle_event(events.DataReceived(late, b"HTTP/1.1 200 OK\r\n\r\n"))) == []
