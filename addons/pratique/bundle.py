"""The composition root: which addons there are, in which order, and why in that order.

0. `draining` has one hook: it ends the gateway in order, before anything else is put away.
1. `identity` first: nobody is thought about who has not said who they are; their credentials are gone from then on.
2. `revoking`: whoever is revoked is refused, before anything is decided.
3. `approvals`: what the client claims of itself, before the request becomes canonical and the claims are gone.
4. `policy`: the request becomes canonical and is judged; it may wait here for a reviewer.
5. `masking`: needs the verdict's request to know what may come back; refuses writes that carry a mask.
6. `recorder` after masking, so that on the way back it only ever sees masked bytes.
7. `gate` after all of them: the credential is written last, into a request that everybody has agreed to.
8. `observing` counts and logs what has ended; it changes nothing.
9. `interlock` last, on its own: lets nothing pass that is not cleared, masked and recorded.

All are entries of mitmproxy's own chain, not children of a script: reloading or unloading a script cannot remove them.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from mitmproxy import addonmanager, ctx, master
from mitmproxy.options import Options

from pratique import __version__, settings
from pratique.approvals.addon import Approvals
from pratique.approvals.admin.links import Links
from pratique.approvals.foreseeing import Foreseer
from pratique.approvals.holding import Holding
from pratique.approvals.queue import ApprovalQueue
from pratique.approvals.waiting import Waiter
from pratique.behalf import GATEWAY
from pratique.errors import PratiqueError, StartError
from pratique.exchange import Exchange
from pratique.identity.addon import Gate, Identity
from pratique.identity.clusters import SandboxSource
from pratique.identity.keyring import KeyRing
from pratique.identity.own_calls import OwnCalls
from pratique.identity.revoking.addon import Revoking
from pratique.identity.revoking.current import KILL_FILE, Current
from pratique.identity.sources import summary
from pratique.identity.tls import write_tls_files
from pratique.identity.upstream import Upstream, load_upstream
from pratique.interlock import quiet
from pratique.interlock.addon import Interlock, reverse_mode
from pratique.interlock.draining import Draining
from pratique.interlock.early import EarlyAnswers
from pratique.kube.body import dump
from pratique.kube.canonical import CanonicalRequest
from pratique.loaded import Live
from pratique.masking.addon import Masking
from pratique.masking.known import KnownValues
from pratique.masking.masker import Masker
from pratique.masking.operations import mask_operations
from pratique.observing.addon import Observing, log_as_json
from pratique.observing.logs import wants_json
from pratique.observing.metrics import Readings
from pratique.observing.probes import Probes
from pratique.observing.readiness import Readiness
from pratique.observing.watched import Parts, watch
from pratique.observing.workers import EveryWorker, answer
from pratique.policy.addon import Policy
from pratique.policy.lookups import Lookups
from pratique.recorder.addon import Recorder, Segments
from pratique.recorder.layout import worker_state
from pratique.recorder.storage import Storage
from pratique.recorder.tapes import TextMask
from pratique.stores import Stores

THREADS = 128
"""For what blocks: stores, resolvers, documents. Made when they are needed; asyncio would have the cores and four."""
CLIENTS_KNOWN = 1024
"""Clients whose masked values are remembered; the oldest is forgotten. A second net, so forgetting is safe."""


class QuestionMasks:
    """What reviewers may see of a request and of the cluster's answers to the gateway's own calls about it."""

    def __init__(
        self,
        mask_body: Callable[[CanonicalRequest, str], bytes],
        masker: Callable[[CanonicalRequest, str], Masker],
    ) -> None:
        self._mask_body = mask_body
        self._masker = masker

    def body(self, request: CanonicalRequest, client: str) -> str:
        return self._mask_body(request, client).decode()

    def text(self, request: CanonicalRequest, client: str, text: str) -> str:
        return self._masker(request, client).mask_text(text)

    def document(self, request: CanonicalRequest, client: str, document: Any) -> Any:
        masked = self._masker(request, client).mask_body("application/json", msgspec.json.encode(document))
        return msgspec.json.decode(masked.body)


class Bundle:
    """Loads the documents, sets mitmproxy's options, and adds the addons to its chain."""

    name = "pratique"

    def __init__(self) -> None:
        self._interlock: Interlock | None = None
        self._draining: Draining | None = None
        self._live: Live | None = None
        self._own_calls: OwnCalls | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._known: OrderedDict[str, KnownValues] = OrderedDict()
        self._answering: Callable[[], Coroutine[Any, Any, None]] | None = None

    # --- start ---

    def load(self, loader: addonmanager.Loader) -> None:
        settings.add_options(loader.master.options)

    def install(self, owner: master.Master) -> None:
        """Everything that can fail fails here, before a listener has opened. StartError or DocumentErrors."""
        options = owner.options
        settings.force(options)
        quiet.install()
        if wants_json(options.pratique_log_format):
            log_as_json()
        state = Path(options.pratique_state or ".pratique").expanduser().resolve()
        folder = Path(options.pratique_policies or Path(__file__).parents[2] / "policies").expanduser().resolve()
        self._live = Live(folder)
        _make_state(state)
        upstream = self._upstream(self._live, state)
        files = write_tls_files(state / "tls", upstream.certificate_authority, upstream.client_certificate)
        own_calls = OwnCalls(upstream.server, files, upstream.tls_server_name, upstream.sources)
        self._own_calls = own_calls
        options.update(
            mode=[reverse_mode(upstream.server)],
            ssl_verify_upstream_trusted_ca=str(files.certificate_authority),
            client_certs=str(files.client_certificate) if files.client_certificate else None,
            confdir=str(state / "mitmproxy") if options.confdir == options.default("confdir") else options.confdir,
            tcp_timeout=max(options.tcp_timeout, 6 * 3600),
        )
        owner.addons.add(*self._addons(self._live, upstream, own_calls, state, owner))

    def _upstream(self, live: Live, state: Path) -> Upstream:
        cluster = live.current.cluster
        if isinstance(cluster.source, SandboxSource):
            from pratique.sandbox.embedded import embedded_cluster  # noqa: PLC0415 - never loaded in production

            cluster = embedded_cluster(cluster, state)
        return load_upstream(cluster)

    def _addons(
        self, live: Live, upstream: Upstream, own_calls: OwnCalls, state: Path, owner: master.Master
    ) -> tuple[Any, ...]:
        cluster = live.current.cluster.name
        stores = Stores(state, owner.options.pratique_dynamodb_table, owner.options.pratique_dynamodb_region)
        store = stores.approvals()
        revocations = stores.revocations()
        masks = QuestionMasks(self._mask_body, self._masker)
        holding = Holding(
            ApprovalQueue(store, Waiter(store), page=lambda approval: approvals.page(approval)),  # noqa: PLW0108 - made below
            cluster,
            masks,
            lambda: float(owner.options.pratique_hold),
            exec_hold=lambda: float(owner.options.pratique_exec_hold),
            foreseer=Foreseer(own_calls.send, masks.document),
        )
        identity = Identity(lambda: live.current.clients, KeyRing(own_calls.key_set), upstream.sources.rejected)
        current = Current(revocations, state / KILL_FILE)
        own_probes, metrics = watch(
            Parts(
                closed=lambda: interlock.closed,
                documents_problem=lambda: live.problem,
                revocations_problem=lambda: current.problem,
                credential=lambda: upstream.sources.credential(GATEWAY, time.time()),
                recorder_healthy=lambda: storage.spool.healthy(),  # noqa: PLW0108 - made below
                approvals_version=store.version,
                is_stopped=lambda: current.revoked.is_stopped(time.time()),
                readings=lambda ready: self._readings(
                    ready, observing=observing, current=current, holding=holding, upstream=upstream, storage=storage
                ),
            ),
            __version__,
        )
        approvals = Approvals(
            holding,
            store,
            lambda: live.current,
            state,
            answer_upgrade=lambda flow, notice: early.answer(flow, notice),  # noqa: PLW0108 - made below
            revocations=revocations,
            probes=self._of_all(own_probes, state, owner.options),
            outbox=stores.outbox(),
            links=Links(stores.link_key()),
            playground=_playground(live.folder, state) if owner.options.pratique_playground else None,
        )
        masking = Masking(lambda: live.current.masks, self._known_values)
        policy = Policy(lambda: live.current.policies, approvals, Lookups(own_calls), masking)
        storage = Storage(worker_state(state, owner.options.pratique_worker), cluster, owner.options)
        recorder = Recorder(
            storage.spool,
            cluster,
            mask_request=self._mask_request,
            mask_input=self._mask_input,
            mask_text=self._mask_stored,
            segments=lambda: Segments(owner.options.pratique_segment_size, owner.options.pratique_segment_age),
        )
        counters = stores.counters()
        gate = Gate(upstream.sources, upstream.server, approvals.use, counters, _recheck)
        revoking = Revoking(current, recorder.note)
        observing = Observing(metrics, self._mask_stored, logs_requests=wants_json(owner.options.pratique_log_format))
        required = (identity, revoking, approvals, policy, masking, recorder, gate)
        self._interlock = interlock = Interlock(
            upstream.server,
            upstream.tls_server_name,
            required,
            (self._put_away, approvals.close, revocations.close, storage.close, counters.close),
        )
        early = EarlyAnswers(recorder.answered, interlock.recheck)
        self._draining = Draining(interlock, holding.release, lambda: float(owner.options.pratique_drain))
        return (self._draining, *required, observing, interlock)

    def _of_all(self, own: Probes, state: Path, options: Options) -> Probes | EveryWorker:
        """What the listener asks: the first worker's asks all, and the others answer it."""
        worker = options.pratique_worker
        if worker:
            self._answering = functools.partial(answer, worker_state(state, worker), own)
        others = (
            {} if worker else {number: worker_state(state, number) for number in range(1, options.pratique_workers)}
        )
        return EveryWorker(own, others) if others else own

    # --- what rooms need of each other ---

    def _known_values(self, client: str) -> KnownValues:
        """By client, not by connection: client-go reads on one connection and execs on another."""
        known = self._known.get(client)
        if known is None:
            known = self._known[client] = KnownValues()
        self._known.move_to_end(client)
        while len(self._known) > CLIENTS_KNOWN:
            self._known.popitem(last=False)
        return known

    def _masker(self, canonical: CanonicalRequest, client: str) -> Masker:
        if self._live is None:
            raise StartError("no documents are loaded")
        return Masker(self._live.current.masks, canonical.attributes, client, self._known_values(client))

    def _mask_request(self, state: Exchange) -> bytes:
        """A request body as it may be stored; nothing of it where it was refused before it was understood."""
        canonical = state.sent or state.canonical
        if canonical is None or canonical.document is None or state.client is None:
            return b""
        return self._mask_body(canonical, state.client.name)

    def _mask_body(self, canonical: CanonicalRequest, client: str) -> bytes:
        if not canonical.body:
            return b""
        if canonical.patch_type == "json-patch" and self._live is not None:
            masks = self._live.current.masks
            return dump(mask_operations(canonical.document, canonical.attributes, masks, client))
        return self._masker(canonical, client).mask_body("application/json", canonical.body).body

    def _mask_input(self, state: Exchange) -> TextMask | None:
        """What masks the recorded stdin of an exec; None unless a Recording document wants it recorded."""
        if self._live is None or state.client is None or state.canonical is None:
            return None
        if not self._live.current.recording.stdin(state.client.name):
            return None
        return self._masker(state.canonical, state.client.name).text_stream()

    def _mask_stored(self, state: Exchange, text: str) -> str:
        """A text of the request line as it may be stored."""
        if not text or state.canonical is None or state.client is None:
            return text
        return self._masker(state.canonical, state.client.name).mask_text(text)

    def _readings(
        self,
        ready: Readiness,
        *,
        observing: Observing,
        current: Current,
        holding: Holding,
        upstream: Upstream,
        storage: Storage,
    ) -> Readings:
        """The gauges, when somebody asks for the metrics."""
        requests, streams = observing.open()
        credential = summary(upstream.sources.describe())
        return Readings(
            ready=ready.ready,
            open_requests=requests,
            open_streams=streams,
            held_requests=holding.waiting,
            revocations=len(current.revoked.all),
            stopped=current.revoked.is_stopped(time.time()),
            credential_expires=credential.expires,
            credential_failing=bool(credential.failure),
            documents_refused=bool(self._live is not None and self._live.problem),
            recorder_lag=storage.spool.lag,
            recorder_waiting=storage.waiting,
            recorder_written=storage.spool.written,
        )

    # --- while it runs ---

    async def running(self) -> None:
        give_threads(asyncio.get_running_loop())
        owner = ctx.master
        period = owner.options.pratique_reload
        if period > 0:
            self._tasks.append(asyncio.create_task(self._reload(period)))
        if self._answering is not None:
            self._tasks.append(asyncio.create_task(self._answering()))

    async def _reload(self, period: float) -> None:
        while self._live is not None:
            await asyncio.sleep(period)
            await asyncio.to_thread(self._live.reload)

    def hurry(self) -> None:
        """Somebody does not want to wait until the gateway has stopped in order."""
        if self._draining is not None:
            self._draining.hurry()

    def _put_away(self) -> None:
        """When the last request has been answered."""
        for task in self._tasks:
            task.cancel()
        if self._own_calls is not None:
            self._own_calls.close()

    def close(self) -> None:
        """Called when the script is unloaded, deleted or edited: nothing is served from then on."""
        self._put_away()
        if self._interlock is not None:
            self._interlock.close("the bundle was unloaded")


def _recheck(state: Exchange) -> None:
    """INVARIANT: who or what was cut off while a request waited gets no credential. Raises Refused."""
    for recheck in state.rechecks:
        recheck()


def _playground(folder: Path, state: Path) -> Any:
    from pratique.playground.playground import Playground  # noqa: PLC0415 - it loads the command line, for few gateways

    return Playground(folder, state)


def give_threads(loop: asyncio.AbstractEventLoop) -> None:
    """Asyncio has a few threads for all that blocks: names that a resolver does not find would hold up the stores."""
    loop.set_default_executor(ThreadPoolExecutor(THREADS, "pratique"))


def _make_state(state: Path) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = state / ".writable"
        probe.write_bytes(b"pratique")
        probe.unlink(missing_ok=True)  # another worker's, perhaps
    except OSError as error:
        raise StartError(f"the state folder `{state}` cannot be written: {error.strerror}") from None


def start_or_exit(bundle: Bundle, owner: master.Master) -> None:
    """Install, or end the process with one readable line per error."""
    try:
        bundle.install(owner)
    except PratiqueError as error:
        sys.stderr.write("".join(f"pratique: {line}\n" for line in str(error).splitlines()))
        owner.should_exit.set()
        sys.exit(1)
