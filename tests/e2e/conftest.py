from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pratique.cli.exporting import exported
from pratique.recorder.keys import verifier
from pratique.recorder.sessions import Recordings
from pratique.sandbox.cluster import Sandbox
from tests.e2e import real
from tests.masking.canary import find
from tests.process import leaks
from tests.process.conftest import probe  # noqa: F401 - the same fixture, of this folder's gateway
from tests.process.gateway import Gateway
from tests.process.leaks import OPEN, written

CANARY = "streams-CANARY-0815-value"
BOX = f"""
apiVersion: v1
kind: Secret
metadata: {{name: canary}}
stringData: {{value: {CANARY}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: box}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: c
      image: "{real.IMAGE}"
      imagePullPolicy: Never
      command: [sleep, "3600"]
      env: [{{name: CANARY, valueFrom: {{secretKeyRef: {{name: canary, key: value}}}}}}]
"""


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


@pytest.fixture(scope="session")
def box(pair: real.Pair) -> real.Kubectl:
    """A pod with a Secret in its environment; the client has read the Secret."""
    pair.direct.ok("-n", pair.through.namespace, "apply", "-f", "-", given=BOX)
    pair.direct.ok(
        "-n", pair.through.namespace, "wait", "--for=condition=Ready", "--timeout=90s", "pod/box", timeout=120
    )
    read = pair.through.ok("get", "secret", "canary", "-o", "json")
    assert CANARY not in read
    return pair.through


@pytest.fixture(params=["true", "false"], ids=["websocket", "spdy"])
def kubectl(request: pytest.FixtureRequest, box: real.Kubectl) -> real.Kubectl:
    names = ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS")
    return dataclasses.replace(box, environment=dict.fromkeys(names, request.param))


@pytest.fixture(scope="session")
def open_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Its policy blocks nothing. The namespace is the one that the tests name."""
    folder: Path = tmp_path_factory.mktemp("real-leaks")
    cluster = cast("Sandbox", real.real_cluster(folder))
    running = Gateway(folder / "gateway", cluster, policy=OPEN, hold=0).start()
    made = running.behind("POST", "/api/v1/namespaces", {"metadata": {"name": "payments"}})
    assert made.code in {201, 409}
    yield running
    running.stop()
    assert written(running) == {}
    text = exports(running.state)
    assert [test for value, test in leaks.PROBED.items() if find(text, value=value)] == []


def exports(state: Path) -> bytes:
    """Every session as audit events and as HAR, those with a terminal also as a page."""
    found, check = Recordings(state), verifier(state)
    parts = []
    for session in found.ids():
        has_cast = any(path.suffix == ".cast" for path in found.parts(session))
        for form in ("audit", "har", "html") if has_cast else ("audit", "har"):
            parts.append(exported(found, session, form, check, 0.0))
    return "".join(parts).encode()
