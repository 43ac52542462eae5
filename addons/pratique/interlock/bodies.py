"""Bodies as they are read off an HTTP/1 connection.

Belongs here: what mitmproxy's own readers do otherwise. Not here: the layers that use them (`layers`).

1. Trailers are read and forgotten. mitmproxy raises an exception for them, and then hangs.
2. All that has arrived is one piece, however many chunks it came in: what follows (masks, recording, the client's own
   chunk and TLS record) then is done once for it. Nothing is waited for.
"""

from __future__ import annotations

from typing import Any

import h11


class BodyReader:
    """Around a reader of h11: called with what is buffered, gives data, the end, or None for "no more for now"."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._after: h11.EndOfMessage | h11.ProtocolError | None = None
        """What was found behind the piece that was given last."""

    def __call__(self, buffered: Any) -> h11.Data | h11.EndOfMessage | None:
        pieces: list[bytes] = []
        while self._after is None:
            try:
                found = self._reader(buffered)
            except h11.ProtocolError as error:
                self._after = error
                break
            if found is None:
                break
            if isinstance(found, h11.EndOfMessage):
                self._after = h11.EndOfMessage()
            else:
                pieces.append(found.data)
        if pieces:
            return h11.Data(data=b"".join(pieces))
        if isinstance(self._after, h11.ProtocolError):
            raise self._after
        return self._after

    def read_eof(self) -> Any:
        return self._reader.read_eof()
