"""I/O (asyncio): asks the API server what the policy needs to know, by the gateway's own calls, before it decides.

Belongs here: the order of the calls, what each answer means, the labels of namespaces that are kept for a moment. Not
here: what is needed (`decision.py`), the requests (`pratique.kube.rehearsal`), the client that sends them.

INVARIANT: what was judged is what is sent. The write that follows carries the version that it was judged on, so that
the API server answers 409 instead of applying it to another object.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pratique.errors import PratiqueError, Refused
from pratique.kube import rehearsal
from pratique.kube.canonical import CanonicalRequest
from pratique.kube.rehearsal import OwnAnswer
from pratique.policy.needs import Needs
from pratique.policy.request import ABSENT, PolicyRequest

LABELS_SECONDS = 5.0  # how long the labels of a namespace are believed: a change acts as soon as an edited policy does
LABELS_KEPT = 1024  # namespaces; the one that was asked for longest ago goes
LABELS_WAIT_SECONDS = 20.0  # for a lookup that another request began: longer than an own call takes


class OwnCalls(Protocol):
    """Sends the gateway's own calls. Raises PratiqueError: no answer."""

    async def send(self, request: CanonicalRequest, audit_id: str) -> OwnAnswer: ...


class NotAnswered(Exception):
    """The cluster did not say what was needed. `refusal` is for the client; the text, without values, for the verdict."""

    def __init__(self, fault: str, refusal: Refused) -> None:
        super().__init__(fault)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as the policy sees it now, and the form in which it may be sent."""

    request: PolicyRequest
    canonical: CanonicalRequest


class Lookups:
    """Of one cluster. `shown(document)` is the message of a Status as a client may see it."""

    def __init__(self, calls: OwnCalls, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls = calls
        self._clock = clock
        self._labels: OrderedDict[str, tuple[float, Mapping[str, str]]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Mapping[str, str]]] = {}

    async def see(
        self,
        canonical: CanonicalRequest,
        request: PolicyRequest,
        needs: Needs,
        own_call: Callable[[str], str],
        shown: Callable[[Any], str] = lambda _: "",
    ) -> Seen:
        """`request` with what was needed, and `canonical` tied to it. `own_call(what)` is the Audit-ID of one own call.

        Raises NotAnswered: fail closed.
        """
        if needs.namespace_labels:
            labels = await self._labels_of(request.namespace or "", own_call)
            request = replace(request, namespace_labels=labels)
        if needs.old_object:
            old = await self._live(canonical, own_call, shown)
            canonical = _tied(canonical, old)
            request = replace(request, old_object=old)
        if needs.result:
            result = await self._result(canonical, own_call, shown)
            if request.old_object is ABSENT:
                canonical = _tied(canonical, result)
            request = replace(request, result=result)
        return Seen(request, canonical)

    async def _live(
        self, canonical: CanonicalRequest, own_call: Callable[[str], str], shown: Callable[[Any], str]
    ) -> Any:
        """The live object; None: there is none."""
        wanted = rehearsal.live(canonical)
        if wanted is None:
            raise _unanswered("this request acts on no one object")
        answer = await self._send(wanted, own_call("live"))
        if answer.code == 404:
            return None
        return _object(answer, "the live object", shown)

    async def _result(
        self, canonical: CanonicalRequest, own_call: Callable[[str], str], shown: Callable[[Any], str]
    ) -> Any:
        try:
            wanted = rehearsal.dry_run(canonical)
        except Refused as refusal:
            raise _unanswered(refusal.message) from None
        answer = await self._send(wanted, own_call("dry-run"))
        return _object(answer, "a dry run of this request", shown)

    async def _send(self, request: CanonicalRequest, audit_id: str) -> OwnAnswer:
        try:
            return await self._calls.send(request, audit_id)
        except Refused as refusal:
            raise _unanswered(refusal.message) from None
        except PratiqueError as error:
            raise _unanswered(str(error)) from None

    # --- labels of namespaces ---

    async def _labels_of(self, name: str, own_call: Callable[[str], str]) -> Mapping[str, str]:
        kept = self._labels.get(name)
        if kept is not None and 0 <= self._clock() - kept[0] < LABELS_SECONDS:
            self._labels.move_to_end(name)
            return kept[1]
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = asyncio.create_task(self._ask_labels(name, own_call))
            asking.add_done_callback(lambda done: self._asked(name, done))
        try:
            return await asyncio.wait_for(asyncio.shield(asking), LABELS_WAIT_SECONDS)
        except TimeoutError:
            raise _unanswered("the labels of the namespace were not told in time") from None

    def _asked(self, name: str, done: asyncio.Task[Mapping[str, str]]) -> None:
        self._asking.pop(name, None)
        if not done.cancelled():
            done.exception()  # looked at: who asked may have left

    async def _ask_labels(self, name: str, own_call: Callable[[str], str]) -> Mapping[str, str]:
        try:
            wanted = rehearsal.namespace(name)
        except Refused as refusal:
            raise _unanswered(refusal.message) from None
        # Before the call: a change during it is seen LABELS_SECONDS later at most.
        asked_at = self._clock()
        # As the gateway's own user (a plain str says no other): the answer is kept for every client.
        answer = await self._send(wanted, str(own_call("namespace")))
        found = _object(answer, "the namespace", lambda _: "")
        labels = found["metadata"].get("labels") or {}
        if not isinstance(labels, dict):
            raise _unanswered("the namespace has labels that are none")
        self._labels[name] = (asked_at, labels)
        self._labels.move_to_end(name)
        while len(self._labels) > LABELS_KEPT:
            self._labels.popitem(last=False)
        return labels


def _tied(canonical: CanonicalRequest, found: Any) -> CanonicalRequest:
    try:
        return rehearsal.with_precondition(canonical, rehearsal.precondition_of(found))
    except Refused as refusal:
        raise NotAnswered(refusal.message, refusal) from None


def _object(answer: OwnAnswer, what: str, shown: Callable[[Any], str]) -> Any:
    """The object in an answer. A refusal of the cluster is passed on: the request itself would get the same."""
    document = answer.document
    if answer.ok:
        if isinstance(document, dict) and isinstance(document.get("metadata"), dict):
            return document
        raise _unanswered(f"the API server answered with something else than {what}")
    reason = document.get("reason") if isinstance(document, dict) else None
    said = f"{answer.code} {reason}" if isinstance(reason, str) and reason.isalpha() else str(answer.code)
    fault = f"the cluster refuses {what}: {said}"
    if not 400 <= answer.code < 500 or answer.code in {401, 429}:
        raise _unanswered(fault)
    message = f"{fault}. {shown(document)}".rstrip(" .")
    refusal = Refused(answer.code, said.partition(" ")[2] or "BadRequest", message, rule="policy/rehearsal")
    raise NotAnswered(fault, refusal)


def _unanswered(fault: str) -> NotAnswered:
    message = f"the policy cannot decide on this request now: {fault}. Repeat it later"
    return NotAnswered(fault, Refused(503, "ServiceUnavailable", message, rule="policy/unanswered"))
