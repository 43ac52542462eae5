"""Bodies of the size and shape that API servers answer, generated: deterministic, every value is made up."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

JSON = dict[str, Any]


def pod(number: int, *, secret: bool) -> JSON:
    """About 5.6 KB, as pods of a Deployment with one sidecar are. `secret`: an environment variable holds a literal."""
    name, uid = f"api-7d9f8b6c5d-{number:05x}", f"0b7c6f4e-8d1a-4a53-9a1d-{number:012x}"
    env = [{"name": f"SETTING_{index}", "value": f"value-{index}"} for index in range(8)]
    env.append({"name": "DB_USER", "valueFrom": {"secretKeyRef": {"name": "db", "key": "user"}}})
    if secret:
        env.append({"name": "DB_PASSWORD", "value": f"not-real-{number}"})
    mount = {"name": "kube-api-access", "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    containers = [
        {
            "name": container,
            "image": f"111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop/{container}:1.27.{number % 7}",
            "args": ["--listen=:8080", "--log-level=info", f"--shard={number % 16}"],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "env": env if container == "api" else env[:2],
            "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
            "volumeMounts": [mount],
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "imagePullPolicy": "IfNotPresent",
        }
        for container in ("api", "proxy")
    ]
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    fields = {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:containers": {'k:{"name":"api"}': {}}}}
    status = {
        "phase": "Running",
        "conditions": [
            {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-01-02T03:04:05Z"}
            for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
        ],
        "hostIP": "10.0.1.2",
        "podIP": f"10.42.{number % 250}.{number % 251}",
        "podIPs": [{"ip": f"10.42.{number % 250}.{number % 251}"}],
        "startTime": "2026-01-02T03:04:05Z",
        "containerStatuses": [
            {
                "name": item["name"],
                "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}},
                "lastState": {},
                "ready": True,
                "restartCount": 0,
                "image": item["image"],
                "imageID": f"sandbox.invalid/{item['name']}@sha256:{number:064x}",
                "containerID": f"containerd://{number:064x}",
                "started": True,
            }
            for item in containers
        ],
        "qosClass": "Burstable",
    }
    metadata = {
        "name": name,
        "generateName": "api-7d9f8b6c5d-",
        "namespace": "shop",
        "uid": uid,
        "resourceVersion": str(100_000 + number),
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": {"app": "api", "pod-template-hash": "7d9f8b6c5d"},
        "annotations": {"kubernetes.io/config.seen": "2026-01-02T03:04:05.000000000Z"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "api-7d9f8b6c5d", "uid": uid}],
        "managedFields": [
            {
                "manager": manager,
                "operation": "Update",
                "apiVersion": "v1",
                "fieldsType": "FieldsV1",
                "fieldsV1": fields,
            }
            for manager in ("kube-controller-manager", "kubelet")
        ],
    }
    volume = {"name": "kube-api-access", "projected": {"sources": sources, "defaultMode": 420}}
    spec = {
        "volumes": [volume],
        "containers": containers,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "nodeName": f"ip-10-0-1-{number % 200}.eu-west-1.compute.internal",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "tolerations": [
            {
                "key": "node.kubernetes.io/not-ready",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            }
        ],
        "enableServiceLinks": True,
    }
    return {"metadata": metadata, "spec": spec, "status": status}


def secret(number: int) -> JSON:
    """About 7.6 KB: most of it are values, as in a cluster with certificates and Helm releases."""
    randomness = random.Random(number)
    values = {f"key-{index}": randomness.randbytes(24 << index) for index in range(8)}
    data = {name: base64.b64encode(value).decode() for name, value in values.items()}
    metadata = {
        "name": f"secret-{number}",
        "namespace": "shop",
        "uid": f"1b7c6f4e-8d1a-4a53-9a1d-{number:012x}",
        "resourceVersion": str(100_000 + number),
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "managedFields": [
            {"manager": "kubectl", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:key-0": {}}}}
        ],
    }
    return {"metadata": metadata, "data": data, "type": "Opaque"}


def custom(number: int, *, secret: bool) -> JSON:
    """A HelmRelease-like custom resource of about 2 KB."""
    values: JSON = {
        "replicas": number % 5,
        "image": {"repository": "shop/api", "tag": "1.27.3", "pullPolicy": "IfNotPresent"},
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m"}},
        "ingress": {"enabled": True, "hosts": [f"api-{number}.example.com"], "path": "/"},
        "settings": {f"setting{index}": f"value {index}" for index in range(24)},
    }
    if secret:
        values["postgres"] = {"user": "shop", "password": f"not-real-{number}", "port": 5432}
    metadata = {
        "name": f"release-{number}",
        "namespace": "shop",
        "uid": f"2b7c6f4e-8d1a-4a53-9a1d-{number:012x}",
        "resourceVersion": str(100_000 + number),
        "labels": {"app": "api"},
    }
    conditions = [
        {"type": "Ready", "status": "True", "reason": "Succeeded", "message": f"release {number} is installed"}
    ]
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": metadata,
        "spec": {"interval": "5m", "chart": {"spec": {"chart": "api", "version": "1.2.3"}}, "values": values},
        "status": {"conditions": conditions, "observedGeneration": 3},
    }


def listed(kind: str, api_version: str, items: Iterator[JSON], size: int) -> bytes:
    """A list of at least `size` bytes, as the API server writes it (no spaces, a line end)."""
    texts, total = [], 0
    for item in items:
        texts.append(json.dumps(item, separators=(",", ":")))
        total += len(texts[-1])
        if total >= size:
            break
    head = {"kind": kind, "apiVersion": api_version, "metadata": {"resourceVersion": "200000"}}
    start = json.dumps(head, separators=(",", ":"))[:-1]
    return f'{start},"items":[{",".join(texts)}]}}\n'.encode()


def _forever(make: Callable[[int], JSON]) -> Iterator[JSON]:
    number = 0
    while True:
        yield make(number)
        number += 1


PODS = "/api/v1/namespaces/shop/pods"
SECRETS = "/api/v1/namespaces/shop/secrets"
RELEASES = "/apis/helm.toolkit.fluxcd.io/v2/namespaces/shop/helmreleases"

# name → (URL path, body of a size); "few": one item of 20 holds a value, "every": each of them.
LISTS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "PodList, few": (
        PODS,
        lambda size: listed("PodList", "v1", _forever(lambda n: pod(n, secret=n % 20 == 0)), size),
    ),
    "PodList, every": (PODS, lambda size: listed("PodList", "v1", _forever(lambda n: pod(n, secret=True)), size)),
    "SecretList, every": (SECRETS, lambda size: listed("SecretList", "v1", _forever(secret), size)),
    "HelmReleaseList, few": (
        RELEASES,
        lambda size: listed(
            "HelmReleaseList",
            "helm.toolkit.fluxcd.io/v2",
            _forever(lambda n: custom(n, secret=n % 20 == 0)),
            size,
        ),
    ),
    "HelmReleaseList, every": (
        RELEASES,
        lambda size: listed(
            "HelmReleaseList", "helm.toolkit.fluxcd.io/v2", _forever(lambda n: custom(n, secret=True)), size
        ),
    ),
}


def log(size: int) -> bytes:
    """A log of `size` bytes; one line of 200 holds something that a pattern finds."""
    lines = []
    for number in range(200):
        if number == 99:
            lines.append(f"level=debug msg=login password=not-real-{number} user=shop")
        else:
            lines.append(
                f'2026-01-02T03:04:05.{number:06d}Z level=info component=api msg="request served" '
                f"path=/api/v1/orders/{1000 + number} status=200 ms={7 + number % 13} trace={number:032x}"
            )
    block = ("\n".join(lines) + "\n").encode()
    return block * (size // len(block) + 1)
