"""Masking of exec and attach output, channel by channel.

Belongs here: which channel is masked how, and what counts as text. Not here: WebSocket and SPDY (`pratique.kube`,
`pratique.tunnel`), text itself (`text.py`).

Channels of `v4.channel.k8s.io` and `v5.channel.k8s.io`: 1 stdout, 2 stderr, 3 the final Status. The same numbers stand
for the streams of SPDY. Values split over frames of one channel are found; stdout and stderr are separate texts.

Text is everything with a terminal, and without one everything before the first NUL byte (every archive, image and
executable has one in its first block); what follows is a `RawStream`, from the start where the command is an archive.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pratique.masking.masker import Masker, Stream

STDOUT, STDERR = 1, 2
TEXT_CHANNELS = (STDOUT, STDERR)

_OUTCOME = frozenset({"status", "reason", "kind", "apiVersion"})


class OutputStream:
    """Output without a terminal: text, and raw from the first NUL on."""

    def __init__(self, masker: Masker) -> None:
        self._text = masker.text_stream()
        self._raw = masker.raw_stream()
        self._is_text = True

    @property
    def hits(self) -> dict[str, int]:
        return {**self._text.hits, **self._raw.hits}

    @property
    def waits(self) -> bool:
        return (self._text if self._is_text else self._raw).waits

    def feed(self, data: bytes) -> bytes:
        """What can be shown after `data` came. MaskError."""
        if not self._is_text:
            return self._raw.feed(data)
        nul = data.find(0)
        if nul < 0:
            return self._text.feed(data)
        self._is_text = False
        return self._text.feed(data[:nul]) + self._text.close() + self._raw.feed(data[nul:])

    def flush(self) -> bytes:
        """What waits, because nothing came for a while."""
        return (self._text if self._is_text else self._raw).flush()

    def close(self) -> bytes:
        """The rest, after the last byte."""
        return (self._text if self._is_text else self._raw).close()


class ChannelMasker:
    """The server's side of one session. Bytes of a channel in, bytes that can be shown out (b"" while they wait)."""

    def __init__(self, masker: Masker, *, tty: bool = False, archive: bool = False) -> None:
        """`archive`: stdout is one end of `kubectl cp`."""
        self._masker = masker
        self._streams: dict[int, Stream] = {
            channel: masker.text_stream() if tty else OutputStream(masker) for channel in TEXT_CHANNELS
        }
        if archive and not tty:
            self._streams[STDOUT] = masker.raw_stream()

    @property
    def hits(self) -> dict[str, int]:
        """How often each pattern masked something, all channels together."""
        total: dict[str, int] = {}
        for stream in self._streams.values():
            for rule, count in stream.hits.items():
                total[rule] = total.get(rule, 0) + count
        return total

    @property
    def waits(self) -> bool:
        """Whether `flush` would show something."""
        return any(stream.waits for stream in self._streams.values())

    def feed(self, channel: int, data: bytes) -> bytes:
        """More of stdout or stderr. MaskError where it is no text and holds a masked value."""
        return self._streams[channel].feed(data)

    def flush(self) -> dict[int, bytes]:
        """What waits on each channel because nothing came for a while (say 50 ms): a prompt must appear."""
        shown = {channel: stream.flush() for channel, stream in self._streams.items() if stream.waits}
        return {channel: data for channel, data in shown.items() if data}

    def close(self, channel: int) -> bytes:
        """The rest of a channel."""
        return self._streams[channel].close()

    def status(self, data: bytes) -> bytes:
        """The Status of channel 3, in JSON without a kind: it quotes argv, and what the container runtime said."""
        try:
            found = msgspec.json.decode(data)
            return msgspec.json.encode(self._texts(found, ""))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self.text(data)

    def _texts(self, value: Any, key: str) -> Any:
        """Every text is masked, but for the words and numbers by which clients read the outcome."""
        if isinstance(value, dict):
            return {name: self._texts(child, name) for name, child in value.items()}
        if isinstance(value, list):
            return [self._texts(child, key) for child in value]
        if not isinstance(value, str) or key in _OUTCOME or value.isdecimal():
            return value
        return self._masker.mask_text(value)

    def text(self, data: bytes) -> bytes:
        """A whole text, such as the error of a port-forward."""
        return self._masker.mask_text(data.decode("utf-8", "replace")).encode()
