"""The interlock: refuses every flow that is not positively cleared, whatever the other addons did or failed to do.

Its own entry of mitmproxy's chain, after all others: an exception in another addon, an unloaded script or a wrong order
leaves it standing. Hooks only; what it checks is one line each.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from mitmproxy import ctx, http
from mitmproxy.connection import Client
from mitmproxy.proxy import layer, layers, tunnel
from mitmproxy.proxy.mode_specs import ProxyMode, ReverseMode
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from pratique import settings
from pratique.errors import Refused, StartError
from pratique.exchange import answer, exchange, fault, find, kill, open_exchanges
from pratique.interlock.connections import close, end_stream, handlers
from pratique.interlock.draining import STOPPING
from pratique.interlock.http2 import Limits
from pratique.interlock.layers import RefuseConnection, StatusHttpLayer
from pratique.interlock.opening import open_tunnel
from pratique.interlock.patience import is_long_running
from pratique.interlock.refusals import error_response
from pratique.interlock.silent import Silent
from pratique.interlock.tunnel import RECHECK_SECONDS, Watch
from pratique.interlock.upstream import Patience
from pratique.kube.canonical import CanonicalRequest

logger = logging.getLogger("pratique")
RETRY_SECONDS = 1
"""For clients of a gateway that stops: another one serves them, or this one again in a moment."""
SENT = b"**sent**"
"""What is left of the credential in a flow whose request has been sent: mitmweb shows flows."""
TLS_HANDSHAKE = 0x16
"""First byte of a TLS record with a ClientHello (RFC 8446 5.1)."""


class Endpoint(Protocol):
    """Where the cluster is."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class Interlock:
    """`required` are the addons that must be in the chain; one missing and nothing is served."""

    name = "interlock"

    def __init__(
        self,
        server: Endpoint,
        tls_server_name: str | None,
        required: tuple[Any, ...],
        finish: tuple[Callable[[], None], ...],
    ) -> None:
        """`finish` closes what is written to; called when the last stream has ended (`draining` comes before)."""
        self._server = server
        self._tls_server_name = tls_server_name
        self._required = required
        self._required_ids = frozenset(map(id, required))  # they live as long as this: no other object has these
        self._finish = finish
        self._cleared: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._silent = Silent()
        self._serving = False
        self._closed = "the gateway is starting"
        self._draining = False
        self._from_cluster: dict[str, Any] = {}
        self._rechecking: asyncio.Task[None] | None = None

    # --- when it serves at all ---

    async def running(self) -> None:
        """Last of the start: whatever is wrong with the options ends the process before a request is served.

        Stock mitmdump opens its listeners, in the mode of its command line, while it still loads scripts. They are opened
        anew in the mode that was decided since; `client_connected` refuses what came in before.
        """
        try:
            settings.check(ctx.options)
            self._check_mode()
            modes = [ProxyMode.parse(mode) for mode in ctx.options.mode]
            if not await ctx.master.addons.get("proxyserver").servers.update(modes):
                raise StartError("the gateway cannot listen. Is the port in use?")
        except StartError as error:
            sys.stderr.write(f"pratique: {error}\n")
            ctx.master.should_exit.set()
            sys.exit(1)
        self._from_cluster = settings.from_cluster(ctx.options)
        self._serving, self._closed = True, ""
        self._rechecking = asyncio.create_task(self._recheck_streams())
        logger.warning("pratique serves %s", self._server)

    def configure(self, updated: set[str]) -> None:
        """An option changed while running (console, config file): stop serving where it opens the gateway."""
        if not self._serving:
            return
        try:
            settings.check(ctx.options)
            self._check_mode()
            if settings.from_cluster(ctx.options) != self._from_cluster:
                raise StartError("what the Cluster document says was changed")
        except StartError as error:
            self.close(str(error))
            logger.error("option change %s: %s", sorted(updated), error)

    def close(self, reason: str) -> None:
        """Serve nothing from now on."""
        self._serving, self._closed = False, reason

    def begin_draining(self) -> None:
        """Serve on, but nothing that lasts, and tell HTTP/1.1 clients to go elsewhere."""
        self._draining = True

    @property
    def closed(self) -> str:
        """Why it should be sent no requests; "" while it should."""
        return self._closed if not self._serves() else STOPPING if self._draining else ""

    @property
    def open_streams(self) -> int:
        return sum(self._streams.values())

    def _check_mode(self) -> None:
        if list(ctx.options.mode) != [reverse_mode(self._server)]:
            raise StartError(f"option `mode` must be `{reverse_mode(self._server)}`: any other mode is an open proxy")
        web = (getattr(ctx.options, "web_host", None), getattr(ctx.options, "web_port", None))
        if self._server.port == web[1] and self._server.host in {web[0], "127.0.0.1", "::1", "localhost"}:
            raise StartError("the Cluster's `server` is mitmweb's own address: its API would be reachable by clients")

    # --- connections ---

    def client_connected(self, client: Client) -> None:
        """Mitmproxy allows five upstream connections per client connection: a sixth watch would wait for ever."""
        mode = client.proxy_mode
        if (
            client.transport_protocol != "tcp"
            or not isinstance(mode, ReverseMode)
            or not self._is_cluster(mode.address)
        ):
            client.error = "only the reverse proxy to the cluster is served, over TCP"
            return
        self._silent.connected(client.id, ctx.options.pratique_head_timeout, lambda: close(client))
        for handler in handlers():
            if handler.client is client:
                handler.max_conns.default_factory = functools.partial(
                    asyncio.Semaphore, ctx.options.pratique_connections
                )

    def _is_cluster(self, address: Any) -> bool:
        return tuple(address[:2]) == (self._server.host, self._server.port)

    def client_disconnected(self, client: Client) -> None:
        self._silent.gone(client.id)
        self._cleared.pop(client.id, None)

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """Only HTTP to the cluster, over TLS unless the operator allowed plaintext. Overrides what mitmproxy guessed before."""
        context = nextlayer.context
        data = nextlayer.data_client()
        nextlayer.layer = None
        if not data:
            return
        try:
            nextlayer.layer = self._layers(context, tls=data[0] == TLS_HANDSHAKE)
        except Exception:  # noqa: BLE001 - without a layer of ours mitmproxy would choose one of its own
            logger.error("interlock: no layer for a connection")
            nextlayer.layer = RefuseConnection(context, b"")

    def _layers(self, context: Any, *, tls: bool) -> layer.Layer:
        if context.client.transport_protocol != "tcp":
            return RefuseConnection(context, b"")
        if not tls and not ctx.options.pratique_plaintext:
            return RefuseConnection(context, error_response(400, "plaintext"))
        options = ctx.options
        limits = Limits(
            options.pratique_request_limit,
            options.pratique_response_limit,
            options.pratique_unread,
            options.pratique_connections,
        )
        patience = Patience(options.pratique_connect_timeout, _answer_timeout)
        context.server.tls = True  # each connection to the cluster has a TLS layer of its own; none is made before
        stack = tunnel.LayerStack()
        if tls:
            stack /= layers.ClientTLSLayer(context)
        watch = Watch(self._tunnel_opened, self._tunnel_closed)
        stack /= StatusHttpLayer(context, limits, patience, _left, watch)
        first: layer.Layer = stack[0]
        return first

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """INVARIANT: a connection to the cluster is only dialled for a client that has a cleared request open."""
        try:
            if data.server.address != (self._server.host, self._server.port):
                data.server.error = "not the cluster"
            elif not self._cleared[data.client.id]:
                data.server.error = "no cleared request"
            elif self._tls_server_name:
                data.server.sni = self._tls_server_name
        except Exception:  # noqa: BLE001 - mitmproxy would log it and dial
            data.server.error = "the interlock failed"

    # --- requests ---

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        state = find(flow)
        if state is not None and state.client is not None:
            self._silent.spoke(flow.client_conn.id)

    def request(self, flow: http.HTTPFlow) -> None:
        """INVARIANT: nothing goes upstream that the gate did not clear, and that is not for the cluster."""
        self._or_refuse(flow, self._request)

    def _request(self, flow: http.HTTPFlow) -> None:
        state = find(flow)
        if state is not None and state.refusal is not None:
            answer(flow, state.refusal)
        elif not self._serves():
            raise self._not_served()
        elif self._draining and state is not None and state.canonical is not None and _lasts(state.canonical):
            text = f"{STOPPING}, so nothing is begun here that lasts. Repeat the request"
            raise Refused(503, "ServiceUnavailable", text, rule="interlock/draining", retry_after=RETRY_SECONDS)
        elif flow.is_replay or flow.request.stream or state is None or not state.cleared or flow.response is not None:
            raise Refused(
                503, "ServiceUnavailable", "no verdict was reached for this request", rule="interlock/verdict"
            )
        elif (flow.request.host, flow.request.port, flow.request.scheme) != (
            self._server.host,
            self._server.port,
            "https",
        ):
            raise Refused(503, "ServiceUnavailable", "the request was for another host", rule="interlock/host")
        else:
            self._cleared[flow.client_conn.id] += 1

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Runs for the gateway's own answers too. A stream that masking did not set up is killed before its first byte."""
        fields = flow.request.headers.fields  # nobody who looks at the flow needs the token any more
        flow.request.headers.fields = tuple([(n, SENT if n.lower() == b"authorization" else v) for n, v in fields])
        state = find(flow)
        if state is None or (state.refusal is None and not state.cleared):
            kill(flow)
        elif flow.response is not None and flow.response.stream:
            if flow.response.stream is state.stream:
                self._streams[flow.id] = 1
            else:
                kill(flow)

    def response(self, flow: http.HTTPFlow) -> None:
        """INVARIANT: no byte of a response is sent that masking has not shown and the recorder has not recorded."""
        self._or_refuse(flow, self._response)
        if self._draining:
            _close_after(flow)
        self._done(flow)

    def _response(self, flow: http.HTTPFlow) -> None:
        state = find(flow)
        if state is None or not state.shown or not state.recorded:
            raise Refused(502, "BadGateway", "the response was not masked and recorded", rule="interlock/response")
        if flow.response is not None and flow.response.status_code == 101:
            state.tunnel = open_tunnel(flow.response, state, ctx.options.pratique_session_limit)
            if self.recheck not in state.rechecks:
                state.rechecks.append(self.recheck)

    def recheck(self) -> None:
        """Raises Refused where no stream may go on."""
        if not self._serves():
            raise self._not_served()

    def _not_served(self) -> Refused:
        text = f"the gateway does not serve: {self._closed}"
        retry = RETRY_SECONDS if self._draining else None
        return Refused(503, "ServiceUnavailable", text, rule="interlock/closed", retry_after=retry)

    def error(self, flow: http.HTTPFlow) -> None:
        self._done(flow)

    def _done(self, flow: http.HTTPFlow) -> None:
        self._streams.pop(flow.id, None)
        state = find(flow)
        if state is not None and state.cleared and not state.ended:
            state.ended = True
            self._cleared[flow.client_conn.id] -= 1

    def _serves(self) -> bool:
        missing = not self._required_ids.issubset(map(id, ctx.master.addons.chain))
        if missing:
            self.close("an addon was unloaded")
        return self._serving and not missing

    def _or_refuse(self, flow: http.HTTPFlow, check: Callable[[http.HTTPFlow], None]) -> None:
        """The last hook of all: nothing stands behind it, so any failure ends in an answer of ours or in a kill."""
        try:
            check(flow)
        except Refused as refusal:
            exchange(flow).refusal = refusal
            self._answer(flow, refusal)
        except Exception:  # noqa: BLE001 - nothing stands behind this
            kill(flow)

    def _answer(self, flow: http.HTTPFlow, refusal: Refused) -> None:
        flow.request.headers.pop("authorization", None)
        try:
            answer(flow, refusal)
        except Exception:  # noqa: BLE001 - nothing stands behind this
            kill(flow)

    async def _recheck_streams(self) -> None:
        """INVARIANT: a watch or a followed log does not outlive what allowed it (tunnels look after themselves)."""
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            for flow, state in open_exchanges():
                if not state.streaming or state.ended:
                    continue
                try:
                    for recheck in state.rechecks:
                        recheck()
                except Refused as refusal:
                    logger.warning("a stream is ended: %s", refusal.message)
                    await end_stream(flow, refusal)
                except Exception as exc:  # noqa: BLE001 - in doubt it ends, and the others are looked at
                    await end_stream(flow, fault(state, exc, "interlock.recheck"))

    def _tunnel_opened(self, flow: http.HTTPFlow) -> None:
        self._streams[flow.id] = 1

    def _tunnel_closed(self, flow: http.HTTPFlow) -> None:
        self._streams.pop(flow.id, None)

    async def done(self) -> None:
        """After `draining`, and after every other addon."""
        self.close(STOPPING)
        if self._rechecking is not None:
            self._rechecking.cancel()
        for finish in self._finish:
            finish()


def reverse_mode(server: Endpoint) -> str:
    """The option `mode` for a cluster. `tls`, not `https`: that would also open a UDP port, for QUIC."""
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"reverse:tls://{host}:{server.port}"


def _answer_timeout(flow: http.HTTPFlow) -> float | None:
    """Seconds that the cluster has for its answer; None: any time."""
    state = find(flow)
    if state is not None and state.canonical is not None and is_long_running(state.canonical.attributes):
        return None
    seconds: float = ctx.options.pratique_answer_timeout
    return seconds


def _close_after(flow: http.HTTPFlow) -> None:
    """Makes an HTTP/1.1 client go elsewhere with its next request."""
    if flow.response is not None and flow.response.status_code != 101 and not flow.request.is_http2:
        flow.response.headers["connection"] = "close"


def _lasts(canonical: CanonicalRequest) -> bool:
    return bool(canonical.upgrade) or is_long_running(canonical.attributes)


def _left(flow: http.HTTPFlow) -> None:
    if (state := find(flow)) is not None:
        state.gone.set()
