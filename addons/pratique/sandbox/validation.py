"""Which objects are refused with 422, and with which causes: the checks that clients meet in practice.

Pure. Much less than k8s.io/kubernetes pkg/apis/*/validation: names, labels, required fields, immutable fields.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from pratique.sandbox.resources import Resource
from pratique.sandbox.status import cause, invalid

JSON = dict[str, Any]

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_QUALIFIED = re.compile(r"([^/]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_LABEL_NAMES = {("", "namespaces"), ("", "services")}
_MAX_NAME = 253
_MAX_LABEL = 63
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation "
    "is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def _quote(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _wrong(field: str, value: Any, why: str) -> JSON:
    return cause("FieldValueInvalid", f"Invalid value: {_quote(value)}: {why}", field)


def _required(field: str, why: str = "") -> JSON:
    return cause("FieldValueRequired", "Required value" + (f": {why}" if why else ""), field)


def validate(resource: Resource, obj: JSON, old: JSON | None) -> None:
    """Raise StatusError 422 when `obj` may not be stored (in place of `old`, when there is one)."""
    causes = [*_name(resource, obj["metadata"]["name"]), *_labels(obj["metadata"])]
    check = _CHECKS.get(resource.key)
    if check:
        causes += check(obj)
    if old is not None:
        causes += _immutable(resource, obj, old)
    if causes:
        raise invalid(resource, obj["metadata"]["name"], causes)


def _name(resource: Resource, name: str) -> list[JSON]:
    if resource.group == "rbac.authorization.k8s.io":
        bad = name in {".", ".."} or "/" in name or "%" in name
        return [_wrong("metadata.name", name, "may not contain '/' or '%'")] if bad else []
    if resource.key in _LABEL_NAMES:
        good = _LABEL.fullmatch(name) and len(name) <= _MAX_LABEL
        return [] if good else [_wrong("metadata.name", name, _LABEL_TEXT)]
    good = _SUBDOMAIN.fullmatch(name) and len(name) <= _MAX_NAME
    return [] if good else [_wrong("metadata.name", name, _SUBDOMAIN_TEXT)]


def _labels(metadata: JSON) -> list[JSON]:
    causes = []
    for key, value in (metadata.get("labels") or {}).items():
        if not _QUALIFIED.fullmatch(key):
            causes.append(_wrong("metadata.labels", key, "name part must consist of alphanumeric characters"))
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value) or len(value) > _MAX_LABEL:
            causes.append(_wrong("metadata.labels", value, _VALUE_TEXT))
    odd = [key for key in metadata.get("annotations") or {} if not _QUALIFIED.fullmatch(key)]
    why = "name part must consist of alphanumeric characters"
    return [*causes, *(_wrong("metadata.annotations", key, why) for key in odd)]


def _pod_spec(spec: JSON, at: str) -> list[JSON]:
    causes = [] if spec.get("containers") else [_required(f"{at}.containers")]
    seen: set[str] = set()
    for index, container in enumerate(spec.get("containers") or []):
        here = f"{at}.containers[{index}]"
        if not container.get("name"):
            causes.append(_required(f"{here}.name"))
        elif container["name"] in seen:
            text = f'Duplicate value: "{container["name"]}"'
            causes.append(cause("FieldValueDuplicate", text, f"{here}.name"))
        seen.add(container.get("name", ""))
        if not container.get("image"):
            causes.append(_required(f"{here}.image"))
    return causes


def _pod(obj: JSON) -> list[JSON]:
    return _pod_spec(obj.get("spec") or {}, "spec")


def _workload(obj: JSON) -> list[JSON]:
    spec = obj.get("spec") or {}
    template = spec.get("template") or {}
    causes = _pod_spec(template.get("spec") or {}, "spec.template.spec")
    if not spec.get("selector"):
        return [_required("spec.selector"), *causes]
    labels = (template.get("metadata") or {}).get("labels") or {}
    wanted = spec["selector"].get("matchLabels") or {}
    if not wanted.items() <= labels.items():
        shown = "{" + ",".join(f'"{key}":"{value}"' for key, value in sorted(labels.items())) + "}"
        why = "`selector` does not match template `labels`"
        causes.append(cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", "spec.template.metadata.labels"))
    if isinstance(spec.get("replicas"), int) and spec["replicas"] < 0:
        causes.append(_wrong("spec.replicas", spec["replicas"], "must be greater than or equal to 0"))
    return causes


def _job(obj: JSON) -> list[JSON]:
    return _pod_spec(obj["spec"]["template"].get("spec") or {}, "spec.template.spec")


def _service(obj: JSON) -> list[JSON]:
    spec = obj["spec"]
    headless = spec.get("clusterIP") == "None" or spec["type"] == "ExternalName"
    return [] if spec.get("ports") or headless else [_required("spec.ports")]


def _data_keys(obj: JSON) -> list[JSON]:
    causes = []
    for key in {**(obj.get("data") or {}), **(obj.get("binaryData") or {})}:
        if not _DATA_KEY.fullmatch(key):
            why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
            causes.append(_wrong(f"data[{key}]", key, why))
    return causes


def _secret(obj: JSON) -> list[JSON]:
    causes = _data_keys(obj)
    if obj["type"] == "kubernetes.io/tls":
        causes += [_required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in (obj.get("data") or {})]
    return causes


def broken_base64(obj: JSON) -> str:
    """The first key of `.data` whose value is not base64: the real server cannot decode such a body (400)."""
    for key, value in (obj.get("data") or {}).items():
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError, TypeError):
            return str(key)
    return ""


def _selector(obj: JSON) -> Any:
    return (obj.get("spec") or {}).get("selector")  # a ControllerRevision has no spec


def _definition(obj: JSON) -> list[JSON]:
    spec = obj["spec"]
    expected = f"{spec['names']['plural']}.{spec['group']}"
    if obj["metadata"]["name"] != expected:
        return [
            _wrong("metadata.name", obj["metadata"]["name"], f'must be spec.names.plural+"."+spec.group `{expected}`')
        ]
    return [] if spec.get("versions") else [_required("spec.versions")]


def _immutable(resource: Resource, obj: JSON, old: JSON) -> list[JSON]:
    text = "field is immutable"
    causes = []
    if resource.key == ("", "secrets") and obj.get("type") != old.get("type"):
        causes.append(_wrong("type", obj.get("type"), text))
    if resource.key in {("", "secrets"), ("", "configmaps")} and old.get("immutable"):
        if not obj.get("immutable"):
            causes.append(cause("FieldValueForbidden", f"Forbidden: {text} when `immutable` is set", "immutable"))
        if obj.get("data") != old.get("data"):
            causes.append(cause("FieldValueForbidden", f"Forbidden: {text} when `immutable` is set", "data"))
    if resource.group == "apps" and _selector(obj) != _selector(old):
        causes.append(_wrong("spec.selector", obj["spec"].get("selector"), text))
    if resource.kind.endswith("RoleBinding") and obj.get("roleRef") != old.get("roleRef"):
        causes.append(_wrong("roleRef", obj.get("roleRef"), "cannot change roleRef"))
    if resource.key == ("", "pods"):
        causes += _pod_changes(obj, old)
    return causes


def _pod_changes(obj: JSON, old: JSON) -> list[JSON]:
    """Only images, tolerations, deadlines and ephemeral containers of a pod may change."""

    def frozen(pod: JSON) -> JSON:
        free = (
            "tolerations",
            "activeDeadlineSeconds",
            "terminationGracePeriodSeconds",
            "ephemeralContainers",
            "nodeName",
        )
        spec = {name: value for name, value in pod["spec"].items() if name not in free}
        for kind in ("containers", "initContainers"):
            spec[kind] = [{**item, "image": ""} for item in spec.get(kind) or []]
        return spec

    if frozen(obj) == frozen(old):
        return []
    text = (
        "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
        "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
    )
    return [cause("FieldValueForbidden", text, "spec")]


_CHECKS = {
    ("", "pods"): _pod,
    ("", "services"): _service,
    ("", "configmaps"): _data_keys,
    ("", "secrets"): _secret,
    ("apps", "deployments"): _workload,
    ("apps", "replicasets"): _workload,
    ("apps", "statefulsets"): _workload,
    ("apps", "daemonsets"): _workload,
    ("batch", "jobs"): _job,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _definition,
}
