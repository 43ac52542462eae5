"""Every power is seen in every workload kind; what cannot be seen is unknown. Escalation needs to be named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pratique.policy.powers import _TEMPLATES, MAX_MAPPINGS, POWERS, of_pod_spec, template_of
from pratique.verdict import Action
from tests.policy.test_decision import ask, policies

A, R, D = Action.ALLOW, Action.REQUIRE_APPROVAL, Action.DENY


def container(**fields):
    return {"containers": [{"name": "a", "image": "i", **fields}]}


SPECS = {
    "claimVolumes": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]},
    "otherVolumes": {"volumes": [{"name": "v", "nfs": {"server": "x"}}]},
    "probeHosts": container(readinessProbe={"httpGet": {"host": "169.254.169.254", "port": 80}}),
    "seLinuxOptions": container(securityContext={"seLinuxOptions": {"type": "spc_t"}}),
    "capabilities": container(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}),
    "csiVolumes": {"volumes": [{"csi": {"driver": "x"}}]},
    "ephemeralContainers": {"ephemeralContainers": [{"name": "a"}]},
    "hostIPC": {"hostIPC": True},
    "hostNetwork": {"hostNetwork": True},
    "hostPID": {"hostPID": True},
    "hostPath": {"volumes": [{"hostPath": {"path": "/"}}]},
    "hostPorts": container(ports=[{"hostPort": 80}]),
    "hostProcess": {"securityContext": {"windowsOptions": {"hostProcess": True}}},
    "lifecycleExec": container(livenessProbe={"exec": {"command": ["id"]}}),
    "nodeName": {"nodeName": "n1"},
    "priorityClassName": {"priorityClassName": "high"},
    "privileged": {"initContainers": [{"securityContext": {"privileged": True}}]},
    "privilegeEscalation": container(securityContext={"allowPrivilegeEscalation": True}),
    "procMount": container(securityContext={"procMount": "Unmasked"}),
    "projectedVolumes": {"volumes": [{"projected": {}}]},
    "resourceClaims": {"resourceClaims": [{"name": "gpu"}]},
    "runAsRoot": {"securityContext": {"runAsUser": 0}},
    "runtimeClassName": {"runtimeClassName": "x"},
    "secretEnv": container(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]),
    "secretVolumes": {"volumes": [{"secret": {"secretName": "s"}}]},
    "serviceAccountName": {"serviceAccount": "admin"},
    "sysctls": {"securityContext": {"sysctls": [{"name": "a"}]}},
    "tolerations": {"tolerations": [{"operator": "Exists"}]},
    "unconfined": container(securityContext={"seccompProfile": {"type": "Unconfined"}}),
}


def in_kind(path, spec):
    for step in reversed(path):
        spec = {step: spec}
    return spec


def test_every_power_has_a_row_here():
    assert set(SPECS) | {"unknown"} == POWERS


@pytest.mark.parametrize("power", sorted(SPECS))
def test_each_power_alone_is_seen_in_every_workload_kind(power):
    for (group, resource), path in _TEMPLATES.items():
        request = ask("create", resource, info={"api_group": group}, document=in_kind(path, SPECS[power]))
        assert template_of(request).powers == {power}, resource


@pytest.mark.parametrize(
    "volume",
    [
        {"configMap": {"name": "a"}},
        {"emptyDir": {}},
        {"downwardAPI": {}},
        {"ephemeral": {}},
        {"image": {"reference": "i"}},
        {"secret": None},
    ],
)
def test_volumes_of_the_pods_own_are_no_power(volume):
    assert of_pod_spec({"volumes": [{"name": "v", **volume}]}).powers == set()


@pytest.mark.parametrize("kind", ["gitRepo", "iscsi", "azureFile", "aVolumeThatDoesNotExistYet"])
def test_volumes_that_are_not_known_are_a_power(kind):
    assert of_pod_spec({"volumes": [{"name": "v", kind: {}}]}).powers == {"otherVolumes"}


@pytest.mark.parametrize(
    ("spec", "powers"),
    [
        ({"hostPath": {"path": "/"}, "capacity": {}, "accessModes": []}, {"hostPath"}),
        ({"local": {"path": "/"}}, {"hostPath"}),
        ({"csi": {"driver": "x"}, "claimRef": {}}, {"csiVolumes"}),
        ({"nfs": {}}, {"otherVolumes"}),
        ({"storageClassName": "x"}, set()),
        ("x", {"unknown"}),
    ],
)
def test_a_persistent_volume_can_be_the_hosts_disk(spec, powers):
    assert template_of(ask("create", "persistentvolumes", document={"spec": spec})).powers == powers


def test_apparmor_can_be_switched_off_by_an_annotation():
    key = "container.apparmor.security.beta.kubernetes.io/a"
    for value, powers in (("unconfined", {"unconfined"}), ("runtime/default", set())):
        body = {"metadata": {"annotations": {key: value}}, "spec": {}}
        assert template_of(ask("create", document=body)).powers == powers
        deployment = {"spec": {"template": body}}
        assert (
            template_of(ask("create", "deployments", info={"api_group": "apps"}, document=deployment)).powers == powers
        )
    assert template_of(ask("create", document={"metadata": {"annotations": [1]}, "spec": {}})).unknown


def test_an_ephemeral_container_has_its_power_and_those_of_its_pod():
    request = ask("patch", "pods/ephemeralcontainers", patch_type="strategic-merge-patch", document={"spec": {}})
    assert template_of(request).powers == {"ephemeralContainers", "unknown"}
    result = {"spec": {"ephemeralContainers": [{"name": "d", "securityContext": {"privileged": True}}]}}
    assert template_of(replace(request, result=result)).powers == {"ephemeralContainers", "privileged"}


@pytest.mark.parametrize("subresource", ["status", "scale", "resize", "eviction"])
def test_other_subresources_hold_no_template(subresource):
    verb = "create" if subresource == "eviction" else "update"
    body = {"spec": {"hostPID": True}}
    assert template_of(ask(verb, f"pods/{subresource}", document=body)).powers == set()


def test_a_kind_that_is_not_built_in_is_searched_whatever_its_group():
    body = {"spec": {"a": {"hostNetwork": True}}}
    for group in ("jobset.x-k8s.io", "new.k8s.io", "apps", "example.com"):
        assert template_of(ask("create", "things", info={"api_group": group}, document=body)).powers == {"hostNetwork"}
    assert template_of(ask("create", "configmaps", document={"data": {"hostNetwork": "true"}})).powers == set()


def test_a_custom_resource_with_more_than_a_person_writes_is_unknown():
    body = {"spec": [{"image": str(number)} for number in range(MAX_MAPPINGS + 1)]}
    assert template_of(ask("create", "things", info={"api_group": "a.b"}, document=body)).unknown
    body["spec"].pop()
    assert len(template_of(ask("create", "things", info={"api_group": "a.b"}, document=body)).images) == MAX_MAPPINGS


def test_a_custom_resource_is_searched_for_pod_fields():
    body = {"spec": {"templates": [{"container": {"image": "x"}, "deep": {"hostPath": {"path": "/"}}}]}}
    template = template_of(ask("create", "workflows", info={"api_group": "argoproj.io"}, document=body))
    assert template.powers == {"hostPath"}
    assert template.images == {"x"}


@pytest.mark.parametrize(
    "spec", [None, [], "x", {"volumes": 1}, {"volumes": [1]}, {"containers": [{"env": [1]}]}, {"securityContext": 1}]
)
def test_what_has_not_the_shape_of_a_pod_spec_is_unknown(spec):
    assert of_pod_spec(spec).unknown


@pytest.mark.parametrize(
    ("patch_type", "document"),
    [
        ("json-patch", [{"op": "add", "path": "/metadata/labels/a", "value": "b"}]),
        ("json-patch", [{"op": "add", "path": "/spec/template/spec/hostPID", "value": True}]),
        ("json-patch", {}),
        ("merge-patch", {"metadata": {"labels": {}}}),
        ("merge-patch", {"spec": {"replicas": 1}}),
        ("merge-patch", {"spec": None}),
        ("strategic-merge-patch", {"$patch": "replace"}),
        ("strategic-merge-patch", {"spec": {"$retainKeys": ["a"]}}),
        ("apply-patch", {"spec": {"template": {"spec": {"containers": []}}}}),
    ],
)
@pytest.mark.parametrize(("group", "resource"), [("apps", "deployments"), ("argoproj.io", "workflows")])
def test_bypass_3_17_the_powers_of_a_patch_are_those_of_its_result(patch_type, document, group, resource):
    request = ask("patch", resource, info={"api_group": group}, patch_type=patch_type, document=document)
    assert template_of(request).unknown
    result = {"spec": {"template": {"spec": {"hostPID": True}}}}
    assert template_of(replace(request, result=result)).powers == {"hostPID"}
    assert template_of(replace(request, result={"spec": {}})).powers == set()


def test_powers_that_a_patch_shows_are_told_although_its_result_is_unknown():
    body = {"spec": {"template": {"spec": {"hostPID": True}}}}
    request = ask("patch", "deployments", info={"api_group": "apps"}, patch_type="merge-patch", document=body)
    assert template_of(request).powers == {"hostPID", "unknown"}


PRIVILEGED = {"spec": {"containers": [{"image": "evil/x", "securityContext": {"privileged": True}}], "hostPID": True}}
PLAIN = {"spec": {"containers": [{"image": "good/x"}]}}
ALL = "verbs: ['*'], resources: ['*'], action: Allow"


@pytest.mark.parametrize(
    ("field", "document", "allow", "deny"),
    [
        ("podPowers: [privileged]", PRIVILEGED, D, D),
        ("podPowers: [privileged, hostPID]", PRIVILEGED, A, D),
        ("podPowers: [hostPath]", PRIVILEGED, D, A),
        ("podPowers: [privileged]", PLAIN, A, A),
        ("podPowers: [privileged]", {"spec": 1}, D, D),
        ("images: ['good/*']", PLAIN, A, None),
        ("images: ['good/*']", PRIVILEGED, D, None),
        ("images: ['good/*']", {"spec": 1}, D, None),
        ("imagesOutside: ['good/*']", PLAIN, None, A),
        ("imagesOutside: ['good/*']", PRIVILEGED, None, D),
        ("imagesOutside: ['good/*']", {"spec": 1}, None, D),
    ],
)
def test_allow_means_no_other_powers_and_deny_means_any(field, document, allow, deny):
    request = ask("create", document=document)
    fields = f"verbs: [create], resources: [pods], {field}"
    if allow:
        assert policies(f"{fields}, action: Allow").decide(request).action is allow
    if deny:
        assert policies(f"{fields}, action: Deny", ALL).decide(request).action is deny


RBAC = {"api_group": "rbac.authorization.k8s.io"}


@pytest.mark.parametrize(
    ("verb", "resource", "info"),
    [
        ("create", "clusterrolebindings", RBAC),
        ("delete", "roles", RBAC),
        ("apply", "clusterroles", RBAC),
        ("create", "mutatingwebhookconfigurations", {"api_group": "admissionregistration.k8s.io"}),
        ("patch", "validatingadmissionpolicybindings", {"api_group": "admissionregistration.k8s.io"}),
        ("create", "customresourcedefinitions", {"api_group": "apiextensions.k8s.io"}),
        ("create", "apiservices", {"api_group": "apiregistration.k8s.io"}),
        ("update", "certificatesigningrequests/approval", {"api_group": "certificates.k8s.io"}),
        ("create", "flowschemas", {"api_group": "flowcontrol.apiserver.k8s.io"}),
        ("create", "subjectaccessreviews", {"api_group": "authorization.k8s.io"}),
        ("create", "serviceaccounts/token", {}),
        ("get", "nodes/proxy", {}),
        ("get", "pods/proxy", {}),
        ("create", "services/proxy", {}),
        ("create", "bindings", {}),
        ("create", "pods/binding", {}),
        ("update", "namespaces/finalize", {}),
    ],
)
def test_the_escalation_class_is_denied_to_wildcards_and_granted_to_names(verb, resource, info):
    request = ask(verb, resource, info=info)
    for action in ("Allow", "RequireApproval"):
        for wildcard in ("'*/*'", f"'{resource.partition('/')[0]}/*'"):
            verdict = policies(f"verbs: ['*'], apiGroups: ['*'], resources: [{wildcard}], action: {action}").decide(
                request
            )
            assert verdict.action is D
        # the content of an update counts as well: it may leave out the labels of Pod Security
        also = ", escalations: [pod-security-labels]" if resource == "namespaces/finalize" else ""
        named = f"verbs: ['*'], apiGroups: ['*'], resources: [{resource}], action: {action}{also}"
        assert policies(named).decide(request).action.value == action


def test_reading_the_class_is_not_escalation():
    rule = "verbs: [get, list], apiGroups: ['*'], resources: ['*'], action: Allow"
    assert policies(rule).decide(ask("list", "clusterroles", info=RBAC)).action is A


KUBE = {"namespace": "kube-system"}
ARN = {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "x"}}}
LOOSE = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
TOKEN = {"type": "kubernetes.io/service-account-token"}


def json_patch(path):
    return {"patch_type": "json-patch", "document": [{"op": "add", "path": path, "value": "x"}]}


@pytest.mark.parametrize(
    ("escalation", "request_"),
    [
        (
            "aws-auth",
            ask("patch", "configmaps", info={**KUBE, "name": "aws-auth"}, patch_type="merge-patch", document={}),
        ),
        ("aws-auth", ask("deletecollection", "configmaps", info=KUBE)),
        ("aws-auth", ask("create", "configmaps", info=KUBE, document={"metadata": {"generateName": "a"}})),
        ("irsa-annotation", ask("create", "serviceaccounts", document=ARN)),
        ("irsa-annotation", ask("patch", "serviceaccounts", patch_type="merge-patch", document=ARN)),
        (
            "irsa-annotation",
            ask("patch", "serviceaccounts", **json_patch("/metadata/annotations/eks.amazonaws.com~1role-arn")),
        ),
        ("irsa-annotation", ask("patch", "serviceaccounts", **json_patch("/metadata"))),
        ("irsa-annotation", ask("patch", "serviceaccounts", patch_type="json-patch", document=[1])),
        ("irsa-annotation", ask("create", "serviceaccounts", document=None)),
        ("pod-security-labels", ask("patch", "namespaces", patch_type="merge-patch", document=LOOSE)),
        (
            "pod-security-labels",
            ask("patch", "namespaces", patch_type="merge-patch", document={"metadata": {"labels": None}}),
        ),
        (
            "pod-security-labels",
            ask(
                "patch",
                "namespaces",
                patch_type="strategic-merge-patch",
                document={"metadata": {"labels": {"$patch": "replace"}}},
            ),
        ),
        ("pod-security-labels", ask("update", "namespaces", document={"metadata": {}})),
        ("service-account-token", ask("create", "secrets", document=TOKEN)),
        ("service-account-token", ask("patch", "secrets", **json_patch("/type"))),
        ("service-account-token", ask("create", "secrets", document=None)),
    ],
)
def test_escalation_by_content_must_be_listed_in_the_rule(escalation, request_):
    fields = "verbs: ['*'], resources: [configmaps, serviceaccounts, namespaces, secrets]"
    for action in ("Allow", "RequireApproval"):
        assert policies(f"{fields}, action: {action}").decide(request_).action is D
        listed = policies(f"{fields}, escalations: [{escalation}], action: {action}")
        assert listed.decide(request_).action.value == action


@pytest.mark.parametrize(
    "request_",
    [
        ask("patch", "configmaps", info={"name": "aws-auth"}, patch_type="merge-patch", document={}),
        ask("patch", "serviceaccounts", patch_type="merge-patch", document={"metadata": {"annotations": {"a": "b"}}}),
        ask("patch", "serviceaccounts", **json_patch("/metadata/annotations/other")),
        ask("patch", "namespaces", patch_type="merge-patch", document={"metadata": {"labels": {"a": "b"}}}),
        ask("create", "secrets", document={"type": "Opaque"}),
        ask("patch", "secrets", **json_patch("/data/a")),
        ask("delete", "secrets"),
        ask("delete", "serviceaccounts"),
    ],
)
def test_ordinary_writes_of_the_same_kinds_are_not_escalation(request_):
    fields = "verbs: ['*'], resources: [configmaps, serviceaccounts, namespaces, secrets]"
    assert policies(f"{fields}, action: Allow").decide(request_).action is A


def test_a_secret_whose_type_is_no_text_counts_as_a_token():
    fields = "verbs: ['*'], resources: [secrets], action: Allow"
    for kind, expected in ((["x"], D), ({}, D), (7, D), (None, A), ("Opaque", A), ("bootstrap.kubernetes.io/token", D)):
        assert policies(fields).decide(ask("create", "secrets", document={"type": kind})).action is expected
