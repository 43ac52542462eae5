"""What a kubelet would do to a pod: schedule it, run it, end it; all at once.

Pure but for the store.
"""

from __future__ import annotations

import copy
import zlib
from typing import Any

from pratique.sandbox.store import Store

JSON = dict[str, Any]
PODS = ("", "pods")


def settle(store: Store, pod: JSON) -> None:
    """Make a new pod Running and Ready, or Succeeded when it belongs to a Job."""
    if (pod.get("status") or {}).get("startTime"):
        return
    running = copy.deepcopy(pod)
    running["spec"].setdefault("nodeName", _node(store, pod))
    finished = any(owner["kind"] == "Job" for owner in pod["metadata"].get("ownerReferences") or [])
    running["status"] = _status(store, running, finished=finished)
    store.put(PODS, running)


def _node(store: Store, pod: JSON) -> str:
    names = [node["metadata"]["name"] for node in store.all(("", "nodes"))
             if not (node.get("spec") or {}).get("unschedulable")]  # fmt: skip
    return str(names[zlib.crc32(pod["metadata"]["name"].encode()) % len(names)]) if names else "sandbox"


def _status(store: Store, pod: JSON, *, finished: bool) -> JSON:
    now = store.now()
    digest = zlib.crc32(pod["metadata"]["uid"].encode())
    address = f"10.42.{digest >> 8 & 255}.{digest & 255}"
    ready = "False" if finished else "True"
    kinds = (("PodReadyToStartContainers", "True"), ("Initialized", "True"), ("Ready", ready),
             ("ContainersReady", ready), ("PodScheduled", "True"))  # fmt: skip
    containers = pod["spec"].get("containers") or []
    return {
        "phase": "Succeeded" if finished else "Running",
        "conditions": [{"type": kind, "status": state, "lastProbeTime": None, "lastTransitionTime": now}
                       for kind, state in kinds],
        "hostIP": "192.168.40.10",
        "hostIPs": [{"ip": "192.168.40.10"}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now,
        "containerStatuses": [_container(item, pod["metadata"]["uid"], now, finished=finished) for item in containers],
        "qosClass": "BestEffort",
    }  # fmt: skip


def _container(container: JSON, uid: str, now: str, *, finished: bool) -> JSON:
    digest = f"{zlib.crc32((uid + container['name']).encode()):08x}" * 8
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
    return {
        "name": container["name"],
        "state": {"terminated": ended} if finished else {"running": {"startedAt": now}},
        "lastState": {},
        "ready": not finished,
        "restartCount": 0,
        "image": container.get("image", ""),
        "imageID": f"sandbox.invalid/{container['name']}@sha256:{digest}",
        "containerID": f"containerd://{digest}",
        "started": not finished,
    }


def is_ready(pod: JSON) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
