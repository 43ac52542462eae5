"""A request in words for reviewers: "delete Deployment payments/api".

Belongs here: one line from request attributes, and the escaping of what others wrote. Not here: effects and diffs.
Relies on `pratique.kube.attributes`.

What is shown decides what is approved, so that nothing in it may be invisible or look like something else: names are
shown in ASCII with everything else escaped, prose without control, format (bidi, zero-width) and unassigned
characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from pratique.kube.attributes import RequestAttributes

MAX_ARGUMENTS = 64  # of an exec's argv; more are counted, not shown
MAX_SHOWN_CHARACTERS = 2_048  # of one line; the rest is counted. Longer ones belong into the detail, not the headline

# Kinds of Kubernetes 1.36 whose name is not the singular of the resource with a capital.
_KINDS = {
    "apiservices": "APIService",
    "certificatesigningrequests": "CertificateSigningRequest",
    "clusterrolebindings": "ClusterRoleBinding",
    "clusterroles": "ClusterRole",
    "configmaps": "ConfigMap",
    "controllerrevisions": "ControllerRevision",
    "cronjobs": "CronJob",
    "csidrivers": "CSIDriver",
    "csinodes": "CSINode",
    "customresourcedefinitions": "CustomResourceDefinition",
    "daemonsets": "DaemonSet",
    "endpoints": "Endpoints",
    "endpointslices": "EndpointSlice",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "ingressclasses": "IngressClass",
    "ingresses": "Ingress",
    "limitranges": "LimitRange",
    "mutatingwebhookconfigurations": "MutatingWebhookConfiguration",
    "networkpolicies": "NetworkPolicy",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "persistentvolumes": "PersistentVolume",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "podtemplates": "PodTemplate",
    "priorityclasses": "PriorityClass",
    "replicasets": "ReplicaSet",
    "replicationcontrollers": "ReplicationController",
    "resourcequotas": "ResourceQuota",
    "rolebindings": "RoleBinding",
    "runtimeclasses": "RuntimeClass",
    "selfsubjectaccessreviews": "SelfSubjectAccessReview",
    "serviceaccounts": "ServiceAccount",
    "statefulsets": "StatefulSet",
    "storageclasses": "StorageClass",
    "validatingadmissionpolicies": "ValidatingAdmissionPolicy",
    "validatingadmissionpolicybindings": "ValidatingAdmissionPolicyBinding",
    "validatingwebhookconfigurations": "ValidatingWebhookConfiguration",
    "volumeattachments": "VolumeAttachment",
}
_PLAIN = frozenset({
    "deployments", "events", "jobs", "leases", "namespaces", "nodes", "pods", "roles", "secrets", "services",
})  # fmt: skip
_BUILT_IN_GROUPS = frozenset({"", "apps", "batch", "autoscaling", "policy", "extensions"})
_STREAM_WORDS = {"exec": "run a command in", "attach": "attach to", "portforward": "forward a port to"}
_MANY = frozenset({"list", "watch", "deletecollection"})


def in_words(attributes: RequestAttributes, *, dry_run: bool = False, argv: Sequence[str] = (), name: str = "") -> str:
    """One line. `argv`: the command of an exec, shown argument by argument; `name`: where it is in the body."""
    attributes = replace(attributes, name=attributes.name or name)
    line = _resource_line(attributes, argv) if attributes.is_resource_request else _path_line(attributes)
    line = f"dry run of: {line}" if dry_run else line
    if len(line) > MAX_SHOWN_CHARACTERS:
        line = f"{line[:MAX_SHOWN_CHARACTERS]}… ({len(line) - MAX_SHOWN_CHARACTERS} more characters)"
    return line


def _path_line(attributes: RequestAttributes) -> str:
    return f"{escaped_name(attributes.verb)} {escaped_name(attributes.path)}"


def _resource_line(attributes: RequestAttributes, argv: Sequence[str]) -> str:
    verb, target = escaped_name(attributes.verb) or "(unknown verb)", _target(attributes)
    subresource = attributes.subresource
    if (attributes.api_group, attributes.resource) == ("", "pods") and subresource in _STREAM_WORDS:
        if subresource == "exec" and argv:
            return f"run {_command(argv)} in {target}"
        return f"{_STREAM_WORDS[subresource]} {target}"
    if (subresource, verb) == ("eviction", "create"):
        return f"evict {target}"
    if verb == "deletecollection":
        return f"delete every {target}{_selectors(attributes)}"
    if subresource:
        return f"{verb} {escaped_name(subresource)} of {target}"
    return f"{verb} {target}{_selectors(attributes) if verb in _MANY else ''}"


def _target(attributes: RequestAttributes) -> str:
    kind = kind_of(attributes.api_group, attributes.resource)
    name = escaped_name(attributes.name)
    namespace = escaped_name(attributes.namespace)
    if attributes.resource == "namespaces" and attributes.api_group == "":
        return f"{kind} {name or namespace}".rstrip()
    if attributes.verb in _MANY and not name:
        return f"{kind} in {f'namespace {namespace}' if namespace else 'the whole cluster'}"
    name = name or ("(name made by the cluster)" if attributes.verb == "create" else "(no name)")
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _selectors(attributes: RequestAttributes) -> str:
    given = (("labels", attributes.label_selector), ("fields", attributes.field_selector))
    return "".join(f" with {what} `{escaped_name(value)}`" for what, value in given if value)


def _command(argv: Sequence[str]) -> str:
    shown = " ".join(f"`{escaped_name(argument)}`" for argument in argv[:MAX_ARGUMENTS])
    rest = len(argv) - MAX_ARGUMENTS
    return shown if rest <= 0 else f"{shown} and {rest} more arguments"


def kind_of(api_group: str, resource: str) -> str:
    """The Kind of a built-in resource, else `resource.group` (a custom resource's Kind is not in the request)."""
    if resource in _KINDS and ("." not in api_group or api_group.endswith(".k8s.io")):
        return _KINDS[resource]
    if resource in _PLAIN and (api_group in _BUILT_IN_GROUPS or api_group.endswith(".k8s.io")):
        return resource[:-1].capitalize()
    return escaped_name(f"{resource}.{api_group}" if api_group else resource)


def escaped_name(text: str) -> str:
    r"""Printable ASCII as it is, all else as `\u{…}`; a backslash doubled, so that no name can look escaped.

    Names in Kubernetes are ASCII: another script in one is a look-alike, and must not look like.
    """
    return "".join("\\\\" if c == "\\" else c if " " <= c <= "~" else f"\\u{{{ord(c):x}}}" for c in text)


def escaped_prose(text: str, *, line_breaks: bool = False) -> str:
    r"""What people wrote (a reason, a message), in any script; invisible, bidi and control characters escaped.

    With `line_breaks` a line feed stays one; kubectl prints a Status message raw, escape sequences included.
    """
    return "".join(
        c if c == " " or (c == "\n" and line_breaks) or _is_visible(c) else f"\\u{{{ord(c):x}}}" for c in text
    )


def _is_visible(character: str) -> bool:
    """Not of the categories C* (control, format, surrogate, private, unassigned) and Z* (separators)."""
    return unicodedata.category(character)[0] not in "CZ"
