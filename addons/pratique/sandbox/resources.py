"""Which resources the sandbox serves: the built-in table, and the ones that CustomResourceDefinitions add.

Pure. Relies on nothing. Names, short names and categories are those of Kubernetes 1.34 discovery.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CREATE_ONLY = ("create",)


@dataclass(frozen=True, slots=True)
class Resource:
    """One row of discovery. `subresources` are names such as `status`; `schema` is a CRD's openAPIV3Schema."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    custom: bool = False
    columns: tuple[dict[str, Any], ...] = field(default=(), hash=False)
    schema: dict[str, Any] | None = field(default=None, hash=False)
    scale_paths: dict[str, str] | None = field(default=None, hash=False)
    list_kind_name: str = ""
    singular_name: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.singular_name or self.kind.lower()

    @property
    def list_kind(self) -> str:
        return self.list_kind_name or f"{self.kind}List"

    @property
    def qualified(self) -> str:
        """`deployments.apps`, as Status messages write it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def key(self) -> tuple[str, str]:
        """Where the objects are stored: one place for all versions."""
        return (self.group, self.plural)


ST = ("status",)
SCALE = ("scale", "status")
WORK = ("all",)


def _core(plural: str, kind: str, *short: str, **more: Any) -> Resource:
    return Resource("", "v1", plural, kind, short_names=short, **more)


def _in(group_version: str, plural: str, kind: str, *short: str, **more: Any) -> Resource:
    group, version = group_version.split("/")
    return Resource(group, version, plural, kind, short_names=short, **more)


POD_SUBRESOURCES = ("attach", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "status")

BUILT_IN: tuple[Resource, ...] = (
    _core("configmaps", "ConfigMap", "cm"),
    _core("endpoints", "Endpoints", "ep", singular_name="endpoints", list_kind_name="EndpointsList"),
    _core("events", "Event", "ev"),
    _core("limitranges", "LimitRange", "limits"),
    _core("namespaces", "Namespace", "ns", namespaced=False, subresources=("finalize", "status")),
    _core("nodes", "Node", "no", namespaced=False, subresources=ST),
    _core("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", subresources=ST),
    _core("persistentvolumes", "PersistentVolume", "pv", namespaced=False, subresources=ST),
    _core("pods", "Pod", "po", categories=WORK, subresources=POD_SUBRESOURCES),
    _core("replicationcontrollers", "ReplicationController", "rc", categories=WORK, subresources=SCALE),
    _core("resourcequotas", "ResourceQuota", "quota", subresources=ST),
    _core("secrets", "Secret"),
    _core("serviceaccounts", "ServiceAccount", "sa", subresources=("token",)),
    _core("services", "Service", "svc", categories=WORK, subresources=ST),
    _in("apps/v1", "controllerrevisions", "ControllerRevision"),
    _in("apps/v1", "daemonsets", "DaemonSet", "ds", categories=WORK, subresources=ST),
    _in("apps/v1", "deployments", "Deployment", "deploy", categories=WORK, subresources=SCALE),
    _in("apps/v1", "replicasets", "ReplicaSet", "rs", categories=WORK, subresources=SCALE),
    _in("apps/v1", "statefulsets", "StatefulSet", "sts", categories=WORK, subresources=SCALE),
    _in("batch/v1", "cronjobs", "CronJob", "cj", categories=WORK, subresources=ST),
    _in("batch/v1", "jobs", "Job", categories=WORK, subresources=ST),
    _in(
        "autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa", categories=WORK, subresources=ST
    ),
    _in("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", subresources=ST),
    _in("networking.k8s.io/v1", "ingresses", "Ingress", "ing", subresources=ST),
    _in("networking.k8s.io/v1", "ingressclasses", "IngressClass", namespaced=False),
    _in("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", "netpol"),
    _in("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    _in("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", namespaced=False),
    _in("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding"),
    _in("rbac.authorization.k8s.io/v1", "roles", "Role"),
    _in("storage.k8s.io/v1", "storageclasses", "StorageClass", "sc", namespaced=False),
    _in("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", "pc", namespaced=False),
    _in("coordination.k8s.io/v1", "leases", "Lease"),
    _in("discovery.k8s.io/v1", "endpointslices", "EndpointSlice"),
    _in(
        "apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        "crd",
        "crds",
        namespaced=False,
        categories=("api-extensions",),
        subresources=ST,
    ),
    _in("authentication.k8s.io/v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False, verbs=CREATE_ONLY),
    _in("authentication.k8s.io/v1", "tokenreviews", "TokenReview", namespaced=False, verbs=CREATE_ONLY),
    _in("authorization.k8s.io/v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", verbs=CREATE_ONLY),
    _in(
        "authorization.k8s.io/v1",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        namespaced=False,
        verbs=CREATE_ONLY,
    ),
    _in(
        "authorization.k8s.io/v1",
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        namespaced=False,
        verbs=CREATE_ONLY,
    ),
    _in("authorization.k8s.io/v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False, verbs=CREATE_ONLY),
)


def custom_resources(crd: dict[str, Any]) -> list[Resource]:
    """The resources that one CustomResourceDefinition serves, one per served version."""
    spec = crd["spec"]
    names = spec["names"]
    return [_custom(spec, names, version) for version in spec.get("versions", []) if version.get("served")]


def _custom(spec: dict[str, Any], names: dict[str, Any], version: dict[str, Any]) -> Resource:
    subresources = version.get("subresources") or {}
    return Resource(
        spec["group"],
        version["name"],
        names["plural"],
        names["kind"],
        namespaced=spec.get("scope") == "Namespaced",
        short_names=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        subresources=tuple(sorted(subresources)),
        custom=True,
        columns=tuple(version.get("additionalPrinterColumns", ())),
        schema=(version.get("schema") or {}).get("openAPIV3Schema"),
        scale_paths=subresources.get("scale"),
        list_kind_name=names.get("listKind", ""),
        singular_name=names.get("singular", ""),
    )


class Registry:
    """All resources now served; order of groups is the order of discovery."""

    def __init__(self, resources: Sequence[Resource] = BUILT_IN) -> None:
        self._resources = {(item.group, item.version, item.plural): item for item in resources}

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._resources.values()))

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._resources.get((group, version, plural))

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        return next((item for item in self if item.kind == kind and item.api_version == api_version), None)

    def any_version(self, group: str, plural: str) -> Resource | None:
        return next((item for item in self if item.key == (group, plural)), None)

    def of_group_version(self, group: str, version: str) -> list[Resource]:
        return [item for item in self if (item.group, item.version) == (group, version)]

    def groups(self) -> dict[str, list[str]]:
        """Group name to its versions, in order of registration, without the core group."""
        found: dict[str, list[str]] = {}
        for item in self:
            if item.group and item.version not in found.setdefault(item.group, []):
                found[item.group].append(item.version)
        return found

    def set_custom(self, crd: dict[str, Any]) -> None:
        self.remove_custom(crd)
        for item in custom_resources(crd):
            self._resources[item.group, item.version, item.plural] = item

    def remove_custom(self, crd: dict[str, Any]) -> None:
        key = (crd["spec"]["group"], crd["spec"]["names"]["plural"])
        self._resources = {at: item for at, item in self._resources.items() if item.key != key}
