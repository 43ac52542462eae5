"""Port-forward over WebSocket channels (`v4.channel.k8s.io`), as the Python client does it.

Belongs here: channels 2i (data) and 2i+1 (error) of the i-th `ports=` of the URL; the first two bytes that the server sends
on each are that port, little endian (cri-streaming 1.36 `portforward/websocket.go`). Ports were judged with the request.
"""

from __future__ import annotations

from dataclasses import dataclass

from pratique.errors import FramingError, Refused
from pratique.kube.websocket import Part
from pratique.tunnel.session import Carried, Opened, Output, Terms
from pratique.tunnel.websocket import WebSocketSession

_PORT_BYTES = 2


@dataclass(slots=True)
class _Channel:
    """`announced`: bytes of the port that have gone to the client."""

    number: int
    port: int
    data: bool
    announced: int = 0


class ForwardOverChannels(WebSocketSession):
    """One connection for each port, all open from the beginning."""

    def __init__(self, terms: Terms, output: Output, ports: tuple[int, ...]) -> None:
        super().__init__(terms)
        self._output = output
        self._channels = [_Channel(number, port, data) for number, port in enumerate(ports) for data in (True, False)]
        self._client_channel: int | None = None
        self._server_channel: int | None = None
        self._step.events += [Opened(number, port) for number, port in enumerate(ports)]

    def _client_part(self, part: Part) -> None:
        if part.first:
            self._client_channel = None
        data = part.data
        if self._client_channel is None and data:
            self._client_channel, data = data[0], data[1:]
        if self._client_channel is None or not data:
            return
        channel = self._channel(self._client_channel)
        if channel is None or not channel.data:
            self._note(f"messages of the client on channel {self._client_channel} were dropped")
            return
        self._step.events.append(Carried(channel.number, from_client=True, data=data))
        self._send_server(bytes((self._client_channel,)) + data)

    def _server_part(self, part: Part) -> None:
        if part.first:
            self._server_channel = None
        data = part.data
        if self._server_channel is None and data:
            self._server_channel, data = data[0], data[1:]
        channel = None if self._server_channel is None else self._channel(self._server_channel)
        if channel is not None and data:
            self._show(self._server_channel or 0, channel, data)

    def _channel(self, number: int) -> _Channel | None:
        return self._channels[number] if number < len(self._channels) else None

    def _show(self, number: int, channel: _Channel, data: bytes) -> None:
        head = data[: _PORT_BYTES - channel.announced]
        channel.announced += len(head)
        rest = data[len(head) :]
        if channel.data and rest:
            self._step.events.append(Carried(channel.number, from_client=False, data=rest))
        shown = rest if channel.data or not rest else self._output.text(rest)
        self._send_client(bytes((number,)) + head + shown)

    def _last_words(self, refusal: Refused | None) -> None:
        if refusal is None:
            return
        for number, channel in enumerate(self._channels):
            if not channel.data:
                head = channel.port.to_bytes(_PORT_BYTES, "little")[channel.announced :]
                self._send_client(bytes((number,)) + head + refusal.message.encode())


def check_ports(ports: tuple[int, ...]) -> None:
    """FramingError: no port, or more than one byte can number."""
    if not 0 < len(ports) <= 127 or not all(0 < port < 65536 for port in ports):
        raise FramingError("a port-forward over channels without one to 127 `ports=`")
