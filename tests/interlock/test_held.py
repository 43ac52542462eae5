"""A request whose upgrade was answered before it was sent, event by event: whatever comes first, nothing is answered twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.proxy import commands, context, events
from mitmproxy.proxy.layers.http import GetHttpConnection
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.test import taddons, tflow

from pratique.errors import RecordError, Refused
from pratique.exchange import exchange, find
from pratique.interlock.held import AnswerUpgrade, refused_by_cluster
from pratique.interlock.http2 import Limits
from pratique.interlock.layers import StatusHttpLayer
from pratique.interlock.opening import open_early, open_tunnel
from pratique.interlock.tunnel import EndStreams, TunnelLayer, Watch
from pratique.interlock.upstream import Patience
from pratique.kube.canonical import RawRequest, canonicalise
from pratique.kube.handshake import offering, switching_headers
from pratique.kube.websocket import BINARY, CLOSE, FrameDecoder, frame
from pratique.tunnel.waiting import Notice
from tests.kube.requests import EXEC, WEBSOCKET
from tests.tunnel.support import KEY, Plain

V5 = "v5.channel.k8s.io"
NOTICE = Notice("apr-1", "", 300.0)
LINES = [f"GET {EXEC}&stderr=true&stdin=true HTTP/1.1", "Host: x", *(f"{n}: {v}" for n, v in WEBSOCKET.items()), "", ""]
SWITCHED = b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: " + V5.encode()


class Tape:
    def __init__(self) -> None:
        self.fails = False

    def write(self, now: float, seen: list[Any]) -> None:
        if self.fails:
            raise RecordError("the disk is full")

    def end(self, now: float) -> None:
        """Nothing to close."""


class Layer(StatusHttpLayer):
    """Whose connection to the cluster is there when `connected` is called."""

    asked: GetHttpConnection | None = None

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> Any:
        self.asked = event
        yield from ()

    def connected(self) -> Any:
        ctx = self.context.fork()
        ctx.server = Server(address=("127.0.0.1", 6443))
        ctx.server.state = ConnectionState.OPEN
        self.connections[ctx.server] = Http1Client(ctx)
        yield from self.event_to_child(self.connections[ctx.server], events.Start())
        assert self.asked is not None
        yield from self._give(self.asked, ctx.server, None)


class Wire:
    """A client connection; hooks are answered by the test, one after the other."""

    def __init__(self, options: Any) -> None:
        self.context = context.Context(tflow.tclient_conn(), options)
        self.context.client.alpn, self.context.client.state = b"http/1.1", ConnectionState.OPEN
        self.context.server.address, self.context.server.state = ("127.0.0.1", 6443), ConnectionState.CLOSED
        self.context.client.proxy_mode = options.mode[0]
        limits, patience = Limits(1 << 20, 1 << 20, 1 << 20, 100), Patience(1.0, lambda _flow: None)
        self.left: list[Any] = []
        self.finished = 0
        watch = Watch(lambda _flow: None, lambda _flow: None)
        self.layer = Layer(self.context, limits, patience, self._left, watch)
        self.to_client, self.to_server = b"", b""
        self.closed: list[Any] = []
        self.hooks: list[Any] = []
        self.feed(events.Start())
        self.client("\r\n".join(LINES).encode())
        self.flow: http.HTTPFlow = self.hook("requestheaders")
        self.hook("request", answer=False)
        raw = RawRequest(b"GET", self.flow.request.data.path, self.flow.request.headers.fields, b"")
        self.state = exchange(self.flow)
        self.state.canonical = canonicalise(raw)
        self.state.port_allowed = lambda _port: ""

    def _left(self, flow: Any) -> None:
        self.left.append(flow)
        exchange(flow).gone.set()

    def _finish(self) -> None:
        self.finished += 1

    def run(self, found: Iterator[Any]) -> None:
        for command in found:
            if isinstance(command, commands.StartHook):
                self.hooks.append(command)
            elif isinstance(command, commands.SendData):
                if command.connection is self.context.client:
                    self.to_client += command.data
                else:
                    self.to_server += command.data
            elif isinstance(command, commands.CloseConnection):
                self.closed.append(command.connection)

    def feed(self, event: events.Event) -> None:
        self.run(self.layer.handle_event(event))

    def client(self, data: bytes) -> None:
        self.feed(events.DataReceived(self.context.client, data))

    def hook(self, name: str, *, answer: bool = True) -> Any:
        """The next hook, which must be this one; then it is over."""
        hook = self.hooks[0] if not answer else self.hooks.pop(0)
        assert hook.name == name
        if answer:
            self.feed(events.HookCompleted(hook))
        return hook.args()[0]

    # --- what the gateway does ---

    def open(self) -> Any:
        session = open_early(self.state, V5, 3600)
        self.state.answered, self.state.tape = V5, Tape()
        self.state.at_end.append(self._finish)
        return session

    def answer(self) -> AnswerUpgrade:
        assert self.state.canonical is not None
        response = http.Response.make(101, b"", http.Headers(switching_headers(self.state.canonical, V5)))
        response.headers.pop("content-length")
        event = AnswerUpgrade(self.flow, response, self.open, NOTICE)
        self.feed(event)
        return event

    def approve(self) -> None:
        """The `request` hook ends: the request is cleared."""
        assert self.state.canonical is not None
        self.state.cleared = True
        self.flow.request.headers = http.Headers(offering(self.state.canonical, V5).headers)
        self.hook("request")

    def refuse(self) -> None:
        self.state.refusal = Refused(403, "ApprovalDenied", "denied by the test")
        self.flow.response = http.Response.make(403, b"{}")
        for name in ("request", "responseheaders", "response"):
            self.hook(name)

    @property
    def server(self) -> Server:
        (found,) = [each for each in self.layer.connections if isinstance(each, Server)]
        return found

    def cluster(self, data: bytes) -> None:
        self.feed(events.DataReceived(self.server, data))

    def switch(self, more: bytes = b"") -> None:
        """The cluster's 101, as the rooms let it pass."""
        self.cluster(SWITCHED + b"\r\n\r\n" + more)
        self.state.output = Plain()
        self.hook("responseheaders")
        assert self.flow.response is not None
        self.state.tunnel = open_tunnel(self.flow.response, self.state, 3600)
        self.hook("response")

    # --- what came of it ---

    @property
    def heads(self) -> int:
        return self.to_client.count(b"HTTP/1.1 ")

    def messages(self) -> list[tuple[int, bytes]]:
        head, _, rest = self.to_client.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        return [(part.opcode, part.data) for part in FrameDecoder(from_client=False).feed(rest)]

    def ended(self) -> bytes:
        """The session was ended by us: exactly one 101, a Status, a close; nothing more of it is open."""
        found = self.messages()
        (status,) = [data for opcode, data in found if opcode == BINARY and data[:1] == b"\x03"]
        assert (found[-1][0], self.heads, self.hooks) == (CLOSE, 1, [])
        assert b'"status":"Failure"' in status
        assert self.finished == 1
        return status


@pytest.fixture
def wire() -> Iterator[Wire]:
    with taddons.context(Proxyserver()) as tctx:
        tctx.options.mode = ["reverse:tls://127.0.0.1:6443"]
        yield Wire(tctx.options)


def typed(data: bytes) -> bytes:
    return frame(BINARY, b"\x00" + data, KEY)


def test_what_came_before_and_after_the_101_reaches_the_cluster_in_order(wire: Wire) -> None:
    wire.client(typed(b"impatient "))  # before it was answered
    wire.answer()
    wire.client(typed(b"early "))
    wire.approve()
    wire.client(typed(b"connecting "))
    assert wire.to_server == b""
    wire.run(wire.layer.connected())
    assert wire.to_server.count(b"\r\n\r\n") == 1
    wire.client(typed(b"asked "))
    assert wire.to_server.endswith(b"\r\n\r\n")
    wire.switch(frame(BINARY, b"\x01with the 101"))
    wire.client(typed(b"late"))
    _, _, sent = wire.to_server.partition(b"\r\n\r\n")
    assert b"".join(part.data[1:] for part in FrameDecoder(from_client=True).feed(sent)) == (
        b"impatient early connecting asked late"
    )
    assert (BINARY, b"\x01with the 101") in wire.messages()
    assert wire.heads == 1
    assert wire.finished == 0
    wire.cluster(frame(BINARY, b'\x03{"status":"Success"}') + frame(CLOSE, b"\x03\xe8"))
    assert wire.messages()[-1] == (CLOSE, b"\x03\xe8")
    assert wire.finished == 1


def test_refused_it_is_a_status_and_no_answer(wire: Wire) -> None:
    wire.answer()
    wire.refuse()
    assert b"denied by the test" in wire.ended()
    assert wire.layer.asked is None


def test_a_second_notice_is_no_second_answer(wire: Wire) -> None:
    wire.answer()
    wire.answer()
    assert wire.heads == 1
    assert [data for _, data in wire.messages()] == 2 * [b"\x02" + NOTICE.first().encode() + b"\n"]


def test_a_request_that_is_not_held_is_not_answered_early(wire: Wire) -> None:
    wire.refuse()
    before = wire.to_client
    wire.answer()
    assert (wire.to_client, wire.heads) == (before, 1)
    assert find(wire.flow).tunnel is None  # type: ignore[union-attr]


def test_a_client_that_has_left_is_not_answered(wire: Wire) -> None:
    wire.feed(events.ConnectionClosed(wire.context.client))
    wire.answer()
    assert wire.to_client == b""


def test_what_cannot_be_opened_is_not_answered(wire: Wire) -> None:
    def fails() -> Any:
        raise RecordError("the disk is full")

    wire.open = fails  # type: ignore[method-assign]
    assert isinstance(wire.answer().problem, RecordError)
    assert wire.to_client == b""
    wire.refuse()
    assert wire.to_client.startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("when", ["held", "connecting", "asked"])
@pytest.mark.parametrize("how", ["leaves", "closes", "malformed", "tape", "stops"])
def test_a_session_that_ends_first_gets_nothing_done(wire: Wire, when: str, how: str) -> None:
    wire.answer()
    if when != "held":
        wire.approve()
    if when == "asked":
        wire.run(wire.layer.connected())
    if how == "leaves":
        wire.feed(events.ConnectionClosed(wire.context.client))
    elif how == "stops":
        wire.feed(EndStreams())
    elif how == "tape":
        wire.state.tape.fails = True  # type: ignore[union-attr]
        wire.client(typed(b"unrecorded"))
        assert wire.context.client not in wire.closed  # it reads the Status first
    else:
        wire.client(frame(CLOSE, b"", KEY) if how == "closes" else b"\xff\xff")
    assert wire.left == [wire.flow]
    if when == "held":
        wire.approve()  # the reviewer was faster than the client, but nothing had been sent
    elif when == "connecting":
        wire.run(wire.layer.connected())
    wire.hook("error")
    assert wire.hooks == []
    if when == "asked":
        assert wire.server in wire.closed
    else:
        assert wire.to_server == b""
    assert (wire.heads, wire.finished) == (1, 1)


def test_a_flow_that_is_killed_in_mitmweb_is_a_failure(wire: Wire) -> None:
    wire.answer()
    wire.flow.kill()
    wire.hook("request")
    wire.hook("error")
    assert b"the gateway broke the request off" in wire.ended()
    assert wire.layer.asked is None


def test_a_cluster_that_hangs_up_or_answers_something_else_is_a_failure(wire: Wire) -> None:
    wire.answer()
    wire.approve()
    wire.run(wire.layer.connected())
    wire.server.state = ConnectionState.CLOSED
    wire.feed(events.ConnectionClosed(wire.server))
    wire.hook("error")
    assert b"could not be reached, or its answer was not usable" in wire.ended()


def test_the_clusters_own_refusal_is_told(wire: Wire) -> None:
    wire.answer()
    wire.approve()
    wire.run(wire.layer.connected())
    body = b'{"kind":"Status","message":"pods \\"x\\" not found","reason":"NotFound","code":404}'
    wire.cluster(b"HTTP/1.1 404 X\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    wire.hook("responseheaders")
    wire.hook("response")
    assert b"the cluster answered the upgrade with 404" in wire.ended()


@pytest.mark.parametrize("chosen", ["v4.channel.k8s.io", ""])
def test_bypass_5_06_another_sub_protocol_than_was_promised_opens_nothing(wire: Wire, chosen: str) -> None:
    wire.answer()
    wire.approve()
    wire.run(wire.layer.connected())
    wire.cluster(SWITCHED[: -len(V5)] + chosen.encode() + b"\r\n\r\n" + frame(BINARY, b"\x01leaked"))
    wire.state.output = Plain()
    wire.hook("responseheaders")
    assert wire.flow.response is not None
    with pytest.raises(Refused) as raised:
        open_tunnel(wire.flow.response, wire.state, 3600)
    wire.state.refusal = raised.value
    wire.flow.response = http.Response.make(502, b"{}")
    wire.hook("response")
    assert b"sub-protocol" in wire.ended()
    assert b"leaked" not in wire.to_client
    assert wire.server in wire.closed


def test_a_tunnel_that_breaks_meanwhile_closes_and_sends_nothing(wire: Wire) -> None:
    wire.answer()
    (stream,) = wire.layer.streams.values()
    assert isinstance(stream.early, TunnelLayer)  # type: ignore[attr-defined]
    wire.state.tunnel.from_client = None  # type: ignore[union-attr,method-assign,assignment]
    wire.client(typed(b"x"))
    assert wire.context.client in wire.closed
    wire.approve()
    wire.hook("error")
    assert (wire.to_server, wire.finished, wire.heads) == (b"", 1, 1)


def test_an_upgrade_is_opened_early_once(wire: Wire) -> None:
    wire.state.tunnel = open_early(wire.state, V5, 3600)
    with pytest.raises(Refused):
        open_early(wire.state, V5, 3600)


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        (404, b'{"message":"gone","reason":"NotFound"}', (404, "NotFound", "404: gone")),
        (403, b"<html>", (403, "BadGateway", "403")),
        (200, b"{}", (502, "BadGateway", "200")),
        (307, b"\xff", (502, "BadGateway", "307")),
        (500, b'{"message":7}', (500, "BadGateway", "500")),
    ],
)
def test_whatever_the_cluster_answers_instead_of_101_is_a_failure(
    code: int, body: bytes, expected: tuple[int, str, str]
) -> None:
    refusal = refused_by_cluster(code, body)
    assert (refusal.code, refusal.reason) == expected[:2]
    assert refusal.message == f"the cluster answered the upgrade with {expected[2]}"
