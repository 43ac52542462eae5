"""The controllers of the embedded cluster: what follows when an object changes, at once instead of in a while.

Pure but for the store. `run` works off the changes since the last call; whoever owns the event loop calls it after
each write. Does: workloads to pods, pods to Running, garbage collection, namespaces, endpoints, CRDs, claims.
"""

from __future__ import annotations

import copy
from collections import deque
from typing import Any

from pratique.sandbox import pods, workloads
from pratique.sandbox.api import FOREGROUND
from pratique.sandbox.resources import Registry
from pratique.sandbox.store import Change, Key, Store

JSON = dict[str, Any]

MAX_STEPS = 100_000  # changes per run; more means that two controllers undo each other's work


class Controller:
    def __init__(self, store: Store, registry: Registry) -> None:
        self.store = store
        self.registry = registry
        self._queue: deque[Change] = deque()
        store.subscribe(self._queue.append)

    @property
    def idle(self) -> bool:
        return not self._queue

    def run(self) -> None:
        for _ in range(MAX_STEPS):
            if not self._queue:
                return
            self._step(self._queue.popleft())
        raise RuntimeError("the controllers do not settle")

    def _step(self, change: Change) -> None:
        if change.kind == "DELETED":
            self._deleted(change)
        else:
            self._changed(change)
        workloads.owners_changed(self.store, change)

    def _changed(self, change: Change) -> None:
        metadata = change.obj["metadata"]
        live = self.store.get(change.key, metadata.get("namespace", ""), metadata["name"])
        if live is None or live["metadata"]["uid"] != metadata["uid"]:
            return
        if live["metadata"].get("deletionTimestamp"):
            self._finish(change.key, live)
        elif change.key == ("", "namespaces"):
            self._furnish(live)
        elif change.key == ("", "pods"):
            pods.settle(self.store, live)
        elif change.key == ("", "persistentvolumeclaims"):
            self._bind(live)
        elif change.key == ("apiextensions.k8s.io", "customresourcedefinitions"):
            self._establish(live)
        else:
            workloads.reconcile(self.store, change.key, live)

    # -- deletion ------------------------------------------------------------------------------------------------------
    def _finish(self, key: Key, obj: JSON) -> None:
        """Go on with the deletion of an object that has a deletionTimestamp."""
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        if FOREGROUND in finalizers:
            self._delete_dependents(metadata["uid"])
            freed = copy.deepcopy(obj)
            freed["metadata"]["finalizers"] = [name for name in finalizers if name != FOREGROUND]
            obj = self.store.put(key, freed)
        if obj["metadata"].get("finalizers"):
            return
        if key == ("", "namespaces"):
            self._empty(metadata["name"])
        self.store.remove(key, metadata.get("namespace", ""), metadata["name"])

    def _deleted(self, change: Change) -> None:
        self._delete_dependents(change.obj["metadata"]["uid"])
        if change.key == ("apiextensions.k8s.io", "customresourcedefinitions"):
            names = change.obj["spec"]["names"]
            self._remove_all((change.obj["spec"]["group"], names["plural"]))
            self.registry.remove_custom(change.obj)

    def _delete_dependents(self, uid: str) -> None:
        for key in self.store.places():
            for obj in self.store.all(key):
                owners = obj["metadata"].get("ownerReferences") or []
                if owners and all(owner["uid"] == uid for owner in owners):
                    self._drop(key, obj)

    def _empty(self, namespace: str) -> None:
        for key in self.store.places():
            for obj in self.store.all(key, namespace):
                self._drop(key, obj)

    def _remove_all(self, key: Key) -> None:
        for obj in self.store.all(key):
            self._drop(key, obj)

    def _drop(self, key: Key, obj: JSON) -> None:
        self.store.remove(key, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])

    # -- single objects ------------------------------------------------------------------------------------------------
    def _furnish(self, namespace: JSON) -> None:
        name = namespace["metadata"]["name"]
        account: JSON = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        pem = "-----BEGIN CERTIFICATE-----\nsandbox\n-----END CERTIFICATE-----\n"
        roots: JSON = {"kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": pem}}
        for key, obj in ((("", "serviceaccounts"), account), (("", "configmaps"), roots)):
            if self.store.get(key, name, obj["metadata"]["name"]) is None:
                workloads.add(self.store, key, name, obj)

    def _bind(self, claim: JSON) -> None:
        if (claim.get("status") or {}).get("phase") == "Bound":
            return
        bound = copy.deepcopy(claim)
        spec = bound["spec"]
        spec["volumeName"] = spec.get("volumeName") or f"pvc-{claim['metadata']['uid']}"
        bound["status"] = {"phase": "Bound", "accessModes": spec.get("accessModes", []),
                           "capacity": (spec.get("resources") or {}).get("requests", {})}  # fmt: skip
        self.store.put(("", "persistentvolumeclaims"), bound)

    def _establish(self, crd: JSON) -> None:
        self.registry.set_custom(crd)
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": crd["metadata"]["creationTimestamp"],
             "reason": reason, "message": message}
            for kind, reason, message in (
                ("NamesAccepted", "NoConflicts", "no conflicts found"),
                ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            )
        ]  # fmt: skip
        stored = [version["name"] for version in crd["spec"]["versions"] if version.get("storage")]
        state = {"conditions": conditions, "acceptedNames": crd["spec"]["names"], "storedVersions": stored}
        if crd.get("status") != state:
            self.store.put(("apiextensions.k8s.io", "customresourcedefinitions"), {**crd, "status": state})
