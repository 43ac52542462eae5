"""Real clients on the sandbox: kubectl where there is one, and the Python client."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pratique.sandbox.cluster import Sandbox
from tests.sandbox.kit import TOKEN, deployment

KUBECTL = shutil.which("kubectl")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="no kubectl on PATH")
pytestmark = pytest.mark.e2e


@pytest.fixture
def kubectl(sandbox: Sandbox, namespace: str, tmp_path: Path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(sandbox.kubeconfig(TOKEN)))

    def run(*arguments: str, stdin: str = "", code: int = 0) -> str:
        command = [str(KUBECTL), "--kubeconfig", str(config), "--cache-dir", str(tmp_path / "cache"), "-n", namespace]
        done = subprocess.run([*command, *arguments], input=stdin, capture_output=True, text=True, timeout=100)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@needs_kubectl
def test_kubectl_applies_rolls_out_scales_patches_and_deletes(kubectl):
    assert "created" in kubectl("apply", "-f", "-", stdin=json.dumps(deployment()))
    assert "configured" in kubectl("apply", "-f", "-", stdin=json.dumps(deployment(image="nginx:2")))
    assert "serverside-applied" in kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(deployment())
    )
    kubectl("scale", "deploy/web", "--replicas=3")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    assert "condition met" in kubectl("wait", "--for=condition=Available", "deploy/web", "--timeout=30s")
    assert kubectl("get", "pods").count("1/1     Running") == 3
    kubectl(
        "patch", "deploy", "web", "-p", '{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"nginx:3"}]}}}}'
    )
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}") == "nginx:3"
    assert "deleted" in kubectl("delete", "deploy", "web")
    assert "No resources found" in kubectl("get", "pods")


@needs_kubectl
def test_kubectl_reads_runs_and_asks(kubectl):
    assert kubectl("-n", "payments", "exec", "db-0", "--", "echo", "hi") == "hi\n"
    kubectl("-n", "payments", "exec", "db-0", "--", "sh", "-c", "exit 7", code=7)
    assert kubectl("-n", "payments", "exec", "-i", "db-0", "--", "cat", stdin="input") == "input"
    assert "canary" in kubectl("-n", "payments", "logs", "db-0")
    assert kubectl("auth", "can-i", "delete", "pods") == "yes\n"
    assert "Where deliveries go" in kubectl("explain", "webhook.spec")
    assert 'unknown field "dataa"' in kubectl("create", "-f", "-", code=1,
                                              stdin='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"q"},"dataa":{}}')  # fmt: skip
    assert "created" in kubectl("create", "deployment", "made", "--image=nginx:1")
    assert 'pods "nope" not found' in kubectl("get", "pod", "nope", code=1)


def test_the_python_client_lists_watches_writes_and_executes(sandbox: Sandbox, namespace: str):
    from kubernetes import client, config, stream, watch

    api_client = config.new_client_from_config_dict(sandbox.kubeconfig(TOKEN))
    core, apps = client.CoreV1Api(api_client), client.AppsV1Api(api_client)
    apps.create_namespaced_deployment(namespace, deployment())
    assert len(core.list_namespaced_pod(namespace, label_selector="app=web").items) == 2
    events = watch.Watch().stream(apps.list_namespaced_deployment, namespace, timeout_seconds=1)
    assert {event["object"].status.ready_replicas for event in events} == {2}
    with pytest.raises(client.ApiException) as caught:
        core.read_namespaced_secret("none", namespace)
    assert (caught.value.status, json.loads(caught.value.body)["reason"]) == (404, "NotFound")
    output = stream.stream(
        core.connect_get_namespaced_pod_exec, "db-0", "payments", command=["echo", "hi"], stdout=True
    )
    assert output == "hi\n"
    assert core.delete_namespaced_config_map("kube-root-ca.crt", namespace).status == "Success"
