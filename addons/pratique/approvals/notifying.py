"""I/O (asyncio): telling webhooks what happens to approvals.

Belongs here: noticing what is new, reading a receiver's files, sending, trying again. Not here: bodies, signatures, the
back-off (`webhooks`), what is due (`outbox`). Clock, sleep and post are injected.

Noticing is polling, as in `waiting`: another process may decide. A receiver that is slow or gone holds up nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pratique.approvals.outbox import Message, Outbox
from pratique.approvals.store import Approval, ApprovalStore
from pratique.approvals.transitions import State
from pratique.approvals.webhooks import (
    BACK_OFF,
    MIN_SECRET_BYTES,
    RETRIED,
    EventName,
    Webhook,
    body_of,
    events_of,
    idempotency_key,
    sign,
    url_problem,
)
from pratique.errors import DocumentError, DocumentErrors, StoreError

logger = logging.getLogger("pratique")

LOOK_SECONDS = 0.5
SEND_SECONDS = 10.0
AT_ONCE = 8
MAX_FILE_BYTES = 4_096
MAX_RETRY_AFTER = 3600.0
# Longer than approvals are kept (90 days): a message that is forgotten before its approval would be sent again.
KEEP_SECONDS = 100 * 86400.0
PRUNE_SECONDS = 3600.0
LOOKED_AT = 1_000  # the newest approvals; more than ever change in half a second

type Post = Callable[[str, bytes, Mapping[str, str], ssl.SSLContext | None], tuple[int, float]]


class UnsentError(Exception):
    """A message cannot be sent: text for the operator, without the URL, which may be a secret."""


class Notifier:
    """`link(approval id)` is a fresh link to the page, or ""."""

    def __init__(
        self,
        store: ApprovalStore,
        outbox: Outbox,
        webhooks: Callable[[], Sequence[Webhook]],
        link: Callable[[str], str],
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        post: Post | None = None,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._webhooks = webhooks
        self._link = link
        self._clock = clock
        self._sleep = sleep
        self._post = post or post_once
        self._seen: object = None
        self._pruned_at = float("-inf")

    async def run(self) -> None:
        """Until cancelled. A store that fails is tried again: messages are the least of the worries then."""
        while True:
            try:
                await self.step()
            except StoreError as error:
                logger.error("webhooks: %s", error)
            await self._sleep(LOOK_SECONDS)

    async def step(self) -> None:
        """Looks once for what is new, and sends what is due."""
        if self._webhooks():
            await asyncio.to_thread(self._notice)
            due = await asyncio.to_thread(self._outbox.due, self._clock(), AT_ONCE)
            await asyncio.gather(*[self._deliver(message) for message in due])

    def _notice(self) -> None:
        now, webhooks = self._clock(), self._webhooks()
        if now - self._pruned_at > PRUNE_SECONDS:
            self._pruned_at = now
            self._outbox.prune(now - KEEP_SECONDS)
        seen = (self._store.version(), tuple(webhook.name for webhook in webhooks), int(now / 5))
        if seen == self._seen:  # every 5 s in any case: an approval expires without a change of the store
            return
        since = {webhook.name: self._outbox.since(webhook.name, now) for webhook in webhooks}
        found = self._store.find(now, limit=LOOKED_AT)
        self._outbox.add([each for approval in found for each in _messages(approval, webhooks, since)], now)
        self._seen = seen

    async def _deliver(self, message: Message) -> None:
        webhook = next((each for each in self._webhooks() if each.name == message.webhook), None)
        approval = await asyncio.to_thread(self._store.get, message.approval_id, self._clock())
        if webhook is None or approval is None:
            await self._end(message, "its webhook or its approval is gone")
        elif message.event is EventName.ASKED and approval.state is not State.PENDING:
            await self._end(message, "it was decided before it could be told")
        else:
            await self._send(webhook, approval, message)

    async def _send(self, webhook: Webhook, approval: Approval, message: Message) -> None:
        try:
            code, retry_after = await asyncio.to_thread(self._attempt, webhook, approval, message.event)
        except UnsentError as error:
            await self._again(message, str(error), 0.0)
            return
        if 200 <= code < 300:
            await self._end(message, f"{code}")
        elif code in RETRIED or code >= 500:
            await self._again(message, f"the receiver answered {code}", retry_after)
        else:
            logger.error("webhook %s: the receiver answered %d to `%s`", webhook.name, code, message.event)
            await self._end(message, f"refused with {code}")

    def _attempt(self, webhook: Webhook, approval: Approval, event: EventName) -> tuple[int, float]:
        url = webhook.url or _read(webhook.url_file, "its URL").decode("utf-8", "replace")
        if problem := url_problem(url):
            raise UnsentError(problem)
        link = self._link(approval.id) if event is EventName.ASKED else ""
        body = body_of(webhook, approval, event, link)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "pratique",
            "Idempotency-Key": idempotency_key(webhook.name, approval.id, event),
            "Pratique-Event": event.value,
        }
        if webhook.secret_file:
            headers |= sign(_secret(webhook), body, self._clock())
        return self._post(url, body, headers, _tls(webhook))

    async def _again(self, message: Message, outcome: str, retry_after: float) -> None:
        if message.attempts >= len(BACK_OFF):
            logger.error("webhook %s: given up: %s", message.webhook, outcome)
            await self._end(message, outcome)
            return
        if message.attempts == 0:
            logger.warning("webhook %s: %s; tried again for a day", message.webhook, outcome)
        wait = max(BACK_OFF[message.attempts], min(retry_after, MAX_RETRY_AFTER))
        await asyncio.to_thread(self._outbox.again, message, outcome, self._clock() + wait)

    async def _end(self, message: Message, outcome: str) -> None:
        await asyncio.to_thread(self._outbox.end, message, outcome, self._clock())


def _messages(approval: Approval, webhooks: Sequence[Webhook], since: Mapping[str, float]) -> list[Message]:
    return [
        Message(webhook.name, approval.id, event.name)
        for event in events_of(approval)
        for webhook in webhooks
        if event.at >= since[webhook.name] and webhook.wants(approval, event.name)
    ]


def check_files(webhooks: Sequence[Webhook]) -> None:
    """Raises DocumentErrors: a file that a webhook names cannot be read, or holds no secret."""
    errors: list[DocumentError] = []
    for webhook in webhooks:
        fields = {"urlFile": webhook.url_file, "certificateAuthorityFile": webhook.certificate_authority_file}
        for name, file in fields.items():
            if file and (problem := _problem(file)):
                errors.append(_file_error(webhook, name, problem))
        if webhook.secret_file:
            try:
                _secret(webhook)
            except UnsentError as error:
                errors.append(_file_error(webhook, "secretFile", str(error)))
    if errors:
        raise DocumentErrors(errors)


def _file_error(webhook: Webhook, name: str, problem: str) -> DocumentError:
    position = webhook.document.value_position("spec", name)
    return DocumentError(position, problem, "Check the path, its permissions and its content")


def _problem(file: str) -> str:
    try:
        _read(file, "it")
    except UnsentError as error:
        return str(error)
    return ""


def _read(file: str, what: str) -> bytes:
    try:
        with Path(file).expanduser().open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES * 64 + 1)
    except OSError as error:
        raise UnsentError(f"the file with {what} cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES * 64:
        raise UnsentError(f"the file with {what} is too large")
    return content.strip()


def _secret(webhook: Webhook) -> bytes:
    secret = _read(webhook.secret_file, "its secret")
    if len(secret) < MIN_SECRET_BYTES:
        raise UnsentError(f"its secret has fewer than {MIN_SECRET_BYTES} bytes")
    return secret


def _tls(webhook: Webhook) -> ssl.SSLContext | None:
    if not webhook.certificate_authority_file:
        return None
    try:
        return ssl.create_default_context(cafile=str(Path(webhook.certificate_authority_file).expanduser()))
    except (OSError, ssl.SSLError) as error:
        raise UnsentError(f"its CA file cannot be used: {type(error).__name__}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A receiver cannot send a signed message on to somebody else."""

    def redirect_request(self, *_arguments: object, **_named: object) -> None:
        return None


def post_once(url: str, body: bytes, headers: Mapping[str, str], tls: ssl.SSLContext | None) -> tuple[int, float]:
    """One POST: the answer's code, and its Retry-After in seconds (0: none). Raises UnsentError."""
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=tls))
    request = urllib.request.Request(url, body, dict(headers), method="POST")  # noqa: S310 - checked by url_problem
    try:
        with opener.open(request, timeout=SEND_SECONDS) as answer:
            return int(answer.status), 0.0
    except urllib.error.HTTPError as error:
        wait = 0.0
        with suppress(ValueError):
            wait = float(error.headers.get("Retry-After", "0"))
        return error.code, wait
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UnsentError(f"the receiver cannot be reached: {type(reason).__name__}") from None
