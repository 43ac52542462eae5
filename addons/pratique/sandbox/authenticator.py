"""Who a bearer token is: the EKS side of authentication, as aws-iam-authenticator does it (pkg/token, 2026-07).

Pure. `presigned_url` holds the checks that need no network; `Authenticator` then asks the STS that it is given, with
its own cluster's name in `x-k8s-aws-id`, so a token that was signed for another cluster fails there.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import SplitResult, unquote, urlsplit

from pratique.sandbox.sigv4 import Request
from pratique.sandbox.sts import Response

PREFIX = "k8s-aws-v1."
MAX_TOKEN = 4096  # bytes, aws-iam-authenticator's maxTokenLenBytes
MAX_AGE = 900  # seconds after X-Amz-Date
CLUSTER_HEADER = "x-k8s-aws-id"
_ALLOWED = {"action", "version", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires",
            "x-amz-security-token", "x-amz-signature", "x-amz-signedheaders"}  # fmt: skip
_DOMAINS = {
    "aws": ("amazonaws.com", "api.aws"),
    "aws-cn": ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    "aws-us-gov": ("amazonaws.com", "api.aws"),
    "aws-eusc": ("amazonaws.eu", "api.amazonwebservices.eu"),
}
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d")


class TokenError(Exception):
    """The token is refused; the message names the check that failed and never holds the token."""

    code = 401


class ThrottledError(TokenError):
    code = 429


@dataclass(frozen=True, slots=True)
class User:
    """`userInfo` of the request, as TokenReview has it."""

    username: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessEntry:
    """An EKS access entry: `username` may hold {{SessionName}}, {{SessionNameRaw}}, {{AccountID}}."""

    role_arn: str
    username: str
    groups: tuple[str, ...]


def partition_of(region: str) -> str:
    for prefix, partition in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("eusc-", "aws-eusc")):
        if region.startswith(prefix):
            return partition
    return "aws"


def presigned_url(token: str, region: str, now: float) -> SplitResult:
    """Checks 1 to 13; the URL to ask. Raises TokenError."""
    if len(token.encode()) > MAX_TOKEN:
        raise TokenError("token is too large")
    if not token.startswith(PREFIX):
        raise TokenError("token is missing expected `k8s-aws-v1.` prefix")
    encoded = token.removeprefix(PREFIX)
    if not re.fullmatch(r"[A-Za-z0-9_-]*", encoded):
        raise TokenError("token is not unpadded base64url")
    try:
        url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    except (binascii.Error, ValueError) as error:
        raise TokenError("token does not hold a URL") from error
    if url.scheme != "https":
        raise TokenError("unexpected scheme in pre-signed URL")
    _check_host(url.netloc, region)
    if url.path != "/":
        raise TokenError("unexpected path in pre-signed URL")
    _check_parameters(url.query, now)
    return url


def _check_host(host: str, region: str) -> None:
    partition = partition_of(region)
    if host == "sts.amazonaws.com" and partition == "aws":
        return
    first, _, rest = host.partition(".")
    place, _, domain = rest.partition(".")
    known = place == region or (_REGION.fullmatch(place) and partition_of(place) == partition)
    if first not in {"sts", "sts-fips"} or not known or domain not in _DOMAINS[partition]:
        raise TokenError("unexpected hostname in pre-signed URL")


def _check_parameters(query: str, now: float) -> None:
    if re.search(r"%(?![0-9A-Fa-f]{2})", query):
        raise TokenError("malformed query parameter")
    found: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        name = unquote(name).lower()
        if name in found:
            raise TokenError("input contains a query parameter twice")
        if name not in _ALLOWED:
            raise TokenError("non-whitelisted query parameter")
        found[name] = unquote(value)
    if found.get("action") != "GetCallerIdentity":
        raise TokenError("unexpected action parameter in pre-signed URL")
    if CLUSTER_HEADER not in found.get("x-amz-signedheaders", "").lower().split(";"):
        raise TokenError("client did not sign the x-k8s-aws-id header in the pre-signed URL")
    expires = found.get("x-amz-expires", "")
    if not re.fullmatch(r"\d{1,4}", expires) or int(expires) > MAX_AGE:
        raise TokenError("invalid X-Amz-Expires parameter in pre-signed URL")
    _check_date(found.get("x-amz-date", ""), now)


def _check_date(stamp: str, now: float) -> None:
    try:
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise TokenError("X-Amz-Date parameter must be present in pre-signed URL, as YYYYMMDDTHHMMSSZ") from error
    if at + MAX_AGE < now:
        raise TokenError("X-Amz-Date parameter is expired: older than 15 minutes")


def canonical_arn(arn: str) -> str:
    """`arn:aws:sts::1:assumed-role/R/S` is the role `arn:aws:iam::1:role/R`; other ARNs stay."""
    parts = arn.split(":", 5)
    if len(parts) == 6 and parts[2] == "sts" and parts[5].startswith("assumed-role/"):
        role = parts[5].removeprefix("assumed-role/").rpartition("/")[0]
        return f"arn:{parts[1]}:iam::{parts[4]}:role/{role}"
    return arn


class Authenticator:
    """Accepts tokens of one cluster. `ask` is the STS; `static_token`, when not empty, is accepted too (for tests)."""

    def __init__(self, cluster: str, region: str, entries: list[AccessEntry], ask: Callable[[Request, float], Response],
                 static_token: str = "") -> None:  # fmt: skip
        self.cluster = cluster
        self.region = region
        self.entries = {entry.role_arn: entry for entry in entries}
        self._ask = ask
        self._static = static_token
        self.issued: dict[str, User] = {}
        """Tokens that `serviceaccounts/NAME/token` gave out."""

    def authenticate(self, token: str, now: float) -> User:
        """Raises TokenError; `ThrottledError` when STS throttles."""
        if self._static and hmac.compare_digest(token.encode(), self._static.encode()):
            return User("sandbox-admin", ("system:masters", "system:authenticated"), "sandbox")
        if token in self.issued:
            return self.issued[token]
        url = presigned_url(token, self.region, now)
        headers = {"host": url.netloc, CLUSTER_HEADER: self.cluster, "accept": "application/json"}
        answer = self._ask(Request("GET", url.path, url.query, headers), now)
        if answer.code != 200:
            if b"Throttling" in answer.body:
                raise ThrottledError("sts was throttled")
            raise TokenError(f"error from AWS (expected 200, got {answer.code})")
        return self._user(answer.body, url.query)

    def _user(self, body: bytes, query: str) -> User:
        identity = json.loads(body)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]
        arn, account = identity["Arn"], identity["Account"]
        canonical = canonical_arn(arn)
        entry = self.entries.get(canonical)
        if entry is None:
            raise TokenError(f"{canonical} has no access entry in cluster {self.cluster}")
        principal, _, session = identity["UserId"].partition(":")
        username = entry.username.replace("{{SessionName}}", session.replace("@", "-"))
        username = username.replace("{{SessionNameRaw}}", session).replace("{{AccountID}}", account)
        key = next(
            (unquote(part.partition("=")[2]) for part in query.split("&") if part.startswith("X-Amz-Credential=")), ""
        )
        extra = {
            "accessKeyId": [key.partition("/")[0]],
            "arn": [arn],
            "canonicalArn": [canonical],
            "principalId": [principal],
            "sessionName": [session],
            "sigs.k8s.io/aws-iam-authenticator/principalId": [principal],
        }
        groups = (*entry.groups, "system:authenticated")
        return User(username, groups, f"aws-iam-authenticator:{account}:{principal}", extra)
