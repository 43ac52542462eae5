r"""Recorded terminal output on the terminal of a person: what may pass of it, and when.

Belongs here: an allow-list of control sequences, the pauses of a replay. Pure. Not here: casts (`casts`), writing, waiting.

What a container printed is the work of whoever controls the container. A terminal obeys more than colours: it puts texts
on the clipboard (OSC 52), answers questions as if they had been typed (DSR, DA, DECRQSS), sets titles, resizes windows,
prints (MC). So only what moves the cursor, erases, scrolls and colours passes (ECMA-48 and xterm's ctlseqs); all else is
left out, C1 controls and bidi marks too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MAX_SEQUENCE = 4096
"""Characters of an unfinished sequence that are kept; a longer one is no sequence."""

RESET = "\x1b[0m\x1b[r\x1b[?7h\x1b[?25h\x1b(B\x1b[?1049l"
"""Puts a terminal back: colours, scroll region, wrapping, cursor, character set, main screen."""

_CSI = re.compile(r"\x1b\[(?P<private>[<=>?]?)(?P<parameters>[0-9;:]*)(?P<middle>[ -/]*)(?P<final>[@-~])")
_STRING_END = re.compile(r"\x07|\x1b\\|\x9c")
_SHORT = re.compile(r"\x1b(?P<middle>[ -/]*)(?P<final>[0-~])")
_PARTIAL = re.compile(r"\x1b(?:\[[<=>?]?[0-9;:]*[ -/]*|[ -/]*)\Z")
_STRINGS = frozenset("]PX^_")
_FINALS = frozenset("@ABCDEFGHJKLMPSTXdefmr`as")
_MODES = frozenset({"7", "25", "47", "1047", "1048", "1049"})
_PLAIN_SHORTS = frozenset({("", "7"), ("", "8"), ("", "D"), ("", "E"), ("", "M"), ("(", "0"), ("(", "B")})
_CONTROLS = re.compile(
    r"[\x00-\x07\x0b-\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class TerminalFilter:
    """Text in, text out that a terminal may be shown. Sequences that are cut between two calls are put together.

    `plain` is for a pipe: no sequence passes at all, and lines end with a newline only.
    """

    def __init__(self, *, plain: bool = False) -> None:
        self._plain = plain
        self._waiting = ""
        self._in_string = False

    def feed(self, text: str) -> str:
        """What of `text` (and of what waited) may be shown."""
        data, self._waiting = self._waiting + text, ""
        shown: list[str] = []
        at = self._after_string(data, 0) if self._in_string else 0
        while at < len(data):
            if data[at] != "\x1b":
                end = data.find("\x1b", at)
                end = len(data) if end < 0 else end
                shown.append(_CONTROLS.sub("", data[at:end]))
            elif data[at + 1 : at + 2] in _STRINGS:
                end = self._after_string(data, at)
            elif len(data) - at <= MAX_SEQUENCE and _PARTIAL.match(data, at):
                self._waiting = data[at:]
                break
            else:
                end, passed = self._sequence(data, at)
                shown.append(passed)
            at = end
        joined = "".join(shown)
        return re.sub(r"[\r\x08]", "", joined) if self._plain else joined

    def _after_string(self, data: str, at: int) -> int:
        """Where the string (OSC, DCS, …) at `at` ends; it may end in a later call, as a terminal would have it."""
        if data.endswith("\x1b"):  # perhaps half of the end
            self._waiting, data = "\x1b", data[:-1]
        found = _STRING_END.search(data, at)
        self._in_string = found is None
        return found.end() if found else len(data) + 1

    def _sequence(self, data: str, at: int) -> tuple[int, str]:
        """(end, what passes) of the sequence at `at`."""
        if found := _CSI.match(data, at):
            return found.end(), found[0] if self._passes(found) else ""
        if data[at + 1 : at + 2] != "[" and (found := _SHORT.match(data, at)):
            passes = not self._plain and (found["middle"], found["final"]) in _PLAIN_SHORTS
            return found.end(), found[0] if passes else ""
        return at + 1, ""

    def _passes(self, found: re.Match[str]) -> bool:
        if self._plain or found["middle"]:
            return False
        if found["private"]:
            modes = found["parameters"].split(";")
            return found["private"] == "?" and found["final"] in "hl" and all(mode in _MODES for mode in modes)
        return found["final"] in _FINALS


def pauses(times: Iterable[float], speed: float, idle: float) -> Iterator[float]:
    """Seconds to wait before each event: the recorded pause, at most `idle`, at `speed` times the pace."""
    before = 0.0
    for time in times:
        yield min(max(time - before, 0.0), idle) / speed
        before = max(time, before)
