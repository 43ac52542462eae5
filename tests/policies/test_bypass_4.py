"""The same effect by another verb or resource: one test for each goal, all ways to it in one class (threat list, 4).

Three policies are asked about each way: `mcp-default` must not allow it at once, `read-only` must deny it, and a policy
that allows everything by wildcards must still deny what is in the escalation class.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
import pytest
from ruamel.yaml import YAML

from pratique.documents import parse
from pratique.documents.folder import read_files
from pratique.errors import Position, Refused
from pratique.policy.cases import Case, CaseRequest, CaseSpec, Expect, policy_request
from pratique.policy.decision import compile_policies
from pratique.verdict import Action

FOLDER = Path(__file__).parents[2] / "policies"
HEAD = "apiVersion: pratique/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n  rules:\n"
EVERYTHING = "  - {name: everything, verbs: ['*'], apiGroups: ['*'], resources: ['*/*'], action: Allow}\n"
SHIPPED = compile_policies(
    read_files([FOLDER / f"{name}.yaml" for name in ("read-only", "mcp-default", "break-glass")])
)


def policies(*rules):
    return compile_policies(parse(HEAD + "".join(rules) or HEAD, "p.yaml"))


WIDE_OPEN = policies(EVERYTHING)


@cache
def canonical(request):
    """As in a case: a flow mapping without its braces. The C loader: a thousand requests are read here."""
    given = msgspec.convert(YAML(typ="safe").load("{" + request + "}"), CaseRequest)
    return policy_request(Case("row", "nobody", CaseSpec("row", given, Expect("Allow")), Position("row")))


def ask(request, client="mcp-1"):
    return replace(canonical(request), client=client)


def assert_not_allowed(request):
    assert SHIPPED.decide(ask(request)).action is not Action.ALLOW
    assert SHIPPED.decide(ask(request, "viewer-1")).action is Action.DENY
    assert SHIPPED.decide(ask(request, "break-glass-1")).action is not Action.ALLOW


def assert_escalation(request):
    """In the class that no wildcard permits; and what the shipped policies do not name is denied in them."""
    assert_not_allowed(request)
    assert WIDE_OPEN.decide(ask(request)).rules == ("builtin/escalation",)


def dev(resource, name="a", group=""):
    return f"apiGroup: '{group}', resource: {resource}, namespace: dev, name: {name}"


def cluster(resource, group="", name="a"):
    return f"apiGroup: '{group}', resource: {resource}, name: {name}"


DEPLOYMENT = dev("deployments", "web", "apps")
POD = dev("pods", "web")


def new(resource, spec, group="", namespace="namespace: dev, "):
    return (
        f"verb: create, apiGroup: '{group}', resource: {resource}, {namespace}body: {{metadata: {{name: a}}, {spec}}}"
    )


def changes(what, spec, result="{}"):
    """The same change by patch, by apply and by update."""
    return [
        f"verb: patch, {what}, body: {{spec: {spec}}}, result: {result}",
        f"verb: patch, {what}, patchType: merge-patch, body: {{spec: {spec}}}, result: {result}",
        f"verb: patch, {what}, patchType: json-patch, body: [{{op: add, path: /spec, value: {spec}}}], result: {result}",
        f"verb: apply, {what}, body: {{spec: {spec}}}, result: {result}",
        f"verb: update, {what}, body: {{spec: {spec}}}",
    ]


SCALED = ["deployments", "statefulsets", "replicasets"]


@pytest.mark.parametrize(
    "request_",
    [
        f"verb: delete, {POD}",
        "verb: deletecollection, resource: pods, namespace: dev",
        "verb: deletecollection, resource: pods",
        f"verb: create, {dev('pods/eviction', 'web')}, body: {{metadata: {{name: web}}}}",
        f"verb: create, {dev('pods/eviction', 'web')}, body: {{apiVersion: policy/v1beta1, kind: Eviction, metadata: {{name: web}}}}",
        # scale to 0
        *(each for kind in SCALED for each in changes(dev(f"{kind}/scale", "web", "apps"), "{replicas: 0}")),
        *changes(dev("replicationcontrollers/scale", "web"), "{replicas: 0}"),
        *(each for kind in SCALED for each in changes(dev(kind, "web", "apps"), "{replicas: 0}")),
        *changes(dev("replicationcontrollers", "web"), "{replicas: 0}"),
        *changes(dev("widgets/scale", "web", "example.com"), "{replicas: 0}"),
        *changes(dev("widgets", "web", "example.com"), "{replicas: 0}"),
        *changes(dev("horizontalpodautoscalers", "a", "autoscaling"), "{minReplicas: 0, maxReplicas: 1}"),
        new("horizontalpodautoscalers", "spec: {maxReplicas: 1}", "autoscaling"),
        *changes(DEPLOYMENT, "{paused: true, template: {spec: {}}}"),
        # Jobs that end
        *changes(dev("jobs", "a", "batch"), "{suspend: true}"),
        *changes(dev("jobs", "a", "batch"), "{parallelism: 0}"),
        *changes(dev("jobs", "a", "batch"), "{activeDeadlineSeconds: 1, ttlSecondsAfterFinished: 0}"),
        # orphaned, collected, ended
        f"verb: patch, {POD}, body: {{metadata: {{labels: {{app: b}}}}}}",
        f"verb: patch, {POD}, body: {{metadata: {{ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: x, uid: y}}]}}}}",
        f"verb: patch, {POD}, body: {{metadata: {{finalizers: null}}}}",
        f"verb: delete, {DEPLOYMENT}",
        f"verb: delete, {dev('replicasets', 'web', 'apps')}",
        f"verb: deletecollection, {dev('deployments', '', 'apps')}".replace("name: ", "name: ''"),
        "verb: delete, resource: namespaces, name: dev",
        "verb: update, resource: namespaces/finalize, name: dev, body: {metadata: {name: dev}, spec: {finalizers: []}}",
        "verb: delete, resource: nodes, name: n1",
        "verb: patch, resource: nodes, name: n1, body: {spec: {unschedulable: true}}",
        "verb: patch, resource: nodes, name: n1, body: {spec: {taints: [{key: a, effect: NoExecute}]}}",
        new("priorityclasses", "value: 1000000", "scheduling.k8s.io", ""),
        new("pods", "spec: {priorityClassName: system-node-critical, containers: []}"),
        new("resourcequotas", "spec: {hard: {pods: 0}}"),
        new("limitranges", "spec: {limits: []}"),
        f"verb: delete, {dev('poddisruptionbudgets', 'a', 'policy')}",
        *changes(dev("poddisruptionbudgets", "a", "policy"), "{minAvailable: 0}"),
        # made to fail
        *changes(DEPLOYMENT, "{template: {spec: {containers: [{name: a, image: no-such-image}]}}}"),
        *changes(DEPLOYMENT, "{template: {spec: {containers: [{name: a, livenessProbe: {exec: {command: ['false']}}}]}}}"),
        *changes(POD, "{containers: [{name: a, image: no-such-image}]}"),
        *changes(dev("pods/resize", "web"), "{containers: [{name: a, resources: {limits: {memory: 1}}}]}"),
        f"verb: delete, {cluster('customresourcedefinitions', 'apiextensions.k8s.io')}",
        f"verb: delete, {dev('persistentvolumeclaims')}",
        "verb: delete, resource: persistentvolumes, name: a",
        "verb: patch, resource: persistentvolumes, name: a, body: {spec: {persistentVolumeReclaimPolicy: Delete}}",
    ],
)  # fmt: skip
def test_bypass_4_delete_pods(request_):
    assert_not_allowed(request_)


SECRET = dev("secrets")
NO_SECRETS = policies(
    EVERYTHING,
    "  - {name: no-secrets, verbs: [get], resources: [secrets], action: Deny}\n",
    "  - {name: no-mounts, verbs: ['*'], apiGroups: ['*'], resources: ['*'], podPowers: [csiVolumes, otherVolumes, projectedVolumes, secretEnv, secretVolumes, unknown], action: Deny}\n",
)
MOUNTS = [
    "volumes: [{name: v, secret: {secretName: s}}]",
    "volumes: [{name: v, projected: {sources: [{secret: {name: s}}]}}]",
    "volumes: [{name: v, csi: {driver: secrets-store.csi.k8s.io, nodePublishSecretRef: {name: s}}}]",
    "volumes: [{name: v, azureFile: {secretName: s}}]",
    "containers: [{name: a, env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]}]",
    "initContainers: [{name: a, envFrom: [{secretRef: {name: s}}]}]",
]
TEMPLATES = {
    ("pods", ""): "spec: {%s}",
    ("podtemplates", ""): "template: {spec: {%s}}",
    ("replicationcontrollers", ""): "spec: {template: {spec: {%s}}}",
    ("deployments", "apps"): "spec: {template: {spec: {%s}}}",
    ("replicasets", "apps"): "spec: {template: {spec: {%s}}}",
    ("statefulsets", "apps"): "spec: {template: {spec: {%s}}}",
    ("daemonsets", "apps"): "spec: {template: {spec: {%s}}}",
    ("jobs", "batch"): "spec: {template: {spec: {%s}}}",
    ("cronjobs", "batch"): "spec: {jobTemplate: {spec: {template: {spec: {%s}}}}}",
    ("workflows", "argoproj.io"): "spec: {templates: [{x: {%s}}]}",
    ("taskruns", "tekton.dev"): "spec: {podTemplate: {%s}}",
    ("services", "serving.knative.dev"): "spec: {template: {spec: {%s}}}",
}


@pytest.mark.parametrize(
    "request_",
    [
        f"verb: get, {SECRET}",
        "verb: list, resource: secrets, namespace: dev",
        "verb: list, resource: secrets",
        "verb: list, resource: secrets, namespace: dev, name: a",
        "verb: watch, resource: secrets, namespace: dev",
        "method: GET, path: '/api/v1/secrets?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'",
        "method: GET, path: /api/v1/secrets, headers: {Accept: application/json;as=Table;v=v1;g=meta.k8s.io}",
        "method: HEAD, path: /api/v1/secrets",
        "verb: deletecollection, resource: secrets, namespace: dev",
        "verb: deletecollection, resource: secrets, namespace: dev, dryRun: true",
        f"verb: patch, {SECRET}, body: {{}}",
        f"verb: patch, {SECRET}, dryRun: true, body: {{}}",
        f"verb: apply, {SECRET}, body: {{}}",
        f"verb: update, {SECRET}, body: {{metadata: {{name: a}}}}",
        f"verb: create, {dev('serviceaccounts/token')}, body: {{spec: {{}}}}",
        f"verb: create, {dev('serviceaccounts/token')}, dryRun: true, body: {{spec: {{}}}}",
        new("secrets", "type: kubernetes.io/service-account-token"),
        new("secrets", "type: bootstrap.kubernetes.io/token"),
        *(new(kind, body % mount, group) for (kind, group), body in TEMPLATES.items() for mount in MOUNTS),
        f"verb: patch, {DEPLOYMENT}, body: {{}}, result: {{spec: {{template: {{spec: {{{MOUNTS[0]}}}}}}}}}",
        f"verb: patch, {DEPLOYMENT}, body: {{}}",
    ],
)  # fmt: skip
def test_bypass_4_read_secrets(request_):
    assert NO_SECRETS.decide(ask(request_)).action is Action.DENY


def test_bypass_4_read_secrets_leaves_what_reads_none():
    for request in (
        "verb: get, resource: pods, namespace: dev, name: a",
        new("configmaps", "data: {}"),
        new("pods", "spec: {volumes: [{name: v, configMap: {name: c}}]}"),
    ):
        assert NO_SECRETS.decide(ask(request)).action is Action.ALLOW


RUN = "{template: {spec: {containers: [{name: a, image: x, command: [sh]}]}}}"


@pytest.mark.parametrize(
    "request_",
    [
        f"verb: get, {dev('pods/exec', 'web')}, command: [id]",
        f"verb: create, {dev('pods/exec', 'web')}, command: [id]",
        f"verb: get, {dev('pods/exec', 'web')}, command: [tar, cf, '-', /], stdin: true",
        f"verb: get, {dev('pods/attach', 'web')}",
        f"verb: create, {dev('pods/attach', 'web')}, stdin: true, tty: true",
        f"verb: get, {dev('pods/portforward', 'web')}",
        f"verb: create, {dev('pods/portforward', 'web')}",
        "method: GET, path: /api/v1/namespaces/dev/pods/web/proxy/debug",
        "method: POST, path: '/api/v1/namespaces/dev/pods/web:9229/proxy/json'",
        "method: GET, path: '/api/v1/namespaces/dev/services/https:web:debug/proxy/debug'",
        "method: GET, path: /api/v1/nodes/n1/proxy/exec/dev/web/c",
        "method: POST, path: /api/v1/nodes/n1/proxy/run/dev/web/c",
        f"verb: patch, {dev('pods/ephemeralcontainers', 'web')}, body: {{spec: {{ephemeralContainers: [{{name: d, image: x}}]}}}}",
        f"verb: update, {dev('pods/ephemeralcontainers', 'web')}, body: {{metadata: {{name: web}}, spec: {{ephemeralContainers: [{{name: d}}]}}}}",
        *changes(DEPLOYMENT, "{template: {spec: {containers: [{name: a, lifecycle: {postStart: {exec: {command: [sh]}}}}]}}}"),
        *changes(DEPLOYMENT, "{template: {spec: {containers: [{name: a, readinessProbe: {exec: {command: [sh]}}}]}}}"),
        *changes(DEPLOYMENT, RUN),
        *changes(dev("cronjobs", "a", "batch"), f"{{schedule: '* * * * *', jobTemplate: {{spec: {RUN}}}}}"),
        new("jobs", f"spec: {RUN}", "batch"),
        new("cronjobs", f"spec: {{jobTemplate: {{spec: {RUN}}}}}", "batch"),
        new("deployments", f"spec: {RUN}", "apps"),
        new("statefulsets", f"spec: {RUN}", "apps"),
        new("daemonsets", f"spec: {RUN}", "apps"),
        new("replicasets", f"spec: {RUN}", "apps"),
        new("replicationcontrollers", f"spec: {RUN}"),
        new("pods", "spec: {containers: [{name: a, image: x, command: [sh], stdin: true, tty: true}]}"),
        f"verb: patch, {dev('configmaps', 'scripts')}, body: {{data: {{run.sh: id}}}}",
        f"verb: update, {dev('configmaps', 'scripts')}, body: {{metadata: {{name: scripts}}, data: {{run.sh: id}}}}",
        f"verb: apply, {dev('configmaps', 'scripts')}, body: {{data: {{run.sh: id}}}}",
        new("mutatingwebhookconfigurations", "webhooks: []", "admissionregistration.k8s.io", ""),
        new("csidrivers", "spec: {}", "storage.k8s.io", ""),
    ],
)  # fmt: skip
def test_bypass_4_exec(request_):
    assert_not_allowed(request_)


NO_POWERS = policies(
    "  - {name: plain, verbs: ['*'], apiGroups: ['*'], resources: ['*/*'], podPowers: [], action: Allow}\n"
)
POWERS = [
    "hostPID: true",
    "hostNetwork: true",
    "hostIPC: true",
    "nodeName: n1",
    "tolerations: [{operator: Exists}]",
    "serviceAccountName: admin",
    "serviceAccount: admin",
    "runtimeClassName: x",
    "resourceClaims: [{name: gpu}]",
    "volumes: [{name: v, hostPath: {path: /etc/kubernetes/manifests}}]",
    "volumes: [{name: v, projected: {sources: []}}]",
    "containers: [{name: a, securityContext: {privileged: true}}]",
    "containers: [{name: a, securityContext: {capabilities: {add: [SYS_ADMIN]}}}]",
    "ephemeralContainers: [{name: d}]",
]


@pytest.mark.parametrize("power", POWERS)
def test_bypass_4_create_pods_with_powers_in_any_kind_and_by_any_verb(power):
    for (kind, group), body in TEMPLATES.items():
        content = body % power
        ways = [
            new(kind, content, group),
            f"verb: update, {dev(kind, 'a', group)}, body: {{{content}}}",
            f"verb: apply, {dev(kind, 'a', group)}, body: {{{content}}}, result: {{{content}}}",
            f"verb: patch, {dev(kind, 'a', group)}, body: {{}}, result: {{{content}}}",
            f"verb: patch, {dev(kind, 'a', group)}, patchType: json-patch, body: [], result: {{{content}}}",
            f"verb: patch, {dev(kind, 'a', group)}, patchType: merge-patch, body: {{}}",
        ]
        for request in ways:
            assert_not_allowed(request)
            assert NO_POWERS.decide(ask(request)).action is Action.DENY, request
        assert (
            NO_POWERS.decide(ask(new(kind, body % "containers: [{name: a, image: i}]", group))).action is Action.ALLOW
        )


@pytest.mark.parametrize(
    "request_",
    [
        f"verb: create, {dev('pods/binding', 'web')}, body: {{metadata: {{name: web}}, target: {{name: n1}}}}",
        new("bindings", "target: {name: n1}"),
        new("ec2nodeclasses", "spec: {userData: x}", "karpenter.k8s.aws", ""),
        new("persistentvolumes", "spec: {hostPath: {path: /}}", "", ""),
    ],
)
def test_bypass_4_create_pods_with_powers_by_other_resources(request_):
    assert_escalation(request_)


def test_bypass_4_create_pods_with_powers_by_ephemeral_containers_and_unknown_kinds():
    for request in (
        f"verb: patch, {dev('pods/ephemeralcontainers', 'web')}, body: {{spec: {{}}}}, result: {{spec: {{}}}}",
        new("virtualmachines", "spec: {template: {spec: {volumes: [{hostPath: {path: /}}]}}}", "kubevirt.io"),
    ):
        assert_not_allowed(request)
        assert NO_POWERS.decide(ask(request)).action is Action.DENY
    for request in (
        new("resourceclaims", "spec: {}", "resource.k8s.io"),
        new("nodepools", "spec: {}", "karpenter.sh", ""),
    ):
        assert_not_allowed(request)


RBAC = "rbac.authorization.k8s.io"


def every_write(resource, group="", namespace=""):
    what = f"apiGroup: '{group}', resource: {resource}, {namespace}name: a"
    return [
        f"verb: create, apiGroup: '{group}', resource: {resource}, {namespace}body: {{metadata: {{name: a}}}}",
        f"verb: update, {what}, body: {{metadata: {{name: a}}}}",
        f"verb: patch, {what}, body: {{metadata: {{labels: {{a: b}}}}}}",
        f"verb: apply, {what}, body: {{metadata: {{name: a}}}}",
        f"verb: delete, {what}",
        f"verb: deletecollection, apiGroup: '{group}', resource: {resource}, {namespace}".rstrip(", "),
    ]


IDENTITY = "{metadata: {annotations: {eks.amazonaws.com/role-arn: x}}}"
LOOSE = "{metadata: {labels: {pod-security.kubernetes.io/enforce: privileged}}}"


@pytest.mark.parametrize(
    "request_",
    [
        *every_write("roles", RBAC, "namespace: dev, "),
        *every_write("rolebindings", RBAC, "namespace: dev, "),
        *every_write("clusterroles", RBAC),
        *every_write("clusterrolebindings", RBAC),
        f"verb: patch, {cluster('clusterroles', RBAC)}, body: {{metadata: {{labels: {{rbac.authorization.k8s.io/aggregate-to-view: 'true'}}}}}}",
        "verb: patch, resource: configmaps, namespace: kube-system, name: aws-auth, body: {data: {mapRoles: x}}",
        "verb: delete, resource: configmaps, namespace: kube-system, name: aws-auth",
        "verb: create, resource: configmaps, namespace: kube-system, body: {metadata: {name: aws-auth}}",
        "verb: create, resource: configmaps, namespace: kube-system, body: {metadata: {generateName: aws-}}",
        *every_write("iamidentitymappings", "iamauthenticator.k8s.aws"),
        *every_write("accessentries", "eks.services.k8s.aws", "namespace: dev, "),
        *every_write("roles", "iam.services.k8s.aws", "namespace: dev, "),
        f"verb: patch, {dev('serviceaccounts')}, body: {IDENTITY}",
        f"verb: apply, {dev('serviceaccounts')}, body: {IDENTITY}",
        f"verb: update, {dev('serviceaccounts')}, body: {IDENTITY}",
        f"verb: create, resource: serviceaccounts, namespace: dev, body: {IDENTITY}",
        f"verb: patch, resource: namespaces, name: dev, body: {LOOSE}",
        f"verb: create, resource: namespaces, body: {LOOSE}",
        "verb: update, resource: namespaces, name: dev, body: {metadata: {name: dev}}",
        f"verb: create, {dev('serviceaccounts/token')}, body: {{spec: {{}}}}",
        f"verb: create, {dev('serviceaccounts/token')}, dryRun: true, body: {{spec: {{}}}}",
        *every_write("certificatesigningrequests", "certificates.k8s.io"),
        f"verb: update, {cluster('certificatesigningrequests/approval', 'certificates.k8s.io')}, body: {{metadata: {{name: a}}}}",
        f"verb: patch, {cluster('certificatesigningrequests/status', 'certificates.k8s.io')}, body: {{}}",
        new("subjectaccessreviews", "spec: {}", "authorization.k8s.io", ""),
        new("localsubjectaccessreviews", "spec: {}", "authorization.k8s.io"),
        new("tokenreviews", "spec: {}", "authentication.k8s.io", ""),
        new("secrets", "type: kubernetes.io/service-account-token"),
        new("secrets", "type: bootstrap.kubernetes.io/token"),
    ],
)  # fmt: skip
def test_bypass_4_rbac_change(request_):
    assert_escalation(request_)


ADMISSION = "admissionregistration.k8s.io"
CONFIG = {
    ("customresourcedefinitions", "apiextensions.k8s.io"),
    ("apiservices", "apiregistration.k8s.io"),
    ("mutatingwebhookconfigurations", ADMISSION),
    ("validatingwebhookconfigurations", ADMISSION),
    ("validatingadmissionpolicies", ADMISSION),
    ("validatingadmissionpolicybindings", ADMISSION),
    ("mutatingadmissionpolicies", ADMISSION),
    ("mutatingadmissionpolicybindings", ADMISSION),
    ("flowschemas", "flowcontrol.apiserver.k8s.io"),
    ("prioritylevelconfigurations", "flowcontrol.apiserver.k8s.io"),
    ("storageclasses", "storage.k8s.io"),
    ("ingressclasses", "networking.k8s.io"),
    ("runtimeclasses", "node.k8s.io"),
    ("priorityclasses", "scheduling.k8s.io"),
    ("nodes", ""),
    ("gatewayclasses", "gateway.networking.k8s.io"),
}


@pytest.mark.parametrize(
    "request_",
    [
        *(each for resource, group in sorted(CONFIG) for each in every_write(resource, group)),
        "verb: patch, resource: nodes/status, name: a, body: {status: {}}",
        *every_write("networkpolicies", "networking.k8s.io", "namespace: dev, "),
        *every_write("endpoints", "", "namespace: dev, "),
        *every_write("endpointslices", "discovery.k8s.io", "namespace: dev, "),
        new("services", "spec: {externalIPs: [192.0.2.1]}"),
        f"verb: patch, {dev('services')}, body: {{spec: {{externalIPs: [192.0.2.1]}}}}",
        f"verb: patch, {dev('services')}, patchType: json-patch, body: [{{op: add, path: /spec/externalIPs/-, value: x}}]",
        f"verb: patch, {dev('services')}, body: {{}}, result: {{spec: {{externalIPs: [192.0.2.1]}}}}",
        f"verb: update, {dev('services')}, body: {{metadata: {{name: a}}, spec: {{externalIPs: [192.0.2.1]}}}}",
        f"verb: patch, {dev('services/status')}, body: {{status: {{loadBalancer: {{ingress: [{{ip: 192.0.2.1}}]}}}}}}",
    ],
)  # fmt: skip
def test_bypass_4_cluster_config(request_):
    assert_escalation(request_)


@pytest.mark.parametrize(
    "request_",
    [
        "verb: update, apiGroup: coordination.k8s.io, resource: leases, namespace: kube-system, name: a, body: {metadata: {name: a}}",
        "verb: apply, apiGroup: coordination.k8s.io, resource: leases, namespace: kube-system, name: a, body: {metadata: {name: a}}",
        "verb: patch, resource: configmaps, namespace: kube-system, name: coredns, body: {data: {Corefile: x}}",
        new("ingresses", "spec: {}", "networking.k8s.io"),
        new("gateways", "spec: {}", "gateway.networking.k8s.io"),
        new("httproutes", "spec: {}", "gateway.networking.k8s.io"),
        new("services", "spec: {type: LoadBalancer}"),
        new("services", "spec: {type: ExternalName, externalName: x}"),
    ],
)
def test_bypass_4_cluster_config_by_ordinary_kinds(request_):
    assert_not_allowed(request_)


# --- aliases ---


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1", "v2", "v99"])
def test_bypass_4_aliases_the_version_never_decides(version):
    rule = "  - {name: r, verbs: [get], apiGroups: [example.com], resources: [widgets], action: Deny}\n"
    request = f"verb: get, apiGroup: example.com, apiVersion: {version}, resource: widgets, namespace: dev, name: a"
    assert policies(EVERYTHING, rule).decide(ask(request)).action is Action.DENY


@pytest.mark.parametrize(
    ("named", "asked"),
    [
        (("", "events"), ("events.k8s.io", "events")),
        (("events.k8s.io", "events"), ("", "events")),
        (("apps", "deployments"), ("extensions", "deployments")),
        (("networking.k8s.io", "ingresses"), ("extensions", "ingresses")),
    ],
)
def test_bypass_4_aliases_the_same_object_under_two_groups_is_one(named, asked):
    rule = f"  - {{name: r, verbs: [get], apiGroups: ['{named[0]}'], resources: [{named[1]}], action: Deny}}\n"
    request = f"verb: get, apiGroup: '{asked[0]}', resource: {asked[1]}, namespace: dev, name: a"
    assert policies(EVERYTHING, rule).decide(ask(request)).action is Action.DENY


@pytest.mark.parametrize(
    ("group", "resource"),
    [("", "po"), ("", "pods.v1."), ("", "pods,secrets"), ("nosuch.example.com", "pods"), ("", "sеcrets"), ("", "futures")],
)  # fmt: skip
def test_bypass_4_unknown_groups_and_resources_are_denied(group, resource):
    """Short names, `type.version.group` and comma lists are resolved by clients: on the wire they are unknown kinds."""
    path = f"/apis/{group}/v1" if group else "/api/v1"
    case = f"method: GET, path: '{path}/namespaces/dev/{resource}'"
    if not resource.isascii():
        with pytest.raises(Refused):  # before any policy
            ask(case)
        return
    assert ask(case).attributes.resource == resource
    assert SHIPPED.decide(ask(case)).action is Action.DENY
