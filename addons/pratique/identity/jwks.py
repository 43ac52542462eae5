"""JSON Web Key Sets (RFC 7517): the public keys that an issuer signs with.

Belongs here: which keys of a set are used, and for which algorithms. Not here: where sets come from (`keyring`), tokens
(`tokens`). Pure.

A key without a `kid`, for another use, of another type, or too weak is left out: a set may hold keys for other things.
Symmetric keys (`oct`) are never read, so no public value can serve as an HMAC key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pratique.errors import Refused
from pratique.kube.body import read_json

MAX_SET_BYTES = 1 << 20
MAX_KEYS = 256  # of one set; large providers publish some ten
MAX_KEY_ID_CHARACTERS = 256
MIN_RSA_BITS = 2_048
MAX_RSA_BITS = 8_192  # verification with a larger one takes milliseconds of everybody's time

RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVES = {"P-256": "ES256", "P-384": "ES384"}

type PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class KeySetError(Exception):
    """Not a key set that can be used. For the operator."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key, and the algorithms that a token may be signed with by it."""

    id: str
    public: PublicKey
    algorithms: frozenset[str]


def read_keys(data: bytes) -> Mapping[str, Key]:
    """The usable keys of a set, by `kid`. Raises KeySetError: not a set, no usable key, one `kid` for two keys."""
    if len(data) > MAX_SET_BYTES:
        raise KeySetError(f"the key set is larger than {MAX_SET_BYTES} bytes")
    try:
        document = read_json(data)
    except Refused:
        raise KeySetError("the key set is not JSON") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise KeySetError(f"the key set has no `keys`, or more than {MAX_KEYS}")
    keys: dict[str, Key] = {}
    for key in filter(None, map(_key, entries)):
        if key.id in keys:
            raise KeySetError("the key set has one `kid` twice")
        keys[key.id] = key
    if not keys:
        raise KeySetError("the key set has no key that can be used (with a `kid`, RSA, P-256, P-384 or Ed25519)")
    return keys


def _key(entry: Any) -> Key | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    if "verify" not in entry.get("key_ops", ["verify"]):
        return None
    kid = entry.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KEY_ID_CHARACTERS:
        return None
    algorithms = _algorithms(entry)
    if "alg" in entry:
        algorithms &= frozenset({entry["alg"]}) if isinstance(entry["alg"], str) else frozenset()
    if not algorithms:
        return None
    public = _public({name: entry[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in entry}, algorithms)
    return None if public is None else Key(kid, public, algorithms)


def _algorithms(entry: dict[str, Any]) -> frozenset[str]:
    kind, curve = entry.get("kty"), entry.get("crv")
    if kind == "RSA":
        return RSA_ALGORITHMS
    if kind == "EC" and isinstance(curve, str) and curve in CURVES:
        return frozenset({CURVES[curve]})
    return frozenset({"EdDSA"}) if kind == "OKP" and curve == "Ed25519" else frozenset()


def _public(entry: dict[str, Any], algorithms: frozenset[str]) -> PublicKey | None:
    try:
        public = jwt.PyJWK(entry, algorithm=min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(public, RSAPublicKey):
        return public if MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS else None
    return public if isinstance(public, EllipticCurvePublicKey | Ed25519PublicKey) else None
