"""`kind: Webhook`: who is told of approvals, in which words, signed how, and when it is tried again.

Belongs here: the document, events, bodies (generic JSON, Slack), the signature, the back-off. Not here: sending
(`notifying`), what has been sent (`sqlite_outbox`). Pure; time is an argument, seconds since the epoch.

A message tells what is asked and by whom, never a body or a difference: chats are read by many and kept for long. The link
in it leads to the page once and decides nothing (`admin.links`).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pratique.approvals.deciding import Decision
from pratique.approvals.store import Approval
from pratique.approvals.transitions import State
from pratique.documents import Document
from pratique.errors import DocumentError, DocumentErrors

SIGNATURE_SECONDS = 300.0  # a receiver refuses older timestamps: a recorded message cannot be sent again later
MIN_SECRET_BYTES = 16
# Seconds until the next attempt. The last one is a day after the first: by then the approval has long expired.
BACK_OFF = (5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 3600.0, 3600.0, 21600.0, 21600.0, 21600.0)
RETRIED = frozenset({408, 425, 429})  # and every 5xx; other refusals do not change by being repeated


class EventName(StrEnum):
    """What happened to an approval."""

    ASKED = "asked"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    USED = "used"
    REVOKED = "revoked"


class Format(StrEnum):
    JSON = "json"
    SLACK = "slack"


class _Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    format: Format = Format.JSON
    url: str = ""
    url_file: str = ""
    secret_file: str = ""
    certificate_authority_file: str = ""
    events: tuple[EventName, ...] = (EventName.ASKED, EventName.APPROVED, EventName.DENIED, EventName.EXPIRED)
    clients: tuple[str, ...] = ("*",)
    namespaces: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class Webhook:
    """One receiver. Either `url` or `url_file` (Slack's URLs are secrets); files are read for each message."""

    name: str
    format: Format
    url: str
    url_file: str
    secret_file: str
    certificate_authority_file: str
    events: frozenset[EventName]
    clients: tuple[str, ...]
    namespaces: tuple[str, ...]
    document: Document

    def wants(self, approval: Approval, event: EventName) -> bool:
        target = approval.question.target
        return (
            event in self.events
            and any(fnmatchcase(approval.client, glob) for glob in self.clients)
            and any(fnmatchcase(target.namespace, glob) for glob in self.namespaces)
        )


@dataclass(frozen=True, slots=True)
class Event:
    name: EventName
    at: float


def webhooks_from(documents: Sequence[Document]) -> tuple[Webhook, ...]:
    """Every `kind: Webhook`. Raises DocumentErrors, all of them."""
    errors: list[DocumentError] = []
    found: list[Webhook] = []
    for document in documents:
        if document.kind != "Webhook":
            continue
        try:
            spec = document.convert(("spec",), _Spec)
        except DocumentErrors as error:
            errors += error.errors
            continue
        errors += _errors_of(document, spec)
        files = (spec.url_file, spec.secret_file, spec.certificate_authority_file)
        url_file, secret_file, authority = (str(document.resolve(file)) if file else "" for file in files)
        events = frozenset(spec.events)
        found.append(
            Webhook(
                document.name, spec.format, spec.url, url_file, secret_file, authority, events, spec.clients,
                spec.namespaces, document,
            )
        )  # fmt: skip
    if errors:
        raise DocumentErrors(errors)
    return tuple(found)


def _errors_of(document: Document, spec: _Spec) -> list[DocumentError]:
    errors: list[DocumentError] = []
    if bool(spec.url) == bool(spec.url_file):
        errors.append(document.error(("spec",), "a webhook needs either `url` or `urlFile`", "Write one of them"))
    if spec.url and (problem := url_problem(spec.url)):
        errors.append(DocumentError(document.value_position("spec", "url"), problem, "Write `https://…`"))
    if spec.format is Format.JSON and not spec.secret_file:
        message = "a webhook of format `json` needs `secretFile`, or its receiver could not tell us from others"
        errors.append(document.error(("spec",), message, "Name a file with a random secret"))
    empty = [name for name in ("events", "clients", "namespaces") if not getattr(spec, name)]
    errors += [
        document.error(("spec", name), f"`{name}` is empty and would match nothing", "Fill it") for name in empty
    ]
    return errors


def url_problem(url: str) -> str:
    """What is wrong with a receiver's URL; "" if nothing is. Without TLS only to this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return ""
    if parts.scheme == "http" and parts.hostname and is_loopback(parts.hostname):
        return ""
    return "the URL is not https, so that the message could be read and changed on its way"


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def events_of(approval: Approval) -> tuple[Event, ...]:
    """What has happened to it so far. What a grant approved was never asked."""
    events: list[Event] = []
    if not approval.grant_id:
        events.append(Event(EventName.ASKED, approval.created_at))
    denials = [each for each in approval.decisions if each.decision is Decision.DENY]
    events += [Event(EventName.DENIED, each.at) for each in denials]
    if approval.decisions and approval.state not in {State.PENDING, State.DENIED, State.CANCELLED}:
        approved = sum(each.decision is Decision.APPROVE for each in approval.decisions)
        if approved >= approval.question.terms.quorum:
            events.append(Event(EventName.APPROVED, approval.decisions[-1].at))
    ended = {
        State.EXPIRED: EventName.EXPIRED,
        State.CANCELLED: EventName.CANCELLED,
        State.USED: EventName.USED,
        State.REVOKED: EventName.REVOKED,
    }.get(approval.state)
    if ended is not None:
        events.append(Event(ended, approval.closed_at or approval.expires_at))
    return tuple(events)


def idempotency_key(webhook: str, approval_id: str, event: EventName) -> str:
    """The same for every attempt, also after a restart: a receiver that has it already ignores the message."""
    return hashlib.sha256(f"{webhook}\n{approval_id}\n{event}".encode()).hexdigest()[:32]


def sign(secret: bytes, body: bytes, now: float) -> dict[str, str]:
    """The headers that prove the sender: HMAC-SHA256 over `v1.TIMESTAMP.BODY`."""
    stamp = str(int(now))
    mac = hmac.digest(secret, b"v1." + stamp.encode() + b"." + body, hashlib.sha256).hex()
    return {"Pratique-Timestamp": stamp, "Pratique-Signature": f"v1={mac}"}


def verify(secret: bytes, body: bytes, timestamp: str, signature: str, now: float) -> bool:
    """What a receiver does. It must compare the raw body, not a parsed one."""
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > SIGNATURE_SECONDS:
        return False
    return hmac.compare_digest(signature, sign(secret, body, float(timestamp))["Pratique-Signature"])


def body_of(webhook: Webhook, approval: Approval, event: EventName, link: str) -> bytes:
    """The message. `link`: to the page; "" if there is none."""
    value = _slack(approval, event, link) if webhook.format is Format.SLACK else _json(approval, event, link)
    return msgspec.json.encode(value)


def _json(approval: Approval, event: EventName, link: str) -> dict[str, Any]:
    question = approval.question
    effect = question.summary.effect
    return {
        "event": event,
        "approval": {
            "id": approval.id,
            "state": approval.state,
            "client": approval.client,
            "cluster": question.cluster,
            "words": question.summary.words,
            "namespace": question.target.namespace,
            "objects": effect.total if effect and effect.known else None,
            "risks": [what for what, _ in effect.risks] if effect else [],
            "rules": question.summary.rules,
            "message": question.summary.message,
            "createdAt": approval.created_at,
            "expiresAt": approval.expires_at,
            "reviewer": approval.reviewer,
            "reason": approval.reason,
        },
        "link": link,
    }


_HEADLINES = {
    EventName.ASKED: "needs an approval",
    EventName.APPROVED: "was approved",
    EventName.DENIED: "was denied",
    EventName.EXPIRED: "expired undecided",
    EventName.CANCELLED: "was cancelled",
    EventName.USED: "was carried out",
    EventName.REVOKED: "was revoked",
}
SLACK_TEXT = 2_900  # characters of one text object; Slack takes 3,000


def _slack(approval: Approval, event: EventName, link: str) -> dict[str, Any]:
    """Block Kit, `plain_text` throughout: nothing in it is read as a mention, a link or markup."""
    question = approval.question
    headline = f"{approval.client} {_HEADLINES[event]}: {question.summary.words}"
    facts = [f"cluster {question.cluster}", approval.id, *question.summary.rules]
    effect = question.summary.effect
    if effect is not None:
        facts += sorted({what for what, _ in effect.risks}) if effect.known else ["effect unknown"]
    if approval.reviewer and event is not EventName.ASKED:
        facts.append(f"by {approval.reviewer}" + (f": {approval.reason}" if approval.reason else ""))
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": _plain(headline)},
        {"type": "context", "elements": [_plain(" · ".join(facts))]},
    ]
    if link and event is EventName.ASKED:
        button = {"type": "button", "style": "primary", "text": _plain("Look at it and decide"), "url": link}
        blocks.append({"type": "actions", "elements": [button]})
    escaped = headline.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": escaped[:SLACK_TEXT], "blocks": blocks}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text[:SLACK_TEXT], "emoji": False}
