"""The gateway's own calls: verified, with the credential of the gate, and only what changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import logging
import socket
import ssl
import threading
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pratique.errors import CredentialError, OwnCallError, Refused, StartError
from pratique.identity import own_calls as module
from pratique.identity.credentials import StaticCredentialSource
from pratique.identity.gate import Credential
from pratique.identity.own_calls import OwnCalls
from pratique.identity.own_verdict import RULE, own_verdict
from pratique.identity.secret import Secret
from pratique.identity.server import Server
from pratique.identity.sources import OneSource
from pratique.identity.tls import TlsFiles
from pratique.kube import rehearsal
from pratique.sandbox.cluster import Sandbox, SandboxOptions
from tests.identity.helpers import certificate
from tests.kube.test_rehearsal import MERGE, canonical

TOKEN = "own-call-token-CANARY"
MAP = "/api/v1/namespaces/default/configmaps"
AUDIT = "11111111-2222-4333-8444-555555555555-own-1"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with Sandbox(tmp_path_factory.mktemp("sandbox"), SandboxOptions(static_token=TOKEN)) as running:
        yield running


def calls(sandbox, *, ca=None, name=None, server=None, token=TOKEN):
    source = StaticCredentialSource(Credential(Secret(token)), "a test")
    files = TlsFiles(ca or sandbox.info.ca_path, None)
    return OwnCalls(server or Server.parse(sandbox.info.server), files, name, OneSource(source))


def send(client, *requests):
    async def run():
        try:
            return [await client.send(request, AUDIT) for request in requests]
        finally:
            client.close()

    return asyncio.run(run())


def test_a_dry_run_changes_nothing_and_its_answer_is_what_the_write_would_make(sandbox):
    create = canonical("POST", MAP, {"metadata": {"name": "own-a"}, "data": {"k": "v"}})
    made, gone = send(calls(sandbox), rehearsal.dry_run(create), canonical("GET", f"{MAP}/own-a"))
    assert (made.code, made.document["data"]) == (201, {"k": "v"})
    assert (gone.ok, gone.code) == (False, 404)


def test_the_call_has_our_credential_our_audit_id_and_our_name(sandbox, caplog):
    before = len(sandbox.requests)
    with caplog.at_level(logging.INFO, "pratique"):
        [answer] = send(calls(sandbox), canonical("GET", f"{MAP}?labelSelector=a%3Dsecret-value"))
    assert answer.ok
    [seen] = sandbox.requests[before:]
    assert seen.uri == f"{MAP}?labelSelector=a%3Dsecret-value"
    assert [value for name, value in seen.headers if name.lower() == "authorization"] == [f"Bearer {TOKEN}"]
    assert (seen.audit_id, seen.header("User-Agent")) == (AUDIT, "pratique (own call)")
    assert seen.header("Host") == sandbox.info.server.removeprefix("https://")
    assert f"own call GET {MAP} ({AUDIT}): 200" in caplog.text
    assert "CANARY" not in caplog.text
    assert "secret-value" not in caplog.text


PATCH = canonical("PATCH", f"{MAP}/a", {"data": {"k": "v"}}, MERGE)
POD = "/api/v1/namespaces/default/pods/web"


@pytest.mark.parametrize(
    "request_",
    [
        PATCH,
        canonical("DELETE", f"{MAP}/a"),
        canonical("DELETE", MAP),
        canonical("POST", MAP, {"metadata": {"name": "a"}}),
        canonical("GET", f"{MAP}?watch=true"),
        canonical("GET", f"{POD}/exec?command=id&stdout=true"),
        canonical("GET", f"{POD}/log"),
        canonical("GET", f"{POD}/proxy/x"),
        canonical("GET", "/version"),
        canonical("POST", "/api/v1/namespaces/default/serviceaccounts/a/token?dryRun=All", {"spec": {}}),
        canonical("POST", f"{POD}/binding?dryRun=All", {"metadata": {"name": "web"}}),
        canonical("POST", "/api/v1/namespaces/default/bindings?dryRun=All", {"metadata": {"name": "web"}}),
        canonical("POST", "/apis/authentication.k8s.io/v1/tokenreviews?dryRun=All", {"spec": {}}),
        replace(PATCH, dry_run="yes"),
    ],
)
def test_what_changes_mints_or_connects_is_not_the_gateways_to_ask(sandbox, request_):
    """Invariant 1: the verdict is Deny, so the gate writes no credential and nothing is sent."""
    assert not own_verdict(request_).allows
    before = len(sandbox.requests)
    with pytest.raises(Refused) as caught:
        send(calls(sandbox), request_)
    assert (caught.value.code, caught.value.rule) == (403, "gate")
    assert len(sandbox.requests) == before


@pytest.mark.parametrize(
    "request_",
    [
        rehearsal.dry_run(PATCH),
        rehearsal.dry_run(canonical("DELETE", f"{MAP}/a")),
        rehearsal.dry_run(canonical("POST", f"{POD}/eviction", {"metadata": {"name": "web"}})),
        rehearsal.live(canonical("GET", f"{POD}/exec?command=id&stdout=true")),
        rehearsal.selected(canonical("DELETE", f"{MAP}?labelSelector=a")),
        rehearsal.namespace("dev"),
    ],
)
def test_reads_and_dry_runs_are(request_):
    assert own_verdict(request_).allows
    assert own_verdict(request_).rules == (RULE,)


def test_a_server_with_the_certificate_of_another_ca_gets_no_token(sandbox, tmp_path):
    other = tmp_path / "ca.pem"
    other.write_text(certificate("other")[0])
    before = len(sandbox.requests)
    with pytest.raises(OwnCallError, match="certificate"):
        send(calls(sandbox, ca=other), canonical("GET", MAP))
    assert len(sandbox.requests) == before


def test_a_server_with_another_name_gets_no_token_unless_the_cluster_says_that_name(sandbox):
    with pytest.raises(OwnCallError, match="certificate"):
        send(calls(sandbox, name="other.example"), canonical("GET", MAP))
    assert send(calls(sandbox, name="localhost"), canonical("GET", MAP))[0].ok


def bare_certificate(folder):
    """A CA and its server certificate without key identifiers, as EKS has them: CA file, and chain with key."""
    start, end = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]

    def built(name, key, extension, critical):
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
        return builder.add_extension(extension, critical).sign(keys[0], hashes.SHA256())

    authority = built(issuer, keys[0], x509.BasicConstraints(True, None), True)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = built(subject, keys[1], address, False)
    private = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "ca.pem").write_bytes(authority.public_bytes(Encoding.PEM))
    (folder / "server.pem").write_bytes(leaf.public_bytes(Encoding.PEM) + private)
    return folder / "ca.pem", folder / "server.pem"


def test_a_certificate_without_key_identifiers_is_verified_by_its_ca_and_no_other(sandbox, tmp_path):
    authority, chain = bare_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        for _ in range(2):
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(listener.accept()[0], server_side=True) as connection,
            ):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    threading.Thread(target=serve, daemon=True).start()
    server = Server("https", "127.0.0.1", listener.getsockname()[1])
    try:
        assert send(calls(sandbox, ca=authority, server=server), canonical("GET", MAP))[0].document == {}
        with pytest.raises(OwnCallError, match="certificate"):
            send(calls(sandbox, server=server), canonical("GET", MAP))
    finally:
        listener.close()


def test_a_ca_file_that_is_none_stops_the_start(sandbox, tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(StartError):
        calls(sandbox, ca=tmp_path / "ca.pem")


def test_nobody_listening_is_an_error_without_a_value(sandbox):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        server = Server("https", "127.0.0.1", held.getsockname()[1])
        with pytest.raises(OwnCallError) as caught:
            send(calls(sandbox, server=server), canonical("GET", MAP))
    assert caught.value.code == 503
    assert TOKEN not in str(caught.value)


def test_no_credential_no_call(sandbox):
    class Empty(StaticCredentialSource):
        async def credential(self, now):
            raise CredentialError("none")

    source = OneSource(Empty(Credential(None), "none"))
    client = OwnCalls(Server.parse(sandbox.info.server), TlsFiles(sandbox.info.ca_path, None), None, source)
    with pytest.raises(CredentialError):
        send(client, canonical("GET", MAP))


def answering(monkeypatch, data):
    """A server that answers every connection with these bytes, without TLS: what is tested is the reading."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                if data is None:
                    hung.wait(10)
                else:
                    connection.sendall(data)

    hung = threading.Event()
    threading.Thread(target=serve, daemon=True).start()
    server = Server("http", "127.0.0.1", listener.getsockname()[1])

    def stop():
        hung.set()
        listener.close()

    return server, stop


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "is not JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "cannot be reached"),
        (b"nonsense\r\n\r\n", "in time"),
        (b"", "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"1" * 3000, "cannot be reached"),
        (None, "in time"),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error(sandbox, monkeypatch, data, message):
    server, stop = answering(monkeypatch, data)
    monkeypatch.setattr(module, "ANSWER_BYTES", 2000)
    monkeypatch.setattr(module, "CALL_SECONDS", 0.1 if message == "in time" else 10)
    try:
        with pytest.raises(OwnCallError, match=message):
            send(calls(sandbox, server=server), canonical("GET", MAP))
    finally:
        stop()


def test_a_redirect_is_an_answer_and_is_not_followed(sandbox, monkeypatch):
    location = f"{sandbox.info.server}{MAP}".encode()
    server, stop = answering(monkeypatch, b"HTTP/1.1 307 X\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")
    before = len(sandbox.requests)
    try:
        [answer] = send(calls(sandbox, server=server), canonical("GET", MAP))
    finally:
        stop()
    assert (answer.code, answer.ok, answer.document) == (307, False, None)
    assert len(sandbox.requests) == before


# --- the keys of ServiceAccount tokens ---


def test_the_clusters_keys_are_read_and_nothing_else_beside_resources():
    assert own_verdict(module.KEY_SET).allows
    assert (b"Accept", b"*/*") in module.KEY_SET.headers  # kube-apiserver answers 406 to any JSON form
    for method, path in (
        ("GET", "/openid/v1"), ("POST", "/openid/v1/jwks"), ("GET", "/metrics"),
        ("GET", "/version"),
    ):  # fmt: skip
        assert not own_verdict(canonical(method, path)).allows


def test_a_cluster_that_gives_no_keys_is_no_key_set(sandbox):
    async def run(client):
        try:
            return await client.key_set()
        finally:
            client.close()

    with pytest.raises(CredentialError, match=r"answers 404 to `/openid/v1/jwks`. Bind the ClusterRole"):
        asyncio.run(run(calls(sandbox)))
    with pytest.raises(CredentialError, match="cannot be reached"):
        asyncio.run(run(calls(sandbox, server=Server.parse("https://127.0.0.1:1"))))


def test_a_call_about_a_client_is_made_as_its_account(sandbox):
    from pratique.identity.impersonation import CallId, ImpersonatedAccount

    async def run(client):
        try:
            return await client.send(canonical("GET", f"{MAP}/own-acts"), CallId(AUDIT, ImpersonatedAccount("a", "b")))
        finally:
            client.close()

    asyncio.run(run(calls(sandbox)))
    [seen] = [record for record in sandbox.requests if record.uri == f"{MAP}/own-acts"]
    acting = [value for name, value in seen.headers if name.lower().startswith("impersonate-")]
    assert acting == [
        "system:serviceaccount:a:b",
        "system:serviceaccounts",
        "system:serviceaccounts:a",
        "system:authenticated",
    ]
