"""Makes single calls with the Python client; run by each Python of PRATIQUE_PYTHON_CLIENTS. The protocol is mcp_driver's.

Argument: a kubeconfig.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

import kubernetes
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream


def _watch(core: client.CoreV1Api, namespace: str) -> list[Any]:
    events = watch.Watch().stream(core.list_namespaced_secret, namespace, timeout_seconds=1)
    return [event["raw_object"] for event in events]


def _exec(core: client.CoreV1Api, name: str, namespace: str, command: list[str]) -> Any:
    connect = core.connect_get_namespaced_pod_exec
    return stream(connect, name, namespace, command=command, stdout=True, stderr=True, stdin=False, tty=False)


def main(kubeconfig: str) -> None:
    api = config.new_client_from_config(kubeconfig)
    core = client.CoreV1Api(api)
    print(json.dumps({"name": "kubernetes", "version": kubernetes.__version__}), flush=True)
    for line in sys.stdin:
        method, arguments = json.loads(line)
        own = {"watch": _watch, "exec": _exec}.get(method)
        try:
            found = own(core, **arguments) if own else getattr(core, method)(**arguments)
            answer = {"error": False, "text": json.dumps(api.sanitize_for_serialization(found))}
        except ApiException as error:
            answer = {"error": True, "text": str(error)}
        except Exception:  # noqa: BLE001 - what a program prints that ends with it
            answer = {"error": True, "text": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
