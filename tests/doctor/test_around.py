"""What a client could reach without the gateway is said, with what closes it."""

from __future__ import annotations

from pratique.doctor.around import METADATA, Surroundings, around
from pratique.doctor.findings import State

API, GATEWAY = ("10.0.0.1", 443), ("gateway", 8443)


def found(answering=(), environment=None, *, token=False, gateway=GATEWAY):
    seen = Surroundings((API,), gateway, environment or {}, token)
    return list(around(seen, lambda host, port: (host, port) in answering))


def wrong(findings):
    return [(each.step, each.state) for each in findings if each.state is not State.OK]


def test_a_client_that_reaches_the_gateway_and_nothing_else_is_in_order():
    findings = found([GATEWAY])
    assert wrong(findings) == []
    assert len(findings) == 2 + len(METADATA)
    assert wrong(found([], gateway=None)) == []


def test_each_way_around_is_said_with_a_remedy():
    assert wrong(found([])) == [("gateway", State.BROKEN)]
    assert wrong(found([GATEWAY, API])) == [("around", State.BROKEN)]
    for host, port, _, _ in METADATA:
        assert wrong(found([GATEWAY, (host, port)])) == [("credentials", State.BROKEN)]
    assert wrong(found([GATEWAY], {"AWS_WEB_IDENTITY_TOKEN_FILE": "/t"})) == [("credentials", State.BROKEN)]
    assert wrong(found([GATEWAY], {"AWS_PROFILE": ""})) == []
    assert wrong(found([GATEWAY], token=True)) == [("credentials", State.WARNING)]
    everything = found([API, *((host, port) for host, port, _, _ in METADATA)], {"AWS_PROFILE": "p"}, token=True)
    assert all(each.remedy for each in everything if each.state is not State.OK)
    assert len(wrong(everything)) == 1 + 1 + len(METADATA) + 2
