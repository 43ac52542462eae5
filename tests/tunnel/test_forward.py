"""Port-forward: which ports, which streams, and what is known of the data afterwards."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import FramingError
from pratique.kube.spdy import Data, Frame, GoAway, Reset, SpdyDecoder, SpdyEncoder, SynReply, SynStream
from pratique.kube.websocket import BINARY, CLOSE, TEXT
from pratique.tunnel.forward_channels import ForwardOverChannels, check_ports
from pratique.tunnel.forward_spdy import MAX_CONNECTIONS, MAX_ERROR, ForwardOverSpdy
from pratique.tunnel.forward_tunnel import ForwardOverTunnel
from pratique.tunnel.session import Carried, Closed, Note, Opened
from tests.kube.cuts import same_however_cut
from tests.kube.test_spdy import joined
from tests.tunnel.support import KILLED, TERMS, Plain, SpdyTalk, WebSocketTalk

NORMAL = struct.pack(">H", 1000)


def allowed(port: int) -> str:
    return "" if port in {80, 8080} else "not in the policy"


def talk() -> SpdyTalk:
    return SpdyTalk(ForwardOverSpdy(TERMS, Plain(), allowed))


def pair(number: int, port: int = 80, first: int | None = None) -> tuple[SynStream, SynStream]:
    """The error and the data stream of one connection, as kubectl opens them."""
    first = 4 * number + 1 if first is None else first
    headers = {"port": str(port), "requestid": str(number)}
    return SynStream(first, {"streamtype": "error", **headers}), SynStream(first + 2, {"streamtype": "data", **headers})


def test_a_connection_as_kubectl_and_the_kubelet_have_it() -> None:
    talking = talk()
    error, data = pair(0)
    talking.client(error, Data(1, b"", fin=True), data, Data(3, b"GET /"))
    talking.server(SynReply(1), SynReply(3), Data(3, b"200 OK"), Data(3, b"", fin=True), Data(1, b"", fin=True))
    talking.client(Data(3, b"", fin=True))
    assert talking.sent == [error, Data(1, b"", fin=True), data, Data(3, b"GET /"), Data(3, b"", fin=True)]
    assert talking.shown == [
        SynReply(1),
        SynReply(3),
        Data(3, b"200 OK"),
        Data(3, b"", fin=True),
        Data(1, b"", fin=True),
    ]
    assert talking.events == [
        Opened(0, 80), Carried(0, from_client=True, data=b"GET /"), Carried(0, from_client=False, data=b"200 OK"), Closed(0)
    ]  # fmt: skip


def test_several_connections_at_once_to_several_ports() -> None:
    talking = talk()
    talking.client(*pair(0, 80), *pair(1, 8080), Data(3, b"a"), Data(7, b"b"))
    assert [event for event in talking.events if isinstance(event, Opened)] == [Opened(0, 80), Opened(1, 8080)]
    assert talking.sent[4:] == [Data(3, b"a"), Data(7, b"b")]


def test_bypass_5_08_a_port_that_policy_does_not_allow_is_never_heard_of_upstream() -> None:
    talking = talk()
    talking.client(*pair(0, 22), Data(1, b"", fin=True), Data(3, b"SSH-2.0"), Data(3, b"", fin=True), *pair(1, 80))
    assert talking.sent == list(pair(1, 80))
    assert talking.output(1) == b"pratique does not forward port 22: not in the policy"
    answered = [each for each in talking.shown if not isinstance(each, SynReply)]
    assert [each.stream for each in answered if isinstance(each, Data) and each.fin] == [1, 3]
    assert talking.events == [Note("port 22 was refused: not in the policy"), Opened(1, 80)]


@pytest.mark.parametrize(
    "headers",
    [
        {"streamtype": "stdin", "port": "80", "requestid": "0"}, {"port": "80", "requestid": "0"},
        {"streamtype": "data", "port": "0", "requestid": "0"}, {"streamtype": "data", "port": "65536", "requestid": "0"},
        {"streamtype": "data", "port": "080", "requestid": "0"}, {"streamtype": "data", "port": "+80", "requestid": "0"},
        {"streamtype": "data", "port": "80 ", "requestid": "0"}, {"streamtype": "data", "requestid": "0"},
        {"streamtype": "data", "port": "80"}, {"streamtype": "data", "port": "80", "requestid": "x"},
    ],
)  # fmt: skip
def test_bypass_5_08_streams_with_other_headers_end_the_session(headers: dict[str, str]) -> None:
    talking = talk()
    talking.client(SynStream(1, headers))
    assert talking.sent == []
    assert talking.server_closed


@pytest.mark.parametrize(
    "second",
    [
        SynStream(5, {"streamtype": "data", "port": "80", "requestid": "0"}),
        SynStream(5, {"streamtype": "error", "port": "80", "requestid": "0"}),
    ],
)
def test_bypass_5_08_a_second_stream_of_one_connection_ends_the_session(second: SynStream) -> None:
    talking = talk()
    talking.client(*pair(0), second)
    assert talking.server_closed


def test_bypass_5_08_the_two_streams_of_a_connection_are_for_one_port() -> None:
    talking = talk()
    error, _ = pair(0, 80)
    talking.client(error, SynStream(3, {"streamtype": "data", "port": "8080", "requestid": "0"}))
    assert talking.sent == [error]
    assert talking.server_closed


def test_data_of_the_client_on_the_error_stream_is_dropped() -> None:
    talking = talk()
    talking.client(*pair(0), Data(1, b"x"))
    assert talking.sent == list(pair(0))


def test_the_error_text_is_masked_as_a_whole() -> None:
    talking = talk()
    talking.client(*pair(0))
    talking.server(SynReply(1), SynReply(3), Data(1, b"the sec"), Data(1, b"ret"), Reset(3), Reset(1))
    assert talking.output(1) == b"the ******"
    assert talking.shown[-2:] == [Data(1, b"the ******"), Reset(1)]
    assert talking.events[-1] == Closed(0)


def test_frames_that_cross_the_end_of_a_stream_are_dropped() -> None:
    talking = talk()
    talking.client(*pair(0), Reset(3), Reset(1))
    before = talking.to_client
    talking.server(SynReply(1), Data(3, b"late"), Reset(3))
    talking.client(Data(3, b"late"), Reset(1))
    assert talking.to_client == before
    assert talking.sent == [*pair(0), Reset(3), Reset(1)]
    assert not talking.server_closed


def test_connections_are_bounded_and_come_back() -> None:
    talking = talk()
    for number in range(MAX_CONNECTIONS + 1):
        talking.client(*pair(number))
    assert sum(isinstance(event, Opened) for event in talking.events) == MAX_CONNECTIONS
    assert b"more than 256 connections" in talking.output(4 * MAX_CONNECTIONS + 1)
    talking.client(
        Reset(1), Reset(3), Data(4 * MAX_CONNECTIONS + 1, b"", fin=True), Data(4 * MAX_CONNECTIONS + 3, b"", fin=True)
    )
    talking.client(*pair(MAX_CONNECTIONS + 1))
    assert sum(isinstance(event, Opened) for event in talking.events) == MAX_CONNECTIONS + 1


def test_streams_that_are_never_ended_end_the_session() -> None:
    talking = talk()
    for number in range(3 * MAX_CONNECTIONS):
        if not talking.session.ended:
            talking.client(pair(number)[0], Data(4 * number + 1, b"", fin=True))
    assert talking.server_closed


def test_an_error_text_without_end_ends_the_session() -> None:
    talking = talk()
    talking.client(*pair(0))
    talking.server(Data(1, b"x" * (MAX_ERROR + 1)))
    assert talking.server_closed


def test_bypass_5_11_the_kill_switch_tells_every_connection() -> None:
    talking = talk()
    talking.client(*pair(0), *pair(1))
    talking.kill()
    talking.client(Data(3, b"after"))
    talking.server(Data(3, b"after"))
    assert talking.output(1) == talking.output(5) == KILLED.message.encode()
    assert [each for each in talking.shown if isinstance(each, Reset)] == [Reset(3), Reset(7)]
    assert isinstance(talking.shown[-1], GoAway)
    assert len(talking.sent) == 4


def test_a_cluster_that_leaves_ends_the_session() -> None:
    talking = talk()
    talking.client(*pair(0))
    talking.server(Data(1, b"why"))
    talking.server_leaves()
    assert talking.output(1) == b"why"
    assert talking.server_closed


# --- SPDY in WebSocket messages ---


def encoded(*frames: Frame) -> bytes:
    encoder = SpdyEncoder()
    return b"".join(map(encoder.encode, frames))


def tunnel() -> WebSocketTalk:
    return WebSocketTalk(ForwardOverTunnel(TERMS, Plain(), allowed))


def inner(found: list[tuple[int, bytes]]) -> list[Frame]:
    return list(SpdyDecoder().feed(b"".join(payload for opcode, payload in found if opcode == BINARY)))


def test_bypass_5_09_the_same_rules_hold_inside_a_websocket_however_it_is_cut() -> None:
    refused, reached = pair(0, 22)[0], pair(1, 80, first=1)[1]
    stream = encoded(refused, reached, Data(3, b"hi"))

    def run(pieces: list[bytes]) -> object:
        talking = tunnel()
        talking.client(*pieces)
        return joined(inner(talking.sent)), talking.events[0]

    # Message borders mean nothing, so the cuts are borders of messages here.
    found, note = same_however_cut(stream, run)  # type: ignore[misc]
    assert found == [reached, Data(3, b"hi")]
    assert note == Note("port 22 was refused: not in the policy")


def test_bypass_5_09_a_connection_through_a_websocket() -> None:
    talking = tunnel()
    talking.client(encoded(*pair(0), Data(3, b"GET /")))
    talking.server(encoded(SynReply(1), SynReply(3), Data(3, b"200 OK")))
    talking.server(NORMAL, opcode=CLOSE)
    assert inner(talking.sent) == [*pair(0), Data(3, b"GET /")]
    assert inner(talking.shown) == [SynReply(1), SynReply(3), Data(3, b"200 OK")]
    assert talking.close_codes == ([NORMAL], [NORMAL])


def test_bypass_5_09_text_messages_and_malformed_spdy_end_the_tunnel() -> None:
    for payload, opcode in (
        (encoded(*pair(0)), TEXT),
        (b"\x80\x02\0\0\0\0\0\0", BINARY),
        (encoded(SynStream(1, {})), BINARY),
    ):
        talking = tunnel()
        talking.client(payload, opcode=opcode)
        assert inner(talking.sent) == []
        assert talking.close_codes == ([NORMAL], [NORMAL])
        assert talking.server_closed


def test_bypass_5_11_the_kill_switch_of_a_tunnel() -> None:
    talking = tunnel()
    talking.client(encoded(*pair(0)))
    talking.kill()
    talking.client(encoded(Data(3, b"after")))
    frames = inner(talking.shown)
    assert Data(1, KILLED.message.encode(), fin=True) in frames
    assert talking.close_codes == ([NORMAL], [NORMAL])
    assert inner(talking.sent) == list(pair(0))


# --- over channels ---


def channels(*ports: int) -> WebSocketTalk:
    return WebSocketTalk(ForwardOverChannels(TERMS, Plain(), ports))


def test_channels_of_the_python_client() -> None:
    talking = channels(80, 8080)
    talking.server(b"\x00\x50\x00", b"\x01\x50\x00", b"\x02\x90\x1f", b"\x03\x90\x1f")
    talking.client(b"\x00GET /", b"\x02hello").server(b"\x00200 OK", b"\x03the secret")
    assert talking.payloads == [b"\x00GET /", b"\x02hello"]
    assert talking.output(0) == b"\x50\x00200 OK"
    assert talking.output(3) == b"\x90\x1fthe ******"
    assert talking.events == [
        Opened(0, 80), Opened(1, 8080), Carried(0, from_client=True, data=b"GET /"),
        Carried(1, from_client=True, data=b"hello"), Carried(0, from_client=False, data=b"200 OK"),
    ]  # fmt: skip


def test_the_announced_port_may_come_in_pieces() -> None:
    talking = channels(80)
    talking.server(b"\x00\x50", b"\x00\x00data")
    assert talking.output(0) == b"\x50\x00data"
    assert talking.events[-1] == Carried(0, from_client=False, data=b"data")


@pytest.mark.parametrize("channel", [1, 2, 3, 4, 255])
def test_bypass_5_09_only_data_channels_of_the_named_ports_pass(channel: int) -> None:
    talking = channels(80)
    talking.client(bytes((channel,)) + b"x")
    talking.server(bytes((channel + 1 if channel < 255 else 9,)) + b"x") if channel > 1 else None
    assert talking.payloads == []


def test_bypass_5_11_the_kill_switch_over_channels() -> None:
    talking = channels(80)
    talking.kill()
    assert talking.output(1) == b"\x50\x00" + KILLED.message.encode()
    assert talking.close_codes == ([NORMAL], [NORMAL])


@pytest.mark.parametrize("ports", [(), (0,), (65536,), tuple(range(1, 129))])
def test_ports_that_channels_cannot_number(ports: tuple[int, ...]) -> None:
    with pytest.raises(FramingError):
        check_ports(ports)


frames = st.one_of(
    st.builds(
        lambda stream, kind, port, request: SynStream(stream, {"streamtype": kind, "port": port, "requestid": request}),
        st.integers(1, 12), st.sampled_from(["error", "data"]), st.sampled_from(["80", "22", "8080"]), st.sampled_from("012"),
    ),
    st.builds(SynReply, st.integers(1, 12), st.just({}), st.booleans()),
    st.builds(Reset, st.integers(1, 12)),
    st.builds(Data, st.integers(1, 12), st.binary(max_size=30), st.booleans()),
    st.builds(GoAway, st.integers(0, 9)),
)  # fmt: skip


@settings(max_examples=400)
@given(st.lists(st.tuples(st.booleans(), frames), max_size=16))
def test_whatever_frames_come_no_other_port_is_reached(sent: list[tuple[bool, Frame]]) -> None:
    talking = talk()
    for from_client, frame in sent:
        (talking.client if from_client else talking.server)(frame)
    reached = {each.headers["port"] for each in talking.sent if isinstance(each, SynStream)}
    assert reached <= {"80", "8080"}
    opened = [event.connection for event in talking.events if isinstance(event, Opened)]
    closed = [event.connection for event in talking.events if isinstance(event, Closed)]
    assert len(opened) == len(set(opened)) and len(closed) == len(set(closed)) and set(closed) <= set(opened)
    carried = {event.connection for event in talking.events if isinstance(event, Carried)}
    assert carried <= set(opened)
    assert talking.server_closed is talking.session.ended
