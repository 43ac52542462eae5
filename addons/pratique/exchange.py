"""The typed state of one request, and what every hook must go through.

Belongs here: `Exchange` (one per flow), where it is kept, `answer` (a refusal becomes the flow's response) and `guarded`
(no exception leaves a hook). mitmproxy logs an exception in a hook and *forwards the flow*, so an unguarded hook is a hole.

State is never kept in `flow.metadata`: what is put there is written to flow files.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from mitmproxy import http

from pratique.behalf import GATEWAY, Behalf
from pratique.errors import PratiqueError, Refused
from pratique.identity.impersonation import CallId, ImpersonatedAccount
from pratique.kube import status
from pratique.kube.canonical import CanonicalRequest, HeadRead, RawRequest
from pratique.kube.forms import line_version
from pratique.kube.rehearsal import Precondition

if TYPE_CHECKING:
    from pratique.identity.clients import Client
    from pratique.identity.proof import Proof
    from pratique.tunnel.forward_spdy import PortAllowed
    from pratique.tunnel.session import Output, Session, Tape
    from pratique.verdict import Verdict

logger = logging.getLogger("pratique")
Hook = TypeVar("Hook", bound=Callable[..., Any])


@dataclass(eq=False)
class Exchange:
    """One request and its answer, from the first header to the last byte. Times are seconds since the epoch."""

    audit_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: float = 0.0
    own_calls: list[str] = field(default_factory=list)
    """Audit-IDs of the gateway's own calls about this request: recorded with it, so that the audit log joins."""
    client: Client | None = None
    proof: Proof | None = None
    """Of which credential the client was authenticated by; never the credential itself."""
    session: str = ""
    source: str = ""
    """Address that the request came from."""
    claims: dict[str, str] = field(default_factory=dict)
    """What the client says of itself (User-Agent …), escaped. Shown as claims; decides nothing."""
    head_read: HeadRead | None = None
    """The head as it was checked when it came; the policy need not read it again."""
    canonical: CanonicalRequest | None = None
    """As the client sent it: what is fingerprinted and shown."""
    sent: CanonicalRequest | None = None
    """As it goes upstream: `canonical`, tied to the state of the object that it was judged on."""
    verdict: Verdict | None = None
    observed: tuple[str, ...] = ()
    """What policies that are only observed would have decided; for the recording, decides nothing."""
    approval: str = ""
    """Id of the granted approval that this request uses up."""
    precondition: Precondition | None = None
    """The state of the object that reviewers were shown: the request that is sent must be tied to it."""
    held_seconds: float | None = None
    """How long it waited for a reviewer; None where no approval was needed."""
    sent_at: float = 0.0
    """When the credential was written, so that it goes to the cluster."""
    admitted: str = ""
    """Name under which the open request is counted."""
    refusal: Refused | None = None
    """What the gateway answered instead of the cluster."""
    cleared: bool = False
    """INVARIANT: true only where the credential was written by the gate. The interlock lets nothing else pass."""
    shown: bool = False
    """INVARIANT: true only where masking has seen the response (or its stream is set up). Nothing else leaves."""
    recorded: bool = False
    masked: dict[str, int] = field(default_factory=dict)
    """Mask rule id → how many values it replaced."""
    error_id: str = ""
    streaming: bool = False
    stream: Any = None
    stream_bytes: int = 0
    stream_sha256: str = ""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client left or was revoked (then `refusal` says so); nothing may be executed for it any more."""
    ended: bool = False
    output: Output | None = None
    """INVARIANT: without it (masking), `tape` (recorder) and `port_allowed` (policy), no upgrade is answered with 101."""
    tape: Tape | None = None
    port_allowed: PortAllowed | None = None
    answered: str = ""
    """The sub-protocol with which the gateway answered the upgrade while the request was held; "" if the cluster does."""
    tunnel: Session | None = None
    """What flows after the upgrade."""
    rechecks: list[Callable[[], None]] = field(default_factory=list)
    """Asked while a tunnel or a stream is open: each raises Refused when it must end."""
    at_end: list[Callable[[], None]] = field(default_factory=list)
    """What each room does when the tunnel has ended; see `finish`."""

    @property
    def behalf(self) -> Behalf:
        """With whose credential the request goes upstream. The gateway's own, where no client was authenticated."""
        client = self.client
        return GATEWAY if client is None else Behalf(client.name, client.role_arn, self.session)

    @property
    def account(self) -> ImpersonatedAccount | None:
        """As whom the request is made, where not as the gateway's own user."""
        return self.client.impersonate if self.client is not None else None

    def own_call(self, what: str) -> CallId:
        """The Audit-ID of one more own call; `what` is a short word. 64 characters at most, as the API server keeps.

        It says also as whom the call is made, and with whose credential: as the request would be.
        """
        self.own_calls.append(f"{self.audit_id}-own-{len(self.own_calls) + 1}-{what}"[:64])
        return CallId(self.own_calls[-1], self.account, self.behalf)

    def refuse(self, refusal: Refused) -> None:
        """The first refusal stands: later hooks still run after an answer was set."""
        self.refusal = self.refusal or refusal


_FLOWS: WeakSet[Any] = WeakSet()
_EXCHANGE = "_pratique_exchange"
"""An attribute of the flow, not a table beside it: an exchange leads back to its flow (through the traceback of a refusal,
if nothing else), and a table that holds the exchange would then keep both for ever. No attribute is written to flow files."""


def exchange(flow: Any) -> Exchange:
    """The exchange of a flow, made on first use."""
    found = find(flow)
    if found is None:
        found = Exchange()
        setattr(flow, _EXCHANGE, found)
        _FLOWS.add(flow)
    return found


def find(flow: Any) -> Exchange | None:
    """The exchange of a flow, or None where no hook of ours has seen it."""
    found: Exchange | None = getattr(flow, _EXCHANGE, None)
    return found


def open_exchanges() -> list[tuple[Any, Exchange]]:
    """Every flow that is still referenced, with its exchange."""
    return [(flow, exchange(flow)) for flow in list(_FLOWS)]


def answer(flow: http.HTTPFlow, refusal: Refused) -> None:
    """Answer with a Status; what the cluster may have said is gone."""
    state = exchange(flow)
    state.refuse(refusal)
    stands = state.refusal or refusal
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"audit-id", state.audit_id.encode()),
    ]
    if stands.code == 401:
        headers.append((b"www-authenticate", b'Bearer realm="pratique"'))
    if stands.retry_after is not None:
        headers.append((b"retry-after", str(stands.retry_after).encode()))
    flow.response = http.Response.make(stands.code, status.from_refused(stands), http.Headers(headers))
    state.shown = True


def raw_request(flow: http.HTTPFlow) -> RawRequest:
    """The request as it came, in bytes. An absolute-form target of HTTP/1.1, which mitmproxy takes apart, is put together.

    INVARIANT: the connection says what HTTP/2 is, not the version that a client wrote on a request line.
    """
    request = flow.request
    target = request.data.path
    negotiated = flow.client_conn.alpn == b"h2"
    if request.data.authority and not negotiated:
        target = request.data.scheme + b"://" + request.data.authority + target
    version = request.http_version if negotiated else line_version(request.http_version)
    return RawRequest(request.data.method, target, tuple(request.headers.fields), request.raw_content or b"", version)


def fault(state: Exchange, exc: BaseException, where: str) -> Refused:
    """Turn any exception into a refusal. The log names the class and the place, never the text: it may hold a value."""
    if isinstance(exc, Refused):
        return exc
    state.error_id = state.error_id or secrets.token_hex(6)
    logger.error("%s failed: %s at %s (error id %s)", where, type(exc).__name__, place_of(exc), state.error_id)
    if isinstance(exc, PratiqueError):
        message = f"{exc} (error id {state.error_id})"
        return Refused(exc.code, exc.reason, message, rule=f"fault/{type(exc).__name__}")
    message = f"the gateway failed and refused the request (error id {state.error_id})"
    return Refused(500, "InternalError", message, rule="fault/exception")


def place_of(exc: BaseException) -> str:
    """`file:line` of where an exception was raised."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"


def guarded(on_fault: Callable[[http.HTTPFlow, Refused], None]) -> Callable[[Hook], Hook]:
    """Wrap a hook: whatever it raises becomes a refusal, which `on_fault(flow, refusal)` applies.

    If even that raises, the flow is killed: the client sees a closed connection, the cluster sees nothing.
    """

    def decorate(hook: Hook) -> Hook:
        name = getattr(hook, "__qualname__", str(hook))

        def failed(flow: http.HTTPFlow, exc: BaseException) -> None:
            try:
                refusal = fault(exchange(flow), exc, name)
                refusal.__traceback__ = refusal.__context__ = None  # they hold frames with bodies in them
                on_fault(flow, refusal)
            except Exception:  # noqa: BLE001 - the last line of defence: no answer is safe, so none is given
                kill(flow)

        if inspect.iscoroutinefunction(hook):

            @functools.wraps(hook)
            async def call_async(self: Any, flow: Any) -> None:
                try:
                    await hook(self, flow)
                except asyncio.CancelledError:
                    failed(flow, Refused(503, "ServiceUnavailable", "the gateway is stopping. Repeat the request"))
                    raise
                except Exception as exc:  # noqa: BLE001 - every exception is a refusal
                    failed(flow, exc)

            return call_async  # type: ignore[return-value]  # same signature by construction

        @functools.wraps(hook)
        def call(self: Any, flow: Any) -> None:
            try:
                hook(self, flow)
            except Exception as exc:  # noqa: BLE001 - every exception is a refusal
                failed(flow, exc)

        return call  # type: ignore[return-value]  # same signature by construction

    return decorate


def finish(state: Exchange) -> None:
    """The tunnel has ended, or never began: every room puts its things away, exactly once, whatever another one does."""
    while state.at_end:
        ending = state.at_end.pop(0)
        try:
            ending()
        except Exception as exc:  # noqa: BLE001 - the others must still have their turn
            fault(state, exc, "exchange.finish")


def kill(flow: Any) -> None:
    """End the flow without an answer. `flow.kill()` refuses where mitmproxy believes that nothing is left to kill."""
    state = exchange(flow)
    state.cleared = False
    if getattr(flow, "killable", False):
        flow.kill()
