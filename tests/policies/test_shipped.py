"""The policies in `policies/` do what their cases and section 4 of the bypass table say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pratique.documents.folder import read_files
from pratique.policy.cases import parse_cases, policy_request, run_cases
from pratique.policy.check import check_folder_documents
from pratique.policy.decision import compile_policies
from pratique.policy.discovery_class import classify
from pratique.verdict import Action

FOLDER = Path(__file__).parents[2] / "policies"
NAMES = ("read-only", "mcp-default", "break-glass")


def documents():
    return read_files([FOLDER / f"{name}.yaml" for name in NAMES])


def cases(name):
    file = FOLDER / f"{name}.cases.yaml"
    return parse_cases(file.read_text(), str(file))


@pytest.fixture(scope="module")
def policies():
    return compile_policies(documents())


@pytest.mark.parametrize("name", NAMES)
def test_every_case_gets_its_verdict_with_all_policies_loaded_together(policies, name):
    assert [(r.case.name, r.problem) for r in run_cases(policies, cases(name)) if not r.passed] == []


def test_the_cases_together_reach_every_rule():
    report = check_folder_documents(documents(), [case for name in NAMES for case in cases(name)])
    assert report.lines() == []
    assert report.passed


def test_no_client_is_a_subject_of_two_policies(policies):
    for client in ("viewer-1", "mcp-1", "demo", "break-glass-1"):
        assert len({rule.policy for rule in policies.rules if rule._subjects.match(client)}) == 1, client


CASE = """
apiVersion: pratique/v1
kind: PolicyCases
metadata: {{name: row}}
spec:
  client: mcp-1
  cases:
  - name: row
    request: {request}
    expect: {{action: Allow}}
"""
POD = "{metadata: {name: web}, spec: {containers: []}}"
WEB = "apiGroup: apps, resource: deployments, namespace: dev, name: web"
RBAC = "apiGroup: rbac.authorization.k8s.io"

# bypass.md section 4: each goal, and the other ways to it. None of them is allowed at once.
SAME_EFFECT = {
    "delete pods": [
        "{verb: delete, resource: pods, namespace: dev, name: web}",
        "{verb: deletecollection, resource: pods, namespace: dev}",
        "{verb: deletecollection, resource: pods}",
        "{verb: create, resource: pods/eviction, namespace: dev, name: web, body: {metadata: {name: web}}}",
        "{verb: patch, apiGroup: apps, resource: deployments/scale, namespace: dev, name: web, body: {spec: {replicas: 0}}}",
        f"{{verb: patch, {WEB}, body: {{spec: {{replicas: 0}}}}}}",
        f"{{verb: update, {WEB}, body: {{metadata: {{name: web}}, spec: {{replicas: 0}}}}}}",
        f"{{verb: apply, {WEB}, body: {{metadata: {{name: web}}, spec: {{replicas: 0}}}}}}",
        "{verb: patch, apiGroup: batch, resource: jobs, namespace: dev, name: a, body: {spec: {suspend: true}}}",
        "{verb: patch, resource: pods, namespace: dev, name: web, body: {metadata: {labels: {app: b}}}}",
        "{verb: patch, resource: pods, namespace: dev, name: web, body: {metadata: {finalizers: null}}}",
        "{verb: patch, apiGroup: autoscaling, resource: horizontalpodautoscalers, namespace: dev, name: a, body: {spec: {minReplicas: 0}}}",
        "{verb: patch, resource: pods/resize, namespace: dev, name: web, body: {spec: {}}}",
        "{verb: delete, resource: namespaces, name: dev}",
        "{verb: delete, resource: nodes, name: n1}",
        "{verb: patch, resource: nodes, name: n1, body: {spec: {unschedulable: true}}}",
        "{verb: create, resource: resourcequotas, namespace: dev, body: {metadata: {name: a}}}",
        "{verb: delete, apiGroup: policy, resource: poddisruptionbudgets, namespace: dev, name: a}",
        "{verb: delete, resource: persistentvolumeclaims, namespace: dev, name: a}",
        "{verb: delete, apiGroup: apiextensions.k8s.io, resource: customresourcedefinitions, name: a.b}",
    ],
    "exec": [
        "{verb: get, resource: pods/exec, namespace: dev, name: web, command: [id]}",
        "{verb: create, resource: pods/exec, namespace: dev, name: web, command: [id]}",
        "{verb: get, resource: pods/attach, namespace: dev, name: web}",
        "{verb: get, resource: pods/portforward, namespace: dev, name: web}",
        "{method: GET, path: /api/v1/namespaces/dev/pods/web/proxy/debug}",
        "{method: GET, path: /api/v1/namespaces/dev/services/web/proxy/debug}",
        "{method: GET, path: /api/v1/nodes/n1/proxy/exec/dev/web/c}",
        "{verb: patch, resource: pods/ephemeralcontainers, namespace: dev, name: web, body: {spec: {ephemeralContainers: []}}}",
        f"{{verb: patch, {WEB}, body: {{spec: {{template: {{spec: {{containers: [{{name: a, image: b}}]}}}}}}}}}}",
        "{verb: patch, resource: configmaps, namespace: dev, name: scripts, body: {data: {a: b}}}",
    ],
    "create pods with powers": [
        "{verb: create, resource: pods, namespace: dev, body: {metadata: {name: a}, spec: {hostPID: true, containers: []}}}",
        "{verb: create, apiGroup: apps, resource: daemonsets, namespace: dev, body: {metadata: {name: a}}}",
        "{verb: create, apiGroup: batch, resource: cronjobs, namespace: dev, body: {metadata: {name: a}, spec: {jobTemplate: {spec: {template: {spec: {nodeName: n1}}}}}}}",
        "{verb: create, resource: pods, namespace: dev, body: {metadata: {name: a}, spec: {serviceAccountName: admin}}}",
        "{verb: create, resource: pods, namespace: dev, body: {metadata: {name: a}, spec: {runtimeClassName: x}}}",
        "{verb: create, resource: pods, namespace: dev, body: {metadata: {name: a}, spec: {tolerations: [{operator: Exists}]}}}",
        "{verb: create, resource: pods, namespace: dev, body: {metadata: {name: a}, spec: {volumes: [{name: a, projected: {}}]}}}",
        "{verb: create, resource: pods/binding, namespace: dev, name: web, body: {metadata: {name: web}}}",
        "{verb: create, resource: bindings, namespace: dev, body: {metadata: {name: web}}}",
        "{verb: create, apiGroup: argoproj.io, resource: workflows, namespace: dev, body: {metadata: {name: a}}}",
        "{verb: create, apiGroup: karpenter.k8s.aws, resource: ec2nodeclasses, body: {metadata: {name: a}}}",
    ],
    "RBAC change": [
        f"{{verb: create, {RBAC}, resource: rolebindings, namespace: dev, body: {{metadata: {{name: a}}}}}}",
        f"{{verb: update, {RBAC}, resource: clusterroles, name: a, body: {{metadata: {{name: a}}}}}}",
        f"{{verb: patch, {RBAC}, resource: clusterroles, name: a, body: {{metadata: {{labels: {{}}}}}}}}",
        f"{{verb: apply, {RBAC}, resource: clusterrolebindings, name: a, body: {{metadata: {{name: a}}}}}}",
        "{verb: patch, resource: configmaps, namespace: kube-system, name: aws-auth, body: {data: {}}}",
        "{verb: patch, resource: serviceaccounts, namespace: dev, name: a, body: {metadata: {annotations: {eks.amazonaws.com/role-arn: x}}}}",
        "{verb: patch, resource: namespaces, name: dev, body: {metadata: {labels: {pod-security.kubernetes.io/enforce: privileged}}}}",
        "{verb: create, resource: serviceaccounts/token, namespace: dev, name: a, body: {spec: {}}}",
        "{verb: update, apiGroup: certificates.k8s.io, resource: certificatesigningrequests/approval, name: a, body: {metadata: {name: a}}}",
        "{verb: create, apiGroup: authorization.k8s.io, resource: subjectaccessreviews, body: {spec: {}}}",
        "{verb: create, resource: secrets, namespace: dev, body: {metadata: {name: a}, type: kubernetes.io/service-account-token}}",
    ],
    "cluster config": [
        "{verb: create, apiGroup: apiregistration.k8s.io, resource: apiservices, body: {metadata: {name: a}}}",
        "{verb: create, apiGroup: admissionregistration.k8s.io, resource: mutatingwebhookconfigurations, body: {metadata: {name: a}}}",
        "{verb: create, apiGroup: admissionregistration.k8s.io, resource: validatingadmissionpolicybindings, body: {metadata: {name: a}}}",
        "{verb: create, apiGroup: flowcontrol.apiserver.k8s.io, resource: flowschemas, body: {metadata: {name: a}}}",
        "{verb: create, apiGroup: storage.k8s.io, resource: storageclasses, body: {metadata: {name: a}}}",
        "{verb: create, apiGroup: scheduling.k8s.io, resource: priorityclasses, body: {metadata: {name: a}}}",
        "{verb: delete, apiGroup: networking.k8s.io, resource: networkpolicies, namespace: dev, name: a}",
        "{verb: update, apiGroup: coordination.k8s.io, resource: leases, namespace: kube-system, name: a, body: {metadata: {name: a}}}",
        "{verb: create, apiGroup: discovery.k8s.io, resource: endpointslices, namespace: dev, body: {metadata: {name: a}}}",
        "{verb: update, resource: services, namespace: dev, name: a, body: {metadata: {name: a}, spec: {externalIPs: [192.0.2.1]}}}",
    ],
}


@pytest.mark.parametrize(("goal", "request_"), [(goal, row) for goal, rows in SAME_EFFECT.items() for row in rows])
def test_no_other_way_to_the_same_effect_is_allowed_at_once(policies, goal, request_):
    [case] = parse_cases(CASE.format(request=request_), "row.yaml")
    assert policies.decide(policy_request(case)).action is not Action.ALLOW


VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def served(group, resources, verbs=None, namespaced=True):
    return {
        "groupVersion": group,
        "resources": [{"name": name, "namespaced": namespaced, "verbs": verbs or VERBS} for name in resources],
    }


DISCOVERY = [
    served(
        "v1",
        [
            "pods",
            "configmaps",
            "services",
            "secrets",
            "endpoints",
            "events",
            "serviceaccounts",
            "replicationcontrollers",
        ],
    ),
    served("v1", ["namespaces", "nodes", "persistentvolumes"], namespaced=False),
    served("v1", ["pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy"], ["create", "get"]),
    served("v1", ["pods/eviction", "pods/binding", "bindings", "serviceaccounts/token"], ["create"]),
    served("v1", ["pods/status", "pods/ephemeralcontainers", "pods/resize"], ["get", "patch", "update"]),
    served("v1", ["nodes/proxy"], ["create", "delete", "get", "patch", "update"], namespaced=False),
    served("v1", ["namespaces/finalize"], ["update"], namespaced=False),
    served("apps/v1", ["deployments", "statefulsets", "replicasets", "daemonsets", "controllerrevisions"]),
    served("apps/v1", ["deployments/scale", "deployments/status"], ["get", "patch", "update"]),
    served("batch/v1", ["jobs", "cronjobs"]),
    served("networking.k8s.io/v1", ["ingresses", "networkpolicies"]),
    served("rbac.authorization.k8s.io/v1", ["roles", "rolebindings"]),
    served("rbac.authorization.k8s.io/v1", ["clusterroles", "clusterrolebindings"], namespaced=False),
    served("apiextensions.k8s.io/v1", ["customresourcedefinitions"], namespaced=False),
]


def test_each_resource_and_verb_of_discovery_is_in_one_class_of_mcp_default(policies):
    """The classes are Allow, RequireApproval and Deny: the rules that match a request do not disagree."""
    classified = classify(policies, DISCOVERY, "mcp-1")
    assert len(classified) > 150
    assert [
        each
        for each in classified
        if len(each.actions) > 1 and each.label.split()[0] in {"get", "list", "watch", "create"}
    ] == []
    assert {each.action for each in classified} == set(Action)


def test_reads_never_need_an_approval_and_deletes_are_never_allowed(policies):
    for each in classify(policies, DISCOVERY, "mcp-1"):
        verb, resource = each.label.split()
        if verb in {"list", "watch"}:
            assert each.action is Action.ALLOW, each
        if verb.startswith("delete"):
            assert each.action is not Action.ALLOW, each


def test_kinds_that_the_policy_does_not_name_are_denied(policies):
    unknown = [
        served("example.com/v1", ["widgets", "widgets/status"]),
        served("v1", ["sеcrets", "futures"]),
        served("apps/v1", ["pods2/exec"]),
    ]
    assert {each.action for each in classify(policies, unknown, "mcp-1")} == {Action.DENY}
