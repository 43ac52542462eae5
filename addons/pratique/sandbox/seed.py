"""What the embedded cluster holds at the start: four namespaces of a small shop, deterministic, with fake secrets.

Every secret value says that it is fake (`sandbox-canary-...`), so that a test can look for it anywhere. Pure but for
the store: times come from the store's clock.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from pratique.sandbox import workloads
from pratique.sandbox.controller import Controller
from pratique.sandbox.logs import Line, Logs
from pratique.sandbox.manifests import MANIFESTS
from pratique.sandbox.resources import BUILT_IN, custom_resources
from pratique.sandbox.store import Store

JSON = dict[str, Any]

CANARIES = (
    "sandbox-canary-db-password",
    "sandbox-canary-stripe-key",
    "sandbox-canary-tls-key",
    "sandbox-canary-registry-password",
    "sandbox-canary-env-password",
    "sandbox-canary-config-token",
    "sandbox-canary-event-password",
    "sandbox-canary-log-token",
    "sandbox-canary-webhook-secret",
)
"""The values that must leave a gateway by no door; each is in the seed at least once."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KINDS = {(item.api_version, item.kind): item for item in BUILT_IN}


def plant(store: Store, controller: Controller, logs: Logs) -> None:
    """Fill an empty store, and let the controllers settle."""
    for manifest in MANIFESTS:
        obj = json.loads(json.dumps(manifest))
        applied = obj["metadata"].pop("x-applied", False)
        if applied:
            text = json.dumps(obj, separators=(",", ":"), sort_keys=True) + "\n"
            obj["metadata"].setdefault("annotations", {})[LAST_APPLIED] = text
        _add(store, obj)
        controller.run()
    _plant_logs(store, logs)


def _add(store: Store, obj: JSON) -> None:
    resource = _KINDS.get((obj["apiVersion"], obj["kind"]))
    if resource is None:
        key = (obj["apiVersion"].partition("/")[0], next(_plurals(store, obj["kind"])))
        metadata = obj["metadata"]
        metadata |= {"uid": store.new_uid(), "creationTimestamp": store.now(), "generation": 1}
        store.put(key, obj)
        return
    workloads.add(store, resource.key, obj["metadata"].get("namespace", ""), obj)


def _plurals(store: Store, kind: str) -> Iterator[str]:
    for crd in store.all(("apiextensions.k8s.io", "customresourcedefinitions")):
        for resource in custom_resources(crd):
            if resource.kind == kind:
                yield resource.plural


def log_line(container: str, number: int) -> str:
    """A line such as the seeded containers write; every tenth holds a canary."""
    if number % 10 == 9:
        return f'level=debug component={container} msg="upstream auth" token=sandbox-canary-log-token'
    path = f"/api/v1/orders/{1000 + number}"
    return f'level=info component={container} msg="request served" path={path} status=200 ms={7 + number % 13}'


def _plant_logs(store: Store, logs: Logs) -> None:
    now = store.clock()
    for pod in store.all(("", "pods")):
        for container in pod["spec"]["containers"]:
            place = (pod["metadata"]["namespace"], pod["metadata"]["name"], container["name"])
            logs.append(place, Line(now - 60, f"level=info component={container['name']} msg=starting"))
            for number in range(20):
                logs.append(place, Line(now - 50 + number * 2, log_line(container["name"], number)))


def referenced(store: Store, namespace: str, source: JSON) -> str:
    """The value of an environment variable that comes from a Secret or ConfigMap key."""
    if reference := source.get("secretKeyRef"):
        found = store.get(("", "secrets"), namespace, reference["name"]) or {}
        return base64.b64decode((found.get("data") or {}).get(reference["key"], "")).decode(errors="replace")
    if reference := source.get("configMapKeyRef"):
        found = store.get(("", "configmaps"), namespace, reference["name"]) or {}
        return str((found.get("data") or {}).get(reference["key"], ""))
    return ""
