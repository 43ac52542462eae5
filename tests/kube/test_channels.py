"""Terminal sizes and half-closes: two numbers of 16 bits and one byte, and nothing else (bypass.md 5.5, 5.10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import FramingError
from pratique.kube.channels import MAX_RESIZE, Resizes, Size, half_closed
from tests.kube.cuts import same_however_cut


def sizes(pieces: list[bytes]) -> list[Size]:
    resizes = Resizes()
    return [size for piece in pieces for size in resizes.feed(piece)]


def test_sizes_are_the_same_however_they_are_cut() -> None:
    stream = b'{"Width":77,"Height":33}\n{"Height": 1, "Width": 65535}{"Width":0,"Height":9,"Other":"x"} {'
    found = same_however_cut(stream, sizes)
    assert found == [Size(77, 33), Size(65535, 1), Size(0, 9)]


def test_a_size_is_written_as_client_go_writes_it() -> None:
    assert Size(77, 33).encode() == b'{"Width":77,"Height":33}\n'


@pytest.mark.parametrize(
    "value",
    [
        b'{"Width":65536,"Height":1}', b'{"Width":-1,"Height":1}', b'{"Width":1.5,"Height":1}', b'{"Width":1}',
        b'{"Width":"1","Height":1}', b'{"Width":1e2,"Height":1}', b"[1,2]}", b"{}", b"x}", b'{"Width":null,"Height":1}',
        b'{"Width":99999999999999999999,"Height":1}', b"{" * (MAX_RESIZE + 1),
        b'{"Width":1,"Height":1' + b" " * MAX_RESIZE + b"}",
    ],
)  # fmt: skip
def test_anything_else_is_an_error(value: bytes) -> None:
    with pytest.raises(FramingError):
        sizes([value])


@given(st.binary(max_size=100))
def test_any_bytes_are_sizes_or_a_framing_error(data: bytes) -> None:
    try:
        assert all(0 <= size.width < 65536 and 0 <= size.height < 65536 for size in sizes([data]))
    except FramingError:
        pass


def test_half_close() -> None:
    assert [half_closed(bytes((channel,))) for channel in range(5)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("payload", [b"", b"\x05", b"\xff", b"\x00\x00"])
def test_bypass_5_05_a_malformed_half_close_is_an_error(payload: bytes) -> None:
    with pytest.raises(FramingError):
        half_closed(payload)
