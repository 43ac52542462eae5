"""Channels of exec and attach (`v4.channel.k8s.io`, `v5.channel.k8s.io`; KEP-4006), and terminal sizes.

Belongs here: channel numbers, half-close, resize JSON, commands whose output is no text. Not here: frames (`websocket.py`, `spdy.py`), what a client may
send (`pratique.tunnel`).

One WebSocket message is one channel byte and its payload. The same numbers stand for the streams of SPDY. Source:
client-go 1.36 `tools/remotecommand`, cri-streaming 1.36.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import msgspec

from pratique.errors import FramingError

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
HALF_CLOSE = 255
"""v5 only: its payload is the one byte of the channel that is closed."""

CHANNELS = 5
"""A half-close of a higher channel ends the session at the kubelet."""

MAX_STATUS = 64 * 1024
"""Bytes of the Status on channel 3; the kubelet's have some 300."""

MAX_RESIZE = 256
"""Bytes of one size in JSON; kubectl sends 26."""

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"


class _Size(msgspec.Struct):
    Width: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    Height: Annotated[int, msgspec.Meta(ge=0, le=65535)]


_decode_size = msgspec.json.Decoder(_Size).decode


@dataclass(frozen=True, slots=True)
class Size:
    """Columns and rows of a terminal, each uint16 (remotecommand `TerminalSize`)."""

    width: int
    height: int

    def encode(self) -> bytes:
        """As `encoding/json` of client-go writes it."""
        return b'{"Width":%d,"Height":%d}\n' % (self.width, self.height)


class Resizes:
    """Sizes from a stream of JSON values, cut anywhere, with or without line ends between them."""

    def __init__(self) -> None:
        self._rest = b""
        self._offset = 0

    def feed(self, data: bytes) -> list[Size]:
        """The sizes that `data` completes. FramingError for anything else than `{"Width":uint16,"Height":uint16}`."""
        *values, self._rest = (self._rest + data).split(b"}")
        sizes = []
        for value in values:
            sizes.append(self._size(value + b"}"))
            self._offset += len(value) + 1
        if len(self._rest) > MAX_RESIZE:
            raise FramingError(f"a terminal size longer than {MAX_RESIZE} bytes", self._offset)
        return sizes

    def _size(self, value: bytes) -> Size:
        if len(value) > MAX_RESIZE:
            raise FramingError(f"a terminal size longer than {MAX_RESIZE} bytes", self._offset)
        try:
            size = _decode_size(value)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise FramingError("a terminal size that is not two numbers of 16 bits", self._offset) from None
        return Size(size.Width, size.Height)


def half_closed(payload: bytes) -> int:
    """The channel that a message on HALF_CLOSE closes. FramingError: the kubelet would end the session."""
    if len(payload) != 1 or payload[0] >= CHANNELS:
        raise FramingError("a half-close that is not one byte, the number of a channel")
    return payload[0]


def is_tar(argv: Iterable[str]) -> bool:
    """Whether a command is one end of `kubectl cp`: `tar cf - …` or `tar xf - …`, in any spelling of kubectl's."""
    words = list(argv)
    return bool(words) and words[0].rpartition("/")[2] == "tar" and "-" in words[1:4]
