"""Deployments to ReplicaSets, ReplicaSets, StatefulSets, DaemonSets and Jobs to pods, Services to endpoints.

Pure but for the store. Idempotent: reconciling a settled object writes nothing, so the controllers come to rest.
"""

from __future__ import annotations

import copy
import json
import zlib
from typing import Any

from pratique.sandbox import defaults, selectors
from pratique.sandbox.pods import PODS, is_ready
from pratique.sandbox.resources import BUILT_IN, Resource
from pratique.sandbox.store import Change, Key, Store

JSON = dict[str, Any]

DEPLOYMENTS, REPLICA_SETS = ("apps", "deployments"), ("apps", "replicasets")
STATEFUL_SETS, DAEMON_SETS, JOBS = ("apps", "statefulsets"), ("apps", "daemonsets"), ("batch", "jobs")
CONTROLLERS, SERVICES = ("", "replicationcontrollers"), ("", "services")
REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"
_RESOURCES: dict[Key, Resource] = {item.key: item for item in BUILT_IN}


def add(store: Store, key: Key, namespace: str, obj: JSON) -> JSON:
    """Store a new object that a controller makes."""
    metadata = obj["metadata"]
    metadata |= {"namespace": namespace, "uid": store.new_uid(), "creationTimestamp": store.now()}
    defaults.apply_defaults(_RESOURCES[key], obj)
    if "spec" in obj and key != PODS:
        metadata.setdefault("generation", 1)
    return store.put(key, obj)


def _owner(key: Key, obj: JSON) -> JSON:
    resource = _RESOURCES[key]
    return {"apiVersion": resource.api_version, "kind": resource.kind, "name": obj["metadata"]["name"],
            "uid": obj["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}  # fmt: skip


def _owned(store: Store, key: Key, owner: JSON) -> list[JSON]:
    uid = owner["metadata"]["uid"]
    found = store.all(key, owner["metadata"].get("namespace", ""))
    return [obj for obj in found if any(ref["uid"] == uid for ref in obj["metadata"].get("ownerReferences") or [])]


def _set_status(store: Store, key: Key, obj: JSON, state: JSON) -> None:
    if obj.get("status") != state:
        store.put(key, {**obj, "status": state})


def _remove(store: Store, key: Key, obj: JSON) -> None:
    store.remove(key, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def reconcile(store: Store, key: Key, obj: JSON) -> None:
    step = _RECONCILE.get(key)
    if step:
        step(store, obj)


def owners_changed(store: Store, change: Change) -> None:
    """A changed dependent makes its controller look again; a changed pod its services."""
    for owner in change.obj["metadata"].get("ownerReferences") or []:
        for key, resource in _RESOURCES.items():
            if resource.kind == owner["kind"] and key in _RECONCILE:
                live = store.get(key, change.obj["metadata"].get("namespace", ""), owner["name"])
                if live and not live["metadata"].get("deletionTimestamp"):
                    reconcile(store, key, live)
    if change.key == PODS:
        for service in store.all(SERVICES, change.obj["metadata"].get("namespace", "")):
            reconcile(store, SERVICES, service)


# -- pods ------------------------------------------------------------------------------------------------------------
def _new_pod(store: Store, key: Key, owner: JSON, name: str, extra: dict[str, str] | None = None) -> JSON:
    template = copy.deepcopy(owner["spec"]["template"])
    metadata = template.get("metadata") or {}
    metadata.pop("creationTimestamp", None)
    labels = {**(metadata.get("labels") or {}), **(extra or {})}
    pod = {"metadata": {**metadata, "name": name, "labels": labels, "ownerReferences": [_owner(key, owner)]},
           "spec": template.get("spec") or {}}  # fmt: skip
    if key != STATEFUL_SETS:
        pod["metadata"]["generateName"] = owner["metadata"]["name"] + "-"
    return add(store, PODS, owner["metadata"]["namespace"], pod)


def _scale_pods(store: Store, key: Key, owner: JSON) -> list[JSON]:
    wanted = owner["spec"].get("replicas", 1)
    found = _owned(store, PODS, owner)
    for pod in found[wanted:]:
        _remove(store, PODS, pod)
    for _ in range(wanted - len(found)):
        _new_pod(store, key, owner, f"{owner['metadata']['name']}-{store.suffix()}")
    return _owned(store, PODS, owner)


def _replica_set(store: Store, obj: JSON, key: Key = REPLICA_SETS) -> None:
    pods = _scale_pods(store, key, obj)
    ready = sum(1 for pod in pods if is_ready(pod))
    state = {"replicas": len(pods), "fullyLabeledReplicas": len(pods), "readyReplicas": ready,
             "availableReplicas": ready, "observedGeneration": obj["metadata"].get("generation", 1)}  # fmt: skip
    _set_status(store, key, obj, state)


def _replication_controller(store: Store, obj: JSON) -> None:
    _replica_set(store, obj, CONTROLLERS)


# -- deployments -------------------------------------------------------------------------------------------------------
def template_hash(template: JSON) -> str:
    text = json.dumps(template, sort_keys=True)
    return "".join("bcdfghjklmnpqrstvwxz2456789"[byte % 27] for byte in zlib.crc32(text.encode()).to_bytes(4)) + (
        f"{zlib.adler32(text.encode()) % 100000:05d}"
    )


def _deployment(store: Store, obj: JSON) -> None:
    digest = template_hash(obj["spec"]["template"])
    sets = _owned(store, REPLICA_SETS, obj)
    current = next((item for item in sets if (item["metadata"].get("labels") or {}).get(HASH) == digest), None)
    newest = max((_revision(item) for item in sets), default=0)
    if current is None:
        current, newest = _new_replica_set(store, obj, digest, newest + 1), newest + 1
    elif _revision(current) < newest:
        current, newest = _set_revision(store, current, newest + 1), newest + 1
    for item in sets:
        if item["metadata"]["name"] != current["metadata"]["name"]:
            _scale_set(store, item, 0)
    _scale_set(store, current, obj["spec"].get("replicas", 1))
    live = store.get(REPLICA_SETS, obj["metadata"]["namespace"], current["metadata"]["name"]) or current
    _deployment_status(store, obj, live, str(newest))


def _revision(item: JSON) -> int:
    return int((item["metadata"].get("annotations") or {}).get(REVISION, 0))


def _new_replica_set(store: Store, obj: JSON, digest: str, revision: int) -> JSON:
    template = copy.deepcopy(obj["spec"]["template"])
    labels = {**(template["metadata"].get("labels") or {}), HASH: digest}
    template["metadata"]["labels"] = labels
    selector = copy.deepcopy(obj["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: digest}
    annotations = {**(obj["metadata"].get("annotations") or {}), REVISION: str(revision)}
    annotations |= {"deployment.kubernetes.io/desired-replicas": str(obj["spec"].get("replicas", 1))}
    annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    metadata = {"name": f"{obj['metadata']['name']}-{digest}", "labels": labels, "annotations": annotations,
                "ownerReferences": [_owner(DEPLOYMENTS, obj)]}  # fmt: skip
    spec = {"replicas": obj["spec"].get("replicas", 1), "selector": selector, "template": template}
    return add(store, REPLICA_SETS, obj["metadata"]["namespace"], {"metadata": metadata, "spec": spec})


def _set_revision(store: Store, item: JSON, revision: int) -> JSON:
    changed = copy.deepcopy(item)
    changed["metadata"]["annotations"][REVISION] = str(revision)
    return store.put(REPLICA_SETS, changed)


def _scale_set(store: Store, item: JSON, replicas: int) -> None:
    live = store.get(REPLICA_SETS, item["metadata"]["namespace"], item["metadata"]["name"])
    if live and live["spec"]["replicas"] != replicas:
        changed = copy.deepcopy(live)
        changed["spec"]["replicas"] = replicas
        changed["metadata"]["generation"] = changed["metadata"].get("generation", 1) + 1
        store.put(REPLICA_SETS, changed)


def _deployment_status(store: Store, obj: JSON, current: JSON, revision: str) -> None:
    live = store.get(DEPLOYMENTS, obj["metadata"]["namespace"], obj["metadata"]["name"]) or obj
    ready = (current.get("status") or {}).get("readyReplicas", 0)
    total = sum((item.get("status") or {}).get("replicas", 0) for item in _owned(store, REPLICA_SETS, obj))
    wanted = obj["spec"].get("replicas", 1)
    done = ready >= wanted
    state: JSON = {"observedGeneration": live["metadata"].get("generation", 1), "replicas": total,
                   "updatedReplicas": (current.get("status") or {}).get("replicas", 0),
                   "readyReplicas": ready, "availableReplicas": ready}  # fmt: skip
    if not done:
        state["unavailableReplicas"] = wanted - ready
    state["conditions"] = [
        _condition(live, "Available", "True" if done else "False",
                   "MinimumReplicasAvailable" if done else "MinimumReplicasUnavailable",
                   "Deployment has minimum availability."),
        _condition(live, "Progressing", "True", "NewReplicaSetAvailable" if done else "ReplicaSetUpdated",
                   f'ReplicaSet "{current["metadata"]["name"]}" has successfully progressed.'),
    ]  # fmt: skip
    annotations = {**(live["metadata"].get("annotations") or {}), REVISION: revision}
    changed = {**live, "metadata": {**live["metadata"], "annotations": annotations}, "status": state}
    if changed != live:
        store.put(DEPLOYMENTS, changed)


def _condition(obj: JSON, kind: str, state: str, reason: str, message: str) -> JSON:
    stamp = obj["metadata"]["creationTimestamp"]
    return {"type": kind, "status": state, "lastUpdateTime": stamp, "lastTransitionTime": stamp, "reason": reason,
            "message": message}  # fmt: skip


# -- the others ---------------------------------------------------------------------------------------------------
def _stateful_set(store: Store, obj: JSON) -> None:
    digest = f"{obj['metadata']['name']}-{template_hash(obj['spec']['template'])}"
    wanted = [f"{obj['metadata']['name']}-{index}" for index in range(obj["spec"].get("replicas", 1))]
    labels = "controller-revision-hash"
    for pod in _owned(store, PODS, obj):
        if pod["metadata"]["name"] not in wanted or pod["metadata"]["labels"].get(labels) != digest:
            _remove(store, PODS, pod)
    have = {pod["metadata"]["name"] for pod in _owned(store, PODS, obj)}
    for index, name in enumerate(wanted):
        if name not in have:
            extra = {
                labels: digest,
                "statefulset.kubernetes.io/pod-name": name,
                "apps.kubernetes.io/pod-index": str(index),
            }
            _new_pod(store, STATEFUL_SETS, obj, name, extra)
    pods = _owned(store, PODS, obj)
    ready = sum(1 for pod in pods if is_ready(pod))
    count = len(pods)
    state = {"observedGeneration": obj["metadata"].get("generation", 1), "replicas": count, "readyReplicas": ready,
             "currentReplicas": count, "updatedReplicas": count, "availableReplicas": ready, "currentRevision": digest,
             "updateRevision": digest, "collisionCount": 0}  # fmt: skip
    _set_status(store, STATEFUL_SETS, obj, state)


def _daemon_set(store: Store, obj: JSON) -> None:
    nodes = [node["metadata"]["name"] for node in store.all(("", "nodes"))]
    digest = template_hash(obj["spec"]["template"])
    labels = "controller-revision-hash"
    for pod in _owned(store, PODS, obj):
        if pod["metadata"]["labels"].get(labels) != digest:
            _remove(store, PODS, pod)
    placed = {pod["spec"].get("nodeName") for pod in _owned(store, PODS, obj)}
    for node in nodes:
        if node not in placed:
            source = copy.deepcopy(obj)
            source["spec"]["template"]["spec"]["nodeName"] = node
            _new_pod(store, DAEMON_SETS, source, f"{obj['metadata']['name']}-{store.suffix()}", {labels: digest})
    ready = sum(1 for pod in _owned(store, PODS, obj) if is_ready(pod))
    count = len(nodes)
    state = {"currentNumberScheduled": count, "numberMisscheduled": 0, "desiredNumberScheduled": count,
             "numberReady": ready, "observedGeneration": obj["metadata"].get("generation", 1),
             "updatedNumberScheduled": count, "numberAvailable": ready}  # fmt: skip
    _set_status(store, DAEMON_SETS, obj, state)


def _job(store: Store, obj: JSON) -> None:
    if obj["spec"].get("suspend") or (obj.get("status") or {}).get("completionTime"):
        return
    wanted = obj["spec"].get("completions") or 1
    pods = _owned(store, PODS, obj)
    for _ in range(wanted - len(pods)):
        _new_pod(store, JOBS, obj, f"{obj['metadata']['name']}-{store.suffix()}")
    done = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Succeeded"]
    start = obj["metadata"]["creationTimestamp"]
    state: JSON = {"startTime": start, "succeeded": len(done), "ready": 0, "active": wanted - len(done)}
    if len(done) >= wanted:
        del state["active"]
        stamp = store.now()
        condition = {"type": "Complete", "status": "True", "lastProbeTime": stamp, "lastTransitionTime": stamp,
                     "reason": "CompletionsReached", "message": "reached expected number of pods"}  # fmt: skip
        state |= {"completionTime": stamp, "conditions": [condition]}
    _set_status(store, JOBS, obj, state)


def _service(store: Store, obj: JSON) -> None:
    """Endpoints of the ready pods that the selector matches."""
    selector = obj["spec"].get("selector")
    if not selector:
        return
    namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
    match = selectors.selector_match({"matchLabels": selector})
    addresses = [
        {"ip": pod["status"]["podIP"], "nodeName": pod["spec"].get("nodeName", ""),
         "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod["metadata"]["name"],
                       "uid": pod["metadata"]["uid"]}}
        for pod in store.all(PODS, namespace) if match(pod) and is_ready(pod)
    ]  # fmt: skip
    ports = [{"name": port.get("name", ""), "port": port["targetPort"] if isinstance(port["targetPort"], int)
              else port["port"], "protocol": port["protocol"]} for port in obj["spec"].get("ports") or []]  # fmt: skip
    subsets = [{"addresses": addresses, "ports": ports}] if addresses else []
    live = store.get(("", "endpoints"), namespace, name)
    if live is None:
        body = {"metadata": {"name": name, "ownerReferences": [_owner(SERVICES, obj)]}, "subsets": subsets}
        add(store, ("", "endpoints"), namespace, body)
    elif live.get("subsets") != subsets:
        store.put(("", "endpoints"), {**live, "subsets": subsets})


_RECONCILE = {
    DEPLOYMENTS: _deployment,
    REPLICA_SETS: _replica_set,
    CONTROLLERS: _replication_controller,
    STATEFUL_SETS: _stateful_set,
    DAEMON_SETS: _daemon_set,
    JOBS: _job,
    SERVICES: _service,
}
