"""A session whose client is connected and whose server is not there yet: what is kept for it, what the client is told.

Belongs here: the texts, their times, the limit. Not here: how a text reaches the client (the sessions), who decides
(`pratique.approvals`). Pure: times are those of the session.
"""

from __future__ import annotations

from dataclasses import dataclass

from pratique.errors import MaskError, Refused

MAX_KEPT = 256 * 1024
"""Bytes that are kept for the server (exec-protocol.md 6): a person's typing, a script; not an upload."""

REMIND_SECONDS = 15.0
"""Between two lines for the client: an agent sees that it is not stuck, load balancers (60 s) see a live connection."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is waited for: the approval, where it is decided ("" for no page), how long at most (seconds)."""

    approval: str
    page: str
    seconds: float

    def first(self) -> str:
        """The line with which the wait begins."""
        where = f"at {self.page} or with" if self.page else "with"
        return (
            f"pratique: this command waits up to {self.seconds:.0f} s for approval {self.approval}. "
            f"A reviewer decides {where} `pratique approvals approve {self.approval}`"
        )

    def reminder(self, left: float) -> str:
        """A line while it waits; `left` seconds are left."""
        return f"pratique: still waiting for approval {self.approval}, {max(left, 0):.0f} s left"

    def granted(self) -> str:
        """The line with which it ends well."""
        return f"pratique: approval {self.approval} was given"


class Waiting:
    """What is kept for the server, and when the client is told again."""

    def __init__(self, notice: Notice, now: float) -> None:
        self.notice = notice
        self._until = now + notice.seconds
        self.remind_at = now + REMIND_SECONDS
        self._size = 0
        self.kept: list[bytes] = []

    def renew(self, notice: Notice, now: float) -> None:
        """It is asked anew; what is kept stays."""
        self.notice, self._until = notice, now + notice.seconds

    def keep(self, pieces: list[bytes]) -> Refused | None:
        """Keeps what is for the server. Why the session must end, if that is too much."""
        self._size += sum(map(len, pieces))
        if self._size <= MAX_KEPT:
            self.kept += pieces
            return None
        self.kept.clear()
        text = (
            f"more than {MAX_KEPT // 1024} KiB of input came before approval `{self.notice.approval}` was given, "
            "and nothing was carried out. Repeat the same command after approval"
        )
        return Refused(413, "RequestEntityTooLarge", text, rule="tunnel/waiting")

    def due(self, now: float) -> str:
        """The line that is due; "" if none is."""
        if now < self.remind_at:
            return ""
        self.remind_at = now + REMIND_SECONDS
        return self.notice.reminder(self._until - now)


class NoOutput:
    """The `Output` of a session before its server is there: there is nothing to be shown."""

    waits = False

    def feed(self, channel: int, data: bytes) -> bytes:
        """MaskError, always: nothing of a cluster may come that early."""
        raise MaskError(f"{len(data)} bytes on channel {channel} before the request was sent")

    def flush(self) -> dict[int, bytes]:
        """Nothing."""
        return {}

    def close(self, channel: int) -> bytes:  # noqa: ARG002 - as `Output` has it
        """Nothing."""
        return b""

    def status(self, data: bytes) -> bytes:
        """MaskError, as `feed`."""
        return self.feed(3, data)

    def text(self, data: bytes) -> bytes:
        """MaskError, as `feed`."""
        return self.feed(0, data)
