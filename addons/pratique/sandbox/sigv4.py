"""AWS Signature Version 4 as the verifying side sees it (AWS General Reference, "Create a signed AWS API request").

Pure: time is an argument. Takes a request in parts, gives back what was signed; raises SignatureError.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW_SECONDS = 300  # how far a clock may be off: 5 min for STS
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class SignatureError(Exception):
    """`code` is the AWS error code, such as SignatureDoesNotMatch or ExpiredTokenException."""

    def __init__(self, code: str, message: str, http: int = 403) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http = http


@dataclass(frozen=True, slots=True)
class Request:
    """`headers` has lower-case names; `path` and `query` as they came."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Signed:
    """The parts of a signature: everything that is needed to compute it again with the secret key."""

    access_key_id: str
    date: str  # YYYYMMDD
    region: str
    service: str
    stamp: str  # YYYYMMDDTHHMMSSZ
    signed_headers: tuple[str, ...]
    signature: str
    session_token: str
    presigned: bool
    expires: int = 0


def pairs(query: str) -> list[tuple[str, str]]:
    return [
        (unquote(name), unquote(value)) for name, _, value in (part.partition("=") for part in query.split("&") if part)
    ]


def parse(query: str, headers: Mapping[str, str]) -> Signed:
    """`headers` has lower-case names."""
    found = dict(pairs(query))
    if "X-Amz-Signature" in found:
        return _presigned(found)
    authorization = headers.get("authorization", "")
    if not authorization.startswith(ALGORITHM):
        raise SignatureError("MissingAuthenticationToken", "Request is missing Authentication Token")
    fields = dict(part.strip().partition("=")[::2] for part in authorization.removeprefix(ALGORITHM).split(","))
    try:
        key, date, region, service = _scope(fields["Credential"])
        return Signed(key, date, region, service, headers["x-amz-date"], tuple(fields["SignedHeaders"].split(";")),
                      fields["Signature"], headers.get("x-amz-security-token", ""), presigned=False)  # fmt: skip
    except KeyError as error:
        raise SignatureError("IncompleteSignature", f"Authorization header requires {error}", 400) from error


def _presigned(found: dict[str, str]) -> Signed:
    try:
        key, date, region, service = _scope(found["X-Amz-Credential"])
        if found["X-Amz-Algorithm"] != ALGORITHM:
            raise SignatureError("IncompleteSignature", "unsupported AWS algorithm", 400)
        headers = tuple(found["X-Amz-SignedHeaders"].split(";"))
        expires = int(found.get("X-Amz-Expires", "900"))
        return Signed(key, date, region, service, found["X-Amz-Date"], headers, found["X-Amz-Signature"],
                      found.get("X-Amz-Security-Token", ""), presigned=True, expires=expires)  # fmt: skip
    except (KeyError, ValueError) as error:
        raise SignatureError("IncompleteSignature", f"AWS query-string parameters must include {error}", 400) from error


def _scope(credential: str) -> tuple[str, str, str, str]:
    parts = credential.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request":
        raise SignatureError("IncompleteSignature", "Credential must have five slash-separated elements", 400)
    return parts[0], parts[1], parts[2], parts[3]


def canonical_query(query: str, *, presigned: bool) -> str:
    kept = [(name, value) for name, value in pairs(query) if not (presigned and name == "X-Amz-Signature")]
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(kept))


def canonical_request(request: Request, signed: Signed) -> str:
    headers = request.headers
    missing = [name for name in signed.signed_headers if name not in headers]
    if missing:
        raise SignatureError("SignatureDoesNotMatch", f"signed header `{missing[0]}` is not in the request")
    if "host" not in signed.signed_headers:
        raise SignatureError("SignatureDoesNotMatch", "'Host' must be a 'SignedHeader' in the AWS Authorization.")
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in signed.signed_headers)
    digest = EMPTY_SHA256 if signed.presigned else hashlib.sha256(request.body).hexdigest()
    canonical = canonical_query(request.query, presigned=signed.presigned)
    return "\n".join(
        (request.method, quote(request.path, safe="/-_.~"), canonical, lines, ";".join(signed.signed_headers), digest)
    )


def signature(secret: str, canonical: str, signed: Signed) -> str:
    scope = f"{signed.date}/{signed.region}/{signed.service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{signed.stamp}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in (signed.date, signed.region, signed.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def check_time(signed: Signed, now: float) -> None:
    """Not from the future, not older than the skew, or than `X-Amz-Expires` of a presigned URL."""
    try:
        at = datetime.strptime(signed.stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise SignatureError("IncompleteSignature", "Date must be in ISO-8601 'basic format'", 400) from error
    if signed.stamp[:8] != signed.date:
        raise SignatureError("SignatureDoesNotMatch", "Date in Credential scope does not match YYYYMMDD from ISO-8601")
    if at > now + SKEW_SECONDS:
        raise SignatureError(
            "SignatureDoesNotMatch", f"Signature not yet current: {signed.stamp} is still later than now"
        )
    # STS counts 15 min for presigned GetCallerIdentity whatever X-Amz-Expires says (dependencies.md §5).
    life = 900 if signed.presigned else SKEW_SECONDS
    if at + life < now:
        raise SignatureError("SignatureDoesNotMatch", f"Signature expired: {signed.stamp} is now earlier than allowed")
