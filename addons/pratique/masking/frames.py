"""Masking of exec and attach output, channel by channel.

Belongs here: which channel is masked how. Not here: WebSocket and SPDY framing (`pratique.kube`), text itself
(`text.py`).

Channels of `v4.channel.k8s.io` and `v5.channel.k8s.io`: 1 stdout, 2 stderr, 3 the final Status, 4 resize, 255 close.
The same numbers are used for the streams of SPDY. Values split over frames of one channel are found; stdout and
stderr are separate texts.
"""

from __future__ import annotations

from pratique.errors import FramingError, MaskError
from pratique.masking.masker import Masker, Stream

STDOUT, STDERR, ERROR = 1, 2, 3
TEXT_CHANNELS = (STDOUT, STDERR)


class ChannelMasker:
    """The server's side of one session. Bytes of a frame's payload in, bytes that can be shown out (b"" while they wait)."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._streams: dict[int, Stream] = {channel: masker.text_stream() for channel in TEXT_CHANNELS}

    @property
    def hits(self) -> dict[str, int]:
        """How often each pattern masked something, all channels together."""
        total: dict[str, int] = {}
        for stream in self._streams.values():
            for rule, count in stream.hits.items():
                total[rule] = total.get(rule, 0) + count
        return total

    def feed(self, channel: int, data: bytes) -> bytes:
        """Other channels than stdout, stderr and error carry nothing of the workload's."""
        if channel in self._streams:
            return self._streams[channel].feed(data)
        return self._status(data) if channel == ERROR else data

    def _status(self, data: bytes) -> bytes:
        """One Status per frame, in JSON (plain text before v4): it quotes argv."""
        try:
            return self._masker.mask_body("application/json", data).body
        except (MaskError, FramingError):
            return self._masker.mask_text(data.decode("utf-8", "replace")).encode()

    def flush(self) -> dict[int, bytes]:
        """What waits on each channel because nothing came for a while (say 50 ms): a prompt must appear."""
        shown = {channel: stream.flush() for channel, stream in self._streams.items()}
        return {channel: data for channel, data in shown.items() if data}

    def close(self) -> dict[int, bytes]:
        """The rest, before the Status goes out: clients stop reading at it."""
        shown = {channel: stream.close() for channel, stream in self._streams.items()}
        return {channel: data for channel, data in shown.items() if data}
