"""Port-forward over WebSocket as kubectl 1.31 and newer does it: SPDY/3.1 in binary messages (KEP-4006).

Belongs here: the messages around the SPDY bytes; their borders mean nothing. The rest is `ForwardOverSpdy`.
"""

from __future__ import annotations

from pratique.errors import FramingError, Refused
from pratique.kube.websocket import BINARY, NORMAL, Part
from pratique.tunnel.forward_spdy import ForwardOverSpdy, PortAllowed
from pratique.tunnel.session import Output, Step, Terms
from pratique.tunnel.websocket import WebSocketSession


class ForwardOverTunnel(WebSocketSession):
    """`SPDY/3.1+portforward.k8s.io`."""

    def __init__(self, terms: Terms, output: Output, port_allowed: PortAllowed) -> None:
        super().__init__(terms)
        self._inner = ForwardOverSpdy(terms, output, port_allowed)

    def _client_part(self, part: Part) -> None:
        self._pass(self._inner.from_client(self._bytes(part), self._now))

    def _server_part(self, part: Part) -> None:
        self._pass(self._inner.from_server(self._bytes(part), self._now))

    @staticmethod
    def _bytes(part: Part) -> bytes:
        if part.opcode != BINARY:
            raise FramingError("a text message where SPDY bytes are due")
        return part.data

    def _wrap(self, step: Step) -> None:
        self._step.events += step.events
        if step.to_server:
            self._send_server(b"".join(step.to_server))
        if step.to_client:
            self._send_client(b"".join(step.to_client))

    def _pass(self, step: Step) -> None:
        """What the inner session says; when it has ended, so does the WebSocket."""
        self._wrap(step)
        if self._inner.ended:
            self._close(NORMAL)

    def _last_words(self, refusal: Refused | None) -> None:
        self._wrap(self._inner.server_left(self._now) if refusal is None else self._inner.end(refusal, self._now))
