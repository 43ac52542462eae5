"""Exec and attach over WebSocket: `v5.channel.k8s.io` and `v4.channel.k8s.io`, binary.

Belongs here: which channel passes in which direction. A text message is read as a binary one, as the API server does
(bypass.md 5.4), and goes on as a binary one.
"""

from __future__ import annotations

from pratique.errors import Refused
from pratique.kube import status
from pratique.kube.channels import ERROR, HALF_CLOSE, RESIZE, STDIN, Size, half_closed
from pratique.kube.websocket import Part
from pratique.tunnel.exec_channels import TEXT, ExecTerms, Screen, Sizes
from pratique.tunnel.session import Output, Seen, Terms
from pratique.tunnel.websocket import WebSocketSession


class ExecOverWebSocket(WebSocketSession):
    """`half_close`: v5, in which the client can end its stdin."""

    def __init__(self, terms: Terms, asked: ExecTerms, output: Output, *, half_close: bool) -> None:
        super().__init__(terms)
        self._asked = asked
        self._half_close = half_close
        self._stdin_open = asked.stdin
        self._client_channel: int | None = None  # of the message that is being read
        self._server_channel: int | None = None
        self._closing = b""  # payload of a half-close that is being read
        self._screen = Screen(output, asked.quiet, self._show)
        self._sizes = Sizes(terms.started, self._send_size)

    # --- from the client ---

    def _client_part(self, part: Part) -> None:
        data = part.data
        if part.first:
            self._client_channel = None
        if self._client_channel is None and data:
            self._client_channel, data = data[0], data[1:]
        match self._client_channel:
            case None:
                return
            case 0:
                self._stdin(data)
            case 4:
                self._resize(data)
            case 255:
                self._half_closes(data, last=part.last)
            case channel:
                self._note(f"messages of the client on channel {channel} were dropped")

    def _stdin(self, data: bytes) -> None:
        if not self._asked.stdin:
            self._note("stdin was not asked for, what the client sent there was dropped")
        elif self._stdin_open and data:
            self._step.events.append(Seen(STDIN, data))
            self._send_server(bytes((STDIN,)) + data)

    def _resize(self, data: bytes) -> None:
        if self._asked.tty:
            self._sizes.feed(data, self._now)
        else:
            self._note("there is no terminal, resizes of the client were dropped")

    def _send_size(self, size: Size) -> None:
        self._step.events.append(Seen(RESIZE, size.encode()))
        self._send_server(bytes((RESIZE,)) + size.encode())

    def _half_closes(self, data: bytes, *, last: bool) -> None:
        if not self._half_close:  # v4 knows no such channel and ignores it
            self._note(f"messages of the client on channel {HALF_CLOSE} were dropped")
            return
        self._closing = (self._closing + data)[:2]
        if not last:
            return
        channel, self._closing = half_closed(self._closing), b""
        if channel == STDIN and self._stdin_open:
            self._stdin_open = False
            self._send_server(bytes((HALF_CLOSE, STDIN)))

    # --- from the server ---

    def _server_part(self, part: Part) -> None:
        data = part.data
        if part.first:
            self._server_channel = None
        if self._server_channel is None and data:
            self._server_channel, data = data[0], data[1:]
            if part.last and not data and self._server_channel in TEXT:
                self._send_client(bytes((self._server_channel,)))  # the kubelet's first message is an empty one
        if self._server_channel in TEXT and data:
            self._screen.text(self._server_channel, data, self._now)
        elif self._server_channel == ERROR and self._screen.status(data) and part.last:
            self._screen.rest()  # ends with the Status: clients stop reading at it

    def _show(self, channel: int, data: bytes) -> None:
        self._step.events.append(Seen(channel, data))
        self._send_client(bytes((channel,)) + data)

    # --- lines of the gateway's own ---

    def _tell(self, line: str) -> None:
        if self._asked.notices is not None:
            self._show(self._asked.notices, self._asked.line(line))

    def _masked_by(self, output: Output) -> None:
        self._screen.masked_by(output)

    # --- time and the end ---

    def _tick(self) -> None:
        self._sizes.tick(self._now)
        self._screen.tick(self._now)

    def _due_times(self) -> list[float]:
        return [time for time in (self._screen.flush_at, self._sizes.next) if time is not None]

    def _last_words(self, refusal: Refused | None) -> None:
        self._screen.rest_if_maskable()
        if refusal is not None and not self._screen.told:
            self._show(ERROR, status.from_refused(refusal))
