"""A cast shows what the terminal showed, however the stream was cut, and hides what is binary."""

from __future__ import annotations

import hashlib
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import FramingError
from pratique.kube.channels import ERROR as STATUS
from pratique.kube.channels import RESIZE, STDERR, STDIN, STDOUT, is_tar
from pratique.recorder.casts import (
    MAX_INVALID,
    MAX_STATUS_BYTES,
    Cast,
    Event,
    Header,
    exit_code,
    read,
)

HEAD = Header(timestamp=1_767_268_800, command="sh", title="default/web")


def play(cast: Cast, *messages: tuple[int, bytes]) -> list[Event]:
    data = b"".join(cast.event(10.0 + i, channel, payload) for i, (channel, payload) in enumerate(messages))
    return list(read((data + cast.end(99.0)).splitlines()))


def texts(events: list[Event], code: str = "o") -> str:
    return "".join(event.data for event in events if event.code == code)


def markers(events: list[Event]) -> list[str]:
    return [event.data for event in events if event.code == "m"]


def new(*, tty: bool = True, **options: object) -> Cast:
    return Cast(HEAD, 10.0, tty=tty, **options)  # type: ignore[arg-type]


def test_the_header_takes_the_first_size_and_later_sizes_are_events() -> None:
    cast = new()
    data = cast.event(10, RESIZE, b'{"Width":77,"Height":33}\n') + cast.event(10.5, STDOUT, b"$ ")
    data += cast.event(11, RESIZE, b'{"Width":10') + cast.event(12, RESIZE, b'0,"Height":40}') + cast.end(13)
    lines = data.splitlines()
    assert json.loads(lines[0]) == {
        "version": 2, "width": 77, "height": 33, "timestamp": 1_767_268_800, "command": "sh", "title": "default/web",
        "env": {"TERM": "xterm-256color"},
    }  # fmt: skip
    assert list(read(lines)) == [
        Event(0.5, "o", "$ "), Event(2.0, "r", "100x40"), Event(3.0, "m", "ended without a status"),
    ]  # fmt: skip


@pytest.mark.parametrize("bad", [b"{]\n", b'{"Width":0,"Height":5}\n', b'{"Width":70000,"Height":5}\n', b"x" * 300])
def test_a_malformed_size_is_passed_over(bad: bytes) -> None:
    events = play(new(), (STDOUT, b"a"), (RESIZE, bad), (RESIZE, b'{"Width":9,"Height":9}\n'))
    assert [event.data for event in events if event.code == "r"] == ["9x9"]


TEXT = "grün € 😀\r\nend\nüü\r\n".encode() + b"\xff\xc3"


@pytest.mark.parametrize("tty", [True, False])
def test_the_text_is_the_same_however_it_is_cut(tty: bool) -> None:
    whole = texts(play(new(tty=tty), (STDOUT, TEXT)))
    assert "grün € 😀\r\n" in whole
    assert ("end\r\n" in whole) is not tty
    for first in range(len(TEXT) + 1):
        for second in range(first, len(TEXT) + 1, 3):
            parts = (TEXT[:first], TEXT[first:second], TEXT[second:])
            assert texts(play(new(tty=tty), *((STDOUT, part) for part in parts))) == whole


@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=4), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_the_same_cast_however_cut(data: bytes, cuts: list[int], tty: bool) -> None:
    marks = [0, *sorted(cuts), len(data)]
    parts = [(STDOUT, data[a:b]) for a, b in itertools.pairwise(marks) if b >= a]
    whole, cut = play(new(tty=tty), (STDOUT, data)), play(new(tty=tty), *parts)
    assert (texts(whole), markers(whole)) == (texts(cut), markers(cut))


def test_characters_of_stdout_and_stderr_do_not_mix() -> None:
    euro = "€".encode()
    events = play(new(), (STDOUT, euro[:1]), (STDERR, euro[:2]), (STDOUT, euro[1:]), (STDERR, euro[2:]))
    assert texts(events) == "€€"


def test_a_tar_stream_is_stored_as_size_and_hash() -> None:
    tar = b"etc/passwd" + bytes(90) + b"root:x:0:0" * 50
    for cut in range(0, len(tar), 7):
        events = play(new(tty=False), (STDOUT, tar[:cut]), (STDOUT, tar[cut:]))
        assert texts(events) == "etc/passwd"
        digest = hashlib.sha256(tar[10:]).hexdigest()
        assert markers(events)[0] == f"stdout: {len(tar) - 10} bytes not shown, sha256 {digest}"


def test_output_that_is_not_utf8_becomes_size_and_hash_but_never_on_a_terminal() -> None:
    noise = b"\xff" * (MAX_INVALID + 1)
    hidden = play(new(tty=False), (STDERR, noise), (STDERR, b"after"))
    assert "after" not in texts(hidden)
    assert markers(hidden)[0].startswith("stderr: 5 bytes not shown")
    shown = play(new(tty=True), (STDOUT, noise + b"\0"), (STDOUT, b"after"))
    assert texts(shown).endswith("after")


def test_input_is_not_recorded_unless_asked_for() -> None:
    assert markers(play(new(), (STDIN, b"hunter2\n")))[0] == "stdin: 8 bytes, not recorded"
    asked = play(new(record_input=True), (STDIN, b"ls\n"))
    assert texts(asked, "i") == "ls\n"
    binary = play(new(tty=False, record_input=True), (STDIN, b"\0\1"))
    assert markers(binary)[0].startswith("stdin: 2 bytes not shown")


def test_a_cast_stops_growing_at_its_limit() -> None:
    cast = new(limit=500)
    size = sum(len(cast.event(11, STDOUT, b"x" * 100)) for _ in range(1000))
    assert size < 1000
    found = markers(list(read([b'{"version":2}', *cast.end(12).splitlines()])))
    assert "bytes not shown" in found[0]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (b"", None),
        (b'{"metadata":{},"status":"Success"}', 0),
        (
            b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}',
            7,
        ),
        (b'{"status":"Failure","reason":"InternalError","message":"no such command"}', -1),
        (b'{"status":"Failure","details":{"causes":[{"reason":"ExitCode","message":"x"}]}}', -1),
        (b"command terminated", -1),
        (b"\xff", -1),
    ],
)
def test_the_exit_code_is_read_from_the_status(status: bytes, code: int | None) -> None:
    assert exit_code(status) == code
    cast = new()
    for i in range(len(status)):
        assert cast.event(11, STATUS, status[i : i + 1]) == b""
    assert cast.exit_code == code
    last = markers(list(read(cast.end(12).splitlines())))[-1]
    assert last == ("ended without a status" if code is None else f"exit {code}")


def test_a_status_is_bounded() -> None:
    cast = new()
    cast.event(11, STATUS, b"x" * (MAX_STATUS_BYTES + 9))
    cast.event(11, STATUS, b"x")
    assert len(cast._status) == MAX_STATUS_BYTES


def test_markers_and_half_closes() -> None:
    cast = new()
    assert cast.event(11, 255, b"\0") == b""
    data = cast.marker(12, "approval 7 granted") + cast.end(11)
    events = list(read(data.splitlines()))
    assert [(event.time, event.data) for event in events] == [
        (2.0, "approval 7 granted"),
        (2.0, "ended without a status"),
    ]


def test_nothing_may_follow_the_end() -> None:
    cast = new()
    cast.end(11)
    with pytest.raises(FramingError):
        cast.event(12, STDOUT, b"x")


@pytest.mark.parametrize("lines", [[b"{}"], [b"[]"], [b'{"version":2}', b'["a","o","x"]'], [b'{"version":2}', b"\xff"]])
def test_a_malformed_cast_is_an_error_of_our_own(lines: list[bytes]) -> None:
    with pytest.raises(FramingError):
        list(read(lines))


def test_kubectl_cp_is_recognised() -> None:
    assert is_tar(["tar", "cf", "-", "/data"])
    assert is_tar(["/bin/tar", "-xmf", "-", "-C", "/"])
    assert not is_tar(["tar", "tf", "x.tar"])
    assert not is_tar(["ls", "-"])
    assert not is_tar([])
