"""Exec and attach over WebSocket: what passes in which direction, and how a session ends."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.kube.channels import MAX_STATUS
from pratique.kube.websocket import BINARY, CLOSE, MAX_FRAME, PING, PONG, TEXT, frame
from pratique.tunnel.exec_channels import QUIET_PIPE_SECONDS, QUIET_TTY_SECONDS, RESIZE_BURST, ExecTerms
from pratique.tunnel.exec_websocket import ExecOverWebSocket
from pratique.tunnel.session import CONTROL_BURST, LINGER_SECONDS, MAX_NOTES, Note, Output, Seen
from tests.kube.cuts import same_however_cut
from tests.kube.test_websocket import fragment
from tests.tunnel.support import KEY, KILLED, TERMS, Plain, WebSocketTalk, per_channel

SUCCESS = b'{"metadata":{},"status":"Success"}'
NORMAL = struct.pack(">H", 1000)
SHELL = ExecTerms(stdin=True, stdout=True, tty=True)
PIPE = ExecTerms(stdin=True, stdout=True, stderr=True)


def talk(asked: ExecTerms = SHELL, *, v5: bool = True, output: Output | None = None) -> WebSocketTalk:
    return WebSocketTalk(ExecOverWebSocket(TERMS, asked, output or Plain(), half_close=v5))


def notes(talking: WebSocketTalk) -> list[str]:
    return [event.text for event in talking.events if isinstance(event, Note)]


# --- what passes ---


def test_a_short_session_as_kubectl_and_the_kubelet_have_it() -> None:
    talking = talk(PIPE)
    talking.server(b"\x01").client(b"\x00in\n", b"\xff\x00").server(b"\x01out\n", b"\x02err\n", b"\x03" + SUCCESS)
    talking.server(NORMAL, opcode=CLOSE)
    assert talking.sent == [(BINARY, b"\x00in\n"), (BINARY, b"\xff\x00"), (CLOSE, NORMAL)]
    shown = [
        (BINARY, b"\x01"),
        (BINARY, b"\x01out\n"),
        (BINARY, b"\x02err\n"),
        (BINARY, b"\x03" + SUCCESS),
        (CLOSE, NORMAL),
    ]
    assert talking.shown == shown
    assert talking.events == [Seen(0, b"in\n"), Seen(1, b"out\n"), Seen(2, b"err\n"), Seen(3, SUCCESS)]
    assert talking.server_closed and not talking.client_closed
    talking.client(NORMAL, opcode=CLOSE)
    assert talking.client_closed


CLIENT_STREAM = (
    frame(BINARY, b"\x04" + b'{"Width":80,"Height":24}\n', KEY) + frame(BINARY, b"\x00ls\n", KEY)
    + frame(PING, b"p", KEY) + frame(TEXT, b"\x00q", KEY) + frame(BINARY, b"\x07no", KEY) + frame(BINARY, b"\xff\x00", KEY)
    + frame(BINARY, b"\x00late", KEY)
)  # fmt: skip
SERVER_STREAM = (
    frame(BINARY, b"\x01") + frame(BINARY, b"\x01out") + frame(PONG, b"p") + frame(BINARY, b"\x09no")
    + fragment(BINARY, b"\x02e", final=False) + fragment(0, b"rr", final=True) + frame(BINARY, b"\x03" + SUCCESS)
    + frame(CLOSE, NORMAL)
)  # fmt: skip


def test_the_client_is_read_the_same_however_it_is_cut() -> None:
    def run(pieces: list[bytes]) -> object:
        talking = talk()
        for piece in pieces:
            talking.client_sends(piece)
        return per_channel(talking.sent), notes(talking)

    found, said = same_however_cut(CLIENT_STREAM, run)  # type: ignore[misc]
    assert found == [
        (2, 4, b'{"Width":80,"Height":24}\n'),
        (2, 0, b"ls\n"),
        (PING, -1, b"p"),
        (2, 0, b"q"),
        (2, 255, b"\x00"),
    ]
    assert said == ["messages of the client on channel 7 were dropped"]


def test_the_server_is_read_the_same_however_it_is_cut() -> None:
    def run(pieces: list[bytes]) -> object:
        talking = talk(PIPE)
        for piece in pieces:
            talking.server_sends(piece)
        return per_channel(talking.shown), talking.server_closed

    found, closed = same_however_cut(SERVER_STREAM, run)  # type: ignore[misc]
    assert closed
    assert found == [(2, 1, b"out"), (PONG, -1, b"p"), (2, 2, b"err"), (2, 3, SUCCESS), (CLOSE, -1, NORMAL)]


def test_a_message_of_the_largest_size_passes_in_pieces() -> None:
    """The Python client sends a whole file in one message; it is never held."""
    talking = talk(PIPE)
    whole = frame(BINARY, b"\x00" + b"x" * (300 * 1024), KEY)
    for at in range(0, len(whole), 65536):
        talking.client_sends(whole[at : at + 65536])
    assert b"".join(data[1:] for data in talking.payloads) == b"x" * (300 * 1024)
    assert all(data[:1] == b"\x00" and len(data) <= 65537 for data in talking.payloads)


# --- bypass.md section 5 ---


def test_bypass_5_01_stdin_that_was_not_asked_for_is_dropped() -> None:
    talking = talk(ExecTerms(stdout=True))
    talking.client(b"\x00rm -rf /\n", b"\xff\x00").server(b"\x01out")
    assert talking.payloads == []
    assert notes(talking) == ["stdin was not asked for, what the client sent there was dropped"]
    assert talking.output(1) == b"out"


@pytest.mark.parametrize(
    "split",
    [
        fragment(BINARY, b"\x00hello", final=False, key=KEY) + fragment(0, b"\x00world", final=True, key=KEY),
        fragment(BINARY, b"\x00a", final=False, key=KEY) + fragment(0, b"xyz", final=True, key=KEY),
        fragment(0, b"\x00a", final=True, key=KEY),
    ],
)
def test_bypass_5_03_fragmented_messages_end_the_session(split: bytes) -> None:
    talking = talk()
    talking.client_sends(split)
    talking.client_sends(frame(BINARY, b"\x00after", KEY))
    assert talking.payloads == []
    assert talking.status["reason"] == "BadRequest"
    assert "fragmented" in talking.status["message"]
    assert talking.close_codes == ([NORMAL], [NORMAL])
    assert talking.server_closed


def test_bypass_5_03_a_long_message_goes_upstream_unfragmented() -> None:
    talking = talk(PIPE)
    talking.client(b"\x00" + b"y" * 20_000)
    assert talking.sent == [(BINARY, b"\x00" + b"y" * 20_000)]


def test_bypass_5_04_text_is_read_as_the_server_reads_it_and_goes_on_as_binary() -> None:
    talking = talk()
    talking.client(b"\x00id\n", opcode=TEXT)
    assert talking.sent == [(BINARY, b"\x00id\n")]
    assert talking.events == [Seen(0, b"id\n")]


@pytest.mark.parametrize("channel", [1, 2, 3, 5, 6, 48, 120, 254])
def test_bypass_5_04_only_three_channels_pass_from_the_client(channel: int) -> None:
    talking = talk()
    talking.client(bytes((channel,)) + b"x", b"", bytes((channel,)))
    assert talking.payloads == []
    assert notes(talking) == [f"messages of the client on channel {channel} were dropped"]


@pytest.mark.parametrize("payload", [b"\xff", b"\xff\x00\x00", b"\xff\x05", b"\xff\xff"])
def test_bypass_5_05_a_malformed_half_close_ends_the_session(payload: bytes) -> None:
    talking = talk()
    talking.client(payload)
    assert talking.payloads == []
    assert "half-close" in talking.status["message"]


def test_bypass_5_05_half_close_passes_once_and_only_for_stdin() -> None:
    talking = talk()
    talking.client(b"\xff\x01", b"\xff\x00", b"\xff\x00", b"\x00late")
    assert talking.payloads == [b"\xff\x00"]


def test_bypass_5_05_v4_has_no_half_close() -> None:
    talking = talk(v5=False)
    talking.client(b"\xff\x00", b"\x00still")
    assert talking.payloads == [b"\x00still"]


@pytest.mark.parametrize(
    "size", [b'{"Width":-1,"Height":1}', b'{"Width":70000,"Height":1}', b"garbage}", b"{" * 300, b"[77,33]}"]
)
def test_bypass_5_10_a_malformed_resize_ends_the_session(size: bytes) -> None:
    talking = talk()
    talking.client(b"\x04" + size)
    assert talking.payloads == []
    assert "terminal size" in talking.status["message"]


def test_bypass_5_10_a_flood_of_resizes_is_paced_and_the_last_one_counts() -> None:
    talking = talk()
    for width in range(1, 1001):
        talking.client(b'\x04{"Width":%d,"Height":24}' % width)
    assert len(talking.payloads) == RESIZE_BURST
    talking.wait(1.0)
    assert talking.payloads[int(RESIZE_BURST) :] == [b'\x04{"Width":1000,"Height":24}\n']
    assert talking.events[-1] == Seen(4, b'{"Width":1000,"Height":24}\n')


def test_bypass_5_10_without_a_terminal_there_are_no_resizes() -> None:
    talking = talk(PIPE)
    talking.client(b'\x04{"Width":1,"Height":24}')
    assert talking.payloads == []


def test_bypass_5_11_a_session_ends_after_its_duration_whatever_keeps_it_alive() -> None:
    talking = talk()
    for _ in range(int(TERMS.duration / 5) + 5):
        talking.client(b"", opcode=PING)
        talking.wait(5.0)
    assert talking.status["reason"] == "Expired"
    assert talking.close_codes == ([NORMAL], [NORMAL])
    assert talking.server_closed and talking.client_closed


def test_bypass_5_11_the_kill_switch_tells_why_and_nothing_passes_after_it() -> None:
    talking = talk()
    talking.server(b"\x01before")
    talking.kill()
    talking.server(b"\x01after", b"\x03" + SUCCESS)
    talking.client(b"\x00after")
    talking.kill()
    assert talking.output(1) == b"before"
    assert (talking.status["status"], talking.status["message"]) == ("Failure", KILLED.message)
    assert talking.payloads == []
    assert talking.close_codes == ([NORMAL], [NORMAL])
    assert notes(talking) == [f"ended by the gateway: {KILLED.message}"]


def test_bypass_5_15_a_flood_of_pings_is_dropped() -> None:
    talking = talk()
    for _ in range(1000):
        talking.client(b"p", opcode=PING)
        talking.server(b"p", opcode=PING)
    assert len(talking.sent) == len(talking.shown) == CONTROL_BURST
    talking.wait(1.0)
    talking.client(b"q", opcode=PING)
    assert talking.sent[-1] == (PING, b"q")
    assert len(notes(talking)) == 2


@pytest.mark.parametrize("head", [b"\xc2", b"\xa2", b"\x92"])
def test_bypass_5_15_rsv_bits_end_the_session(head: bytes) -> None:
    talking = talk()
    talking.client_sends(head + frame(BINARY, b"\x00x", KEY)[1:])
    assert talking.payloads == []
    assert "RSV" in talking.status["message"]


def test_bypass_5_15_unmasked_client_frames_end_the_session() -> None:
    talking = talk()
    talking.client_sends(frame(BINARY, b"\x00x"))
    assert talking.payloads == []
    assert "not masked" in talking.status["message"]


def test_a_frame_above_the_servers_limit_ends_the_session() -> None:
    talking = talk()
    talking.client_sends(b"\x82\xff" + (MAX_FRAME + 1).to_bytes(8) + KEY + b"\x00x")
    assert talking.payloads == []
    assert "longer than" in talking.status["message"]


# --- how it ends ---


def test_what_came_before_malformed_bytes_passes() -> None:
    talking = talk()
    talking.client_sends(frame(BINARY, b"\x00ok", KEY) + frame(BINARY, b"bad"))
    assert talking.payloads == [b"\x00ok"]
    assert talking.server_closed


def test_a_cluster_that_breaks_the_protocol_is_a_bad_gateway() -> None:
    talking = talk()
    talking.server_sends(frame(BINARY, b"\x01fine") + frame(BINARY, b"\x01x", KEY))
    assert talking.output(1) == b"fine"
    assert (talking.status["code"], talking.status["status"]) == (502, "Failure")


def test_a_cluster_that_vanishes_is_a_failure_not_a_success() -> None:
    talking = talk()
    talking.server(b"\x01half")
    talking.server_leaves()
    assert talking.status["status"] == "Failure"
    assert talking.close_codes[0] == [NORMAL]


def test_a_status_is_told_once() -> None:
    talking = talk()
    talking.server(b"\x03" + SUCCESS)
    talking.server_leaves()
    assert talking.status == json.loads(SUCCESS)
    assert talking.close_codes[0] == [NORMAL]


def test_a_status_may_come_in_pieces_but_not_without_end() -> None:
    talking = talk()
    talking.server_sends(fragment(BINARY, b"\x03" + SUCCESS[:9], final=False))
    assert talking.shown == []
    talking.server_sends(fragment(0, SUCCESS[9:], final=True))
    assert talking.shown == [(BINARY, b"\x03" + SUCCESS)]
    talking.server(b"\x03" + b"x" * (MAX_STATUS + 1))
    assert talking.server_closed


def test_leaks_I_the_status_is_masked_in_what_is_sent_and_recorded() -> None:
    talking = talk()
    talking.server(b'\x03{"status":"Failure","message":"the secret"}')
    assert talking.shown == [(BINARY, b'\x03{"status":"Failure","message":"the ******"}')]
    assert talking.events == [Seen(3, b'{"status":"Failure","message":"the ******"}')]


def test_a_client_that_leaves_ends_the_command() -> None:
    talking = talk()
    talking.client_leaves()
    assert [opcode for opcode, _ in talking.sent] == [CLOSE]
    assert talking.server_closed and talking.client_closed
    assert talking.session.deadline is None


def test_a_client_that_closes_gets_its_code_back() -> None:
    talking = talk()
    talking.client(struct.pack(">H", 1001) + b"reason", opcode=CLOSE)
    assert talking.close_codes == ([struct.pack(">H", 1001)], [struct.pack(">H", 1001)])
    assert talking.server_closed and talking.client_closed


def test_a_client_that_does_not_answer_the_close_is_closed_in_time() -> None:
    talking = talk()
    talking.server(NORMAL, opcode=CLOSE)
    talking.client(b"\x00still typing")
    assert not talking.client_closed
    talking.wait(LINGER_SECONDS)
    assert talking.client_closed


def test_after_malformed_bytes_the_client_may_still_read_why() -> None:
    talking = talk()
    talking.client_sends(b"\xff" * 50)
    talking.client_sends(b"\xff" * 50)
    assert talking.server_closed and not talking.client_closed


def test_notes_are_bounded() -> None:
    talking = talk()
    for channel in range(5, 255):
        talking.client(bytes((channel,)) + b"x")
    assert len(notes(talking)) == MAX_NOTES


class Holding(Plain):
    """Holds everything back until it is flushed."""

    def __init__(self) -> None:
        self._held: dict[int, bytes] = {}

    @property
    def waits(self) -> bool:
        return bool(self._held)

    def feed(self, channel: int, data: bytes) -> bytes:
        self._held[channel] = self._held.get(channel, b"") + data
        return b""

    def flush(self) -> dict[int, bytes]:
        held, self._held = self._held, {}
        return held

    def close(self, channel: int) -> bytes:
        return self._held.pop(channel, b"")


@pytest.mark.parametrize(("asked", "quiet"), [(SHELL, QUIET_TTY_SECONDS), (PIPE, QUIET_PIPE_SECONDS)])
def test_what_is_held_back_appears_after_a_quiet_time(asked: ExecTerms, quiet: float) -> None:
    talking = talk(asked, output=Holding())
    talking.server(b"\x01password: ")
    talking.wait(quiet * 0.9)
    assert talking.output(1) == b""
    talking.server(b"\x01more")
    talking.wait(quiet * 0.9)
    assert talking.output(1) == b""
    talking.wait(quiet * 0.2)
    assert talking.output(1) == b"password: more"


def test_what_is_held_back_comes_before_the_status() -> None:
    talking = talk(PIPE, output=Holding())
    talking.server(b"\x01out", b"\x02err", b"\x03" + SUCCESS)
    assert [data[:1] for _, data in talking.shown] == [b"\x01", b"\x02", b"\x03"]


def test_what_is_held_back_comes_before_a_close_without_a_status() -> None:
    talking = talk(PIPE, output=Holding())
    talking.server(b"\x01out").server(NORMAL, opcode=CLOSE)
    assert talking.shown == [(BINARY, b"\x01out"), (CLOSE, NORMAL)]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=8))
def test_whatever_both_sides_send_the_session_goes_on_or_ends_in_order(sent: list[tuple[bool, bytes]]) -> None:
    talking = talk()
    for from_client, data in sent:
        (talking.client_sends if from_client else talking.server_sends)(data)
    assert all(opcode in {BINARY, CLOSE, PING, PONG} for opcode, _ in (*talking.sent, *talking.shown))
    assert talking.server_closed is talking.session.ended


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([1, 2, 8, 9, 10]), st.binary(max_size=40)), max_size=8))
def test_whatever_messages_come_only_three_channels_pass(sent: list[tuple[bool, int, bytes]]) -> None:
    talking = talk()
    for from_client, opcode, payload in sent:
        made = frame(opcode, payload, KEY if from_client else b"")
        (talking.client_sends if from_client else talking.server_sends)(made)
    assert {payload[0] for payload in talking.payloads} <= {0, 4, 255}
    assert {payload[0] for opcode, payload in talking.shown if opcode == BINARY} <= {1, 2, 3}
