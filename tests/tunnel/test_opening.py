"""Which session an upgrade opens, and that an answer which was not asked for opens none (bypass.md 5.6)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pratique.errors import Refused
from pratique.policy.request import PolicyRequest
from pratique.tunnel.exec_channels import ExecTerms
from pratique.tunnel.exec_spdy import ExecOverSpdy
from pratique.tunnel.exec_websocket import ExecOverWebSocket
from pratique.tunnel.forward_channels import ForwardOverChannels
from pratique.tunnel.forward_spdy import ForwardOverSpdy
from pratique.tunnel.forward_tunnel import ForwardOverTunnel
from pratique.tunnel.opening import open_session
from pratique.tunnel.session import Session
from tests.kube.requests import EXEC, POD, WEBSOCKET, canonical
from tests.tunnel.support import TERMS, Plain

SPDY = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
V4, V5, TUNNEL, FORWARD = "v4.channel.k8s.io", "v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io", "portforward.k8s.io"


@dataclass
class Answer:
    upgrade: str
    subprotocol: str


def websocket(target: str, *offered: str) -> object:
    return canonical("GET", target, WEBSOCKET | {"Sec-WebSocket-Protocol": ", ".join(offered)})


def spdy(target: str, *offered: str) -> object:
    return canonical("POST", target, [*SPDY, *(("X-Stream-Protocol-Version", each) for each in offered)])


def allowed(port: int) -> str:
    return "" if port == 80 else "not in the policy"


def opened(asked: object, answer: Answer) -> Session:
    subresource = asked.attributes.subresource  # type: ignore[attr-defined]
    return open_session(asked, answer, subresource=subresource, terms=TERMS, output=Plain(), port_allowed=allowed)  # type: ignore[arg-type]


FORWARDING = POD + "/portforward"


@pytest.mark.parametrize(
    ("asked", "answer", "kind"),
    [
        (websocket(EXEC, V5), Answer("websocket", V5), ExecOverWebSocket),
        (websocket(EXEC, V5, V4), Answer("WebSocket", V4), ExecOverWebSocket),
        (websocket(POD + "/attach?stdout=true", V4), Answer("websocket", V4), ExecOverWebSocket),
        (spdy(EXEC, V5, V4), Answer("SPDY/3.1", V4), ExecOverSpdy),
        (spdy(FORWARDING, FORWARD), Answer("SPDY/3.1", FORWARD), ForwardOverSpdy),
        (websocket(FORWARDING, TUNNEL), Answer("websocket", TUNNEL), ForwardOverTunnel),
        (websocket(FORWARDING + "?ports=80", TUNNEL, V4), Answer("websocket", V4), ForwardOverChannels),
    ],
)
def test_which_session_is_opened(asked: object, answer: Answer, kind: type[Session]) -> None:
    assert type(opened(asked, answer)) is kind


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (websocket(EXEC, V5), Answer("websocket", V4)),
        (websocket(EXEC, V5), Answer("websocket", "")),
        (websocket(EXEC, V5), Answer("websocket", "base64.channel.k8s.io")),
        (websocket(EXEC, V5), Answer("websocket", f"{V5}, {V4}")),
        (websocket(EXEC, V5), Answer("SPDY/3.1", V5)),
        (websocket(EXEC, V5), Answer("", "")),
        (spdy(EXEC, V4), Answer("websocket", V4)),
        (spdy(FORWARDING, FORWARD), Answer("SPDY/3.1", "")),
        (canonical("GET", EXEC), Answer("websocket", V5)),
        (canonical("GET", EXEC), Answer("", "")),
    ],
)
def test_bypass_5_06_an_answer_that_was_not_asked_for_opens_nothing(asked: object, answer: Answer) -> None:
    with pytest.raises(Refused) as raised:
        opened(asked, answer)
    assert (raised.value.code, raised.value.rule) == (502, "tunnel/subprotocol")


@pytest.mark.parametrize(("query", "code"), [("", 400), ("?ports=81", 403), ("?ports=80,81", 403), ("?ports=0", 400)])
def test_bypass_5_08_channels_are_opened_for_allowed_ports_only(query: str, code: int) -> None:
    with pytest.raises(Refused) as raised:
        opened(websocket(FORWARDING + query, TUNNEL, V4), Answer("websocket", V4))
    assert raised.value.code == code


def test_what_was_asked_for_as_the_server_decodes_it() -> None:
    both = canonical("GET", POD + "/exec?command=sh&stdin=1&stdout=&stderr=true&tty=true", WEBSOCKET)
    assert ExecTerms.of(both.options) == ExecTerms(stdin=True, stdout=True, stderr=False, tty=True)
    attach = canonical("GET", POD + "/attach?stdout=true&stderr=true", WEBSOCKET)
    assert ExecTerms.of(attach.options) == ExecTerms(stdout=True, stderr=True)
    assert ExecTerms.of({}) == ExecTerms()


@pytest.mark.parametrize(
    ("asked", "ports"),
    [
        (spdy(FORWARDING, FORWARD), ()),
        (websocket(FORWARDING, TUNNEL), ()),
        (websocket(FORWARDING, TUNNEL, V4), ()),
        (spdy(FORWARDING + "?ports=80", FORWARD), (80,)),
        (websocket(FORWARDING, V4), None),
        (websocket(FORWARDING + "?ports=80", V4), (80,)),
        (canonical("GET", FORWARDING), None),
        (websocket(EXEC, V5), None),
    ],
)
def test_bypass_5_08_ports_are_judged_later_only_where_streams_name_them(
    asked: object, ports: tuple[int, ...] | None
) -> None:
    assert PolicyRequest.from_canonical("agent", asked).ports == ports
