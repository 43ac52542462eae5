"""Pod powers: what a pod template can do that an ordinary pod cannot, in every built-in kind that holds one.

Belongs here: where the template stands in each kind, the powers, the images. Not here: what a rule does with them
(`matching.py`).

The powers of a write are those of the object that it makes. Of a patch that is its `result` (the gateway's dry run);
without it they are `unknown`, whatever the patch holds: a new image, or one more replica, in a template that is
privileged already is privileged, and the patch does not show it. Custom resources: every mapping of the body is looked
at by the names of pod fields (Argo, Tekton, Knative, KubeVirt embed templates).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from pratique.kube.kinds import KINDS
from pratique.policy.request import JSON_PATCH, PolicyRequest

type Power = Literal[
    "capabilities",
    "claimVolumes",
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
    "otherVolumes",
    "priorityClassName",
    "privileged",
    "privilegeEscalation",
    "probeHosts",
    "procMount",
    "projectedVolumes",
    "resourceClaims",
    "runAsRoot",
    "runtimeClassName",
    "seLinuxOptions",
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

MAX_NODES = 1_000_000  # values of a custom resource that are walked; a 3 MiB body has more only when it is made to
MAX_MAPPINGS = 4096  # of them that are read as a pod's: 50 ms; a large workflow has some hundred

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
_PERSISTENT_VOLUME = ("", "persistentvolumes")  # a hostPath by way of a claim
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_POD_FLAGS = ("hostNetwork", "hostPID", "hostIPC")
_POD_NAMES: tuple[Power, ...] = ("nodeName", "runtimeClassName", "priorityClassName", "resourceClaims", "tolerations")
_WRITES = frozenset({"create", "update", "patch"})
_HOOKS = ("postStart", "preStop")
_APPARMOR = (
    "container.apparmor.security.beta.kubernetes.io/"  # annotation, read before Kubernetes 1.34 beside the field
)
# Volumes that reach nothing but the pod's own or what is mounted by name without a secret; those below have powers.
_PLAIN_VOLUMES = frozenset({"name", "configMap", "downwardAPI", "emptyDir", "ephemeral", "image"})
_VOLUME_POWERS: dict[str, Power] = {
    "csi": "csiVolumes",
    "flexVolume": "csiVolumes",
    "hostPath": "hostPath",
    "persistentVolumeClaim": "claimVolumes",
    "projected": "projectedVolumes",
    "secret": "secretVolumes",
}
_PERSISTENT_VOLUME_FIELDS = frozenset(
    {
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    }
)
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
    if attributes.subresource and (*key, attributes.subresource) != ("", "pods", "ephemeralcontainers"):
        return NOTHING
    read = _reader(key, attributes.subresource)
    if read is None:
        return NOTHING
    if request.patch_type and request.result is None:
        # Not the object: what is there already may have any power. What the patch shows is told beside.
        shown = NOTHING if request.patch_type == JSON_PATCH else read(request.document)
        return Template(shown.powers | {UNKNOWN}, shown.images)
    return read(request.object)


def _reader(key: tuple[str, str], subresource: str) -> Callable[[Any], Template] | None:
    """What reads an object of this kind; None: a built-in kind without a template. Kinds that are not known may have one."""
    path = _TEMPLATES.get(key)
    if subresource == "ephemeralcontainers":
        return _of_ephemeral_containers
    if path is not None:
        return partial(_of_template, path[:-1])
    if key == _PERSISTENT_VOLUME:
        return _of_persistent_volume
    return None if key in KINDS else _of_custom


def _of_template(path: tuple[str, ...], document: Any) -> Template:
    """`path` leads to what holds the template's metadata and spec."""
    template = of_pod_spec(_at(document, (*path, "spec")))
    annotations = _at(document, (*path, "metadata", "annotations"))
    if not isinstance(annotations, dict):
        return template if annotations is None and document is None else NOT_KNOWN
    if any(key.startswith(_APPARMOR) and value == "unconfined" for key, value in annotations.items()):
        return Template(template.powers | {"unconfined"}, template.images)
    return template


def _of_ephemeral_containers(document: Any) -> Template:
    """It gives that power whatever it holds."""
    template = _of_template((), document)
    return Template(template.powers | {"ephemeralContainers"}, template.images)


def _of_persistent_volume(document: Any) -> Template:
    spec = _at(document, ("spec",))
    if not isinstance(spec, dict):
        return NOT_KNOWN
    powers = frozenset(_volume_powers(spec, _PERSISTENT_VOLUME_FIELDS | {"local"}))
    return Template(powers if spec.get("local") is None else powers | {"hostPath"})


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


def _volume_powers(volume: dict[str, Any], plain: frozenset[str] = _PLAIN_VOLUMES) -> Iterator[str]:
    """Kinds of volumes that are not known here (a newer Kubernetes has more) are `otherVolumes`, as are those over nets."""
    for field, value in volume.items():
        if value is not None and field not in plain:
            yield _VOLUME_POWERS.get(field, "otherVolumes")


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
    if any((context.get("seLinuxOptions") or {}).values()):
        yield "seLinuxOptions"
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
    calls = [handler.get(kind) or {} for handler in handlers for kind in ("httpGet", "tcpSocket")]
    if any(call.get("host") for call in calls):
        yield "probeHosts"  # the kubelet calls whom the pod names


def _images(spec: dict[str, Any]) -> Iterator[str]:
    for name in _CONTAINERS:
        for container in spec.get(name) or ():
            yield str(container.get("image") or "")
    for volume in spec.get("volumes") or ():
        if volume.get("image") is not None:
            yield str(volume["image"].get("reference") or "")


_READ_FIELDS = frozenset(
    {
        *_POD_FLAGS,
        *_POD_NAMES,
        *_CONTAINERS,
        *_VOLUME_POWERS,
        *_HOOKS,
        *_PROBES,
        "appArmorProfile",
        "allowPrivilegeEscalation",
        "capabilities",
        "env",
        "envFrom",
        "image",
        "lifecycle",
        "ports",
        "privileged",
        "procMount",
        "runAsNonRoot",
        "runAsUser",
        "seLinuxOptions",
        "seccompProfile",
        "securityContext",
        "serviceAccount",
        "serviceAccountName",
        "sysctls",
        "volumes",
        "windowsOptions",
    }
)  # without one of them a mapping is none of a pod's


def _of_custom(document: Any) -> Template:
    """Every mapping of a custom resource, read as a pod spec, a volume, a container and a security context at once."""
    powers: set[str] = set()
    images: set[str] = set()
    pending: list[Any] = [document]
    walked = mappings = 0
    while pending:
        value = pending.pop()
        walked += 1
        if isinstance(value, dict):
            if not _READ_FIELDS.isdisjoint(value):
                mappings += 1
                powers |= _guessed(value)
                if isinstance(value.get("image"), str):
                    images.add(value["image"])
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
        if walked > MAX_NODES or mappings > MAX_MAPPINGS:
            return NOT_KNOWN
    return Template(frozenset(powers), frozenset(images))


def _guessed(value: dict[str, Any]) -> set[str]:
    """Fields that share a name with a pod field but not its type are no powers here."""
    known = {field: each for field, each in value.items() if field in _VOLUME_POWERS}  # others: any field of a CR
    powers: set[str] = set()
    for read, given in (
        (_pod_powers, value),
        (_volume_powers, known),
        (_security_powers, value),
        (_container_powers, value),
    ):
        try:
            powers.update(read(given))
        except (AttributeError, TypeError):
            continue
    return powers
