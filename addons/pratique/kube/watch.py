r"""Framing of a watch: one JSON document per line, cut anywhere.

Belongs here: bytes to lines, and what is malformed. Not here: what is in an event (`objects.py`).

The API server ends every event with one `\n` and escapes line ends inside strings (apimachinery 1.36 `streaming`),
so a line that is not one JSON document is malformed: FramingError, never "need more". "Need more" is the empty list.
"""

from __future__ import annotations

from pratique.errors import FramingError, Refused
from pratique.kube import status

# Bytes of one event. etcd takes 1.5 MiB by default and 3 MiB at most in practice; JSON adds to it. client-go stops
# at 16 MiB.
MAX_EVENT = 16 << 20


def error_event(refusal: Refused) -> bytes:
    """The line by which a watch ends with a Status, as the API server ends one (`watch.Error`)."""
    return b'{"type":"ERROR","object":' + status.from_refused(refusal) + b"}\n"


class EventLines:
    """Incremental: `feed` any chunks, get whole lines."""

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._offset = 0  # of the first byte that waits, from the start of the stream

    @property
    def offset(self) -> int:
        """Bytes of the stream before the event that waits."""
        return self._offset

    def feed(self, data: bytes) -> bytes:
        """The lines that `data` completes, each with its end, in one piece. FramingError if one is over the limit."""
        place = data.rfind(b"\n") + 1
        if not place:
            self._keep(data)
            return b""
        whole = b"".join([*self._parts, data[:place]])
        self._offset += len(whole)
        self._parts, self._size = [], 0
        if len(whole) > self._limit:
            for line in whole.split(b"\n"):
                self._check(len(line))
        self._keep(data[place:])
        return whole

    def close(self) -> bytes:
        """What is left after the last byte: b"", or a line without its end."""
        rest, self._parts, self._size = b"".join(self._parts), [], 0
        return rest.strip()

    def _keep(self, data: bytes) -> None:
        if data:
            self._parts.append(data)
            self._size += len(data)
            self._check(self._size)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise FramingError(f"a watch event is longer than {self._limit} bytes", self._offset)
