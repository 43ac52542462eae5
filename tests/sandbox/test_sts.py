from __future__ import annotations

import json
import time
from urllib.parse import urlencode, urlsplit

import boto3
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pratique.sandbox import sigv4
from pratique.sandbox.sigv4 import Request, SignatureError, canonical_query, check_time, parse
from pratique.sandbox.sts import Role, Sts, User

REGION = "eu-west-1"
KEY, SECRET = "AKIDEXAMPLEEXAMPLE00", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
X = "arn:aws:iam::1:user/x"
Y, Z, LONG = (f"arn:aws:iam::1:role/{name}" for name in ("y", "z", "long"))


@pytest.fixture
def sts() -> Sts:
    roles = [Role(Y, "AROAY", (X,)), Role(Z, "AROAZ", (Y,), 43200), Role(LONG, "AROAL", (X,), 43200)]
    return Sts(REGION, [User(KEY, SECRET, X, "AIDAX")], roles)


_now = time.time


def _post(parameters: dict, credentials=None, region: str = REGION, accept: str = "") -> Request:
    body = urlencode({"Version": "2011-06-15", **parameters})
    request = AWSRequest("POST", "https://sts.example/", {"Content-Type": "application/x-www-form-urlencoded"}, body)
    SigV4Auth(credentials or Credentials(KEY, SECRET), "sts", region).add_auth(request)
    headers = {name.lower(): value for name, value in request.headers.items()} | {
        "host": "sts.example",
        "accept": accept,
    }
    return Request("POST", "/", "", headers, body.encode())


def _assume(sts: Sts, credentials=None, **parameters) -> tuple[int, str]:
    given = {"Action": "AssumeRole", "RoleArn": Y, "RoleSessionName": "agent-1", **parameters}
    answer = sts.handle(_post(given, credentials, accept="application/json"), _now())
    return answer.code, answer.body.decode()


def _session(sts: Sts, **parameters) -> Credentials:
    code, body = _assume(sts, **parameters)
    assert code == 200, body
    found = json.loads(body)["AssumeRoleResponse"]["AssumeRoleResult"]["Credentials"]
    return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])


def test_a_role_is_assumed_and_its_session_is_who_it_says(sts):
    credentials = _session(sts, SourceIdentity="alice", **{"Tags.member.1.Key": "client", "Tags.member.1.Value": "c"})
    session = sts.sessions[credentials.access_key]
    assert (session.source_identity, session.tags) == ("alice", (("client", "c"),))
    answer = sts.handle(_post({"Action": "GetCallerIdentity"}, credentials), _now())
    assert b"<Arn>arn:aws:sts::1:assumed-role/y/agent-1</Arn>" in answer.body
    assert b"<UserId>AROAY:agent-1</UserId>" in answer.body


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"RoleSessionName": "has space"}, "ValidationError"),
        ({"RoleSessionName": "a/b"}, "ValidationError"),
        ({"RoleSessionName": "a"}, "ValidationError"),
        ({"RoleSessionName": "a" * 65}, "ValidationError"),
        ({"RoleSessionName": "ünicode"}, "ValidationError"),
        ({"SourceIdentity": "aws:x"}, "ValidationError"),
        ({"SourceIdentity": "a b"}, "ValidationError"),
        ({"DurationSeconds": "899"}, "ValidationError"),
        ({"DurationSeconds": "3601"}, "ValidationError"),
        ({"DurationSeconds": "x"}, "ValidationError"),
        ({"RoleArn": Z}, "AccessDenied"),
        ({"RoleArn": "arn:aws:iam::1:role/none"}, "AccessDenied"),
        ({"Tags.member.1.Key": "k" * 129}, "ValidationError"),
        ({"Action": "GetSessionToken"}, "InvalidAction"),
        ({"Version": "2012-01-01"}, "InvalidAction"),
    ],
)
def test_what_aws_refuses_is_refused(sts, parameters, code):
    http, body = _assume(sts, **parameters)
    assert http >= 400
    assert json.loads(body)["Error"]["Code"] == code


def test_chained_sessions_last_an_hour_at_most_and_keep_their_source_identity(sts):
    assert _assume(sts, RoleArn=LONG, DurationSeconds="7200")[0] == 200
    chained = _session(sts, SourceIdentity="alice")
    assert _assume(sts, chained, RoleArn=Z, DurationSeconds="3600")[0] == 200
    assert _assume(sts, chained, RoleArn=Z, DurationSeconds="7200")[0] == 400
    assert _assume(sts, chained, RoleArn=Z, SourceIdentity="mallory")[0] == 403
    assert _assume(sts, chained, RoleArn=LONG)[0] == 403


def test_every_signed_part_counts(sts):
    good = _post({"Action": "GetCallerIdentity"})
    assert sts.handle(good, _now()).code == 200
    changed = [
        Request("POST", "/", "", good.headers, good.body + b"&x=1"),
        Request("POST", "/other", "", good.headers, good.body),
        Request("POST", "/", "a=1", good.headers, good.body),
        Request("POST", "/", "", {**good.headers, "host": "evil"}, good.body),
        _post({"Action": "GetCallerIdentity"}, Credentials(KEY, "wrong")),
        _post({"Action": "GetCallerIdentity"}, region="us-east-1"),
    ]
    for request in changed:
        answer = sts.handle(request, _now())
        assert answer.code == 403
        assert b"<Code>SignatureDoesNotMatch</Code>" in answer.body
        assert answer.content_type == "text/xml"


def test_unknown_keys_wrong_tokens_and_no_signature(sts):
    session = _session(sts)
    for credentials in (Credentials("AKIANOBODY", SECRET), Credentials(session.access_key, session.secret_key, "other"),
                        Credentials(KEY, SECRET, "token")):  # fmt: skip
        assert b"InvalidClientTokenId" in sts.handle(_post({"Action": "GetCallerIdentity"}, credentials), _now()).body
    assert b"MissingAuthenticationToken" in sts.handle(Request("POST", "/", "", {}, b""), _now()).body


def test_time_and_throttling(sts):
    request = _post({"Action": "GetCallerIdentity"})
    assert sts.handle(request, _now() + 400).code == 403
    assert sts.handle(request, _now() - 400).code == 403
    session = _session(sts)
    late = _post({"Action": "GetCallerIdentity"}, session)
    sts.sessions[session.access_key] = type(sts.sessions[session.access_key])(
        session.access_key, session.secret_key, session.token, sts.roles[Y], "n", _now() - 1
    )
    assert b"ExpiredToken" in sts.handle(late, _now()).body
    sts.throttled = True
    assert b"Throttling" in sts.handle(request, _now()).body


def test_a_presigned_url_is_verified_with_its_signed_header(sts):
    request = AWSRequest("GET", "https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
                         {"x-k8s-aws-id": "prod"})  # fmt: skip
    SigV4QueryAuth(Credentials(KEY, SECRET), "sts", REGION, expires=60).add_auth(request)
    query = urlsplit(request.url).query
    headers = {"host": "sts.eu-west-1.amazonaws.com", "x-k8s-aws-id": "prod"}
    assert sts.handle(Request("GET", "/", query, headers), _now()).code == 200
    assert sts.handle(Request("GET", "/", query, {**headers, "x-k8s-aws-id": "other"}), _now()).code == 403
    assert sts.handle(Request("GET", "/", query, {"host": headers["host"]}), _now()).code == 403
    assert sts.handle(Request("GET", "/", query, headers), _now() + 901).code == 403


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("X-Amz-Signature=x", {}),
        ("X-Amz-Signature=x&X-Amz-Credential=a/b/c/d/aws4_request", {}),
        ("X-Amz-Signature=x&X-Amz-Credential=a/b&X-Amz-Algorithm=AWS4-HMAC-SHA256", {}),
        ("X-Amz-Signature=x&X-Amz-Credential=a/b/c/d/aws4_request&X-Amz-Algorithm=other", {}),
        ("", {"authorization": "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request"}),
    ],
)
def test_incomplete_signatures_are_named_so(query, headers):
    with pytest.raises(SignatureError) as caught:
        parse(query, headers)
    assert (caught.value.code, caught.value.http) == ("IncompleteSignature", 400)


def _signed(**changed) -> sigv4.Signed:
    values = {"access_key_id": "a", "date": "20260101", "region": "r", "service": "sts", "stamp": "20260101T000000Z",
              "signed_headers": ("host",), "signature": "s", "session_token": "", "presigned": False, **changed}  # fmt: skip
    return sigv4.Signed(**values)


def test_dates_must_be_well_formed_and_fit_the_scope():
    for changed in ({"stamp": "2026-01-01"}, {"date": "20260102"}):
        with pytest.raises(SignatureError):
            check_time(_signed(**changed), 1767225600.0)
    check_time(_signed(), 1767225600.0)
    with pytest.raises(SignatureError, match="Host"):
        sigv4.canonical_request(Request("GET", "/", "", {"a": "1"}), _signed(signed_headers=("a",)))


def test_the_canonical_query_is_sorted_and_strictly_encoded():
    assert canonical_query("b=2&a=x y&a=%2F&c", presigned=False) == "a=%2F&a=x%20y&b=2&c="
    assert canonical_query("a=1&X-Amz-Signature=s", presigned=True) == "a=1"


def test_the_signature_of_awss_own_example_is_reproduced():
    """AWS General Reference, Signature V4 test suite, `get-vanilla`."""
    signed = _signed(date="20150830", region="us-east-1", service="service", stamp="20150830T123600Z",
                     signed_headers=("host", "x-amz-date"))  # fmt: skip
    request = Request("GET", "/", "", {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"})
    canonical = sigv4.canonical_request(request, signed)
    found = sigv4.signature("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", canonical, signed)
    assert found == "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"


def test_boto3_is_served_over_http(sandbox, monkeypatch):
    info = sandbox.info
    client = boto3.client("sts", region_name=info.region, endpoint_url=info.sts_endpoint,
                          aws_access_key_id=info.access_key_id, aws_secret_access_key=info.secret_access_key)  # fmt: skip
    found = client.assume_role(RoleArn=info.role_arn, RoleSessionName="agent-1", SourceIdentity="alice",
                               Tags=[{"Key": "client", "Value": "c"}], DurationSeconds=900)  # fmt: skip
    assert found["AssumedRoleUser"]["Arn"].endswith("assumed-role/pratique-role-y/agent-1")
    assert found["SourceIdentity"] == "alice"
    with pytest.raises(client.exceptions.ClientError, match="ValidationError"):
        client.assume_role(RoleArn=info.role_arn, RoleSessionName="has space")
