"""A real API server takes the manifests: server-side dry run, with strict field validation."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path

import pytest

from tests.e2e.real import call, kubeconfig, kubectls

pytestmark = [pytest.mark.e2e, pytest.mark.realcluster]
KUSTOMIZE = Path(__file__).parents[2] / "scripts" / "deploy" / "kustomize"


def kubectl(*arguments: str, given: str | None = None):
    return call(kubectls()[0], "--kubeconfig", str(kubeconfig()), *arguments, given=given)


@pytest.fixture
def namespace():
    """A dry run makes no namespace, so the objects are tried in one that is there."""
    name = f"manifests-{uuid.uuid4().hex[:8]}"
    assert kubectl("create", "namespace", name).code == 0
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("folder", ["base", "clients", "example"])
def test_the_server_takes_every_manifest(folder: str, namespace: str) -> None:
    built = call(kubectls()[0], "kustomize", str(KUSTOMIZE / folder))
    assert built.code == 0, built
    text = built.out
    for given in ("pratique", "mcp"):
        text = text.replace(f"namespace: {given}\n", f"namespace: {namespace}\n")
    done = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", given=text)
    assert done.code == 0, done
    assert done.out.count("(server dry run)") == text.count("\nkind: ") + text.startswith("kind: ")
    assert "would violate PodSecurity" not in done.err


def test_the_deployment_passes_the_restricted_pod_security_standard(namespace: str) -> None:
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    deployment = json.loads(
        kubectl("apply", "--dry-run=client", "-o", "json", "-f", str(KUSTOMIZE / "base/deployment.yaml")).out
    )
    template = deployment["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": namespace},
        "spec": template["spec"],
    }
    pod["spec"]["serviceAccountName"] = "default"
    deadline = time.monotonic() + 60
    while (done := kubectl("apply", "--dry-run=server", "-f", "-", given=json.dumps(pod))).code != 0:
        assert "serviceaccount" in done.err and time.monotonic() < deadline, done  # the controller makes it in a moment
        time.sleep(0.2)
