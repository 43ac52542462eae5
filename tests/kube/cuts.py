"""Ways to cut a stream of bytes, for tests of incremental decoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and cut at every pair of positions (so also at every single one)."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            yield [data[:first], data[first:second], data[second:]]


def same_however_cut(data: bytes, run: Callable[[list[bytes]], object]) -> object:
    """What `run` makes of the whole, after comparing it with what it makes of every cut."""
    expected = run([data])
    for pieces in cuts(data):
        assert run(pieces) == expected, [len(piece) for piece in pieces]
    return expected
