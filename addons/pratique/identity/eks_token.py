"""The EKS bearer token: a presigned `sts:GetCallerIdentity`, base64url-encoded.

Belongs here: the token's form, its signature (AWS SigV4, query form), its length and life, which STS host it names. Not
here: having the credentials that sign it (`eks_source`). Relies on nothing; time is an argument.

Sources: aws-iam-authenticator `pkg/token` @ 81b1daba (what is accepted), AWS General Reference "Signature Version 4". A
client of botocore would need 0.19 ms a token and an import of boto3; the 20 lines below are checked against botocore's
signer in the tests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from pratique.errors import CredentialError
from pratique.identity.secret import Secret

PREFIX = "k8s-aws-v1."
MAX_TOKEN_BYTES = 4_096  # the verifier's limit; long session tokens (tags, policies) exceed it from about 2,500 on
ADVERTISED_SECONDS = 60  # X-Amz-Expires; the verifier accepts 0 to 900 and looks at X-Amz-Date alone
# The verifier takes a token for 15 min after X-Amz-Date. One minute less for clocks that differ, as awscli and Go do.
LIFETIME_SECONDS = 14 * 60
# AWS refuses what is signed with expired credentials; clocks differ.
CREDENTIAL_MARGIN_SECONDS = 30

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_SIGNED_HEADERS = "host;x-k8s-aws-id"
# Region prefix → DNS suffix of its partition (botocore `partitions.json`). The longest prefix that fits counts.
_SUFFIXES = {
    "": "amazonaws.com",
    "cn-": "amazonaws.com.cn",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
    "eusc-": "amazonaws.eu",
}


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """Frozen credentials of Role Y. `expires`: seconds since the epoch, None for those that do not expire."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class StsEndpoint:
    """`url` without a trailing slash; `region` is the signing scope (us-east-1 for the global endpoint)."""

    url: str
    region: str

    @property
    def host(self) -> str:
        """As the `Host` header has it."""
        return urlsplit(self.url).netloc


def sts_endpoint(region: str, endpoint: str | None = None) -> StsEndpoint:
    """The STS endpoint that a token for a cluster in `region` names.

    `endpoint` is the one that AssumeRole is sent to, where it is known: it is kept if it is a public STS host of AWS.
    The authenticator calls no other, so that for a VPC endpoint (or the sandbox's) the regional host is named.
    """
    regional = StsEndpoint(f"https://sts.{region}.{_suffix(region)}", region)
    if endpoint is None:
        return regional
    parts = urlsplit(endpoint.rstrip("/"))
    host = parts.hostname or ""
    if host == "sts.amazonaws.com" and _suffix(region) == _SUFFIXES[""] and not region.startswith("us-gov-"):
        return StsEndpoint(f"https://{host}", "us-east-1")
    public = host.startswith(("sts.", "sts-fips.")) and host.endswith(_public_suffixes(region))
    return StsEndpoint(f"https://{host}", region) if public else regional


def _suffix(region: str) -> str:
    return _SUFFIXES[max((prefix for prefix in _SUFFIXES if region.startswith(prefix)), key=len)]


def _public_suffixes(region: str) -> tuple[str, ...]:
    """Regional, FIPS and dual-stack hosts of a region end so."""
    dual_stack = "api.amazonwebservices.com.cn" if region.startswith("cn-") else "api.aws"
    return (f".{region}.{_suffix(region)}", f".{region}.{dual_stack}")


def mint_token(credentials: AwsCredentials, cluster_id: str, endpoint: StsEndpoint, now: float) -> Secret:
    """The token with which `credentials` are Kubernetes users of the cluster. `now`: seconds since the epoch.

    `cluster_id` is the cluster's name (its id for local clusters on Outposts).

    Raises:
        CredentialError: longer than the verifier accepts, or signed by credentials that have expired.
    """
    if credentials.expires is not None and credentials.expires <= now:
        raise CredentialError("the credentials of the cluster's role have expired")
    url = presigned_url(credentials, cluster_id, endpoint, now)
    token = PREFIX + base64.urlsafe_b64encode(url.encode()).rstrip(b"=").decode()
    if len(token) > MAX_TOKEN_BYTES:
        raise CredentialError(
            f"the EKS token has {len(token)} bytes, the cluster accepts {MAX_TOKEN_BYTES}",
            "Use fewer or shorter session tags and session policies: they make AWS's session token longer",
        )
    return Secret(token)


def token_expiry(credentials: AwsCredentials, now: float) -> float:
    """Until when (seconds since the epoch) a token minted at `now` is good."""
    expiry = now + LIFETIME_SECONDS
    return expiry if credentials.expires is None else min(expiry, credentials.expires - CREDENTIAL_MARGIN_SECONDS)


def presigned_url(credentials: AwsCredentials, cluster_id: str, endpoint: StsEndpoint, now: float) -> str:
    """`GET /?Action=GetCallerIdentity`, signed over the headers host and x-k8s-aws-id. As secret as the token."""
    timestamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{timestamp[:8]}/{endpoint.region}/sts/aws4_request"
    query = {
        "Action": "GetCallerIdentity",
        "Version": "2011-06-15",
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": timestamp,
        "X-Amz-Expires": str(ADVERTISED_SECONDS),
        "X-Amz-SignedHeaders": _SIGNED_HEADERS,
    }
    if credentials.session_token is not None:
        query["X-Amz-Security-Token"] = credentials.session_token.reveal()
    # SigV4 orders by name: Security-Token comes before SignedHeaders.
    text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
    headers = f"host:{endpoint.host}\nx-k8s-aws-id:{cluster_id}\n"
    canonical = f"GET\n/\n{text}\n{headers}\n{_SIGNED_HEADERS}\n{_EMPTY_SHA256}"
    to_sign = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(_signing_key(credentials.secret_access_key, scope), to_sign.encode(), hashlib.sha256)
    return f"{endpoint.url}/?{text}&X-Amz-Signature={signature.hexdigest()}"


def _signing_key(secret_access_key: Secret, scope: str) -> bytes:
    key = b"AWS4" + secret_access_key.reveal().encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
