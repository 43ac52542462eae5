"""A TCP balancer on loopback, as a load balancer without TLS: one connection here, the next one there."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading


class Balancer:
    """Listens from the moment it is made. A port that refuses is passed over."""

    def __init__(self, *ports: int) -> None:
        self._ports = ports
        self._turns = itertools.count()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client, next(self._turns)), daemon=True).start()

    def _serve(self, client: socket.socket, turn: int) -> None:
        with client:
            for index in range(len(self._ports)):
                with contextlib.suppress(ConnectionRefusedError):
                    server = socket.create_connection(("127.0.0.1", self._ports[(turn + index) % len(self._ports)]))
                    break
            else:
                return
            with server:
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Until one end closes; then both do, so that a killed gateway is noticed."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
