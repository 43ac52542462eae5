"""Streams that are no text: archives, images, protocols. A mask would break them.

Belongs here: `RawStream`. Not here: what is taken for text (`frames.py`).

Patterns are not looked for: they would find "secrets" in any archive of source code. A known value is: the stream then
ends with a MaskError, since a broken archive is worse than none. Values that look like ordinary words do not count.
"""

from __future__ import annotations

from pratique.errors import MaskError
from pratique.masking.known import KnownValues
from pratique.masking.text import KNOWN


class RawStream:
    """Bytes in, the same bytes out, but for the end that might begin a known value: it waits."""

    def __init__(self, known: KnownValues) -> None:
        self._known = known
        self._text = b""
        self._sent = 0  # bytes of it that flush() has shown
        self._failed = False
        self.hits: dict[str, int] = {}

    @property
    def waits(self) -> bool:
        """Whether flush() would show more."""
        return len(self._text) > self._sent

    def feed(self, data: bytes) -> bytes:
        """What can be shown after `data` came. MaskError, and nothing more is ever shown."""
        if self._failed:
            return b""
        text = self._text + data
        known = self._known.current()
        if next(known.each(text, 0, len(text), strong=True), None) is not None:
            self._failed, self._text = True, b""
            self.hits[KNOWN] = self.hits.get(KNOWN, 0) + 1
            raise MaskError("the output is no text and holds a value that is masked for you. Ask for less, or for text")
        held = known.hold(text, 0)
        shown, sent = text[self._sent : held], max(self._sent - held, 0)
        self._text, self._sent = text[held:], sent
        return shown

    def flush(self) -> bytes:
        """What waits, because nothing came for a while. It stays known, so that the rest of a value is still found."""
        shown, self._sent = self._text[self._sent :], len(self._text)
        return shown

    def close(self) -> bytes:
        """The rest, after the last byte."""
        shown, self._text, self._sent = self._text[self._sent :], b"", 0
        return shown
