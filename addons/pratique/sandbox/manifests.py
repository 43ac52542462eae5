"""The manifests of the seed: data only, all values fake. `metadata.x-applied` asks for a last-applied annotation."""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]
_APPLIED: JSON = {"x-applied": True}


def _meta(name: str, namespace: str = "", **more: Any) -> JSON:
    return {"name": name, **({"namespace": namespace} if namespace else {}), **more}


def _obj(api_version: str, kind: str, metadata: JSON, **rest: Any) -> JSON:
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def _namespace(name: str, **labels: str) -> JSON:
    return _obj("v1", "Namespace", _meta(name, labels=labels))


def _node(name: str, address: str, *, control: bool = False) -> JSON:
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
              "topology.kubernetes.io/zone": "eu-west-1a", "node.kubernetes.io/instance-type": "m6i.large"}  # fmt: skip
    if control:
        labels["node-role.kubernetes.io/infra"] = ""
    size = {"cpu": "2", "memory": "7812Mi", "pods": "29", "ephemeral-storage": "80Gi"}
    state = {
        "capacity": size,
        "allocatable": size,
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
                        "message": "kubelet is posting ready status", "lastHeartbeatTime": "2026-01-05T09:00:00Z",
                        "lastTransitionTime": "2026-01-05T09:00:00Z"}],
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "nodeInfo": {"kubeletVersion": "v1.34.2-sandbox", "osImage": "Sandbox (not a real node)",
                     "architecture": "amd64", "kernelVersion": "6.1.0", "containerRuntimeVersion": "containerd://2.0.0",
                     "operatingSystem": "linux", "machineID": "0", "systemUUID": "0", "bootID": "0"},
    }  # fmt: skip
    return _obj(
        "v1", "Node", _meta(name, labels=labels), spec={"providerID": f"aws:///eu-west-1a/i-{name[-4:]}"}, status=state
    )


def _container(name: str, image: str, port: int, env: list[JSON] | None = None, **more: Any) -> JSON:
    found: JSON = {"name": name, "image": image, "ports": [{"containerPort": port}], **more}
    return {**found, "env": env} if env else found


def _workload(kind: str, name: str, namespace: str, replicas: int, containers: list[JSON], **spec: Any) -> JSON:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers, **spec.pop("pod", {})}}
    count = {} if kind == "DaemonSet" else {"replicas": replicas}
    metadata = _meta(name, namespace, labels={**labels, "team": namespace}, **_APPLIED)
    return _obj(
        "apps/v1", kind, metadata, spec={**count, "selector": {"matchLabels": labels}, "template": template, **spec}
    )


def _service(name: str, namespace: str, port: int, target: int) -> JSON:
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": port, "targetPort": target}]}
    return _obj("v1", "Service", _meta(name, namespace), spec=spec)


def _secret(name: str, namespace: str, values: dict[str, str], kind: str = "Opaque", **more: Any) -> JSON:
    return _obj("v1", "Secret", _meta(name, namespace, **more), type=kind, stringData=values)


def _config(name: str, namespace: str, data: dict[str, str], **more: Any) -> JSON:
    return _obj("v1", "ConfigMap", _meta(name, namespace, **more), data=data)


def _event(
    name: str, namespace: str, about: tuple[str, str], reason: str, message: str, *, level: str = "Normal"
) -> JSON:
    kind, target = about
    version = "v1" if kind == "Pod" else "apps/v1"
    involved = {"kind": kind, "namespace": namespace, "name": target, "apiVersion": version}
    stamps = {"firstTimestamp": "2026-01-05T09:00:00Z", "lastTimestamp": "2026-01-05T09:30:00Z"}
    return _obj("v1", "Event", _meta(name, namespace), involvedObject=involved, reason=reason, message=message,
                type=level, count=3, source={"component": "kubelet"}, **stamps)  # fmt: skip


def _from_secret(name: str, secret: str, key: str) -> JSON:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


_WEBHOOK_SCHEMA: JSON = {
    "type": "object",
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "description": "Where deliveries go, and what signs them.",
            "required": ["url"],
            "properties": {
                "url": {"type": "string", "description": "Address that receives the deliveries."},
                "signingSecret": {"type": "string", "description": "Key of the signature."},
                "replicas": {"type": "integer", "default": 1},
            },
        },
        "status": {"type": "object", "properties": {"phase": {"type": "string"}, "replicas": {"type": "integer"}}},
    },
}

WEBHOOK_CRD: JSON = _obj(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", _meta("webhooks.shop.example.com"),
    spec={
        "group": "shop.example.com",
        "scope": "Namespaced",
        "names": {"plural": "webhooks", "singular": "webhook", "kind": "Webhook", "listKind": "WebhookList",
                  "shortNames": ["wh"], "categories": ["shop"]},
        "versions": [{
            "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": _WEBHOOK_SCHEMA},
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                                                     "statusReplicasPath": ".status.replicas"}},
            "additionalPrinterColumns": [
                {"name": "URL", "type": "string", "jsonPath": ".spec.url"},
                {"name": "Secret", "type": "string", "jsonPath": ".spec.signingSecret", "priority": 1},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
        }],
    },
)  # fmt: skip

_APPLICATION = (
    "server.port=8080\nspring.datasource.url=jdbc:postgresql://db:5432/orders\napi.token=sandbox-canary-config-token\n"
)

MANIFESTS: tuple[JSON, ...] = (
    _node("ip-192-168-40-10", "192.168.40.10", control=True),
    _node("ip-192-168-40-11", "192.168.40.11"),
    *(_namespace(name) for name in ("default", "kube-system", "kube-public", "kube-node-lease")),
    _namespace("payments", team="payments", tier="restricted"),
    _namespace("web", team="web"),
    _obj("storage.k8s.io/v1", "StorageClass", _meta("gp3"), provisioner="ebs.csi.aws.com", reclaimPolicy="Delete",
         volumeBindingMode="WaitForFirstConsumer"),
    # payments
    _secret("db-credentials", "payments", {"username": "orders", "password": "sandbox-canary-db-password"},
            labels={"app": "api"}, **_APPLIED),
    _secret("stripe", "payments", {"api-key": "sandbox-canary-stripe-key"}),
    _secret("payments-tls", "payments", {"tls.crt": "-----BEGIN CERTIFICATE-----\nsandbox\n-----END CERTIFICATE-----\n",
                                         "tls.key": "sandbox-canary-tls-key"}, "kubernetes.io/tls"),
    _config("api-config", "payments", {"application.properties": _APPLICATION, "LOG_LEVEL": "info"}, **_APPLIED),
    _workload("StatefulSet", "db", "payments", 1, [_container("postgres", "postgres:17.2", 5432, [
        _from_secret("POSTGRES_PASSWORD", "db-credentials", "password")])], serviceName="db"),
    _workload("Deployment", "api", "payments", 2, [
        _container("api", "registry.example.com/payments/api:1.8.3", 8080, [
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "LEGACY_DB_PASSWORD", "value": "sandbox-canary-env-password"},
            _from_secret("DB_PASSWORD", "db-credentials", "password"),
            _from_secret("STRIPE_API_KEY", "stripe", "api-key")]),
        _container("metrics", "registry.example.com/metrics:2.1.0", 9090)],
        pod={"serviceAccountName": "api"}),
    _obj("v1", "ServiceAccount", _meta("api", "payments")),
    _service("api", "payments", 80, 8080),
    _service("db", "payments", 5432, 5432),
    _obj("batch/v1", "CronJob", _meta("reconcile", "payments"), spec={
        "schedule": "0 3 * * *",
        "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [
            {"name": "reconcile", "image": "registry.example.com/payments/reconcile:1.2.0"}]}}}}}),
    _obj("networking.k8s.io/v1", "NetworkPolicy", _meta("deny-all", "payments"),
         spec={"podSelector": {}, "policyTypes": ["Ingress"]}),
    _obj("policy/v1", "PodDisruptionBudget", _meta("db", "payments"),
         spec={"minAvailable": 1, "selector": {"matchLabels": {"app": "db"}}}),
    _obj("rbac.authorization.k8s.io/v1", "Role", _meta("reader", "payments"),
         rules=[{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list", "watch"]}]),
    _obj("rbac.authorization.k8s.io/v1", "RoleBinding", _meta("reader", "payments"),
         roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
         subjects=[{"kind": "Group", "name": "pratique"}]),
    _event("api.17f0a1", "payments", ("Deployment", "api"), "ScalingReplicaSet", "Scaled up replica set api to 2"),
    _event("db-0.17f0a2", "payments", ("Pod", "db-0"), "Unhealthy", "Readiness probe failed: could not connect to "
           "postgres://orders:sandbox-canary-event-password@db:5432/orders", level="Warning"),
    WEBHOOK_CRD,
    _obj("shop.example.com/v1", "Webhook", _meta("orders", "payments"), status={"phase": "Active", "replicas": 1},
         spec={"url": "https://hooks.example.com/orders", "replicas": 1,
               "signingSecret": "sandbox-canary-webhook-secret"}),
    # web
    _config("nginx", "web", {"nginx.conf": "server { listen 80; location / { proxy_pass http://api.payments; } }\n"}),
    _secret("registry", "web", {".dockerconfigjson": '{"auths":{"registry.example.com":{"username":"pull",'
            '"password":"sandbox-canary-registry-password"}}}'}, "kubernetes.io/dockerconfigjson"),
    _workload("Deployment", "frontend", "web", 3, [_container("nginx", "nginx:1.29", 80)]),
    _service("frontend", "web", 80, 80),
    _obj("networking.k8s.io/v1", "Ingress", _meta("frontend", "web"), spec={
        "ingressClassName": "alb", "rules": [{"host": "shop.example.com", "http": {"paths": [
            {"path": "/", "pathType": "Prefix",
             "backend": {"service": {"name": "frontend", "port": {"number": 80}}}}]}}]}),
    _obj("autoscaling/v2", "HorizontalPodAutoscaler", _meta("frontend", "web"), spec={
        "minReplicas": 3, "maxReplicas": 10, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment",
                                                                "name": "frontend"}}),
    _obj("v1", "PersistentVolumeClaim", _meta("uploads", "web"),
         spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}),
    # kube-system
    _workload("DaemonSet", "kube-proxy", "kube-system", 0, [_container("kube-proxy", "eks/kube-proxy:v1.34.2", 10249)]),
    _workload("Deployment", "coredns", "kube-system", 2, [_container("coredns", "eks/coredns:v1.12.4", 53)]),
    _config("aws-auth", "kube-system", {"mapRoles": "- rolearn: arn:aws:iam::111122223333:role/node\n"}),
    _obj("rbac.authorization.k8s.io/v1", "ClusterRole", _meta("cluster-admin"),
         rules=[{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]),
    _obj("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", _meta("pratique"),
         roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
         subjects=[{"kind": "Group", "name": "pratique"}]),
    # default
    _obj("v1", "Service", _meta("kubernetes", "default"), spec={"clusterIP": "10.100.0.1", "ports": [
        {"name": "https", "port": 443, "targetPort": 6443}]}),
    _obj("v1", "Pod", _meta("toolbox", "default", labels={"app": "toolbox"}),
         spec={"containers": [{"name": "shell", "image": "busybox:1.37", "command": ["sleep", "infinity"]}]}),
)  # fmt: skip
