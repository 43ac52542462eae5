"""A cluster that behaves as a test says: raw answers, silence, another certificate. Counts whatever reaches it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pratique.sandbox import certificates
from pratique.sandbox.cluster import SandboxInfo

TOKEN = "fake-upstream-token-CANARY"
Behaviour = Callable[["FakeCluster", socket.socket], None]


def answer(code: int, body: bytes, *headers: str, content_type: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {code} X", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def says(data: bytes, *, then_close: bool = True) -> Behaviour:
    """Reads one request, answers `data`, closes (or waits until the other side does)."""

    def behave(cluster: FakeCluster, sock: socket.socket) -> None:
        with cluster.tls(sock) as conn:
            cluster.read_request(conn)
            conn.sendall(data)
            if not then_close:
                cluster.wait_for_end(conn)

    return behave


def silent(cluster: FakeCluster, sock: socket.socket) -> None:
    """Takes the request and never answers."""
    with cluster.tls(sock) as conn:
        cluster.read_request(conn)
        cluster.wait_for_end(conn)


def deaf(cluster: FakeCluster, sock: socket.socket) -> None:
    """Accepts the connection and does not even begin with TLS."""
    while sock.recv(65536):
        pass
    cluster.ended.release()


class FakeCluster:
    """Listens from the moment it is made. `behaviour` runs in a thread for each connection, and may be set at any time."""

    def __init__(self, folder: Path, *, alpn: tuple[str, ...] = ("http/1.1",)) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_path, certificate, key = certificates.ensure(folder)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._context.set_alpn_protocols(list(alpn))
        self.behaviour: Behaviour = says(answer(200, b'{"kind":"Status","apiVersion":"v1"}'))
        self.accepted = 0
        self.ended = threading.Semaphore(0)
        """Released for each connection that the gateway closed."""
        self.received: list[bytes] = []
        self.port = 0
        self.listen()

    def listen(self, host: str = "127.0.0.1") -> None:
        self._listener = socket.create_server((host, self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """From now on the port refuses."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                self.accepted += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(60)
        with contextlib.suppress(OSError), sock:
            self.behaviour(self, sock)

    def tls(self, sock: socket.socket) -> ssl.SSLSocket:
        return self._context.wrap_socket(sock, server_side=True)

    def read_request(self, conn: ssl.SSLSocket) -> bytes:
        """One request with its body, also kept in `received`."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = conn.recv(65536)
            if not more:
                raise OSError("closed")
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        ]
        while lengths and len(body) < lengths[0]:
            body += conn.recv(65536)
        self.received.append(head + b"\r\n\r\n" + body)
        return self.received[-1]

    def wait_for_end(self, conn: ssl.SSLSocket) -> None:
        with contextlib.suppress(OSError):
            while conn.recv(65536):
                pass
        self.ended.release()

    # --- what a gateway needs of a sandbox ---

    @property
    def info(self) -> SandboxInfo:
        return SandboxInfo(
            server=f"https://127.0.0.1:{self.port}",
            ca_path=str(self.ca_path),
            cluster_name="fake",
            region="eu-west-1",
            role_arn="arn:aws:iam::111122223333:role/fake",
            access_key_id="AKIAFAKE",
            secret_access_key="not-real",
            static_token=TOKEN,
            port=self.port,
        )

    @property
    def requests(self) -> list[Any]:
        lines = [data.split(b"\r\n", 1)[0].decode("latin-1").split(" ") for data in self.received]
        return [SimpleNamespace(method=line[0], uri=line[1], audit_id="") for line in lines]
