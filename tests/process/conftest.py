from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pratique.sandbox.cluster import Sandbox, SandboxOptions
from tests.process.gateway import FAULTS, Gateway


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
def faulty(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The script form, with code that raises where a request asks for it (see faults.py)."""
    running = Gateway(tmp_path_factory.mktemp("faulty"), sandbox, form="mitmdump", scripts=[FAULTS]).start()
    yield running
    running.stop()


@pytest.fixture
def make_gateway(sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    made: list[Gateway] = []

    def make(**arguments: Any) -> Gateway:
        made.append(Gateway(tmp_path / f"gateway-{len(made)}", arguments.pop("sandbox", sandbox), **arguments))
        return made[-1]

    yield make
    for item in made:
        item.stop()
