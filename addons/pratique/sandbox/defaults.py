"""What the API server fills in: defaults per kind (k8s.io/kubernetes pkg/apis/*/v1/defaults.go 1.34, the common part).

Pure. Each function changes the object that it is given.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

from pratique.sandbox.resources import Resource

JSON = dict[str, Any]


def apply_defaults(resource: Resource, obj: JSON) -> None:
    """Fill in `obj` in place, as stored."""
    obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
    setter = _DEFAULTS.get(resource.key)
    if setter:
        setter(obj)


def _fill(target: JSON, **values: Any) -> None:
    for name, value in values.items():
        if target.get(name) is None:
            target[name] = value


def _pod_spec(spec: JSON) -> None:
    _fill(spec, restartPolicy="Always", dnsPolicy="ClusterFirst", schedulerName="default-scheduler",
          terminationGracePeriodSeconds=30, securityContext={})  # fmt: skip
    for container in [*spec.get("containers", []), *(spec.get("initContainers") or [])]:
        _container(container)
    for volume in spec.get("volumes") or []:
        for source in ("secret", "configMap"):
            if source in volume:
                _fill(volume[source], defaultMode=420)


def _container(container: JSON) -> None:
    image = container.get("image", "")
    latest = ":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest")
    _fill(container, resources={}, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File",
          imagePullPolicy="Always" if latest else "IfNotPresent")  # fmt: skip
    for port in container.get("ports") or []:
        _fill(port, protocol="TCP")


def _pod(pod: JSON) -> None:
    spec = pod.setdefault("spec", {})
    _pod_spec(spec)
    _fill(spec, serviceAccountName="default", serviceAccount="default", enableServiceLinks=True)
    _fill(pod, status={"phase": "Pending", "qosClass": "BestEffort"})


def _template(obj: JSON) -> None:
    template = obj["spec"].setdefault("template", {})
    template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    _pod_spec(template.setdefault("spec", {}))


def _deployment(obj: JSON) -> None:
    _template(obj)
    _fill(obj["spec"], replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600,
          strategy={"type": "RollingUpdate"})  # fmt: skip
    strategy = obj["spec"]["strategy"]
    _fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy["rollingUpdate"] = {
            "maxUnavailable": "25%",
            "maxSurge": "25%",
            **(strategy.get("rollingUpdate") or {}),
        }
    _fill(obj, status={})


def _replica_set(obj: JSON) -> None:
    _template(obj)
    _fill(obj["spec"], replicas=1)
    _fill(obj, status={"replicas": 0})


def _stateful_set(obj: JSON) -> None:
    _template(obj)
    _fill(obj["spec"], replicas=1, podManagementPolicy="OrderedReady", revisionHistoryLimit=10,
          updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})  # fmt: skip
    _fill(obj, status={"replicas": 0, "availableReplicas": 0})


def _daemon_set(obj: JSON) -> None:
    _template(obj)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    _fill(obj["spec"], revisionHistoryLimit=10, updateStrategy=strategy)
    _fill(obj, status={"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0,
                       "numberReady": 0})  # fmt: skip


def _job(obj: JSON) -> None:
    _template(obj)
    _fill(obj["spec"], parallelism=1, completions=1, backoffLimit=6, completionMode="NonIndexed", suspend=False)
    uid = obj["metadata"].get("uid", "")
    labels = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": obj["metadata"].get("name", ""),
    }
    if uid and "selector" not in obj["spec"]:
        obj["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        template_labels = obj["spec"]["template"]["metadata"].setdefault("labels", {}) or {}
        obj["spec"]["template"]["metadata"]["labels"] = {**template_labels, **labels}
    _fill(obj, status={})


def _cron_job(obj: JSON) -> None:
    _pod_spec(obj["spec"]["jobTemplate"]["spec"]["template"].setdefault("spec", {}))
    _fill(obj["spec"], concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    _fill(obj, status={})


def _service(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
    if spec["type"] != "ExternalName":
        name = f"{obj['metadata'].get('namespace')}/{obj['metadata'].get('name')}"
        digest = zlib.crc32(name.encode())
        _fill(spec, clusterIP=f"10.100.{digest >> 8 & 255}.{digest & 255}", ipFamilies=["IPv4"],
              ipFamilyPolicy="SingleStack")  # fmt: skip
        _fill(spec, clusterIPs=[spec["clusterIP"]])
    for index, port in enumerate(spec.get("ports") or []):
        _fill(port, protocol="TCP", targetPort=port.get("port"))
        if spec["type"] in {"NodePort", "LoadBalancer"}:
            _fill(port, nodePort=30000 + (zlib.crc32(obj["metadata"].get("name", "").encode()) + index) % 2768)
    _fill(obj, status={"loadBalancer": {}})


def _secret(obj: JSON) -> None:
    _fill(obj, type="Opaque")
    plain = obj.pop("stringData", None) or {}
    encoded = {name: base64.b64encode(str(value).encode()).decode() for name, value in plain.items()}
    if encoded:
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def _namespace(obj: JSON) -> None:
    labels = obj["metadata"].get("labels") or {}
    obj["metadata"]["labels"] = {**labels, "kubernetes.io/metadata.name": obj["metadata"].get("name", "")}
    spec = obj.get("spec") or {}
    obj["spec"] = {**spec, "finalizers": spec.get("finalizers", ["kubernetes"])}
    _fill(obj, status={"phase": "Active"})


def _volume_claim(obj: JSON) -> None:
    _fill(obj["spec"], volumeMode="Filesystem", storageClassName="gp3")
    _fill(obj, status={"phase": "Pending"})


def _volume(obj: JSON) -> None:
    _fill(obj["spec"], volumeMode="Filesystem", persistentVolumeReclaimPolicy="Retain")
    _fill(obj, status={"phase": "Available"})


def _binding(obj: JSON) -> None:
    _fill(obj["roleRef"], apiGroup="rbac.authorization.k8s.io")
    for subject in obj.get("subjects") or []:
        if subject.get("kind") in {"User", "Group"}:
            _fill(subject, apiGroup="rbac.authorization.k8s.io")


def _definition(obj: JSON) -> None:
    spec = obj["spec"]
    names = spec["names"]
    _fill(names, singular=names["kind"].lower(), listKind=names["kind"] + "List")
    _fill(spec, conversion={"strategy": "None"})
    _fill(obj, status={"conditions": [], "acceptedNames": names, "storedVersions": []})


_DEFAULTS = {
    ("", "pods"): _pod,
    ("", "services"): _service,
    ("", "secrets"): _secret,
    ("", "namespaces"): _namespace,
    ("", "persistentvolumeclaims"): _volume_claim,
    ("", "persistentvolumes"): _volume,
    ("apps", "deployments"): _deployment,
    ("apps", "replicasets"): _replica_set,
    ("apps", "statefulsets"): _stateful_set,
    ("apps", "daemonsets"): _daemon_set,
    ("batch", "jobs"): _job,
    ("batch", "cronjobs"): _cron_job,
    ("rbac.authorization.k8s.io", "rolebindings"): _binding,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): _binding,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _definition,
}
