"""From an exchange and a 101, the cluster's or the gateway's own, to the session that carries what follows."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass

from mitmproxy import http

from pratique.errors import Refused
from pratique.exchange import Exchange
from pratique.tunnel.opening import open_session
from pratique.tunnel.session import Session, Terms
from pratique.tunnel.waiting import NoOutput


@dataclass(frozen=True)
class Switched:
    """What a 101 says."""

    upgrade: str
    subprotocol: str

    @classmethod
    def of(cls, response: http.Response) -> Switched:
        upgrade = response.headers.get("upgrade", "")
        chosen = "sec-websocket-protocol" if upgrade.lower() == "websocket" else "x-stream-protocol-version"
        return cls(upgrade, response.headers.get(chosen, ""))


def open_tunnel(response: http.Response, state: Exchange, limit: float) -> Session:
    """The session after the cluster's 101. `limit`: seconds that it may last. Raises Refused.

    INVARIANT: no byte follows an upgrade that is not decoded, judged, masked and recorded.
    """
    canonical = state.canonical
    if not state.cleared or canonical is None or not canonical.upgrade:
        raise Refused(502, "BadGateway", "an upgrade that was not asked for", rule="interlock/upgrade")
    if state.output is None or state.tape is None or state.port_allowed is None:
        raise Refused(502, "BadGateway", "a room was not there for this upgrade", rule="interlock/tunnel")
    if state.answered:
        return _opened_early(Switched.of(response), state)
    return open_session(
        canonical,
        Switched.of(response),
        subresource=canonical.attributes.subresource,
        terms=_terms(limit),
        output=state.output,
        port_allowed=state.port_allowed,
    )


def _opened_early(switched: Switched, state: Exchange) -> Session:
    """The one that waits for the cluster, if the cluster chose what the client was promised."""
    promised = (state.canonical.upgrade if state.canonical else "").lower()
    if state.tunnel is None or (switched.upgrade.lower(), switched.subprotocol) != (promised, state.answered):
        text = f"the cluster answered with the sub-protocol `{switched.subprotocol[:32]}`, not with `{state.answered}`"
        raise Refused(502, "BadGateway", text, rule="tunnel/subprotocol")
    return state.tunnel


def open_early(state: Exchange, chosen: str, limit: float) -> Session:
    """The session of an exec or attach whose upgrade the gateway answers itself, with the sub-protocol `chosen`."""
    canonical = state.canonical
    if canonical is None or state.cleared or state.tunnel is not None:
        raise Refused(500, "InternalError", "an upgrade was answered twice", rule="interlock/early")
    return open_session(
        canonical,
        Switched(canonical.upgrade, chosen),
        subresource=canonical.attributes.subresource,
        terms=_terms(limit),
        output=NoOutput(),
        port_allowed=lambda _port: "an exec reaches no port",
    )


def _terms(limit: float) -> Terms:
    return Terms(time.monotonic(), limit, functools.partial(os.urandom, 4))
