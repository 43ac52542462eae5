"""I/O (tornado): the admin listener on the gateway's event loop.

Belongs here: address, TLS, limits, starting and stopping. Not here: what is served (`api`).
"""

from __future__ import annotations

import json
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from pratique.approvals.admin import api, playground, probes, revocations
from pratique.approvals.admin.api import Context, NoSuchPath
from pratique.errors import StartError

FILE_NAME = "admin.json"  # in the state folder: where the listener is, for the command line and for the next start
MAX_BODY_BYTES = 64 * 1024  # a decision with its reason has 3 KiB
MAX_HEADER_BYTES = 32 * 1024
ROUTES = (*probes.ROUTES, *revocations.ROUTES, *playground.ROUTES, *api.ROUTES)  # the last of `api` is every other path
IDLE_SECONDS = 30.0
BODY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """`HOST:PORT`. Raises StartError."""
        try:
            parts = urlsplit(f"//{text}")
            if parts.hostname and parts.port is not None and parts.netloc == text and "@" not in text:
                return cls(parts.hostname, parts.port)
        except ValueError:
            pass
        raise StartError(f"option `pratique_admin` is `{text}`, not HOST:PORT. Write for example 127.0.0.1:8443")

    @property
    def url(self) -> str:
        return f"https://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class AdminServer:
    """One listener. `state` is the gateway's state folder."""

    def __init__(self, address: Address, state: Path, tls: ssl.SSLContext) -> None:
        self._wanted = address
        self._file = state / FILE_NAME
        self._tls = tls
        self._server: HTTPServer | None = None
        self._sockets: list[socket.socket] = []
        self.address = address

    def bind(self) -> Address:
        """Takes the port; nothing is served before `serve`. Raises StartError."""
        remembered = self._remembered() if self._wanted.port == 0 else 0
        ports = [remembered, 0] if remembered else [self._wanted.port]
        for port in ports:
            with suppress(OSError):
                self._sockets = bind_sockets(port, self._wanted.host)
                break
        if not self._sockets:
            message = f"the admin listener cannot listen on {self._wanted.host}:{self._wanted.port}"
            raise StartError(f"{message}. Is the port in use? Set `pratique_admin`")
        self.address = Address(self._wanted.host, self._sockets[0].getsockname()[1])
        return self.address

    def serve(self, context: Context, url: str) -> None:
        """Starts to serve what `bind` has taken; `url` is how reviewers reach it."""
        routes = [(pattern, handler, {"context": context}) for pattern, handler in ROUTES]
        application = Application(
            routes,
            default_handler_class=NoSuchPath,
            default_handler_args={"context": context},
            log_function=lambda _handler: None,
        )
        self._server = HTTPServer(
            application,
            ssl_options=self._tls,
            max_body_size=MAX_BODY_BYTES,
            max_buffer_size=MAX_BODY_BYTES + MAX_HEADER_BYTES,
            max_header_size=MAX_HEADER_BYTES,
            idle_connection_timeout=IDLE_SECONDS,
            body_timeout=BODY_SECONDS,
            no_keep_alive=False,
        )
        self._server.add_sockets(self._sockets)
        self._remember(url)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
        for each in self._sockets:
            each.close()

    def _remembered(self) -> int:
        """The port of the last start, so that reviewers' bookmarks stay good."""
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            port = found["port"] if found["host"] == self._wanted.host else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return port if isinstance(port, int) and 1024 <= port <= 65535 else 0

    def _remember(self, url: str) -> None:
        beside = self._file.with_name(f".{FILE_NAME}.{os.getpid()}")
        text = json.dumps({"url": url, "host": self.address.host, "port": self.address.port})
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(self._file)


def page_of(state: Path) -> str:
    """Where the process serves that has the listener; "" where none has had it."""
    try:
        return str(json.loads((state / FILE_NAME).read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def tls_from(pem: Path) -> ssl.SSLContext:
    """A server's context from a PEM with chain and key. Raises StartError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(pem)
    except (OSError, ssl.SSLError) as error:
        reason = type(error).__name__
        message = f"the admin listener's certificate `{pem}` cannot be used: {reason}"
        raise StartError(f"{message}. Give a PEM with the chain and its unencrypted key") from None
    return context
