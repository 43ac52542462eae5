"""Rows D of the leak catalogue through a real gateway: copies of a value in other fields of API objects.

Each row is asked for alone, in a list, in Tables with and without objects, as partial objects and as a watch. The client
has never seen the value: what hides it are the rules, not the memory of values that were masked before.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.process.gateway import Gateway
from tests.process.leaks import OPEN, N, Probe, written

pytestmark = pytest.mark.process
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


def containers(p: Probe) -> list[dict[str, Any]]:
    return [
        {
            "name": "c",
            "image": "nginx:1.27",
            "env": [{"name": "DB_PASSWORD", "value": p.value}, {"name": "URL", "value": f"pg://u:{p.value}@db/x"}],
            "args": [f"--password={p.value}", "--token", p.value],
            "command": ["sh", "-c", f"export API_KEY={p.value}; run"],
            "lifecycle": {"postStart": {"exec": {"command": ["curl", "-H", f"Authorization: Bearer {p.value}"]}}},
            "livenessProbe": {
                "httpGet": {"path": "/", "port": 80, "httpHeaders": [{"name": "Authorization", "value": p.value}]}
            },
        }
    ]


def pod_spec(p: Probe) -> dict[str, Any]:
    return {
        "containers": containers(p),
        "initContainers": [{**containers(p)[0], "name": "i", "restartPolicy": "Always"}],
    }


def template(p: Probe) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": p.name}}, "spec": pod_spec(p)}


def workload(p: Probe) -> dict[str, Any]:
    return {"selector": {"matchLabels": {"app": p.name}}, "template": template(p)}


def manifest(p: Probe) -> str:
    return json.dumps({**p.secret(), "stringData": {"password": p.value}}) + "\n"


def packed(p: Probe) -> str:
    return base64.b64encode(gzip.compress(manifest(p).encode())).decode()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n{}\n-----END RSA PRIVATE KEY-----\n"
APPS, BATCH = "/apis/apps/v1/namespaces/payments", "/apis/batch/v1/namespaces/payments"
# row → (collection, apiVersion and kind, what is in the object beside its name)
ROWS: dict[str, tuple[str, str, Callable[[Probe], dict[str, Any]]]] = {
    "secret_data": (f"{N}/secrets", "v1/Secret", lambda p: {"data": {"a": p.encoded, "b.key": b64(f"x{p.value}y")}}),
    "secret_annotations": (
        f"{N}/secrets", "v1/Secret",
        lambda p: {"metadata": {"annotations": {APPLIED: manifest(p), "kapp.k14s.io/original": manifest(p), "x/packed": packed(p)}},
                   "data": {"a": p.encoded}},
    ),
    "secret_echoes": (
        f"{N}/secrets", "v1/Secret",
        lambda p: {"metadata": {"annotations": {"note": p.value, "encoded": p.encoded}, "labels": {"copied": p.value}}, "data": {"a": p.encoded}},
    ),
    "helm_secret": (f"{N}/secrets", "v1/Secret", lambda p: {"type": "helm.sh/release.v1", "data": {"release": b64(packed(p))}}),
    "helm_configmap": (f"{N}/configmaps", "v1/ConfigMap", lambda p: {"data": {"release": packed(p)}}),
    "bootstrap_token": (f"{N}/secrets", "v1/Secret", lambda p: {"type": "bootstrap.kubernetes.io/token", "data": {"token-secret": p.encoded}}),
    "service_account_token": (
        f"{N}/secrets", "v1/Secret",
        lambda p: {"metadata": {"annotations": {"kubernetes.io/service-account.name": "default"}}, "type": "kubernetes.io/service-account-token",
                   "data": {"token": p.encoded}},
    ),
    "tls_key": (
        f"{N}/secrets", "v1/Secret",
        lambda p: {"type": "kubernetes.io/tls", "data": {"tls.crt": b64("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
                                                         "tls.key": b64(PEM.format(p.value))}},
    ),
    "configmap": (
        f"{N}/configmaps", "v1/ConfigMap",
        lambda p: {
            "data": {
                "password": p.value, "application.properties": f"a=b\nspring.datasource.password={p.value}\n", ".env": f"DB_PASSWORD='{p.value}'",
                "kubeconfig": f"users:\n- user:\n    token: {p.value}\n    client-key-data: {p.value}\n", "key.pem": PEM.format(p.value),
                "config.json": json.dumps({"auth": {"clientSecret": p.value}}), "url": f"https://u:{p.value}@h/",
            },
            "binaryData": {"blob": p.encoded},
        },
    ),
    "configmap_last_applied": (f"{N}/configmaps", "v1/ConfigMap", lambda p: {"metadata": {"annotations": {APPLIED: manifest(p)}}, "data": {}}),
    "unparsable_last_applied": (f"{N}/configmaps", "v1/ConfigMap", lambda p: {"metadata": {"annotations": {APPLIED: f"{{{p.value}"}}, "data": {}}),
    "pod": (f"{N}/pods", "v1/Pod", lambda p: {"spec": pod_spec(p)}),
    "pod_status": (
        f"{N}/pods", "v1/Pod",
        lambda p: {
            # A scheduler that is not there: no kubelet writes another status.
            "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "nginx"}]},
            "status": {
                "startTime": "2026-01-02T03:04:05Z",
                "conditions": [{"type": "Ready", "status": "False", "message": f"secret=`{p.value}` password={p.value}"}],
                "containerStatuses": [{"name": "c", "image": "x", "imageID": "", "ready": False, "restartCount": 1,
                                       "state": {"terminated": {"exitCode": 1, "message": f"FATAL pg://u:{p.value}@db refused\n--token={p.value}"}}}],
            },
        },
    ),
    "deployment": (f"{APPS}/deployments", "apps/v1/Deployment", lambda p: {"spec": {**workload(p), "replicas": 0}}),
    "statefulset": (f"{APPS}/statefulsets", "apps/v1/StatefulSet", lambda p: {"spec": {**workload(p), "serviceName": "x", "replicas": 0}}),
    "replicaset": (f"{APPS}/replicasets", "apps/v1/ReplicaSet", lambda p: {"spec": {**workload(p), "replicas": 0}}),
    "controller_revision": (f"{APPS}/controllerrevisions", "apps/v1/ControllerRevision",
                            lambda p: {"revision": 1, "data": {"spec": {"template": template(p)}}}),
    "cronjob": (
        f"{BATCH}/cronjobs", "batch/v1/CronJob",
        lambda p: {"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": {**pod_spec(p), "restartPolicy": "Never"}}}}}},
    ),
    "event": (
        f"{N}/events", "v1/Event",
        lambda p: {"involvedObject": {"kind": "Pod", "name": "x", "namespace": "payments"}, "reason": "Failed", "type": "Warning",
                   "message": f"Error: mysql --password={p.value} -h db: https://u:{p.value}@h/ failed"},
    ),
    "ingress": (
        "/apis/networking.k8s.io/v1/namespaces/payments/ingresses", "networking.k8s.io/v1/Ingress",
        lambda p: {"metadata": {"annotations": {"nginx.ingress.kubernetes.io/configuration-snippet":
                                                f'proxy_set_header Authorization "Bearer {p.value}";', "x/api-token": p.value}},
                   "spec": {"defaultBackend": {"service": {"name": "x", "port": {"number": 80}}}}},
    ),
    "service_annotation": (f"{N}/services", "v1/Service", lambda p: {"metadata": {"annotations": {"x/password": p.value}}, "spec": {"ports": [{"port": 80}]}}),
    "storage_class": ("/apis/storage.k8s.io/v1/storageclasses", "storage.k8s.io/v1/StorageClass",
                      lambda p: {"provisioner": "x", "parameters": {"secretAccessKey": p.value, "adminPassword": p.value}}),
    "persistent_volume": (
        "/api/v1/persistentvolumes", "v1/PersistentVolume",
        lambda p: {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                            "csi": {"driver": "x", "volumeHandle": "h", "volumeAttributes": {"userPassword": p.value}}}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_leak_d(probe: Probe, row: str) -> None:
    collection, kind, make = ROWS[row]
    api_version, _, name = kind.rpartition("/")
    more = make(probe)
    metadata = {"name": probe.name, **more.pop("metadata", {})}
    probe.plant(collection, {"apiVersion": api_version, "kind": name, "metadata": metadata, **more})
    target = f"{collection}/{probe.name}"
    shown = probe.get(target)
    assert shown.json["metadata"]["name"] == probe.name
    assert "warning" in shown.headers
    assert probe.get(f"{collection}?limit=500").code == 200
    for accept in (TABLE, PARTIAL):
        probe.get(target, Accept=accept)
        probe.get(f"{target}?includeObject=Object", Accept=accept)
    probe.get(f"{collection}?includeObject=Object", Accept=TABLE)
    watched = probe.get(f"{collection}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3D{probe.name}")
    assert probe.name.encode() in watched.body
    patched = probe.call(
        "PATCH",
        f"{target}?dryRun=All",
        {"metadata": {"labels": {"a": "b"}}},
        Content_Type="application/merge-patch+json",
    )
    # A real API server compares the bytes of its data, and the blanks of `plant` are gone after a patch.
    assert patched.code in ({200, 422} if row == "controller_revision" else {200}), patched.body


# Groups that the sandbox does not serve: their objects are given word for word.
CUSTOM: dict[str, Callable[[Probe], dict[str, Any]]] = {
    "external-secrets.io/v1/SecretStore": lambda p: {"spec": {"provider": {"fake": {"data": [{"key": "password", "value": p.value}]}}}},
    "generators.external-secrets.io/v1alpha1/Password": lambda p: {"spec": {"secretKey": p.value}},
    "bitnami.com/v1alpha1/SealedSecret": lambda p: {"status": {"observedGeneration": 1}, "spec": {"template": {"metadata": {"annotations": {APPLIED: manifest(p)}}}}},
    "helm.toolkit.fluxcd.io/v2/HelmRelease": lambda p: {"spec": {"values": {"db": {"password": p.value, "url": f"pg://u:{p.value}@h/x"}}}},
    "argoproj.io/v1alpha1/Application": lambda p: {
        "spec": {"source": {"helm": {"parameters": [{"name": "auth.password", "value": p.value}], "values": f"password: {p.value}\n"}}}
    },
    "argoproj.io/v1alpha1/Workflow": lambda p: {"spec": {"arguments": {"parameters": [{"name": "api-token", "value": p.value}]}}},
    "tekton.dev/v1/TaskRun": lambda p: {
        "spec": {"params": [{"name": "passwords", "value": [p.value, p.value]}]}, "status": {"results": [{"name": "token", "value": p.value}]}
    },
    "kubernetes.crossplane.io/v1alpha2/Object": lambda p: {"spec": {"forProvider": {"manifest": p.secret()}}},
    "infra.contrib.fluxcd.io/v1alpha2/Terraform": lambda p: {"status": {"availableOutputs": ["a"], "outputs": {"db_password": p.value}}},
    "acid.zalan.do/v1/Postgresql": lambda p: {"spec": {"users": {"a": []}, "env": [{"name": "PGPASSWORD", "value": p.value}]}},
    "velero.io/v1/DownloadRequest": lambda p: {"status": {"downloadURL": f"https://s3/x?X-Amz-Signature={p.value}&X-Amz-Credential={p.value}"}},
    "secrets-store.csi.x-k8s.io/v1/SecretProviderClassPodStatus": lambda p: {"status": {"objects": [{"id": "x", "token": p.value}]}},
    "databases.example.com/v1/Database": lambda p: {"password": p.value, "spec": {"deep": [{"deeper": {"apiKey": p.value, "args": ["--token", p.value]}}]}},
}  # fmt: skip


@pytest.mark.parametrize("kind", CUSTOM)
def test_leak_d_custom_resources(probe: Probe, kind: str) -> None:
    group_version, _, name = kind.rpartition("/")
    item = {
        "apiVersion": group_version,
        "kind": name,
        "metadata": {"name": probe.name, "namespace": "payments"},
        **CUSTOM[kind](probe),
    }
    path = f"/apis/{group_version}/namespaces/payments/{name.lower()}s"
    events = [
        json.dumps({"type": how, "object": item}, separators=(",", ":")).encode() + b"\n"
        for how in ("ADDED", "DELETED")
    ]
    row = {"cells": [probe.name], "object": item}
    table = {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": [{"name": "Name"}],
        "rows": [row],
    }
    for document in (
        item,
        {"apiVersion": group_version, "items": [item, item], "kind": f"{name}List", "metadata": {}},
        table,
    ):
        with probe.scripted("GET", path, document):
            answer = probe.get(path)
        assert answer.code == 200
        assert probe.name.encode() in answer.body
    with probe.scripted("GET", path, *events):
        assert b"DELETED" in probe.stream(f"{path}?watch=1", b"DELETED")


def test_leak_d_public_certificates_stay(probe: Probe) -> None:
    bundle = b64("-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ\n-----END CERTIFICATE-----\n")
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    hook = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "w"},
            "webhooks": [{"name": "a.b.c", "clientConfig": {"caBundle": bundle, "url": f"https://u:{probe.value}@h/"}}]}  # fmt: skip
    for group, kind in (("apiregistration.k8s.io", "APIService"), ("apiextensions.k8s.io", "CustomResourceDefinition")):
        other = f"/apis/{group}/v1/{kind.lower()}s"
        with probe.scripted(
            "GET",
            other,
            {"kind": kind, "apiVersion": f"{group}/v1", "metadata": {"name": "x"}, "spec": {"caBundle": bundle}},
        ):
            assert bundle in probe.get(other).body.decode()
    with probe.scripted("GET", path, hook):
        assert bundle in probe.get(path).body.decode()


def test_leak_d_who_am_i_names_the_client_and_not_the_gateways_role(probe: Probe) -> None:
    extra = {
        "accessKeyId": [probe.value],
        "arn": [f"arn:aws:sts::1:assumed-role/y/{probe.value}"],
        "principalId": [probe.value],
    }
    info = {
        "username": f"arn:aws:sts::1:assumed-role/y/{probe.value}",
        "uid": probe.value,
        "groups": ["g"],
        "extra": extra,
    }
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    review = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "status": {"userInfo": info}}
    with probe.scripted("POST", path, review, code=201):
        answer = probe.call("POST", path, {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"})
    assert answer.json["status"]["userInfo"] == {"username": "agent", "groups": ["pratique:clients"]}
    assert probe.call("POST", path, {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}).code == 201


def test_leak_d_a_rule_for_one_namespace_counts_where_all_are_listed(probe: Probe, tmp_path: Any) -> None:
    """The namespace of an item is not in the URL of such a list."""
    gateway = Gateway(tmp_path / "one", probe.gateway.sandbox, policy=OPEN, hold=0)
    rules = """
apiVersion: pratique/v1
kind: MaskPolicy
metadata: {name: one}
spec:
  rules:
    - {name: payments, match: {resources: [secrets], namespaces: [payments]}, jsonPaths: ["$.data.*"]}
"""
    (gateway.policies / "masking.yaml").write_text(rules)
    probe.plant_secret()
    gateway.start()
    other = Probe(gateway, value=probe.value)
    try:
        for path in ("/api/v1/secrets", f"{N}/secrets", "/api/v1/secrets?watch=1&timeoutSeconds=1"):
            assert other.get(path).code == 200
        other.check()
    finally:
        gateway.stop()
    assert written(gateway) == {}
    probe.outputs += other.outputs
