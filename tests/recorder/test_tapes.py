"""What is recorded of a tunnel: the same cast however output is cut, and a log of forwarded connections."""

from __future__ import annotations

import hashlib
import json

import pytest

from pratique.kube.channels import ERROR, RESIZE, STDERR, STDIN, STDOUT
from pratique.recorder.casts import Cast, Header
from pratique.recorder.tapes import PROGRESS_SECONDS, ExecTape, ForwardTape, failure_of
from pratique.tunnel.session import Carried, Closed, Note, Opened, Seen


class Mask:
    """Masks `hunter22`, and holds back what might become it."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        self._held += data
        cut = self._held.rfind(b"\n") + 1
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown.replace(b"hunter22", b"*")

    def close(self) -> bytes:
        return self._held.replace(b"hunter22", b"*")


def lines(data: bytes) -> list[object]:
    return [json.loads(line) for line in data.splitlines()]


def exec_tape(*, record_input: bool = False, archive: bool = False) -> ExecTape:
    cast = Cast(Header(0), 5.0, tty=False, record_input=record_input, archive=archive)
    return ExecTape(cast, Mask() if record_input else None)


STATUS = b'{"metadata":{},"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}'


def test_an_exec_is_a_cast_with_markers_and_its_exit_code() -> None:
    tape = exec_tape()
    events = [
        Note("approved: a-1"),
        Seen(STDIN, b"typed"),
        Seen(STDOUT, b"out\n"),
        Seen(STDERR, b"err\n"),
        Seen(ERROR, STATUS),
    ]
    found = lines(tape.add(6.0, events) + tape.end(7.0))
    assert found[1:] == [
        [1.0, "m", "approved: a-1"], [1.0, "o", "out\r\n"], [1.0, "o", "err\r\n"],
        [2.0, "m", "stdin: 5 bytes, not recorded"], [2.0, "m", "exit 7"],
    ]  # fmt: skip
    assert (tape.shown.bytes, tape.shown.sha256) == (8, hashlib.sha256(b"out\nerr\n").hexdigest())
    assert tape.summary == "exit 7"


def test_lines_are_whole_after_every_step() -> None:
    tape = exec_tape()
    for event in (
        Seen(STDOUT, "ä".encode()[:1]),
        Seen(STDOUT, "ä".encode()[1:]),
        Seen(RESIZE, b'{"Width":1,"Height":2}\n'),
    ):
        data = tape.add(6.0, [event])
        assert data == b"" or data.endswith(b"\n")
    assert lines(tape.add(6.0, [Seen(STDOUT, b"ready")]))[-1][1:] == ["o", "ready"]  # type: ignore[index]


def test_recorded_stdin_is_masked_to_its_end() -> None:
    tape = exec_tape(record_input=True)
    data = tape.add(6.0, [Seen(STDIN, b"pass hun"), Seen(STDIN, b"ter22\nrest hunter22")]) + tape.end(7.0)
    assert b"hunter22" not in data
    assert [line[2] for line in lines(data)[1:] if line[1] == "i"] == ["pass *\r\n", "rest *"]  # type: ignore[index]


def test_an_archive_is_two_sizes_and_hashes() -> None:
    tape = exec_tape(archive=True)
    data = tape.add(
        6.0, [Seen(STDOUT, b"name-of-a-file\0"), Seen(STDOUT, b"content"), Seen(STDIN, b"uploaded")]
    ) + tape.end(7.0)
    assert b"name-of-a-file" not in data and b"uploaded" not in data
    said = [line[2] for line in lines(data)[1:]]  # type: ignore[index]
    assert (
        f"stdout: 22 bytes not shown, sha256 {hashlib.sha256(b'name-of-a-file' + bytes(1) + b'content').hexdigest()}"
        in said
    )
    assert f"stdin: 8 bytes not shown, sha256 {hashlib.sha256(b'uploaded').hexdigest()}" in said
    assert not [text for text in said if "not recorded" in text]


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (b'{"status":"Success"}', ""),
        (STATUS, ""),
        (b'{"status":"Failure","message":"exec failed:\\n not\\u0020found"}', "failed: exec failed: not found"),
        (b"plain text", "ended with a text that is no Status"),
        (b'{"status":"Failure","message":"' + b"x" * 5000 + b'"}', "failed: " + "x" * 1024),
    ],
)
def test_what_a_status_says_went_wrong(status: bytes, failure: str) -> None:
    assert failure_of(status) == failure


def test_why_a_command_did_not_start_is_in_the_cast() -> None:
    tape = exec_tape()
    found = lines(tape.add(6.0, [Seen(ERROR, b'{"status":"Failure","message":"no such file"}')]) + tape.end(6.0))
    assert [line[2] for line in found[1:]] == ["failed: no such file", "exit -1"]  # type: ignore[index]


def test_a_forward_is_a_log_of_connections() -> None:
    tape = ForwardTape(epoch=1000.0)
    data = tape.add(
        1.0, [Opened(0, 8080), Carried(0, from_client=True, data=b"GET /"), Opened(1, 9), Note("port 22 was refused")]
    )
    data += tape.add(
        2.5, [Carried(0, from_client=False, data=b"200"), Carried(0, from_client=False, data=b" OK"), Closed(0)]
    )
    data += tape.end(3.0)
    sent = {"bytes": 5, "sha256": hashlib.sha256(b"GET /").hexdigest()}
    received = {"bytes": 6, "sha256": hashlib.sha256(b"200 OK").hexdigest()}
    nothing = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    assert lines(data) == [
        {"time": 1001.0, "event": "opened", "connection": 0, "port": 8080},
        {"time": 1001.0, "event": "opened", "connection": 1, "port": 9},
        {"time": 1001.0, "event": "note", "text": "port 22 was refused"},
        {
            "time": 1002.5,
            "event": "closed",
            "connection": 0,
            "port": 8080,
            "seconds": 1.5,
            "sent": sent,
            "received": received,
        },
        {
            "time": 1003.0,
            "event": "closed",
            "connection": 1,
            "port": 9,
            "seconds": 2.0,
            "sent": nothing,
            "received": nothing,
        },
    ]
    assert (tape.shown.bytes, tape.summary) == (6, "2 forwarded connections")


def test_a_long_connection_is_told_now_and_then() -> None:
    tape = ForwardTape(epoch=0.0)
    data = tape.add(0.0, [Opened(0, 1)])
    for second in range(1, 31):
        data += tape.add(float(second), [Carried(0, from_client=True, data=b"x" * 10)])
    told = [line for line in lines(data) if line["event"] == "carried"]  # type: ignore[index, call-overload]
    assert [line["sent"] for line in told] == [100, 200, 300]  # type: ignore[index, call-overload]
    assert PROGRESS_SECONDS == 10.0
