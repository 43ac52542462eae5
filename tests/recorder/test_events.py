"""What a stream served is in its file byte for byte, and beyond the limit as size and hash."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import FramingError
from pratique.recorder.events import StreamEvents, read
from tests.recorder.support import NOON


def lines(chunks: list[bytes], limit: int = 1 << 20) -> tuple[StreamEvents, list[bytes]]:
    events = StreamEvents(limit)
    written = b"".join(events.feed(NOON + n, chunk) for n, chunk in enumerate(chunks))
    return events, written.splitlines(keepends=True)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
@settings(deadline=None)
def test_what_is_read_back_is_what_was_served(chunks: list[bytes]) -> None:
    events, written = lines(chunks)
    found = list(read(written))
    assert [event.data for event in found] == chunks
    assert [event.time for event in found] == [NOON + n for n in range(len(chunks))]
    assert (events.size, events.stored, events.sha256) == (
        sum(map(len, chunks)), sum(map(len, chunks)), hashlib.sha256(b"".join(chunks)).hexdigest(),
    )  # fmt: skip


def test_text_stays_readable_and_a_cut_character_is_not_lost() -> None:
    _, written = lines([b'{"type":"ADDED"}\n', "ü".encode()[:1], "ü".encode()[1:]])
    assert b'"text":"{\\"type\\":\\"ADDED\\"}\\n"' in written[0]
    assert b'"base64":"' in written[1]
    assert b"".join(event.data for event in read(written)) == b'{"type":"ADDED"}\n' + "ü".encode()


def test_beyond_the_limit_one_marker_follows_and_size_and_hash_go_on() -> None:
    events, written = lines([b"12345", b"67890", b"abc", b"def"], limit=7)
    found = list(read(written))
    assert [event.data for event in found] == [b"12345", b"67", b""]
    assert found[2].marker == "more than 7 bytes, the rest is not stored"
    assert (events.size, events.stored) == (16, 7)
    assert events.sha256 == hashlib.sha256(b"1234567890abcdef").hexdigest()


@pytest.mark.parametrize("line", [b"", b"[]", b'{"text":"x"}', b'{"time":1,"base64":"*"}', b'{"time":"x"}'])
def test_a_malformed_line_is_an_error_of_our_own(line: bytes) -> None:
    with pytest.raises(FramingError, match="line 1"):
        list(read([line]))


def test_the_log_of_a_port_forward_is_read_as_markers() -> None:
    log = [
        b'{"time":1.0,"event":"opened","connection":0,"port":8080}\n',
        b'{"time":2.0,"event":"closed","connection":0,"sent":{"bytes":5,"sha256":"ab"}}\n',
    ]
    assert [(event.data, event.marker) for event in read(log)] == [
        (b"", "opened: connection 0, port 8080"),
        (b"", "closed: connection 0, sent 5 bytes"),
    ]
