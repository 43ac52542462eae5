"""I/O: the desk that `pratique approvals` works at: the store of this machine, or a gateway's HTTP API.

Belongs here: the two, with one shape. Not here: printing. With `--admin URL` (or PRATIQUE_ADMIN) the caller is the reviewer
whose key is in PRATIQUE_REVIEWER_KEY; without, whoever may write the state folder, under the name that the operating
system gives them. That name cannot be chosen: a quorum would mean nothing.
"""

from __future__ import annotations

import json
import os
import pwd
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import msgspec

from pratique.approvals.admin import views
from pratique.approvals.admin.api import CLOSED, OPEN
from pratique.approvals.admin.revocation_views import (
    LiftInput,
    RevocationList,
    RevocationView,
    RevokeInput,
    revocation_view,
)
from pratique.approvals.deciding import Decision
from pratique.approvals.desk import Desk
from pratique.approvals.reviewers import local_reviewer
from pratique.approvals.revoking import RevocationDesk
from pratique.approvals.sqlite_store import FILE_NAME, SqliteStore
from pratique.approvals.transitions import State
from pratique.errors import Refused, StartError
from pratique.identity.revoking.sqlite_store import FILE_NAME as REVOCATIONS
from pratique.identity.revoking.sqlite_store import SqliteRevocations
from pratique.stores import shared_table

ADMIN, KEY, AUTHORITY = "PRATIQUE_ADMIN", "PRATIQUE_REVIEWER_KEY", "PRATIQUE_ADMIN_CA"
CALL_SECONDS = 30.0
STATES = {"open": OPEN, "closed": CLOSED, "all": tuple(State)}


class ReviewDesk(Protocol):
    """As `approvals.desk.Desk`, in the shapes of the API. Everything raises Refused or StartError."""

    def rows(self, show: str) -> list[views.ApprovalRow]: ...
    def view(self, approval_id: str) -> views.ApprovalView: ...
    def decide(
        self, approval_id: str, decision: Decision, reason: str, grant: views.GrantInput
    ) -> views.ApprovalView: ...
    def revoke(self, approval_id: str) -> views.ApprovalView: ...
    def grants(self, *, ended: bool) -> list[views.GrantView]: ...
    def revoke_grant(self, grant_id: str) -> None: ...
    def revocations(self, *, ended: bool) -> list[RevocationView]: ...
    def cut_off(self, given: RevokeInput) -> RevocationView: ...
    def lift(self, revocation_id: str) -> None: ...


def desk(state: Path, admin: str = "") -> ReviewDesk:
    """The one that the options and the environment name. Raises StartError."""
    url = admin or os.environ.get(ADMIN, "")
    if not url:
        return LocalDesk(state)
    key = os.environ.get(KEY, "")
    if not key:
        raise StartError(f"no key to call `{url}` with. Put your reviewer's key into {KEY}")
    return RemoteDesk(url.rstrip("/"), key, state)


class LocalDesk:
    def __init__(self, state: Path) -> None:
        file = state / FILE_NAME
        if name := shared_table(state):
            text = f"the gateway of `{state}` shares the table `{name}` with others"
            raise StartError(f"{text}. Use --admin URL, and your reviewer's key in {KEY}")
        if not file.exists():
            raise StartError(f"no approvals in `{state}`. Name the gateway's state folder with --state")
        self._desk = Desk(SqliteStore(file))
        self._revocations = RevocationDesk(SqliteRevocations(state / REVOCATIONS))
        self._reviewer = local_reviewer(login_name())

    def rows(self, show: str) -> list[views.ApprovalRow]:
        return [views.row_of(approval, ()) for approval in self._desk.find(self._reviewer, STATES[show])]

    def view(self, approval_id: str) -> views.ApprovalView:
        return views.approval_view(self._desk.get(self._reviewer, approval_id), self._reviewer, (), "")

    def decide(self, approval_id: str, decision: Decision, reason: str, grant: views.GrantInput) -> views.ApprovalView:
        wish = grant.wish(self._desk.get(self._reviewer, approval_id))
        self._desk.decide(self._reviewer, approval_id, decision, reason, wish)
        return self.view(approval_id)

    def revoke(self, approval_id: str) -> views.ApprovalView:
        self._desk.revoke(self._reviewer, approval_id)
        return self.view(approval_id)

    def grants(self, *, ended: bool) -> list[views.GrantView]:
        now = time.time()
        return [views.grant_view(grant, "", now) for grant in self._desk.grants(self._reviewer, ended=ended)]

    def revoke_grant(self, grant_id: str) -> None:
        self._desk.revoke_grant(self._reviewer, grant_id)

    def revocations(self, *, ended: bool) -> list[RevocationView]:
        found, now = self._revocations.find(self._reviewer, ended=ended), time.time()
        return [revocation_view(each, now) for each in found]

    def cut_off(self, given: RevokeInput) -> RevocationView:
        made = self._revocations.revoke(self._reviewer, given.kind, given.name, given.reason, given.seconds)
        return revocation_view(made, time.time())

    def lift(self, revocation_id: str) -> None:
        self._revocations.lift(self._reviewer, revocation_id)


class RemoteDesk:
    """A decision is about what `view` showed just before: each call that changes something looks first."""

    def __init__(self, url: str, key: str, state: Path) -> None:
        if not url.startswith("https://"):
            raise StartError(f"`{url}` is not https. A key that goes there could be read on the way")
        self._url = url
        self._key = key
        authority = os.environ.get(AUTHORITY, "") or str(state / "mitmproxy" / "mitmproxy-ca-cert.pem")
        self._tls = ssl.create_default_context(cafile=authority if Path(authority).exists() else None)

    def rows(self, show: str) -> list[views.ApprovalRow]:
        return list(self._call("GET", f"/approvals?show={show}", views.ApprovalList).approvals)

    def view(self, approval_id: str) -> views.ApprovalView:
        return self._call("GET", f"/approvals/{approval_id}", views.ApprovalView)

    def decide(self, approval_id: str, decision: Decision, reason: str, grant: views.GrantInput) -> views.ApprovalView:
        given = views.DecisionInput(decision, self.view(approval_id).nonce, reason, grant)
        return self._call("POST", f"/approvals/{approval_id}/decision", views.ApprovalView, given)

    def revoke(self, approval_id: str) -> views.ApprovalView:
        given = views.RevocationInput(self.view(approval_id).nonce)
        return self._call("POST", f"/approvals/{approval_id}/revocation", views.ApprovalView, given)

    def grants(self, *, ended: bool) -> list[views.GrantView]:
        return list(self._call("GET", f"/grants?show={'all' if ended else 'live'}", views.GrantList).grants)

    def revoke_grant(self, grant_id: str) -> None:
        nonces = {grant.id: grant.nonce for grant in self.grants(ended=False)}
        given = views.RevocationInput(nonces.get(grant_id, ""))
        self._call("POST", f"/grants/{grant_id}/revocation", type(None), given)

    def revocations(self, *, ended: bool) -> list[RevocationView]:
        return list(
            self._call("GET", f"/revocations?show={'all' if ended else 'in-force'}", RevocationList).revocations
        )

    def cut_off(self, given: RevokeInput) -> RevocationView:
        return self._call("POST", "/revocations", RevocationView, given)

    def lift(self, revocation_id: str) -> None:
        self._call("POST", f"/revocations/{quote(revocation_id, safe='')}/lift", type(None), LiftInput())

    def _call[T](self, method: str, path: str, target: type[T], given: msgspec.Struct | None = None) -> T:
        """The answer as `target`; of an empty one (204) nothing is read, ask for `None`'s type."""
        body = None if given is None else msgspec.json.encode(given)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}/api/v1{path}", body, headers, method=method)  # noqa: S310 - https
        try:
            with urllib.request.urlopen(request, timeout=CALL_SECONDS, context=self._tls) as answer:  # noqa: S310 - https
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise _refused(error) from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise StartError(f"`{self._url}` cannot be called: {reason}. Is PRATIQUE_ADMIN_CA its CA?") from None
        return msgspec.json.decode(content or b"null", type=target)


def _refused(error: urllib.error.HTTPError) -> Refused:
    try:
        found = json.loads(error.read())["error"]
        return Refused(int(found["code"]), str(found["reason"]), str(found["message"]))
    except (ValueError, KeyError, TypeError):
        return Refused(error.code, "Refused", f"the gateway answered {error.code}")


def login_name() -> str:
    """Who the operating system says runs this; not what an environment variable says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"
