r"""Terminal sessions as asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/), for exec and attach.

Belongs here: (time, channel, bytes) events in, lines of a cast out; and lines in, events out, to play one. Pure. Not
here: taking channels out of WebSocket or SPDY (`pratique.kube`), masking (before), writing (`spool`), showing.

How the stream is cut into events never changes the text: UTF-8 is decoded incrementally per channel. Without a
terminal, `\n` becomes `\r\n` (players need it), and a stream that turns out binary (a NUL byte, as in any tar, or too
much that is not UTF-8) is stored as size and hash from there on; with a terminal all is shown: output could
else hide what follows it.
The cast of a session holds raw control sequences: whoever shows it must filter them.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pratique.errors import FramingError
from pratique.kube.channels import STDERR, STDIN, STDOUT

DEFAULT_WIDTH, DEFAULT_HEIGHT = 80, 24

MAX_CAST_BYTES = 64 * 1024 * 1024
"""Beyond it output is stored as size and hash; an hour of a busy terminal is some 10 MiB."""

MAX_INVALID = 64
"""Malformed UTF-8 sequences after which output without a terminal counts as binary; old logs have a few."""

MAX_STATUS_BYTES = 64 * 1024
"""Channel 3 carries one small Status."""

MAX_RESIZE_BYTES = 256

_encode = msgspec.json.Encoder().encode


class _Resize(msgspec.Struct):
    Width: int
    Height: int


class _Cause(msgspec.Struct):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] = []


class _Status(msgspec.Struct):
    status: str = ""
    message: str = ""
    reason: str = ""
    details: _Details | None = None


_decode_resize = msgspec.json.Decoder(_Resize).decode
_decode_status = msgspec.json.Decoder(_Status).decode


@dataclass(frozen=True, slots=True)
class Header:
    """First line. `timestamp` is seconds since the epoch; `command` and `title` must have been scrubbed."""

    timestamp: int
    command: str = ""
    title: str = ""
    width: int = DEFAULT_WIDTH
    height: int = DEFAULT_HEIGHT


@dataclass(slots=True)
class _Channel:
    """One direction of text: its decoder, and the tally of what is not shown."""

    tty: bool
    decoder: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))
    invalid: int = 0
    after_cr: bool = False
    hidden: bool = False
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


class Cast:
    """Writes one cast. Every method returns the bytes to append (whole lines, perhaps none).

    `started` and all times are seconds of one clock; times that run backwards are held. `record_input` stores stdin;
    `archive` (one end of `kubectl cp`) stores stdin and stdout as sizes and hashes from the start.
    """

    def __init__(
        self,
        header: Header,
        started: float,
        *,
        tty: bool,
        record_input: bool = False,
        archive: bool = False,
        limit: int = MAX_CAST_BYTES,
    ) -> None:
        self._header = header
        self._started = started
        self._last = 0.0
        self._tty = tty
        self._input = record_input
        self._limit = limit
        self._written = 0
        self._begun = False
        self._ended = False
        self._status = bytearray()
        self._resize = bytearray()
        self._channels = {number: _Channel(tty) for number in (STDIN, STDOUT, STDERR)}
        for number in (STDIN, STDOUT):
            self._channels[number].hidden = archive
        self._stdin_bytes = 0

    @property
    def exit_code(self) -> int | None:
        """From the Status on channel 3; None when it has not come, -1 when it failed without a code."""
        return exit_code(bytes(self._status))

    def event(self, time: float, channel: int, data: bytes) -> bytes:
        """What one message on `channel` adds. Unknown channels (255, half-close) add nothing."""
        if self._ended:
            raise FramingError("an event after the end of a cast")
        match channel:
            case 0:
                return self._stdin(time, data)
            case 1 | 2:
                return self._text(time, self._channels[channel], "o", data)
            case 3:
                self._status += data[: MAX_STATUS_BYTES - len(self._status)]
                return b""
            case 4:
                return self._resized(time, data)
            case _:
                return b""

    def marker(self, time: float, label: str) -> bytes:
        """A point of interest, such as an approval."""
        return self._line(time, "m", label)

    def end(self, time: float) -> bytes:
        """The last lines: what was not shown (sizes, hashes) and the exit code. Nothing may follow."""
        lines = [self._flush(time, number) for number in (STDOUT, STDERR, STDIN)]
        if self._stdin_bytes and not self._input and not self._channels[STDIN].hidden:
            lines.append(self.marker(time, f"stdin: {self._stdin_bytes} bytes, not recorded"))
        code = self.exit_code
        lines.append(self.marker(time, "ended without a status" if code is None else f"exit {code}"))
        self._ended = True
        return b"".join(lines)

    def _line(self, time: float, code: str, data: str) -> bytes:
        self._last = max(self._last, round(time - self._started, 6), 0.0)
        line = self._begin() + _encode([self._last, code, data]) + b"\n"
        self._written += len(line)
        return line

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        head = self._header
        fields = {"version": 2, "width": head.width, "height": head.height, "timestamp": head.timestamp}
        more = {"command": head.command, "title": head.title, "env": {"TERM": "xterm-256color"}}
        return _encode(fields | {name: value for name, value in more.items() if value}) + b"\n"

    def _stdin(self, time: float, data: bytes) -> bytes:
        self._stdin_bytes += len(data)
        channel = self._channels[STDIN]
        return self._text(time, channel, "i", data) if self._input or channel.hidden else b""

    def _resized(self, time: float, data: bytes) -> bytes:
        """Resizes are JSON values, each ended by a newline; one that is malformed is passed over."""
        self._resize += data
        *lines, rest = bytes(self._resize).split(b"\n")
        self._resize = bytearray(rest)
        if rest.endswith(b"}"):  # the Python client sends no newline
            lines.append(rest)
            self._resize.clear()
        elif len(rest) > MAX_RESIZE_BYTES:
            self._resize.clear()
        return b"".join(self._size(time, line) for line in lines)

    def _size(self, time: float, line: bytes) -> bytes:
        try:
            size = _decode_resize(line)
        except msgspec.MsgspecError:
            return b""
        if not (0 < size.Width < 65536 and 0 < size.Height < 65536):
            return b""
        if not self._begun:
            head = self._header
            self._header = Header(head.timestamp, head.command, head.title, size.Width, size.Height)
            return b""
        return self._line(time, "r", f"{size.Width}x{size.Height}")

    def _text(self, time: float, channel: _Channel, code: str, data: bytes) -> bytes:
        if not channel.hidden and not channel.tty and (nul := data.find(b"\0")) >= 0:
            shown = self._show(time, channel, code, data[:nul], final=True)
            return shown + self._hide(channel, data[nul:])
        if not channel.hidden and self._written >= self._limit:
            return self.marker(time, f"more than {self._limit} bytes, the rest is not stored") + self._hide(
                channel, data
            )
        if channel.hidden:
            return self._hide(channel, data)
        return self._show(time, channel, code, data)

    @staticmethod
    def _hide(channel: _Channel, data: bytes) -> bytes:
        channel.hidden = True
        channel.size += len(data)
        channel.digest.update(data)
        return b""

    def _show(self, time: float, channel: _Channel, code: str, data: bytes, *, final: bool = False) -> bytes:
        text = channel.decoder.decode(data, final)
        channel.invalid += text.count("\ufffd")
        if not channel.tty:
            text = _returns(channel, text)
            channel.hidden = channel.invalid > MAX_INVALID
        return self._line(time, code, text) if text else b""

    def _flush(self, time: float, number: int) -> bytes:
        channel = self._channels[number]
        code = "i" if number == STDIN else "o"
        lines = b"" if channel.hidden else self._show(time, channel, code, b"", final=True)
        if channel.hidden and channel.size:
            name = ("stdin", "stdout", "stderr")[number]
            lines += self.marker(time, f"{name}: {channel.size} bytes not shown, sha256 {channel.digest.hexdigest()}")
        return lines


def _returns(channel: _Channel, text: str) -> str:
    """Lone newlines as carriage return and newline, across cuts."""
    if not text:
        return text
    if channel.after_cr and text[0] == "\n":
        head, text = "\n", text[1:]
    else:
        head = ""
    channel.after_cr = (head + text)[-1] == "\r"
    return head + text.replace("\r\n", "\n").replace("\n", "\r\n")


def exit_code(status: bytes) -> int | None:
    """The exit code that a `metav1.Status` on channel 3 tells; None for no bytes, -1 for a failure without a code."""
    if not status:
        return None
    try:
        parsed = _decode_status(status)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return -1
    if parsed.status == "Success":
        return 0
    causes = parsed.details.causes if parsed.details else []
    codes = [cause.message for cause in causes if cause.reason == "ExitCode" and cause.message.isdecimal()]
    return int(codes[0][:3]) if codes else -1


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a cast: seconds since its start, code (`o`, `i`, `r`, `m`), data."""

    time: float
    code: str
    data: str


def read(lines: Iterable[bytes]) -> Iterator[Event]:
    """The events of a cast, after its header. FramingError when a line is none."""
    for number, line in enumerate(lines):
        try:
            if number == 0:
                _check_header(msgspec.json.decode(line, type=dict[str, Any]))
            else:
                yield Event(*msgspec.json.decode(line, type=tuple[float, str, str]))
        except msgspec.MsgspecError:
            raise FramingError(f"line {number + 1} of a cast is malformed", number) from None


def _check_header(header: dict[str, Any]) -> None:
    if header.get("version") != 2:
        raise FramingError("a cast is not version 2", 0)
