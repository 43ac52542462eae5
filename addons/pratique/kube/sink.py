"""A long body with changes, put together.

Belongs here: `Sink`. Not here: what changes (`objects.py`).

What is kept of the body is copied once, when all is there: a buffer that grows copies it again and again, into memory
that is new each time. What is new would be held twice until then, so it is copied away when it is much.
"""

from __future__ import annotations

import io
from collections.abc import Iterable

from msgspec import Raw

type Change = tuple[int, int, Raw | bytes]
"""(start, end, what is put there)."""

# Bytes of new text that are held beside the body.
_HELD = 1 << 20


class Sink:
    """Takes changes in order."""

    def __init__(self, body: bytes) -> None:
        self._view = memoryview(body)
        self._pieces: list[memoryview | Raw | bytes] = []
        self._held = 0
        self._begun = io.BytesIO()
        self._done = 0

    @property
    def changed(self) -> bool:
        return bool(self._done)

    def put(self, changes: Iterable[Change]) -> None:
        """What is between them is kept."""
        view, done, pieces, held = self._view, self._done, self._pieces, self._held
        for start, end, new in changes:
            pieces += (view[done:start], new)
            done = end
            held += len(new)
            if held > _HELD:
                self._begun.write(b"".join(pieces))
                pieces.clear()
                held = 0
        self._done, self._held = done, held

    def get(self) -> bytes:
        """All of it, with the rest of the body."""
        rest = b"".join([*self._pieces, self._view[self._done :]])
        if not self._begun.tell():
            return rest
        self._begun.write(rest)
        return self._begun.getvalue()


def spliced(text: bytes, changes: Iterable[Change]) -> bytes:
    """`text` with what is put in place, in order."""
    sink = Sink(text)
    sink.put(changes)
    return sink.get() if sink.changed else text
