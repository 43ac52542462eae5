from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pratique.sandbox.cluster import Sandbox, SandboxOptions
from tests.process.cluster import FakeCluster
from tests.process.gateway import FAULTS, UNRULY, Gateway
from tests.process.leaks import OPEN, Probe, written
from tests.process.starts import Starts


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(
        tmp_path_factory.mktemp("sandbox"), SandboxOptions(static_token="static-upstream-token-CANARY")
    ) as running:
        yield running


@pytest.fixture(scope="session")
def gateway(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The service form, shared: tests use names of their own."""
    running = Gateway(tmp_path_factory.mktemp("gateway"), sandbox).start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def open_gateway(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Its policy blocks nothing: what does not leak does not leak because it is masked. Shared."""
    running = Gateway(tmp_path_factory.mktemp("open"), sandbox, policy=OPEN, hold=0).start()
    yield running
    running.stop()
    assert written(running) == {}


@pytest.fixture
def probe(open_gateway: Gateway) -> Iterator[Probe]:
    made = Probe(open_gateway)
    yield made
    made.check()


@pytest.fixture(scope="session")
def faulty(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The script form, with code that raises where a request asks for it (faults.py), and another script (unruly.py)."""
    running = Gateway(tmp_path_factory.mktemp("faulty"), sandbox, form="mitmdump", scripts=[UNRULY, FAULTS]).start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def before_fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """In front of a cluster that behaves as a test says, with deadlines of two seconds and 8 MiB for what is not read."""
    folder = tmp_path_factory.mktemp("fake")
    limits = {
        "pratique_head_timeout": 3,
        "pratique_answer_timeout": 2,
        "pratique_connect_timeout": 2,
        "pratique_unread": 8 << 20,
    }
    options = [part for name, value in limits.items() for part in ("--set", f"{name}={value}")]
    running = Gateway(folder, FakeCluster(folder / "cluster"), options=options).start()
    yield running
    running.stop()


@pytest.fixture
def fake(before_fake: Gateway) -> Iterator[FakeCluster]:
    """Its cluster; every test sets the behaviour that it needs."""
    cluster = before_fake.sandbox
    assert isinstance(cluster, FakeCluster)
    usual = cluster.behaviour
    yield cluster
    cluster.behaviour = usual


@pytest.fixture(scope="session")
def starts() -> Iterator[Starts]:
    running = Starts()
    yield running
    running.close()


@pytest.fixture
def make_gateway(sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    made: list[Gateway] = []

    def make(**arguments: Any) -> Gateway:
        made.append(Gateway(tmp_path / f"gateway-{len(made)}", arguments.pop("sandbox", sandbox), **arguments))
        return made[-1]

    yield make
    for item in made:
        item.stop()
