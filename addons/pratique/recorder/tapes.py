"""What is recorded of an upgraded connection, as it goes: a cast of an exec or attach, a log of a port-forward.

Belongs here: events of a session in, whole lines to append out. Pure. Not here: the cast itself (`casts`), writing
(`spool`), which input may be recorded (`rules`). Data of a forwarded connection is the pod's own protocol: its sizes and
SHA-256 are logged, nothing of it is stored.

A forward log is JSON lines: `{"time":…,"event":"opened","connection":0,"port":8080}`, then `carried` now and then, and
`closed` with `seconds`, `sent` and `received` (`{"bytes":…,"sha256":…}`, from the client's side), `note` for a text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from pratique.kube.channels import ERROR, STDERR, STDIN, STDOUT
from pratique.recorder.casts import Cast
from pratique.tunnel.session import Carried, Closed, Event, Note, Opened, Seen

PROGRESS_SECONDS = 10.0
"""Between two lines about a forwarded connection that goes on: what a crash may cost of its sizes."""

MAX_FAILURE = 1024
"""Characters of a Status's message that a marker shows."""

_encode = msgspec.json.Encoder().encode


class TextMask(Protocol):
    """Masks text that comes in pieces."""

    def feed(self, data: bytes) -> bytes: ...
    def close(self) -> bytes: ...


class Tally:
    """Bytes and their SHA-256."""

    def __init__(self) -> None:
        self.bytes = 0
        self._digest = hashlib.sha256()

    def add(self, data: bytes) -> None:
        self.bytes += len(data)
        self._digest.update(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def as_json(self) -> dict[str, Any]:
        return {"bytes": self.bytes, "sha256": self.sha256}


class Lines(Protocol):
    """One recording in the making, as lines. `shown` is what the client was shown; `suffix` names the part."""

    suffix: str

    @property
    def shown(self) -> Tally: ...
    @property
    def summary(self) -> str:
        """One line for the timeline, once it has ended."""

    def add(self, now: float, events: Iterable[Event]) -> bytes: ...
    def end(self, now: float) -> bytes: ...


class ExecTape:
    """A cast. `mask_input` masks stdin where the cast records it."""

    suffix = "cast"

    def __init__(self, cast: Cast, mask_input: TextMask | None = None) -> None:
        self._cast = cast
        self._mask_input = mask_input
        self.shown = Tally()

    @property
    def summary(self) -> str:
        code = self._cast.exit_code
        return "ended without a status" if code is None else f"exit {code}"

    def add(self, now: float, events: Iterable[Event]) -> bytes:
        """The lines that the events add."""
        return b"".join(self._line(now, event) for event in events)

    def _line(self, now: float, event: Event) -> bytes:
        match event:
            case Seen(channel=0, data=data) if self._mask_input is not None:
                return self._cast.event(now, STDIN, self._mask_input.feed(data))
            case Seen(channel=channel, data=data):
                if channel in {STDOUT, STDERR}:
                    self.shown.add(data)
                said = self._cast.marker(now, failure) if channel == ERROR and (failure := failure_of(data)) else b""
                return said + self._cast.event(now, channel, data)
            case Note(text=text):
                return self._cast.marker(now, text)
            case _:
                return b""

    def end(self, now: float) -> bytes:
        """The last lines."""
        rest = self._mask_input.close() if self._mask_input is not None else b""
        return (self._cast.event(now, STDIN, rest) if rest else b"") + self._cast.end(now)


class _Status(msgspec.Struct):
    status: str = ""
    reason: str = ""
    message: str = ""


def failure_of(status: bytes) -> str:
    """What a Status says went wrong, one line; "" for a success, and for an exit code, which the cast tells anyway."""
    try:
        found = msgspec.json.decode(status, type=_Status)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "ended with a text that is no Status"
    if found.status == "Success" or found.reason == "NonZeroExitCode":
        return ""
    return f"failed: {' '.join(found.message.split())[:MAX_FAILURE]}"


@dataclass(slots=True)
class _Forwarded:
    port: int
    opened: float
    told: float
    sent: Tally = field(default_factory=Tally)
    received: Tally = field(default_factory=Tally)


class ForwardTape:
    """A log of forwarded connections. `epoch`: what to add to a session's clock to get seconds since the epoch."""

    suffix = "events"

    def __init__(self, epoch: float) -> None:
        self._epoch = epoch
        self._open: dict[int, _Forwarded] = {}
        self._count = 0
        self.shown = Tally()

    @property
    def summary(self) -> str:
        return f"{self._count} forwarded connections"

    def add(self, now: float, events: Iterable[Event]) -> bytes:
        """The lines that the events add."""
        return b"".join(self._line(now, event) for event in events)

    def _line(self, now: float, event: Event) -> bytes:
        match event:
            case Opened(connection=number, port=port):
                self._count += 1
                self._open[number] = _Forwarded(port, now, now)
                return self._encoded(now, "opened", connection=number, port=port)
            case Carried(connection=number, from_client=from_client, data=data):
                return self._carried(now, number, data, from_client=from_client)
            case Closed(connection=number):
                return self._closed(now, number)
            case Note(text=text):
                return self._encoded(now, "note", text=text)
            case _:
                return b""

    def _carried(self, now: float, number: int, data: bytes, *, from_client: bool) -> bytes:
        found = self._open[number]
        (found.sent if from_client else found.received).add(data)
        if not from_client:
            self.shown.add(data)
        if now - found.told < PROGRESS_SECONDS:
            return b""
        found.told = now
        return self._encoded(now, "carried", connection=number, sent=found.sent.bytes, received=found.received.bytes)

    def _closed(self, now: float, number: int) -> bytes:
        found = self._open.pop(number)
        return self._encoded(
            now,
            "closed",
            connection=number,
            port=found.port,
            seconds=round(now - found.opened, 3),
            sent=found.sent.as_json(),
            received=found.received.as_json(),
        )

    def _encoded(self, now: float, event: str, **values: Any) -> bytes:
        return _encode({"time": round(self._epoch + now, 3), "event": event, **values}) + b"\n"

    def end(self, now: float) -> bytes:
        """What was still open is closed."""
        return b"".join(self._closed(now, number) for number in list(self._open))
