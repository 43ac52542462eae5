"""I/O (asyncio): an exchange that needs an approval, held until a reviewer decides, the hold ends or the client leaves.

Belongs here: the question that an exchange asks, and racing the wait against the client. Not here: the queue itself
(`queue`), what is shown of a body (`mask`, given by the composition root).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from pratique.approvals.answers import Waits
from pratique.approvals.fingerprint import fingerprint, is_stream
from pratique.approvals.queue import ApprovalQueue
from pratique.approvals.store import Question, Summary
from pratique.approvals.words import in_words
from pratique.errors import Refused
from pratique.kube.canonical import CanonicalRequest
from pratique.kube.query import encode
from pratique.verdict import ApprovalTerms, Verdict


class Caller(Protocol):
    """Who asks."""

    @property
    def name(self) -> str: ...
    @property
    def waits(self) -> Waits: ...
    @property
    def hold_seconds(self) -> float: ...


class Held(Protocol):
    """What of an exchange is needed (`pratique.exchange.Exchange`)."""

    client: Any
    canonical: CanonicalRequest | None
    verdict: Verdict | None
    gone: asyncio.Event


class Holding:
    """`mask(canonical, client name)` is the body as a reviewer may see it; `hold()` the longest hold in seconds."""

    def __init__(
        self,
        queue: ApprovalQueue,
        cluster: str,
        mask: Callable[[CanonicalRequest, str], str],
        hold: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._cluster = cluster
        self._mask = mask
        self._hold = hold

    async def granted(self, held: Held) -> str:
        """The id of an approval for exactly this request. Raises Refused with what the client is told."""
        question = self.question(held)
        caller: Caller = held.client
        seconds = min(caller.hold_seconds, self._hold())
        waiting = asyncio.ensure_future(self._queue.granted(question, caller.waits, seconds))
        leaving = asyncio.ensure_future(held.gone.wait())
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            # INVARIANT: nothing is executed for a client that has left; its next identical request finds the approval.
            if held.gone.is_set():
                raise Refused(499, "ClientGone", "the client left while its request was held", rule="approval/gone")
            return await waiting
        finally:
            for task in (waiting, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def use(self, approval_id: str, held: Held) -> None:
        """Uses the approval up for this request. Raises Refused if that cannot be (any more)."""
        question = self.question(held)
        await self._queue.use(approval_id, question.fingerprint, question.client, held.client.waits)

    def question(self, held: Held) -> Question:
        """What is asked of the reviewers. Raises Refused where an exchange has not got that far."""
        canonical, verdict, client = held.canonical, held.verdict, held.client
        if canonical is None or verdict is None or client is None:
            raise Refused(500, "InternalError", "no request is known for this approval", rule="approval/request")
        attributes = canonical.attributes
        mark = fingerprint(
            client=client.name,
            cluster=self._cluster,
            method=canonical.method,
            path=canonical.path.encode("utf-8", "surrogateescape"),
            query=encode(canonical.query),
            patch_type=canonical.patch_type or canonical.content_type,
            body=canonical.body,
            is_stream=is_stream(attributes.api_group, attributes.resource, attributes.subresource),
        )
        argv = tuple(value for name, value in canonical.query if name == "command")
        summary = Summary(
            words=in_words(attributes, dry_run=canonical.dry_run, argv=argv),
            method=canonical.method,
            path=canonical.target.decode("ascii", "replace"),
            body=self._mask(canonical, client.name),
            rules=verdict.rules,
            message=verdict.message,
        )
        return Question(mark, client.name, self._cluster, summary, verdict.terms or ApprovalTerms())
