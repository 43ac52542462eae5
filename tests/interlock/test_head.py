"""The raw head of a request, and what the layer does with it: linear time."""

from __future__ import annotations

import pytest
from h11._receivebuffer import ReceiveBuffer

from pratique.errors import Refused
from pratique.interlock import layers
from pratique.interlock.head import MAX_HEAD, check_head

GOOD = b"GET /api HTTP/1.1\r\nHost: gateway:443\r\nAccept: a\tb\r\nX: \xe9\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        GOOD, GOOD + b"body \n\x00", GOOD[:40], b"", b"G", GOOD[:-1], b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", b"GET /\xff HTTP/1.1\r\n\r\n",
        b"PUT / HTTP/1.1\r\ntransfer-encoding:  Chunked \r\n\r\n", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", b"GET / HTTP/1.1\r\nhost: [::1]:1\r\n\r\n",
    ],
)  # fmt: skip
def test_a_head_that_everybody_reads_alike_passes(head):
    check_head(head)


@pytest.mark.parametrize(
    ("head", "rule"),
    [
        (b"GET / HTTP/1.1\nHost: h\r\n\r\n", "head/bare-line-ending"),
        (b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", "head/bare-line-ending"),
        (b"GET / HTTP/1.1\r\nX: a\x00\r\n\r\n", "head/control-character"),
        (b"GET / HTTP/1.1\r\nX: \xe9\x7f\r\n\r\n", "head/control-character"),
        (b"GET  / HTTP/1.1\r\n\r\n", "head/request-line"),
        (b"GET\t/ HTTP/1.1\r\n\r\n", "head/request-line"),
        (b" GET / HTTP/1.1\r\n\r\n", "head/request-line"),
        (b"GET / HTTP/1.1 \r\n\r\n", "head/request-line"),
        (b"GET /  HTTP/1.1\r\n\r\n", "head/request-line"),
        (b"GET / HTTP/2.0\r\n\r\n", "head/request-line"),
        (b"GET /\r\n\r\n", "head/request-line"),
        (b"\r\n\r\n", "head/request-line"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", "head/host"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "header/host"),
        (b"PUT / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\n", "header/duplicate"),
        (b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "framing/both-lengths"),
        (b"PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "framing/transfer-encoding"),
        (b"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "framing/transfer-encoding"),
        (b"PUT / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n", "framing/content-length"),
        (b"GET /" + b"a" * MAX_HEAD, "head/too-large"),
    ],
)
def test_a_head_that_somebody_reads_otherwise_is_refused(head, rule):
    with pytest.raises(Refused) as caught:
        check_head(head)
    assert caught.value.rule == rule


class Server(layers.StatusHttp1Server):
    """Only what `_may_be_complete` needs."""

    def __init__(self) -> None:
        self.buf = ReceiveBuffer()

    def feed(self, data: bytes) -> bool:
        self.buf += data
        return self._may_be_complete(data)


def test_a_head_that_comes_byte_by_byte_is_looked_at_once():
    server = Server()
    looks = [server.feed(GOOD[at : at + 1]) for at in range(len(GOOD))]
    assert looks.count(True) == 1
    assert looks[-1]


@pytest.mark.parametrize("end", [b"\n\n", b"\n\r\n", b"\r\n\r\n"])
def test_every_end_that_the_parser_knows_is_looked_at_wherever_it_is_cut(end):
    for cut in range(len(end) + 1):
        server = Server()
        assert [server.feed(b"GET / HTTP/1.1" + end[:cut]), server.feed(end[cut:])].count(True) >= 1


def test_what_is_left_of_the_message_before_is_looked_at():
    server = Server()
    assert server.feed(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n")
    assert server.buf.maybe_extract_lines()
    assert not server.feed(b""), "the next head is not complete"
    assert server.feed(b"\r\n"), "cut between its last line ends"
