"""Masking of text: whole strings, and streams that come in chunks.

Belongs here: lines, the unfinished line, private keys over several lines. Not here: what a secret looks like
(`patterns.py`), known values (`known.py`), exec channels (`frames.py`).

A complete line leaves at once. Of an unfinished line, what comes before the first possible secret leaves at once;
the rest waits for the bytes that decide, for the line end, or for `flush()`. INVARIANT: without `flush()`, the
output does not depend on how the input was cut (below MAX_HELD). A secret whose bytes arrive slower than the flushes
leaks its first part: that is the price of interactive shells, and why exec is a question of policy.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pratique.masking.known import KnownValues
from pratique.masking.mask import Mask
from pratique.masking.patterns import PatternSet

# Bytes of one line that may wait; a longer candidate is masked to its line end. 256 KiB is 8 times the largest frame
# of an exec.
MAX_HELD = 262_144
KNOWN = "known-value"  # what is counted for a value that was masked before
TOO_LONG = "too-long"  # what is counted for a candidate above MAX_HELD
# Bytes of an unfinished line from which on it is looked at again only when it has grown by a quarter.
_LONG = 1024
_CONTEXT = 16  # bytes kept before the waiting part, for \b and ^
_MAX_KEY_LINES = 512  # lines of one private key; an RSA key of 16,384 bits has 200
_BEGIN = b"PRIVATE KEY"
_KEY_BEGIN = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = re.compile(rb"-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEY_WORD = re.compile(rb"[A-Za-z0-9+/=]+\Z")
_KEY_HEADER = re.compile(rb"(?:Proc-Type|DEK-Info|Comment|Version):")

type Span = tuple[int, int, str]


def merge(spans: list[Span]) -> list[Span]:
    """In order, overlapping ones joined under the name of the first."""
    merged: list[Span] = []
    for start, end, name in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]), merged[-1][2])
        else:
            merged.append((start, end, name))
    return merged


@dataclass(frozen=True, slots=True)
class TextMasker:
    """What is masked in text. `count` is told the pattern of each mask, or KNOWN, or TOO_LONG."""

    patterns: PatternSet | None
    known: KnownValues
    mask: Mask
    count: Callable[[str], None]

    def mask_text(self, text: str) -> str:
        """A whole string."""
        raw = text.encode("utf-8", "surrogatepass")
        masked = self.mask_bytes(raw)
        return text if masked is raw else masked.decode("utf-8", "replace")

    def mask_bytes(self, text: bytes) -> bytes:
        """A whole text. The same object if nothing was masked."""
        if not self.touches(text):
            return text
        stream = TextStream(self)
        return stream.feed(text) + stream.close()

    def touches(self, text: bytes) -> bool:
        """Whether anything in `text` may be masked."""
        return bool(self.patterns and self.patterns.search(text)) or self.known.current().search(text)

    def spans(self, text: bytes, start: int) -> list[Span]:
        """Every secret that begins at `start` or later: (start, end, pattern), merged and in order."""
        spans = self.patterns.spans(text, start) if self.patterns else []
        known = [(begin, end, KNOWN) for begin, end in self.known.current().spans(text, start)]
        return merge(spans + known) if known else spans

    def is_mask(self, secret: bytes) -> bool:
        """A mask that another rule has put there: not counted twice."""
        return secret.strip(b"\"'\\") in {self.mask.text.encode(), self.mask.base64.encode()}

    def hold(self, text: bytes, start: int) -> int:
        """Before here, nothing that is still to come changes what is masked."""
        held = len(text)
        whole: list[tuple[int, int]] = []
        if self.patterns:
            held = self.patterns.hold(text, start)
            whole = self.patterns.matches(text, start)
        known = self.known.current()
        if not known.empty:
            held = min(held, known.hold(text, start))
            whole += known.spans(text, start)
        # Backwards: holding one match back may cut the one before it.
        for begin, end in sorted(whole, reverse=True):
            if begin < held and (end > held or end >= len(text)):
                held = begin
        return held

    def render(self, text: bytes, start: int, end: int) -> bytes:
        """`text[start:end]`, masked; no secret may cross `end`."""
        pieces = []
        for begin, stop, name in self.spans(text, start):
            if begin >= end:
                break
            if self.is_mask(text[begin:stop]):
                continue
            pieces += [text[start:begin], self.mask.text.encode()]
            self.count(name)
            start = stop
        pieces.append(text[start:end])
        return b"".join(pieces)


class TextStream:
    """One stream of text (a log, one channel of an exec)."""

    def __init__(self, masker: TextMasker) -> None:
        self._masker = masker
        self._text = b""  # context, then what waits
        self._done = 0  # bytes of context
        self._key_lines = 0  # of the private key that we are in; 0: in none
        self._dropping = False  # the rest of this line is part of something too long
        self._sent = b""  # what flush() sent of the waiting part
        self._look = 0  # bytes that must wait before they are looked at
        self._flushed = True  # nothing came since flush()

    @property
    def waits(self) -> bool:
        """Whether flush() would show more."""
        return not (self._flushed or self._dropping or self._key_lines or len(self._text) == self._done)

    def feed(self, data: bytes) -> bytes:
        """What can be shown after `data` came."""
        # The part that waits holds no line end, so that only `data` is searched for one.
        place = data.rfind(b"\n") + 1
        cut = len(self._text) + place if place else 0
        self._text += data
        self._flushed = False
        shown = b""
        if cut > self._done:
            complete, self._text, start = self._text[:cut], self._text[cut:], self._done
            self._done = self._look = 0
            shown = self._lines(complete, start)
        return shown + self._head()

    def flush(self) -> bytes:
        """What waits, because nothing came for a while. Masked as if the line ended here."""
        self._flushed = True
        if self._dropping or self._key_lines or len(self._text) == self._done:
            return b""
        masked = self._masker.render(self._text, self._done, len(self._text))
        shown, self._sent = self._unsent(masked), masked
        return shown

    def close(self) -> bytes:
        """The rest, after the last byte."""
        text, start, self._text, self._done = self._text, self._done, b"", 0
        return self._lines(text, start) if len(text) > start else b""

    def _unsent(self, masked: bytes) -> bytes:
        """The part of `masked` that flush() has not sent yet. Keeps what was sent but is not in `masked` yet."""
        sent, self._sent = self._sent, b""
        if sent.startswith(masked):
            self._sent = sent[len(masked) :]
            return b""
        return masked[_common(sent, masked) :]

    def _head(self) -> bytes:
        """The beginning of the unfinished line."""
        waiting = len(self._text) - self._done
        if not waiting or self._dropping or (self._key_lines and waiting <= MAX_HELD):
            return self._drop() if self._dropping else b""
        if waiting < self._look:
            return b""
        held = self._done if self._key_lines else self._masker.hold(self._text, self._done)
        if len(self._text) - held > MAX_HELD:
            return self._overflow(held)
        shown = self._unsent(self._masker.render(self._text, self._done, held)) if held > self._done else b""
        keep = max(held - _CONTEXT, 0)
        self._text, self._done = self._text[keep:], held - keep
        waiting = len(self._text) - self._done
        self._look = waiting + waiting // 4 if waiting > _LONG else 0
        return shown

    def _overflow(self, held: int) -> bytes:
        shown = self._unsent(self._masker.render(self._text, self._done, held) + self._masker.mask.text.encode())
        self._masker.count(TOO_LONG)
        self._dropping = True
        return shown + self._drop()

    def _drop(self) -> bytes:
        self._text, self._done = b"", 0
        return b""

    def _lines(self, text: bytes, start: int) -> bytes:
        if not self._key_lines and not self._dropping and _BEGIN not in text:
            return self._unsent(self._masker.render(text, start, len(text)))
        return self._unsent(b"".join(self._line(line, begin) for line, begin in _split(text, start)))

    def _line(self, line: bytes, start: int) -> bytes:
        if self._dropping:
            self._dropping = not line.endswith(b"\n")
            return b"" if self._dropping else b"\n"
        if self._key_lines:
            return self._key_line(line, start)
        begins = list(_KEY_BEGIN.finditer(line, start))
        if begins and self._has_private_key and not _KEY_END.search(line, begins[-1].end()):
            self._key_lines = 1
        return self._masker.render(line, start, len(line))

    @property
    def _has_private_key(self) -> bool:
        patterns = self._masker.patterns
        return patterns is not None and any(pattern.name == "private-key" for pattern in patterns.patterns)

    def _key_line(self, line: bytes, start: int) -> bytes:
        """A line inside a private key: gone, so that not even the number of lines shows."""
        end = _KEY_END.search(line, start)
        if end:
            self._key_lines = 0
            return self._masker.render(line, end.end(), len(line))
        if self._key_lines < _MAX_KEY_LINES and _is_key_line(line[start:]):
            self._key_lines += 1
            return b""
        self._key_lines = 0
        return self._line(line, start)


def _common(left: bytes, right: bytes) -> int:
    """How many first bytes are the same."""
    return next(
        (index for index, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )


def _split(text: bytes, start: int) -> list[tuple[bytes, int]]:
    """The lines with their ends; only the first one has a part that is done."""
    lines = [line + b"\n" for line in text.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    if not lines[-1]:
        lines.pop()
    return [(line, start if index == 0 else 0) for index, line in enumerate(lines)]


def _is_key_line(line: bytes) -> bool:
    """One word (base64), alone or after a time stamp, or a header of a legacy key."""
    if _KEY_HEADER.search(line):
        return True
    words = line.strip(b" \t\r\n\"',").removesuffix(b"\\n").split()
    if len(words) <= 1:
        return True
    return bool(_KEY_WORD.match(words[-1])) and (len(words) == 2 or len(words[-1]) >= 32)
