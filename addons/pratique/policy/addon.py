"""Hooks of the policy room: the request becomes canonical, is judged, waits for a reviewer where a rule says so."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol

import msgspec
from mitmproxy import http

from pratique.errors import Refused
from pratique.exchange import Exchange, answer, exchange, guarded, raw_request
from pratique.kube.body import reads_slowly
from pratique.kube.canonical import CanonicalRequest, HeadRead, canonicalise
from pratique.kube.forms import RawRequest
from pratique.kube.handshake import offering
from pratique.kube.rehearsal import with_precondition
from pratique.kube.response import warning
from pratique.policy.decision import PolicySet
from pratique.policy.lookups import Lookups, NotAnswered, Seen
from pratique.policy.needs import Needs
from pratique.policy.outcome import MASKED_VALUES_RULE
from pratique.policy.request import ABSENT, PolicyRequest
from pratique.policy.reviews import Reviewed, Steps, Subject, is_self_review, reviewed
from pratique.verdict import Action, ApprovalTerms, Verdict

logger = logging.getLogger("pratique")
READERS = 2
"""Threads that read slow bodies: of their own, so that masking does not wait behind YAML of many clients."""


class Approvals(Protocol):
    """What the policy needs of the approvals room."""

    async def granted(self, exchange: Exchange) -> str:
        """The id of an approval for exactly this request; waits for it. Raises Refused with what the client is told."""


class Screen(Protocol):
    """What the policy needs of the masking room."""

    def screen(self, exchange: Exchange) -> None:
        """Refuses what must not even be rehearsed: a dry run tells guesses about masked values apart."""

    def needs_live(self, exchange: Exchange) -> bool:
        """Whether `question` depends on the live object."""

    def question(self, exchange: Exchange, live: Any) -> str:
        """Why a person must be asked although the rules allow the request; "" if there is no reason."""

    def shown(self, exchange: Exchange, document: Any) -> str:
        """The message of a Status of the cluster, as the client may see it."""


class Policy:
    """Judges every request on its canonical form, and puts exactly that form into the flow."""

    name = "policy"

    def __init__(
        self, policies: Callable[[], PolicySet], approvals: Approvals, lookups: Lookups, screen: Screen
    ) -> None:
        self._policies = policies
        self._approvals = approvals
        self._lookups = lookups
        self._screen = screen
        self._readers = ThreadPoolExecutor(READERS, "pratique-read")

    @guarded(answer)
    async def request(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        if state.refusal is not None or flow.response is not None:
            return
        state.canonical = await self._read(raw_request(flow), state.head_read)
        verdict, seen = await self._decide(state, state.canonical)
        if verdict.action is Action.REQUIRE_APPROVAL:
            self._screen.screen(state)  # nobody is asked about what would be refused afterwards
            approval = await self._approvals.granted(state)
            # INVARIANT: a policy or an object that changed during the hold decides: the grant does not outlive the rule.
            verdict, seen = await self._decide(state, state.canonical)
            if verdict.action is Action.REQUIRE_APPROVAL:
                state.approval, verdict = approval, verdict.approved(approval)
        state.verdict, state.sent = verdict, _promised(state, _tied(state, seen.canonical))
        state.rechecks.append(functools.partial(self._recheck, state, seen))
        if state.canonical.upgrade:
            state.port_allowed = functools.partial(self._port_allowed, state, seen.request)
        _apply(flow, state.sent)

    @guarded(answer)
    async def response(self, flow: http.HTTPFlow) -> None:
        """INVARIANT: what a client asks about itself is answered for the client, not for the gateway's user."""
        state, response = exchange(flow), flow.response
        canonical, client = state.canonical, state.client
        if state.refusal is not None or response is None or canonical is None or client is None:
            return
        if not is_self_review(canonical.attributes) or not 200 <= response.status_code < 300:
            return
        subject = Subject(client.name, client.labels, client.impersonate.groups if client.impersonate else ())
        steps = reviewed(canonical.attributes, canonical.document, _json(response), subject, self._policies().decide)
        found = await _finished(steps)
        response.raw_content = msgspec.json.encode(found.document)
        if found.warning:
            response.headers.fields = (*response.headers.fields, warning(found.warning))

    async def _read(self, raw: RawRequest, read: HeadRead | None) -> CanonicalRequest:
        """The request in canonical form; in a thread where that takes long. Raises Refused."""
        if not reads_slowly(raw.headers, raw.body):
            return canonicalise(raw, read)
        return await asyncio.get_running_loop().run_in_executor(self._readers, canonicalise, raw, read)

    def done(self) -> None:
        """The gateway stops: what is not being read yet will not be."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def _decide(self, state: Exchange, canonical: CanonicalRequest) -> tuple[Verdict, Seen]:
        """By one set of policies, also if another is loaded meanwhile. Raises Refused."""
        if state.client is None:
            raise Refused(401, "Unauthorized", "the client was not authenticated", rule="policy/client")
        policies = self._policies()
        asked = PolicyRequest.from_canonical(state.client.name, canonical, state.client.labels)
        try:
            seen = await self._see(state, canonical, asked, policies)
        except NotAnswered as unanswered:
            _note(state, policies.decide(replace(asked, fault=str(unanswered))))
            raise unanswered.refusal from None
        verdict = self._questioned(state, policies.decide(seen.request), seen.request)
        state.observed = tuple(map(str, policies.observe(seen.request)))
        _note(state, verdict)
        if verdict.action is Action.DENY:
            raise denied(verdict, canonical)
        return verdict, seen

    async def _see(
        self, state: Exchange, canonical: CanonicalRequest, asked: PolicyRequest, policies: PolicySet
    ) -> Seen:
        needs = policies.needs(asked)
        if self._screen.needs_live(state) and (any(needs) or policies.decide(asked).action is Action.ALLOW):
            needs |= Needs(
                old_object=True
            )  # for whom it is denied, nothing is read: an answer would tell what is there
        if not any(needs):
            return Seen(asked, canonical)
        self._screen.screen(state)
        return await self._lookups.see(
            canonical, asked, needs, state.own_call, lambda document: self._screen.shown(state, document)
        )

    def _questioned(self, state: Exchange, verdict: Verdict, request: PolicyRequest) -> Verdict:
        """A write that the rules allow, and that deletes what the client has only seen masked: a person is asked."""
        if verdict.action is not Action.ALLOW or request.old_object is ABSENT:
            return verdict
        why = self._screen.question(state, request.old_object)
        if not why:
            return verdict
        return Verdict(Action.REQUIRE_APPROVAL, (MASKED_VALUES_RULE,), (), why, ApprovalTerms())

    def _port_allowed(self, state: Exchange, request: PolicyRequest, port: int) -> str:
        """Why a port-forward may not reach this port; "" if it may. Asked when a stream to it is opened."""
        if state.verdict is None:
            return "no verdict was reached for this request"
        if request.ports and port not in request.ports:
            return f"the request was for {', '.join(map(str, request.ports))}"
        verdict = self._policies().decide(replace(request, ports=(port,)))
        return "" if _stands(verdict, state) else f"it is not allowed ({', '.join(verdict.rules) or 'no rule'})"

    def _recheck(self, state: Exchange, seen: Seen) -> None:
        """While a tunnel or a stream is open: raises Refused when the policy would not let it be opened now.

        What the cluster said when it was opened still counts; a new policy that needs more closes it.
        """
        verdict = self._policies().decide(seen.request)
        if not _stands(verdict, state):
            raise denied(verdict, seen.canonical)


def _stands(verdict: Verdict, state: Exchange) -> bool:
    """Whether an open tunnel may go on: it is allowed, or what it needs was granted by its approval, rule for rule."""
    if verdict.allows:
        return True
    granted = state.verdict.rules if state.verdict is not None and state.approval else ()
    return verdict.action is Action.REQUIRE_APPROVAL and not verdict.errors and set(verdict.rules) <= set(granted)


async def _finished(steps: Steps) -> Reviewed:
    """Others are served between two steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Reviewed = end.value
            return found
        await asyncio.sleep(0)


def _json(response: http.Response) -> Any:
    """None for what is no JSON: it is no review then."""
    try:
        return msgspec.json.decode(response.raw_content or b"")
    except msgspec.DecodeError:
        return None


def _note(state: Exchange, verdict: Verdict) -> None:
    state.verdict = verdict
    for error in verdict.errors:
        logger.warning("policy: %s (audit id %s)", error, state.audit_id)


def _tied(state: Exchange, canonical: CanonicalRequest) -> CanonicalRequest:
    """What is sent: if reviewers were shown an effect, the request that fails (409) where that is not the effect."""
    return canonical if state.precondition is None else with_precondition(canonical, state.precondition)


def _promised(state: Exchange, canonical: CanonicalRequest) -> CanonicalRequest:
    """What is sent: if the client's upgrade was answered already, the request that offers no other sub-protocol."""
    return offering(canonical, state.answered) if state.answered else canonical


def denied(verdict: Verdict, canonical: CanonicalRequest) -> Refused:
    """What a client is told: which rule, and what to do. `rule` makes it the first cause of the Status."""
    attributes = canonical.attributes
    what = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "") or canonical.path
    by = f" by rule {', '.join(verdict.rules)}" if verdict.rules else ""
    hint = verdict.message or "Do not repeat it; ask the operator of the gateway for a rule that allows it"
    return Refused(403, "Forbidden", f"{attributes.verb} {what} is denied{by}. {hint}", rule="policy/denied")


def _apply(flow: http.HTTPFlow, canonical: CanonicalRequest) -> None:
    """INVARIANT: what was judged is what is sent. Nothing of the client's bytes is left in the flow."""
    request = flow.request
    headers = list(canonical.headers)
    if canonical.body or canonical.method in {"POST", "PUT", "PATCH"}:
        headers.append((b"Content-Length", str(len(canonical.body)).encode()))
    request.method = canonical.method
    request.data.path = canonical.target
    request.headers = http.Headers(headers)
    request.data.content = canonical.body
    request.trailers = None
    request.stream = False
