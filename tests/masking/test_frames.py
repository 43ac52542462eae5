"""Output of exec and attach: a value is found however it is cut, text is masked, and what is no text is never changed."""

from __future__ import annotations

import io
import itertools
import json
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import MaskError
from pratique.kube.websocket import BINARY, frame
from pratique.masking.frames import STDERR, STDOUT, ChannelMasker
from pratique.masking.mask import MARK
from pratique.masking.raw import RawStream
from pratique.tunnel.exec_channels import QUIET_TTY_SECONDS, ExecTerms
from pratique.tunnel.exec_websocket import ExecOverWebSocket
from tests.masking.session import Session
from tests.tunnel.support import TERMS, WebSocketTalk

TARGET = "/api/v1/namespaces/shop/pods/web/exec?command=sh&stdout=true"
CANARY = "CANARY-exec-0815-canary"
MASK = MARK.encode()


def knowing(*values: str) -> Session:
    """A session in which a Secret with these values was read."""
    session = Session()
    document = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "stringData": dict(enumerate(values))}
    session.json("/api/v1/namespaces/shop/secrets/s", json.loads(json.dumps(document)))
    return session


def output(session: Session, *, tty: bool = False, archive: bool = False) -> ChannelMasker:
    return ChannelMasker(session.masker(TARGET), tty=tty, archive=archive)


def shown(masker: ChannelMasker, pieces: list[bytes], channel: int = STDOUT) -> bytes:
    return b"".join(masker.feed(channel, piece) for piece in pieces) + masker.close(channel)


TEXT = f"before {CANARY} between\npassword=hunter22 tail {CANARY}".encode()


@pytest.mark.parametrize("tty", [True, False])
def test_a_value_is_masked_however_the_output_is_cut(tty: bool) -> None:
    session = knowing(CANARY)
    whole = shown(output(session, tty=tty), [TEXT])
    assert CANARY.encode() not in whole and b"hunter22" not in whole
    assert whole.startswith(b"before " + MASK)
    assert shown(output(session, tty=tty), [TEXT[at : at + 1] for at in range(len(TEXT))]) == whole
    for first, second in itertools.combinations(range(len(TEXT) + 1), 2):
        pieces = [TEXT[:first], TEXT[first:second], TEXT[second:]]
        assert shown(output(session, tty=tty), pieces) == whole, (first, second)


def test_stdout_and_stderr_are_separate_texts() -> None:
    masker = output(knowing(CANARY))
    half = len(CANARY) // 2
    found = masker.feed(STDOUT, CANARY[:half].encode()) + masker.feed(STDERR, b"err\n")
    found += masker.feed(STDOUT, CANARY[half:].encode() + b"\n")
    assert CANARY.encode() not in found
    assert b"err\n" in found


def test_a_prompt_is_shown_by_a_flush_and_not_twice() -> None:
    masker = output(knowing("password: sesame-open"), tty=True)
    assert masker.feed(STDOUT, b"password: ") == b""
    assert masker.waits
    assert masker.flush() == {STDOUT: b"password: "}
    assert not masker.waits
    assert masker.flush() == {}
    assert masker.feed(STDOUT, b"\r\nok\r\n") == b"\r\nok\r\n"


def test_what_came_after_a_flush_waits_again() -> None:
    masker = output(knowing("password: sesame-open"), tty=True)
    masker.feed(STDOUT, b"pass")
    assert masker.flush() == {STDOUT: b"pass"}
    assert masker.feed(STDOUT, b"wo") == b""
    assert masker.waits
    assert masker.flush() == {STDOUT: b"wo"}


def test_the_status_and_its_quotes_of_argv_are_masked() -> None:
    masker = output(knowing(CANARY))
    causes = [{"message": f"{CANARY} was the cause"}, {"reason": "ExitCode", "message": "815"}]
    status = {
        "metadata": {}, "status": "Failure", "message": f'exec: "{CANARY}": not found', "reason": "InternalError",
        "details": {"name": CANARY, "causes": causes}, "code": 500,
    }  # fmt: skip
    masked = json.loads(masker.status(json.dumps(status).encode()))
    assert (masked["status"], masked["reason"], masked["code"]) == ("Failure", "InternalError", 500)
    assert masked["details"]["causes"][1] == {"reason": "ExitCode", "message": "815"}
    assert CANARY not in str(masked)
    assert CANARY.encode() not in masker.status(b"[" * 30_000 + CANARY.encode())
    assert CANARY.encode() not in masker.status(f"plain text with {CANARY}".encode())
    assert CANARY.encode() not in masker.text(f"dial {CANARY}".encode())


def archive(*files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for number, content in enumerate(files):
            info = tarfile.TarInfo(f"password-{number}.txt")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


HOLDS_PATTERNS = b"password=hunter22\nAKIAABCDEFGHIJKLMNOP\n" * 50


@pytest.mark.parametrize("is_archive", [True, False])
def test_an_archive_passes_as_it_is(is_archive: bool) -> None:
    """`kubectl cp`, or `exec … -- cat x.tar`: the first NUL comes before anything that looks like a secret."""
    data = archive(HOLDS_PATTERNS, bytes(range(256)) * 40)
    pieces = [data[at : at + 700] for at in range(0, len(data), 700)]
    assert shown(output(knowing(CANARY), archive=is_archive), pieces) == data


@pytest.mark.parametrize("step", [1, 7, 511, 100_000])
def test_leaks_F2_an_archive_with_a_masked_value_ends_before_it(step: int) -> None:
    data = archive(b"x" * 600, b"secret " + CANARY.encode())
    masker = output(knowing(CANARY), archive=True)
    found = b""
    with pytest.raises(MaskError):  # noqa: PT012 - what is shown before counts
        for at in range(0, len(data), step):
            found += masker.feed(STDOUT, data[at : at + step])
    assert data.startswith(found)
    assert len(found) <= data.index(CANARY.encode())  # not even its beginning has left
    assert masker.feed(STDOUT, b"more") == b"" and masker.close(STDOUT) == b""


def test_words_that_are_no_secret_do_not_end_an_archive() -> None:
    data = archive(b"the word backups is in here")
    assert shown(output(knowing("backups"), archive=True), [data]) == data


def test_with_a_terminal_nothing_is_raw() -> None:
    """A NUL first must not switch the masks off where a person or a model reads along."""
    masker = output(knowing(CANARY), tty=True)
    assert CANARY.encode() not in shown(masker, [b"\0", TEXT])
    assert b"hunter22" not in shown(output(knowing(CANARY), tty=True, archive=True), [b"\0", TEXT])


def test_after_a_nul_a_known_value_still_does_not_leave() -> None:
    masker = output(knowing(CANARY))
    assert masker.feed(STDOUT, b"\0 password=hunter22\n") == b"\0 password=hunter22\n"
    with pytest.raises(MaskError):
        masker.feed(STDOUT, CANARY.encode())


def test_a_raw_stream_that_was_flushed_still_finds_the_value() -> None:
    stream = RawStream(knowing(CANARY).known)
    assert stream.feed(b"ab" + CANARY[:9].encode()) == b"ab"
    assert stream.waits
    assert stream.flush() == CANARY[:9].encode()
    assert not stream.waits
    with pytest.raises(MaskError):
        stream.feed(CANARY[9:].encode())
    other = RawStream(knowing(CANARY).known)
    other.feed(CANARY[:9].encode())
    other.flush()
    assert other.feed(b"something else") + other.close() == b"something else"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_raw_bytes_are_never_changed(pieces: list[bytes]) -> None:
    stream = RawStream(knowing(CANARY).known)
    assert b"".join(map(stream.feed, pieces)) + stream.close() == b"".join(pieces)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"CANARY", b"")), max_size=6), st.booleans())
def test_a_value_between_any_bytes_never_leaves(around: list[bytes], tty: bool) -> None:
    masker = output(knowing(CANARY), tty=tty)
    found = b""
    try:
        for piece in around:
            found += masker.feed(STDOUT, piece + CANARY[:10].encode()) + masker.feed(
                STDOUT, CANARY[10:].encode() + b"\n"
            )
        found += masker.close(STDOUT)
    except MaskError:
        assert not tty
    assert CANARY.encode() not in found


# --- together with a session ---


def session_of(masker: ChannelMasker, *, tty: bool = False) -> WebSocketTalk:
    return WebSocketTalk(
        ExecOverWebSocket(TERMS, ExecTerms(stdout=True, stderr=True, tty=tty), masker, half_close=True)
    )


def test_leaks_I_a_value_split_over_frames_and_channels_is_masked_in_what_is_sent_and_recorded() -> None:
    talking = session_of(output(knowing(CANARY)))
    for at, letter in enumerate(CANARY.encode()):
        talking.server(b"\x01" + bytes((letter,)), b"\x02" + CANARY.encode()[at : at + 1])
    talking.server(b"\x01\n", b"\x02\n")
    assert talking.output(1) == talking.output(2) == MASK + b"**\n"
    assert CANARY not in str(talking.events)
    assert CANARY.encode() not in talking.to_client


def test_an_archive_with_a_masked_value_fails_with_a_status() -> None:
    talking = session_of(output(knowing(CANARY), archive=True))
    talking.server_sends(frame(BINARY, b"\x01" + archive(CANARY.encode())))
    assert talking.status["status"] == "Failure"
    assert "masked for you" in talking.status["message"]
    assert CANARY.encode() not in talking.to_client
    assert talking.server_closed


def test_a_prompt_without_a_line_end_appears_in_time() -> None:
    talking = session_of(output(knowing("password: sesame-open"), tty=True), tty=True)
    talking.server(b"\x01login\r\npassword: ")
    assert talking.output(1) == b"login\r\n"
    talking.wait(QUIET_TTY_SECONDS)
    assert talking.output(1) == b"login\r\npassword: "
