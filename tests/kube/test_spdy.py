"""SPDY/3.1 frames, however the bytes come, and bounded in what they may hold."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import FramingError
from pratique.kube.spdy import (
    MAX_CONTROL,
    MAX_DATA,
    MAX_HEADER_COUNT,
    MAX_HEADERS,
    Data,
    Frame,
    GoAway,
    Ignored,
    Ping,
    Reset,
    SpdyDecoder,
    SpdyEncoder,
    SynReply,
    SynStream,
)
from pratique.kube.spdy_dictionary import DICTIONARY
from tests.kube.cuts import same_however_cut

LARGEST_WAIT = 8 + MAX_CONTROL


def joined(frames: list[Frame]) -> list[Frame]:
    """Pieces of data next to each other as one: where a data frame is cut means nothing."""
    found: list[Frame] = []
    for frame in frames:
        last = found[-1] if found else None
        if isinstance(frame, Data) and isinstance(last, Data) and last.stream == frame.stream and not last.fin:
            found[-1] = Data(frame.stream, last.data + frame.data, frame.fin)
        else:
            found.append(frame)
    return found


def decode(pieces: list[bytes]) -> list[Frame]:
    decoder = SpdyDecoder()
    found: list[Frame] = []
    for piece in pieces:
        found += decoder.feed(piece)
        assert decoder.buffered <= LARGEST_WAIT
    return joined(found)


def encode(*frames: Frame) -> bytes:
    encoder = SpdyEncoder()
    return b"".join(map(encoder.encode, frames))


def block(plain: bytes) -> bytes:
    deflate = zlib.compressobj(zdict=DICTIONARY)
    return deflate.compress(plain) + deflate.flush(zlib.Z_SYNC_FLUSH)


def control(kind: int, body: bytes, *, flags: int = 0, version: int = 3) -> bytes:
    return struct.pack(">HHI", 0x8000 | version, kind, flags << 24 | len(body)) + body


def syn(plain: bytes, *, stream: int = 1, associated: int = 0, flags: int = 0) -> bytes:
    return control(1, struct.pack(">IIBB", stream, associated, 0, 0) + block(plain), flags=flags)


def test_the_dictionary_is_that_of_the_draft() -> None:
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


FRAMES = [
    SynStream(3, {"streamtype": "data", "port": "8080", "requestid": "0"}, fin=True),
    SynReply(1),
    Data(3, b"hello"),
    Data(3, b"", fin=True),
    Ping(1),
    Reset(3, 5),
    GoAway(1, 0),
]


def test_frames_are_the_same_however_they_are_cut() -> None:
    stream = encode(*FRAMES) + control(4, struct.pack(">III", 1, 4, 100)) + control(9, struct.pack(">II", 1, 65536))
    found = same_however_cut(stream, decode)
    assert found == [*joined(list(FRAMES)), Ignored(4), Ignored(9)]


def test_header_blocks_share_one_compressor() -> None:
    """Also a block of a frame that is ignored moves the state on."""
    encoder = zlib.compressobj(zdict=DICTIONARY)

    def headers(name: bytes, value: bytes) -> bytes:
        plain = struct.pack(">I", 1) + struct.pack(">I", len(name)) + name + struct.pack(">I", len(value)) + value
        return encoder.compress(plain) + encoder.flush(zlib.Z_SYNC_FLUSH)

    stream = control(1, struct.pack(">IIBB", 1, 0, 0, 0) + headers(b"streamtype", b"error"))
    stream += control(8, struct.pack(">I", 1) + headers(b"x-ignored", b"y"))
    stream += control(1, struct.pack(">IIBB", 3, 0, 0, 0) + headers(b"streamtype", b"stdout"))
    found = [SynStream(1, {"streamtype": "error"}), Ignored(8), SynStream(3, {"streamtype": "stdout"})]
    assert decode([stream]) == found


def test_a_frame_that_never_ends_takes_no_memory() -> None:
    decoder = SpdyDecoder()
    list(decoder.feed(struct.pack(">II", 1, MAX_DATA)))
    for _ in range(100):
        assert [len(frame.data) for frame in decoder.feed(b"x" * 65536) if isinstance(frame, Data)] == [65536]
        assert decoder.buffered == 0


def test_data_longer_than_a_frame_is_sent_as_several() -> None:
    stream = encode(Data(1, b"x" * (MAX_DATA + 1), fin=True))
    assert len(stream) == MAX_DATA + 1 + 16
    assert decode([stream]) == [Data(1, b"x" * (MAX_DATA + 1), fin=True)]


PAIR = struct.pack(">I", 1) + struct.pack(">I", 1) + b"a" + struct.pack(">I", 1) + b"b"
BAD = {
    "version 2": control(6, b"\0\0\0\1", version=2),
    "unknown type": control(5, b""),
    "credential": control(10, b""),
    "short ping": control(6, b"\0\0\1"),
    "long reset": control(3, b"\0" * 12),
    "stream 0 reset": control(3, b"\0" * 8),
    "stream 0 data": struct.pack(">II", 0, 0),
    "data flags": struct.pack(">II", 1, 0x02 << 24),
    "syn flags": syn(PAIR, flags=4),
    "associated stream": syn(PAIR, associated=1),
    "stream 0": syn(PAIR, stream=0),
    "too long": struct.pack(">HHI", 0x8003, 1, MAX_CONTROL + 1),
    "short syn": control(1, b"\0\0\0\1"),
    "not compressed": control(1, struct.pack(">IIBB", 1, 0, 0, 0) + PAIR),
    "another dictionary": control(1, struct.pack(">IIBB", 1, 0, 0, 0) + zlib.compress(PAIR)),
    "no header block": control(1, struct.pack(">IIBB", 1, 0, 0, 0)),
    "bomb": syn(
        struct.pack(">I", 1) + struct.pack(">I", 1) + b"a" + struct.pack(">I", MAX_HEADERS) + b"x" * MAX_HEADERS
    ),
    "many headers": syn(struct.pack(">I", MAX_HEADER_COUNT + 1) + b"\0" * 800),
    "cut pair": syn(PAIR[:-1]),
    "more than pairs": syn(PAIR + b"x"),
    "upper case": syn(PAIR.replace(b"a", b"A")),
    "no name": syn(struct.pack(">I", 1) + struct.pack(">I", 0) + struct.pack(">I", 1) + b"b"),
    "same name twice": syn(struct.pack(">I", 2) + PAIR[4:] * 2),
    "two values": syn(PAIR.replace(b"\1b", b"\3b\0c")),
    "not ascii": syn(PAIR.replace(b"b", b"\xff")),
    "huge length": syn(struct.pack(">I", 1) + b"\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("stream", BAD.values(), ids=BAD)
def test_malformed_frames_are_an_error(stream: bytes) -> None:
    for pieces in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        with pytest.raises(FramingError):
            decode(pieces)


def test_a_bomb_is_not_even_unpacked() -> None:
    """16 KiB of zeros compressed are 16 MB: no more than the limit is ever made of them."""
    stream = syn(b"\0" * (MAX_CONTROL * 900))
    assert len(stream) < MAX_CONTROL
    tracemalloc.start()
    try:
        with pytest.raises(FramingError):
            decode([stream])
        assert tracemalloc.get_traced_memory()[1] < 20 * MAX_HEADERS
    finally:
        tracemalloc.stop()


def test_a_header_block_after_the_end_of_the_zlib_stream_is_an_error() -> None:
    deflate = zlib.compressobj(zdict=DICTIONARY)
    ended = deflate.compress(PAIR) + deflate.flush(zlib.Z_FINISH)
    with pytest.raises(FramingError):
        decode([control(1, struct.pack(">IIBB", 1, 0, 0, 0) + ended)])


def test_what_comes_before_malformed_bytes_is_still_read() -> None:
    frames = SpdyDecoder().feed(encode(Ping(7)) + BAD["version 2"])
    assert next(frames) == Ping(7)
    with pytest.raises(FramingError) as raised:
        next(frames)
    assert raised.value.offset == len(encode(Ping(7)))


@settings(max_examples=200)
@given(st.binary(max_size=200), st.integers(1, 9))
def test_any_bytes_are_read_or_a_framing_error(data: bytes, step: int) -> None:
    decoder = SpdyDecoder()
    try:
        for at in range(0, len(data), step):
            list(decoder.feed(data[at : at + step]))
            assert decoder.buffered <= LARGEST_WAIT
    except FramingError as error:
        assert 0 <= error.offset <= len(data)


@settings(max_examples=200)
@given(st.binary(max_size=60), st.integers(0, 255), st.integers(0, 11))
def test_any_control_frame_is_read_or_a_framing_error(body: bytes, flags: int, kind: int) -> None:
    try:
        decode([encode(SynStream(1, {"streamtype": "error"})), control(kind, body, flags=flags)])
    except FramingError:
        pass


names = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)
values = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789 -./", max_size=20)
headers = st.dictionaries(names, values, max_size=4)
streams = st.integers(1, 2**31 - 1)
frames = st.one_of(
    st.builds(SynStream, streams, headers, st.booleans()),
    st.builds(SynReply, streams, headers, st.booleans()),
    st.builds(Reset, streams, st.integers(1, 11)),
    st.builds(Ping, st.integers(0, 2**32 - 1)),
    st.builds(GoAway, st.integers(0, 2**31 - 1), st.integers(0, 2)),
    st.builds(Data, streams, st.binary(max_size=200), st.booleans()),
)


@settings(max_examples=100)
@given(st.lists(frames, max_size=8), st.integers(1, 60))
def test_what_is_encoded_is_decoded(sent: list[Frame], step: int) -> None:
    stream = encode(*sent)
    assert decode([stream[at : at + step] for at in range(0, len(stream), step)]) == joined(sent)
