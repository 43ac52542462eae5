"""The escalation class: requests by which a client gives itself, or a pod, more than it was given.

Belongs here: what is in the class. Denied unless an Allow or RequireApproval rule *names* it (bypass by wildcard is
what the class is for; and the API server's own escalation check looks at the gateway's identity, which may hold
everything):

* by resource: the rule's `resources` has the resource itself, not `*`, `*/*`, `*/token` or `pods/*`;
* by content (`Escalation`): the rule lists it under `escalations`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pratique.policy.demands import Demand
from pratique.policy.request import APPLY_PATCH, JSON_PATCH, Attributes, PolicyRequest, pointer

type Escalation = Literal["aws-auth", "external-ips", "irsa-annotation", "pod-security-labels", "service-account-token"]

AWS_AUTH: Escalation = "aws-auth"  # ConfigMaps that map identities to groups
IRSA: Escalation = "irsa-annotation"  # a ServiceAccount annotation that names an IAM role
TOKEN_SECRET: Escalation = "service-account-token"  # noqa: S105 - Secret types that are tokens
EXTERNAL_IPS: Escalation = "external-ips"  # a Service that takes over an address (CVE-2020-8554)
POD_SECURITY: Escalation = "pod-security-labels"  # Namespace labels that loosen Pod Security admission

READS = frozenset({"get", "list", "watch"})
WRITES_OF_CONTENT = frozenset({"create", "update", "patch"})

WRITE_GROUPS = frozenset(
    {
        "rbac.authorization.k8s.io",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "certificates.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "internal.apiserver.k8s.io",
        "storagemigration.k8s.io",
        "iamauthenticator.k8s.aws",  # IAMIdentityMapping
        "iam.services.k8s.aws",  # ACK: IAM roles as objects
        "eks.services.k8s.aws",  # ACK: access entries as objects
        "iam.aws.upbound.io",  # Crossplane: the same
        "eks.aws.upbound.io",
        "karpenter.k8s.aws",  # EC2NodeClass: userData runs as root on nodes
    }
)  # whole groups, so that a kind added to them later is in the class

WRITES = frozenset(
    {
        ("", "endpoints"),  # redirect the traffic of a Service (CVE-2021-25740)
        ("discovery.k8s.io", "endpointslices"),
        ("networking.k8s.io", "networkpolicies"),  # they add up: a new one opens as a deleted one does
        ("networking.k8s.io", "ingressclasses"),
        ("networking.k8s.io", "ipaddresses"),
        ("networking.k8s.io", "servicecidrs"),
        ("gateway.networking.k8s.io", "gatewayclasses"),
        ("", "nodes"),  # labels and taints choose what runs where, and end what does
        ("", "nodes/status"),
        ("", "persistentvolumes"),  # a hostPath by way of a claim
        ("", "persistentvolumes/status"),
        ("storage.k8s.io", "csidrivers"),
        ("storage.k8s.io", "csinodes"),
        ("storage.k8s.io", "storageclasses"),
        ("storage.k8s.io", "volumeattachments"),
        ("storage.k8s.io", "volumeattachments/status"),
        ("storage.k8s.io", "volumeattributesclasses"),
        ("node.k8s.io", "runtimeclasses"),
        ("scheduling.k8s.io", "priorityclasses"),  # preemption ends pods of others
        ("resource.k8s.io", "deviceclasses"),
        ("resource.k8s.io", "resourceslices"),
    }
)  # configuration of the cluster, or of others' traffic

ANY_VERB = frozenset(
    {
        ("", "nodes/proxy"),  # the kubelet API: exec in every pod of the node, by GET
        ("", "pods/proxy"),
        ("", "services/proxy"),
        ("", "serviceaccounts/token"),
        ("", "pods/binding"),
        ("", "bindings"),
        ("", "namespaces/finalize"),
        ("", "users"),
        ("", "groups"),
        ("authentication.k8s.io", "uids"),
        ("authentication.k8s.io", "userextras"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
    }
)  # tokens, connections past the API server, scheduling by hand, impersonation, reconnaissance

IDENTITY_CONFIG_MAPS = frozenset({"aws-auth", "extension-apiserver-authentication"})
ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
POD_SECURITY_LABELS = "pod-security.kubernetes.io/"
TOKEN_SECRET_TYPES = frozenset(
    {
        "kubernetes.io/service-account-token",  # the controller fills in a token
        "bootstrap.kubernetes.io/token",  # a token by which nodes join
    }
)


def by_resource(demand: Demand) -> bool:
    """The class by group and resource. Reads of API objects are not in it; connections and tokens always are."""
    name = f"{demand.resource}/{demand.subresource}" if demand.subresource else demand.resource
    for group in demand.groups:
        if (group, name) in ANY_VERB:
            return True
        if demand.verb not in READS and (group in WRITE_GROUPS or (group, name) in WRITES):
            return True
    return False


def is_checked(attributes: Attributes) -> bool:
    """Whether the content of such a request can put it in the class."""
    return attributes.verb not in READS and (attributes.api_group, attributes.resource) in _CHECKS


def by_content(request: PolicyRequest) -> frozenset[Escalation]:
    """The classes that the body (or the name) puts the request in; what cannot be told is in."""
    attributes = request.attributes
    if attributes.verb in READS:
        return _NONE
    check = _CHECKS.get((attributes.api_group, attributes.resource))
    return frozenset(check(request)) if check is not None else _NONE


def _config_map(request: PolicyRequest) -> Iterator[Escalation]:
    name, namespace = request.name, request.namespace
    if namespace in {"kube-system", None} and (name is None or name in IDENTITY_CONFIG_MAPS):
        yield AWS_AUTH


def _service_account(request: PolicyRequest) -> Iterator[Escalation]:
    if request.attributes.subresource != "token" and _writes_map(request, "annotations", ROLE_ANNOTATION):
        yield IRSA


def _namespace(request: PolicyRequest) -> Iterator[Escalation]:
    replaces = (
        request.attributes.verb == "update" or request.patch_type == APPLY_PATCH
    )  # what is left out may be removed
    if replaces or _writes_map(request, "labels", POD_SECURITY_LABELS):
        yield POD_SECURITY


def _secret(request: PolicyRequest) -> Iterator[Escalation]:
    if request.attributes.verb not in WRITES_OF_CONTENT:
        return
    if request.patch_type == JSON_PATCH:
        if _patch_touches(request.document, ("type",)):
            yield TOKEN_SECRET
        return
    kind = request.document.get("type", "") if isinstance(request.document, dict) else None
    # null leaves the default to the server, in a merge patch it removes what is there: neither is a token.
    if not isinstance(kind, str | None) or kind in TOKEN_SECRET_TYPES or not isinstance(request.document, dict):
        yield TOKEN_SECRET


def _service(request: PolicyRequest) -> Iterator[Escalation]:
    """Of `/status` the addresses of a load balancer, which are taken over just so."""
    subresource = request.attributes.subresource
    if request.attributes.verb not in WRITES_OF_CONTENT or subresource not in {"", "status"}:
        return
    path = ("status", "loadBalancer") if subresource else ("spec", "externalIPs")
    if request.result is None and request.patch_type == JSON_PATCH:
        if _patch_touches(request.document, path):
            yield EXTERNAL_IPS
        return
    found = request.document if request.result is None else request.result
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    if found or not isinstance(request.document, dict | list):
        yield EXTERNAL_IPS


_NONE: frozenset[Escalation] = frozenset()
_CHECKS = {
    ("", "configmaps"): _config_map,
    ("", "serviceaccounts"): _service_account,
    ("", "namespaces"): _namespace,
    ("", "secrets"): _secret,
    ("", "services"): _service,
}


def _writes_map(request: PolicyRequest, field: str, prefix: str) -> bool:
    """Whether a write may set or remove `metadata.FIELD[prefix…]`."""
    if request.attributes.verb not in WRITES_OF_CONTENT:
        return False
    if request.patch_type == JSON_PATCH:
        return _patch_touches(request.document, ("metadata", field), prefix)
    if not isinstance(request.document, dict):
        return True
    metadata = request.document.get("metadata", {})
    values = metadata.get(field, {}) if isinstance(metadata, dict) else None
    if not isinstance(values, dict):
        return request.patch_type not in {"", APPLY_PATCH}  # a patch with null here removes what is there
    directives = [key for key in (*request.document, *metadata, *values) if key.startswith("$")]
    return bool(directives) or any(key.startswith(prefix) for key in values)


def _patch_touches(document: Any, path: tuple[str, ...], prefix: str = "") -> bool:
    """Whether some operation of a JSON patch may write at `path` or above, or below it at a key with `prefix`."""
    if not isinstance(document, list):
        return True
    return any(_operation_touches(operation, path, prefix) for operation in document)


def _operation_touches(operation: Any, path: tuple[str, ...], prefix: str) -> bool:
    if not isinstance(operation, dict):
        return True
    places = [operation.get("path"), *([operation["from"]] if "from" in operation else [])]
    return any(not isinstance(place, str) or _reaches(pointer(place), path, prefix) for place in places)


def _reaches(place: tuple[str, ...], path: tuple[str, ...], prefix: str) -> bool:
    if len(place) <= len(path):
        return path[: len(place)] == place
    return place[: len(path)] == path and place[len(path)].startswith(prefix)
