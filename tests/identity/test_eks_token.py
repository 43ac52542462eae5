"""The EKS token is what AWS's own tools mint, and what the authenticator accepts."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import pytest

from pratique.errors import CredentialError
from pratique.identity.clusters import EksSource
from pratique.identity.eks_source import sts_client
from pratique.identity.eks_token import (
    LIFETIME_SECONDS,
    MAX_TOKEN_BYTES,
    PREFIX,
    AwsCredentials,
    mint_token,
    presigned_url,
    sts_endpoint,
    token_expiry,
)
from pratique.identity.secret import Secret
from pratique.sandbox import authenticator as verifier
from pratique.sandbox.authenticator import AccessEntry, Authenticator, TokenError
from pratique.sandbox.sts import Role, Sts, User

# AWS's documentation example key pair.
EXAMPLE = AwsCredentials("AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
SESSION = AwsCredentials("ASIAEXAMPLE", Secret("s3cret/+="), Secret("tok/en+with=signs"), 1_767_326_645.0 + 3600)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
IRELAND = sts_endpoint("eu-west-1")


def decoded(token):
    text = token.reveal().removeprefix(PREFIX)
    assert "=" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


def test_the_golden_vector():
    url = presigned_url(EXAMPLE, "prod", IRELAND, NOW)
    assert url.endswith("&X-Amz-Signature=f471be7046d4cdd941ce35b8b1d925578218cf76963fbb7035652fa13c757ce2")
    assert decoded(mint_token(EXAMPLE, "prod", IRELAND, NOW)) == url


@pytest.mark.parametrize("credentials", [EXAMPLE, SESSION], ids=["key", "session"])
@pytest.mark.parametrize("region", ["eu-west-1", "cn-north-1"])
def test_the_signature_is_botocores(credentials, region, monkeypatch):
    from botocore import auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    endpoint = sts_endpoint(region)
    fixed = datetime.fromtimestamp(NOW, UTC).replace(tzinfo=None)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: fixed)
    session = None if credentials.session_token is None else credentials.session_token.reveal()
    keys = Credentials(credentials.access_key_id, credentials.secret_access_key.reveal(), session)
    url = f"{endpoint.url}/?Action=GetCallerIdentity&Version=2011-06-15"
    request = AWSRequest("GET", url, headers={"x-k8s-aws-id": "prod"})
    auth.SigV4QueryAuth(keys, "sts", region, expires=60).add_auth(request)
    ours = dict(parse_qsl(urlsplit(presigned_url(credentials, "prod", endpoint, NOW)).query))
    assert ours == dict(parse_qsl(urlsplit(request.url).query))


ROLE = Role("arn:aws:iam::123456789012:role/RoleY", "AROAEXAMPLE", ("arn:aws:iam::123456789012:user/x",))


def authenticator(cluster="prod"):
    user = User(EXAMPLE.access_key_id, EXAMPLE.secret_access_key.reveal(), "arn:aws:iam::123456789012:user/x", "AIDAX")
    sts = Sts("eu-west-1", [user], [ROLE])
    entries = [AccessEntry("arn:aws:iam::123456789012:user/x", "someone", ("g",))]
    return Authenticator(cluster, "eu-west-1", entries, sts.handle)


def test_an_authenticator_accepts_it_for_its_cluster_only():
    token = mint_token(EXAMPLE, "prod", IRELAND, NOW).reveal()
    assert authenticator().authenticate(token, NOW + 60).username == "someone"
    with pytest.raises(TokenError):
        authenticator("staging").authenticate(token, NOW)
    with pytest.raises(TokenError):
        authenticator().authenticate(token[:-2] + "AA", NOW)


def test_it_is_accepted_for_as_long_as_it_says():
    token = mint_token(EXAMPLE, "prod", IRELAND, NOW).reveal()
    assert authenticator().authenticate(token, NOW + LIFETIME_SECONDS)
    with pytest.raises(TokenError):
        authenticator().authenticate(token, NOW + LIFETIME_SECONDS + 61)


def test_it_is_good_no_longer_than_what_signed_it():
    assert token_expiry(EXAMPLE, NOW) == NOW + 14 * 60
    short = AwsCredentials("A", Secret("s"), Secret("t"), NOW + 300)
    assert token_expiry(short, NOW) == NOW + 270


def test_expired_credentials_sign_nothing():
    with pytest.raises(CredentialError, match="expired"):
        mint_token(AwsCredentials("A", Secret("s"), Secret("t"), NOW), "prod", IRELAND, NOW)


def test_a_token_that_the_cluster_would_not_read_is_not_minted():
    def mint(length):
        return mint_token(AwsCredentials("ASIA", Secret("s"), Secret("+" * length)), "prod", IRELAND, NOW).reveal()

    length = next(n for n in range(500, 1200) if len_of(n) > MAX_TOKEN_BYTES)
    assert len(mint(length - 1)) <= MAX_TOKEN_BYTES
    with pytest.raises(CredentialError, match=r"accepts 4096. Use fewer or shorter session tags"):
        mint(length)


def len_of(length):
    url = presigned_url(AwsCredentials("ASIA", Secret("s"), Secret("+" * length)), "prod", IRELAND, NOW)
    return len(PREFIX) + -(-len(url) * 4 // 3)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "sts.eu-west-1.amazonaws.com"),
        ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", "sts.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", "sts.us-isob-east-1.sc2s.sgov.gov"),
        ("eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_the_regional_host_of_the_partition(region, host):
    endpoint = sts_endpoint(region)
    assert (endpoint.host, endpoint.region) == (host, region)


@pytest.mark.parametrize(
    ("given", "host", "scope"),
    [
        ("https://sts.amazonaws.com", "sts.amazonaws.com", "us-east-1"),
        ("https://sts-fips.eu-west-1.amazonaws.com/", "sts-fips.eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://sts.eu-west-1.api.aws", "sts.eu-west-1.api.aws", "eu-west-1"),
        ("https://vpce-1-a.sts.eu-west-1.vpce.amazonaws.com", "sts.eu-west-1.amazonaws.com", "eu-west-1"),
        ("http://127.0.0.1:4000", "sts.eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://sts.evil.example", "sts.eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://sts.us-west-2.amazonaws.com", "sts.eu-west-1.amazonaws.com", "eu-west-1"),
    ],
)
def test_a_token_names_only_hosts_that_the_authenticator_calls(given, host, scope):
    endpoint = sts_endpoint("eu-west-1", given)
    assert (endpoint.host, endpoint.region) == (host, scope)


@pytest.mark.parametrize("region", ["us-gov-west-1", "cn-north-1", "eusc-de-east-1"])
def test_the_global_host_is_of_the_commercial_partition_only(region):
    assert sts_endpoint(region, "https://sts.amazonaws.com") == sts_endpoint(region)


@pytest.mark.parametrize(
    ("region", "environment", "host"),
    [
        ("eu-west-1", {}, "sts.eu-west-1.amazonaws.com"),
        ("eu-west-1", {"AWS_USE_FIPS_ENDPOINT": "true"}, "sts-fips.eu-west-1.amazonaws.com"),
        ("eu-west-1", {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "sts.eu-west-1.api.aws"),
        ("eu-west-1", {"AWS_STS_REGIONAL_ENDPOINTS": "legacy"}, "sts.amazonaws.com"),
        ("us-gov-west-1", {}, "sts.us-gov-west-1.amazonaws.com"),
        ("us-gov-west-1", {"AWS_USE_FIPS_ENDPOINT": "true"}, "sts.us-gov-west-1.amazonaws.com"),
        ("us-gov-east-1", {"AWS_STS_REGIONAL_ENDPOINTS": "legacy"}, "sts.us-gov-east-1.amazonaws.com"),
        ("cn-north-1", {}, "sts.cn-north-1.amazonaws.com.cn"),
        ("cn-northwest-1", {"AWS_STS_REGIONAL_ENDPOINTS": "legacy"}, "sts.cn-northwest-1.amazonaws.com.cn"),
        ("cn-north-1", {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "sts.cn-north-1.api.amazonwebservices.com.cn"),
        ("eusc-de-east-1", {}, "sts.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_the_host_that_boto3_was_told_to_use_is_named_and_is_accepted(monkeypatch, region, environment, host):
    for name in ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_STS_REGIONAL_ENDPOINTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        **environment,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }.items():
        monkeypatch.setenv(name, value)
    client = sts_client(EksSource(cluster_name="p", region=region, role_arn="arn:aws:iam::123456789012:role/y"))
    endpoint = sts_endpoint(region, client.meta.endpoint_url)
    assert endpoint.host == host
    token = mint_token(SESSION, "prod", endpoint, NOW).reveal()
    assert verifier.presigned_url(token, region, NOW).netloc == host


def test_the_chinese_dual_stack_host():
    host = "sts.cn-north-1.api.amazonwebservices.com.cn"
    assert sts_endpoint("cn-north-1", f"https://{host}").host == host


def test_credentials_and_token_do_not_show():
    shown = repr(SESSION) + repr(mint_token(SESSION, "prod", IRELAND, NOW))
    assert not re.search(r"s3cret|tok/en|k8s-aws", shown)
    with pytest.raises(TypeError):
        json.dumps(SESSION.secret_access_key)
