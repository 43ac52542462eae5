"""Hooks of the identity room: who calls (`Identity`, first in the chain), and as whom we call (`Gate`, after all others).

Two entries of one room, because the credential is written only after everything else has agreed.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from weakref import WeakKeyDictionary

from mitmproxy import ctx, http, tls
from mitmproxy.addons import tlsconfig
from mitmproxy.connection import Connection
from mitmproxy.net import tls as tls_versions
from OpenSSL import SSL

from pratique.behalf import Behalf
from pratique.errors import Refused
from pratique.exchange import Exchange, answer, exchange, guarded, raw_request
from pratique.identity.authenticating import Authenticator
from pratique.identity.certificates import PeerCertificates
from pratique.identity.clients import Clients
from pratique.identity.counters import Counters
from pratique.identity.gate import attach_credential
from pratique.identity.handshake import CIPHERS, asking, peer_certificates, server_context
from pratique.identity.keyring import KeyRing
from pratique.identity.limits import Rates, day_of, is_write, over_budget
from pratique.identity.server import Server
from pratique.identity.sources import Sources
from pratique.identity.strip import Header, is_credential, strip_credentials
from pratique.kube.canonical import HeadRead, RawRequest, read_head

logger = logging.getLogger("pratique")

RETRY_SECONDS = 1
"""After the cluster refused a credential: the next request gets another, and a client that waits need not know."""


FOLLOW_SECONDS = 1.0
"""How often it is looked whether other issuers are in force; documents are reloaded as often."""


class Identity:
    """Authenticates the client and takes its credentials off the request, before anything else is thought about."""

    name = "identity"

    def __init__(self, clients: Callable[[], Clients], keys: KeyRing, rejected: Callable[[Behalf], None]) -> None:
        """`rejected(behalf)` tells the credential's source that the cluster refused it."""
        self._clients = clients
        self._keys = keys
        self._authenticator = Authenticator(clients, keys)
        self._rejected = rejected
        self._open: Counter[str] = Counter()
        self._rates = Rates()
        self._following: asyncio.Task[None] | None = None
        self._peers: WeakKeyDictionary[Connection, PeerCertificates] = WeakKeyDictionary()

    async def running(self) -> None:
        self._keys.follow(self._clients().issuers)
        self._following = asyncio.create_task(self._follow())

    async def done(self) -> None:
        if self._following is not None:
            self._following.cancel()
        await self._keys.stop()

    async def _follow(self) -> None:
        """Documents are reloaded: the keys of a new issuer are fetched before somebody needs them."""
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            self._keys.follow(self._clients().issuers)

    def tls_start_client(self, data: tls.TlsData) -> None:
        """Only where some client has a certificate is one asked for: others see the handshake that they always saw."""
        try:
            if data.ssl_conn is not None and self._clients().issuers.certificates:
                data.ssl_conn = _asking(data, data.ssl_conn)
        except Exception:  # noqa: BLE001 - then there is no certificate, so a 401
            logger.error("identity: no client certificate can be asked for")

    def tls_established_client(self, data: tls.TlsData) -> None:
        peer: PeerCertificates | None = PeerCertificates(b"")
        try:
            peer = peer_certificates(data.ssl_conn) if data.ssl_conn is not None else None
        except Exception:  # noqa: BLE001 - what cannot be read proves nobody
            logger.error("identity: a client certificate cannot be read")
        if peer is not None:
            self._peers[data.conn] = peer

    @guarded(answer)
    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        state.started = time.time()
        raw = raw_request(flow)
        kept = tuple(strip_credentials(raw.headers))
        flow.request.headers = http.Headers(kept)
        if flow.is_replay:
            raise Refused(403, "Forbidden", "a replayed flow is not a client's request", rule="identity/replay")
        peer = self._peers.get(flow.client_conn)
        state.client, state.proof = await self._authenticator.authenticate(raw.headers, peer, state.started)
        self._rates.take(state.client.name, state.client.limits, time.monotonic())
        state.head_read = _head_read(raw, kept)
        state.rechecks.append(functools.partial(self.recheck, state))
        self._admit(state)

    def _admit(self, state: Exchange) -> None:
        name = state.client.name if state.client else ""
        own = state.client.limits.streams if state.client else None
        if self._open[name] >= min(ctx.options.pratique_streams, own or ctx.options.pratique_streams):
            raise Refused(
                429, "TooManyRequests", f"client `{name}` has too many open requests", rule="identity/streams"
            )
        self._open[name] += 1
        state.admitted = name

    @guarded(answer)
    def response(self, flow: http.HTTPFlow) -> None:
        """An upgraded connection stays open, and counts, until its tunnel ends."""
        state = exchange(flow)
        code = flow.response.status_code if flow.response is not None else 0
        if code == 101:
            state.at_end.append(functools.partial(self._leave, state))
            return
        self._leave(state)
        own = state.refusal is not None or (state.canonical is not None and state.canonical.proxied)
        if code == 401 and not own:
            # Passed on, it would tell the client that its own key is wrong.
            self._rejected(state.behalf)
            text = "the cluster refused the gateway's credential, so it did nothing. Repeat the request; then ask the operator"
            raise Refused(503, "ServiceUnavailable", text, rule="identity/rejected", retry_after=RETRY_SECONDS)

    def error(self, flow: http.HTTPFlow) -> None:
        self._leave(exchange(flow))

    def recheck(self, state: Exchange) -> None:
        """Raises Refused: the credential would not be accepted any more."""
        if not self._authenticator.holds(state.client, state.proof, time.time()):
            raise Refused(
                401, "Unauthorized", "the client's credential has expired or was revoked", rule="identity/ended"
            )

    def _leave(self, state: Exchange) -> None:
        name, state.admitted = state.admitted, ""
        if name:
            self._open[name] -= 1


def _head_read(raw: RawRequest, kept: tuple[Header, ...]) -> HeadRead | None:
    """Refused for a head that is refused. None where more than whole headers was taken off: it is read once more then."""
    head = read_head(raw)
    if kept != tuple(field for field in raw.headers if not is_credential(field[0])):
        return None
    for name in [name for name in head.headers if is_credential(name)]:
        del head.headers[name]
    return HeadRead(replace(raw, headers=kept), head)


def _asking(data: tls.TlsData, made: SSL.Connection) -> SSL.Connection:
    """The connection that mitmproxy made, anew: a context cannot be changed after its first use."""
    options = ctx.options
    least, most = (tls_versions.Version[getattr(options, f"tls_version_client_{end}")].value for end in ("min", "max"))
    entry = ctx.master.addons.get("tlsconfig").get_cert(data.context)
    ciphers = options.ciphers_client.encode() if options.ciphers_client else CIPHERS
    context = server_context(least, most, ciphers, entry.chain_file, tlsconfig.alpn_select_callback)
    return asking(context, entry.cert.to_cryptography(), entry.privatekey, made.get_app_data())


class Gate:
    """Writes the upstream credential. The token is the gate: without this a request arrives with no credential."""

    name = "gate"

    def __init__(
        self,
        sources: Sources,
        server: Server,
        consume: Callable[[str, Exchange], Awaitable[None]],
        counters: Counters,
        recheck: Callable[[Exchange], None],
    ) -> None:
        """`consume(approval id, exchange)` uses an approval up; it raises Refused if it cannot be used (any more).

        `recheck(exchange)` raises Refused where the client has lost its credential since it began to send, or to wait.
        """
        self._counters = counters
        self._recheck = recheck
        self._sources = sources
        self._server = server
        self._consume = consume

    async def running(self) -> None:
        await self._sources.start()

    async def done(self) -> None:
        await self._sources.stop()

    @guarded(answer)
    async def request(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        if state.refusal is not None or flow.response is not None:
            return
        if state.verdict is None or state.canonical is None:
            raise Refused(500, "InternalError", "no verdict was reached for this request", rule="gate/verdict")
        credential = await self._sources.credential(state.behalf, time.time())
        if state.gone.is_set():
            raise Refused(499, "ClientGone", "the client left before its request was sent", rule="gate/gone")
        self._recheck(state)
        await self._spend(state)
        if state.approval:
            await self._consume(state.approval, state)
        headers = attach_credential(list(flow.request.headers.fields), state.verdict, credential, state.account)
        headers.append((b"Audit-ID", state.audit_id.encode()))
        flow.request.headers = http.Headers(headers)
        there = self._server.host, self._server.port, "https"
        if (flow.request.host, flow.request.port, flow.request.scheme) != there:
            flow.request.host, flow.request.port, flow.request.scheme = there
        flow.request.host_header = str(self._server).removeprefix("https://")
        state.cleared, state.sent_at = True, time.time()

    async def _spend(self, state: Exchange) -> None:
        """One write of the client's daily budget; before the approval is used up, which could not be given back."""
        client, now = state.client, time.time()
        limit = client.limits.writes_per_day if client is not None else None
        if client is None or limit is None or state.canonical is None or not is_write(state.canonical):
            return
        if not await asyncio.to_thread(self._counters.spend, client.name, day_of(now), limit):
            raise over_budget(client.name, limit, now)
