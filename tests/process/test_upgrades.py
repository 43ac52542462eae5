"""A cluster that answers upgrades wrongly: the client is told, and nothing is shown that was not judged."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pratique.kube.websocket import BINARY, CLOSE, frame
from pratique.sandbox import certificates
from pratique.sandbox.cluster import Sandbox
from tests.process.gateway import Gateway, free_port
from tests.process.streams import V4, V5, WebSocketClient, exec_target

pytestmark = pytest.mark.process
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
STATUS = frame(BINARY, b'\x03{"metadata":{},"status":"Success"}')
NORMAL = frame(CLOSE, struct.pack(">H", 1000))
DATA = frame(BINARY, b"\x01seen\n")


def switching(protocol: str = V5, upgrade: str = "websocket") -> Callable[[bytes], bytes]:
    def head(request: bytes) -> bytes:
        keys = [
            line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        ]
        accept = base64.b64encode(hashlib.sha1((keys or [b""])[0] + GUID).digest())
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: " + upgrade.encode()]
        lines += [b"Sec-WebSocket-Accept: " + accept]
        lines += [b"Sec-WebSocket-Protocol: " + protocol.encode()] if protocol else []
        return b"\r\n".join([*lines, b"", b""])

    return head


# By the command of the exec: what the cluster answers, and what it sends then.
ANSWERS: dict[str, tuple[Callable[[bytes], bytes], bytes]] = {
    "honest": (switching(), DATA + STATUS + NORMAL),
    "other-subprotocol": (switching(V4), DATA),
    "no-subprotocol": (switching(""), DATA),
    "base64": (switching("base64.channel.k8s.io"), frame(1, b"1aGkK")),
    "other-upgrade": (switching(V5, "h2c"), DATA),
    "vanishes": (switching(), DATA),
    "masked": (switching(), DATA + frame(BINARY, b"\x01not seen\n", b"abcd")),
    "rsv": (switching(), DATA + b"\xc2\x02\x01x"),
    "trickles": (switching(), DATA + b"\x82"),
}


class FakeCluster:
    """Answers every upgrade by the name of its command, and hangs up; `closed` are the connections that the gateway closed."""

    def __init__(self, folder: Path) -> None:
        self.ca, certificate, key = certificates.ensure(folder)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", free_port()))
        self.port = self._listener.getsockname()[1]
        self.closed: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, raw: socket.socket) -> None:
        try:
            with self._context.wrap_socket(raw, server_side=True) as connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(65536) or b"\r\n\r\n"
                name = next((name for name in ANSWERS if f"command={name}".encode() in request), "")
                if not name:
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
                    )
                    return
                head, data = ANSWERS[name]
                connection.sendall(head(request) + data)
                if name == "vanishes":
                    return
                connection.settimeout(30)
                while connection.recv(65536):
                    pass
                self.closed.append(name)
        except OSError:
            pass

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeCluster]:
    running = FakeCluster(tmp_path_factory.mktemp("cluster"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def before(cluster: FakeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway before the fake cluster."""
    info = SimpleNamespace(server=f"https://127.0.0.1:{cluster.port}", ca_path=str(cluster.ca), static_token="t", access_key_id="", secret_access_key="")  # fmt: skip
    sandbox = cast("Sandbox", SimpleNamespace(info=info, requests=[]))
    running = Gateway(tmp_path_factory.mktemp("before"), sandbox).start()
    yield running
    running.stop()


def session(before: Gateway, name: str) -> WebSocketClient:
    return WebSocketClient(before, exec_target("web", name))


def waited(condition: Callable[[], Any]) -> None:
    from tests.process.test_exec import wait

    wait(condition)


def test_an_honest_answer_passes(before: Gateway) -> None:
    found = session(before, "honest").finish()
    assert (found.code, found.output(1), found.status["status"], found.closed) == (101, b"seen\n", "Success", 1000)


@pytest.mark.parametrize("name", ["other-subprotocol", "no-subprotocol", "base64", "other-upgrade"])
def test_bypass_5_06_an_answer_that_was_not_asked_for_is_a_bad_gateway(
    before: Gateway, cluster: FakeCluster, name: str
) -> None:
    found = session(before, name)
    assert found.code == 502
    assert "sub-protocol" in found.body["message"]
    waited(lambda: name in cluster.closed)  # the connection that switched serves nothing else
    assert before.call("GET", "/api/v1/namespaces/payments/configmaps/x").code == 200


def test_a_101_to_a_request_without_an_upgrade_is_a_bad_gateway(before: Gateway, cluster: FakeCluster) -> None:
    answer = before.call("GET", exec_target("web", "honest") + "&command=again")
    assert (answer.code, answer.reason) == (502, "BadGateway")
    assert b"seen" not in answer.body


@pytest.mark.parametrize("name", ["vanishes", "masked", "rsv"])
def test_a_cluster_that_breaks_off_or_breaks_the_protocol_is_a_failure(before: Gateway, name: str) -> None:
    found = session(before, name).finish()
    assert found.output(1) == b"seen\n"
    assert (found.status["status"], found.status["code"], found.closed) == ("Failure", 502, 1000)


def test_a_client_that_leaves_takes_the_clusters_connection_with_it(before: Gateway, cluster: FakeCluster) -> None:
    found = session(before, "trickles")
    found.wait_for(b"seen")
    found.close()
    waited(lambda: "trickles" in cluster.closed)
