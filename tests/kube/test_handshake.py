"""The gateway's own 101, and the narrower offer that then goes upstream."""

from __future__ import annotations

import pytest

from pratique.kube.handshake import chosen_protocol, offering, switching_headers
from tests.kube.requests import EXEC, POD, WEBSOCKET, canonical

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
SPDY = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]


def websocket(*offered, target=EXEC):
    return canonical("GET", target, WEBSOCKET | {"Sec-WebSocket-Protocol": ", ".join(offered)})


def spdy(*offered, target=EXEC):
    return canonical("POST", target, [*SPDY, *(("X-Stream-Protocol-Version", each) for each in offered)])


@pytest.mark.parametrize(
    ("request_", "chosen"),
    [
        (websocket(V5), V5),
        (websocket(V4), V4),
        (websocket(V4, V5), V5),
        (websocket(V5, target=POD + "/attach?stdout=true"), V5),
        (spdy(V5, V4), V4),
        (spdy(V4, "v3.channel.k8s.io"), V4),
        (spdy(V5), ""),  # the kubelet does not speak it over SPDY
        (websocket("SPDY/3.1+portforward.k8s.io", target=POD + "/portforward"), ""),
        (spdy("portforward.k8s.io", target=POD + "/portforward"), ""),
        (canonical("GET", EXEC), ""),
    ],
)
def test_which_sub_protocol_the_gateway_may_promise(request_, chosen):
    assert chosen_protocol(request_) == chosen


def test_rfc_6455_1_3_the_key_is_answered():
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    asked = canonical("GET", EXEC, WEBSOCKET | key | {"Sec-WebSocket-Protocol": V5})
    assert switching_headers(asked, V5) == (
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (b"Sec-WebSocket-Protocol", V5.encode()),
    )


def test_over_spdy_the_101_names_the_version():
    expected = ((b"Connection", b"Upgrade"), (b"Upgrade", b"SPDY/3.1"), (b"X-Stream-Protocol-Version", V4.encode()))
    assert switching_headers(spdy(V5, V4), V4) == expected


@pytest.mark.parametrize(
    ("asked", "name", "chosen"),
    [(websocket(V4, V5), b"Sec-WebSocket-Protocol", V5), (spdy(V5, V4), b"X-Stream-Protocol-Version", V4)],
)
def test_upstream_nothing_else_is_offered_and_all_else_is_as_it_was(asked, name, chosen):
    narrowed = offering(asked, chosen)
    assert [value for key, value in narrowed.headers if key == name] == [chosen.encode()]
    assert narrowed.subprotocols == (chosen,)
    assert [pair for pair in narrowed.headers if pair[0] != name] == [pair for pair in asked.headers if pair[0] != name]
    assert (narrowed.method, narrowed.target, narrowed.body) == (asked.method, asked.target, asked.body)
