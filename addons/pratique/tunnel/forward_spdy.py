"""Port-forward over SPDY/3.1: for each forwarded connection an error and a data stream (client-go 1.36 `portforward.go`).

Belongs here: which streams may be opened, to which ports (bypass.md 5.8: `ports=` in the URL binds nobody but us). Data is
the pod's own protocol: it is neither masked nor stored, ports, sizes and hashes are recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pratique.errors import FramingError, Refused
from pratique.kube.spdy import CANCEL, Data, GoAway, Reset, SynReply, SynStream
from pratique.tunnel.session import Carried, Closed, Opened, Output, Terms
from pratique.tunnel.spdy import SpdySession

MAX_CONNECTIONS = 256
"""Forwarded connections of one session that may be open at once: bounds memory; a browser opens some ten."""

MAX_ERROR = 64 * 1024
"""Bytes of the text on an error stream; the kubelet's is one line."""

_PORT = re.compile(r"[1-9][0-9]{0,4}")
_REQUEST = re.compile(r"[0-9]{1,18}")

type PortAllowed = Callable[[int], str]
"""Why a port may not be reached; "" if it may."""


@dataclass(slots=True)
class _Connection:
    """`refused`: why the cluster never hears of it; "" if it does."""

    number: int
    port: int
    refused: str
    kinds: set[str] = field(default_factory=set)
    streams: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Stream:
    connection: _Connection
    kind: str
    error: bytes = b""
    client_ended: bool = False
    server_ended: bool = False


class ForwardOverSpdy(SpdySession):
    """The connections of one port-forward."""

    def __init__(self, terms: Terms, output: Output, port_allowed: PortAllowed) -> None:
        super().__init__(terms)
        self._output = output
        self._port_allowed = port_allowed
        self._streams: dict[int, _Stream] = {}
        self._connections: dict[str, _Connection] = {}
        self._count = 0

    # --- streams ---

    def _opens(self, stream: int, headers: Mapping[str, str], *, fin: bool) -> None:
        kind, port, request = (headers.get(name, "") for name in ("streamtype", "port", "requestid"))
        if kind not in {"error", "data"} or not _PORT.fullmatch(port) or int(port) > 65535:
            raise FramingError("a SPDY stream that is no error or data stream of a port")
        if not _REQUEST.fullmatch(request):
            raise FramingError("a SPDY stream without the number of its connection (`requestid`)")
        connection = self._connections.get(request) or self._connect(request, int(port))
        if connection.port != int(port) or kind in connection.kinds:
            raise FramingError(f"a second {kind} stream of one connection, or one of another port")
        connection.kinds.add(kind)
        connection.streams.add(stream)
        self._streams[stream] = _Stream(connection, kind, client_ended=fin)
        if connection.refused:
            self._answer_refused(stream, kind, connection)
        else:
            self._send_server(SynStream(stream, {"streamtype": kind, "port": port, "requestid": request}, fin))

    def _connect(self, request: str, port: int) -> _Connection:
        if len(self._connections) >= 2 * MAX_CONNECTIONS:  # half of them was refused already
            raise FramingError(f"far more than {MAX_CONNECTIONS} forwarded connections at once")
        refused = self._port_allowed(port)
        if len(self._connections) >= MAX_CONNECTIONS:
            refused = f"more than {MAX_CONNECTIONS} connections at once"
        connection = self._connections[request] = _Connection(self._count, port, refused)
        self._count += 1
        if refused:
            self._note(f"port {port} was refused: {refused}")
        else:
            self._step.events.append(Opened(connection.number, port))
        return connection

    def _answer_refused(self, stream: int, kind: str, connection: _Connection) -> None:
        """The client is answered as by a kubelet that could not connect."""
        self._send_client(SynReply(stream))
        text = f"pratique does not forward port {connection.port}: {connection.refused}".encode()
        self._send_client(Data(stream, text if kind == "error" else b"", fin=True))
        self._ended_by(stream, server=True)

    def _replied(self, frame: SynReply) -> None:
        if (stream := self._live(frame.stream)) is not None:
            self._send_client(SynReply(frame.stream, {}, frame.fin))
            if frame.fin:
                self._finish_error(frame.stream, stream)
                self._ended_by(frame.stream, server=True)

    def _live(self, number: int) -> _Stream | None:
        """None for a stream that has ended, or that the cluster never heard of."""
        stream = self._streams.get(number)
        return None if stream is None or stream.connection.refused else stream

    # --- data ---

    def _client_data(self, frame: Data) -> None:
        stream = self._live(frame.stream)
        if stream is None or stream.client_ended:
            self._ended_by(frame.stream, client=frame.fin)
            return
        if frame.data and stream.kind == "data":
            self._step.events.append(Carried(stream.connection.number, from_client=True, data=frame.data))
            self._send_server(Data(frame.stream, frame.data))
        elif frame.data:
            self._note("data of the client on an error stream was dropped")
        if frame.fin:
            self._send_server(Data(frame.stream, b"", fin=True))
            self._ended_by(frame.stream, client=True)

    def _server_data(self, frame: Data) -> None:
        stream = self._live(frame.stream)
        if stream is None or stream.server_ended:
            return
        if stream.kind == "error":
            stream.error += frame.data
            if len(stream.error) > MAX_ERROR:
                raise FramingError(f"an error text longer than {MAX_ERROR} bytes")
        elif frame.data:
            self._step.events.append(Carried(stream.connection.number, from_client=False, data=frame.data))
            self._send_client(Data(frame.stream, frame.data))
        if frame.fin:
            self._finish_error(frame.stream, stream)
            self._send_client(Data(frame.stream, b"", fin=True))
            self._ended_by(frame.stream, server=True)

    def _finish_error(self, number: int, stream: _Stream) -> None:
        """The text of an error stream, masked as a whole; clients read it to its end anyway."""
        text, stream.error = stream.error, b""
        if text:
            self._send_client(Data(number, self._output.text(text)))

    # --- ends ---

    def _client_resets(self, frame: Reset) -> None:
        if self._live(frame.stream) is not None:
            self._send_server(frame)
        self._ended_by(frame.stream, client=True, server=True)

    def _server_resets(self, frame: Reset) -> None:
        if (stream := self._live(frame.stream)) is not None:
            self._finish_error(frame.stream, stream)
            self._send_client(frame)
        self._ended_by(frame.stream, client=True, server=True)

    def _ended_by(self, number: int, *, client: bool = False, server: bool = False) -> None:
        """Forgets a stream that both sides have ended, and a connection whose streams have."""
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.client_ended |= client
        stream.server_ended |= server
        if not (stream.client_ended and stream.server_ended):
            return
        del self._streams[number]
        connection = stream.connection
        connection.streams.discard(number)
        if not connection.streams and connection.kinds == {"error", "data"}:
            self._forget(connection)

    def _forget(self, connection: _Connection) -> None:
        self._connections = {key: found for key, found in self._connections.items() if found is not connection}
        if not connection.refused:
            self._step.events.append(Closed(connection.number))

    def _rest(self) -> None:
        for number, stream in self._streams.items():
            self._finish_error(number, stream)

    def _last_words(self, refusal: Refused) -> None:
        for number, stream in self._streams.items():
            if stream.server_ended:
                continue
            if stream.kind == "error":
                self._send_client(Data(number, refusal.message.encode(), fin=True))
            else:
                self._send_client(Reset(number, CANCEL))
        self._send_client(GoAway(max(self._newest, 0)))
