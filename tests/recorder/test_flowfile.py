"""Flow records are found and read as mitmproxy writes them, however they are cut."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import FramingError
from pratique.recorder.flowfile import (
    MAX_DEPTH,
    MAX_RECORD_BYTES,
    SLOT,
    Form,
    Splitter,
    decode,
    encode,
    encode_pairs,
    scan,
)
from tests.recorder.support import flow

FILE = flow(1) + flow(2, b"x" * 100) + flow(3)
RECORDS = [flow(1), flow(2, b"x" * 100), flow(3)]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.binary(max_size=20) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(values)
@settings(max_examples=200, deadline=None)
def test_we_and_mitmproxy_read_what_the_other_writes(value: object) -> None:
    from mitmproxy.io import tnetstring

    assert decode(encode(value)) == value
    assert tnetstring.loads(encode(value)) == value
    assert decode(tnetstring.dumps(value)) == value  # type: ignore[arg-type]


@given(st.dictionaries(st.text(max_size=5), st.tuples(values, st.booleans()), max_size=6))
@settings(max_examples=200, deadline=None)
def test_a_form_that_is_filled_is_the_mapping(fields: dict[str, tuple[object, bool]]) -> None:
    form = Form({name: SLOT if varies else value for name, (value, varies) in fields.items()})
    given_values = [value for value, varies in fields.values() if varies]
    assert form.fill(*given_values).data == encode({name: value for name, (value, _) in fields.items()})
    with pytest.raises(ValueError, match="zip"):
        form.fill(*given_values, None)


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=300)), max_size=6))
def test_headers_are_encoded_as_any_list_of_pairs(pairs: list[tuple[bytes, bytes]]) -> None:
    assert encode_pairs(pairs).data == encode(pairs)


def test_mitmproxy_reads_our_boundaries() -> None:
    from mitmproxy import io as flowio
    from mitmproxy.test import tflow

    file = io.BytesIO()
    writer = flowio.FlowWriter(file)
    for made in (tflow.tflow(resp=True), tflow.twebsocketflow(), tflow.ttcpflow()):
        writer.add(made)
    data = file.getvalue()
    pieces = [data[offset : offset + length] for offset, length in scan(data)]
    assert b"".join(pieces) == data
    assert [decode(piece)["type"] for piece in pieces] == ["http", "http", "tcp"]
    assert len(list(flowio.FlowReader(io.BytesIO(pieces[2] + pieces[0])).stream())) == 2


def test_records_are_found_whole_byte_by_byte_and_cut_anywhere() -> None:
    splitter = Splitter()
    assert [r for i in range(len(FILE)) for r in splitter.feed(FILE[i : i + 1])] == RECORDS
    assert splitter.pending == 0
    for cut in range(len(FILE)):
        splitter = Splitter()
        assert splitter.feed(FILE[:cut]) + splitter.feed(FILE[cut:]) == RECORDS
    splitter = Splitter()
    assert splitter.feed(FILE + b"12") == RECORDS
    assert splitter.pending == 2


def test_an_unfinished_record_is_no_error_and_no_record() -> None:
    for cut in range(len(RECORDS[0])):
        assert list(scan(RECORDS[0][:cut])) == []


@pytest.mark.parametrize("bad", [b"x", b":", b"01:a,", b"-1:a,", b"9999999999:", b"1:a?", b"2:abX", "²:aa,".encode()])
def test_malformed_bytes_are_an_error(bad: bytes) -> None:
    with pytest.raises(FramingError):
        list(scan(bad))
    splitter = Splitter()
    with pytest.raises(FramingError):
        splitter.feed(bad)
    splitter = Splitter()
    assert splitter.feed(RECORDS[0] + bad) == RECORDS[:1]
    with pytest.raises(FramingError) as caught:
        splitter.feed(b"")
    assert caught.value.offset >= len(RECORDS[0])


def test_a_length_beyond_the_limit_is_malformed_not_waited_for() -> None:
    with pytest.raises(FramingError):
        list(scan(f"{MAX_RECORD_BYTES + 1}:".encode()))
    assert list(scan(f"{MAX_RECORD_BYTES}:".encode())) == []


DEEP = encode(None)
for _ in range(MAX_DEPTH + 1):
    DEEP = b"%d:%b]" % (len(DEEP), DEEP)


@pytest.mark.parametrize(
    "bad",
    [b"", b"3:a", b"1:a#", b"1:a^", b"1:a!", b"1:a~", b"1:a?", b"1:\xff;", b"3:0:~}", b"0:~0:~", b"12:1:a,0:~1:a,0:~}",
     b"16:1:a,0:~1:a,0:~}", b"6:0:~0:~}", b"2:5:]", DEEP],
)  # fmt: skip
def test_a_malformed_record_is_an_error_of_our_own(bad: bytes) -> None:
    with pytest.raises(FramingError):
        decode(bad)


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_decode_or_are_an_error_of_our_own(data: bytes) -> None:
    for read in (decode, lambda d: list(scan(d)), Splitter().feed):
        try:
            read(data)
        except FramingError:
            continue


def test_what_cannot_stand_in_a_flow_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        encode(object())
