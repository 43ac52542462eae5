"""WebSocket frames: RFC 6455 however the bytes come, and nothing that the API server would read differently."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import FramingError
from pratique.kube.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MAX_CONTROL,
    MAX_FRAME,
    MAX_HEAD,
    PING,
    PONG,
    TEXT,
    FrameDecoder,
    close_code,
    close_payload,
    frame,
    xor,
)
from tests.kube.cuts import same_however_cut

KEY = b"\x12\x34\x56\x78"
LARGEST_WAIT = MAX_HEAD + MAX_CONTROL


def messages(pieces: list[bytes], *, from_client: bool, limit: int = MAX_FRAME) -> list[tuple[int, bytes]]:
    """Whole messages; checks on the way that parts are in order and that little waits."""
    decoder = FrameDecoder(from_client=from_client, limit=limit)
    found: list[tuple[int, bytes]] = []
    building: dict[str, bytes] = {}
    for piece in pieces:
        for part in decoder.feed(piece):
            if part.opcode in {CLOSE, PING, PONG}:
                assert part.first and part.last
                found.append((part.opcode, part.data))
                continue
            assert part.first is ("data" not in building)
            building["data"] = building.get("data", b"") + part.data
            if part.last:
                found.append((part.opcode, building.pop("data")))
        assert decoder.buffered <= LARGEST_WAIT
    return found


def fragment(opcode: int, payload: bytes, *, final: bool, key: bytes = b"") -> bytes:
    made = bytearray(frame(opcode, payload, key))
    made[0] = opcode | (0x80 if final else 0)
    return bytes(made)


def test_client_frames_are_the_same_however_they_are_cut() -> None:
    stream = (
        frame(BINARY, b"\x00hi", KEY) + frame(PING, b"p", KEY) + frame(TEXT, b"\x00t", b"\0\0\0\0")
        + frame(BINARY, b"", KEY) + frame(CLOSE, close_payload(1000), KEY)
    )  # fmt: skip
    found = same_however_cut(stream, lambda pieces: messages(pieces, from_client=True))
    assert found == [(BINARY, b"\x00hi"), (PING, b"p"), (TEXT, b"\x00t"), (BINARY, b""), (CLOSE, b"\x03\xe8")]


def test_server_fragments_are_joined_however_they_are_cut() -> None:
    stream = (
        fragment(BINARY, b"\x01ab", final=False) + frame(PONG, b"!") + fragment(CONTINUATION, b"", final=False)
        + fragment(CONTINUATION, b"cd", final=True) + frame(BINARY, b"\x02e")
    )  # fmt: skip
    found = same_however_cut(stream, lambda pieces: messages(pieces, from_client=False))
    assert found == [(PONG, b"!"), (BINARY, b"\x01abcd"), (BINARY, b"\x02e")]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
@pytest.mark.parametrize("key", [b"", KEY])
def test_every_form_of_a_length(size: int, key: bytes) -> None:
    payload = bytes(index % 251 for index in range(size))
    pieces = [frame(BINARY, payload, key)[at : at + 999] for at in range(0, size + 20, 999)]
    assert messages(pieces, from_client=bool(key)) == [(BINARY, payload)]


def test_what_follows_the_last_frame_waits() -> None:
    assert messages([frame(BINARY, b"x", KEY) + b"\x82"], from_client=True) == [(BINARY, b"x")]


BAD_FROM_CLIENT = {
    "not masked": frame(BINARY, b"x"),
    "first fragment": fragment(BINARY, b"\x00a", final=False, key=KEY),
    "continuation": fragment(CONTINUATION, b"\x00a", final=True, key=KEY),
    "rsv1, permessage-deflate": b"\xc2" + frame(BINARY, b"x", KEY)[1:],
    "rsv2": b"\xa2" + frame(BINARY, b"x", KEY)[1:],
    "rsv3": b"\x92" + frame(BINARY, b"x", KEY)[1:],
    "reserved opcode": b"\x83" + frame(BINARY, b"x", KEY)[1:],
    "reserved control opcode": b"\x8b" + frame(BINARY, b"x", KEY)[1:],
    "long control": b"\x89\xfe\x00\x7e" + KEY + b"x" * 126,
    "fragmented control": b"\x09" + frame(PING, b"x", KEY)[1:],
    "length in two bytes without need": b"\x82\xfe\x00\x7d" + KEY,
    "length in eight bytes without need": b"\x82\xff" + (65535).to_bytes(8) + KEY,
    "too long": b"\x82\xff" + (MAX_FRAME + 1).to_bytes(8) + KEY,
    "negative length": b"\x82\xff" + b"\xff" * 8 + KEY,
}
BAD_FROM_SERVER = {
    "masked": frame(BINARY, b"x", KEY),
    "continuation of nothing": fragment(CONTINUATION, b"x", final=True),
    "message inside a message": fragment(BINARY, b"x", final=False) + frame(BINARY, b"y"),
    "rsv1": b"\xc2" + frame(BINARY, b"x")[1:],
}


@pytest.mark.parametrize(
    ("stream", "from_client"),
    [*((bad, True) for bad in BAD_FROM_CLIENT.values()), *((bad, False) for bad in BAD_FROM_SERVER.values())],
    ids=[*BAD_FROM_CLIENT, *(f"server: {name}" for name in BAD_FROM_SERVER)],
)
def test_malformed_frames_are_an_error_however_they_are_cut(stream: bytes, from_client: bool) -> None:
    good = frame(BINARY, b"\x00before", KEY if from_client else b"")

    def run(pieces: list[bytes]) -> bytes:
        decoder = FrameDecoder(from_client=from_client)
        found = b""
        try:
            for part in (part for piece in pieces for part in decoder.feed(piece)):
                found += part.data
        except FramingError:
            return found
        pytest.fail("it was read")

    assert same_however_cut((good + stream)[:64], run).startswith(b"\x00before")


def test_what_comes_before_malformed_bytes_is_still_read() -> None:
    parts = FrameDecoder(from_client=True).feed(frame(BINARY, b"\x00ok", KEY) + frame(BINARY, b"unmasked"))
    assert next(parts).data == b"\x00ok"
    with pytest.raises(FramingError) as raised:
        next(parts)
    assert raised.value.offset == len(frame(BINARY, b"\x00ok", KEY))


@pytest.mark.parametrize(
    ("payload", "code"), [(b"", 1005), (b"\x03\xe8", 1000), (b"\x03\xe8bye", 1000), (b"\x0f\xa0x", 4000)]
)
def test_close_codes(payload: bytes, code: int) -> None:
    assert close_code(payload) == code
    assert close_payload(code) == payload[:2]


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xe7", b"\x13\x88", b"\x03\xed", b"\x03\xee", b"\x00\x00"])
def test_malformed_close_codes(payload: bytes) -> None:
    with pytest.raises(FramingError):
        close_code(payload)


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_is_that_of_the_rfc(data: bytes, key: bytes) -> None:
    assert xor(data, key) == bytes(byte ^ key[index % 4] for index, byte in enumerate(data))


@settings(max_examples=200)
@given(st.binary(max_size=200), st.booleans(), st.integers(1, 7))
def test_any_bytes_are_read_or_a_framing_error(data: bytes, from_client: bool, step: int) -> None:
    decoder = FrameDecoder(from_client=from_client, limit=1000)
    try:
        for at in range(0, len(data), step):
            for _ in decoder.feed(data[at : at + step]):
                pass
            assert decoder.buffered <= LARGEST_WAIT
    except FramingError as error:
        assert 0 <= error.offset <= len(data)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from([TEXT, BINARY]), st.binary(max_size=300)), max_size=5),
    st.integers(1, 50),
    st.booleans(),
)
def test_what_is_encoded_is_decoded(sent: list[tuple[int, bytes]], step: int, from_client: bool) -> None:
    stream = b"".join(frame(opcode, payload, KEY if from_client else b"") for opcode, payload in sent)
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
    assert messages(pieces, from_client=from_client) == sent


def test_a_frame_that_never_ends_takes_no_memory() -> None:
    decoder = FrameDecoder(from_client=True)
    list(decoder.feed(b"\x82\xff" + MAX_FRAME.to_bytes(8) + KEY))
    for _ in range(100):
        assert sum(len(part.data) for part in decoder.feed(b"x" * 65536)) == 65536
        assert decoder.buffered == 0
