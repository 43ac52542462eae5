"""Keys of issuers are fetched ahead, outlive an outage for a while, and invented key ids do not become a flood."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import ssl
import threading

import pytest

from pratique.errors import CredentialError, Refused
from pratique.identity import keyring as module
from pratique.identity.authenticating import RETRY_SECONDS, Authenticator
from pratique.identity.clients import Clients
from pratique.identity.clusters import CertificateAuthority
from pratique.identity.issuers import ALGORITHMS, ClusterKeys, FileKeys, Issuers, TokenIssuer, UrlKeys
from pratique.identity.keyring import AGAIN_SECONDS, REFRESH_SECONDS, STALE_SECONDS, KeyRing
from pratique.identity.proof import NotProvedError
from pratique.sandbox.certificates import ensure
from tests.identity.certifying import SPIFFE, authority, peer, pem
from tests.identity.certifying import client as certified
from tests.identity.helpers import HandTime, documents, settle
from tests.identity.issuing import AUDIENCE, ISSUER, account_claims, key_set, signed
from tests.identity.test_matching import ACCOUNT, ISSUERS, MESH, client

START = 1_700_000_000.0


def issuer(keys):
    return TokenIssuer("cluster", ISSUER, frozenset({AUDIENCE}), frozenset(ALGORITHMS), keys)


CLUSTER = issuer(ClusterKeys())


class Cluster:
    """An issuer's key set, that counts who asks."""

    def __init__(self, *kids):
        self.kids = kids
        self.asked = 0
        self.problem = None

    async def __call__(self):
        self.asked += 1
        if self.problem:
            raise self.problem
        return key_set(*self.kids)


def run(work):
    async def whole():
        clock = HandTime(START)
        cluster = Cluster("rsa")
        ring = KeyRing(cluster, clock=clock, sleep=clock.sleep, chance=lambda: 0.0)
        try:
            return await work(ring, cluster, clock)
        finally:
            await ring.stop()

    return asyncio.run(whole())


async def started(ring, *issuers):
    ring.follow(Issuers({each.name: each for each in issuers}))
    await settle()


def test_keys_are_at_hand_before_somebody_needs_them_and_are_renewed_ahead():
    async def work(ring, cluster, clock):
        await started(ring, CLUSTER)
        assert cluster.asked == 1
        assert (await ring.key(CLUSTER, "rsa", clock())).id == "rsa"
        assert cluster.asked == 1
        await clock.pass_(3 * REFRESH_SECONDS + 60)
        assert cluster.asked == 4

    run(work)


def test_a_new_key_is_asked_for_once_and_invented_ones_seldom():
    async def work(ring, cluster, clock):
        await started(ring, CLUSTER)
        clock.now += AGAIN_SECONDS
        cluster.kids = ("rsa", "ec")
        assert (await ring.key(CLUSTER, "ec", clock())).id == "ec"
        assert cluster.asked == 2
        for number in range(50):
            with pytest.raises(NotProvedError, match="no key"):
                await ring.key(CLUSTER, f"invented-{number}", clock())
        assert cluster.asked == 2
        clock.now += AGAIN_SECONDS
        with pytest.raises(NotProvedError):
            await ring.key(CLUSTER, "invented", clock())
        assert cluster.asked == 3

    run(work)


def test_an_outage_is_outlived_for_a_bounded_time_and_then_nothing_can_be_checked():
    async def work(ring, cluster, clock):
        await started(ring, CLUSTER)
        cluster.problem = CredentialError("the cluster is away")
        await clock.pass_(STALE_SECONDS - 1, step=600)
        assert (await ring.key(CLUSTER, "rsa", clock())).id == "rsa"
        assert ring.knows(CLUSTER, "rsa", clock())
        with pytest.raises(CredentialError, match="away"):  # it may be new: that cannot be known
            await ring.key(CLUSTER, "ec", clock())
        clock.now += 2
        with pytest.raises(CredentialError, match="Issuer `cluster` cannot be had: the cluster is away"):
            await ring.key(CLUSTER, "rsa", clock())
        assert not ring.knows(CLUSTER, "rsa", clock())
        cluster.problem = None
        clock.now += 2
        assert (await ring.key(CLUSTER, "rsa", clock())).id == "rsa"

    run(work)


def test_a_key_that_is_withdrawn_is_known_no_more_after_the_next_look():
    async def work(ring, cluster, clock):
        await started(ring, CLUSTER)
        assert ring.knows(CLUSTER, "rsa", clock())
        cluster.kids = ("ec",)
        await clock.pass_(REFRESH_SECONDS + 60)
        assert not ring.knows(CLUSTER, "rsa", clock())
        with pytest.raises(NotProvedError):
            await ring.key(CLUSTER, "rsa", clock())

    run(work)


def test_issuers_that_the_documents_do_not_have_any_more_are_not_asked():
    async def work(ring, cluster, clock):
        await started(ring, CLUSTER)
        await started(ring)
        await clock.pass_(2 * REFRESH_SECONDS)
        assert cluster.asked == 1
        assert not ring.knows(CLUSTER, "rsa", clock())

    run(work)


@pytest.mark.parametrize("problem", [RuntimeError("CANARY"), ValueError("CANARY"), OSError("away")])
def test_whatever_fails_is_a_refusal(problem):
    async def work(ring, cluster, clock):
        cluster.problem = problem
        with pytest.raises(CredentialError) as raised:
            await ring.key(CLUSTER, "rsa", clock())
        assert "CANARY" not in str(raised.value)

    run(work)


# --- files and URLs ---


def test_keys_of_a_file_follow_it(tmp_path):
    path = tmp_path / "keys.json"
    path.write_bytes(key_set("rsa"))
    file = issuer(FileKeys(str(path)))

    async def work(ring, cluster, clock):
        await started(ring, file)
        assert (await ring.key(file, "rsa", clock())).id == "rsa"
        path.write_bytes(key_set("ec"))
        await clock.pass_(20, step=5)
        assert ring.knows(file, "ec", clock())
        assert not ring.knows(file, "rsa", clock())
        path.unlink()
        await clock.pass_(60, step=5)
        assert ring.knows(file, "ec", clock())  # for STALE_SECONDS
        assert cluster.asked == 0

    run(work)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no such file"), (b"", "not JSON"), (b"{}", "no `keys`"), (b"x" * (2 << 20), "larger than")],
)
def test_a_file_that_holds_no_keys_is_no_key_set(tmp_path, content, says):
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_bytes(content)

    async def work(ring, cluster, clock):
        with pytest.raises(CredentialError, match=says):
            await ring.key(issuer(FileKeys(str(path))), "rsa", clock())

    run(work)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        code, content = {"/keys": (200, key_set("rsa")), "/moved": (302, b""), "/broken": (500, b"CANARY")}.get(
            self.path, (404, b"")
        )
        self.server.seen.append(self.path)
        self.send_response(code)
        self.send_header("Location", "/keys")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A web server with a certificate of its own CA: (URL, the CA's file, the paths that were asked for)."""
    authority, certificate, key = ensure(tmp_path_factory.mktemp("site"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen = []
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://localhost:{server.server_port}", authority, server.seen
    server.shutdown()
    thread.join()
    server.server_close()


def fetched(keys):
    async def work(ring, cluster, clock):
        with contextlib.suppress(NotProvedError):
            return (await ring.key(issuer(keys), "rsa", clock())).id

    return run(work)


def test_keys_are_fetched_over_https_from_a_server_that_is_verified(site):
    url, authority, seen = site
    assert fetched(UrlKeys(f"{url}/keys", CertificateAuthority(path=str(authority)))) == "rsa"
    import base64

    data = base64.b64encode(authority.read_bytes()).decode()
    assert fetched(UrlKeys(f"{url}/keys", CertificateAuthority(data=data))) == "rsa"
    before = len(seen)
    with pytest.raises(CredentialError, match="its certificate is not good"):
        fetched(UrlKeys(f"{url}/keys"))
    assert len(seen) == before


@pytest.mark.parametrize(
    ("path", "says"),
    [("/moved", "redirects elsewhere"), ("/broken", "the answer is 500"), ("/none", "the answer is 404")],
)
def test_an_answer_that_is_no_key_set_is_none(site, path, says):
    url, authority, _ = site
    with pytest.raises(CredentialError, match=says) as raised:
        fetched(UrlKeys(url + path, CertificateAuthority(path=str(authority))))
    assert "CANARY" not in str(raised.value)


def test_a_server_that_is_not_there_is_one(site, monkeypatch):
    monkeypatch.setattr(module, "FETCH_SECONDS", 0.5)
    with pytest.raises(CredentialError, match="refused"):
        fetched(UrlKeys("https://localhost:1/keys"))


# --- authenticating by them ---

DOCUMENTS = ISSUERS.lstrip().replace("{file: keys.json}", "{cluster: {}}") + client("mcp", ACCOUNT)


def test_a_call_is_authenticated_by_a_token_of_the_cluster_and_held_by_it():
    clients = Clients.from_documents(documents(DOCUMENTS))

    async def work(ring, cluster, clock):
        authenticator = Authenticator(lambda: clients, ring)
        token = signed(account_claims(clock()))
        headers = [(b"Authorization", f"Bearer {token}".encode())]
        found, proof = await authenticator.authenticate(headers, None, clock())
        assert (found.name, str(proof)) == ("mcp", "serviceAccount:6b0e5f0a-0000-4000-8000-000000000001")
        assert authenticator.holds(found, proof, clock())
        assert not authenticator.holds(found, proof, proof.expires)
        cluster.kids = ("ec",)
        await started(ring, clients.issuers.tokens["cluster"])
        await clock.pass_(REFRESH_SECONDS + 60)
        assert not authenticator.holds(found, proof, clock())

    run(work)


def test_what_cannot_be_checked_is_a_503_and_what_is_wrong_a_401(caplog):
    clients = Clients.from_documents(documents(DOCUMENTS))

    async def code(authenticator, token, now):
        with pytest.raises(Refused) as raised:
            await authenticator.authenticate([(b"Authorization", b"Bearer " + token.encode())], None, now)
        assert token not in caplog.text
        return raised.value.code, raised.value.retry_after

    async def work(ring, cluster, clock):
        cluster.problem = CredentialError("away")
        authenticator = Authenticator(lambda: clients, ring)
        claims = account_claims(clock())
        assert await code(authenticator, signed(claims), clock()) == (503, RETRY_SECONDS)
        # What no key makes right is refused without asking for keys.
        asked = cluster.asked
        assert await code(authenticator, signed(claims | {"iss": "https://elsewhere"}), clock()) == (401, None)
        assert await code(authenticator, signed(claims, header={"alg": "none"}), clock()) == (401, None)
        assert cluster.asked == asked
        assert "cannot be had: away" in caplog.text
        clock.now += 2
        cluster.problem = None
        assert await code(authenticator, signed(claims | {"exp": 1}), clock()) == (401, None)
        assert await code(authenticator, signed(claims | {"sub": "somebody"}), clock()) == (401, None)

    run(work)


def test_a_source_that_is_away_is_logged_once(caplog):
    async def work(ring, cluster, clock):
        cluster.problem = CredentialError("away")
        await started(ring, CLUSTER)
        await clock.pass_(600)
        cluster.problem = None
        await clock.pass_(600)
        cluster.problem = CredentialError("away")
        await clock.pass_(600)

    run(work)
    away, back = "the keys of Issuer `cluster` cannot be had: away", "had again: the keys of Issuer `cluster`"
    assert [record.getMessage() for record in caplog.records] == [away, back, away]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]  # one at start would end mitmproxy


def test_guesses_are_logged_once_a_second(caplog):
    async def work(ring, cluster, clock):
        authenticator = Authenticator(Clients, ring)
        for second in range(3):
            for _ in range(100):
                with pytest.raises(Refused):
                    await authenticator.authenticate([], None, START + second)

    run(work)
    assert len(caplog.records) == 3
    assert "99 more were not logged" in caplog.text


# --- client certificates ---


def certificates(path):
    text = MESH.removeprefix("---\n").replace("path: m.pem", f"path: {path}")
    return Clients.from_documents(documents(text + client("meshed", f"certificate: {{issuer: mesh, uri: '{SPIFFE}'}}")))


def test_a_certificate_is_held_by_the_authority_that_it_ends_in(tmp_path):
    path = tmp_path / "mesh.pem"
    path.write_bytes(pem(authority(START)))
    clients = certificates(path)

    async def work(ring, cluster, clock):
        authenticator = Authenticator(lambda: clients, ring)
        ring.follow(clients.issuers)
        await settle()
        found, proof = await authenticator.authenticate([], peer(certified(START)), clock())
        assert (found.name, proof.kind) == ("meshed", "certificate")
        assert authenticator.holds(found, proof, clock())
        assert not authenticator.holds(found, proof, proof.expires)
        path.write_bytes(pem(authority(START, "other")))
        await clock.pass_(20, step=5)
        assert not authenticator.holds(found, proof, clock())
        with pytest.raises(Refused) as raised:
            await authenticator.authenticate([], peer(certified(START)), clock())
        assert raised.value.code == 401

    run(work)


def test_a_certificate_that_cannot_be_checked_is_a_503(tmp_path):
    clients = certificates(tmp_path / "none.pem")

    async def work(ring, cluster, clock):
        with pytest.raises(Refused) as raised:
            await Authenticator(lambda: clients, ring).authenticate([], peer(certified(START)), clock())
        assert raised.value.code == 503
        with pytest.raises(Refused) as raised:  # nobody could vouch for it
            await Authenticator(Clients, ring).authenticate([], peer(certified(START)), clock())
        assert raised.value.code == 401

    run(work)
