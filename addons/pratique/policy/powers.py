"""Pod powers: what a pod template can do that an ordinary pod cannot, in every built-in kind that holds one.

Belongs here: where the template stands in each kind, the powers, the images. Not here: what a rule does with them
(`matching.py`).

The powers of a write are those of the object that it makes. Of a patch that is its `result` (the gateway's dry run);
without it they are `unknown`, whatever the patch holds: a new image, or one more replica, in a template that is
privileged already is privileged, and the patch does not show it. Custom resources: every mapping of the body is looked
at by the names of pod fields (Argo, Tekton, Knative, KubeVirt embed templates).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pratique.policy.request import JSON_PATCH, PolicyRequest

type Power = Literal[
    "capabilities",
    "csiVolumes",
    "ephemeralContainers",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPath",
    "hostPorts",
    "hostProcess",
    "lifecycleExec",
    "nodeName",
    "priorityClassName",
    "privileged",
    "privilegeEscalation",
    "procMount",
    "projectedVolumes",
    "resourceClaims",
    "runAsRoot",
    "runtimeClassName",
    "secretEnv",
    "secretVolumes",
    "serviceAccountName",
    "sysctls",
    "tolerations",
    "unconfined",
    "unknown",
]
POWERS: frozenset[str] = frozenset(get_args(Power.__value__))
UNKNOWN: Power = "unknown"

MAX_NODES = 100_000  # values of a custom resource that are looked at; a 3 MiB body has more only when it is made to

_TEMPLATE = ("spec", "template", "spec")
_TEMPLATES: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): ("spec",),
    ("", "podtemplates"): ("template", "spec"),
    ("", "replicationcontrollers"): _TEMPLATE,
    ("apps", "daemonsets"): _TEMPLATE,
    ("apps", "deployments"): _TEMPLATE,
    ("apps", "replicasets"): _TEMPLATE,
    ("apps", "statefulsets"): _TEMPLATE,
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template", "spec"),
    ("batch", "jobs"): _TEMPLATE,
    ("extensions", "daemonsets"): _TEMPLATE,
    ("extensions", "deployments"): _TEMPLATE,
    ("extensions", "replicasets"): _TEMPLATE,
}
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_POD_FLAGS = ("hostNetwork", "hostPID", "hostIPC")
_POD_NAMES: tuple[Power, ...] = ("nodeName", "runtimeClassName", "priorityClassName", "resourceClaims", "tolerations")
_WRITES = frozenset({"create", "update", "patch"})
_HOOKS = ("postStart", "preStop")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


@dataclass(frozen=True, slots=True)
class Template:
    """What is known of the pod template of a request: no template at all is no powers and no images."""

    powers: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()

    @property
    def unknown(self) -> bool:
        return UNKNOWN in self.powers


NOTHING = Template()
NOT_KNOWN = Template(frozenset({UNKNOWN}))


def template_of(request: PolicyRequest) -> Template:
    """Powers and images that the request gives a pod. Never raises: what has not the shape of its kind is unknown."""
    attributes = request.attributes
    if attributes.verb not in _WRITES:
        return NOTHING
    key = (attributes.api_group, attributes.resource)
    path = _TEMPLATES.get(key)
    if attributes.subresource and (*key, attributes.subresource) != ("", "pods", "ephemeralcontainers"):
        return NOTHING
    if path is None:
        built_in = "." not in attributes.api_group or attributes.api_group.endswith(".k8s.io")
        found = NOTHING if built_in else _custom(request.document if request.result is None else request.result)
        return found if built_in or not _unseen(request) else Template(found.powers | {UNKNOWN}, found.images)
    if _unseen(request):
        shown = NOTHING if request.patch_type == JSON_PATCH else _added(_at(request.document, path), "")
        return Template(shown.powers | {UNKNOWN}, shown.images)
    return _added(_at(request.object, path), attributes.subresource)


def _unseen(request: PolicyRequest) -> bool:
    return bool(request.patch_type) and request.result is None


def _added(spec: Any, subresource: str) -> Template:
    """The template of a pod spec; `pods/ephemeralcontainers` gives that power whatever it holds."""
    template = of_pod_spec(spec)
    if subresource == "ephemeralcontainers":
        return Template(template.powers | {"ephemeralContainers"}, template.images)
    return template


def _at(document: Any, path: tuple[str, ...]) -> Any:
    """The value at `path`; {} where a step is absent (a ReplicationController may have no template)."""
    if document is None:
        return None
    for step in path:
        if not isinstance(document, dict):
            return None
        document = document.get(step, {})
        document = {} if document is None else document
    return document


def of_pod_spec(spec: Any) -> Template:
    """core/v1 PodSpec, Kubernetes 1.36."""
    if not isinstance(spec, dict):
        return NOT_KNOWN
    try:
        powers = frozenset(_pod_powers(spec))
        return Template(powers, frozenset(_images(spec)))
    except (AttributeError, TypeError):  # a field is not of its type: the server will refuse it, and so do we
        return NOT_KNOWN


def _pod_powers(spec: dict[str, Any]) -> Iterator[str]:
    yield from (flag for flag in _POD_FLAGS if spec.get(flag))
    yield from (name for name in _POD_NAMES if spec.get(name))
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account and account != "default":
        yield "serviceAccountName"
    if spec.get("ephemeralContainers"):
        yield "ephemeralContainers"
    for volume in spec.get("volumes") or ():
        yield from _volume_powers(volume)
    yield from _security_powers(spec.get("securityContext") or {})
    for name in _CONTAINERS:
        for container in spec.get(name) or ():
            yield from _container_powers(container)


def _volume_powers(volume: dict[str, Any]) -> Iterator[str]:
    if volume.get("hostPath") is not None:
        yield "hostPath"
    if volume.get("secret") is not None:
        yield "secretVolumes"
    if volume.get("projected") is not None:
        yield "projectedVolumes"
    if volume.get("csi") is not None or volume.get("flexVolume") is not None:
        yield "csiVolumes"


def _security_powers(context: dict[str, Any]) -> Iterator[str]:
    """PodSecurityContext and SecurityContext: the fields have the same names in both."""
    if context.get("privileged"):
        yield "privileged"
    if context.get("allowPrivilegeEscalation"):
        yield "privilegeEscalation"
    if (context.get("capabilities") or {}).get("add"):
        yield "capabilities"
    if context.get("procMount") not in {None, "", "Default"}:
        yield "procMount"
    if context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False:
        yield "runAsRoot"
    if context.get("sysctls"):
        yield "sysctls"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield "hostProcess"
    profiles = [context.get("seccompProfile") or {}, context.get("appArmorProfile") or {}]
    if any(profile.get("type") == "Unconfined" for profile in profiles):
        yield "unconfined"


def _container_powers(container: dict[str, Any]) -> Iterator[str]:
    yield from _security_powers(container.get("securityContext") or {})
    if any(port.get("hostPort") for port in container.get("ports") or ()):
        yield "hostPorts"
    sources = [source.get("secretRef") for source in container.get("envFrom") or ()]
    sources += [(variable.get("valueFrom") or {}).get("secretKeyRef") for variable in container.get("env") or ()]
    if any(source is not None for source in sources):
        yield "secretEnv"
    lifecycle = container.get("lifecycle") or {}
    handlers = [lifecycle.get(hook) or {} for hook in _HOOKS] + [container.get(probe) or {} for probe in _PROBES]
    if any(handler.get("exec") is not None for handler in handlers):
        yield "lifecycleExec"


def _images(spec: dict[str, Any]) -> Iterator[str]:
    for name in _CONTAINERS:
        for container in spec.get(name) or ():
            yield str(container.get("image") or "")
    for volume in spec.get("volumes") or ():
        if volume.get("image") is not None:
            yield str(volume["image"].get("reference") or "")


def _custom(document: Any) -> Template:
    """Every mapping of a custom resource, read as a pod spec, a volume, a container and a security context at once."""
    powers: set[str] = set()
    images: set[str] = set()
    pending, seen = [document], 0
    while pending:
        value = pending.pop()
        seen += 1
        if seen > MAX_NODES:
            return NOT_KNOWN
        if isinstance(value, dict):
            powers |= _guessed(value)
            if isinstance(value.get("image"), str):
                images.add(value["image"])
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return Template(frozenset(powers), frozenset(images))


def _guessed(value: dict[str, Any]) -> set[str]:
    """Fields that share a name with a pod field but not its type are no powers here."""
    powers: set[str] = set()
    for read in (_pod_powers, _volume_powers, _security_powers, _container_powers):
        try:
            powers.update(read(value))
        except (AttributeError, TypeError):
            continue
    return powers
