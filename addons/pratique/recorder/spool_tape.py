"""I/O: the recording of one tunnel, written as it goes: a part of its session's, chained like every other.

Belongs here: lines into the spool. Not here: the lines (`tapes`).
"""

from __future__ import annotations

from pratique.recorder.spool import Spool
from pratique.recorder.tapes import Lines
from pratique.tunnel.session import Event


class SpoolTape:
    """Lines of one tunnel. RecordError when they are not on disk: then they must not be sent."""

    def __init__(self, spool: Spool, session: str, flow_id: str, lines: Lines) -> None:
        self._spool = spool
        self._session = session
        self._part = f"{flow_id}.{lines.suffix}"
        self._lines = lines

    def write(self, now: float, events: list[Event]) -> None:
        """What has just happened."""
        self._append(self._lines.add(now, events))

    def end(self, now: float) -> None:
        """The last lines."""
        self._append(self._lines.end(now))

    def _append(self, lines: bytes) -> None:
        if lines:
            self._spool.event(self._session, self._part, lines)

    @property
    def bytes(self) -> int:
        """That the client was shown."""
        return self._lines.shown.bytes

    @property
    def sha256(self) -> str:
        """Of what the client was shown, hex."""
        return self._lines.shown.sha256

    @property
    def summary(self) -> str:
        """One line for the timeline, once it has ended."""
        return self._lines.summary
