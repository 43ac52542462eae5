"""I/O (asyncio): who calls: from what a request presents to a client and its proof.

Belongs here: the order of the steps, the one answer to every failure, what the operator's log says. Not here: each step
(`presenting`, `tokens`, `certificates`, `clients`), fetching keys (`keyring`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from pratique.errors import CredentialError, Refused
from pratique.identity.clients import PREFIX, Client, Clients
from pratique.identity.issuers import TokenIssuer
from pratique.identity.jwks import Key
from pratique.identity.presenting import PeerCertificates, presented
from pratique.identity.proof import Claims, NotProvedError, Proof
from pratique.identity.tokens import looks_like_token, read_token, verify

logger = logging.getLogger("pratique")

RETRY_SECONDS = 5
"""Of the 503 where a credential cannot be checked: client-go asks ten times more, so for about a minute."""
LOG_SECONDS = 1.0
"""Refused credentials are logged once in this time: whoever guesses must not fill the disk."""


class Keys(Protocol):
    """What is needed of the key ring."""

    async def key(self, issuer: TokenIssuer, key_id: str, now: float) -> Key: ...
    def knows(self, issuer: TokenIssuer, key_id: str, now: float) -> bool: ...


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
        if not isinstance(proof.fact, Claims):
            return True
        issuer = clients.issuers.tokens.get(proof.fact.issuer)
        return issuer is not None and self._keys.knows(issuer, proof.fact.key, now)

    async def _proved(self, credential: str | PeerCertificates, now: float) -> tuple[Client, Proof]:
        if isinstance(credential, PeerCertificates):
            raise NotProvedError("client certificates are not accepted")
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
