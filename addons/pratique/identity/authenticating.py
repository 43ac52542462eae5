"""I/O (asyncio): who calls: from what a request presents to a client and its proof.

Belongs here: the order of the steps, the one answer to every failure, what the operator's log says. Not here: each step
(`presenting`, `tokens`, `certificates`, `clients`), fetching keys (`keyring`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from pratique.errors import CredentialError, Refused
from pratique.identity.certificates import Authorities, PeerCertificates
from pratique.identity.certificates import verify as check
from pratique.identity.clients import PREFIX, Client, Clients
from pratique.identity.issuers import CertificateIssuer, TokenIssuer
from pratique.identity.jwks import Key
from pratique.identity.presenting import presented
from pratique.identity.proof import Claims, KeyHash, NotProvedError, Proof
from pratique.identity.tokens import looks_like_token, read_token, verify

logger = logging.getLogger("pratique")

RETRY_SECONDS = 5
"""Of the 503 where a credential cannot be checked: client-go asks ten times more, so for about a minute."""
LOG_SECONDS = 1.0
"""Refused credentials are logged once in this time: whoever guesses must not fill the disk."""


class Keys(Protocol):
    """What is needed of the key ring."""

    async def key(self, issuer: TokenIssuer, key_id: str, now: float) -> Key: ...
    async def authorities(self, issuer: CertificateIssuer, now: float) -> Authorities: ...
    def knows(self, issuer: TokenIssuer | CertificateIssuer, key_id: str, now: float) -> bool: ...


class Authenticator:
    """Asks `clients()` anew for each call: documents are reloaded."""

    def __init__(self, clients: Callable[[], Clients], keys: Keys) -> None:
        self._clients = clients
        self._keys = keys
        self._logged_at = float("-inf")
        self._unlogged = 0

    async def authenticate(
        self, headers: Sequence[tuple[bytes, bytes]], peer: PeerCertificates | None, now: float
    ) -> tuple[Client, Proof]:
        """The client whose credential this is. `now`: seconds since the epoch.

        Every kind of failure is the same answer: which part was wrong is not the caller's to know.

        Raises:
            Refused: (401) no, several, malformed, unknown, expired or wrong credentials; (503) it cannot be checked.
        """
        try:
            return await self._proved(presented(headers, peer), now)
        except NotProvedError as error:
            self._log(str(error), now)
            raise _unauthorized() from None
        except CredentialError as error:
            self._log(str(error), now)
            text = "the credential cannot be checked now: the keys of its issuer are not at hand. Repeat the request"
            raise Refused(503, "ServiceUnavailable", text, rule="identity/issuer", retry_after=RETRY_SECONDS) from None

    def holds(self, client: Client | None, proof: Proof | None, now: float) -> bool:
        """Whether the credential of an open stream would still be accepted."""
        clients = self._clients()
        if proof is None or not clients.holds(client, proof, now):
            return False
        fact, issuers = proof.fact, clients.issuers
        if isinstance(fact, KeyHash):
            return True
        issuer: TokenIssuer | CertificateIssuer | None
        if isinstance(fact, Claims):
            issuer, key = issuers.tokens.get(fact.issuer), fact.key
        else:
            issuer, key = issuers.certificates.get(fact.issuer), fact.root
        return issuer is not None and self._keys.knows(issuer, key, now)

    async def _proved(self, credential: str | PeerCertificates, now: float) -> tuple[Client, Proof]:
        if isinstance(credential, PeerCertificates):
            return await self._by_certificate(credential, now)
        if not credential.startswith(f"{PREFIX}_") and looks_like_token(credential):  # a client's name may have dots
            return await self._by_token(credential, now)
        return self._clients().of_key(credential, now)

    async def _by_token(self, text: str, now: float) -> tuple[Client, Proof]:
        token = read_token(text)
        issuer = self._clients().issuers.of_url(token.issuer)
        if issuer is None:
            raise NotProvedError("the token is of an unknown issuer")
        if token.algorithm not in issuer.algorithms:  # before anybody is asked for keys
            raise NotProvedError("the token's algorithm is not allowed for this issuer")
        key = await self._keys.key(issuer, token.key, now)
        claims, expires, identifier = verify(token, issuer, key, now)
        client, kind = self._clients().of_fact(claims)
        return client, Proof(kind, identifier, claims, expires)

    async def _by_certificate(self, peer: PeerCertificates, now: float) -> tuple[Client, Proof]:
        """By whichever issuer it is of. Raises CredentialError where only one that cannot be asked could vouch for it."""
        found: list[tuple[Client, Proof]] = []
        problems: list[NotProvedError] = []
        missing: CredentialError | None = None
        for issuer in self._clients().issuers.certificates.values():
            try:
                names, expires, identifier = check(peer, issuer.name, await self._keys.authorities(issuer, now), now)
                client, kind = self._clients().of_fact(names)
                found.append((client, Proof(kind, identifier, names, expires)))
            except NotProvedError as error:
                problems.append(error)
            except CredentialError as error:
                missing = error
        if len(found) == 1:
            return found[0]
        if found:
            raise NotProvedError("the certificate is that of several clients: make their documents differ")
        if missing is not None:
            raise missing
        raise problems[-1] if problems else NotProvedError("no Issuer of client certificates is in use")

    def _log(self, reason: str, now: float) -> None:
        if 0 <= now - self._logged_at < LOG_SECONDS:
            self._unlogged += 1
            return
        more = f" ({self._unlogged} more were not logged)" if self._unlogged else ""
        logger.warning("a credential was refused: %s%s", reason, more)
        self._logged_at, self._unlogged = now, 0


def _unauthorized() -> Refused:
    return Refused(
        401,
        "Unauthorized",
        "no valid credential of a client. Send exactly one: an API key that the gateway's operator gave out, or a token or"
        " client certificate of an issuer that the gateway knows",
        rule="client-credential",
    )
