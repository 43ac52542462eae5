"""Bodies of HTTP/1: what has arrived is one piece, nothing is waited for, an error comes after what was good before it."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from h11._receivebuffer import ReceiveBuffer
from mitmproxy.proxy.layers.http import _http1

from pratique.interlock import layers


class Body:
    """A reader and what has arrived for it."""

    def __init__(self, size: int | None = None) -> None:
        self.reader: Any = _http1.make_body_reader(size)
        self.buffered = ReceiveBuffer()

    def feed(self, data: bytes) -> list[Any]:
        """What a layer gets until there is no more: data as bytes, or the end."""
        self.buffered += data
        found: list[Any] = []
        while (piece := self.reader(self.buffered)) is not None:
            found.append(bytes(piece.data) if isinstance(piece, h11.Data) else piece)
            if isinstance(piece, h11.EndOfMessage):
                break
        return found


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_chunks_that_arrive_together_are_one_piece():
    assert Body().feed(chunk(b"a") + chunk(b"bc") + chunk(b"d" * 300)) == [b"abc" + b"d" * 300]


def test_nothing_is_waited_for():
    body, data = Body(), chunk(b"one event\n")
    assert [body.feed(data[index : index + 1]) for index in range(len(data))] == [
        [] if index < 3 or index > 12 else [data[index : index + 1]] for index in range(len(data))
    ]


def test_the_end_comes_after_what_arrived_with_it():
    *data, end = Body().feed(chunk(b"a") + chunk(b"b") + b"0\r\n\r\n")
    assert data == [b"ab"]
    assert isinstance(end, h11.EndOfMessage)


def test_what_is_malformed_comes_after_what_was_good():
    body = Body()
    body.buffered += chunk(b"a") + b"no number\r\n"
    assert bytes(body.reader(body.buffered).data) == b"a"
    for _ in range(2):
        with pytest.raises(h11.ProtocolError):
            body.reader(body.buffered)


def test_a_body_of_a_known_size_ends_with_its_last_byte():
    body = Body(3)
    assert body.feed(b"ab") == [b"ab"]
    data, end = body.feed(b"cGET /")
    assert data == b"c"
    assert isinstance(end, h11.EndOfMessage)
    assert bytes(body.buffered) == b"GET /"


def test_a_connection_that_ends_inside_a_body_is_an_error_and_one_that_may_end_is_not():
    with pytest.raises(h11.ProtocolError):
        Body().reader.read_eof()
    assert isinstance(Body(-1).reader.read_eof(), h11.EndOfMessage)


def test_trailers_are_dropped_in_both_directions():
    data, end = Body().feed(b"2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
    assert data == b"{}"
    assert list(end.headers) == []
    assert _http1.Http1Client.read_headers.__globals__["make_body_reader"] is _http1.make_body_reader
    assert layers.StatusHttp1Server.__mro__[1].read_headers.__globals__["make_body_reader"] is _http1.make_body_reader


def test_the_readers_are_replaced_once():
    before = _http1.make_body_reader
    layers.install_readers()
    assert _http1.make_body_reader is before
