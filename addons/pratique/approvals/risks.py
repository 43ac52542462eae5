"""What a reviewer must not overlook, first: powers of pods, images, exposure, rights, how something is deleted.

Belongs here: which fields, in which order, in which words. Not here: judging them (the policy does). Pure; works on the
object as the cluster would keep it (the dry run's result), else on the body. Values are masked before, escaped here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pratique.approvals.words import escaped_prose

MAX_RISKS = 40
MAX_CHARACTERS = 300

type Risk = tuple[str, str]

_HOST = ("hostNetwork", "hostPID", "hostIPC")
_TEMPLATE_PATHS = (("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec"), ("spec",))
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_EXPOSED = frozenset({"LoadBalancer", "NodePort"})


def risks_of(document: Any, options: Mapping[str, Any] | None = None) -> tuple[Risk, ...]:
    """(what, value), the most important first. `options`: those of a delete or of an exec."""
    found: list[Risk] = list(_options(options or {}))
    if isinstance(document, dict):
        pod = _pod_spec(document)
        if pod is not None:
            found += _pod(pod)
        found += _object(document)
    return tuple((what, escaped_prose(str(value))[:MAX_CHARACTERS]) for what, value in found[:MAX_RISKS])


def risks_of_deletion(document: Any, options: Mapping[str, Any]) -> tuple[Risk, ...]:
    """What an object can do does not matter when it goes; how it goes does."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return risks_of({"metadata": metadata}, options)


def _pod_spec(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for path in _TEMPLATE_PATHS:
        value: Any = document
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, dict) and isinstance(value.get("containers"), list):
            return value
    return None


def _pod(spec: Mapping[str, Any]) -> Iterator[Risk]:
    containers = [c for key in _CONTAINERS for c in spec.get(key) or () if isinstance(c, dict)]
    for container in containers:
        name = container.get("name", "?")
        yield from ((what, f"{name}: {value}") for what, value in _security(container))
    for key in _HOST:
        if spec.get(key):
            yield key, "true"
    for volume in spec.get("volumes") or ():
        if isinstance(volume, dict) and isinstance(volume.get("hostPath"), dict):
            yield "hostPath", volume["hostPath"].get("path", "?")
    if spec.get("serviceAccountName"):
        yield "service account", spec["serviceAccountName"]
    if spec.get("nodeName"):
        yield "node", spec["nodeName"]
    for container in containers:
        image = str(container.get("image", ""))
        moving = "" if "@sha256:" in image or not image else " (a tag: it can change later)"
        yield "image", f"{container.get('name', '?')}: {image}{moving}"
    for container in containers:
        argv = [str(part) for key in ("command", "args") for part in container.get(key) or ()]
        if argv:
            yield "command", f"{container.get('name', '?')}: {argv}"


def _security(container: Mapping[str, Any]) -> Iterator[Risk]:
    security = container.get("securityContext")
    if not isinstance(security, dict):
        return
    if security.get("privileged"):
        yield "privileged", "true"
    if security.get("allowPrivilegeEscalation"):
        yield "privilege escalation", "true"
    if security.get("runAsUser") == 0:
        yield "runs as root", "true"
    added = (security.get("capabilities") or {}).get("add") if isinstance(security.get("capabilities"), dict) else None
    if added:
        yield "capabilities", ", ".join(map(str, added))


def _object(document: Mapping[str, Any]) -> Iterator[Risk]:
    spec = document.get("spec")
    kind = document.get("kind")
    if isinstance(spec, dict):
        if spec.get("replicas") is not None:
            yield "replicas", spec["replicas"]
        if kind == "Service" and spec.get("type") in _EXPOSED:
            yield "exposed", spec["type"]
        if spec.get("externalIPs"):
            yield "external IPs", ", ".join(map(str, spec["externalIPs"]))
    for rule in document.get("rules") or () if kind in {"Role", "ClusterRole"} else ():
        if isinstance(rule, dict):
            resources = rule.get("resources") or rule.get("nonResourceURLs") or ()
            yield "rights", f"{', '.join(map(str, rule.get('verbs') or ()))} on {', '.join(map(str, resources))}"
    if kind in {"RoleBinding", "ClusterRoleBinding"}:
        role = document.get("roleRef")
        yield "binds", role.get("name", "?") if isinstance(role, dict) else "?"
        for subject in document.get("subjects") or ():
            if isinstance(subject, dict):
                yield "to", f"{subject.get('kind', '?')} {subject.get('namespace', '')}/{subject.get('name', '?')}"
    metadata = document.get("metadata")
    if isinstance(metadata, dict) and metadata.get("finalizers"):
        yield "finalizers", ", ".join(map(str, metadata["finalizers"]))


def _options(options: Mapping[str, Any]) -> Iterator[Risk]:
    if options.get("gracePeriodSeconds") == 0:
        yield "grace period", "0 s: killed at once"
    if options.get("propagationPolicy"):
        yield "propagation", options["propagationPolicy"]
    for name in ("stdin", "tty"):
        if options.get(name):
            yield name, "yes: what is typed is not part of this approval"
    if options.get("container"):
        yield "container", options["container"]
    if options.get("ports"):
        yield "ports", ", ".join(map(str, options["ports"]))
    if options.get("force"):
        yield "force", "takes over fields that others manage"
