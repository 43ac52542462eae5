"""What the tests of the sandbox share: a bare HTTP client, the parts without a network, objects."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass, field
from typing import Any

from pratique.sandbox.api import Api
from pratique.sandbox.cluster import SandboxInfo
from pratique.sandbox.controller import Controller
from pratique.sandbox.query import WriteOptions
from pratique.sandbox.resources import Registry, Resource
from pratique.sandbox.store import Store

TOKEN = "static-test-token"
NOW = 1_780_000_000.0
TIMEOUT = 30.0  # seconds; a hang is a failure, not a wait


@dataclass
class Reply:
    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """A bare HTTP client: what it sends is what the test says."""

    info: SandboxInfo
    token: str = TOKEN
    headers: dict[str, str] = field(default_factory=dict)
    kept: http.client.HTTPSConnection | None = None

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self.info.ca_path)
        return http.client.HTTPSConnection("127.0.0.1", self.info.port, timeout=TIMEOUT, context=context)

    def _request(
        self, connection: http.client.HTTPSConnection, method: str, path: str, body: Any, headers: dict[str, str]
    ):
        found = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        found |= self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            found.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, found)
        return connection.getresponse()

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        """On a connection of its own: for answers that go on."""
        return self._request(self.connect(), method, path, body, headers)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        self.kept = self.kept or self.connect()
        response = self._request(self.kept, method, path, body, headers)
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, found, response.read())

    def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        reply = self(method, path, body, **headers)
        assert reply.code < 300, reply.body
        return reply.json


@dataclass
class World:
    """The parts without a network: a store at a fixed time, the API over it, the controllers."""

    store: Store
    registry: Registry
    api: Api
    controller: Controller

    def kind(self, plural: str, group: str = "") -> Resource:
        found = self.registry.any_version(group, plural)
        assert found
        return found


OPTIONS = WriteOptions(manager="test")


def deployment(name: str = "web", replicas: int = 2, image: str = "nginx:1") -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "c", "image": image, "env": [{"name": "A", "value": "1"}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    inner = {"containers": [{"name": "c", "image": "busybox:1"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": inner}
