"""A call proves its client by one API key, and a failure does not say which part was wrong."""

from __future__ import annotations

import asyncio
import datetime
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import DocumentErrors, Refused
from pratique.identity.authenticating import Authenticator
from pratique.identity.clients import ApiKey, Client, Clients, Registered, client_document, key_hash, new_api_key
from pratique.identity.keyring import KeyRing
from pratique.identity.proof import KeyHash, Proof
from tests.identity.helpers import documents

NOW = 1_700_000_000.0
KEY = new_api_key("agent", bytes(range(32)))
OTHER = new_api_key("other", bytes(32))
OLD = new_api_key("agent", b"o" * 32)
EXPIRES = datetime.datetime.fromtimestamp(NOW + 10, datetime.UTC)
CLIENTS = Clients([
    Registered(Client("agent", labels={"team": "a"}), (ApiKey(KEY.sha256), ApiKey(OLD.sha256, EXPIRES))),
    Registered(Client("other"), (ApiKey(OTHER.sha256),)),
    Registered(Client("keyless")),
])  # fmt: skip


def bearer(key, scheme=b"Bearer "):
    return [(b"accept", b"*/*"), (b"Authorization", scheme + (key if isinstance(key, bytes) else key.encode()))]


def authenticate(headers, clients=CLIENTS, now=NOW):
    async def no_cluster():
        raise AssertionError("no keys are needed for an API key")

    found = Authenticator(lambda: clients, KeyRing(no_cluster)).authenticate(headers, None, now)
    return asyncio.run(found)[0]


def refusal(headers, clients=CLIENTS, now=NOW):
    with pytest.raises(Refused) as raised:
        authenticate(headers, clients, now)
    return raised.value


def proof(sha256):
    return Proof("apiKey", sha256[:16], KeyHash(sha256))


def test_a_key_authenticates_its_client_with_what_the_operator_said_of_it():
    client = authenticate(bearer(KEY.key.reveal()))
    assert (client.name, client.labels) == ("agent", {"team": "a"})
    assert authenticate(bearer(OTHER.key.reveal()), now=NOW).name == "other"


@pytest.mark.parametrize("scheme", [b"bearer ", b"BEARER ", b"Bearer   "])
def test_the_scheme_is_read_as_the_api_server_reads_it(scheme):
    assert authenticate(bearer(KEY.key.reveal(), scheme), now=NOW).name == "agent"


def test_several_keys_are_good_at_once_and_each_until_it_expires():
    assert authenticate(bearer(OLD.key.reveal()), now=NOW + 9.9).name == "agent"
    refusal(bearer(OLD.key.reveal()), now=NOW + 10)
    assert authenticate(bearer(KEY.key.reveal()), now=NOW + 10).name == "agent"


GOOD = KEY.key.reveal()
WRONG = {
    "none": [],
    "empty": bearer(""),
    "two": bearer(GOOD) * 2,
    "two of one client": bearer(GOOD) + bearer(OLD.key.reveal()),
    "good and empty": [*bearer(GOOD), (b"authorization", b"")],
    "basic": bearer("YTpi", b"Basic "),
    "no scheme": bearer(GOOD, b""),
    "no blank": bearer(GOOD, b"Bearer"),
    "tab": bearer(GOOD, b"Bearer\t"),
    "two tokens": bearer(f"{GOOD} {GOOD}"),
    "comma": bearer(f"{GOOD},{GOOD}"),
    "last character": bearer(GOOD[:-1] + ("A" if GOOD[-1] != "A" else "B")),
    "longer": bearer(GOOD + "A"),
    "shorter": bearer(GOOD[:-1]),
    "another client's name": bearer(GOOD.replace("agent", "other")),
    "unknown client": bearer(GOOD.replace("agent", "nobody")),
    "client without keys": bearer(GOOD.replace("agent", "keyless")),
    "the hash": bearer(KEY.sha256),
    "a JWT": bearer("eyJhbGciOiJub25lIn0.e30."),
    "not ASCII": bearer("ä".encode()),
    "control": bearer(GOOD + "\n"),
    "too long": bearer("x" * 10_000),
    "decoy": bearer("pratique_x_" + "A" * 43),
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG.keys())
def test_everything_else_is_the_same_401(headers):
    refused = refusal(headers)
    assert (refused.code, refused.reason) == (401, "Unauthorized")
    assert refused.message == refusal([]).message
    assert refused.rule == refusal([]).rule
    assert GOOD not in refused.message


@pytest.mark.parametrize("name", [b"X-Authorization", b"Proxy-Authorization", b"Cookie", b"Authorization_"])
def test_no_other_header_authenticates(name):
    refusal([(name, b"Bearer " + GOOD.encode())])


def test_nobody_is_authenticated_by_an_empty_set():
    refusal(bearer(GOOD), Clients())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([b"Authorization", b"authorization", b"x"]), st.binary()), max_size=3))
def test_any_bytes_are_a_401_and_no_other_exception(headers):
    assert refusal(headers).code == 401


def test_a_new_key_is_in_the_form_and_its_hash_is_sha256_of_the_whole():
    key = KEY.key.reveal()
    assert key.startswith("pratique_agent_")
    assert len(key) == len("pratique_agent_") + 43
    assert KEY.sha256 == hashlib.sha256(key.encode()).hexdigest() == key_hash(key)
    assert key not in repr(KEY)


@pytest.mark.parametrize("count", [0, 31, 33])
def test_a_key_of_fewer_random_bytes_is_not_made(count):
    with pytest.raises(ValueError, match="32 random bytes"):
        new_api_key("agent", bytes(count))


@pytest.mark.parametrize("name", ["", "a_b", "A", "a b", "-a", "a" * 64, "a\n"])
def test_a_key_for_a_name_that_no_document_has_is_not_made(name):
    with pytest.raises(ValueError, match="DNS-1123"):
        new_api_key(name, bytes(32))


@pytest.mark.parametrize("sha256", [KEY.sha256, "0" * 62 + "e1", "1" * 64])
@pytest.mark.parametrize("expires", [None, EXPIRES])
def test_a_rendered_document_is_read_back(sha256, expires):
    clients = Clients.from_documents(documents(client_document("agent", sha256, "retry", expires)))
    assert clients.names == ("agent",)
    found = clients._clients["agent"]
    assert found.client.waits == "retry"
    assert found.keys == (ApiKey(sha256, expires),)


def of(spec):
    head = "apiVersion: pratique/v1\nkind: Client\nmetadata: {name: agent}\nspec:\n"
    return Clients.from_documents(documents(head + spec))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (f"  apiKeys: [{{sha256: {KEY.sha256.upper()}}}]\n", r"identity.yaml:5:14: not a SHA-256"),
        ("  apiKeys: [{sha256: abc}]\n", "not a SHA-256"),
        ("  waits: refuse\n", "no credential. Give `apiKeys`, `serviceAccount`, `oidc`"),
        ("  apiKeys: []\n  waits: forever\n", "`forever` is not known"),
        ("  apiKeys: []\n  holdSeconds: 291\n", r"identity.yaml:6:3: .*no time to hold"),
        ("  apiKeys: []\n  holdSeconds: -1\n", "no time to hold"),
        ("  apiKeys: []\n  holdsSeconds: 1\n", "Did you mean `holdSeconds`"),
        (f"  apiKeys: [{{sha256: {KEY.sha256}, expires: 2030-01-01T00:00:00}}]\n", "no zone"),
        (
            "  apiKeys: []\n  impersonate: {serviceAccount: agent}\n",
            r"identity.yaml:6:17: .*Write it as `NAMESPACE/NAME`",
        ),
        ("  apiKeys: []\n  impersonate: {user: root}\n", "is not known"),
        (f"  apiKeys: [{{sha256: {KEY.sha256}, expires: soon}}]\n", "RFC3339"),
    ],
)
def test_a_bad_document_is_refused_at_its_place(spec, says):
    with pytest.raises(DocumentErrors, match=says):
        of(spec)


def test_every_error_is_reported_in_one_run():
    with pytest.raises(DocumentErrors) as raised:
        of("  apiKeys: [{sha256: a}, {sha256: b}]\n  holdSeconds: 1000\n")
    assert len(raised.value.errors) == 3


def test_two_clients_cannot_have_one_key():
    text = client_document("agent", KEY.sha256) + "---\n" + client_document("other", KEY.sha256)
    with pytest.raises(DocumentErrors, match="client `agent` has the same key"):
        Clients.from_documents(documents(text))


def test_other_kinds_are_left_alone():
    cluster = "apiVersion: pratique/v1\nkind: Cluster\nmetadata: {name: c}\nspec: {sandbox: {}}\n"
    assert Clients.from_documents(documents(cluster)).names == ()


def test_an_expiry_is_read_with_its_zone():
    clients = of(f"  holdSeconds: 0\n  apiKeys: [{{sha256: {KEY.sha256}, expires: 2030-01-01T01:00:00+01:00}}]\n")
    end = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC).timestamp()
    assert authenticate(bearer(GOOD), clients, end - 1).hold_seconds == 0
    refusal(bearer(GOOD), clients, end)


def test_an_open_session_holds_as_long_as_its_key_does():
    agent, old = Client("agent"), Client("agent")
    assert CLIENTS.holds(agent, proof(KEY.sha256), NOW)
    assert CLIENTS.holds(old, proof(OLD.sha256), NOW)
    assert not CLIENTS.holds(old, proof(OLD.sha256), EXPIRES.timestamp())
    assert not CLIENTS.holds(agent, proof(OTHER.sha256), NOW)
    assert not CLIENTS.holds(Client("gone"), proof(KEY.sha256), NOW)
    assert not CLIENTS.holds(Client("keyless"), proof(KEY.sha256), NOW)
    assert not CLIENTS.holds(None, proof("0" * 64), NOW)
    assert not Clients().holds(agent, proof(KEY.sha256), NOW)
    assert not CLIENTS.holds(Client("agent", role_arn="arn:aws:iam::123456789012:role/old"), proof(KEY.sha256), NOW)
