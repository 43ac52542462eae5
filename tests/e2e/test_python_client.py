"""The Python client behaves through the gateway as without it. PRATIQUE_PYTHON_CLIENTS: Pythons that have it, by `:`."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import sys
from pathlib import Path

import pytest

from tests.e2e import real
from tests.e2e.test_kubectl import CANARY, DEPLOYMENT, SECRET
from tests.process.gateway import Gateway

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]
PYTHONS = [name for name in os.environ.get("PRATIQUE_PYTHON_CLIENTS", "").split(":") if name] or [sys.executable]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_python_client_sees_no_difference_but_the_masks(python: str, real_gateway: Gateway) -> None:
    namespace = f"e2e-python-{secrets.token_hex(3)}"
    admin = real.Kubectl(real.kubectls()[0], real.kubeconfig(), namespace, {})
    admin.ok("create", "namespace", namespace)
    for manifest in (SECRET, DEPLOYMENT):
        admin.ok("apply", "-f", "-", given=manifest)
    admin.ok("wait", "--for=condition=Available", "--timeout=90s", "deployment/web", timeout=120)
    pod = admin.ok("get", "pod", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")
    script = str(Path(__file__).with_name("python_client.py"))
    results = []
    for config in (real.kubeconfig(), real.client_kubeconfig(real_gateway)):
        done = real.call(python, script, str(config), namespace, pod)
        assert done.code == 0, done.err[-3000:]
        results.append(json.loads(done.out))
    admin("delete", "namespace", namespace, "--wait=false")
    straight, gated = results
    assert CANARY in base64.b64decode(straight["secret"]["password"]).decode()
    assert CANARY not in base64.b64decode(gated["secret"]["password"]).decode()
    assert base64.b64encode(CANARY.encode()).decode() not in json.dumps(gated)
    for step in ("list", "deployments", "create", "patch", "replace", "watch", "exec", "forward", "delete", "missing"):
        assert gated[step] == straight[step], step
    assert straight["forward"] == "hello"
    assert straight["watch"] == ["ADDED"]
    # Client 36 gives a repr of bytes, with and without the gateway.
    assert re.sub(r"\d+", "N", gated["logs"]) == re.sub(r"\d+", "N", straight["logs"])
    assert "line " in gated["logs"]
