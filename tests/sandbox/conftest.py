"""One running sandbox for the tests of this folder; each test works in a namespace of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from pratique.sandbox.api import Api
from pratique.sandbox.cluster import Sandbox, SandboxOptions
from pratique.sandbox.controller import Controller
from pratique.sandbox.resources import Registry
from pratique.sandbox.store import Store
from tests.sandbox.kit import NOW, OPTIONS, TOKEN, Client, World


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    state = tmp_path_factory.mktemp("sandbox")
    with Sandbox(state, SandboxOptions(static_token=TOKEN, audit_log=state / "audit.jsonl")) as running:
        yield running
        assert running.cluster is not None
        assert not running.cluster.problems, "a handler raised something that is not an answer"


@pytest.fixture
def client(sandbox: Sandbox) -> Client:
    return Client(sandbox.info)


@pytest.fixture
def namespace(client: Client) -> Iterator[str]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    client.ok("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    client("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def world() -> World:
    store = Store(lambda: NOW)
    registry = Registry()
    found = World(store, registry, Api(store, registry), Controller(store, registry))
    for name in ("default", "other"):
        found.api.create(found.kind("namespaces"), "", {"metadata": {"name": name}}, OPTIONS)
    found.controller.run()
    return found
