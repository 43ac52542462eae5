"""`as=Table` answers: the columns of each kind, and the cells of each object (kubernetes pkg/printers/internalversion).

Pure. `now` is seconds since the epoch, for ages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from pratique.sandbox.resources import Resource

JSON = dict[str, Any]
Cells = Callable[[JSON, float], list[Any]]
Column = tuple[str, str, int]  # name, type, priority

NONE = "<none>"
UNSET = "<unset>"


def human_duration(seconds: float) -> str:
    """apimachinery pkg/util/duration `HumanDuration`."""
    seconds = int(seconds)
    if seconds < -1:
        return "<invalid>"
    if seconds < 120:
        return f"{max(seconds, 0)}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    years = days // 365
    if years < 8:
        return f"{years}y{days % 365}d" if days % 365 else f"{years}y"
    return f"{years}y"


def age(stamp: str | None, now: float) -> str:
    if not stamp:
        return "<unknown>"
    return human_duration(now - datetime.fromisoformat(stamp).timestamp())


def _age(obj: JSON, now: float) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _name(obj: JSON) -> str:
    return str(obj["metadata"]["name"])


def _spec(obj: JSON) -> JSON:
    return obj.get("spec") or {}


def _status(obj: JSON) -> JSON:
    return obj.get("status") or {}


def _template(obj: JSON) -> list[str]:
    containers = ((_spec(obj).get("template") or {}).get("spec") or {}).get("containers") or []
    names = ",".join(item["name"] for item in containers)
    return [names, ",".join(item.get("image", "") for item in containers), _selector(_spec(obj).get("selector"))]


def _selector(selector: JSON | None) -> str:
    labels = (selector or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE


def _pod(pod: JSON, now: float) -> list[Any]:
    containers = _spec(pod).get("containers") or []
    states = _status(pod).get("containerStatuses") or []
    ready = sum(1 for item in states if item.get("ready"))
    restarts = sum(item.get("restartCount", 0) for item in states)
    phase = _status(pod).get("reason") or _status(pod).get("phase", "Unknown")
    for item in states:
        state = item.get("state") or {}
        for kind in ("waiting", "terminated"):
            phase = (state.get(kind) or {}).get("reason", phase)
    if pod["metadata"].get("deletionTimestamp"):
        phase = "Terminating"
    where = [_status(pod).get("podIP", NONE), _spec(pod).get("nodeName", NONE), NONE, NONE]
    return [_name(pod), f"{ready}/{len(containers)}", phase, str(restarts), _age(pod, now), *where]


def _deployment(obj: JSON, now: float) -> list[Any]:
    state = _status(obj)
    ready = f"{state.get('readyReplicas', 0)}/{_spec(obj).get('replicas', 0)}"
    counts = [state.get("updatedReplicas", 0), state.get("availableReplicas", 0)]
    return [_name(obj), ready, *counts, _age(obj, now), *_template(obj)]


def _replicas(obj: JSON, now: float) -> list[Any]:
    state = _status(obj)
    counts = [_spec(obj).get("replicas", 0), state.get("replicas", 0), state.get("readyReplicas", 0)]
    return [_name(obj), *counts, _age(obj, now), *_template(obj)]


def _stateful_set(obj: JSON, now: float) -> list[Any]:
    ready = f"{_status(obj).get('readyReplicas', 0)}/{_spec(obj).get('replicas', 0)}"
    return [_name(obj), ready, _age(obj, now), *_template(obj)[:2]]


def _daemon_set(obj: JSON, now: float) -> list[Any]:
    names = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    counts = [_status(obj).get(name, 0) for name in names]
    nodes = (_spec(obj).get("template", {}).get("spec") or {}).get("nodeSelector") or {}
    shown = ",".join(f"{key}={value}" for key, value in nodes.items()) or NONE
    return [_name(obj), *counts, shown, _age(obj, now), *_template(obj)]


def _job(obj: JSON, now: float) -> list[Any]:
    state = _status(obj)
    done = any(item["type"] == "Complete" and item["status"] == "True" for item in state.get("conditions") or [])
    phase = "Suspended" if _spec(obj).get("suspend") else "Complete" if done else "Running"
    counts = f"{state.get('succeeded', 0)}/{_spec(obj).get('completions', 1)}"
    return [_name(obj), phase, counts, age(state.get("startTime"), now), _age(obj, now), *_template(obj)]


def _cron_job(obj: JSON, now: float) -> list[Any]:
    spec, last = _spec(obj), _status(obj).get("lastScheduleTime")
    active = len(_status(obj).get("active") or [])
    inner = _template(spec.get("jobTemplate") or {})
    return [_name(obj), spec.get("schedule", ""), spec.get("timeZone", NONE), str(bool(spec.get("suspend"))), active,
            age(last, now) if last else NONE, _age(obj, now), *inner]  # fmt: skip


def _ports(spec: JSON) -> str:
    shown = []
    for port in spec.get("ports") or []:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port['port']}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(shown) or NONE


def _service(obj: JSON, now: float) -> list[Any]:
    spec = _spec(obj)
    external = spec.get("externalName") or ",".join(spec.get("externalIPs") or []) or NONE
    selector = ",".join(f"{key}={value}" for key, value in sorted((spec.get("selector") or {}).items())) or NONE
    return [
        _name(obj),
        spec.get("type", ""),
        spec.get("clusterIP", NONE),
        external,
        _ports(spec),
        _age(obj, now),
        selector,
    ]


def _data(obj: JSON, now: float) -> list[Any]:
    return [_name(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), _age(obj, now)]


def _secret(obj: JSON, now: float) -> list[Any]:
    return [_name(obj), obj.get("type", ""), len(obj.get("data") or {}), _age(obj, now)]


def _namespace(obj: JSON, now: float) -> list[Any]:
    return [_name(obj), _status(obj).get("phase", ""), _age(obj, now)]


def _node(obj: JSON, now: float) -> list[Any]:
    conditions = {item["type"]: item["status"] for item in _status(obj).get("conditions") or []}
    ready = "Ready" if conditions.get("Ready") == "True" else "NotReady"
    ready += ",SchedulingDisabled" if _spec(obj).get("unschedulable") else ""
    prefix = "node-role.kubernetes.io/"
    labels = obj["metadata"].get("labels") or {}
    roles = ",".join(key.removeprefix(prefix) for key in labels if key.startswith(prefix)) or NONE
    info = _status(obj).get("nodeInfo") or {}
    addresses = {item["type"]: item["address"] for item in _status(obj).get("addresses") or []}
    return [_name(obj), ready, roles, _age(obj, now), info.get("kubeletVersion", ""), addresses.get("InternalIP", NONE),
            addresses.get("ExternalIP", NONE), info.get("osImage", ""), info.get("kernelVersion", ""),
            info.get("containerRuntimeVersion", "")]  # fmt: skip


def _event(obj: JSON, now: float) -> list[Any]:
    about = obj.get("involvedObject") or {}
    seen = age(obj.get("lastTimestamp") or obj.get("eventTime") or obj["metadata"].get("creationTimestamp"), now)
    target = f"{about.get('kind', '').lower()}/{about.get('name', '')}"
    source = (obj.get("source") or {}).get("component", "")
    first = age(obj.get("firstTimestamp") or obj["metadata"].get("creationTimestamp"), now)
    return [seen, obj.get("type", ""), obj.get("reason", ""), target, about.get("fieldPath", ""), source,
            obj.get("message", ""), first, obj.get("count", 1), _name(obj)]  # fmt: skip


def _ingress(obj: JSON, now: float) -> list[Any]:
    hosts = ",".join(rule.get("host", "*") for rule in _spec(obj).get("rules") or []) or "*"
    ports = "80, 443" if _spec(obj).get("tls") else "80"
    return [_name(obj), _spec(obj).get("ingressClassName", NONE), hosts, "", ports, _age(obj, now)]


def _claim(obj: JSON, now: float) -> list[Any]:
    spec, state = _spec(obj), _status(obj)
    size = (state.get("capacity") or {}).get("storage", "")
    modes = ",".join(
        {"ReadWriteOnce": "RWO", "ReadWriteMany": "RWX"}.get(item, item) for item in spec.get("accessModes") or []
    )
    volume, storage = spec.get("volumeName", ""), spec.get("storageClassName", "")
    return [_name(obj), state.get("phase", ""), volume, size, modes, storage,
            UNSET, _age(obj, now), spec.get("volumeMode", "")]  # fmt: skip


def _role(obj: JSON, _now: float) -> list[Any]:
    return [_name(obj), obj["metadata"].get("creationTimestamp", "")]


def _role_binding(obj: JSON, now: float) -> list[Any]:
    reference = obj.get("roleRef") or {}
    subjects = [_subjects(obj, kind) for kind in ("User", "Group", "ServiceAccount")]
    return [_name(obj), f"{reference.get('kind')}/{reference.get('name')}", _age(obj, now), *subjects]


def _subjects(obj: JSON, kind: str) -> str:
    found = [item for item in obj.get("subjects") or [] if item["kind"] == kind]
    spaced = kind == "ServiceAccount"
    return ", ".join(f"{item.get('namespace')}/{item['name']}" if spaced else item["name"] for item in found)


def _lease(obj: JSON, now: float) -> list[Any]:
    return [_name(obj), _spec(obj).get("holderIdentity", ""), _age(obj, now)]


def _autoscaler(obj: JSON, now: float) -> list[Any]:
    spec, target = _spec(obj), _spec(obj).get("scaleTargetRef") or {}
    return [_name(obj), f"{target.get('kind')}/{target.get('name')}", "<unknown>", str(spec.get("minReplicas", UNSET)),
            spec.get("maxReplicas", 0), _status(obj).get("currentReplicas", 0), _age(obj, now)]  # fmt: skip


def _budget(obj: JSON, now: float) -> list[Any]:
    spec = _spec(obj)
    limits = [str(spec.get(name, "N/A")) for name in ("minAvailable", "maxUnavailable")]
    return [_name(obj), *limits, _status(obj).get("disruptionsAllowed", 0), _age(obj, now)]


def _network_policy(obj: JSON, now: float) -> list[Any]:
    return [_name(obj), _selector(_spec(obj).get("podSelector")), _age(obj, now)]


def _definition(obj: JSON, _now: float) -> list[Any]:
    return [_name(obj), obj["metadata"].get("creationTimestamp", "")]


def _plain(obj: JSON, now: float) -> list[Any]:
    return [_name(obj), _age(obj, now)]


def _columns(text: str) -> list[Column]:
    """`Name Ready:int Node*`: `:int` is an integer column, `*` one that only `-o wide` shows; `_` is a space."""
    found: list[Column] = []
    for word in text.split():
        name, _, kind = word.rstrip("*").partition(":")
        found.append((name.replace("_", " "), "integer" if kind else "string", 1 if word.endswith("*") else 0))
    return found


_IMAGES = "Containers* Images* Selector*"
_TABLES: dict[tuple[str, str], tuple[list[Column], Cells]] = {
    ("", "pods"): (_columns("Name Ready Status Restarts Age IP* Node* Nominated_Node* Readiness_Gates*"), _pod),
    ("", "services"): (_columns("Name Type Cluster-IP External-IP Port(s) Age Selector*"), _service),
    ("", "configmaps"): (_columns("Name Data:int Age"), _data),
    ("", "secrets"): (_columns("Name Type Data:int Age"), _secret),
    ("", "namespaces"): (_columns("Name Status Age"), _namespace),
    ("", "nodes"): (_columns("Name Status Roles Age Version Internal-IP* External-IP* OS-Image* Kernel-Version* "
                             "Container-Runtime*"), _node),
    ("", "events"): (_columns("Last_Seen Type Reason Object Subobject* Source* Message First_Seen* Count:int* Name*"),
                     _event),
    ("", "persistentvolumeclaims"): (_columns("Name Status Volume Capacity Access_Modes StorageClass "
                                              "VolumeAttributesClass Age VolumeMode*"), _claim),
    ("", "replicationcontrollers"): (_columns(f"Name Desired:int Current:int Ready:int Age {_IMAGES}"), _replicas),
    ("apps", "deployments"): (_columns(f"Name Ready Up-to-date:int Available:int Age {_IMAGES}"), _deployment),
    ("apps", "replicasets"): (_columns(f"Name Desired:int Current:int Ready:int Age {_IMAGES}"), _replicas),
    ("apps", "statefulsets"): (_columns("Name Ready Age Containers* Images*"), _stateful_set),
    ("apps", "daemonsets"): (_columns(f"Name Desired:int Current:int Ready:int Up-to-date:int Available:int "
                                      f"Node_Selector Age {_IMAGES}"), _daemon_set),
    ("batch", "jobs"): (_columns(f"Name Status Completions Duration Age {_IMAGES}"), _job),
    ("batch", "cronjobs"): (_columns(f"Name Schedule Timezone Suspend Active:int Last_Schedule Age {_IMAGES}"),
                            _cron_job),
    ("networking.k8s.io", "ingresses"): (_columns("Name Class Hosts Address Ports Age"), _ingress),
    ("networking.k8s.io", "networkpolicies"): (_columns("Name Pod-Selector Age"), _network_policy),
    ("policy", "poddisruptionbudgets"): (_columns("Name Min_Available Max_Unavailable Allowed_Disruptions:int Age"),
                                         _budget),
    ("autoscaling", "horizontalpodautoscalers"): (_columns("Name Reference Targets MinPods MaxPods:int Replicas:int "
                                                           "Age"), _autoscaler),
    ("rbac.authorization.k8s.io", "roles"): (_columns("Name Created_At"), _role),
    ("rbac.authorization.k8s.io", "clusterroles"): (_columns("Name Created_At"), _role),
    ("rbac.authorization.k8s.io", "rolebindings"): (_columns("Name Role Age Users* Groups* ServiceAccounts*"),
                                                    _role_binding),
    ("rbac.authorization.k8s.io", "clusterrolebindings"): (_columns("Name Role Age Users* Groups* ServiceAccounts*"),
                                                           _role_binding),
    ("coordination.k8s.io", "leases"): (_columns("Name Holder Age"), _lease),
    ("apiextensions.k8s.io", "customresourcedefinitions"): (_columns("Name Created_At"), _definition),
}  # fmt: skip


def table(resource: Resource, objects: Iterable[JSON], now: float, *, include: str = "Metadata",
          metadata: JSON | None = None, headed: bool = True, version: str = "v1") -> JSON:  # fmt: skip
    """A Table; `include` is Metadata, Object or None; `headed` says whether it carries the column definitions."""
    columns, cells = _layout(resource)
    rows = [_row(obj, cells(obj, now), include, version) for obj in objects]
    definitions = [_definition_of(column) for column in columns] if headed else None
    return {"kind": "Table", "apiVersion": f"meta.k8s.io/{version}", "metadata": metadata or {},
            "columnDefinitions": definitions, "rows": rows}  # fmt: skip


def _layout(resource: Resource) -> tuple[list[Column], Cells]:
    if resource.custom and resource.columns:
        return _custom_layout(resource)
    return _TABLES.get(resource.key, (_columns("Name Age"), _plain))


def _definition_of(column: Column) -> JSON:
    name, kind, priority = column
    shown = "name" if name == "Name" and priority == 0 else ""
    return {"name": name, "type": kind, "format": shown, "description": name, "priority": priority}


def _row(obj: JSON, cells: list[Any], include: str, version: str) -> JSON:
    row: JSON = {"cells": cells}
    if include == "Object":
        row["object"] = obj
    elif include == "Metadata":
        row["object"] = partial(obj, version)
    return row


def partial(obj: JSON, version: str = "v1") -> JSON:
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


def _custom_layout(resource: Resource) -> tuple[list[Column], Cells]:
    columns: list[Column] = [("Name", "string", 0)]
    columns += [(item["name"], item.get("type", "string"), item.get("priority", 0)) for item in resource.columns]

    def cells(obj: JSON, now: float) -> list[Any]:
        return [_name(obj), *(_custom_cell(obj, item, now) for item in resource.columns)]

    return columns, cells


def _custom_cell(obj: JSON, column: JSON, now: float) -> Any:
    node: Any = obj
    for step in column["jsonPath"].lstrip(".").split("."):
        node = node.get(step) if isinstance(node, dict) else None
    if column.get("type") == "date":
        return age(node, now) if node else NONE
    return node
