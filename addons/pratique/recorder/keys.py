"""I/O: the key that signs checkpoints, Ed25519 (RFC 8032), in the state folder.

Belongs here: making, loading, signing, checking. Not here: what is signed (`chain.to_sign`). The private key never
leaves this module; the public key lies next to it as `recorder-<id>.pub`, and should be kept elsewhere too: a verifier
that trusts the copy on the same disk trusts whoever can write that disk. A lost private key is replaced by a new one;
the old public key stays, so that what it signed can still be checked.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pratique.errors import RecordError

KEYS = "keys"
PRIVATE = "recorder.pem"
PUBLIC = "recorder-{}.pub"

KEY_ID_LENGTH = 16
"""Hex digits of SHA-256 of the raw public key: names a key among a handful, it need not resist collisions."""


class Signer(Protocol):
    """Signs checkpoints. `sign` returns hex; it may raise RecordError."""

    @property
    def key_id(self) -> str: ...

    def sign(self, data: bytes) -> str: ...


def key_id(public: Ed25519PublicKey) -> str:
    """The short name of a public key, as checkpoints carry it."""
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:KEY_ID_LENGTH]


class DiskSigner:
    """The key in `STATE/keys/recorder.pem`."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._id = key_id(private.public_key())

    @property
    def key_id(self) -> str:
        return self._id

    def sign(self, data: bytes) -> str:
        """The signature as hex."""
        return self._private.sign(data).hex()


class Verifier:
    """Public keys by id; callable as `chain.CheckSignature`."""

    def __init__(self, *public: Ed25519PublicKey) -> None:
        self._keys = {key_id(key): key for key in public}

    def __call__(self, key: str, data: bytes, signature: str) -> bool:
        known = self._keys.get(key)
        if known is None:
            return False
        try:
            known.verify(bytes.fromhex(signature), data)
        except (InvalidSignature, ValueError):
            return False
        return True


def _load(path: Path) -> DiskSigner:
    if path.stat().st_mode & 0o077:
        raise RecordError(f"`{path}` can be read by others. Run `chmod 600` on it, and think about who has read it")
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise RecordError(f"`{path}` is not an Ed25519 key. Move it away to have a new one made")
    return DiskSigner(key)


def _create(path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_new(path.with_name(PUBLIC.format(key_id(private.public_key()))), public, 0o644)
    write_new(path, pem, 0o600)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """A file that is whole on the disk or not there."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)


def signer(state: Path) -> DiskSigner:
    """The signer of this state folder; its key is made on first use. RecordError when it cannot be had."""
    path = state / KEYS / PRIVATE
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        return _load(path)
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(f"the signing key `{path}` cannot be used: {error}") from error


def verifier(state: Path, *more: Path) -> Verifier:
    """Checks signatures with `STATE/keys/recorder-*.pub`, or with the PEM files in `more` instead, when given.

    A file in `more` may be the public key of a KMS key: then those keys are good that it delegated to.
    """
    paths = more or tuple(sorted((state / KEYS).glob(PUBLIC.format("*"))))
    if not paths:
        raise RecordError(f"there is no public key in `{state / KEYS}`. Name one to verify with")
    keys: list[Ed25519PublicKey] = []
    for path in paths:
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RecordError(f"the public key `{path}` cannot be read: {error}") from error
        if isinstance(key, Ed25519PublicKey):
            keys.append(key)
        elif isinstance(key, EllipticCurvePublicKey | RSAPublicKey):
            from pratique.recorder.kms import delegated  # noqa: PLC0415 - it needs this module

            keys += delegated(state, key)
        else:
            raise RecordError(f"`{path}` is neither an Ed25519 public key nor one of a KMS key")
    return Verifier(*keys)
