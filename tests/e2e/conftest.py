from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pratique.sandbox.cluster import Sandbox
from tests.e2e import real
from tests.process.gateway import Gateway


@pytest.fixture(scope="session")
def real_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in front of the real cluster, with a policy that allows everything but escalation."""
    folder: Path = tmp_path_factory.mktemp("real")
    cluster = cast("Sandbox", real.real_cluster(folder))
    running = Gateway(folder / "gateway", cluster, policy=real.EVERYTHING).start()
    yield running
    running.stop()
    # Whatever this run sent: the server saw the same requests, in the same words.
    report = real.joined(running)
    assert report.joined > 0
    assert report.mismatches == []
    assert report.unseen == []


@pytest.fixture(scope="session", params=real.kubectls())
def pair(request: pytest.FixtureRequest, real_gateway: Gateway) -> Iterator[real.Pair]:
    """Two fresh namespaces, one for each way."""
    program: str = request.param
    config = real.client_kubeconfig(real_gateway)
    mark = secrets.token_hex(3)
    environment: dict[str, Any] = {
        "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true",
        "KUBECTL_PORT_FORWARD_WEBSOCKETS": "true",
    }
    made = real.Pair(
        real.Kubectl(program, real.kubeconfig(), f"e2e-{mark}-direct", environment),
        real.Kubectl(program, config, f"e2e-{mark}-gateway", environment),
    )
    for one in (made.direct, made.through):
        one.ok("create", "namespace", one.namespace)
    yield made
    for one in (made.direct, made.through):
        made.direct("delete", "namespace", one.namespace, "--wait=false")
