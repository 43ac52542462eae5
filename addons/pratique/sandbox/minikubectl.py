"""I/O: the five kubectl commands of the tour, carried out with the Python client, for machines without kubectl.

`python -m pratique.sandbox.minikubectl KUBECONFIG NAMESPACE get secret NAME -o json`. Prints JSON; errors as kubectl does.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

METHODS = {"secret": "secret", "configmap": "config_map", "pods": "pod", "namespace": "namespace"}


def main(arguments: list[str]) -> int:
    """Exit code 0, or 1 with `Error from server (REASON): MESSAGE` on standard error."""
    kubeconfig, namespace, verb, *rest = arguments
    config.load_kube_config(kubeconfig)
    api = client.CoreV1Api()
    try:
        result = _exec(api, namespace, rest) if verb == "exec" else _call(api, namespace, verb, rest)
    except ApiException as error:
        print(f"Error from server ({error.reason}): {_message(error)}", file=sys.stderr)
        return 1
    print(result)
    return 0


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.reason} {error.body or ''}"


def _call(api: Any, namespace: str, verb: str, rest: list[str]) -> str:
    words = [word for word in rest if not word.startswith("-") and word != "json"]
    kind, names = METHODS[words[0]], words[1:]
    scope = [] if kind == "namespace" else [namespace]
    scoped = kind if kind == "namespace" else f"namespaced_{kind}"
    if verb == "delete":
        answer = getattr(api, f"delete_{scoped}")(names[0], *scope)
    else:
        method = getattr(api, f"{'read' if names else 'list'}_{scoped}")
        answer = method(*names, *scope)
    return json.dumps(api.api_client.sanitize_for_serialization(answer), indent=1)


def _exec(api: Any, namespace: str, rest: list[str]) -> str:
    pod, command = rest[0], rest[rest.index("--") + 1 :]
    container = api.read_namespaced_pod(pod, namespace).spec.containers[0].name  # as kubectl: the first
    call, streams = api.connect_get_namespaced_pod_exec, {"stdout": True, "stderr": True, "stdin": False, "tty": False}
    return str(stream(call, pod, namespace, container=container, command=command, **streams))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
