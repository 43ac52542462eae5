"""As which ServiceAccount a client's requests are made: `impersonate` of a Client document.

Belongs here: the account, its user and groups as kube-apiserver knows them, the headers. Not here: writing them into a
request (`gate`, and nothing else), what a client sends of this kind (refused by `pratique.kube.headers`). Pure.

The gateway's own user needs the verb `impersonate` on this one ServiceAccount and on its three groups; then RBAC, quotas
and the audit log know each client by its own name, and the gateway's user needs no other right.

Source: apiserver `pkg/endpoints/filters/impersonation`, `pkg/authentication/serviceaccount` (Kubernetes 1.36).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from pratique.behalf import GATEWAY, Behalf

USER = b"Impersonate-User"
GROUP = b"Impersonate-Group"
_ACCOUNT = re.compile(
    r"(?P<namespace>[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)/(?P<name>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)"
)


@dataclass(frozen=True, slots=True)
class ImpersonatedAccount:
    """A ServiceAccount: nobody's login, so that RBAC for it gives no person anything."""

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> ImpersonatedAccount | None:
        """`NAMESPACE/NAME`; None if it is not one."""
        match = _ACCOUNT.fullmatch(text)
        return cls(match["namespace"], match["name"]) if match else None

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    @property
    def groups(self) -> tuple[str, ...]:
        """Said, although the API server would add them: who asks for groups gets these and no others."""
        return ("system:serviceaccounts", f"system:serviceaccounts:{self.namespace}", "system:authenticated")

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(USER, self.user.encode("ascii")), *((GROUP, group.encode("ascii")) for group in self.groups)]


class CallId(str):
    """The Audit-ID of one of the gateway's own calls about a client's request; a str to all that only pass it on.

    `account`: as whom the call is made, so that what is foreseen for the client is what will happen to it; `behalf`: with
    whose credential.
    """

    __slots__ = ("account", "behalf")
    account: ImpersonatedAccount | None
    behalf: Behalf

    def __new__(cls, text: str, account: ImpersonatedAccount | None = None, behalf: Behalf = GATEWAY) -> Self:
        made = super().__new__(cls, text)
        made.account, made.behalf = account, behalf
        return made
