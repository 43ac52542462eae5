"""Sessions over SPDY/3.1: frames of both sides to the subclass, pings and the end of the connection.

Belongs here: what exec and port-forward share. Not here: what a stream is for (`exec_spdy.py`, `forward_spdy.py`).
Streams are opened by the client only; header blocks are encoded anew from the headers that are known.
"""

from __future__ import annotations

from collections.abc import Mapping

from pratique.errors import FramingError, Refused
from pratique.kube.spdy import (
    REFUSED_STREAM,
    Data,
    Frame,
    GoAway,
    Ignored,
    Ping,
    Reset,
    SpdyDecoder,
    SpdyEncoder,
    SynReply,
    SynStream,
)
from pratique.tunnel.session import Session, Terms


class SpdySession(Session):
    """Subclasses know the streams. `_newest` is the highest stream id that the client has opened."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self._client_frames, self._server_frames = SpdyDecoder(), SpdyDecoder()
        self._client_encoder, self._server_encoder = SpdyEncoder(), SpdyEncoder()
        self._newest = -1

    # --- what subclasses say ---

    def _opens(self, stream: int, headers: Mapping[str, str], *, fin: bool) -> None:
        """The client opens a stream, with an id that is new. FramingError."""
        raise NotImplementedError

    def _client_data(self, frame: Data) -> None:
        raise NotImplementedError

    def _server_data(self, frame: Data) -> None:
        raise NotImplementedError

    def _client_resets(self, frame: Reset) -> None:
        raise NotImplementedError

    def _server_resets(self, frame: Reset) -> None:
        raise NotImplementedError

    def _replied(self, frame: SynReply) -> None:
        raise NotImplementedError

    def _rest(self) -> None:
        """What is held back goes to the client: the server has said its last."""

    def _last_words(self, refusal: Refused) -> None:
        """What tells the client why the gateway ends the session."""
        raise NotImplementedError

    # --- for subclasses ---

    def _send_client(self, frame: Frame) -> None:
        self._step.to_client.append(self._client_encoder.encode(frame))

    def _send_server(self, frame: Frame) -> None:
        self._step.to_server.append(self._server_encoder.encode(frame))

    def _refuse_stream(self, stream: int) -> None:
        self._send_client(Reset(stream, REFUSED_STREAM))

    # --- frames ---

    def _client(self, data: bytes) -> None:
        for frame in self._client_frames.feed(data):
            match frame:
                case SynStream():
                    self._syn(frame)
                case Data():
                    self._known(frame.stream)
                    self._client_data(frame)
                case Reset():
                    self._known(frame.stream)
                    self._client_resets(frame)
                case Ping():
                    if self._control_allowed("client"):
                        (self._send_client if self.waiting else self._send_server)(frame)
                case GoAway():
                    self._send_server(GoAway(0, frame.status))  # the server has opened no stream
                case SynReply():
                    raise FramingError("a reply to a SPDY stream that the server never opened")
                case Ignored():
                    pass

    def _syn(self, frame: SynStream) -> None:
        if frame.stream % 2 == 0 or frame.stream <= self._newest:
            raise FramingError(f"the SPDY stream {frame.stream} out of turn")
        if frame.unidirectional:
            raise FramingError("a unidirectional SPDY stream")
        self._newest = frame.stream
        self._opens(frame.stream, frame.headers, fin=frame.fin)

    def _known(self, stream: int) -> None:
        if stream > self._newest or stream % 2 == 0:
            raise FramingError(f"a frame of the SPDY stream {stream}, which was never opened")

    def _server(self, data: bytes) -> None:
        for frame in self._server_frames.feed(data):
            match frame:
                case SynStream():
                    raise FramingError("a SPDY stream of the server: it has none to open")
                case SynReply():
                    self._known(frame.stream)
                    self._replied(frame)
                case Data():
                    self._known(frame.stream)
                    self._server_data(frame)
                case Reset():
                    self._known(frame.stream)
                    self._server_resets(frame)
                case Ping():
                    if self._control_allowed("server"):
                        self._send_client(frame)
                case GoAway():
                    self._rest()
                    self._send_client(GoAway(max(self._newest, 0), frame.status))
                case Ignored():
                    pass

    # --- the end ---

    def _server_left(self) -> None:
        self._rest()
        self._end()

    def _refuse(self, refusal: Refused) -> None:
        self._note(f"ended by the gateway: {refusal.message}")
        self._last_words(refusal)
        self._end()
