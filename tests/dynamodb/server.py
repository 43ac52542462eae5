"""DynamoDB for gateways of tests: moto's server in a thread of this process, one request at a time (see `service`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.dynamodb.service import REGION, new_table


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_arguments: Any) -> None:
        """Not into the test's output."""


class Server:
    """`table` is an empty one. Listens from the moment it is made."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._listen(0)
        self.url = f"http://127.0.0.1:{self._server.port}"
        keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "example"}
        self.client = boto3.client("dynamodb", region_name=REGION, endpoint_url=self.url, **keys)
        self.table = new_table(self.client)

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that uses it."""
        return {"AWS_ENDPOINT_URL_DYNAMODB": self.url, "AWS_REGION": REGION}

    @property
    def options(self) -> list[str]:
        """Of a gateway that uses it."""
        return ["--set", f"pratique_dynamodb_table={self.table}"]

    @contextmanager
    def away(self) -> Iterator[None]:
        """Its port refuses meanwhile. What is in it stays."""
        self.close()
        yield
        self._listen(self._server.port)

    def _listen(self, port: int) -> None:
        self._server = make_server("127.0.0.1", port, self._app, threaded=False, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)
