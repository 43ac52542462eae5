"""The gate: the one place that writes an upstream credential into a request.

Belongs here: `Credential` and `attach_credential`. Not here: how a credential is had (`credentials`), how a verdict is
found. Relies on `pratique.verdict.Verdict.allows` and on `strip`.

INVARIANT: no other function of pratique writes `Authorization` or `Impersonate-*` into a request for the API server, and this one does so
only for a verdict that allows. A request that slipped past the policy by a bug arrives upstream with no credential.

Known limit: a client certificate (`Credential.client_certificate`) belongs to the TLS connection, so the gate cannot
withhold it from a single request; only the interlock stands behind the policy then. Prefer tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from pratique.errors import CredentialError, Refused
from pratique.identity.impersonation import ImpersonatedAccount
from pratique.identity.secret import Secret
from pratique.identity.strip import Header, strip_credentials
from pratique.verdict import Verdict

__all__ = ["Credential", "Secret", "attach_credential"]

# The limit of net/http for all request headers is 1 MiB; no token comes near this, a wrong file does.
MAX_TOKEN_CHARACTERS = 65_536


@dataclass(frozen=True, slots=True)
class Credential:
    """As whom a request goes upstream: a bearer token, or the TLS connection's client certificate, or both."""

    token: Secret | None
    client_certificate: bool = False


def attach_credential(
    headers: list[Header], verdict: Verdict, credential: Credential, account: ImpersonatedAccount | None = None
) -> list[Header]:
    """`headers` without any credential of the client's, with exactly one of ours. The argument is not changed.

    `account`: as whom the request is made, instead of as the gateway's own user.

    Raises:
        Refused: (403) the verdict does not allow the request; nothing is attached.
        CredentialError: (503) the credential is empty or cannot be written into a header.
    """
    if verdict.allows is not True:
        raise Refused(
            403,
            "Forbidden",
            "no policy verdict allows this request, so it gets no credential for the cluster",
            rule="gate",
        )
    ours = [] if account is None else account.headers
    stripped = [*strip_credentials(headers), *ours]
    if credential.token is None:
        if not credential.client_certificate:
            raise CredentialError("the credential for the cluster is empty")
        return stripped
    return [*stripped, (b"Authorization", b"Bearer " + _token_bytes(credential.token))]


def _token_bytes(token: Secret) -> bytes:
    """The token as header bytes. A line break in it would be a second header, a blank a second credential."""
    text = token.reveal()
    if not 0 < len(text) <= MAX_TOKEN_CHARACTERS or not text.isascii() or not all("!" <= c <= "~" for c in text):
        raise CredentialError(
            "the token for the cluster is not a bearer token (empty, too long, or with blanks or control characters)",
            "Look at the token's source in the `kind: Cluster` document",
        )
    return text.encode("ascii")
