from __future__ import annotations

import base64
import time
from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pratique.sandbox.authenticator import (
    AccessEntry,
    Authenticator,
    ThrottledError,
    TokenError,
    canonical_arn,
    partition_of,
    presigned_url,
)
from pratique.sandbox.sts import Role, Sts, User

REGION, CLUSTER = "eu-west-1", "prod"
KEY, SECRET = "AKIDEXAMPLEEXAMPLE00", "secret"
X, Y = "arn:aws:iam::1:user/x", "arn:aws:iam::1:role/path/y"
NOW = datetime.now(UTC).timestamp()
STAMP = datetime.fromtimestamp(NOW, UTC).strftime("%Y%m%dT%H%M%SZ")
GOOD = {
    "Action": "GetCallerIdentity", "Version": "2011-06-15", "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": f"{KEY}%2F20260101%2F{REGION}%2Fsts%2Faws4_request", "X-Amz-Date": STAMP, "X-Amz-Expires": "60",
    "X-Amz-SignedHeaders": "host%3Bx-k8s-aws-id", "X-Amz-Signature": "0" * 64,
}  # fmt: skip


def _token(url: str) -> str:
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def _url(host: str = f"sts.{REGION}.amazonaws.com", scheme: str = "https", path: str = "/", **changed) -> str:
    parameters = {**GOOD, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return f"{scheme}://{host}{path}?" + "&".join(
        f"{name}={value}" for name, value in parameters.items() if value is not None
    )


def _signed(cluster: str = CLUSTER, credentials: Credentials | None = None) -> str:
    url = f"https://sts.{REGION}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15"
    request = AWSRequest("GET", url, {"x-k8s-aws-id": cluster})
    SigV4QueryAuth(credentials or Credentials(KEY, SECRET), "sts", REGION, expires=60).add_auth(request)
    return _token(request.url)


@pytest.mark.parametrize(
    "host",
    [f"sts.{REGION}.amazonaws.com", "sts.us-east-2.amazonaws.com", "sts-fips.us-east-1.amazonaws.com",
     "sts.eu-west-1.api.aws", "sts.amazonaws.com"],
)  # fmt: skip
def test_sts_hosts_of_the_partition_are_accepted(host):
    assert presigned_url(_token(_url(host)), REGION, NOW).netloc == host


@pytest.mark.parametrize(
    ("host", "region"),
    [("sts.cn-north-1.amazonaws.com.cn", REGION), ("sts.us-gov-west-1.amazonaws.com", REGION), ("google.com", REGION),
     ("sts.eu-west-1.website.amazonaws.com", REGION), ("amazonaws.com", REGION), ("sts.eu-west-1.amazonaws.com.evil.com", REGION),
     ("sts.amazonaws.com", "cn-north-1"), ("sts.eu-west-1.amazonaws.com", "us-gov-west-1"), ("127.0.0.1:9999", REGION),
     ("sts.eu-west-1.amazonaws.com:443", REGION), ("user@sts.eu-west-1.amazonaws.com", REGION), ("ec2.eu-west-1.amazonaws.com", REGION)],
)  # fmt: skip
def test_other_hosts_are_refused(host, region):
    with pytest.raises(TokenError, match="hostname"):
        presigned_url(_token(_url(host)), region, NOW)


def test_an_unknown_region_is_accepted_only_as_the_clusters_own():
    host = "sts.mars.amazonaws.com"
    assert presigned_url(_token(_url(host)), "mars", NOW)
    with pytest.raises(TokenError):
        presigned_url(_token(_url(host)), REGION, NOW)


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (_token(_url() + "&x=" + "a" * 4096), "too large"),
        (_token(_url()).replace("v1", "v2"), "prefix"),
        ("", "prefix"),
        ("k8s-aws-v1." + base64.b64encode(_url().encode() + b"??").decode(), "base64url"),
        ("k8s-aws-v1.____", "does not hold"),
        (_token(_url(scheme="http")), "scheme"),
        (_token(_url(path="/x")), "path"),
        (_token(_url() + "&x=%gh"), "malformed"),
        (_token(_url() + "&x-amz-credential=again"), "twice"),
        (_token(_url() + "&X-Amz-Extra=1"), "non-whitelisted"),
        (_token(_url(Action="AssumeRole")), "action"),
        (_token(_url(X_Amz_SignedHeaders="host")), "did not sign"),
        (_token(_url(X_Amz_SignedHeaders="host%3Bx-k8s-aws-id-2")), "did not sign"),
        (_token(_url(X_Amz_Expires="901")), "Expires"),
        (_token(_url(X_Amz_Expires="-1")), "Expires"),
        (_token(_url(X_Amz_Expires="x")), "Expires"),
        (_token(_url(X_Amz_Date=None)), "Date"),
        (_token(_url(X_Amz_Date="2026-01-01")), "Date"),
        (_token(_url(X_Amz_Date="20200101T000000Z")), "expired"),
    ],
)
def test_each_check_refuses_and_never_repeats_the_token(token, why):
    with pytest.raises(TokenError, match=why) as caught:
        presigned_url(token, REGION, NOW)
    assert token not in str(caught.value) or not token


def test_arns_and_partitions():
    assert canonical_arn("arn:aws:sts::1:assumed-role/path/y/session") == "arn:aws:iam::1:role/path/y"
    assert canonical_arn(X) == X
    assert [partition_of(name) for name in ("eu-west-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1")] == [
        "aws", "aws-cn", "aws-us-gov", "aws-eusc"]  # fmt: skip


@pytest.fixture
def sts() -> Sts:
    return Sts(REGION, [User(KEY, SECRET, X, "AIDAX")], [])


def _authenticator(
    sts: Sts, arn: str = X, username: str = "u:{{SessionName}}:{{SessionNameRaw}}:{{AccountID}}", **more
):
    return Authenticator(CLUSTER, REGION, [AccessEntry(arn, username, ("g",))], sts.handle, **more)


def test_a_valid_token_of_this_cluster_is_a_user(sts):
    user = _authenticator(sts, username="me").authenticate(_signed(), time.time())
    assert (user.username, user.groups) == ("me", ("g", "system:authenticated"))
    assert user.uid == "aws-iam-authenticator:1:AIDAX"
    assert user.extra["accessKeyId"] == [KEY]


def test_a_role_session_is_named_in_the_username():
    role = Role("arn:aws:iam::1:role/y", "AROAY", (X,))
    sts = Sts(REGION, [User(KEY, SECRET, X, "AIDAX")], [role])
    session = sts._session(role, "agent@1", time.time() + 900, "", ())
    token = _signed(credentials=Credentials(session.access_key_id, session.secret_access_key, session.token))
    user = _authenticator(sts, role.arn).authenticate(token, time.time())
    assert user.username == "u:agent-1:agent@1:1"
    assert user.extra["sessionName"] == ["agent@1"]
    assert user.extra["canonicalArn"] == [role.arn]


def test_other_clusters_unmapped_roles_and_throttling_are_refused(sts):
    with pytest.raises(TokenError, match="403"):
        _authenticator(sts).authenticate(_signed("other-cluster"), time.time())
    with pytest.raises(TokenError, match="no access entry"):
        _authenticator(sts, arn=Y).authenticate(_signed(), time.time())
    sts.throttled = True
    with pytest.raises(ThrottledError):
        _authenticator(sts).authenticate(_signed(), time.time())


def test_a_static_token_counts_only_where_one_is_set(sts):
    assert _authenticator(sts, static_token="t").authenticate("t", time.time()).username == "sandbox-admin"
    with pytest.raises(TokenError):
        _authenticator(sts).authenticate("", time.time())
    with pytest.raises(TokenError):
        _authenticator(sts, static_token="t").authenticate("tt", time.time())
