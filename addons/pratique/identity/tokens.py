"""JSON Web Tokens (RFC 7519, with the advice of RFC 8725): what a bearer token says, and whether its issuer said it.

Belongs here: reading a token, its signature (PyJWT), its registered claims. Not here: keys (`jwks`), whose token it is
(`clients`). Pure; `now` in seconds since the epoch.

INVARIANT: the token chooses nothing. Its algorithm must be one of the issuer's document *and* one of the key's; `kid`
only selects among the issuer's own keys; `jku`, `jwk`, `x5u` and `x5c` are not looked at; `crit` and `b64` are refused.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from pratique.errors import Refused
from pratique.identity.issuers import TokenIssuer
from pratique.identity.jwks import MAX_KEY_ID_CHARACTERS, Key
from pratique.identity.proof import Claims, NotProvedError
from pratique.kube.body import read_json

MAX_TOKEN_CHARACTERS = 16_384  # ten times a projected ServiceAccount token; an OIDC token with hundreds of groups
LEEWAY_SECONDS = 60.0  # of `nbf` and `iat`, for clocks that differ; `exp` has none
MAX_ID_CHARACTERS = 128
TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
"""Of a header's `typ`: other kinds of signed JSON of the same issuer (logout tokens, receipts) are no credentials."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_ID = re.compile(r"[!-~]+")
_SIGNATURES = jwt.PyJWS()


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it was read: nothing of it is known to be true."""

    algorithm: str
    key: str
    issuer: str
    claims: Mapping[str, Any] = field(repr=False)
    text: str = field(repr=False)


def looks_like_token(text: str) -> bool:
    """Whether it has the form of a signed token: three parts in base64url."""
    return _TOKEN.fullmatch(text) is not None


def read_token(text: str) -> Token:
    """Raises NotProvedError: no token of this form can be accepted, whoever issued it."""
    if len(text) > MAX_TOKEN_CHARACTERS or not looks_like_token(text):
        raise NotProvedError("the token is too long, or not three parts in base64url")
    header, payload, _ = text.split(".")
    head, claims = _object(header, "header"), _object(payload, "payload")
    if "crit" in head or "b64" in head:
        raise NotProvedError("the token's header has extensions")
    if _text(head.get("typ", ""), 64).lower() not in TYPES:
        raise NotProvedError("the token's `typ` is that of something else")
    algorithm, key = _text(head.get("alg"), 16), _text(head.get("kid"), MAX_KEY_ID_CHARACTERS)
    issuer = _text(claims.get("iss"), 2_048)
    if not algorithm or not key or not issuer:
        raise NotProvedError("the token has no `alg`, `kid` or `iss`")
    return Token(algorithm, key, issuer, claims, text)


def verify(token: Token, issuer: TokenIssuer, key: Key, now: float) -> tuple[Claims, float, str]:
    """What the issuer said, until when (seconds since the epoch), and the id to record.

    Raises NotProvedError: another algorithm or signature, expired or not yet valid, another issuer or audience.
    """
    if token.algorithm not in issuer.algorithms or token.algorithm not in key.algorithms or token.key != key.id:
        raise NotProvedError("the token's algorithm is not allowed for this issuer and key")
    try:
        _SIGNATURES.decode_complete(token.text, key.public, algorithms=[token.algorithm])
    except (jwt.PyJWTError, ValueError, TypeError):
        raise NotProvedError("the token's signature is not that of the issuer's key") from None
    claims = token.claims
    if claims.get("iss") != issuer.url:
        raise NotProvedError("the token is of another issuer")
    audiences = _audiences(claims.get("aud"))
    if not audiences & issuer.audiences:
        raise NotProvedError("the token is for another audience")
    expires = _within(claims, now)
    subject = _text(claims.get("sub"), 1_024)
    if not subject:
        raise NotProvedError("the token has no `sub`")
    return Claims(issuer.name, subject, claims, audiences, token.algorithm, key.id), expires, _id(token)


def _object(part: str, what: str) -> dict[str, Any]:
    try:
        value = read_json(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (Refused, ValueError):
        raise NotProvedError(f"the token's {what} is not JSON") from None
    if not isinstance(value, dict):
        raise NotProvedError(f"the token's {what} is no object")
    return value


def _text(value: Any, longest: int) -> str:
    return value if isinstance(value, str) and len(value) <= longest else ""


def _audiences(value: Any) -> frozenset[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise NotProvedError("the token's `aud` is no string and no list of strings")
    return frozenset(values)


def _within(claims: Mapping[str, Any], now: float) -> float:
    """`exp`, if `now` is before it and not before `nbf` and `iat`."""
    expires = _time(claims, "exp")
    if expires is None:
        raise NotProvedError("the token has no `exp`")
    if now >= expires:
        raise NotProvedError("the token has expired")
    for name in ("nbf", "iat"):
        begin = _time(claims, name)
        if begin is not None and now + LEEWAY_SECONDS < begin:
            raise NotProvedError(f"the token is not valid yet (`{name}`)")
    return expires


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 53:
        raise NotProvedError(f"the token's `{name}` is no time")
    return float(value) if math.isfinite(value) else None


def _id(token: Token) -> str:
    """`jti`; where there is none that can be shown, the first half of the token's SHA-256."""
    identifier = _text(token.claims.get("jti"), MAX_ID_CHARACTERS)
    if _ID.fullmatch(identifier):
        return identifier
    return "sha256:" + hashlib.sha256(token.text.encode()).hexdigest()[:32]
