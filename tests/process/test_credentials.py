"""Invariant 1: no credential of a client reaches the cluster, and the cluster's is seen by nobody. The sandbox is the witness."""

from __future__ import annotations

import base64

import pytest

from tests.process.gateway import Gateway, eventually
from tests.process.h2client import H2Client

pytestmark = pytest.mark.process
LIST = "/api/v1/namespaces/payments/configmaps"
CANARY = "client-credential-CANARY"
SENT = frozenset(
    {"accept", "accept-encoding", "authorization", "host", "user-agent", "audit-id", "content-type", "content-length"}
)
"""All that a request may carry upstream."""


def witness(gateway: Gateway, marker: str) -> int:
    """How many requests with `marker` in their target arrived, each with exactly the gateway's credential."""
    seen = gateway.seen(marker)
    for record in seen:
        names = [name.lower() for name, _ in record.headers]
        assert set(names) <= SENT, names
        assert names.count("authorization") == 1
        assert record.header("authorization") == f"Bearer {gateway.sandbox.info.static_token}"
        everything = f"{record.uri} {record.headers} {record.body!r}"
        assert CANARY not in everything
        assert not [key for key in gateway.keys.values() if key in everything]
    return len(seen)


def send(gateway: Gateway, marker: str, *headers: str, query: str = "") -> int:
    """A GET with the client's key and these headers; the code of the answer."""
    answer = gateway.raw(gateway.head(f"GET {LIST}/{marker}{query}", *headers))
    assert answer.startswith(b"HTTP/1.1 ")
    return int(answer.split(b" ", 2)[1])


STRIPPED = [
    "Proxy-Authorization: Bearer {}", "proxy_authorization: Bearer {}", "Cookie: a={}", "Cookie2: a={}",
    "X-Remote-User: {}", "x-remote-group: {}", "X-REMOTE-UID: {}", "X-Remote-Extra-Scopes: {}", "X_Remote_User: {}",
    "X-Forwarded-User: {}", "X-Forwarded-Client-Cert: {}", "Client-Cert: :{}:", "X-SSL-Client-Cert: {}", "X-Api-Key: {}",
    "X-Auth-Token: {}", "X-Amz-Security-Token: {}", "X-Access-Token: {}", "X-Forwarded-For: {}", "Forwarded: for={}",
    "Authorization-Info: {}", "X-Authorization: Bearer {}", "Sec-WebSocket-Protocol: {}", "Kubectl-Command: {}",
    "X-HTTP-Method-Override: {}", "Audit-ID: {}", "Referer: https://{}", "Origin: https://{}", "TE: {}", "Trailer: {}",
    "X-Anything-Else: {}", "Upgrade: h2c\r\nHTTP2-Settings: {}\r\nConnection: Upgrade, HTTP2-Settings", "Upgrade: {}",
]  # fmt: skip


@pytest.mark.parametrize("header", STRIPPED, ids=lambda header: header.partition(":")[0])
def test_a_header_that_identifies_a_caller_does_not_pass(gateway: Gateway, header: str) -> None:
    marker = f"stripped-{STRIPPED.index(header):02}"
    assert send(gateway, marker, header.format(CANARY)) == 404
    assert witness(gateway, marker) == 1


@pytest.mark.parametrize(
    "name",
    ["Impersonate-User", "impersonate-user", "iMpErSoNaTe-UsEr", "IMPERSONATE-GROUP", "Impersonate-Uid",
     "Impersonate-Extra-scopes", "Impersonate_User", "impersonate_group", "Impersonate-Extra_x", "Impersonate-"],
)  # fmt: skip
def test_bypass_2_7_impersonation_is_refused_in_any_spelling(gateway: Gateway, name: str) -> None:
    assert send(gateway, "impersonates", f"{name}: {CANARY}") == 403
    assert send(gateway, "impersonates", f"{name}:", f"{name}: {CANARY}") == 403
    assert witness(gateway, "impersonates") == 0


HOPS = [
    "Authorization", "close, Authorization", "Impersonate-User", "keep-alive, authorization, Host", "Audit-ID, Accept",
    "Authorization\r\nConnection: Content-Length",
]  # fmt: skip


@pytest.mark.parametrize("value", HOPS)
def test_bypass_2_4_connection_takes_no_header_away(gateway: Gateway, value: str) -> None:
    """A hop that took it by its word would drop the gateway's own Authorization, or add the client's header back."""
    marker = f"hop-{HOPS.index(value)}"
    assert send(gateway, marker, f"Connection: {value}") == 404
    assert witness(gateway, marker) == 1


def test_bypass_2_5_exactly_one_authorization_is_read(gateway: Gateway) -> None:
    key = gateway.keys["agent"]
    basic = base64.b64encode(f"agent:{key}".encode()).decode()
    no = [
        [f"Authorization: Basic {basic}"],
        [f"Authorization: Bearer {key}", f"Authorization: Bearer {CANARY}"],
        [f"Authorization: Bearer {CANARY}", f"Authorization: Bearer {key}"],
        [f"Authorization: Bearer {key}", f"authorization: Bearer {key}"],
        [f"Authorization: Bearer {key}, Bearer {CANARY}"],
        [f"Authorization: Bearer {key} {CANARY}"],
        [f"Authorization: {key}"],
        [f"Authorization: Bearer {key[:-1]}"],
        [f"Authorization: Bearer {key.upper()}"],
        ["Authorization: Bearer"],
        ["Authorization:"],
        [f"X-Authorization: Bearer {key}"],
        [f"Proxy-Authorization: Bearer {key}"],
        [f"Cookie: authorization=Bearer {key}"],
    ]
    for headers in no:
        answer = gateway.raw(gateway.head(f"GET {LIST}/authenticates", *headers, client=""))
        assert answer.startswith(b"HTTP/1.1 401"), headers
        assert b"www-authenticate" in answer.lower()
    assert witness(gateway, "authenticates") == 0
    for name in ("authorization", "AUTHORIZATION", "aUthorization"):
        assert b" 404 " in gateway.raw(gateway.head(f"GET {LIST}/spelled-{name}", f"{name}: bearer {key}", client=""))
        assert witness(gateway, f"spelled-{name}") == 1


@pytest.mark.parametrize(
    "name", ["access_token", "token", "authorization", "access-token", "bearer", "as", "impersonate"]
)
def test_bypass_2_10_a_credential_in_the_query_does_not_pass(gateway: Gateway, name: str) -> None:
    code = send(gateway, f"queries-{name}", query=f"?{name}={CANARY}")
    assert code in {400, 404}
    assert witness(gateway, f"queries-{name}") == (code == 404)


WEBSOCKET = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]
BEARER = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(CANARY.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "protocols",
    [[f"{BEARER}, v5.channel.k8s.io"], [f"v5.channel.k8s.io,{BEARER}"], [BEARER, "v5.channel.k8s.io"],
     ["v5.channel.k8s.io", BEARER], [BEARER.replace("bearer", "BeArEr") + ", v5.channel.k8s.io"], [BEARER]],
)  # fmt: skip
def test_bypass_2_6_a_bearer_subprotocol_does_not_pass(gateway: Gateway, protocols: list[str]) -> None:
    lines = [f"Sec-WebSocket-Protocol: {value}" for value in protocols]
    exec_ = "GET /api/v1/namespaces/payments/pods/subprotocols/exec?command=id&stdout=true"
    for auth in ("agent", ""):
        answer = gateway.raw(gateway.head(exec_, *WEBSOCKET, *lines, client=auth))
        assert int(answer.split(b" ", 2)[1]) in {400, 401, 403, 404}
    for record in gateway.seen("pods/subprotocols"):
        assert "authorization.k8s.io" not in str(record.headers).lower()
        assert BEARER[-12:] not in str(record.headers)


def test_credentials_do_not_pass_over_http2(gateway: Gateway) -> None:
    """Split cookies, repeated headers, trailers: what HTTP/1.1 has no form for."""
    with H2Client(gateway) as client:
        headers = [("cookie", f"a={CANARY}"), ("cookie", "c=d"), ("x-remote-user", CANARY), ("te", "trailers")]
        stream = client.streams[client.request("GET", f"{LIST}/no-credential-over-h2", headers=headers)]
        client.wait(lambda: stream.over)
        assert stream.status == 404
        assert witness(gateway, "/no-credential-over-h2") == 1
        for name in ("impersonate-user", "impersonate_user"):
            stream = client.streams[client.request("GET", f"{LIST}/impersonates-h2", headers=[(name, CANARY)])]
            client.wait(lambda: stream.over)  # noqa: B023 - waited for at once
            assert stream.status == 403
        stream = client.streams[
            client.request("GET", f"{LIST}/two-h2", headers=[("authorization", f"Bearer {CANARY}")])
        ]
        client.wait(lambda: stream.over)
        assert stream.status == 401
    assert witness(gateway, "impersonates-h2") == witness(gateway, "two-h2") == 0


def test_trailers_of_a_request_do_not_pass_over_http2(gateway: Gateway) -> None:
    body = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"with-trailers"}}'
    with H2Client(gateway) as client:
        headers = [("content-type", "application/json")]
        number = client.request("POST", f"{LIST}?fieldValidation=Ignore", body, headers, end=False)
        client.connection.send_headers(
            number, [("impersonate-user", CANARY), ("authorization", CANARY)], end_stream=True
        )
        client.flush()
        client.wait(lambda: client.streams[number].over)
        assert client.streams[number].status == 201
    (record,) = [record for record in gateway.sandbox.requests if b"with-trailers" in record.body]
    assert CANARY not in str(record.headers)
    assert "impersonate-user" not in str(record.headers).lower()


def test_f10_no_door_holds_the_clusters_token_or_a_clients_key(gateway: Gateway) -> None:
    """After answers of every kind: passed, masked, refused, held, and connections that were cut short."""
    bodies = [
        gateway.call(method, target, body, client=client).body
        for method, target, body, client in (
            ("GET", "/api/v1/secrets", None, "agent"),
            ("GET", f"{LIST}/nothing", None, "agent"),
            ("GET", "/nonsense", None, "agent"),
            ("GET", LIST, None, ""),
            ("DELETE", "/api/v1/namespaces/payments", None, "agent"),
            ("POST", LIST, b"not json", "agent"),
            ("DELETE", f"{LIST}/kept-for-its-token", None, "other"),
        )
    ]
    with gateway.connect() as sock:
        sock.sendall(gateway.head(f"GET {LIST}")[:-2])  # mitmproxy's own log would quote this head
    with gateway.connect() as sock:
        sock.sendall(gateway.head(f"POST {LIST}", "Content-Length: 50") + gateway.keys["agent"].encode())
    with H2Client(gateway) as client:
        client.request("POST", LIST, gateway.keys["agent"].encode(), end=False)
    eventually(lambda: gateway.call("GET", LIST).code == 200)
    everything = b"".join([*bodies, gateway.recorded()])
    assert gateway.sandbox.info.static_token.encode() not in everything
    for key in gateway.keys.values():
        assert key.encode() not in everything
        assert key[-43:].encode() not in everything  # without its name
