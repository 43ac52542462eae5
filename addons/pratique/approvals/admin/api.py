"""I/O (tornado): the handlers of the admin listener: the HTTP API, the page's files.

Belongs here: who calls (cookie or key), that a browser was not tricked into it, JSON in and out. Not here: what a reviewer
may do (`desk`), what is shown (`views`).

A browser's call is believed when all of this holds: a session cookie (HttpOnly, Secure, SameSite=Strict, `__Host-`), an
`Origin` that is ours, a JSON body, and for each decision a nonce that came with what was shown and counts once. A `Host`
that is neither an address nor our name is refused, so that no other site's name can be pointed at us.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
from tornado.web import HTTPError, RequestHandler

from pratique.approvals.admin import views
from pratique.approvals.admin.links import Links
from pratique.approvals.admin.openapi import DOCUMENT
from pratique.approvals.admin.pages import FILES, page_of
from pratique.approvals.admin.probed import Probes
from pratique.approvals.admin.sessions import SESSION_SECONDS, Attempts, Nonces, Sessions
from pratique.approvals.desk import Desk
from pratique.approvals.reviewers import Reviewer, Reviewers
from pratique.approvals.revoking import RevocationDesk
from pratique.approvals.store import Approval
from pratique.approvals.transitions import State
from pratique.errors import PratiqueError, Refused
from pratique.observing.logs import decision

logger = logging.getLogger("pratique")

COOKIE = "__Host-pratique-reviewer"
# Scripts and styles only from our own files, none inline; Trusted Types: no string ever becomes markup.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
    "Server": "pratique",
}
OPEN = (State.PENDING, State.APPROVED)
CLOSED = tuple(state for state in State if state not in OPEN)


@dataclass
class Context:
    """What the handlers share. `held()` are the ids of approvals whose client waits on the line."""

    desk: Desk
    revocations: RevocationDesk
    probes: Probes
    reviewers: Callable[[], Reviewers]
    links: Links
    held: Callable[[], Collection[str]]
    host: str
    playground: Any = None
    """An `admin.playground.Playground`; None where it is switched off."""
    clock: Callable[[], float] = time.time
    sessions: Sessions = field(default_factory=Sessions)
    nonces: Nonces = field(default_factory=Nonces)
    attempts: Attempts = field(default_factory=Attempts)


@dataclass(frozen=True, slots=True)
class Caller:
    """`id` is what nonces are bound to."""

    id: str
    reviewer: Reviewer


class Handler(RequestHandler):
    """Host, headers, errors; nothing is answered to a caller that was not asked who they are, unless a class says so."""

    context: Context

    def initialize(self, context: Context) -> None:
        self.context = context

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        try:
            host = urlsplit(f"//{self.request.host}").hostname or ""
        except ValueError:
            host = ""
        if not _is_address(host) and host not in {"localhost", self.context.host}:
            raise Refused(421, "MisdirectedRequest", "this name is not the gateway's", rule="admin/host")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, Refused):
            refused = error
            if error.retry_after is not None:
                self.set_header("Retry-After", str(error.retry_after))
        elif isinstance(error, HTTPError):
            refused = Refused(status_code, "Refused", error.log_message or "not served")
        else:
            refused = Refused(500, "InternalError", "the gateway failed; its log has the place")
        self.set_status(refused.code)
        self.answer(views.error_view(refused))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """The class and the place, never the text: it may hold a key."""
        if isinstance(value, Refused | HTTPError):
            return
        while tb is not None and tb.tb_next is not None:
            tb = tb.tb_next
        place = f"{tb.tb_frame.f_code.co_filename}:{tb.tb_lineno}" if tb else "?"
        logger.error("admin listener failed: %s at %s", getattr(typ, "__name__", typ), place)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, PratiqueError):
            if not isinstance(error, Refused):
                kwargs["exc_info"] = (Refused, Refused(error.code, error.reason, str(error)), None)
            status_code = error.code
        super().send_error(status_code, **kwargs)

    def answer(self, value: msgspec.Struct) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(value))

    def input[T](self, target: type[T]) -> T:
        """The JSON body. Raises Refused (400, 415)."""
        if self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "UnsupportedMediaType", "send application/json", rule="admin/type")
        try:
            return msgspec.json.decode(self.request.body, type=target)
        except msgspec.MsgspecError as error:
            raise Refused(400, "BadRequest", f"the body is not what is expected: {error}", rule="admin/body") from None

    def check_origin(self) -> None:
        """Raises Refused (403): the browser says that another site's page sends this."""
        if self.request.headers.get("Origin") != f"https://{self.request.host}":
            raise Refused(403, "Forbidden", "this was not sent by the gateway's own page", rule="admin/origin")
        if self.request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise Refused(403, "Forbidden", "this was not sent by the gateway's own page", rule="admin/origin")

    def try_key(self, key: str) -> Reviewer:
        """Raises Refused: (401) no reviewer's key; (429) too many failures from this address."""
        now, address = self.context.clock(), self.request.remote_ip or ""
        wait = self.context.attempts.wait_seconds(address, now)
        if wait:
            message = f"too many wrong keys. Try again in {wait} s"
            raise Refused(429, "TooManyRequests", message, rule="admin/attempts", retry_after=wait)
        try:
            return self.context.reviewers().authenticate(key, now)
        except Refused:
            self.context.attempts.failed(address, now)
            raise

    def caller(self) -> Caller:
        """By key or by session. Raises Refused (401, 403, 429)."""
        authorization = self.request.headers.get("Authorization", "")
        if authorization:
            kind, _, key = authorization.partition(" ")
            reviewer = self.try_key(key.strip() if kind.lower() == "bearer" else "")
            return Caller(f"key {hashlib.sha256(key.strip().encode()).hexdigest()}", reviewer)
        session = self.context.sessions.find(self.get_cookie(COOKIE) or "", self.context.clock())
        reviewers = self.context.reviewers()
        known = reviewers.get(session.reviewer) if session else None
        if session is None or known is None:
            raise Refused(401, "Unauthorized", "log in with your reviewer's key", rule="admin/session")
        if not reviewers.is_current(session.reviewer, session.key_sha256, self.context.clock()):
            raise Refused(401, "Unauthorized", "your key is not valid any more", rule="admin/session")
        if self.request.method not in {"GET", "HEAD"}:
            self.check_origin()
        return Caller(f"session {session.id}", known)

    def me(self, reviewer: Reviewer) -> views.MeView:
        played = self.context.playground is not None
        return views.MeView(reviewer.name, reviewer.person, reviewer.may_grant, reviewer.trust, played)

    async def run(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """The store blocks."""
        return await asyncio.to_thread(work, *arguments, **named)


class Login(Handler):
    async def post(self) -> None:
        self.check_origin()
        key = self.input(views.LoginInput).key
        reviewer = self.try_key(key)
        token = self.context.sessions.open(
            reviewer.name, hashlib.sha256(key.encode()).hexdigest(), self.context.clock()
        )
        self.set_cookie(
            COOKIE, token, path="/", secure=True, httponly=True, samesite="Strict", max_age=int(SESSION_SECONDS)
        )
        logger.warning("reviewer %s logged in from %s", reviewer.name, self.request.remote_ip)
        self.answer(self.me(reviewer))


class Logout(Handler):
    async def post(self) -> None:
        self.check_origin()
        self.context.sessions.close(self.get_cookie(COOKIE) or "")
        self.clear_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Strict")
        self.set_status(204)


class Me(Handler):
    async def get(self) -> None:
        reviewer = self.caller().reviewer
        self.answer(self.me(reviewer))


class Approvals(Handler):
    async def get(self) -> None:
        caller = self.caller()
        states = {"open": OPEN, "closed": CLOSED}.get(self.get_query_argument("show", "open"), ())
        found = await self.run(self.context.desk.find, caller.reviewer, states)
        held = self.context.held()
        self.answer(views.ApprovalList(tuple(views.row_of(approval, held) for approval in found)))


class Shown(Handler):
    """Of handlers that show one approval, and take one decision about what was shown."""

    def show(self, caller: Caller, approval: Approval) -> None:
        """With a nonce for one decision about it, as it is now."""
        shown = views.shown_digest(approval)
        nonce = self.context.nonces.issue(caller.id, approval.id, shown, self.context.clock())
        self.answer(views.approval_view(approval, caller.reviewer, self.context.held(), nonce))

    async def known(self, caller: Caller, approval_id: str, nonce: str) -> Approval:
        """The approval, if the caller has seen it as it is. Raises Refused (404, 409)."""
        approval: Approval = await self.run(self.context.desk.get, caller.reviewer, approval_id)
        shown = views.shown_digest(approval)
        if not self.context.nonces.use(nonce, caller.id, approval.id, shown, self.context.clock()):
            message = "it has changed since it was shown, or this was sent already. Look at it again"
            raise Refused(409, "Conflict", message, rule="admin/nonce")
        return approval


class OneApproval(Shown):
    async def get(self, approval_id: str) -> None:
        caller = self.caller()
        self.show(caller, await self.run(self.context.desk.get, caller.reviewer, approval_id))


class Decide(Shown):
    async def post(self, approval_id: str) -> None:
        caller = self.caller()
        given = self.input(views.DecisionInput)
        approval = await self.known(caller, approval_id, given.nonce)
        wish = given.grant.wish(approval)
        decided = await self.run(
            self.context.desk.decide, caller.reviewer, approval_id, given.decision, given.reason, wish
        )
        told = decision(
            reviewer=caller.reviewer.name,
            decision=str(given.decision),
            approval=approval_id,
            client=decided.client,
            session=decided.question.session,
            state=str(decided.state),
        )
        logger.warning("reviewer %s: %s %s", caller.reviewer.name, given.decision, approval_id, extra=told)
        self.show(caller, decided)


class Revoke(Shown):
    async def post(self, approval_id: str) -> None:
        caller = self.caller()
        await self.known(caller, approval_id, self.input(views.RevocationInput).nonce)
        revoked = await self.run(self.context.desk.revoke, caller.reviewer, approval_id)
        told = decision(reviewer=caller.reviewer.name, decision="revoke", approval=approval_id, client=revoked.client)
        logger.warning("reviewer %s: revoke %s", caller.reviewer.name, approval_id, extra=told)
        self.show(caller, revoked)


class Grants(Handler):
    async def get(self) -> None:
        caller, now = self.caller(), self.context.clock()
        ended = self.get_query_argument("show", "live") == "all"
        found = await self.run(self.context.desk.grants, caller.reviewer, ended=ended)
        nonces = self.context.nonces
        shown = [views.grant_view(grant, nonces.issue(caller.id, grant.id, "", now), now) for grant in found]
        self.answer(views.GrantList(tuple(shown)))

    def compute_etag(self) -> None:
        """Its nonces make every answer another one."""


class RevokeGrant(Handler):
    async def post(self, grant_id: str) -> None:
        caller, now = self.caller(), self.context.clock()
        nonce = self.input(views.RevocationInput).nonce
        if not self.context.nonces.use(nonce, caller.id, grant_id, "", now):
            raise Refused(409, "Conflict", "this was sent already, or is too old. Look again", rule="admin/nonce")
        await self.run(self.context.desk.revoke_grant, caller.reviewer, grant_id)
        told = decision(reviewer=caller.reviewer.name, decision="revoke", grant=grant_id)
        logger.warning("reviewer %s: revoke %s", caller.reviewer.name, grant_id, extra=told)
        self.set_status(204)


class RedeemLink(Handler):
    """A link from a message leads to its approval once, and only somebody who has logged in. It decides nothing."""

    async def post(self) -> None:
        self.caller()
        approval_id = self.context.links.redeem(self.input(views.LinkInput).token, self.context.clock())
        self.answer(views.LinkView(approval_id))


class Description(Handler):
    async def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(DOCUMENT)


class Page(Handler):
    """The same files for everybody; what they show comes from the API."""

    async def get(self, name: str = "") -> None:
        file = FILES.get(name) or page_of(name)
        if file is None:
            raise Refused(404, "NotFound", "no such page", rule="admin/page")
        self.set_header("Content-Type", file.content_type)
        self.set_header("Cache-Control", "no-cache")
        self.finish(file.content)


class NoSuchPath(Handler):
    def prepare(self) -> None:
        super().prepare()
        raise Refused(404, "NotFound", "no such path", rule="admin/page")


ROUTES: tuple[tuple[str, type[Handler]], ...] = (
    (r"/api/v1/openapi\.json", Description),
    (r"/api/v1/login", Login),
    (r"/api/v1/logout", Logout),
    (r"/api/v1/me", Me),
    (r"/api/v1/approvals", Approvals),
    (r"/api/v1/approvals/([a-z0-9-]{1,40})", OneApproval),
    (r"/api/v1/approvals/([a-z0-9-]{1,40})/decision", Decide),
    (r"/api/v1/approvals/([a-z0-9-]{1,40})/revocation", Revoke),
    (r"/api/v1/grants", Grants),
    (r"/api/v1/grants/([a-z0-9-]{1,40})/revocation", RevokeGrant),
    (r"/api/v1/links", RedeemLink),
    (r"/([a-zA-Z0-9_./-]{0,80})", Page),
)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
