"""What proved a client: the kind of credential, what names it in a record, and what is looked at again.

Belongs here: the values. Not here: how a credential is verified (`apikeys`, `tokens`, `certificates`), whose it is
(`clients`). Pure. Nothing in here is a secret: of a key its hash, of a token its claims, of a certificate its names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

type Kind = Literal["apiKey", "serviceAccount", "oidc", "certificate"]


@dataclass(frozen=True, slots=True)
class KeyHash:
    """Hex SHA-256 of an API key, as the Client document keeps it."""

    sha256: str


@dataclass(frozen=True, slots=True)
class Claims:
    """Of a token that was verified for the Issuer document `issuer`. `key` is the id of the key that signed it."""

    issuer: str
    subject: str
    claims: Mapping[str, Any]
    audiences: frozenset[str]
    algorithm: str
    key: str


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """Of a certificate that was verified for the Issuer document `issuer`. `root`: hex SHA-256 of the CA it ends in."""

    issuer: str
    root: str = ""
    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    common_names: tuple[str, ...] = ()


type Fact = KeyHash | Claims | CertificateNames


@dataclass(frozen=True, slots=True)
class Proof:
    """A credential that was accepted.

    `id` stands in recordings: the first 16 hex digits of the key's hash, the token's `jti`, the certificate's serial and
    thumbprint. `expires`: seconds since the epoch; an API key's expiry stands in its document.
    """

    kind: Kind
    id: str
    fact: Fact
    expires: float | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


class NotProvedError(Exception):
    """A credential that proves nobody. The message is for the operator's log; the client is told the same in any case."""
