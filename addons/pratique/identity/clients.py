"""`kind: Client`: who may call the gateway, and which credentials are theirs.

Belongs here: the clients of a folder, whose a credential is, how a client wants to wait. Not here: verifying tokens and
certificates (`tokens`, `certificates`), in which order that is done (`authenticating`), what a client may do
(`pratique.policy`), the cluster's credentials (`credentials`). Relies on `pratique.documents` for positions.

An API key is `pratique_<client>_<43 characters>` (`pratique.apikeys`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import msgspec

from pratique.apikeys import (
    NO_KEY,
    ApiKey,
    NewApiKey,
    is_expired,
    is_one_of,
    key_errors,
    key_hash,
    key_pattern,
    new_key,
)
from pratique.documents import Document
from pratique.errors import DocumentError, DocumentErrors
from pratique.identity.clusters import ROLE_ARN
from pratique.identity.impersonation import ImpersonatedAccount
from pratique.identity.issuers import Issuers, issuers_from
from pratique.identity.limits import Limits
from pratique.identity.matching import Certificate, Matcher, Matchers, Oidc, ServiceAccount, matcher_errors
from pratique.identity.proof import Claims, Fact, KeyHash, Kind, NotProvedError, Proof

__all__ = ["ApiKey", "Client", "Clients", "NewApiKey", "client_document", "key_hash", "new_api_key"]

PREFIX = "pratique"
DEFAULT_HOLD_SECONDS = 45.0  # under the 60 s idle time-out of an AWS application load balancer
MAX_HOLD_SECONDS = 290.0  # under the 300 s after which undici (JavaScript clients) gives up

NO_LIMITS = Limits()

type Waits = Literal["auto", "refuse", "retry"]

_KEY = key_pattern(PREFIX)


class Impersonate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`serviceAccount`: `NAMESPACE/NAME`."""

    service_account: str


class _Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    api_keys: tuple[ApiKey, ...] | None = None
    service_account: ServiceAccount | None = None
    oidc: Oidc | None = None
    certificate: Certificate | None = None
    waits: Waits = "auto"
    hold_seconds: float = DEFAULT_HOLD_SECONDS
    labels: dict[str, str] = {}
    limits: Limits = NO_LIMITS
    impersonate: Impersonate | None = None
    role_arn: str = msgspec.field(name="roleARN", default="")


@dataclass(frozen=True, slots=True)
class Client:
    """An authenticated caller.

    `waits`: what is answered when a hold ends undecided, `refuse` (403, for agents that read), `retry` (429 with
    Retry-After, for client-go) or `auto` (by the kind of client that it says it is). `hold_seconds`: how long a request waits for a reviewer before that; 0 = not at all.
    `labels` are the operator's words, usable in policy conditions; nothing in here comes from the request. `impersonate`:
    as whom its requests are made; None: as the gateway's own user. `role_arn`: the Role Y of its own; empty: the Cluster's.
    """

    name: str
    waits: Waits = "auto"
    hold_seconds: float = DEFAULT_HOLD_SECONDS
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = NO_LIMITS
    impersonate: ImpersonatedAccount | None = None
    role_arn: str = ""

    @property
    def pending_approvals(self) -> int | None:
        """How many questions of the client may wait for reviewers; None: as many as anybody's."""
        return self.limits.pending_approvals


@dataclass(frozen=True, slots=True)
class Registered:
    """A client with the credentials that are theirs."""

    client: Client | None
    keys: tuple[ApiKey, ...] = ()
    matchers: Matchers = field(default_factory=Matchers)


class Clients:
    """The clients of a policy folder, and who vouches for them. An empty set authenticates nobody."""

    def __init__(self, clients: Iterable[Registered] = (), issuers: Issuers | None = None) -> None:
        self._clients = {each.client.name: each for each in clients if each.client is not None}
        self.issuers = issuers if issuers is not None else Issuers()

    @classmethod
    def from_documents(cls, documents: Sequence[Document]) -> Clients:
        """Every `kind: Client` and `kind: Issuer`.

        Raises DocumentErrors: bad fields, a credential that two clients share; all errors at once.
        """
        errors: list[DocumentError] = []
        issuers: Issuers | None = None
        try:
            issuers = issuers_from(documents)
        except DocumentErrors as error:
            errors += error.errors
        clients: list[Registered] = []
        owners = _Owners()
        for document in documents:
            if document.kind != "Client":
                continue
            try:
                spec = document.convert(("spec",), _Spec)
            except DocumentErrors as error:
                errors += error.errors
                continue
            matchers = Matchers(spec.service_account, spec.oidc, spec.certificate)
            errors += _errors_of(document, spec, matchers, issuers, owners)
            account = ImpersonatedAccount.parse(spec.impersonate.service_account) if spec.impersonate else None
            hold, labels = float(spec.hold_seconds), dict(spec.labels)
            client = Client(document.name, spec.waits, hold, labels, spec.limits, account, spec.role_arn)
            clients.append(Registered(client, spec.api_keys or (), matchers))
        if errors or issuers is None:
            raise DocumentErrors(errors)
        return cls(clients, issuers.only({matcher.issuer for _, matcher in owners.matchers}))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._clients))

    def kinds_of(self, name: str) -> tuple[Kind, ...]:
        """The kinds of credentials that a client has, for showing."""
        found = self._clients.get(name, _NOBODY)
        keys: tuple[Kind, ...] = ("apiKey",) if found.keys else ()
        return keys + tuple(kind for kind, _ in found.matchers.kinds())

    @property
    def roles(self) -> tuple[tuple[str, str], ...]:
        """Name and role ARN of each client that has a role of its own."""
        clients = (each.client for _, each in sorted(self._clients.items()))
        return tuple((client.name, client.role_arn) for client in clients if client is not None and client.role_arn)

    def labels_of(self, name: str) -> Mapping[str, str]:
        """The labels of a client; none for a name that no document has. For explaining: nobody is authenticated."""
        client = self._clients.get(name, _NOBODY).client
        return client.labels if client is not None else {}

    def of_key(self, key: str, now: float) -> tuple[Client, Proof]:
        """Whose API key this is. `now`: seconds since the epoch. Raises NotProvedError: unknown or expired."""
        match = _KEY.fullmatch(key)
        found = self._clients.get(match["name"], _NOBODY) if match else _NOBODY
        if not is_one_of(key, found.keys or _NOBODY.keys, now) or found.client is None:
            raise NotProvedError("the API key is not that of a client, or has expired")
        digest = key_hash(key)
        return found.client, Proof("apiKey", digest[:KEY_ID_DIGITS], KeyHash(digest))

    def of_fact(self, fact: Fact) -> tuple[Client, Kind]:
        """Whose token or certificate this is. Raises NotProvedError: nobody's, or more than one client's."""
        found = [
            (each.client, kind)
            for each in self._clients.values()
            if each.client is not None and (kind := each.matchers.means(fact))
        ]
        if len(found) > 1:
            names = ", ".join(f"`{client.name}`" for client, _ in found)
            raise NotProvedError(f"the credential is that of several clients ({names}): make their documents differ")
        if not found:
            raise NotProvedError("the credential is valid, but no Client document means it")
        return found[0]

    def holds(self, client: Client | None, proof: Proof | None, now: float) -> bool:
        """Whether a client that was authenticated by this proof still would be, by the documents of today."""
        if client is None or proof is None or (proof.expires is not None and now >= proof.expires):
            return False
        known = self._clients.get(client.name, _NOBODY).client
        if known is None or (known.impersonate, known.role_arn) != (client.impersonate, client.role_arn):
            return False
        if isinstance(proof.fact, KeyHash):
            keys = self._clients.get(client.name, _NOBODY).keys
            return any(key.sha256 == proof.fact.sha256 and not is_expired(key, now) for key in keys)
        if isinstance(proof.fact, Claims) and not self._still_vouched(proof.fact):
            return False
        try:
            owner, kind = self.of_fact(proof.fact)
        except NotProvedError:
            return False
        return (owner.name, kind) == (client.name, proof.kind)

    def _still_vouched(self, claims: Claims) -> bool:
        """Whether the issuer's document would still accept the token: the same issuer, audience and algorithm."""
        issuer = self.issuers.tokens.get(claims.issuer)
        if issuer is None or issuer.url != claims.claims.get("iss"):
            return False
        return bool(issuer.audiences & claims.audiences) and claims.algorithm in issuer.algorithms


KEY_ID_DIGITS = 16
"""Of a key's hash, in recordings: enough to find the key in its document."""
_NOBODY = Registered(None, (ApiKey(NO_KEY),))


def new_api_key(name: str, random_bytes: bytes) -> NewApiKey:
    """A key for the client `name`; see `apikeys.new_key`. Raises ValueError."""
    return new_key(PREFIX, name, random_bytes)


def client_document(name: str, sha256: str, waits: str = "auto", expires: datetime | None = None) -> str:
    """The text of a Client document. Hash and time are quoted: YAML reads `12345e67` as a number."""
    lines = [
        "apiVersion: pratique/v1",
        "kind: Client",
        "metadata:",
        f"  name: {_quoted(name)}",
        "spec:",
        f"  waits: {_quoted(waits)}",
        "  apiKeys:",
        f"  - sha256: {_quoted(sha256)}",
    ]
    if expires is not None:
        lines.append(f"    expires: {_quoted(expires.astimezone(UTC).isoformat(timespec='seconds'))}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()  # a JSON string is a YAML 1.2 double-quoted scalar


class _Owners:
    """Whose each credential is, of the clients that have been read."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.matchers: list[tuple[str, Matcher]] = []


def _errors_of(
    document: Document, spec: _Spec, matchers: Matchers, issuers: Issuers | None, owners: _Owners
) -> list[DocumentError]:
    errors = key_errors(document, spec.api_keys or (), owners.keys, "pratique clients add NAME")
    errors += matcher_errors(document, matchers, issuers, owners.matchers)
    if spec.api_keys is None and matchers == Matchers():
        remedy = "Give `apiKeys`, `serviceAccount`, `oidc` or `certificate`"
        errors.append(document.error(("spec",), "the client has no credential", remedy))
    errors += (
        document.error(("spec", "limits", field), message, remedy) for field, message, remedy in spec.limits.problems()
    )
    if spec.impersonate is not None and ImpersonatedAccount.parse(spec.impersonate.service_account) is None:
        message = f"`{spec.impersonate.service_account}` is no ServiceAccount"
        errors.append(
            document.error(("spec", "impersonate", "serviceAccount"), message, "Write it as `NAMESPACE/NAME`")
        )
    if not 0 <= spec.hold_seconds <= MAX_HOLD_SECONDS:
        message = f"`{spec.hold_seconds:g}` s is no time to hold a request"
        remedy = f"Give 0 (not at all) to {MAX_HOLD_SECONDS:g}"
        errors.append(document.error(("spec", "holdSeconds"), message, remedy))
    if spec.role_arn and not ROLE_ARN.fullmatch(spec.role_arn):
        message, remedy = f"`{spec.role_arn}` cannot be roleARN", "Give Role Y as `arn:aws:iam::ACCOUNT:role/NAME`"
        errors.append(document.error(("spec", "roleARN"), message, remedy))
    return errors
