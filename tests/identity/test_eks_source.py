"""Role X → Role Y → token, against an STS that verifies every signature."""

from __future__ import annotations

import asyncio
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pratique.errors import CredentialError
from pratique.identity.clusters import EksSource
from pratique.identity.eks_source import EksCredentialSource, sts_client
from pratique.sandbox.authenticator import AccessEntry, Authenticator
from pratique.sandbox.sts import Request, Role, Sts, User
from tests.identity.helpers import HandTime

X = "arn:aws:iam::123456789012:user/RoleX"
Y = "arn:aws:iam::123456789012:role/RoleY"
KEY, SECRET = "AKIAEXAMPLEROLEX", "x-secret"


@pytest.fixture
def sts():
    return Sts("eu-west-1", [User(KEY, SECRET, X, "AIDAX")], [Role(Y, "AROAY", (X,))])


@pytest.fixture
def endpoint(sts):
    """The sandbox's STS on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = sts.handle(Request("POST", "/", "", headers, body), time.time())
            self.send_response(answer.code)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def role_x(monkeypatch, tmp_path):
    for name in (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ENDPOINT_URL_STS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def eks(endpoint=None, **more):
    return EksSource(cluster_name="prod", region="eu-west-1", role_arn=Y, sts_endpoint=endpoint, **more)


def credential(source):
    async def run():
        try:
            return await source.credential(time.time())
        finally:
            await source.stop()

    return asyncio.run(run())


def test_the_token_makes_role_y_a_user_of_the_cluster(sts, endpoint, role_x):
    source = EksCredentialSource(eks(endpoint, source_identity="agents"), "pratique prod/1")
    token = credential(source).token.reveal()
    entry = AccessEntry(Y, "agents:{{SessionName}}", ("agents",))
    user = Authenticator("prod", "eu-west-1", [entry], sts.handle).authenticate(token, time.time())
    assert user.username == "agents:pratique-prod-1"
    (session,) = sts.sessions.values()
    assert (session.name, session.source_identity) == ("pratique-prod-1", "agents")
    assert token not in repr(source.describe())
    assert Y in source.describe().identity


@pytest.mark.parametrize(
    ("break_", "says"),
    [
        (
            lambda sts, monkeypatch: sts.roles.update({Y: Role(Y, "AROAY", ("arn:aws:iam::1:user/other",))}),
            "trust policy",
        ),
        (
            lambda sts, monkeypatch: monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong"),
            "refuses the gateway's signature",
        ),
        (
            lambda sts, monkeypatch: monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN"),
            "does not know the gateway's own",
        ),
        (lambda sts, monkeypatch: setattr(sts, "throttled", True), "throttling"),
        (lambda sts, monkeypatch: monkeypatch.delenv("AWS_ACCESS_KEY_ID"), "no AWS credentials of its own"),
    ],
    ids=["trust", "secret", "key", "throttled", "none"],
)
def test_each_broken_step_is_a_clear_503(sts, endpoint, role_x, monkeypatch, break_, says):
    break_(sts, monkeypatch)
    with pytest.raises(CredentialError, match=says) as raised:
        credential(EksCredentialSource(eks(endpoint), "s"))
    assert raised.value.code == 503


def test_credentials_that_come_later_or_are_replaced_are_found(sts, endpoint, role_x, monkeypatch):
    """boto3 keeps what it found first, be it nothing."""
    source = EksCredentialSource(eks(endpoint), "s")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(CredentialError, match="no AWS credentials of its own"):
        source._fetch(time.time())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
    with pytest.raises(CredentialError, match="does not know the gateway's own"):
        source._fetch(time.time())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    assert source._fetch(time.time()).credential.token is not None
    made = source._client(eks(endpoint))
    source._role = None
    assert source._fetch(time.time()).credential.token is not None
    assert source._client(eks(endpoint)) is made


def test_a_duration_that_the_role_does_not_allow_says_so(endpoint, role_x):
    with pytest.raises(CredentialError, match="Set 3600 or less"):
        credential(EksCredentialSource(eks(endpoint, duration_seconds=7200), "s"))


def test_an_sts_that_is_not_there_says_so(role_x):
    with pytest.raises(CredentialError, match="cannot be reached"):
        credential(EksCredentialSource(eks("http://127.0.0.1:1"), "s"))


def test_the_client_gives_up_soon(role_x):
    config = sts_client(eks("http://127.0.0.1:1")).meta.config
    assert config.connect_timeout + config.read_timeout < 10
    assert config.retries["total_max_attempts"] == 2


class FakeClient:
    """AssumeRole by a virtual clock."""

    def __init__(self, clock, life=3600):
        from types import SimpleNamespace

        self.meta = SimpleNamespace(endpoint_url="https://sts.eu-west-1.amazonaws.com")
        self.clock, self.life = clock, life
        self.calls, self.down = [], False

    def assume_role(self, **_):
        from datetime import UTC, datetime

        self.calls.append(self.clock())
        if self.down:
            raise ConnectionError
        expiration = datetime.fromtimestamp(self.clock() + self.life, UTC)
        keys = {"AccessKeyId": f"ASIA{len(self.calls)}", "SecretAccessKey": "s", "SessionToken": "t"}
        return {"Credentials": {**keys, "Expiration": expiration}}


def virtual(clock, life=3600):
    client = FakeClient(clock, life)
    source = EksCredentialSource(
        eks(), "s", client=lambda _: client, clock=clock, sleep=clock.sleep, chance=lambda: 0.0
    )
    return source, client


def test_a_day_takes_one_assume_role_per_forty_minutes_and_no_request_waits():
    async def run():
        clock = HandTime()
        source, client = virtual(clock)
        await source.start()
        for _ in range(24 * 12):
            await clock.pass_(300, step=60)
            described = source.describe()
            assert described.expires > clock()
            assert described.failure == ""
        assert 24 * 60 / 41 <= len(client.calls) <= 24 * 60 / 39 + 1
        await source.stop()

    asyncio.run(run())


def test_an_outage_of_ten_minutes_at_any_time_is_noticed_by_nobody():
    async def run(offset):
        clock = HandTime()
        source, client = virtual(clock)
        await source.start()
        await clock.pass_(offset, step=60)
        client.down = True
        for _ in range(20):
            await clock.pass_(30)
            await source.credential(clock())
        client.down = False
        await clock.pass_(120)
        await source.credential(clock())
        assert source.describe().failure == ""
        await source.stop()

    for offset in (60, 2380, 2399, 2700):
        asyncio.run(run(offset))


def test_an_outage_that_outlasts_the_role_is_503_then_recovers_by_itself():
    async def run():
        clock = HandTime()
        source, client = virtual(clock)
        await source.start()
        client.down = True
        await clock.pass_(3000, step=30)
        await source.credential(clock())
        assert "AWS" in source.describe().failure
        await clock.pass_(601, step=30)
        with pytest.raises(CredentialError):
            await source.credential(clock())
        client.down = False
        await clock.pass_(120, step=10)
        await source.credential(clock())
        await source.stop()

    asyncio.run(run())


def test_short_sessions_are_renewed_too():
    async def run():
        clock = HandTime()
        source, client = virtual(clock, life=900)
        await source.start()
        for _ in range(120):
            await clock.pass_(60, step=30)
            assert source.describe().expires > clock()
        assert 11 <= len(client.calls) <= 13
        await source.stop()

    asyncio.run(run())
