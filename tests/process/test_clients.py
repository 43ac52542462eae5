"""Every kind of client credential: valid, expired, for somebody else, unsigned, revoked, unknown → the right answer.

The sandbox is the witness that no refused request reached the cluster, and the recordings that no credential is kept.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pratique.identity.clients import client_document, new_api_key
from pratique.sandbox.cluster import Sandbox
from tests.identity import certifying
from tests.identity.issuing import AUDIENCE, ISSUER, account_claims, confused, key_set, signed, unsigned, without
from tests.process.gateway import Gateway, eventually, read_answer
from tests.process.h2client import H2Client
from tests.process.reviewing import Held, Reviewer

pytestmark = pytest.mark.process
LIST = "/api/v1/namespaces/payments/configmaps"
WATCH = "/api/v1/namespaces/payments/pods?watch=true&timeoutSeconds=300"

DOCUMENTS = f"""
apiVersion: pratique/v1
kind: Issuer
metadata: {{name: cluster}}
spec:
  tokens: {{url: "{ISSUER}", audiences: [{AUDIENCE}], keys: {{file: keys.json}}}}
---
apiVersion: pratique/v1
kind: Issuer
metadata: {{name: away}}
spec:
  tokens: {{url: "{ISSUER}/away", audiences: [{AUDIENCE}], keys: {{file: no-such-file.json}}}}
---
apiVersion: pratique/v1
kind: Issuer
metadata: {{name: sandbox}}
spec:
  tokens: {{url: "{ISSUER}/sandbox", audiences: [{AUDIENCE}], keys: {{cluster: {{}}}}}}
---
apiVersion: pratique/v1
kind: Client
metadata: {{name: server}}
spec:
  serviceAccount: {{issuer: cluster, namespace: mcp, name: server}}
---
apiVersion: pratique/v1
kind: Client
metadata: {{name: ops}}
spec:
  oidc: {{issuer: cluster, claims: {{groups: ops}}}}
---
apiVersion: pratique/v1
kind: Client
metadata: {{name: tenant}}
spec:
  oidc: {{issuer: cluster, claims: {{tenant: a}}}}
---
apiVersion: pratique/v1
kind: Client
metadata: {{name: of-the-away}}
spec:
  serviceAccount: {{issuer: away, namespace: mcp, name: server}}
---
apiVersion: pratique/v1
kind: Client
metadata: {{name: of-the-sandbox}}
spec:
  serviceAccount: {{issuer: sandbox, namespace: mcp, name: server}}
"""
CERTIFIED = """
apiVersion: pratique/v1
kind: Issuer
metadata: {name: mesh}
spec:
  certificates: {certificateAuthority: {path: mesh.pem}}
---
apiVersion: pratique/v1
kind: Client
metadata: {name: meshed}
spec:
  certificate: {issuer: mesh, uri: "spiffe://example.org/mcp/server"}
---
apiVersion: pratique/v1
kind: Client
metadata: {name: named}
spec:
  certificate: {issuer: mesh, commonName: named}
---
apiVersion: pratique/v1
kind: Client
metadata: {name: other-name}
spec:
  certificate: {issuer: mesh, dns: both.example}
"""
REVOKED = """
apiVersion: pratique/v1
kind: Client
metadata: {name: leaves}
spec:
  serviceAccount: {issuer: cluster, namespace: mcp, name: leaves}
"""


@pytest.fixture(scope="module")
def issued(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("issued")
    gone = new_api_key("gone", bytes(32))
    documents = {"issuers.yaml": DOCUMENTS.lstrip(), "leaves.yaml": REVOKED.lstrip(), "keys.json": key_set("rsa", "ec").decode(),
                 "mesh.yaml": CERTIFIED.lstrip(), "mesh.pem": certifying.pem(certifying.authority(time.time())).decode(),
                 "gone.yaml": client_document("gone", gone.sha256).replace("spec:", "spec:\n  holdSeconds: 0")}  # fmt: skip
    documents["gone.yaml"] += '    expires: "2020-01-01T00:00:00Z"\n'
    running = Gateway(folder, sandbox, documents=documents, hold=45)
    running.keys["gone"] = gone.key.reveal()
    running.start()
    yield running
    running.stop()


def get(gateway: Gateway, marker: str, *values: str) -> Any:
    lines = [f"Authorization: {value}" for value in values]
    answer = gateway.raw(gateway.head(f"GET {LIST}/{marker}", *lines, client=""))
    return int(answer.split(b" ", 2)[1]), answer


def oidc(**more: Any) -> dict[str, Any]:
    return without(account_claims(time.time()), "kubernetes.io") | {"sub": "somebody", "groups": ["ops"]} | more


def test_a_valid_token_of_each_kind_passes_and_the_cluster_sees_only_the_gateways(issued: Gateway) -> None:
    now = time.time()
    for number, (token, client) in enumerate([
        (signed(account_claims(now)), "serviceAccount:"), (signed(account_claims(now), "ec"), "serviceAccount:"),
        (signed(oidc(), alg="PS256"), "oidc:"), (signed(oidc(aud="pratique", jti="a-name-for-it")), "oidc:a-name-for-it"),
    ]):  # fmt: skip
        marker = f"with-token-{number}"
        assert get(issued, marker, f"Bearer {token}")[0] == 404
        [record] = issued.seen(marker)
        assert record.header("authorization") == f"Bearer {issued.sandbox.info.static_token}"
        assert token not in str(record.headers)
        eventually(lambda: client.encode() in issued.recorded())  # noqa: B023 - waited for at once
        for part in token.split(".")[1:]:
            assert part.encode() not in issued.recorded()


def refused(now: float, key: str, gone: str) -> dict[str, tuple[str, ...]]:
    account = account_claims(now)
    good = signed(account)
    return {
        "none": (),
        "key-unknown": (f"Bearer {key[:-1]}{'A' if key[-1] != 'A' else 'B'}",),
        "key-expired": (f"Bearer {gone}",),
        "two-keys": (f"Bearer {key}", f"Bearer {key}"),
        "key-and-token": (f"Bearer {key}", f"Bearer {good}"),
        "two-tokens": (f"Bearer {good}", f"Bearer {good}"),
        "token-in-basic": (f"Basic {good}",),
        "account-expired": (f"Bearer {signed(account | {'exp': now - 1})}",),
        "account-not-yet": (f"Bearer {signed(account | {'nbf': now + 600})}",),
        "account-wrong-audience": (f"Bearer {signed(account | {'aud': ['https://kubernetes.default.svc']})}",),
        "account-no-audience": (f"Bearer {signed(without(account, 'aud'))}",),
        "account-wrong-issuer": (f"Bearer {signed(account | {'iss': 'https://other.example'})}",),
        "account-of-an-issuer-by-keys-of-another": (f"Bearer {signed(account | {'iss': ISSUER + '/away'}, header={'alg': 'none'})}",),
        "account-none": (f"Bearer {unsigned(account)}",),
        "account-empty-signature": (f"Bearer {unsigned(account, signature=b'')}",),
        "account-hmac": (f"Bearer {confused(account)}",),
        "account-other-key": (f"Bearer {signed(account, 'rsa-other', header={'kid': 'rsa'})}",),
        "account-unknown-key": (f"Bearer {signed(account, 'rsa-other')}",),
        "account-unknown": (f"Bearer {signed(account_claims(now, name='nobody'))}",),
        "account-no-expiry": (f"Bearer {signed(without(account, 'exp'))}",),
        "oidc-expired": (f"Bearer {signed(oidc(exp=now - 1))}",),
        "oidc-wrong-audience": (f"Bearer {signed(oidc(aud='other'))}",),
        "oidc-wrong-issuer": (f"Bearer {signed(oidc(iss='https://login.example'))}",),
        "oidc-none": (f"Bearer {unsigned(oidc())}",),
        "oidc-unknown": (f"Bearer {signed(oidc(groups=['dev']))}",),
        "oidc-ambiguous": (f"Bearer {signed(oidc(tenant='a'))}",),
        "too-long": (f"Bearer {signed(oidc(more='x' * 16_384))}",),
    }  # fmt: skip


NAMES = sorted(refused(0.0, "k", "g"))


@pytest.mark.parametrize("name", NAMES)
def test_any_other_is_a_401_that_does_not_say_what_was_wrong(issued: Gateway, name: str) -> None:
    values = refused(time.time(), issued.keys["agent"], issued.keys["gone"])[name]
    code, answer = get(issued, f"refused-{name}", *values)
    assert code == 401, answer
    assert b"no valid credential of a client" in answer
    assert b"www-authenticate" in answer.lower()
    assert issued.seen(f"refused-{name}") == []


@pytest.mark.parametrize("issuer", ["away", "sandbox"])
def test_what_cannot_be_checked_is_a_503_that_says_when_to_repeat(issued: Gateway, issuer: str) -> None:
    """No keys in the file; and a cluster (the sandbox) that publishes none."""
    token = signed(account_claims(time.time()) | {"iss": f"{ISSUER}/{issuer}"})
    code, answer = get(issued, f"unchecked-{issuer}", f"Bearer {token}")
    assert code == 503
    assert b"\r\nretry-after: 5\r\n" in answer.lower()
    assert issued.seen(f"unchecked-{issuer}") == []


def test_a_client_that_is_removed_is_unknown_and_its_open_stream_ends(issued: Gateway) -> None:
    token = signed(account_claims(time.time(), name="leaves"))
    with issued.connect() as watch:
        watch.sendall(issued.head(f"GET {WATCH}", f"Authorization: Bearer {token}", client=""))
        assert watch.recv(65536).startswith(b"HTTP/1.1 200")
        (Path(issued.policies) / "leaves.yaml").unlink()
        ends(watch)
    assert get(issued, "was-removed", f"Bearer {token}")[0] == 401
    assert issued.seen("was-removed") == []


def test_an_open_stream_ends_when_its_token_does(issued: Gateway) -> None:
    token = signed(account_claims(time.time()) | {"exp": time.time() + 2})
    with issued.connect() as watch:
        watch.sendall(issued.head(f"GET {WATCH}", f"Authorization: Bearer {token}", client=""))
        assert watch.recv(65536).startswith(b"HTTP/1.1 200")
        ends(watch)


def ends(sock: Any) -> None:
    """As if the cluster had ended it, long before the watch's own end (300 s)."""
    received = b""
    while not received.endswith(b"0\r\n\r\n"):
        chunk = sock.recv(65536)
        assert chunk
        received += chunk


def test_a_request_that_was_held_is_not_sent_for_a_client_that_is_gone(issued: Gateway) -> None:
    """Approved, but its document was taken out meanwhile (bypass 6.13)."""
    document = issued.policies / "waits.yaml"
    document.write_text(REVOKED.lstrip().replace("leaves", "waits"))
    issued.behind("POST", LIST, {"metadata": {"name": "held-too-long"}})
    token = {"Authorization": f"Bearer {signed(account_claims(time.time(), name='waits'))}"}
    eventually(lambda: issued.call("GET", LIST, headers=token, client="").code == 200)
    held = Held(issued, "DELETE", f"{LIST}/held-too-long", headers=token, client="")
    alice = Reviewer(issued, "alice")
    alice.find("held-too-long")
    document.unlink()
    eventually(lambda: issued.call("GET", LIST, headers=token, client="").code == 401)
    alice.decide("held-too-long")
    assert held.answer().code == 401
    assert issued.seen("held-too-long") == []
    assert issued.behind("GET", f"{LIST}/held-too-long").code == 200


def test_keys_of_a_client_rotate_one_beside_the_other(issued: Gateway) -> None:
    """A second key is good beside the first, and alone when that is taken out."""
    document = issued.policies / "client-other.yaml"
    old, new = issued.keys["other"], new_api_key("other", b"n" * 32)
    with_both = document.read_text() + f'  - sha256: "{new.sha256}"\n'
    document.write_text(with_both)
    eventually(lambda: get(issued, "rotates-new", f"Bearer {new.key.reveal()}")[0] == 404)
    assert get(issued, "rotates-old", f"Bearer {old}")[0] == 404
    document.write_text(client_document("other", new.sha256))
    eventually(lambda: get(issued, "rotates-old-again", f"Bearer {old}")[0] == 401)
    assert get(issued, "rotates-new-again", f"Bearer {new.key.reveal()}")[0] == 404


# --- client certificates ---


def certified(
    gateway: Gateway, folder: Path, *chain: Any, who: str = "client", alpn: str = "http/1.1"
) -> ssl.SSLContext:
    """A context that presents a certificate (and what is sent with it) with the key of `who`."""
    context = gateway.tls((alpn,))
    file = folder / f"{who}.pem"
    file.write_bytes(certifying.private_pem(who) + certifying.pem(*chain))
    context.load_cert_chain(file)
    return context


def with_certificate(gateway: Gateway, context: ssl.SSLContext, marker: str, *headers: str) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", gateway.port), 60) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as sock:
            sock.sendall(gateway.head(f"GET {LIST}/{marker}", *headers, client=""))
            answer = read_answer(sock)
    return int(answer.split(b" ", 2)[1]), answer


NOBODYS = {
    "expired": lambda now: [certifying.client(now, days=-0.01)],
    "not-yet": lambda now: [certifying.client(now, ago=-0.01)],
    "wrong-authority": lambda now: [certifying.client(now, ca="evil"), certifying.authority(now, "evil")],
    "same-name-authority": lambda now: [
        certifying.client(now, ca="evil"),
        certifying.authority(now, "evil", by_name="ca"),
    ],
    "for-servers": lambda now: [certifying.client(now, eku=(certifying.Usage.SERVER_AUTH,))],
    "unknown": lambda now: [certifying.client(now, uris=("spiffe://example.org/mcp/other",), common=())],
    "ambiguous": lambda now: [certifying.client(now, dns=("both.example",))],
    "somebodys-second": lambda now: [certifying.client(now, ca="self", who="self"), certifying.client(now)],
}


@pytest.mark.parametrize("name", NOBODYS)
def test_a_certificate_that_is_nobodys_is_a_401(issued: Gateway, tmp_path: Path, name: str) -> None:
    who = "self" if name == "somebodys-second" else "client"
    context = certified(issued, tmp_path, *NOBODYS[name](time.time()), who=who)
    code, answer = with_certificate(issued, context, f"certified-{name}")
    assert code == 401, answer
    assert b"no valid credential of a client" in answer
    assert issued.seen(f"certified-{name}") == []


def test_a_certificate_is_its_client_whatever_it_is_named_by(issued: Gateway, tmp_path: Path) -> None:
    now = time.time()
    for marker, certificate in {
        "certified-by-uri": certifying.client(now),
        "certified-by-name": certifying.client(now, uris=(), common=("named",)),
        "certified-by-dns": certifying.client(now, uris=(), dns=("both.example",)),
    }.items():
        assert with_certificate(issued, certified(issued, tmp_path, certificate), marker)[0] == 404
        assert len(issued.seen(marker)) == 1
    eventually(lambda: b"certificate:1234abcd/sha256:" in issued.recorded())


def test_a_certificate_and_a_key_at_once_are_a_401(issued: Gateway, tmp_path: Path) -> None:
    context = certified(issued, tmp_path, certifying.client(time.time()))
    for value in (f"Bearer {issued.keys['agent']}", f"Bearer {signed(account_claims(time.time()))}", ""):
        assert with_certificate(issued, context, "certified-twice", f"Authorization: {value}")[0] == 401
    assert issued.seen("certified-twice") == []


def test_no_certificate_and_no_key_is_a_401_and_headers_that_tell_of_one_are_nothing(
    issued: Gateway, tmp_path: Path
) -> None:
    forwarded = "X-Forwarded-Client-Cert: By=spiffe://gateway;URI=spiffe://example.org/mcp/server"
    assert with_certificate(issued, issued.tls(), "certified-not", forwarded)[0] == 401
    assert issued.seen("certified-not") == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_not_resumed(issued: Gateway, tmp_path: Path, version: ssl.TLSVersion) -> None:
    """A resumed one would carry the certificate of the first, whoever has its ticket."""
    context = certified(issued, tmp_path, certifying.client(time.time()))
    context.minimum_version = context.maximum_version = version
    session = None
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", issued.port), 60) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as sock:
                sock.sendall(issued.head(f"GET {LIST}/resumes-not", client=""))
                assert read_answer(sock).startswith(b"HTTP/1.1 404")
                assert not sock.session_reused
                session = sock.session


def test_an_open_stream_ends_when_its_certificate_does(issued: Gateway, tmp_path: Path) -> None:
    certificate = certifying.client(time.time(), days=3 / 86400)
    context = certified(issued, tmp_path, certificate)
    with socket.create_connection(("127.0.0.1", issued.port), 60) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as watch:
            watch.sendall(issued.head(f"GET {WATCH}", client=""))
            assert watch.recv(65536).startswith(b"HTTP/1.1 200")
            ends(watch)
            watch.sendall(issued.head(f"GET {LIST}/certified-once", client=""))
            assert read_answer(watch).startswith(b"HTTP/1.1 401")


def test_http2_asks_for_a_certificate_too(issued: Gateway, tmp_path: Path) -> None:
    context = certified(issued, tmp_path, certifying.client(time.time()), alpn="h2")
    with H2Client(issued, "", context=context) as client:
        stream = client.streams[client.request("GET", f"{LIST}/certified-h2")]
        client.wait(lambda: stream.over)
        assert stream.status == 404
    assert len(issued.seen("certified-h2")) == 1


def test_a_gateway_without_such_clients_asks_for_no_certificate(gateway: Gateway, tmp_path: Path) -> None:
    """The handshake of others stays as it was, and a certificate is not even sent."""
    context = certified(gateway, tmp_path, certifying.client(time.time()))
    key = f"Authorization: Bearer {gateway.keys['agent']}"
    assert with_certificate(gateway, context, "certified-unasked", key)[0] == 404


# --- limits ---

LIMITED = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: more-deletes}
spec:
  subjects: [limited-writes]
  rules:
    - {name: delete, verbs: [delete], apiGroups: [""], resources: [secrets], action: Allow}
"""


def limited(gateway: Gateway, name: str, limits: str) -> None:
    key = new_api_key(name, name.encode().ljust(32, b"-"))
    gateway.keys[name] = key.key.reveal()
    gateway.documents[f"client-{name}.yaml"] = (
        client_document(name, key.sha256) + f"  limits: {limits}\n  holdSeconds: 0\n"
    )


@pytest.fixture(scope="module")
def limiting(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    running = Gateway(tmp_path_factory.mktemp("limiting"), sandbox)
    limited(running, "limited-rate", "{requestsPerSecond: 0.01, burst: 3}")
    limited(running, "limited-streams", "{streams: 2}")
    limited(running, "limited-asking", "{pendingApprovals: 1}")
    limited(running, "limited-writes", "{writesPerDay: 2}")
    running.documents["more.yaml"] = LIMITED.lstrip()
    running._write_documents()
    running.start()
    yield running
    running.stop()


def test_a_client_that_is_too_fast_is_told_when_to_come_back(limiting: Gateway) -> None:
    answers = [limiting.call("GET", f"{LIST}/limited-rate", client="limited-rate") for _ in range(5)]
    assert [answer.code for answer in answers] == [404, 404, 404, 429, 429]
    assert int(answers[-1].headers["retry-after"]) in range(90, 101)
    assert answers[-1].json["details"]["retryAfterSeconds"] == int(answers[-1].headers["retry-after"])
    assert len(limiting.seen("limited-rate")) == 3
    assert limiting.call("GET", f"{LIST}/others-are-not-limited", client="other").code == 404


def test_a_client_may_have_so_many_streams_at_once(limiting: Gateway) -> None:
    open_ = [limiting.connect() for _ in range(2)]
    try:
        for sock in open_:
            sock.sendall(limiting.head(f"GET {WATCH}", client="limited-streams"))
            assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        answer = limiting.call("GET", f"{LIST}/limited-streams", client="limited-streams")
        assert (answer.code, answer.headers.get("retry-after")) == (429, None)
        assert limiting.seen("limited-streams") == []
    finally:
        for sock in open_:
            sock.close()
    eventually(lambda: limiting.call("GET", f"{LIST}/limited-streams", client="limited-streams").code == 404)


def test_a_client_may_wait_for_so_many_approvals(limiting: Gateway) -> None:
    first = limiting.call("DELETE", f"{LIST}/limited-asking-1", client="limited-asking")
    assert first.code == 403
    assert limiting.call("DELETE", f"{LIST}/limited-asking-1", client="limited-asking").code == 403
    second = limiting.call("DELETE", f"{LIST}/limited-asking-2", client="limited-asking")
    assert (second.code, second.headers.get("retry-after")) == (429, None)
    assert limiting.call("DELETE", f"{LIST}/limited-asking-2", client="other").code == 403


def test_writes_of_a_day_are_counted_across_a_restart(limiting: Gateway) -> None:
    """Dry runs, reads and refusals are none; what was sent is one, whatever the cluster said."""

    def write(name: str, query: str = "") -> Any:
        body = {"metadata": {"name": name}}
        return limiting.call("POST", LIST + query, body, client="limited-writes")

    assert write("limited-dry", "?dryRun=All").code == 201
    assert limiting.call("DELETE", "/api/v1/namespaces/payments", client="limited-writes").code == 403
    assert write("limited-writes-1").code == 201
    assert (
        limiting.call("DELETE", "/api/v1/namespaces/payments/secrets/limited-none", client="limited-writes").code == 404
    )
    over = write("limited-writes-2")
    assert (over.code, over.headers.get("retry-after")) == (429, None)
    assert "used its 2 writes of today" in over.json["message"]
    assert limiting.call("GET", f"{LIST}/limited-writes-1", client="limited-writes").code == 200
    limiting.stop()
    limiting.start()
    assert write("limited-writes-3").code == 429
    assert write("limited-dry", "?dryRun=All").code == 201
    names = [record.body for record in limiting.sandbox.requests if b"limited-writes-" in record.body]
    assert len(names) == 1


# --- impersonation ---

AS_AGENT = [
    ("impersonate-user", "system:serviceaccount:mcp:agent"), ("impersonate-group", "system:serviceaccounts"),
    ("impersonate-group", "system:serviceaccounts:mcp"), ("impersonate-group", "system:authenticated"),
]  # fmt: skip
REVIEWS = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: reviews}
spec:
  subjects: ["*"]
  rules:
    - name: ask-about-self
      verbs: [create]
      apiGroups: [authentication.k8s.io, authorization.k8s.io]
      resources: [selfsubjectreviews, selfsubjectaccessreviews, selfsubjectrulesreviews]
      action: Allow
"""
ASKING = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: looks}
spec:
  subjects: [as-agent]
  rules:
    - name: looks-first
      verbs: [delete]
      apiGroups: [""]
      resources: [pods]
      conditions: [{name: it is labelled, expression: 'oldObject.metadata.name != "kept"'}]
      action: RequireApproval
"""


def impersonated(record: Any) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in record.headers if name.lower().startswith("impersonate")]


@pytest.fixture(scope="module")
def acting(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    running = Gateway(tmp_path_factory.mktemp("acting"), sandbox)
    key = new_api_key("as-agent", b"a" * 32)
    running.keys["as-agent"] = key.key.reveal()
    document = (
        client_document("as-agent", key.sha256) + "  impersonate: {serviceAccount: mcp/agent}\n  holdSeconds: 0\n"
    )
    running.documents |= {
        "client-as-agent.yaml": document,
        "looks.yaml": ASKING.lstrip(),
        "reviews.yaml": REVIEWS.lstrip(),
    }
    running._write_documents()
    running.start()
    yield running
    running.stop()


def test_requests_of_a_client_are_made_as_its_service_account_with_its_groups(acting: Gateway) -> None:
    for method, marker, body in (("GET", "acts-get", None), ("DELETE", "acts-none", None)):
        acting.call(method, f"{LIST}/{marker}", body, client="as-agent")
    [record] = acting.seen("acts-get")
    assert impersonated(record) == AS_AGENT
    assert record.header("authorization") == f"Bearer {acting.sandbox.info.static_token}"
    assert acting.call("GET", f"{LIST}/acts-other", client="other").code == 404
    [record] = acting.seen("acts-other")
    assert impersonated(record) == []
    eventually(lambda: b"system:serviceaccount:mcp:agent" in acting.recorded())


def test_a_session_in_a_pod_is_opened_as_it_too(acting: Gateway) -> None:
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: v5.channel.k8s.io"]  # fmt: skip
    acting.raw(
        acting.head(
            "GET /api/v1/namespaces/payments/pods/acts-exec/exec?command=id&stdout=true", *upgrade, client="as-agent"
        )
    )
    [record] = acting.seen("acts-exec/exec")
    assert impersonated(record) == AS_AGENT


def test_what_is_foreseen_is_foreseen_as_it(acting: Gateway) -> None:
    """The live object that a rule looks at, and the dry run that reviewers are shown."""
    acting.behind(
        "POST",
        "/api/v1/namespaces/payments/pods",
        {"metadata": {"name": "acts-pod"}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
    )
    assert acting.call("DELETE", "/api/v1/namespaces/payments/pods/acts-pod", client="as-agent").code == 403
    own = [record for record in acting.own_calls("pods/acts-pod")]
    assert len(own) >= 2
    assert {tuple(impersonated(record)) for record in own} == {tuple(AS_AGENT)}
    assert acting.seen("acts-pod") == []
    acting.behind("DELETE", "/api/v1/namespaces/payments/pods/acts-pod")  # others take the first pod there is


@pytest.mark.parametrize(
    "name", ["Impersonate-User", "impersonate-group", "Impersonate_Uid", "Impersonate-Extra-scopes"]
)
def test_a_client_that_is_impersonated_impersonates_nobody(acting: Gateway, name: str) -> None:
    answer = acting.raw(acting.head(f"GET {LIST}/acts-as-another", f"{name}: system:admin", client="as-agent"))
    assert answer.startswith(b"HTTP/1.1 403")
    assert acting.seen("acts-as-another") == []


def test_a_stream_ends_when_it_would_be_opened_as_another(acting: Gateway) -> None:
    document = acting.policies / "client-as-agent.yaml"
    before = document.read_text()
    with acting.connect() as watch:
        watch.sendall(acting.head(f"GET {WATCH}", client="as-agent"))
        assert watch.recv(65536).startswith(b"HTTP/1.1 200")
        document.write_text(before.replace("mcp/agent", "mcp/other"))
        ends(watch)
    document.write_text(before)
    eventually(
        lambda: (
            acting.call("GET", f"{LIST}/acts-again", client="as-agent").code == 404
            and impersonated(acting.seen("acts-again")[-1]) == AS_AGENT
        )
    )


# --- reviews about oneself ---


def review(gateway: Gateway, kind: str, spec: Any = None, client: str = "other") -> Any:
    group = "authentication" if kind == "SelfSubjectReview" else "authorization"
    body = {"kind": kind, "apiVersion": f"{group}.k8s.io/v1"} | ({} if spec is None else {"spec": spec})
    answer = gateway.call("POST", f"/apis/{group}.k8s.io/v1/{kind.lower()}s", body, client=client)
    assert answer.code == 201, answer
    return answer


def test_who_am_i_is_answered_for_the_client(acting: Gateway) -> None:
    assert review(acting, "SelfSubjectReview").json["status"]["userInfo"] == {
        "username": "other",
        "groups": ["pratique:clients"],
    }
    groups = ["pratique:clients", "system:serviceaccounts", "system:serviceaccounts:mcp", "system:authenticated"]
    found = review(acting, "SelfSubjectReview", client="as-agent").json["status"]["userInfo"]
    assert found == {"username": "as-agent", "groups": groups}


def test_may_i_is_answered_by_policy_and_cluster(acting: Gateway) -> None:
    def may(**resource: str) -> Any:
        return review(acting, "SelfSubjectAccessReview", {"resourceAttributes": {"namespace": "payments", **resource}})

    assert may(verb="get", resource="pods").json["status"]["allowed"] is True
    denied = may(verb="create", resource="pods").json["status"]
    assert (denied["allowed"], denied["denied"]) == (False, True)
    queued = may(verb="delete", resource="configmaps")
    assert queued.json["status"]["allowed"] is True
    assert "a person has to approve each such request" in queued.headers["warning"]
    assert "sandbox" not in queued.body.decode()


def test_what_may_i_is_what_both_permit(acting: Gateway) -> None:
    status = review(acting, "SelfSubjectRulesReview", {"namespace": "payments"}).json["status"]
    verbs = {resource: rule["verbs"] for rule in status["resourceRules"] for resource in rule["resources"]}
    assert verbs["pods"] == ["get", "list", "watch"]
    assert "delete" in verbs["configmaps"]
    assert "nodes" not in verbs
    assert status["incomplete"] is True


def test_where_the_policy_denies_it_nothing_is_answered(gateway: Gateway) -> None:
    for kind in ("selfsubjectaccessreviews", "selfsubjectrulesreviews"):
        answer = gateway.call("POST", f"/apis/authorization.k8s.io/v1/{kind}", {"spec": {}})
        assert answer.code == 403
