"""What exec and attach share over WebSocket and SPDY: what was asked for, output on its way, sizes in a bearable pace.

Belongs here: `ExecTerms`, `Screen` (towards the client), `Sizes` (towards the server). Not here: frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pratique.errors import FramingError, MaskError
from pratique.kube.channels import ERROR, MAX_STATUS, STDERR, STDOUT, Resizes, Size
from pratique.tunnel.session import Bucket, Output

QUIET_TTY_SECONDS = 0.05
"""With a terminal: output that might begin a secret is shown after this much silence. A prompt must appear."""

QUIET_PIPE_SECONDS = 1.0
"""Without a terminal: nobody waits for part of a line, but a protocol over stdin and stdout must not stall for ever."""

RESIZE_RATE, RESIZE_BURST = 10.0, 10.0
"""Resizes per second and at once; dragging a window makes more, of which only the last counts (bypass.md 5.10)."""

TEXT = (STDOUT, STDERR)


@dataclass(frozen=True, slots=True)
class ExecTerms:
    """PodExecOptions or PodAttachOptions as the API server decoded them. A terminal has no stderr of its own."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ExecTerms:
        """`options` of a canonical request. What is missing was not asked for."""
        values = options.get("podExecOptions") or options.get("podAttachOptions") or {}
        tty = bool(values.get("tty"))
        stderr = bool(values.get("stderr")) and not tty
        return cls(bool(values.get("stdin")), bool(values.get("stdout")), stderr, tty)

    @property
    def quiet(self) -> float:
        """Seconds of silence after which held output is shown."""
        return QUIET_TTY_SECONDS if self.tty else QUIET_PIPE_SECONDS

    @property
    def notices(self) -> int | None:
        """The channel for lines of the gateway's own: stderr; on a terminal, which has none, stdout; else none."""
        return STDERR if self.stderr else STDOUT if self.tty and self.stdout else None

    def line(self, text: str) -> bytes:
        """A line as it ends there; a terminal is in raw mode."""
        return text.encode() + (b"\r\n" if self.tty else b"\n")


class Screen:
    """Output on its way to the client. `show(channel, data)` sends what is masked."""

    def __init__(self, output: Output, quiet: float, show: Callable[[int, bytes], None]) -> None:
        self._output = output
        self._quiet = quiet
        self._show = show
        self._status = b""
        self.told = False
        """A Status went out."""
        self.flush_at: float | None = None

    def masked_by(self, output: Output) -> None:
        """What comes from now on."""
        self._output = output

    def text(self, channel: int, data: bytes, now: float) -> None:
        """More of stdout or stderr. MaskError."""
        self._emit(channel, self._output.feed(channel, data))
        self.flush_at = now + self._quiet if self._output.waits else None

    def _emit(self, channel: int, data: bytes) -> None:
        if data:
            self._show(channel, data)

    def tick(self, now: float) -> None:
        """Shows what was held back, if it was quiet for long enough."""
        if self.flush_at is not None and now >= self.flush_at:
            self.flush_at = None
            for channel, data in self._output.flush().items():
                self._emit(channel, data)

    def close(self, channel: int) -> None:
        """The server has no more for this channel."""
        if channel in TEXT:
            self._emit(channel, self._output.close(channel))
        elif channel == ERROR and self._status:
            self.tell()

    def rest(self) -> None:
        """Everything that is held back."""
        self.flush_at = None
        for channel in (*TEXT, ERROR):
            self.close(channel)

    def rest_if_maskable(self) -> None:
        """`rest`, before a refusal: what cannot be masked is not shown."""
        with suppress(MaskError):
            self.rest()

    def status(self, data: bytes) -> bool:
        """More of the Status; whether anything waits to be told. FramingError."""
        self._status += data
        if len(self._status) > MAX_STATUS:
            raise FramingError(f"a Status longer than {MAX_STATUS} bytes")
        return bool(self._status)

    @property
    def collected(self) -> bytes:
        """The Status as far as it has come."""
        return self._status

    def tell(self) -> None:
        """The collected Status, masked."""
        found, self._status = self._status, b""
        self.told = True
        self._emit(ERROR, self._output.status(found))


class Sizes:
    """Sizes of the client's terminal. `send(size)` is called at RESIZE_RATE; of more, only the last passes, later."""

    def __init__(self, now: float, send: Callable[[Size], None]) -> None:
        self._resizes = Resizes()
        self._bucket = Bucket(RESIZE_RATE, RESIZE_BURST, now)
        self._pending: Size | None = None
        self._send = send

    def feed(self, data: bytes, now: float) -> None:
        """Bytes of the resize channel. FramingError."""
        for size in self._resizes.feed(data):
            if size.width and size.height:  # the kubelet ignores others
                self._pending = size
                self.tick(now)

    def tick(self, now: float) -> None:
        """Sends the size that waits, if it may pass now."""
        if self._pending is not None and self._bucket.take(now):
            size, self._pending = self._pending, None
            self._send(size)

    @property
    def next(self) -> float | None:
        """When to call `tick` again; None if nothing waits."""
        return None if self._pending is None else self._bucket.next
