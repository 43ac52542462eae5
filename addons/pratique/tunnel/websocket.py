"""Sessions over WebSocket: control frames, the closing handshake, parts of messages to the subclass.

Belongs here: what every sub-protocol shares. Not here: channels (`exec_websocket.py`, `forward_channels.py`), SPDY in
messages (`forward_spdy.py`). Pings are passed on, so that both sides and what stands between them see a live session.
"""

from __future__ import annotations

from contextlib import suppress

from pratique.errors import FramingError, Refused
from pratique.kube import websocket
from pratique.kube.websocket import CLOSE, PING, PONG, FrameDecoder, Part
from pratique.tunnel.session import Session, Terms


class WebSocketSession(Session):
    """Subclasses take parts of data messages, and say what ends a session before its close frame."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self._client_frames = FrameDecoder(from_client=True)
        self._server_frames = FrameDecoder(from_client=False)

    def _client_part(self, part: Part) -> None:
        raise NotImplementedError

    def _server_part(self, part: Part) -> None:
        raise NotImplementedError

    def _last_words(self, refusal: Refused | None) -> None:
        """What goes to the client before the close frame: what is held back, and why it ends (None: it just ended)."""
        raise NotImplementedError

    def _send_client(self, payload: bytes, opcode: int = websocket.BINARY) -> None:
        self._step.to_client.append(websocket.frame(opcode, payload))

    def _send_server(self, payload: bytes, opcode: int = websocket.BINARY) -> None:
        """INVARIANT: one unfragmented frame for each message (bypass.md 5.3)."""
        self._step.to_server.append(websocket.frame(opcode, payload, self._terms.key()))

    def _client(self, data: bytes) -> None:
        for part in self._client_frames.feed(data):
            if part.opcode == CLOSE:
                self._client_closes(websocket.close_code(part.data))
            elif part.opcode in {PING, PONG}:
                if self._control_allowed("client"):
                    self._client_control(part)
            else:
                self._client_part(part)
            if self._ended:
                return

    def _client_control(self, part: Part) -> None:
        """Answered here only while there is nobody else to do it."""
        if not self.waiting:
            self._send_server(part.data, part.opcode)
        elif part.opcode == PING:
            self._send_client(part.data, PONG)

    def _server(self, data: bytes) -> None:
        for part in self._server_frames.feed(data):
            if part.opcode == CLOSE:
                self._last_words(None)
                self._close(websocket.close_code(part.data))
            elif part.opcode in {PING, PONG}:
                if self._control_allowed("server"):
                    self._send_client(part.data, part.opcode)
            else:
                self._server_part(part)
            if self._ended:
                return

    def _client_closes(self, code: int) -> None:
        self._note("closed by the client")
        self._close(code)
        self._finish()

    def _close(self, code: int) -> None:
        """Both sides get the close frame. Its reason is not passed on: it could quote output."""
        payload = websocket.close_payload(code)
        self._send_client(payload, CLOSE)
        self._send_server(payload, CLOSE)
        self._end()

    def _refuse(self, refusal: Refused) -> None:
        self._note(f"ended by the gateway: {refusal.message}")
        self._last_words(refusal)
        self._close(websocket.NORMAL)  # any other code makes kubectl print its own error instead of the Status

    def _client_left(self) -> None:
        self._send_server(websocket.close_payload(websocket.GOING_AWAY), CLOSE)
        super()._client_left()

    def _server_left(self) -> None:
        text = "the cluster closed the connection before the session had ended"
        self._refuse(Refused(502, "InternalError", text, rule="tunnel/server-left"))

    def _client_lingers(self, data: bytes) -> None:
        """The closing handshake; what else the client sends is dropped, also what is malformed."""
        with suppress(FramingError):
            if any(part.opcode == CLOSE for part in self._client_frames.feed(data)):
                self._finish()
