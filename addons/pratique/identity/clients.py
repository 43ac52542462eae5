"""`kind: Client`: who may call the gateway, and how a call proves it.

Belongs here: API keys and their check, what is stored of them, how a client wants to wait. Not here: what a client may
do (`pratique.policy`), the cluster's credentials (`credentials`). Relies on `pratique.documents` for positions.

An API key is `pratique_<client>_<43 characters>`, base64url of 32 random bytes. Stored is its SHA-256, a fast hash on
purpose: slow hashes (scrypt, argon2) make guessing a *human's* password dear, and 256 random bits cannot be guessed at
any speed; a slow one would cost tens of milliseconds on every request and be a way to exhaust the gateway.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import msgspec

from pratique.documents import Document
from pratique.errors import DocumentError, DocumentErrors, Refused
from pratique.identity.secret import Secret

KEY_BYTES = 32
MAX_CREDENTIAL_BYTES = 4_096  # of the header's value; refused before it is hashed
DEFAULT_HOLD_SECONDS = 45.0  # under the 60 s idle time-out of an AWS application load balancer
MAX_HOLD_SECONDS = 290.0  # under the 300 s after which undici (JavaScript clients) gives up

_KEY = re.compile(r"pratique_(?P<client>[a-z0-9.-]{1,63})_[A-Za-z0-9_-]{43}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +(?P<token>[!-~]+) *")


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`sha256`: hex SHA-256 of the whole key; `expires`: RFC 3339 with a zone, from then on it is refused."""

    sha256: str
    expires: datetime | None = None


class _Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    api_keys: tuple[ApiKey, ...]
    waits: Literal["refuse", "retry"] = "refuse"
    hold_seconds: float = DEFAULT_HOLD_SECONDS
    labels: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Client:
    """An authenticated caller.

    `waits`: what is answered when a hold ends undecided, `refuse` (403, for agents that read) or `retry` (429 with
    Retry-After, for client-go). `hold_seconds`: how long a request waits for a reviewer before that; 0 = not at all.
    `labels` are the operator's words, usable in policy conditions; nothing in here comes from the request.
    """

    name: str
    waits: Literal["refuse", "retry"] = "refuse"
    hold_seconds: float = DEFAULT_HOLD_SECONDS
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key just made: shown once, then only `sha256` is kept."""

    key: Secret
    sha256: str


class Clients:
    """The clients of a policy folder. An empty set authenticates nobody."""

    def __init__(self, clients: Iterable[tuple[Client, Sequence[ApiKey]]] = ()) -> None:
        self._clients = {client.name: (client, tuple(keys)) for client, keys in clients}

    @classmethod
    def from_documents(cls, documents: Sequence[Document]) -> Clients:
        """Every `kind: Client`. Raises DocumentErrors: bad fields, a key that two clients share; all errors at once."""
        errors: list[DocumentError] = []
        clients: list[tuple[Client, Sequence[ApiKey]]] = []
        owners: dict[str, str] = {}
        for document in documents:
            if document.kind != "Client":
                continue
            try:
                spec = document.convert(("spec",), _Spec)
            except DocumentErrors as error:
                errors += error.errors
                continue
            errors += _errors_of(document, spec, owners)
            client = Client(document.name, spec.waits, float(spec.hold_seconds), dict(spec.labels))
            clients.append((client, spec.api_keys))
        if errors:
            raise DocumentErrors(errors)
        return cls(clients)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._clients))

    def labels_of(self, name: str) -> Mapping[str, str]:
        """The labels of a client; none for a name that no document has. For explaining: nobody is authenticated."""
        client, _ = self._clients.get(name, _NOBODY)
        return client.labels if client is not None else {}

    def authenticate(self, headers: Sequence[tuple[bytes, bytes]], now: float) -> Client:
        """The client whose API key the one `Authorization: Bearer` header carries. `now`: seconds since the epoch.

        Every kind of failure is the same answer: which part was wrong is not the caller's to know.

        Raises:
            Refused: (401) no, several, malformed, unknown or expired credentials.
        """
        token = _token(headers)
        match = _KEY.fullmatch(token)
        client, keys = self._clients.get(match["client"], _NOBODY) if match else _NOBODY
        presented = key_hash(token)
        # Every key is compared, and in constant time: the time spent does not tell how near a guess was.
        good = [hmac.compare_digest(key.sha256, presented) and not _expired(key, now) for key in keys]
        if client is None or not any(good):
            raise _unauthorized()
        return client

    def holds(self, client: Client | None, sha256: str, now: float) -> bool:
        """Whether a client that was authenticated with the key of this hash still would be."""
        known, keys = self._clients.get(client.name, _NOBODY) if client is not None else _NOBODY
        return known is not None and any(key.sha256 == sha256 and not _expired(key, now) for key in keys)


_NOBODY: tuple[Client | None, tuple[ApiKey, ...]] = (None, (ApiKey("0" * 64),))


def key_hash(key: str) -> str:
    """Hex SHA-256 of an API key, as a Client document keeps it."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_api_key(name: str, random_bytes: bytes) -> NewApiKey:
    """A key for the client `name` from 32 bytes of the operating system's randomness.

    Raises ValueError: another number of bytes, or a name that no Client document can have.
    """
    if len(random_bytes) != KEY_BYTES:
        raise ValueError(f"an API key is made of {KEY_BYTES} random bytes, not {len(random_bytes)}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"`{name}` is not a DNS-1123 name. Use a-z, 0-9, `-` and `.`, 63 characters at most")
    key = f"pratique_{name}_{base64.urlsafe_b64encode(random_bytes).rstrip(b'=').decode()}"
    return NewApiKey(Secret(key), key_hash(key))


def client_document(name: str, sha256: str, waits: str = "refuse", expires: datetime | None = None) -> str:
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


def presented_hash(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The hash of the API key that the one `Authorization` header carries."""
    return key_hash(_token(headers))


def _token(headers: Sequence[tuple[bytes, bytes]]) -> str:
    values = [value for name, value in headers if name.strip().lower() == b"authorization"]
    return _bearer(values[0]) if len(values) == 1 else ""


def _bearer(value: bytes) -> str:
    match = _BEARER.fullmatch(value) if len(value) <= MAX_CREDENTIAL_BYTES else None
    return match["token"].decode("ascii") if match else ""


def _expired(key: ApiKey, now: float) -> bool:
    return key.expires is not None and key.expires.timestamp() <= now


def _unauthorized() -> Refused:
    return Refused(
        401,
        "Unauthorized",
        "no valid credential of a client. "
        "Send exactly one `Authorization: Bearer` header with an API key that the gateway's operator gave out",
        rule="client-credential",
    )


def _errors_of(document: Document, spec: _Spec, owners: dict[str, str]) -> list[DocumentError]:
    """`owners` maps each hash seen so far to its client, and is added to."""
    errors: list[DocumentError] = []
    for index, key in enumerate(spec.api_keys):
        path = ("spec", "apiKeys", index)
        if not _SHA256.fullmatch(key.sha256):
            remedy = "Run `pratique clients add NAME` for a new key"
            errors.append(document.error((*path, "sha256"), "not a SHA-256 in lower-case hex", remedy))
        elif (owner := owners.setdefault(key.sha256, document.name)) != document.name:
            message = f"client `{owner}` has the same key"
            errors.append(document.error((*path, "sha256"), message, "Give each client its own"))
        if key.expires is not None and key.expires.tzinfo is None:
            remedy = "Write it as `2030-01-31T00:00:00Z`"
            errors.append(document.error((*path, "expires"), "the time has no zone", remedy))
    if not 0 <= spec.hold_seconds <= MAX_HOLD_SECONDS:
        message = f"`{spec.hold_seconds:g}` s is no time to hold a request"
        remedy = f"Give 0 (not at all) to {MAX_HOLD_SECONDS:g}"
        errors.append(document.error(("spec", "holdSeconds"), message, remedy))
    return errors
