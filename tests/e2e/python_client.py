"""What a program with the Python client does, as one script; run by each Python of PRATIQUE_PYTHON_CLIENTS.

Arguments: kubeconfig, namespace, pod. Prints one JSON object: step → what came of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import kubernetes
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward, stream


def main(kubeconfig: str, namespace: str, pod: str) -> dict[str, Any]:
    config.load_kube_config(kubeconfig)
    core, apps = client.CoreV1Api(), client.AppsV1Api()
    meta = client.V1ObjectMeta(name="py", labels={"by": "python"})
    steps: dict[str, Callable[[], Any]] = {
        "list": lambda: [item.metadata.name for item in core.list_namespaced_pod(namespace).items],
        "deployments": lambda: [item.metadata.name for item in apps.list_namespaced_deployment(namespace).items],
        "create": lambda: core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata=meta, data={"a": "b"})).data,
        "patch": lambda: core.patch_namespaced_config_map("py", namespace, {"data": {"c": "d"}}).data,
        "replace": lambda: core.replace_namespaced_config_map("py", namespace, client.V1ConfigMap(metadata=meta, data={"e": "f"})).data,
        "watch": lambda: _watch(core, namespace),
        "secret": lambda: core.read_namespaced_secret("db", namespace).data,
        "secrets": lambda: [item.data for item in core.list_namespaced_secret(namespace).items],
        "logs": lambda: core.read_namespaced_pod_log(pod, namespace, container="c", tail_lines=2),
        "exec": lambda: stream(
            core.connect_get_namespaced_pod_exec, pod, namespace, container="c", command=["echo", "hi"],
            stdout=True, stderr=True, stdin=False, tty=False,
        ),
        "forward": lambda: _forward(core, namespace, pod),
        "delete": lambda: bool(core.delete_namespaced_config_map("py", namespace)),
        "missing": lambda: core.read_namespaced_config_map("py", namespace),
    }  # fmt: skip
    found: dict[str, Any] = {"version": kubernetes.__version__}
    for name, step in steps.items():
        try:
            found[name] = step()
        except ApiException as error:
            found[name] = f"{error.status} {error.reason}"
    return found


def _watch(core: client.CoreV1Api, namespace: str) -> list[str]:
    events = watch.Watch().stream(
        core.list_namespaced_config_map, namespace, label_selector="by=python", timeout_seconds=2
    )
    return [event["type"] for event in events]


def _forward(core: client.CoreV1Api, namespace: str, pod: str) -> str:
    forward = portforward(core.connect_get_namespaced_pod_portforward, pod, namespace, ports="8080")
    sock = forward.socket(8080)
    sock.settimeout(20)
    sock.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
    text = b""
    while chunk := sock.recv(4096):
        text += chunk
    return text.decode().partition("\r\n\r\n")[2].strip()


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout, default=str)
