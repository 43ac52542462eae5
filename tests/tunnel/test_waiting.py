"""Sessions whose server is not there yet: nothing gets out, nothing is lost, and the client knows what it waits for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import MaskError
from pratique.kube.spdy import Data, GoAway, Ping, SynReply
from pratique.kube.websocket import BINARY, CLOSE, PING, PONG
from pratique.tunnel.exec_channels import ExecTerms
from pratique.tunnel.exec_spdy import OPENING_SECONDS, ExecOverSpdy
from pratique.tunnel.exec_websocket import ExecOverWebSocket
from pratique.tunnel.session import CONTROL_BURST, LINGER_SECONDS, Note, Seen
from pratique.tunnel.waiting import MAX_KEPT, REMIND_SECONDS, NoOutput, Notice
from tests.kube.cuts import same_however_cut
from tests.kube.test_spdy import joined
from tests.tunnel.support import KEY, KILLED, TERMS, Plain, SpdyTalk, WebSocketTalk, per_channel
from tests.tunnel.test_exec_spdy import ERROR, RESIZE, STDERR, STDIN, STDOUT, encoded
from tests.tunnel.test_exec_websocket import CLIENT_STREAM, NORMAL, PIPE, SHELL, SUCCESS

NOTICE = Notice("apr-1", "https://reviewers/a/apr-1", 300.0)
FIRST, GIVEN = NOTICE.first().encode(), NOTICE.granted().encode()
WAITING = Note("waits for approval apr-1")


def websocket(asked: ExecTerms = PIPE, *, v5: bool = True) -> WebSocketTalk:
    talking = WebSocketTalk(ExecOverWebSocket(TERMS, asked, NoOutput(), half_close=v5))
    talking.waits(NOTICE)
    return talking


def spdy(asked: ExecTerms = PIPE) -> SpdyTalk:
    talking = SpdyTalk(ExecOverSpdy(TERMS, asked, NoOutput()))
    talking.waits(NOTICE)
    return talking


def spdy_opened(asked: ExecTerms = PIPE) -> SpdyTalk:
    return spdy(asked).client(ERROR, STDIN, STDOUT, *([RESIZE] if asked.tty else [STDERR]))


# --- what the client is told ---


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (PIPE, [(BINARY, b"\x02" + FIRST + b"\n")]),
        (SHELL, [(BINARY, b"\x01" + FIRST + b"\r\n")]),
        (ExecTerms(stderr=True), [(BINARY, b"\x02" + FIRST + b"\n")]),
        (ExecTerms(stdin=True, stdout=True), []),
        (ExecTerms(stdin=True, tty=True), []),
    ],
)
def test_the_line_goes_where_it_disturbs_no_output(asked: ExecTerms, shown: list[tuple[int, bytes]]) -> None:
    assert websocket(asked).shown == shown


def test_the_line_says_which_approval_where_and_how_long() -> None:
    assert NOTICE.first() == (
        "pratique: this command waits up to 300 s for approval apr-1. "
        "A reviewer decides at https://reviewers/a/apr-1 or with `pratique approvals approve apr-1`"
    )
    assert "decides with `pratique" in Notice("apr-1", "", 5).first()


def test_it_is_told_again_and_everything_it_is_told_is_recorded() -> None:
    talking = websocket()
    talking.wait(2 * REMIND_SECONDS + 1)
    told = [FIRST, NOTICE.reminder(285).encode(), NOTICE.reminder(270).encode()]
    assert talking.output(2) == b"\n".join([*told, b""])
    assert talking.events == [WAITING, *(Seen(2, line + b"\n") for line in told)]
    assert NOTICE.reminder(-0.2).endswith(" 0 s left")


def test_asked_anew_it_is_told_anew_and_loses_nothing() -> None:
    talking = websocket().client(b"\x00typed")
    talking.waits(Notice("apr-2", "", 100.0))
    talking.wait(REMIND_SECONDS)
    assert b"still waiting for approval apr-2, 85 s left" in talking.output(2)
    talking.attaches(Plain())
    assert talking.payloads == [b"\x00typed"]


def test_pings_are_answered_here_and_no_more_than_a_session_passes_on() -> None:
    talking = websocket().client(b"p", opcode=PING).client(b"q", opcode=PONG)
    assert (PONG, b"p") in talking.shown
    talking.client(*[b"x"] * 100, opcode=PING)
    assert len([opcode for opcode, _ in talking.shown if opcode == PONG]) < CONTROL_BURST
    over_spdy = spdy_opened().client(Ping(1))
    assert over_spdy.shown[-1] == Ping(1)
    talking.attaches(Plain())
    over_spdy.attaches(Plain())
    assert PING not in [opcode for opcode, _ in talking.sent]
    assert Ping(1) not in over_spdy.sent


# --- what is kept ---


def test_what_came_meanwhile_reaches_the_server_in_order_once_it_is_there() -> None:
    talking = websocket(SHELL).client(b'\x04{"Width":80,"Height":24}\n', b"\x00ls", b"\x00 -l\n", b"\xff\x00")
    talking.wait(200)
    assert talking.sent == []
    talking.attaches(Plain())
    assert talking.payloads == [b'\x04{"Width":80,"Height":24}\n', b"\x00ls", b"\x00 -l\n", b"\xff\x00"]
    talking.client(b"\x00late").server(b"\x01out", b"\x03" + SUCCESS).server(NORMAL, opcode=CLOSE)
    assert talking.payloads[4:] == []  # stdin was closed
    assert talking.output(1).endswith(GIVEN + b"\r\nout")
    assert talking.status == {"metadata": {}, "status": "Success"}
    assert talking.close_codes == ([NORMAL], [NORMAL])


def test_a_session_that_does_not_wait_takes_no_server() -> None:
    talking = websocket()
    talking.attaches(Plain())
    with pytest.raises(RuntimeError):
        talking.attaches(Plain())


def test_the_server_gets_the_same_as_without_a_wait_however_the_client_is_cut() -> None:
    """But for pings, which were answered; and it does not matter at which cut the server comes."""

    def run(pieces: list[bytes]) -> object:
        found = []
        for when in (0, len(pieces) // 2, len(pieces)):
            talking = websocket(SHELL)
            for piece in pieces[:when]:
                talking.client_sends(piece)
            talking.attaches(Plain())
            for piece in pieces[when:]:
                talking.client_sends(piece)
            found.append(per_channel([each for each in talking.sent if each[0] == BINARY]))
        assert found[0] == found[1] == found[2]
        return found[0]

    assert same_however_cut(CLIENT_STREAM, run) == [
        (2, 4, b'{"Width":80,"Height":24}\n'), (2, 0, b"ls\nq"), (2, 255, b"\x00"),
    ]  # fmt: skip


def test_more_than_is_kept_ends_it_with_a_status() -> None:
    talking = websocket()
    talking.client(*[b"\x00" + b"x" * 32768] * (MAX_KEPT // 32768 - 1))
    assert not talking.session.ended
    talking.client(b"\x00" + b"x" * 32768, b"\x00more")
    assert talking.status["reason"] == "RequestEntityTooLarge"
    assert talking.close_codes == ([NORMAL], [])
    talking.attaches(Plain())
    assert talking.to_server == b"" and talking.server_closed


@given(st.lists(st.binary(max_size=40), max_size=12))
@settings(max_examples=50, deadline=None)
def test_nothing_is_for_a_server_that_is_not_there(pieces: list[bytes]) -> None:
    for talking in (websocket(SHELL), spdy_opened()):
        for piece in pieces:
            talking.client_sends(piece)
        talking.wait(20)
        assert talking.to_server == b""
        assert not talking.server_closed


# --- how it ends ---


@pytest.mark.parametrize("v5", [True, False])
def test_refused_it_ends_with_a_status_and_a_close_that_is_no_success(v5: bool) -> None:
    talking = websocket(v5=v5).client(b"\x00typed")
    talking.kill()
    assert (talking.status["status"], talking.status["message"]) == ("Failure", KILLED.message)
    assert talking.close_codes == ([NORMAL], [])
    assert talking.session.done and not talking.client_closed
    talking.client(NORMAL, opcode=CLOSE)
    assert talking.client_closed
    talking.waits(NOTICE)
    talking.attaches(Plain())
    assert talking.to_server == b""


def test_a_client_that_closes_or_leaves_ends_it() -> None:
    closing, leaving = websocket().client(NORMAL, opcode=CLOSE), websocket()
    leaving.client_leaves()
    for talking in (closing, leaving):
        assert talking.session.ended and talking.client_closed
        assert talking.to_server == b"" and not talking.server_closed


def test_what_is_malformed_ends_it_in_the_words_of_the_protocol() -> None:
    talking = websocket()
    talking.client_sends(b"\xc2\x80" + KEY)
    assert talking.status["reason"] == "BadRequest"
    over_spdy = spdy_opened().client(STDIN)
    assert json.loads(over_spdy.output(1))["reason"] == "BadRequest"


def test_before_the_server_is_there_nothing_of_it_can_be_shown() -> None:
    for show in (NoOutput().status, NoOutput().text, lambda data: NoOutput().feed(1, data)):
        with pytest.raises(MaskError):
            show(b"x")
    assert (NoOutput().waits, NoOutput().flush(), NoOutput().close(1)) == (False, {}, b"")
    talking = websocket()
    talking.server(b"\x01leaked")
    assert talking.output(1) == b""
    assert talking.status["status"] == "Failure"


# --- SPDY ---


def test_over_spdy_streams_are_accepted_here_and_the_servers_replies_swallowed() -> None:
    talking = spdy_opened().client(Data(3, b"typed"), Data(3, b"", fin=True))
    assert talking.sent == []
    assert talking.shown == [SynReply(1), SynReply(3), SynReply(5), SynReply(7), Data(7, FIRST + b"\n")]
    talking.attaches(Plain())
    assert talking.sent == [ERROR, STDIN, STDOUT, STDERR, Data(3, b"typed"), Data(3, b"", fin=True)]
    talking.server(SynReply(1), SynReply(3, {}, fin=True), SynReply(5), SynReply(7), Data(5, b"out"))
    assert talking.shown[5:] == [Data(7, GIVEN + b"\n"), Data(3, b"", fin=True), Data(5, b"out")]


def test_over_spdy_streams_may_be_opened_before_and_after_the_server_is_there() -> None:
    talking = spdy().client(ERROR, STDIN)
    talking.attaches(Plain())
    talking.client(STDOUT, STDERR).server(SynReply(1), SynReply(3), SynReply(5), SynReply(7))
    assert talking.sent == [ERROR, STDIN, STDOUT, STDERR]
    assert [each.stream for each in talking.shown if isinstance(each, SynReply)] == [1, 3, 5, 7]


def test_over_spdy_the_client_is_read_the_same_however_it_is_cut() -> None:
    stream = encoded(STDERR, Data(7, b"no"), Ping(1), GoAway(0))

    def run(pieces: list[bytes]) -> object:
        talking = spdy()
        for piece in pieces:
            talking.client_sends(piece)
        talking.attaches(Plain())
        return joined(talking.sent), talking.output(7)

    sent, told = same_however_cut(stream, run)  # type: ignore[misc]
    assert sent == [STDERR, GoAway(0)]
    assert told == FIRST + b"\n" + GIVEN + b"\n"


def test_over_spdy_refused_when_all_streams_are_open() -> None:
    talking = spdy_opened()
    talking.kill()
    assert json.loads(talking.output(1))["message"] == KILLED.message
    assert [each.stream for each in talking.shown if isinstance(each, Data) and each.fin] == [5, 7, 1]
    assert talking.session.done
    talking.client(Data(3, b"late"))
    talking.wait(LINGER_SECONDS)
    assert talking.client_closed and talking.to_server == b""


def test_over_spdy_a_client_that_has_not_opened_its_streams_gets_time_and_then_the_status() -> None:
    """client-go opens one after the other, each after the reply to the one before."""
    talking = spdy().client(ERROR)
    talking.kill()
    assert talking.session.ended and not talking.session.done
    assert json.loads(talking.output(1))["message"] == KILLED.message
    talking.wait(LINGER_SECONDS + 1)
    talking.client(STDIN, STDOUT, STDERR, Data(3, b"dropped"))
    assert [each.stream for each in talking.shown if isinstance(each, SynReply)] == [1, 3, 5, 7]
    assert {each.stream for each in talking.shown if isinstance(each, Data) and each.fin} == {1, 5, 7}
    assert talking.session.done and not talking.client_closed
    talking.wait(LINGER_SECONDS)
    assert talking.client_closed and talking.to_server == b""


def test_over_spdy_a_client_that_goes_on_with_what_is_malformed_is_hung_up_on() -> None:
    talking = spdy().client(ERROR)
    talking.kill()
    talking.client(ERROR)
    assert talking.client_closed and talking.session.done and talking.session.over


def test_over_spdy_the_status_waits_for_the_error_stream_and_not_for_ever() -> None:
    talking, silent = spdy(), spdy()
    talking.kill()
    silent.kill()
    talking.client(ERROR, STDIN, STDOUT, STDERR)
    assert json.loads(talking.output(1))["message"] == KILLED.message
    assert b"waits up to" in talking.output(7)
    silent.wait(OPENING_SECONDS)
    assert silent.client_closed and silent.session.over
