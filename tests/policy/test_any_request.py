"""For any request at all the engine has a verdict: it never raises, and `explain` and `needs` neither."""

from __future__ import annotations

import copy
import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pratique.documents.folder import read_files
from pratique.policy.decision import compile_policies
from pratique.policy.explain import explain
from pratique.policy.powers import _TEMPLATES
from pratique.policy.request import ABSENT, ExecOptions, PolicyRequest
from pratique.verdict import Action
from tests.policy.test_decision import Info, policies

FOLDER = Path(__file__).parents[2] / "policies"
SHIPPED = compile_policies(read_files([FOLDER / f"{n}.yaml" for n in ("read-only", "mcp-default", "break-glass")]))
STRICT = policies(
    "verbs: ['*'], apiGroups: ['*'], resources: ['*/*'], podPowers: [privileged], images: ['a*'], action: Allow",
    "verbs: ['*'], apiGroups: ['*'], resources: ['*/*'], imagesOutside: ['a*'], namespaceSelector: {matchLabels: {a: b}}, action: Deny",
    "verbs: ['*'], apiGroups: ['*'], resources: ['*/*'], resourceNames: ['a*'], escalations: [aws-auth, external-ips, irsa-annotation, pod-security-labels, service-account-token], action: RequireApproval",
    "verbs: ['*'], apiGroups: ['*'], resources: ['*/*'], conditions: [{name: c, expression: \"object.spec == oldObject.spec || 'x' in images\"}], action: Allow",
)
KEYS = [
    "metadata", "name", "generateName", "labels", "annotations", "spec", "template", "containers", "volumes", "securityContext",
    "type", "data", "externalIPs", "status", "loadBalancer", "env", "envFrom", "image", "capabilities", "windowsOptions", "op",
    "path", "from", "value", "$patch", "jobTemplate", "ports", "lifecycle", "livenessProbe", "eks.amazonaws.com/role-arn",
]  # fmt: skip
JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=4)
    | some.sampled_from(["/spec", "/metadata/annotations", "/type", "hostPID", "kubernetes.io/service-account-token"]),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.sampled_from(KEYS) | some.text(max_size=3), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip
KINDS = [
    *_TEMPLATES, ("", "secrets"), ("", "configmaps"), ("", "services"), ("", "serviceaccounts"), ("", "namespaces"),
    ("", "persistentvolumes"), ("example.com", "widgets"), ("", "nodes"), ("", ""),
]  # fmt: skip
SUBRESOURCES = [
    "",
    "status",
    "scale",
    "exec",
    "attach",
    "portforward",
    "proxy",
    "eviction",
    "ephemeralcontainers",
    "token",
    "x",
]
INFO = some.builds(
    lambda kind, **fields: Info(api_group=kind[0], resource=kind[1], **fields),
    some.sampled_from(KINDS),
    verb=some.sampled_from(["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "", "proxy"]),
    subresource=some.sampled_from(SUBRESOURCES),
    namespace=some.sampled_from(["", "dev", "kube-system", "\udc80", "x" * 400]),
    name=some.sampled_from(["", "web", "aws-auth", "a:b:c:d", "https:web:80", "\udcff"]),
    is_resource_request=some.booleans() | some.just(True),
    error=some.sampled_from([None, None, None, "no"]),
)  # fmt: skip
# A body of everything that is looked at, in which one value is replaced by anything.
POD = {
    "metadata": {"name": "web", "annotations": {"a": "b"}, "labels": {"a": "b"}},
    "spec": {
        "hostPID": False, "serviceAccountName": "a", "tolerations": [], "securityContext": {"sysctls": [], "seLinuxOptions": {}},
        "volumes": [{"name": "v", "secret": {"secretName": "s"}}, {"name": "w", "image": {"reference": "i"}}],
        "containers": [{
            "name": "c", "image": "i", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}], "envFrom": [{"secretRef": {}}],
            "ports": [{"hostPort": 1}], "lifecycle": {"preStop": {"exec": {}}}, "livenessProbe": {"httpGet": {"host": "h"}},
            "securityContext": {"privileged": True, "capabilities": {"add": ["A"]}, "procMount": "Default", "runAsUser": 0,
                                "windowsOptions": {"hostProcess": True}, "seccompProfile": {"type": "Unconfined"}},
        }],
    },
}  # fmt: skip
BODY = {
    **POD, "type": "Opaque", "data": {"mapRoles": "x"}, "template": POD, "status": {"loadBalancer": {"ingress": []}},
    "spec": {**POD["spec"], "externalIPs": [], "template": POD, "jobTemplate": {"spec": {"template": POD}}, "csi": {}},
}  # fmt: skip


def places(value, path=()):
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


PLACES = sorted(places(BODY), key=str)


def replaced(path, new):
    if not path:
        return new
    body = copy.deepcopy(BODY)
    inner = body
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return body


SAMPLES = 120  # of some 9,000 for each kind; all of them take minutes, and have been tried
WRONG = [None, True, 0, -1.5, "", "x", [], [1], [None], {}, {"a": []}, {"$patch": "delete"}, [[]]]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_body_with_one_value_of_any_type_anywhere_has_a_verdict(kind):
    every = list(itertools.product(PLACES, WRONG, ("create", "patch")))
    for path, wrong, verb in random.Random(str(kind)).sample(every, SAMPLES):
        body = replaced(path, wrong)
        info = Info(api_group=kind[0], resource=kind[1], verb=verb, name="" if verb == "create" else "web")
        patch = "merge-patch" if verb == "patch" else ""
        request = PolicyRequest("mcp-1", info, document=body, patch_type=patch, result=body if patch else None)
        assert isinstance(STRICT.decide(request).action, Action)
        STRICT.needs(request)


REQUESTS = some.builds(
    PolicyRequest,
    some.sampled_from(["mcp-1", "viewer-1", "break-glass-1", "", "\x00"]),
    INFO,
    patch_type=some.sampled_from(["", "json-patch", "merge-patch", "strategic-merge-patch", "apply-patch", "?"]),
    document=JSON,
    result=some.none() | JSON,
    old_object=some.just(ABSENT) | JSON,
    dry_run=some.booleans(),
    exec=some.none()
    | some.builds(ExecOptions, some.none() | some.tuples(some.text(max_size=3)), stdin=some.booleans()),
    ports=some.none() | some.tuples(some.integers() | some.text(max_size=3)),
    namespace_labels=some.none() | some.dictionaries(some.text(max_size=2), some.text(max_size=2), max_size=2),
)


@settings(max_examples=120, deadline=None)
@given(REQUESTS)
def test_any_request_has_a_verdict_and_explain_agrees_with_it(request):
    for compiled in (SHIPPED, STRICT):
        verdict = compiled.decide(request)
        assert isinstance(verdict.action, Action)
        assert not (verdict.errors and verdict.allows)
        matched = {trace.rule for trace in compiled.explain(request) if trace.matched or trace.error}
        assert {rule for rule in verdict.rules if not rule.startswith("builtin/")} <= matched
        needs = compiled.needs(request)
        if any(needs):
            assert not request.fault
        assert explain(compiled, request).verdict == verdict


def test_the_order_of_rules_and_what_was_asked_before_change_nothing():
    """Decisions are remembered: a fresh set, one that was asked a thousand things, and a reversed one agree."""
    chance = random.Random(3)
    rules = [
        f"verbs: [{verb}], resources: [{resource}], {more}action: {action}"
        for verb in ("get", "create", "delete")
        for resource in ("pods", "'*'", "secrets")
        for more in ("", "namespaces: [dev], ", "namespaces: ['d*', x], ", "resourceNames: [web], ", "dryRun: true, ")
        for action in ("Allow", "RequireApproval", "Deny")
    ]
    for _ in range(10):
        some_rules = chance.sample(rules, 12)
        used, reversed_ = policies(*some_rules), policies(*reversed(some_rules))
        requests = [
            PolicyRequest(
                "mcp-1",
                Info(verb=verb, resource=resource, namespace=namespace, name=name),
                document={"metadata": {"name": "web"}},
                dry_run=dry,
            )
            for verb in ("get", "create", "delete", "list", "watch")
            for resource in ("pods", "secrets", "nodes")
            for namespace in ("", "dev", "dx", "x", "y")
            for name in ("web", "other")
            for dry in (False, True)
        ]
        chance.shuffle(requests)
        for request in requests:
            fresh = policies(*some_rules[:0] or some_rules) if chance.random() < 0.02 else used
            verdict = used.decide(request)
            assert verdict.action is reversed_.decide(request).action
            assert verdict == fresh.decide(request)
