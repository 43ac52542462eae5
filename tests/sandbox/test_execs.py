"""Exec and attach: the wire of exec-protocol.md §2, with a real local process."""

from __future__ import annotations

import json
import ssl
import struct
from collections.abc import Sequence

import pytest
import websocket

from pratique.sandbox import execs
from pratique.sandbox.websocket import accept_key
from tests.sandbox.kit import TIMEOUT, TOKEN, Client, pod

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
OK = b'\x03{"metadata":{},"status":"Success"}'


class Session:
    def __init__(self, client: Client, path: str, protocols: Sequence[str] = (V5,)) -> None:
        self.socket = websocket.create_connection(
            f"wss://127.0.0.1:{client.info.port}{path}", timeout=TIMEOUT, subprotocols=list(protocols),
            header=[f"Authorization: Bearer {TOKEN}"], sslopt={"ca_certs": client.info.ca_path, "cert_reqs": ssl.CERT_REQUIRED},
        )  # fmt: skip

    def send(self, data: bytes) -> None:
        self.socket.send_binary(data)

    def frames(self) -> list[tuple[int, bytes]]:
        found = []
        while True:
            opcode, data = self.socket.recv_data()
            found.append((opcode, data))
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return found

    def output(self, channel: int = 1) -> bytes:
        """All of one channel until the end; the session must end with a Status and close 1000."""
        frames = self.frames()
        assert frames[-1] == (websocket.ABNF.OPCODE_CLOSE, struct.pack(">H", 1000))
        self.status = json.loads(frames[-2][1][1:])
        return b"".join(data[1:] for _, data in frames[:-2] if data[0] == channel)


@pytest.fixture
def path(client: Client, namespace: str) -> str:
    client.ok("POST", f"/api/v1/namespaces/{namespace}/pods", pod())
    return f"/api/v1/namespaces/{namespace}/pods/p"


def _command(*argv: str, streams: str = "stdout=true&stderr=true") -> str:
    from urllib.parse import quote

    return "/exec?" + "&".join(f"command={quote(part, safe='')}" for part in argv) + f"&{streams}"


def test_the_frames_of_a_short_session(client, path):
    frames = Session(client, path + _command("echo", "hi")).frames()
    assert frames == [(2, b"\x01"), (2, b"\x01hi\n"), (2, OK), (8, b"\x03\xe8")]


def test_stderr_is_apart_and_channels_that_were_not_asked_for_stay_silent(client, path):
    both = _command("sh", "-c", "echo out; echo err >&2")
    assert Session(client, path + both).output(2) == b"err\n"
    only = _command("sh", "-c", "echo out; echo err >&2", streams="stderr=true")
    frames = Session(client, path + only).frames()
    assert frames[0] == (2, b"\x02")
    assert not [data for _, data in frames if data[:1] == b"\x01"]


def test_the_exit_code_is_in_the_status(client, path):
    session = Session(client, path + _command("sh", "-c", "exit 7"))
    session.output()
    assert session.status["reason"] == "NonZeroExitCode"
    assert session.status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
    session = Session(client, path + _command("sh", "-c", "kill -9 $$"))
    session.output()
    assert session.status["details"]["causes"][0]["message"] == "137"


@pytest.mark.parametrize("command", [_command("no-such-program"), "/exec?stdout=true"])
def test_a_command_that_cannot_start_fails_after_the_upgrade(client, path, command):
    session = Session(client, path + command)
    session.output()
    assert (session.status["status"], session.status["reason"]) == ("Failure", "InternalError")


def test_half_close_ends_stdin_in_v5_only(client, path):
    session = Session(client, path + _command("cat", streams="stdin=true&stdout=true"))
    session.send(b"\x00hello ")
    session.send(b"\x00world")
    session.send(b"\xff\x00")
    assert session.output() == b"hello world"
    session = Session(client, path + _command("cat", streams="stdin=true&stdout=true"), (V4,))
    session.send(b"\xff\x00")
    session.send(b"\x00still open")
    assert session.socket.recv_data() == (2, b"\x01")
    assert session.socket.recv_data() == (2, b"\x01still open")
    session.socket.close()


@pytest.mark.parametrize("broken", [b"\xff", b"\xff\x00\x00", b"\xff\x05"])
def test_a_broken_half_close_ends_the_session(client, path, broken):
    session = Session(client, path + _command("cat", streams="stdin=true&stdout=true"))
    session.send(broken)
    session.output()
    assert session.status["details"]["causes"][0]["message"] == "137"


def test_input_is_ignored_where_it_was_not_asked_for(client, path):
    session = Session(client, path + _command("sh", "-c", "sleep 0.05; echo done"))
    for data in (b"\x00ignored", b"\x01ignored", b"", b"\x09ignored", b"\x04not json", b'\x04{"Width":1}'):
        session.send(data)
    assert session.output() == b"done\n"


def test_a_large_stdin_comes_back_whole_in_pieces_of_32_kib(client, path):
    session = Session(client, path + _command("cat", streams="stdin=true&stdout=true"))
    block = bytes(range(256)) * 128
    for _ in range(16):
        session.send(b"\x00" + block)
    session.send(b"\xff\x00")
    frames = session.frames()
    assert b"".join(data[1:] for _, data in frames[:-2]) == block * 16
    assert max(len(data) for _, data in frames) <= 32 * 1024 + 1


def test_each_frame_is_a_message_also_a_continuation(client, path):
    session = Session(client, path + _command("cat", streams="stdin=true&stdout=true"))
    session.socket.send_frame(websocket.ABNF.create_frame(b"\x00one ", websocket.ABNF.OPCODE_BINARY, 0))
    session.socket.send_frame(websocket.ABNF.create_frame(b"\x00two", websocket.ABNF.OPCODE_CONT, 1))
    session.send(b"\xff\x00")
    assert session.output() == b"one two"


def test_a_ping_is_answered_with_its_payload(client, path):
    session = Session(client, path + _command("cat", streams="stdin=true&stdout=true"))
    session.socket.recv_data()
    session.socket.ping(b"are you there")
    frame = session.socket.recv_frame()
    assert (frame.opcode, frame.data) == (websocket.ABNF.OPCODE_PONG, b"are you there")
    session.socket.close()


def test_a_terminal_has_a_size_and_one_channel(client, path):
    streams = "stdin=true&stdout=true&stderr=true&tty=true"
    session = Session(
        client, path + _command("sh", "-c", "read x && stty size && tty && echo err >&2", streams=streams)
    )
    session.send(b'\x04{"Width":77,"Height":33}\n')
    session.send(b"\x00go\n")
    output = session.output()
    assert b"33 77\r\n/dev/" in output
    assert b"err\r\n" in output


def test_the_environment_is_the_pods_and_not_ours(client, path, monkeypatch):
    monkeypatch.setenv("PRATIQUE_TEST_LEAK", "leaked")
    output = Session(client, "/api/v1/namespaces/payments/pods/db-0" + _command("env")).output()
    assert b"POSTGRES_PASSWORD=sandbox-canary-db-password\n" in output
    assert b"HOSTNAME=db-0\n" in output
    assert b"leaked" not in output


def test_files_stay_for_the_next_session(client, path):
    Session(client, path + _command("sh", "-c", "echo kept > file")).output()
    assert Session(client, path + _command("cat", "file")).output() == b"kept\n"


@pytest.mark.parametrize(
    ("protocols", "first"),
    [
        ((V4, V5), b"\x01"),
        ((V4,), b"\x01"),
        ((), b"\x01"),
        (("channel.k8s.io",), b"\x01"),
        (("base64.channel.k8s.io",), b"1"),
    ],
)
def test_sub_protocols(client, path, protocols, first):
    frames = Session(client, path + _command("echo", "hi"), protocols).frames()
    assert frames[0][1] == first
    text = b"1aGkK" if first == b"1" else b"\x01hi\n"
    assert frames[1][1] == text
    assert (frames[2][1] == OK) == bool({V4, V5} & set(protocols))


def test_an_old_protocol_gets_a_failure_as_text(client, path):
    frames = Session(client, path + _command("sh", "-c", "exit 3"), ("v4.base64.channel.k8s.io",)).frames()
    assert frames[-2][1].startswith(b"3")
    frames = Session(client, path + _command("sh", "-c", "exit 3"), ()).frames()
    assert frames[-2][1].startswith(b"\x03command terminated")


def test_protocols_that_are_not_spoken_are_403(client, path):
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        Session(client, path + _command("echo"), ("v3.channel.k8s.io",))
    assert caught.value.status_code == 403
    with pytest.raises(execs.Refused):
        execs.choose(["v2.channel.k8s.io"])


def test_attach_shows_what_is_logged_from_now_on(sandbox, client, namespace, path):
    session = Session(client, f"{path}/attach?stdout=true&stdin=true")
    assert session.socket.recv_data() == (2, b"\x01")
    session.send(b"\x00ignored")
    sandbox.append_log(namespace, "p", "c", "hello")
    assert session.socket.recv_data() == (2, b"\x01hello\n")
    session.socket.close()
    session = Session(client, f"{path}/attach?stdin=true")
    assert session.socket.recv_data() == (2, b"\x03")
    sandbox.append_log(namespace, "p", "c", "not shown")
    session.socket.close()


UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13"}


@pytest.mark.parametrize(
    ("method", "tail", "headers", "code"),
    [
        ("GET", "/exec?command=ls&stdout=true", {}, 400),
        ("POST", "/exec?command=ls&stdout=true", {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}, 400),
        ("GET", "/exec?command=ls&stdout=true&container=x", UPGRADE, 400),
        ("GET", "/exec?command=ls", UPGRADE, 400),
        ("GET", "/portforward", UPGRADE, 400),
        ("GET", "/portforward", {"Connection": "Upgrade", "Upgrade": "h2c"}, 400),
        ("PUT", "/exec?command=ls&stdout=true", UPGRADE, 405),
    ],
)
def test_upgrades_that_are_refused_are_a_status(client, path, method, tail, headers, code):
    reply = client(method, path + tail, **headers)
    assert (reply.code, reply.json["kind"]) == (code, "Status")
    assert client("GET", path + "-none" + tail, **UPGRADE).code == 404


def test_an_upgrade_that_asks_for_json_is_not_acceptable(client, path):
    """go-restful in the kubelet, whose routes for streams produce nothing."""
    assert client("GET", path + "/exec?command=ls&stdout=true", **UPGRADE, Accept="application/json").code == 406


def test_the_accept_key_is_that_of_rfc_6455():
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_client_that_vanishes_takes_its_process_with_it(sandbox, client, path):
    session = Session(client, path + _command("sh", "-c", "echo $$ > pid; exec sleep 600"))
    session.socket.recv_data()
    show = path + _command("cat", "pid")
    pid = b""
    while not pid.strip():
        pid = Session(client, show).output()
    session.socket.sock.close()
    for _ in range(200):
        probe = Session(client, path + _command("sh", "-c", f"kill -0 {int(pid)} && cat /proc/{int(pid)}/stat"))
        if b" sleep" not in (output := probe.output()) and b"(sleep)" not in output.replace(b") Z", b""):
            return
    pytest.fail("the process outlives its client")
