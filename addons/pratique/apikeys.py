"""API keys: how they look, what is kept of them, how one is recognised.

Belongs here: what keys of clients and of reviewers have in common. Not here: whose they are (`identity.clients`,
`approvals.reviewers`). Pure; time and randomness are arguments.

A key is `PREFIX_NAME_` and 43 characters, base64url of 32 random bytes. Stored is its SHA-256, a fast hash on purpose:
slow hashes (scrypt, argon2) make guessing a *human's* password dear, and 256 random bits cannot be guessed at any speed;
a slow one would cost tens of milliseconds on every request and be a way to exhaust the gateway.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from pratique.documents import Document
from pratique.errors import DocumentError
from pratique.secret import Secret

KEY_BYTES = 32
SHA256 = re.compile(r"[0-9a-f]{64}")
NO_KEY = "0" * 64
"""A hash that no key has: compared with where there is no owner, so that the time tells nothing."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`sha256`: hex SHA-256 of the whole key; `expires`: RFC 3339 with a zone, from then on it is refused."""

    sha256: str
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key just made: shown once, then only `sha256` is kept."""

    key: Secret
    sha256: str


def key_hash(key: str) -> str:
    """Hex SHA-256 of an API key, as a document keeps it."""
    return hashlib.sha256(key.encode()).hexdigest()


def key_pattern(prefix: str) -> re.Pattern[str]:
    """Matches a whole key of this prefix; group `name` is its owner's. No name has an underscore."""
    return re.compile(rf"{prefix}_(?P<name>[a-z0-9.-]{{1,63}})_[A-Za-z0-9_-]{{43}}")


def new_key(prefix: str, name: str, random_bytes: bytes) -> NewApiKey:
    """A key for `name` from 32 bytes of the operating system's randomness.

    Raises ValueError: another number of bytes, or a name that no document can have.
    """
    if len(random_bytes) != KEY_BYTES:
        raise ValueError(f"an API key is made of {KEY_BYTES} random bytes, not {len(random_bytes)}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"`{name}` is not a DNS-1123 name. Use a-z, 0-9, `-` and `.`, 63 characters at most")
    key = f"{prefix}_{name}_{base64.urlsafe_b64encode(random_bytes).rstrip(b'=').decode()}"
    return NewApiKey(Secret(key), key_hash(key))


def is_one_of(key: str, keys: Sequence[ApiKey], now: float) -> bool:
    """Whether `key` is one of these and has not expired; `now` in seconds since the epoch.

    Every key is compared, and in constant time: the time spent does not tell how near a guess was.
    """
    presented = key_hash(key)
    good = [hmac.compare_digest(each.sha256, presented) and not is_expired(each, now) for each in keys]
    return any(good)


def is_expired(key: ApiKey, now: float) -> bool:
    return key.expires is not None and key.expires.timestamp() <= now


def key_errors(document: Document, keys: Sequence[ApiKey], owners: dict[str, str], command: str) -> list[DocumentError]:
    """What is wrong with `spec.apiKeys`. `owners` maps each hash seen so far to its owner, and is added to.

    `command` makes a new key.
    """
    errors: list[DocumentError] = []
    owner = f"{document.kind.lower()} `{document.name}`"
    for index, key in enumerate(keys):
        path = ("spec", "apiKeys", index)
        if not SHA256.fullmatch(key.sha256):
            remedy = f"Run `{command}` for a new key"
            errors.append(document.error((*path, "sha256"), "not a SHA-256 in lower-case hex", remedy))
        elif (first := owners.setdefault(key.sha256, owner)) != owner:
            errors.append(document.error((*path, "sha256"), f"{first} has the same key", "Give each its own"))
        if key.expires is not None and key.expires.tzinfo is None:
            remedy = "Write it as `2030-01-31T00:00:00Z`"
            errors.append(document.error((*path, "expires"), "the time has no zone", remedy))
    return errors
