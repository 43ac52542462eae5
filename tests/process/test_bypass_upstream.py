"""Rows of the threat list where the other side is not the cluster: redirects, answers that hide another, wrong servers."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pratique.sandbox import certificates
from pratique.sandbox.cluster import Sandbox
from tests.process.gateway import Gateway

pytestmark = pytest.mark.process
CONFIGMAPS = "/api/v1/namespaces/payments/configmaps/"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Upstream:
    """A TLS server that answers with given bytes by the last word of the path, and keeps what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.ca, certificate, key = certificates.ensure(folder)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answers: dict[str, bytes] = {}
        self.requests: list[bytes] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        try:
            with self.context.wrap_socket(raw, server_side=True) as sock:
                received = b""
                while data := sock.recv(65536):
                    received += data
                    if received.endswith(b"\r\n\r\n"):
                        self.requests.append(received)
                        sock.sendall(self.answers[received.split(b" ")[1].decode().rpartition("/")[2]])
                        received = b""
        except (OSError, KeyError):
            return

    def asked(self, word: str) -> list[bytes]:
        return [request for request in self.requests if word.encode() in request.split(b"\r\n")[0]]

    def close(self) -> None:
        self.listener.close()


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    running = Upstream(tmp_path_factory.mktemp("upstream"))
    yield running
    running.close()


def as_cluster(sandbox: Sandbox, upstream: Upstream, ca: Path) -> Any:
    info = replace(sandbox.info, server=f"https://127.0.0.1:{upstream.port}", ca_path=str(ca))
    return SimpleNamespace(info=info, requests=[])


@pytest.fixture(scope="module")
def behind(sandbox: Sandbox, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    running = Gateway(tmp_path_factory.mktemp("behind"), as_cluster(sandbox, upstream, upstream.ca)).start()
    yield running
    running.stop()


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_bypass_2_16_a_redirect_is_neither_followed_nor_passed_on(
    behind: Gateway, upstream: Upstream, code: int
) -> None:
    word = f"redirect-{code}"
    there = f"https://127.0.0.1:{upstream.port}{CONFIGMAPS}followed-{code}"
    upstream.answers[word] = (
        f"HTTP/1.1 {code} Moved\r\nLocation: {there}\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n".encode()
    )
    answer = behind.call("GET", CONFIGMAPS + word)
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert (len(upstream.asked(word)), upstream.asked(f"followed-{code}")) == (1, [])


def test_bypass_2_01_bytes_behind_an_answer_are_not_the_next_answer(behind: Gateway, upstream: Upstream) -> None:
    hidden = OK + b'Content-Length: 16\r\n\r\n{"kind":"Hidden"}'
    upstream.answers["split-first"] = OK + b"Content-Length: 2\r\n\r\n{}" + hidden
    upstream.answers["split-second"] = OK + b"Content-Length: 17\r\n\r\n" + b'{"kind":"Second"}'
    behind.call("GET", CONFIGMAPS + "split-first")
    for _ in range(3):
        answer = behind.call("GET", CONFIGMAPS + "split-second")
        assert b"Hidden" not in answer.body


@pytest.mark.parametrize(
    "lines",
    [
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Content-Length: +2\r\n",
        b"Transfer-Encoding: xchunked\r\n",
    ],
)
def test_bypass_2_01_an_answer_with_two_readings_is_not_shown(
    behind: Gateway, upstream: Upstream, lines: bytes
) -> None:
    word = f"twofold-{len(upstream.answers)}"
    upstream.answers[word] = OK + lines + b"\r\n2\r\n{}\r\n0\r\n\r\n"
    answer = behind.call("GET", CONFIGMAPS + word)
    assert (answer.code, answer.json["kind"]) == (502, "Status")


def test_bypass_2_02_trailers_of_an_answer_are_dropped(behind: Gateway, upstream: Upstream) -> None:
    upstream.answers["trailers"] = (
        OK
        + b"Transfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n2\r\n{}\r\n0\r\nX-Late: 1\r\nSet-Cookie: a=b\r\n\r\n"
    )
    answer = behind.call("GET", CONFIGMAPS + "trailers", timeout=20)
    assert (answer.code, answer.body) == (200, b"{}")
    assert {"x-late", "set-cookie", "trailer"}.isdisjoint(answer.headers)


def test_bypass_2_18_a_server_of_another_authority_gets_no_request(
    sandbox: Sandbox, upstream: Upstream, make_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    other, *_ = certificates.ensure(tmp_path)
    gateway = make_gateway(sandbox=as_cluster(sandbox, upstream, other)).start()
    answer = gateway.call("GET", CONFIGMAPS + "other-authority")
    assert (answer.code, answer.json["kind"]) == (502, "Status")
    assert upstream.asked("other-authority") == []


def test_bypass_2_18_a_server_of_another_name_gets_no_request(
    sandbox: Sandbox, make_gateway: Callable[..., Gateway], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "ADDRESSES", ("127.0.0.9",))
    elsewhere = Upstream(tmp_path)
    elsewhere.answers["other-name"] = OK + b"Content-Length: 2\r\n\r\n{}"
    gateway = make_gateway(sandbox=as_cluster(sandbox, elsewhere, elsewhere.ca)).start()
    answer = gateway.call("GET", CONFIGMAPS + "other-name")
    elsewhere.close()
    assert (answer.code, answer.json["kind"]) == (502, "Status")
    assert elsewhere.connections, "it was tried"
    assert elsewhere.requests == []
