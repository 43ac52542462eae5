"""A small S3 on loopback, enough for the calls of `recorder.s3`, and strict about the headers that matter."""

from __future__ import annotations

import base64
import hashlib
import http.server
import threading
from typing import Any, Self
from urllib.parse import unquote


class FakeS3:
    """`objects` by `bucket/key`; `headers` of each PUT. `fail` answers every call with that status."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.puts: list[str] = []
        self.fail = 0
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.answer(*fake.put(self.name, {k.lower(): v for k, v in self.headers.items()}, body))

            def do_HEAD(self) -> None:
                self.answer(*fake.head(self.name))

            @property
            def name(self) -> str:
                return unquote(self.path.partition("?")[0]).lstrip("/")

            def answer(self, status: int, headers: dict[str, str], code: str = "") -> None:
                body = f"<Error><Code>{code}</Code></Error>".encode() if code and self.command != "HEAD" else b""
                self.send_response(status)
                for name, value in (headers | {"content-length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.server.server_port}",
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def put(self, name: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], str]:
        if self.fail:
            return self.fail, {}, "SlowDown"
        if not headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 "):
            return 403, {}, "AccessDenied"
        if headers.get("if-none-match") != "*":
            return 400, {}, "NotConditional"
        if headers.get("x-amz-server-side-encryption") != "aws:kms":
            return 400, {}, "NotEncrypted"
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        if headers.get("x-amz-checksum-sha256") != digest:
            return 400, {}, "BadDigest"
        if name in self.objects:
            return 412, {}, "PreconditionFailed"
        self.objects[name], self.headers[name] = body, headers
        self.puts.append(name)
        return 200, {"x-amz-checksum-sha256": digest}, ""

    def head(self, name: str) -> tuple[int, dict[str, str], str]:
        if self.fail:
            return self.fail, {}, "SlowDown"
        if name not in self.objects:
            return 404, {}, "NotFound"
        digest = base64.b64encode(hashlib.sha256(self.objects[name]).digest()).decode()
        return 200, {"x-amz-checksum-sha256": digest}, ""
