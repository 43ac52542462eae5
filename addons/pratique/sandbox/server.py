"""I/O: the two listening sockets of the sandbox, both on loopback: the API server (HTTPS) and STS (HTTP)."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from pratique.sandbox import certificates
from pratique.sandbox.handler import ApiHandler
from pratique.sandbox.sigv4 import Request

if TYPE_CHECKING:
    from pratique.sandbox.cluster import Cluster

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 2.0  # how long open connections may take to end


class StsHandler(RequestHandler):
    def initialize(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def _any(self, *_groups: str) -> None:
        request = self.request
        headers = {name.lower(): value for name, value in request.headers.get_all()}
        path, _, query = (request.uri or "/").partition("?")
        asked = Request(request.method or "", path, query, headers, request.body)
        answer = self.cluster.sts.handle(asked, self.cluster.clock())
        self.set_status(answer.code)
        self.set_header("Content-Type", answer.content_type)
        self.write(answer.body)

    get = post = _any


class Serving:
    """Both servers, listening from the moment it is made; must be made on the loop that serves."""

    def __init__(self, cluster: Cluster, folder: Path, port: int, sts_port: int) -> None:
        self.ca_path, certificate, key = certificates.ensure(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["http/1.1"])
        api = Application([(r".*", ApiHandler, {"cluster": cluster})], log_function=lambda _: None)
        sts = Application([(r".*", StsHandler, {"cluster": cluster})], log_function=lambda _: None)
        self._api = HTTPServer(api, ssl_options=context, max_body_size=64 * 1024 * 1024)
        self._sts = HTTPServer(sts)
        self.port = _listen(self._api, port)
        self.sts_port = _listen(self._sts, sts_port)

    async def stop(self) -> None:
        self._api.stop()
        self._sts.stop()
        for server in (self._api, self._sts):
            try:
                await asyncio.wait_for(server.close_all_connections(), STOP_SECONDS)
            except TimeoutError:
                continue


def _listen(server: HTTPServer, port: int) -> int:
    sockets = bind_sockets(port, LOOPBACK)
    server.add_sockets(sockets)
    return int(sockets[0].getsockname()[1])
