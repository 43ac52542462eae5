"""I/O (asyncio): what a request would do, found out by the gateway's own reads and dry run.

Belongs here: which calls, in which order, and what is made of the answers. Not here: the calls themselves (`send`, given
by the composition root), masking (`mask`, given too), comparing (`difference`), what goes with an object (`cascade`).

A question may always be asked: what could not be found out is an effect that says so. What was shown, though, must be
found out again before it is done (`holding`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from pratique.approvals.cascade import Cascade
from pratique.approvals.difference import difference, without_noise
from pratique.approvals.effects import MAX_OBJECTS, AffectedObject, Effect
from pratique.approvals.listing import Send, every
from pratique.approvals.risks import risks_of, risks_of_deletion
from pratique.approvals.words import escaped_name, escaped_prose, kind_of
from pratique.errors import PratiqueError
from pratique.kube import rehearsal
from pratique.kube.canonical import CanonicalRequest
from pratique.kube.rehearsal import OwnAnswer, Precondition

LOOK_SECONDS = 12.0  # in front of a hold of 45 s; an admission webhook may take 10 s
_WRITES = frozenset({"create", "update", "patch"})
_REHEARSED = frozenset({"", "scale", "status", "ephemeralcontainers", "resize"})
_STREAMS = frozenset({"exec", "attach", "portforward"})

type SendAs = Callable[[CanonicalRequest, str], Awaitable[OwnAnswer]]
type MaskDocument = Callable[[CanonicalRequest, str, Any], Any]


@dataclass(frozen=True, slots=True)
class Sight:
    """An effect as it is now. `precondition` ties the write to what was seen; None where nothing could be tied."""

    effect: Effect | None
    precondition: Precondition | None = None


class Foreseer:
    """`send(request, audit id)` asks the cluster; `mask(request, client, document)` is what a reviewer may see of it."""

    def __init__(self, send: SendAs, mask: MaskDocument) -> None:
        self._send = send
        self._mask = mask

    async def look(self, request: CanonicalRequest, client: str, own_call: Callable[[str], str]) -> Sight:
        """What the request would do now. An effect of None: nothing to show (reads). Raises nothing but cancellation.

        `own_call(what)` is the Audit-ID of one own call.
        """

        def send(asked: CanonicalRequest) -> Awaitable[OwnAnswer]:
            return self._send(asked, own_call("approval"))

        look = _Look(send, self._mask, request, client)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await look.sight()
        except TimeoutError:
            return Sight(unknown("the cluster did not answer in time"))
        except PratiqueError as error:
            return Sight(unknown(str(error)))


def unknown(problem: str) -> Effect:
    return Effect(known=False, problem=escaped_prose(problem))


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one request."""

    send: Send
    mask: MaskDocument
    request: CanonicalRequest
    client: str

    async def sight(self) -> Sight:
        attributes = self.request.attributes
        if not attributes.is_resource_request or self.request.proxied:
            return Sight(None)
        pods = (attributes.api_group, attributes.resource) == ("", "pods")
        if pods and attributes.subresource in _STREAMS:
            return await self._connection()
        if attributes.verb == "delete" or (pods and attributes.subresource == "eviction"):
            return await self._deletion()
        if attributes.verb == "deletecollection":
            return await self._collection()
        if attributes.verb in _WRITES and attributes.subresource in _REHEARSED and not self.request.dry_run:
            return await self._write()
        return Sight(None)

    async def _live(self) -> OwnAnswer | None:
        wanted = rehearsal.live(self.request)
        return None if wanted is None else await self.send(wanted)

    async def _deletion(self) -> Sight:
        answer = await self._live()
        if answer is None or not answer.ok:
            return Sight(unknown(self._refusal(answer)))
        found = answer.document
        kind = self._kind(found)
        options = self.request.document if isinstance(self.request.document, dict) else {}
        counted = await Cascade(self.send).of(self.request, found, options)
        shown = self._shown(found)
        effect = Effect(
            objects=(_affected(found, kind),),
            total=1,
            cascade=counted.kinds,
            cascade_complete=counted.complete,
            difference=difference(without_noise(shown), None)[0],
            risks=risks_of_deletion(shown, options),
            notes=counted.notes,
            digest=_digest(_uid(found), options),
        )
        return Sight(effect, rehearsal.precondition_of(found))

    async def _collection(self) -> Sight:
        listed = await every(self.send, rehearsal.selected(self.request))
        if listed.problem:
            return Sight(unknown(self._masked_text(listed.problem)))
        attributes = self.request.attributes
        kind = kind_of(attributes.api_group, attributes.resource)
        objects = sorted((_affected(item, kind) for item in listed.items), key=lambda each: (each.namespace, each.name))
        options = self.request.document if isinstance(self.request.document, dict) else {}
        notes = () if listed.complete else (f"more than {len(objects)} objects; only those were looked at",)
        effect = Effect(
            objects=tuple(objects[:MAX_OBJECTS]),
            total=len(objects),
            cascade_complete=listed.complete,
            risks=risks_of_deletion(None, options),
            notes=notes,
            digest=_digest(sorted(each.uid for each in objects), options),
        )
        return Sight(effect)

    async def _connection(self) -> Sight:
        """An exec, attach or port-forward: the pod it goes to, told by its uid and the images that run in it."""
        answer = await self._live()
        if answer is None or not answer.ok:
            return Sight(unknown(self._refusal(answer)))
        pod = answer.document
        shown = self._shown(pod)
        running = _images(pod)
        risks = risks_of({"spec": shown.get("spec")} if isinstance(shown, dict) else None, self._options())
        effect = Effect(
            objects=(_affected(pod, "Pod"),),
            total=1,
            risks=tuple(risk for risk in risks if risk[0] not in {"command", "node"}),
            digest=_digest(_uid(pod), running),
        )
        return Sight(effect)

    def _options(self) -> dict[str, Any]:
        """Of the connection: the one options object that the query was decoded to."""
        return {key: value for part in self.request.options.values() for key, value in part.items() if key != "command"}

    async def _write(self) -> Sight:
        live, made = await asyncio.gather(self._live(), self.send(rehearsal.dry_run(self.request)))
        if live is not None and not live.ok and live.code != 404:
            return Sight(unknown(self._refusal(live)))
        before = live.document if live is not None and live.ok else None
        if not made.ok:
            return Sight(unknown(f"the cluster would refuse it: {self._refusal(made)}"))
        is_status = self.request.attributes.subresource == "status"
        shown_before = without_noise(self._shown(before), keep_status=is_status) if before is not None else None
        shown_after = without_noise(self._shown(made.document), is_new=before is None, keep_status=is_status)
        lines, left_out = difference(shown_before, shown_after)
        changed = before if before is not None else made.document
        risks = risks_of(shown_after, {"force": (self.request.options.get("patchOptions") or {}).get("force")})
        effect = Effect(
            objects=(_affected(changed, self._kind(changed), is_new=before is None),),
            total=1,
            difference=lines,
            left_out=left_out,
            risks=risks,
            notes=_notes(before, self.request, lines),
            digest=_digest(_uid(before) if before is not None else "", shown_before, [list(risk) for risk in risks]),
        )
        return Sight(effect, self._precondition(before))

    def _precondition(self, before: Any) -> Precondition | None:
        """A create needs none (the server refuses an existing name); a PUT or patch of nothing must find nothing."""
        return None if self.request.attributes.verb == "create" else rehearsal.precondition_of(before)

    def _shown(self, document: Any) -> Any:
        return self.mask(self.request, self.client, document)

    def _kind(self, document: Any) -> str:
        kind = document.get("kind") if isinstance(document, dict) else None
        attributes = self.request.attributes
        return escaped_name(kind) if isinstance(kind, str) else kind_of(attributes.api_group, attributes.resource)

    def _refusal(self, answer: OwnAnswer | None) -> str:
        """In the cluster's words, masked: a Status can quote a value."""
        if answer is None:
            return "the request names no object"
        shown = self._shown(answer.document)
        message = shown.get("message") if isinstance(shown, dict) else None
        return f"{answer.code} {message if isinstance(message, str) else ''}".strip()

    def _masked_text(self, text: str) -> str:
        shown = self._shown({"kind": "Status", "apiVersion": "v1", "message": text})
        return str(shown.get("message", "")) if isinstance(shown, dict) else ""


def _notes(before: Any, request: CanonicalRequest, lines: tuple[str, ...]) -> tuple[str, ...]:
    notes: list[str] = []
    if before is None and request.attributes.verb != "create":
        notes.append("there is no such object: it would be created")
    if before is not None and not lines:
        notes.append("nothing that can be shown would change")
    document = request.document
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if isinstance(metadata, dict) and metadata.get("generateName") and not metadata.get("name"):
        notes.append("the cluster makes the name; the one shown is an example")
    return tuple(notes)


def _affected(document: Any, kind: str, *, is_new: bool = False) -> AffectedObject:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict):
        metadata = {}
    name, space = str(metadata.get("name", "")), str(metadata.get("namespace", ""))
    return AffectedObject(kind, escaped_name(space), escaped_name(name), "" if is_new else _uid(document))


def _uid(document: Any) -> str:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return str(metadata.get("uid", "")) if isinstance(metadata, dict) else ""


def _images(pod: Any) -> list[str]:
    status = pod.get("status") if isinstance(pod, dict) else None
    states = status.get("containerStatuses") if isinstance(status, dict) else None
    return sorted(str(each.get("imageID", "")) for each in states or () if isinstance(each, dict))


def _digest(*parts: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()
