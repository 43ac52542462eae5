"""AssumeRole is asked as STS wants it, and each failure says what to do without showing what was signed."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import CredentialError
from pratique.identity.assume_role import assume_role_error, assume_role_request, credentials_from, role_session_name
from pratique.identity.clusters import EksSource

ROLE = "arn:aws:iam::123456789012:role/RoleY"
EKS = EksSource(cluster_name="prod", region="eu-west-1", role_arn=ROLE)


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        (("pratique", "prod"), "pratique-prod"),
        (("a b/c",), "a-b-c"),
        (("agent@example.com",), "agent-example.com"),
        (("x",), "pratique-x"),
        (("",), "pratique"),
        (("é",), "pratique"),
        (("a" * 100,), "a" * 55 + "-28165978"),
        (("a", "", "b"), "a-b"),
    ],
)
def test_session_names_are_made_valid(parts, wanted):
    assert role_session_name(*parts) == wanted


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=80), max_size=3))
def test_any_text_makes_a_session_name_that_sts_takes(parts):
    assert re.fullmatch(r"[A-Za-z0-9_+=,.@-]{2,64}", role_session_name(*parts))


def test_the_session_may_do_nothing_in_aws_but_say_who_it_is():
    request = assume_role_request(EKS, "pratique-prod")
    (statement,) = json.loads(request.pop("Policy"))["Statement"]
    assert statement == {"Effect": "Deny", "Action": "*", "Resource": "*"}
    assert request == {"RoleArn": ROLE, "RoleSessionName": "pratique-prod", "DurationSeconds": 3600}


def test_a_source_identity_is_asked_for_where_it_is_configured():
    eks = EksSource(cluster_name="p", region="eu-west-1", role_arn=ROLE, source_identity="agents", duration_seconds=900)
    request = assume_role_request(eks, "n")
    assert (request["SourceIdentity"], request["DurationSeconds"]) == ("agents", 900)


def test_tags_and_a_session_policy_are_asked_for_where_they_are_configured():
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}
    tagged = msgspec.structs.replace(EKS, session_tags={"team": "a", "agent": "b"}, session_policy=policy)
    request = assume_role_request(tagged, "n")
    assert request["Tags"] == [{"Key": "agent", "Value": "b"}, {"Key": "team", "Value": "a"}]
    assert json.loads(request["Policy"]) == policy
    assert "Policy" not in assume_role_request(msgspec.structs.replace(EKS, session_policy={}), "n")
    assert "Tags" not in assume_role_request(EKS, "n")


ANSWER = {
    "AccessKeyId": "ASIA",
    "SecretAccessKey": "s",
    "SessionToken": "t",
    "Expiration": datetime(2030, 1, 1, tzinfo=UTC),
}


def test_credentials_are_taken_from_the_answer():
    credentials = credentials_from({"Credentials": ANSWER})
    assert credentials.access_key_id == "ASIA"
    assert credentials.secret_access_key.reveal() == "s"
    assert credentials.session_token.reveal() == "t"
    assert credentials.expires == datetime(2030, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "answer",
    [{}, {"Credentials": None}]
    + [{"Credentials": {key: value for key, value in ANSWER.items() if key != missing}} for missing in ANSWER]
    + [
        {"Credentials": {**ANSWER, "Expiration": "soon"}},
        {"Credentials": {**ANSWER, "Expiration": datetime(2030, 1, 1)}},
    ],
)
def test_an_answer_without_credentials_is_an_error(answer):
    with pytest.raises(CredentialError, match="no credentials"):
        credentials_from(answer)


SECRET_TEXT = "x-amz-security-token:IQoJsecret"


@pytest.mark.parametrize(
    ("name", "code", "operation", "message", "says"),
    [
        (
            "ClientError",
            "AccessDenied",
            "AssumeRole",
            "not authorized to perform: sts:AssumeRole on",
            "trust policy name",
        ),
        (
            "ClientError",
            "AccessDenied",
            "AssumeRole",
            "not authorized to perform: sts:TagSession on",
            "Add sts:TagSession",
        ),
        ("ClientError", "AccessDenied", "AssumeRole", "perform: sts:SetSourceIdentity", "Add sts:SetSourceIdentity"),
        ("ClientError", "AccessDenied", "AssumeRole", "", "denies sts:AssumeRole"),
        ("ClientError", "AccessDenied", "AssumeRoleWithWebIdentity", "", "OIDC provider"),
        ("ClientError", "ExpiredTokenException", "AssumeRoleWithWebIdentity", "", "web identity token has expired"),
        ("ClientError", "InvalidIdentityToken", "AssumeRoleWithWebIdentity", "", "audience sts.amazonaws.com"),
        ("ClientError", "Unheard", "AssumeRoleWithWebIdentity", "", "refuses the gateway's web identity"),
        ("ClientError", "ExpiredToken", "AssumeRole", "", "own AWS credentials have expired"),
        ("ClientError", "InvalidClientTokenId", "AssumeRole", "", "does not know the gateway's own access key"),
        ("ClientError", "SignatureDoesNotMatch", "AssumeRole", SECRET_TEXT, "refuses the gateway's signature"),
        ("ClientError", "RequestExpired", "AssumeRole", "", "NTP"),
        ("ClientError", "RegionDisabledException", "AssumeRole", "", "not activated"),
        ("ClientError", "PackedPolicyTooLarge", "AssumeRole", "", "shorter session tags"),
        ("ClientError", "ValidationError", "AssumeRole", "The requested DurationSeconds exceeds", "Set 3600 or less"),
        ("ClientError", "ValidationError", "AssumeRole", "1 validation error", "Check `roleARN`"),
        ("ClientError", "Throttling", "AssumeRole", "", "tries again by itself"),
        ("NoCredentialsError", "", "", "", "no AWS credentials of its own"),
        ("ProfileNotFound", "", "", "", "AWS_PROFILE"),
        ("TokenRetrievalError", "", "", "", "aws sso login"),
        ("EndpointConnectionError", "", "", "", "cannot be reached"),
        ("ConnectTimeoutError", "", "", "", "cannot be reached"),
        ("SSLError", "", "", "", "AWS_CA_BUNDLE"),
        ("ClientError", "Brand<New>", "AssumeRole", SECRET_TEXT, "`BrandNew`"),
        ("WeirdError", "", "", SECRET_TEXT, "`WeirdError`"),
    ],
)
def test_each_failure_has_its_remedy_names_the_role_and_shows_nothing_signed(name, code, operation, message, says):
    error = assume_role_error(name, code, operation, message, ROLE)
    assert says in str(error)
    assert ROLE in str(error)
    assert error.remedy
    assert "IQoJ" not in str(error)
