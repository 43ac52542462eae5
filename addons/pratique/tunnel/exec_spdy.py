"""Exec and attach over SPDY/3.1: one stream for each of error, stdin, stdout, stderr, resize (client-go 1.36 `v4.go`).

Belongs here: which streams may be opened (bypass.md 5.8), and what passes on each. The Status comes on the error stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import msgspec

from pratique.errors import FramingError, Refused
from pratique.kube import status
from pratique.kube.channels import ERROR, MAX_STATUS, RESIZE, STDERR, STDIN, STDOUT, Size
from pratique.kube.spdy import Data, Reset, SynReply, SynStream
from pratique.tunnel.exec_channels import TEXT, ExecTerms, Screen, Sizes
from pratique.tunnel.session import LINGER_SECONDS, Output, Seen, Terms
from pratique.tunnel.spdy import SpdySession

OPENING_SECONDS = 5.0
"""How long a client whose session ended before it had opened its streams gets to open them: client-go opens one after the
other, each after the reply to the one before, and reads the Status when it has them all."""

_CHANNELS = {"error": ERROR, "stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "resize": RESIZE}


class ExecOverSpdy(SpdySession):
    """The streams of one command."""

    def __init__(self, terms: Terms, asked: ExecTerms, output: Output) -> None:
        super().__init__(terms)
        self._asked = asked
        self._streams: dict[int, int] = {}  # channel → stream
        self._done: set[int] = set()  # channels that the server has ended
        self._replied_to: set[int] = set()  # streams that were accepted before the server was there
        self._untold = b""  # lines for a stream that is not open yet
        self._parting = b""  # the Status, as long as the error stream is not open
        self._screen = Screen(output, asked.quiet, self._show)
        self._sizes = Sizes(terms.started, self._send_size)

    # --- streams ---

    def _opens(self, stream: int, headers: Mapping[str, str], *, fin: bool) -> None:
        kind = headers.get("streamtype", "")
        channel = _CHANNELS.get(kind)
        if channel is None or channel in self._streams or not self._wanted(channel):
            raise FramingError(f"a SPDY stream of type `{kind[:16]}` that was not asked for, or is a second one")
        self._streams[channel] = stream
        self._send_server(SynStream(stream, {"streamtype": kind}, fin))
        if self.waiting:
            self._accept(stream, channel)

    def _wanted(self, channel: int) -> bool:
        asked = self._asked
        wanted = {STDIN: asked.stdin, STDOUT: asked.stdout, STDERR: asked.stderr, RESIZE: asked.tty}
        return wanted.get(channel, True)

    def _channel(self, stream: int) -> int:
        for channel, found in self._streams.items():
            if found == stream:
                return channel
        raise FramingError(f"a frame of the SPDY stream {stream}, which was never opened")

    def _accept(self, stream: int, channel: int) -> None:
        """In the place of the server, which is not there yet."""
        self._replied_to.add(stream)
        self._send_client(SynReply(stream))
        if channel == self._asked.notices and self._untold:
            told, self._untold = self._untold, b""
            self._show(channel, told)
        if self._ended:
            self._part(channel)

    def _replied(self, frame: SynReply) -> None:
        self._channel(frame.stream)
        if frame.stream not in self._replied_to:
            self._send_client(SynReply(frame.stream, {}, frame.fin))
        elif frame.fin:
            self._send_client(Data(frame.stream, b"", fin=True))

    # --- from the client ---

    def _client_data(self, frame: Data) -> None:
        channel = self._channel(frame.stream)
        if channel == STDIN and frame.data:
            self._step.events.append(Seen(STDIN, frame.data))
            self._send_server(Data(frame.stream, frame.data))
        elif channel == RESIZE:
            self._sizes.feed(frame.data, self._now)
        elif frame.data:
            self._note(f"data of the client on channel {channel} was dropped")
        if frame.fin:
            self._send_server(Data(frame.stream, b"", fin=True))

    def _send_size(self, size: Size) -> None:
        self._step.events.append(Seen(RESIZE, size.encode()))
        self._send_server(Data(self._streams[RESIZE], size.encode()))

    def _client_resets(self, frame: Reset) -> None:
        self._channel(frame.stream)
        self._send_server(frame)

    # --- from the server ---

    def _server_data(self, frame: Data) -> None:
        channel = self._channel(frame.stream)
        if channel in TEXT and frame.data:
            self._screen.text(channel, frame.data, self._now)
        elif channel == ERROR and self._screen.status(frame.data):
            self._tell_if_whole()
        if frame.fin:
            self._close(channel)
            self._send_client(Data(frame.stream, b"", fin=True))

    def _tell_if_whole(self) -> None:
        """The kubelet writes the Status and closes the connection, mostly without ending the stream."""
        with suppress(msgspec.MsgspecError):
            msgspec.json.decode(self._screen.collected, type=dict[str, msgspec.Raw])
            self._screen.tell()

    def _show(self, channel: int, data: bytes) -> None:
        if channel in self._streams:
            self._step.events.append(Seen(channel, data))
            self._send_client(Data(self._streams[channel], data))

    def _close(self, channel: int) -> None:
        self._done.add(channel)
        self._screen.close(channel)

    def _server_resets(self, frame: Reset) -> None:
        self._close(self._channel(frame.stream))
        self._send_client(frame)

    def _rest(self) -> None:
        self._screen.rest()

    # --- lines of the gateway's own ---

    def _tell(self, line: str) -> None:
        channel = self._asked.notices
        if channel in self._streams:
            self._show(channel, self._asked.line(line))
        elif channel is not None and len(self._untold) < MAX_STATUS:
            self._untold += self._asked.line(line)

    def _masked_by(self, output: Output) -> None:
        self._screen.masked_by(output)

    # --- time and the end ---

    def _tick(self) -> None:
        self._sizes.tick(self._now)
        self._screen.tick(self._now)

    def _due_times(self) -> list[float]:
        return [time for time in (self._screen.flush_at, self._sizes.next) if time is not None]

    def _last_words(self, refusal: Refused) -> None:
        """client-go reads stdout and stderr to their ends before it looks at the Status."""
        self._screen.rest_if_maskable()
        self._parting = b"" if self._screen.told else status.from_refused(refusal)
        for channel in (*TEXT, ERROR):
            self._part(channel)

    def _part(self, channel: int) -> None:
        """The last of a channel, once its stream is open."""
        if channel not in (ERROR, *TEXT) or channel not in self._streams:
            return
        if channel == ERROR and self._parting:
            self._show(ERROR, self._parting)
            self._parting = b""
        if channel not in self._done:
            self._done.add(channel)
            self._send_client(Data(self._streams[channel], b"", fin=True))

    def _opens_late(self) -> bool:
        """It ended before the client had opened its streams, and the client is still there."""
        expected = [channel for channel in _CHANNELS.values() if self._wanted(channel)]
        return self.waiting and self._ended and not self._over and any(c not in self._streams for c in expected)

    @property
    def done(self) -> bool:
        return self._ended and not self._opens_late()

    def _end(self) -> None:
        super()._end()
        if self._opens_late():
            self._linger_until = self._now + OPENING_SECONDS

    def _client_lingers(self, data: bytes) -> None:
        if not self._opens_late():
            return
        try:
            for frame in self._client_frames.feed(data):
                if isinstance(frame, SynStream):
                    self._syn(frame)
        except FramingError:
            self._finish()
        if not self._opens_late():
            self._linger_until = self._now + LINGER_SECONDS

    def _server_left(self) -> None:
        """INVARIANT: a session without a Status is no success, whatever the client makes of a closed connection."""
        self._rest()
        if not self._screen.told:
            text = "the cluster closed the connection before the session had ended"
            self._refuse(Refused(502, "InternalError", text, rule="tunnel/server-left"))
        self._end()
