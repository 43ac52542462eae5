"""Which session an upgrade opens.

Belongs here: from what was asked and what the cluster answered to a `Session`; an answer that was not asked for is refused
before the client sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pratique.errors import FramingError, Refused
from pratique.kube.channels import V4, V5
from pratique.tunnel.exec_channels import ExecTerms
from pratique.tunnel.exec_spdy import ExecOverSpdy
from pratique.tunnel.exec_websocket import ExecOverWebSocket
from pratique.tunnel.forward_channels import ForwardOverChannels, check_ports
from pratique.tunnel.forward_spdy import ForwardOverSpdy, PortAllowed
from pratique.tunnel.forward_tunnel import ForwardOverTunnel
from pratique.tunnel.session import Output, Session, Terms

TUNNEL = "SPDY/3.1+portforward.k8s.io"


class Asked(Protocol):
    """A `CanonicalRequest`."""

    @property
    def upgrade(self) -> str: ...
    @property
    def subprotocols(self) -> tuple[str, ...]: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


class Answered(Protocol):
    """The 101: `upgrade` as the header says, `subprotocol` that the cluster chose ("" for none)."""

    @property
    def upgrade(self) -> str: ...
    @property
    def subprotocol(self) -> str: ...


def open_session(
    asked: Asked, answered: Answered, *, subresource: str, terms: Terms, output: Output, port_allowed: PortAllowed
) -> Session:
    """The session of an upgrade. Refused (502) where the answer does not fit what was asked."""
    chosen = answered.subprotocol
    if answered.upgrade.lower() != asked.upgrade.lower() or chosen not in asked.subprotocols:
        text = f"the cluster answered with the sub-protocol `{chosen[:32]}`, which was not asked for"
        raise Refused(502, "BadGateway", text, rule="tunnel/subprotocol")
    websocket = asked.upgrade == "websocket"
    if subresource == "portforward":
        if not websocket:
            return ForwardOverSpdy(terms, output, port_allowed)
        if chosen == TUNNEL:
            return ForwardOverTunnel(terms, output, port_allowed)
        return _over_channels(asked, terms, output, port_allowed)
    exec_terms = ExecTerms.of(asked.options)
    if websocket and chosen in {V4, V5}:
        return ExecOverWebSocket(terms, exec_terms, output, half_close=chosen == V5)
    if not websocket:
        return ExecOverSpdy(terms, exec_terms, output)
    raise Refused(502, "BadGateway", f"the sub-protocol `{chosen[:32]}` cannot be read", rule="tunnel/subprotocol")


def _over_channels(asked: Asked, terms: Terms, output: Output, port_allowed: PortAllowed) -> Session:
    """The ports stand in the URL, so they are asked at once."""
    ports = tuple(asked.options.get("podPortForwardOptions", {}).get("ports") or ())
    try:
        check_ports(ports)
    except FramingError as error:
        raise Refused(400, "BadRequest", error.message, rule="tunnel/ports") from None
    for port in ports:
        if reason := port_allowed(port):
            raise Refused(403, "Forbidden", f"port {port} is not forwarded: {reason}", rule="tunnel/ports")
    return ForwardOverChannels(terms, output, ports)
