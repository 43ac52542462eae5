"""Exec over SPDY/3.1: the expected streams once, and the Status on the error stream."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.kube.spdy import Data, Frame, GoAway, Ping, Reset, SpdyEncoder, SynReply, SynStream
from pratique.tunnel.exec_channels import QUIET_PIPE_SECONDS, RESIZE_BURST, ExecTerms
from pratique.tunnel.exec_spdy import ExecOverSpdy
from pratique.tunnel.session import CONTROL_BURST, LINGER_SECONDS, Output, Seen
from tests.kube.cuts import same_however_cut
from tests.kube.test_spdy import joined
from tests.tunnel.support import KILLED, TERMS, Plain, SpdyTalk
from tests.tunnel.test_exec_websocket import SUCCESS, Holding, notes

PIPE = ExecTerms(stdin=True, stdout=True, stderr=True)
SHELL = ExecTerms(stdin=True, stdout=True, tty=True)
ERROR, STDIN, STDOUT, STDERR = (
    SynStream(number, {"streamtype": kind})
    for number, kind in ((1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr"))
)
RESIZE = SynStream(7, {"streamtype": "resize"})


def talk(asked: ExecTerms = PIPE, *, output: Output | None = None) -> SpdyTalk:
    return SpdyTalk(ExecOverSpdy(TERMS, asked, output or Plain()))


def opened(asked: ExecTerms = PIPE, *, output: Output | None = None) -> SpdyTalk:
    """With the streams that kubectl opens for it, accepted by the server."""
    talking = talk(asked, output=output)
    wanted = [ERROR, *([STDIN] if asked.stdin else []), STDOUT, *([RESIZE] if asked.tty else [STDERR])]
    talking.client(*wanted).server(*(SynReply(each.stream) for each in wanted))
    talking.to_client = talking.to_server = b""
    # What was sent so far has moved the compressors on; no header block follows.
    return talking


def test_a_short_session_as_kubectl_and_the_kubelet_have_it() -> None:
    talking = talk()
    talking.client(ERROR, STDIN, STDOUT, STDERR)
    assert talking.sent == [ERROR, STDIN, STDOUT, STDERR]
    talking.server(*(SynReply(number) for number in (1, 3, 5, 7)))
    talking.client(Data(3, b"in\n"), Data(3, b"", fin=True))
    talking.server(Data(5, b"out\n"), Data(7, b"err\n"), Data(5, b"", fin=True), Data(7, b"", fin=True))
    talking.server(Data(1, SUCCESS), Reset(1), Reset(3), GoAway(7))
    talking.server_leaves()
    assert talking.sent[4:] == [Data(3, b"in\n"), Data(3, b"", fin=True)]
    assert talking.shown[4:] == [
        Data(5, b"out\n"), Data(7, b"err\n"), Data(5, b"", fin=True), Data(7, b"", fin=True),
        Data(1, SUCCESS), Reset(1), Reset(3), GoAway(7),
    ]  # fmt: skip
    assert talking.events == [Seen(0, b"in\n"), Seen(1, b"out\n"), Seen(2, b"err\n"), Seen(3, SUCCESS)]
    assert talking.server_closed and not talking.client_closed
    talking.wait(LINGER_SECONDS)
    assert talking.client_closed


def encoded(*frames: Frame) -> bytes:
    encoder = SpdyEncoder()
    return b"".join(map(encoder.encode, frames))


def test_the_client_is_read_the_same_however_it_is_cut() -> None:
    stream = encoded(ERROR, SynStream(7, {"streamtype": "stdin"}), Data(7, b"abc"), Ping(1), Data(7, b"", fin=True))

    def run(pieces: list[bytes]) -> object:
        talking = talk()
        for piece in pieces:
            talking.client_sends(piece)
        return joined(talking.sent)

    found = same_however_cut(stream, run)
    assert found == [ERROR, SynStream(7, {"streamtype": "stdin"}), Data(7, b"abc"), Ping(1), Data(7, b"", fin=True)]


def test_the_server_is_read_the_same_however_it_is_cut() -> None:
    stream = encoded(SynReply(1), Data(5, b"out"), Data(1, b"{}"), Data(5, b"", fin=True), GoAway())

    def run(pieces: list[bytes]) -> object:
        talking = talk()
        talking.client(ERROR, STDIN, STDOUT)
        for piece in pieces:
            talking.server_sends(piece)
        return joined(talking.shown)

    found = same_however_cut(stream, run)
    assert found == [SynReply(1), Data(5, b"out"), Data(1, b"{}"), Data(5, b"", fin=True), GoAway(5)]


# --- bypass.md section 5 ---


@pytest.mark.parametrize(
    ("asked", "frame"),
    [
        (ExecTerms(stdout=True, stderr=True), STDIN),
        (PIPE, SynStream(9, {"streamtype": "resize"})),
        (SHELL, STDERR),
        (ExecTerms(stdin=True, stderr=True), STDOUT),
        (PIPE, SynStream(9, {"streamtype": "stdin"})),  # a second one: the last wins at the kubelet
        (PIPE, SynStream(9, {"streamtype": "data", "port": "22"})),
        (PIPE, SynStream(9, {})),
    ],
    ids=["no stdin", "no terminal", "stderr with a terminal", "no stdout", "second stdin", "port", "no type"],
)
def test_bypass_5_08_only_the_streams_that_were_asked_for_and_once(asked: ExecTerms, frame: SynStream) -> None:
    talking = talk(asked)
    talking.client(ERROR)
    if frame.stream == 9:
        talking.client(STDIN)
    before = len(talking.sent)
    talking.client(frame, Data(frame.stream, b"rm -rf /"))
    assert len(talking.sent) == before
    assert talking.server_closed
    assert json.loads(talking.output(1))["reason"] == "BadRequest"


@pytest.mark.parametrize(
    "frame",
    [
        SynStream(2, {"streamtype": "stdout"}), SynStream(1, {"streamtype": "stdout"}), SynReply(1), Data(9, b"x"),
        Reset(9), Data(2, b"x"), SynStream(11, {"streamtype": "stdout"}, unidirectional=True), Data(4, b"x"),
    ],
)  # fmt: skip
def test_bypass_5_08_streams_out_of_turn_end_the_session(frame: Frame) -> None:
    talking = talk()
    talking.client(SynStream(3, {"streamtype": "error"}), SynStream(7, {"streamtype": "stdin"}))
    before = len(talking.sent)
    talking.client(frame)
    assert len(talking.sent) == before
    assert talking.server_closed


def test_bypass_5_08_other_headers_of_a_stream_do_not_pass() -> None:
    talking = talk()
    talking.client(SynStream(1, {"streamtype": "error", "x-remote-user": "admin", ":method": "get"}))
    assert talking.sent == [ERROR]


@pytest.mark.parametrize("frame", [SynStream(2, {"streamtype": "stdin"}), Data(9, b"x"), SynReply(9), Reset(2)])
def test_bypass_5_08_the_server_opens_no_streams(frame: Frame) -> None:
    talking = opened()
    talking.server(frame)
    assert talking.server_closed


def test_bypass_5_08_data_of_the_client_on_other_streams_is_dropped() -> None:
    talking = opened()
    talking.client(Data(1, b'{"status":"Success"}'), Data(5, b"fake"), Data(7, b"", fin=True))
    assert talking.sent == [Data(7, b"", fin=True)]
    assert len(notes(talking)) == 2


def test_bypass_5_10_resizes_are_paced() -> None:
    talking = opened(SHELL)
    for width in range(1, 101):
        talking.client(Data(7, b'{"Width":%d,"Height":24}\n' % width))
    assert len(talking.sent) == RESIZE_BURST
    talking.wait(1.0)
    assert talking.sent[-1] == Data(7, b'{"Width":100,"Height":24}\n')
    talking.client(Data(7, b'{"Width":-1,"Height":24}\n'))
    assert talking.server_closed


def test_bypass_5_11_the_kill_switch_ends_the_streams_with_a_status() -> None:
    talking = opened()
    talking.server(Data(5, b"before"))
    talking.kill()
    talking.server(Data(5, b"after"))
    talking.client(Data(3, b"after"))
    assert talking.output(5) == b"before"
    assert json.loads(talking.output(1))["message"] == KILLED.message
    ended = [each.stream for each in talking.shown if isinstance(each, Data) and each.fin]
    assert ended == [5, 7, 1]  # client-go reads the Status when stdout and stderr have ended
    assert talking.sent == []


def test_bypass_5_11_a_session_ends_after_its_duration() -> None:
    talking = opened()
    talking.wait(TERMS.duration)
    assert json.loads(talking.output(1))["reason"] == "Expired"


def test_bypass_5_15_a_flood_of_pings_is_dropped() -> None:
    talking = opened()
    talking.client(*(Ping(number) for number in range(1, 1001, 2)))
    assert len(talking.sent) == CONTROL_BURST


# --- how it ends ---


def test_a_cluster_that_vanishes_is_a_failure_not_a_success() -> None:
    talking = opened()
    talking.server(Data(5, b"half"))
    talking.server_leaves()
    assert json.loads(talking.output(1))["status"] == "Failure"


def test_leaks_I_the_status_is_masked_in_what_is_sent_and_recorded() -> None:
    talking = opened()
    talking.server(Data(1, b'{"status":"Failure","message":"the sec'), Data(1, b'ret"}'))
    assert talking.output(1) == b'{"status":"Failure","message":"the ******"}'
    assert talking.events == [Seen(3, b'{"status":"Failure","message":"the ******"}')]


def test_a_status_in_pieces_is_told_when_it_is_whole() -> None:
    talking = opened()
    talking.server(Data(1, SUCCESS[:10]))
    assert talking.output(1) == b""
    talking.server(Data(1, SUCCESS[10:]))
    assert talking.output(1) == SUCCESS


def test_a_status_that_is_no_json_is_told_when_its_stream_ends() -> None:
    talking = opened()
    talking.server(Data(1, b"plain text"), Reset(1))
    assert talking.shown == [Data(1, b"plain text"), Reset(1)]


def test_what_is_held_back_comes_before_the_end_of_its_stream() -> None:
    talking = opened(output=Holding())
    talking.server(Data(5, b"out"), Data(7, b"err"), Data(5, b"", fin=True))
    assert talking.shown == [Data(5, b"out"), Data(5, b"", fin=True)]
    talking.server(Reset(7))
    assert talking.shown[2:] == [Data(7, b"err"), Reset(7)]


def test_what_is_held_back_appears_after_a_quiet_time() -> None:
    talking = opened(output=Holding())
    talking.server(Data(5, b"prompt"))
    assert talking.shown == []
    talking.wait(QUIET_PIPE_SECONDS)
    assert talking.output(5) == b"prompt"


frames = st.one_of(
    st.builds(SynStream, st.integers(1, 12), st.dictionaries(st.just("streamtype"), st.sampled_from(["error", "stdin", "stdout", "stderr", "resize", "data"]))),
    st.builds(SynReply, st.integers(1, 12)),
    st.builds(Reset, st.integers(1, 12)),
    st.builds(Ping, st.integers(0, 9)),
    st.builds(GoAway, st.integers(0, 9)),
    st.builds(Data, st.integers(1, 12), st.binary(max_size=30), st.booleans()),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.tuples(st.booleans(), frames), max_size=12), st.sampled_from([PIPE, SHELL, ExecTerms(stdout=True)]))
def test_whatever_frames_come_the_session_goes_on_or_ends_in_order(
    sent: list[tuple[bool, Frame]], asked: ExecTerms
) -> None:
    talking = talk(asked)
    for from_client, frame in sent:
        (talking.client if from_client else talking.server)(frame)
    kinds = [each.headers["streamtype"] for each in talking.sent if isinstance(each, SynStream)]
    assert len(kinds) == len(set(kinds))
    assert asked.stdin or "stdin" not in kinds
    assert not [each for each in talking.shown if isinstance(each, SynStream)]
    assert talking.server_closed is talking.session.ended


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=8))
def test_whatever_bytes_come_the_session_goes_on_or_ends_in_order(sent: list[tuple[bool, bytes]]) -> None:
    talking = talk()
    for from_client, data in sent:
        (talking.client_sends if from_client else talking.server_sends)(data)
    assert talking.server_closed is talking.session.ended
