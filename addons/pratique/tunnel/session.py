"""One upgraded connection, as a value: what both sides send goes in, what both sides may see comes out.

Belongs here: the life of a session (open, ending, over), its limits, what it tells the recorder. Not here: the wire
(`pratique.kube`), masking (given as `Output`), sockets and clocks (`pratique.interlock.tunnel`).

INVARIANT: nothing of what came in is passed on as bytes. It is decoded, judged and encoded anew, so what was judged is
what is sent. Times are seconds of one monotonic clock, always given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from pratique.errors import FramingError, MaskError, PratiqueError, Refused
from pratique.tunnel.waiting import Notice, Waiting

LINGER_SECONDS = 1.0
"""How long a client gets to answer the end of a session before its connection is closed: a close that crosses what the
client still sends becomes a TCP reset, and the final Status could be lost."""

CONTROL_RATE, CONTROL_BURST = 10.0, 20.0
"""Pings of one side that are passed on, per second and at once; kubectl sends one every 5 s. More are dropped."""


MAX_NOTES = 64
"""Notes of one session; a client that causes more has made its point."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What passed on a channel of an exec or attach (`kube.channels`), masked."""

    channel: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A point of interest for the recording, one line."""

    text: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A forwarded connection to a port of the pod; `connection` counts from 0."""

    connection: int
    port: int


@dataclass(frozen=True, slots=True)
class Carried:
    """Bytes of a forwarded connection."""

    connection: int
    from_client: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """A forwarded connection has ended."""

    connection: int


type Event = Seen | Note | Opened | Carried | Closed


class Output(Protocol):
    """Masks what the server sends, channel by channel (`pratique.masking.frames.ChannelMasker`). MaskError."""

    @property
    def waits(self) -> bool:
        """Whether something is held back that `flush` would show."""

    def feed(self, channel: int, data: bytes) -> bytes: ...
    def flush(self) -> dict[int, bytes]: ...
    def close(self, channel: int) -> bytes: ...
    def status(self, data: bytes) -> bytes: ...
    def text(self, data: bytes) -> bytes: ...


class Tape(Protocol):
    """Where a session is recorded. RecordError: what cannot be recorded must not be sent."""

    def write(self, now: float, events: list[Event]) -> None: ...
    def end(self, now: float) -> None: ...


@dataclass(slots=True)
class Step:
    """What follows from one event. Events first: what cannot be recorded is not sent."""

    events: list[Event] = field(default_factory=list)
    to_server: list[bytes] = field(default_factory=list)
    to_client: list[bytes] = field(default_factory=list)
    close_server: bool = False
    close_client: bool = False


_ROUNDING = 1e-6
"""Of a token: sums of floats miss 1 by less, and what is due must be due when its time has come."""


class Bucket:
    """A token bucket: `rate` per second, at most `burst` at once."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, now

    def take(self, now: float) -> bool:
        """Whether one more is allowed now; it is then counted."""
        self._tokens = min(self._burst, self._tokens + max(now - self._at, 0.0) * self._rate)
        self._at = now
        if self._tokens < 1 - _ROUNDING:
            return False
        self._tokens -= 1
        return True

    @property
    def next(self) -> float:
        """When the next one is allowed."""
        return self._at + max(1 - self._tokens, 0.0) / self._rate


@dataclass(frozen=True, slots=True)
class Terms:
    """What every session is given. `duration`: seconds until it is ended; `key`: four random bytes for each call."""

    started: float
    duration: float
    key: Callable[[], bytes]


class Session:
    """The life of one upgraded connection. Subclasses speak the protocol.

    Every public method returns what is to be done. After `ended` nothing more passes; the client then gets
    LINGER_SECONDS to hang up. An error of ours in what came in (FramingError, MaskError) ends the session in the words
    of its protocol; any other exception is the caller's to handle, by closing both sides.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._step = Step()
        self._now = terms.started
        self._ended = False
        self._over = False
        self._linger_until = 0.0
        self._noted: set[str] = set()
        self._waiting: Waiting | None = None
        self._pings = {side: Bucket(CONTROL_RATE, CONTROL_BURST, terms.started) for side in ("client", "server")}

    @property
    def ended(self) -> bool:
        """Nothing passes any more."""
        return self._ended

    @property
    def done(self) -> bool:
        """It has ended, and the client was told all: what is written of it may be closed."""
        return self._ended

    @property
    def waiting(self) -> bool:
        """The server is not there (and never will be, once it has `ended` so)."""
        return self._waiting is not None

    @property
    def over(self) -> bool:
        """The client's connection may be closed, or is."""
        return self._over

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called at the latest; None if never."""
        if self._over:
            return None
        if self._ended:
            return self._linger_until
        due = [self._waiting.remind_at] if self._waiting is not None else []
        return min([self._terms.started + self._terms.duration, *due, *self._due_times()])

    # --- what happens ---

    def from_client(self, data: bytes, now: float) -> Step:
        """The client sent bytes."""
        if self._ended:
            return self._run(now, self._client_lingers, data)
        return self._run(now, self._client, data, blame=400)

    def from_server(self, data: bytes, now: float) -> Step:
        """The cluster sent bytes; after the end they are dropped."""
        return Step() if self._ended else self._run(now, self._server, data, blame=502)

    def client_left(self, now: float) -> Step:
        """The client's connection is closed."""
        return self._run(now, self._finish if self._ended else self._client_left)

    def server_left(self, now: float) -> Step:
        """The cluster's connection is closed."""
        return Step() if self._ended else self._run(now, self._server_left, blame=502)

    def tick(self, now: float) -> Step:
        """Time has passed."""
        if self._ended:
            return self._run(now, self._finish) if now >= self._linger_until else Step()
        if now >= self._terms.started + self._terms.duration:
            text = f"the gateway ends a session after {self._terms.duration:.0f} s. Open a new one"
            return self.end(Refused(403, "Expired", text, rule="tunnel/duration"), now)
        return self._run(now, self._ticks, blame=502)

    def wait(self, notice: Notice, now: float) -> Step:
        """The client was answered before the server is there: what is for the server is kept, the client is told why."""
        return Step() if self._ended else self._run(now, self._wait, notice)

    def attach(self, output: Output, now: float) -> Step:
        """The server is there: it gets what was kept, in order. `output` masks what it will send."""
        return Step(close_server=True) if self._ended else self._run(now, self._attach, output)

    def end(self, refusal: Refused, now: float) -> Step:
        """The kill switch: the client is told why, in the words of the protocol, and nothing more passes."""
        return Step() if self._ended else self._run(now, self._refuse, refusal)

    # --- what subclasses say ---

    def _client(self, data: bytes) -> None:
        raise NotImplementedError

    def _server(self, data: bytes) -> None:
        raise NotImplementedError

    def _client_lingers(self, data: bytes) -> None:
        """The client sent bytes after the end."""

    def _client_left(self) -> None:
        self._note("the client left")
        self._end()
        self._finish()

    def _server_left(self) -> None:
        raise NotImplementedError

    def _tick(self) -> None:
        """Whatever of `_due_times` is due."""

    def _tell(self, line: str) -> None:
        """A line of the gateway's own for the person at the client, where the protocol has a place for it."""

    def _masked_by(self, output: Output) -> None:
        """What the server will send goes through `output`."""
        raise NotImplementedError

    def _due_times(self) -> list[float]:
        return []

    def _refuse(self, refusal: Refused) -> None:
        raise NotImplementedError

    # --- before the server is there ---

    def _wait(self, notice: Notice) -> None:
        if self._waiting is None:
            self._waiting = Waiting(notice, self._now)
        else:
            self._waiting.renew(notice, self._now)
        self._note(f"waits for approval {notice.approval}")
        self._tell(notice.first())

    def _ticks(self) -> None:
        if self._waiting is not None and (line := self._waiting.due(self._now)):
            self._tell(line)
        self._tick()

    def _keep(self) -> None:
        """INVARIANT: nothing is for a server while there is none."""
        if self._waiting is None:
            return
        refusal = self._waiting.keep(self._step.to_server)
        if refusal is not None and not self._ended:
            self._refuse(refusal)
        self._step.to_server, self._step.close_server = [], False

    def _attach(self, output: Output) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            raise RuntimeError("a server for a session that does not wait for one")
        self._masked_by(output)
        self._tell(waiting.notice.granted())
        self._step.to_server[:0] = waiting.kept

    # --- for subclasses ---

    def _end(self) -> None:
        """From here on nothing passes; the server is done with, the client may linger."""
        self._ended = True
        self._linger_until = self._now + LINGER_SECONDS
        self._step.close_server = True

    def _finish(self) -> None:
        self._over = True
        self._step.close_client = True

    def _note(self, text: str) -> None:
        """For the recording; each text once, so that a flood cannot fill it."""
        if text not in self._noted and len(self._noted) < MAX_NOTES:
            self._noted.add(text)
            self._step.events.append(Note(text))

    def _control_allowed(self, side: str) -> bool:
        if self._pings[side].take(self._now):
            return True
        self._note(f"more pings of the {side} than are passed on")
        return False

    def _run(self, now: float, action: Callable[..., None], *arguments: object, blame: int = 0) -> Step:
        """`blame`: who sent what is malformed, 400 the client, 502 the cluster; 0 where nothing is read."""
        self._now = now
        try:
            action(*arguments)
        except (FramingError, MaskError) as error:
            if not blame or self._ended:
                raise
            self._refuse(_refusal(error, blame))
        self._keep()
        step, self._step = self._step, Step()
        return step


def _refusal(error: PratiqueError, blame: int) -> Refused:
    """The text of an error of ours names rules, never values."""
    if isinstance(error, MaskError):
        return Refused(502, "InternalError", str(error), rule="tunnel/mask")
    if blame == 400:
        return Refused(400, "BadRequest", f"the client sent {error}", rule="tunnel/framing")
    return Refused(502, "InternalError", f"the cluster sent {error}", rule="tunnel/framing")
