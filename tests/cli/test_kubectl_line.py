"""kubectl lines as requests. The expected ones were seen from kubectl 1.36.2 itself, against the sandbox."""

from __future__ import annotations

import json

import click
import pytest

from pratique.cli.kubectl_line import kubectl_line
from pratique.kube import resources
from pratique.kube.canonical import canonicalise
from pratique.kube.kinds import KINDS

PAYMENTS = "/api/v1/namespaces/payments"
APPS = "/apis/apps/v1/namespaces/payments"


def sent(line: str) -> list[str]:
    return [f"{asked.raw.method.decode()} {asked.raw.target.decode()}" for asked in kubectl_line(line.split())]


@pytest.mark.parametrize(
    ("line", "requests"),
    [
        ("get pods -n payments", [f"GET {PAYMENTS}/pods?limit=500"]),
        ("get pod p1 -n payments -o yaml", [f"GET {PAYMENTS}/pods/p1"]),
        ("get pods -A -l app=x", ["GET /api/v1/pods?labelSelector=app%3Dx&limit=500"]),
        ("get -npayments deploy/api svc/api", [f"GET {APPS}/deployments/api", f"GET {PAYMENTS}/services/api"]),
        ("get po,no --namespace=payments", [f"GET {PAYMENTS}/pods?limit=500", "GET /api/v1/nodes?limit=500"]),
        ("get --raw /metrics", ["GET /metrics"]),
        ("get pod p1 -w -n payments", [
            f"GET {PAYMENTS}/pods?fieldSelector=metadata.name%3Dp1&limit=500",
            f"GET {PAYMENTS}/pods?fieldSelector=metadata.name%3Dp1&resourceVersion=0&watch=true",
        ]),
        ("scale deploy/api --replicas=2 -n payments", [f"GET {APPS}/deployments/api", f"PATCH {APPS}/deployments/api/scale"]),
        ("label pod p1 x=y -n payments", [f"GET {PAYMENTS}/pods/p1", f"PATCH {PAYMENTS}/pods/p1?fieldManager=kubectl-label"]),
        ("annotate pod p1 x- -n payments", [f"GET {PAYMENTS}/pods/p1", f"PATCH {PAYMENTS}/pods/p1?fieldManager=kubectl-annotate"]),
        ("rollout restart deploy/api -n payments", [f"GET {APPS}/deployments/api", f"PATCH {APPS}/deployments/api?fieldManager=kubectl-rollout"]),
        ("rollout pause deploy api -n payments", [f"GET {APPS}/deployments/api", f"PATCH {APPS}/deployments/api?fieldManager=kubectl-rollout"]),
        ("rollout status deploy api -n payments", [f"GET {APPS}/deployments/api"]),
        ("set image deploy/api api=nginx:2 -n payments", [f"GET {APPS}/deployments/api", f"PATCH {APPS}/deployments/api?fieldManager=kubectl-set"]),
        ("create configmap cc --from-literal=a=b -n payments", [f"POST {PAYMENTS}/configmaps?fieldManager=kubectl-create&fieldValidation=Strict"]),
        ("create ns nn", ["POST /api/v1/namespaces?fieldManager=kubectl-create&fieldValidation=Strict"]),
        ("create deploy dd --image=nginx -n payments", [f"POST {APPS}/deployments?fieldManager=kubectl-create&fieldValidation=Strict"]),
        ("create job jj --image=busybox -n payments -- id", ["POST /apis/batch/v1/namespaces/payments/jobs?fieldManager=kubectl-create&fieldValidation=Strict"]),
        ("create token default -n payments", [f"POST {PAYMENTS}/serviceaccounts/default/token"]),
        ("run rr --image=busybox -n payments", [f"POST {PAYMENTS}/pods?fieldManager=kubectl-run"]),
        ("auth can-i delete pods -n payments", ["POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"]),
        ("auth whoami", ["POST /apis/authentication.k8s.io/v1/selfsubjectreviews"]),
        ("cordon n1", ["GET /api/v1/nodes/n1", "PATCH /api/v1/nodes/n1"]),
        ("events -n payments", [f"GET {PAYMENTS}/events?limit=500"]),
        ("version", ["GET /version?timeout=32s"]),
        ("delete pod p1 -n payments --grace-period=0 --force --wait=false", [f"DELETE {PAYMENTS}/pods/p1"]),
        ("delete pods -l app=x -n payments", [f"GET {PAYMENTS}/pods?labelSelector=app%3Dx", f"DELETE {PAYMENTS}/pods/each-one-found"]),
        ("exec p1 -n payments -- id", [f"GET {PAYMENTS}/pods/p1", f"GET {PAYMENTS}/pods/p1/exec?command=id&stderr=true&stdout=true"]),
        ("exec -it p1 -c app -n payments -- sh -c id", [
            f"GET {PAYMENTS}/pods/p1", f"GET {PAYMENTS}/pods/p1/exec?command=sh&command=-c&command=id&container=app&stdin=true&stdout=true&tty=true",
        ]),
        ("logs -f p1 -n payments --tail=5 --since 5m", [f"GET {PAYMENTS}/pods/p1", f"GET {PAYMENTS}/pods/p1/log?follow=true&sinceSeconds=300&tailLines=5"]),
        ("port-forward p1 8080:80 -n payments", [f"GET {PAYMENTS}/pods/p1", f"GET {PAYMENTS}/pods/p1/portforward"]),
        ("cp payments/p1:/tmp/x ./x", [f"GET {PAYMENTS}/pods/p1", f"GET {PAYMENTS}/pods/p1/exec?command=tar&command=cf&command=-&command=%2Ftmp%2Fx&stderr=true&stdout=true"]),
        ("top no", ["GET /apis/metrics.k8s.io/v1beta1/nodes"]),
        ("api-resources", ["GET /api", "GET /apis"]),
        ("get widgets.v1alpha1.example.com w -n payments", ["GET /apis/example.com/v1alpha1/namespaces/payments/widgets/w"]),
    ],
)  # fmt: skip
def test_requests_of_a_line(line, requests):
    assert sent(line) == requests


@pytest.mark.parametrize(
    ("line", "media", "body"),
    [
        ("scale deploy/api --replicas=0", "application/merge-patch+json", {"spec": {"replicas": 0}}),
        ("label pod p1 x=y z-", "application/merge-patch+json", {"metadata": {"labels": {"x": "y", "z": None}}}),
        ("cordon n1", "application/strategic-merge-patch+json", {"spec": {"unschedulable": True}}),
        ("uncordon n1", "application/strategic-merge-patch+json", {"spec": {"unschedulable": None}}),
        ('patch pod p1 --type=json -p [{"op":"test"}]', "application/json-patch+json", [{"op": "test"}]),
        ("delete pod p1", "application/json", {"propagationPolicy": "Background"}),
        ("delete pod p1 --force", "application/json", {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}),
        ("delete pod p1 --now --cascade=orphan --dry-run=server", "application/json", {"gracePeriodSeconds": 1, "propagationPolicy": "Orphan", "dryRun": ["All"]}),
    ],
)  # fmt: skip
def test_the_body_of_the_write(line, media, body):
    raw = kubectl_line(line.split())[-1].raw
    assert json.loads(raw.body) == body
    assert (b"Content-Type", media.encode()) in raw.headers


def test_manifests(tmp_path):
    file = tmp_path / "m.yaml"
    file.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: payments}\n---\n"
        "apiVersion: example.com/v2\nkind: Widget\nmetadata: {name: w}\n"
    )
    create, apply, server = (sent(f"{command} -f {file}") for command in ("create", "apply", "apply --server-side"))
    assert create == [
        f"POST {PAYMENTS}/configmaps?fieldManager=kubectl-create&fieldValidation=Strict",
        "POST /apis/example.com/v2/namespaces/default/widgets?fieldManager=kubectl-create&fieldValidation=Strict",
    ]
    query = "fieldManager=kubectl-client-side-apply&fieldValidation=Strict"
    assert apply[:3] == [
        f"GET {PAYMENTS}/configmaps/a",
        f"PATCH {PAYMENTS}/configmaps/a?{query}",
        f"POST {PAYMENTS}/configmaps?{query}",
    ]
    assert server[0] == f"PATCH {PAYMENTS}/configmaps/a?fieldManager=kubectl&fieldValidation=Strict&force=false"
    assert sent(f"delete -f {file}")[0] == f"DELETE {PAYMENTS}/configmaps/a"
    assert (
        sent(f"replace -f {file}")[1]
        == f"PUT {PAYMENTS}/configmaps/a?fieldManager=kubectl-replace&fieldValidation=Strict"
    )
    asked = kubectl_line(["create", "-f", str(file)])
    assert any("widgets" in text for text in asked[0].assumed)


def test_a_damaged_manifest_is_placed(tmp_path):
    file = tmp_path / "m.yaml"
    file.write_text("a: [\n")
    with pytest.raises(click.UsageError, match=r"m\.yaml:2:1"):
        kubectl_line(["create", "-f", str(file)])
    file.write_text("a: b\n")
    with pytest.raises(click.UsageError, match="apiVersion, kind and metadata"):
        kubectl_line(["create", "-f", str(file)])


def test_what_is_assumed_is_said():
    texts = " ".join(kubectl_line(["delete", "pods", "--all"])[0].assumed)
    for part in ("namespace: default", "one by one", "waits", "discovery"):
        assert part in texts
    assert "namespace" not in " ".join(kubectl_line(["get", "pods", "-n", "x"])[0].assumed)


def test_impersonation_is_sent_and_so_refused():
    (asked,) = kubectl_line(["get", "pods", "--as", "admin", "--as-group=g"])
    assert (b"Impersonate-User", b"admin") in asked.raw.headers


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("frobnicate", "is not known here. Known: "), ("", "is not known here"), ("get", "needs a resource"), ("get foo", "is no resource of Kubernetes itself"),
        ("get pod/a b", "TYPE/NAME for all"), ("delete pods", "a name, a selector or --all"), ("exec p1", "`--` and a command"), ("logs", "needs a pod"),
        ("get pods -n", "needs a value"), ("get pods -Z", "is not known here"), ("scale deploy/a", "no number"), ("rollout dance deploy/a", "restart, pause"),
        ("patch pod p1", "needs -p PATCH"), ("create -f /nowhere", "is no file here"), ("cp a b", "one POD:PATH"), ("create role r", "are known here"),
        ("logs p1 --since x", "no length of time"), ("set env deploy/a A=b", "only `image`"), ("delete pod a --cascade=x", "--cascade is"),
        ("run x", "needs a name and --image"), ("port-forward p1", "a pod and a port"), ("auth reconcile", "only `whoami`"), ("apply", "needs -f FILE"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_said(line, message):
    with pytest.raises(click.UsageError) as caught:
        kubectl_line(line.split())
    assert message in caught.value.message


@pytest.mark.parametrize(
    "line",
    [
        "get all", "describe pod p1", "describe nodes", "drain n1", "attach p1 -it", "rollout undo deploy/a", "exec deploy/a -it -- sh", "logs -l app=x",
        "port-forward svc/a 80", "create secret generic s --from-literal=a=b", "create sa s", "run x --image=i --command -- sh", "explain pods", "api-versions",
        "cp ./x p1:/tmp/x", "get pods --request-timeout=5s", "create -f /dev/null --dry-run", "get pods.v1 -o wide --chunk-size=0",
    ],
)  # fmt: skip
def test_every_request_is_one_that_the_gateway_would_send(line):
    if line.startswith("create -f"):
        with pytest.raises(click.UsageError):
            kubectl_line(line.split())
        return
    for asked in kubectl_line(line.split()):
        assert canonicalise(asked.raw).attributes.path


def test_the_table_of_resources_has_kinds_and_finds_every_name():
    for resource in resources.RESOURCES:
        assert resource.kind or resource.group == "metrics.k8s.io" or resource.plural == "componentstatuses"
        assert resources.find(f"{resource.plural}.{resource.version}.{resource.group}") == resource
        for short in resource.short:
            assert resources.find(short.upper()) is not None
    assert {("", "pods"), ("apps", "deployments")} <= set(KINDS)
    assert (
        resources.of_kind("apps/v1beta1", "Deployment").path("n", "d")
        == "/apis/apps/v1beta1/namespaces/n/deployments/d"
    )
