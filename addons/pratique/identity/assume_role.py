"""Role X → Role Y: what is asked of STS, what comes back, and what each failure means.

Belongs here: the parameters of AssumeRole, session names, the credentials in the answer, every AWS error and its
remedy. Not here: calling AWS (`eks_source`). Relies on nothing of boto3: errors come in as names and codes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pratique.errors import CredentialError
from pratique.identity.clusters import EksSource
from pratique.identity.eks_token import AwsCredentials
from pratique.identity.secret import Secret

# sts:AssumeRole: 2 to 64 of these. botocore checks the least length only.
MAX_SESSION_NAME_CHARACTERS = 64
_MARK_CHARACTERS = 8
_NOT_IN_SESSION_NAME = re.compile(r"[^A-Za-z0-9_+=,.-]+")  # STS takes `@` too, but EKS turns it into `-` in user names

# GetCallerIdentity needs no permission and cannot be denied; EKS, not IAM, authorises Kubernetes calls. So the session
# needs nothing else, and stolen session credentials open nothing else in AWS.
DENY_ALL = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}, separators=(",", ":")
)


def role_session_name(*parts: str) -> str:
    """`parts` joined by `-` as STS takes it: other characters become `-`, 2 to 64 characters.

    What is longer ends in eight hexadecimal digits of the whole, so that two clients do not become one.
    """
    joined = "-".join(part for part in parts if part)
    name = _NOT_IN_SESSION_NAME.sub("-", joined).strip("-")
    if len(name) > MAX_SESSION_NAME_CHARACTERS:
        mark = hashlib.sha256(joined.encode(errors="surrogatepass")).hexdigest()[:_MARK_CHARACTERS]
        name = f"{name[: MAX_SESSION_NAME_CHARACTERS - _MARK_CHARACTERS - 1]}-{mark}"
    return name if len(name) > 1 else f"pratique-{name}".rstrip("-")


def assume_role_request(eks: EksSource, session_name: str) -> dict[str, Any]:
    """The parameters of `sts:AssumeRole`."""
    request: dict[str, Any] = {
        "RoleArn": eks.role_arn,
        "RoleSessionName": session_name,
        "DurationSeconds": eks.duration_seconds,
    }
    policy = DENY_ALL if eks.session_policy is None else json.dumps(eks.session_policy, separators=(",", ":"))
    if policy != "{}":
        request["Policy"] = policy
    if eks.session_tags:
        request["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(eks.session_tags.items())]
    if eks.source_identity is not None:
        request["SourceIdentity"] = eks.source_identity
    return request


def credentials_from(response: Mapping[str, Any]) -> AwsCredentials:
    """Role Y's credentials in the answer of AssumeRole (botocore's shape). Raises CredentialError: no such answer."""
    given = response.get("Credentials") or {}
    key, secret, token, expiration = (
        given.get(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    )
    if not (key and secret and token and isinstance(expiration, datetime) and expiration.tzinfo is not None):
        raise CredentialError("the answer of sts:AssumeRole holds no credentials")
    return AwsCredentials(str(key), Secret(secret), Secret(token), expiration.timestamp())


def assume_role_error(name: str, code: str, operation: str, message: str, role_arn: str) -> CredentialError:
    """The CredentialError for a failure of boto3 to assume a role. The arguments: see `aws_failure`."""
    what, remedy = aws_failure(name, code, operation, message)
    return CredentialError(f"{what} (assuming `{role_arn}`)", remedy)


def aws_failure(name: str, code: str, operation: str, message: str) -> tuple[str, str]:
    """What a failure of boto3 means, and the remedy.

    `name` is the exception's class, `code` and `operation` are those of a ClientError (else empty), `message` its text:
    searched but never shown, because AWS puts the signed request, session token included, into some of them.
    """
    if operation == "AssumeRoleWithWebIdentity":
        return _WEB_IDENTITY.get(code, _WEB_IDENTITY[""])
    if code == "AccessDenied":
        return _denied(message)
    if code == "ValidationError" and "duration" in message.lower():
        return _DURATION
    return _CODES.get(code) or _EXCEPTIONS.get(name) or _unknown(code or name)


def _denied(message: str) -> tuple[str, str]:
    for action, remedy in _DENIED.items():
        if action in message:
            return f"AWS denies {action}", remedy
    return "AWS denies sts:AssumeRole", _DENIED["sts:AssumeRole"]


def _unknown(code: str) -> tuple[str, str]:
    shown = re.sub(r"[^A-Za-z0-9.]", "", code)[:64]
    return f"AWS answered `{shown}`", "Try `aws sts assume-role` with the gateway's own role"


_CHECK_TRUST = (
    "Let the role's trust policy name the gateway's role, and the gateway's role policy allow sts:AssumeRole on it"
)
# Most specific first: a message names one action, and `sts:AssumeRole` is part of longer names.
_DENIED = {
    "sts:TagSession": "Add sts:TagSession to the role's trust policy (EKS Pod Identity sends session tags on)",
    "sts:SetSourceIdentity": "Add sts:SetSourceIdentity to the role's trust policy, or remove `sourceIdentity`",
    "sts:AssumeRole": _CHECK_TRUST,
}
_DURATION = (
    "the role's sessions may not last as long as `durationSeconds` says",
    "Set 3600 or less (the limit for a role assumed by a role), or raise the role's maximum session duration",
)
_SOURCE = "Look at the gateway's own credentials: IRSA, EKS Pod Identity, instance profile, profile or environment"
_CLOCK = ("AWS refuses the request's time", "Set the clock of this machine (NTP)")
_EXPIRED = ("the gateway's own AWS credentials have expired", _SOURCE)
_BUSY = ("AWS STS is throttling or down", "Nothing; the gateway tries again by itself")
_CODES: dict[str, tuple[str, str]] = {
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "InvalidClientTokenId": ("AWS does not know the gateway's own access key", _SOURCE),
    "UnrecognizedClientException": ("AWS does not know the gateway's own access key", _SOURCE),
    "SignatureDoesNotMatch": ("AWS refuses the gateway's signature", f"{_SOURCE}; and the clock of this machine"),
    "RequestExpired": _CLOCK,
    "RequestTimeTooSkewed": _CLOCK,
    "RegionDisabledException": ("STS is not activated in the region", "Activate it in the account's IAM settings"),
    "MalformedPolicyDocument": ("AWS refuses the session policy", "Report this: the gateway writes it"),
    "PackedPolicyTooLarge": ("session policy and tags are too large together", "Use fewer or shorter session tags"),
    "ValidationError": ("AWS refuses a parameter of AssumeRole", "Check `roleARN`, `sourceIdentity`"),
    "NoSuchEntity": ("the role does not exist", "Check `roleARN`"),
    "Throttling": _BUSY,
    "ThrottlingException": _BUSY,
    "RequestLimitExceeded": _BUSY,
    "ServiceUnavailable": _BUSY,
    "InternalFailure": _BUSY,
    "InternalError": _BUSY,
    "500": _BUSY,
    "502": _BUSY,
    "503": _BUSY,
}
OF_CREDENTIALS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "MetadataRetrievalError"}
    | {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"}
    | {"SignatureDoesNotMatch", "TokenRetrievalError", "UnauthorizedSSOTokenError"}
)
"""Codes and exceptions that mean the gateway's own credentials: boto3 keeps what it found once, so it must look again."""
_UNREACHABLE = ("AWS STS cannot be reached", "Check network, DNS and VPC endpoint of STS, and `stsEndpoint`")
_EXCEPTIONS: dict[str, tuple[str, str]] = {
    "NoCredentialsError": ("the gateway has no AWS credentials of its own", _SOURCE),
    "PartialCredentialsError": ("the gateway's own AWS credentials are incomplete", _SOURCE),
    "CredentialRetrievalError": ("the gateway's own AWS credentials cannot be had", _SOURCE),
    "MetadataRetrievalError": ("the gateway's own AWS credentials cannot be had", _SOURCE),
    "TokenRetrievalError": ("the gateway's SSO session has ended", "Run `aws sso login`"),
    "SSOTokenLoadError": ("the gateway's SSO session has ended", "Run `aws sso login`"),
    "UnauthorizedSSOTokenError": ("the gateway's SSO session has ended", "Run `aws sso login`"),
    "ProfileNotFound": ("the AWS profile does not exist", "Check AWS_PROFILE"),
    "ConfigParseError": ("the AWS configuration file cannot be read", "Check AWS_CONFIG_FILE"),
    "InvalidConfigError": ("the AWS configuration is not valid", "Check AWS_CONFIG_FILE and the environment"),
    "SSLError": ("the TLS certificate of AWS STS does not verify", "Check AWS_CA_BUNDLE and any proxy on the way"),
    "EndpointConnectionError": _UNREACHABLE,
    "ConnectTimeoutError": _UNREACHABLE,
    "ReadTimeoutError": _UNREACHABLE,
    "ConnectionClosedError": _UNREACHABLE,
    "ProxyConnectionError": _UNREACHABLE,
    "HTTPClientError": _UNREACHABLE,
}
_WEB_IDENTITY_TOKEN = "Check AWS_WEB_IDENTITY_TOKEN_FILE and the pod's projected token"  # noqa: S105 - prose
_WEB_IDENTITY: dict[str, tuple[str, str]] = {
    "": ("AWS refuses the gateway's web identity", _WEB_IDENTITY_TOKEN),
    "AccessDenied": (
        "AWS denies the gateway's own role to its web identity",
        "Let the trust policy of AWS_ROLE_ARN name the cluster's OIDC provider, and this namespace and ServiceAccount",
    ),
    "ExpiredTokenException": ("the gateway's web identity token has expired", _WEB_IDENTITY_TOKEN),
    "InvalidIdentityToken": (
        "AWS does not accept the gateway's web identity token",
        "Check that the cluster's OIDC provider exists in IAM with the audience sts.amazonaws.com",
    ),
    "IDPCommunicationError": ("AWS cannot reach the cluster's OIDC provider", "Nothing; it is tried again"),
}
