"""`kind: Client`: who may call the gateway, and how a call proves it.

Belongs here: API keys and their check, what is stored of them, how a client wants to wait. Not here: what a client may
do (`pratique.policy`), the cluster's credentials (`credentials`). Relies on `pratique.documents` for positions.

An API key is `pratique_<client>_<43 characters>` (`pratique.apikeys`).
"""

from __future__ import annotations

import re
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
from pratique.errors import DocumentError, DocumentErrors, Refused

__all__ = ["ApiKey", "Client", "Clients", "NewApiKey", "client_document", "key_hash", "new_api_key"]

PREFIX = "pratique"
MAX_CREDENTIAL_BYTES = 4_096  # of the header's value; refused before it is hashed
DEFAULT_HOLD_SECONDS = 45.0  # under the 60 s idle time-out of an AWS application load balancer
MAX_HOLD_SECONDS = 290.0  # under the 300 s after which undici (JavaScript clients) gives up

type Waits = Literal["auto", "refuse", "retry"]

_KEY = key_pattern(PREFIX)
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +(?P<token>[!-~]+) *")


class _Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    api_keys: tuple[ApiKey, ...]
    waits: Waits = "auto"
    hold_seconds: float = DEFAULT_HOLD_SECONDS
    labels: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Client:
    """An authenticated caller.

    `waits`: what is answered when a hold ends undecided, `refuse` (403, for agents that read), `retry` (429 with
    Retry-After, for client-go) or `auto` (by the kind of client that it says it is). `hold_seconds`: how long a request waits for a reviewer before that; 0 = not at all.
    `labels` are the operator's words, usable in policy conditions; nothing in here comes from the request.
    """

    name: str
    waits: Waits = "auto"
    hold_seconds: float = DEFAULT_HOLD_SECONDS
    labels: Mapping[str, str] = field(default_factory=dict)


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
        client, keys = self._clients.get(match["name"], _NOBODY) if match else _NOBODY
        if not is_one_of(token, keys, now) or client is None:
            raise _unauthorized()
        return client

    def holds(self, client: Client | None, sha256: str, now: float) -> bool:
        """Whether a client that was authenticated with the key of this hash still would be."""
        known, keys = self._clients.get(client.name, _NOBODY) if client is not None else _NOBODY
        return known is not None and any(key.sha256 == sha256 and not is_expired(key, now) for key in keys)


_NOBODY: tuple[Client | None, tuple[ApiKey, ...]] = (None, (ApiKey(NO_KEY),))


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


def presented_hash(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The hash of the API key that the one `Authorization` header carries."""
    return key_hash(_token(headers))


def _token(headers: Sequence[tuple[bytes, bytes]]) -> str:
    values = [value for name, value in headers if name.strip().lower() == b"authorization"]
    return _bearer(values[0]) if len(values) == 1 else ""


def _bearer(value: bytes) -> str:
    match = _BEARER.fullmatch(value) if len(value) <= MAX_CREDENTIAL_BYTES else None
    return match["token"].decode("ascii") if match else ""


def _unauthorized() -> Refused:
    return Refused(
        401,
        "Unauthorized",
        "no valid credential of a client. "
        "Send exactly one `Authorization: Bearer` header with an API key that the gateway's operator gave out",
        rule="client-credential",
    )


def _errors_of(document: Document, spec: _Spec, owners: dict[str, str]) -> list[DocumentError]:
    errors = key_errors(document, spec.api_keys, owners, "pratique clients add NAME")
    if not 0 <= spec.hold_seconds <= MAX_HOLD_SECONDS:
        message = f"`{spec.hold_seconds:g}` s is no time to hold a request"
        remedy = f"Give 0 (not at all) to {MAX_HOLD_SECONDS:g}"
        errors.append(document.error(("spec", "holdSeconds"), message, remedy))
    return errors
