"""The resources that ship with Kubernetes 1.36: short names, scope and preferred version, as discovery has them.

Belongs here: what a person may call a resource (`deploy`, `Deployment`, `deployments.apps`) → which URL that is. Not
here: kinds (`kinds`), custom resources, which only a cluster's discovery knows. For explaining; nothing that decides
reads this.
"""

from __future__ import annotations

from typing import NamedTuple

from pratique.kube.kinds import KINDS

# Group (`core` is ""), version, then resources: `*` before one that has no namespace, short names after `=`.
_BY_GROUP = """
core v1: bindings *componentstatuses=cs configmaps=cm endpoints=ep events=ev limitranges=limits *namespaces=ns *nodes=no
core v1: persistentvolumeclaims=pvc *persistentvolumes=pv pods=po podtemplates replicationcontrollers=rc
core v1: resourcequotas=quota secrets serviceaccounts=sa services=svc
admissionregistration.k8s.io v1: *mutatingadmissionpolicies *mutatingadmissionpolicybindings
admissionregistration.k8s.io v1: *mutatingwebhookconfigurations *validatingadmissionpolicies
admissionregistration.k8s.io v1: *validatingadmissionpolicybindings *validatingwebhookconfigurations
apiextensions.k8s.io v1: *customresourcedefinitions=crd,crds
apiregistration.k8s.io v1: *apiservices
apps v1: controllerrevisions daemonsets=ds deployments=deploy replicasets=rs statefulsets=sts
authentication.k8s.io v1: *tokenreviews *selfsubjectreviews
authorization.k8s.io v1: localsubjectaccessreviews *selfsubjectaccessreviews *selfsubjectrulesreviews
authorization.k8s.io v1: *subjectaccessreviews
autoscaling v2: horizontalpodautoscalers=hpa
batch v1: cronjobs=cj jobs
certificates.k8s.io v1: *certificatesigningrequests=csr
coordination.k8s.io v1: leases
discovery.k8s.io v1: endpointslices
events.k8s.io v1: events=ev
flowcontrol.apiserver.k8s.io v1: *flowschemas *prioritylevelconfigurations
metrics.k8s.io v1beta1: *nodes pods
networking.k8s.io v1: *ingressclasses ingresses=ing *ipaddresses=ip networkpolicies=netpol *servicecidrs
node.k8s.io v1: *runtimeclasses
policy v1: poddisruptionbudgets=pdb
rbac.authorization.k8s.io v1: *clusterrolebindings *clusterroles rolebindings roles
resource.k8s.io v1: *deviceclasses resourceclaims resourceclaimtemplates *resourceslices
scheduling.k8s.io v1: *priorityclasses=pc
storage.k8s.io v1: *csidrivers *csinodes csistoragecapacities *storageclasses=sc *volumeattachments
storage.k8s.io v1: *volumeattributesclasses=vac
"""
# kubectl's category `all`.
ALL = [
    "pods",
    "replicationcontrollers",
    "services",
    "daemonsets.apps",
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "horizontalpodautoscalers.autoscaling",
    "cronjobs.batch",
    "jobs.batch",
]
_VERSION_NAME = ("v1", "v2", "v3")  # so begins every version: v1, v1beta1, v2alpha1


class Resource(NamedTuple):
    """`group` is "" for the core group."""

    group: str
    version: str
    plural: str
    namespaced: bool
    short: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return KINDS.get((self.group, self.plural), "")

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """The URL path; `namespace` "" is all of them."""
        prefix = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        space = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return "/".join(part for part in (prefix + space, self.plural, name, subresource) if part)


def _parse(text: str) -> tuple[Resource, ...]:
    found: list[Resource] = []
    for line in text.strip().splitlines():
        head, _, words = line.partition(": ")
        group, version = head.split()
        for word in words.split():
            plural, _, short = word.lstrip("*").partition("=")
            names = tuple(short.split(",")) if short else ()
            found.append(Resource(group.removeprefix("core"), version, plural, not word.startswith("*"), names))
    return tuple(found)


RESOURCES = _parse(_BY_GROUP)


def find(text: str) -> Resource | None:
    """What kubectl calls `text`: plural, kind or short name, in any case, and `.group` or `.version.group` after it.

    The core group first, as discovery lists it. None for a name that Kubernetes itself does not have.
    """
    name, _, rest = text.lower().partition(".")
    version, _, group = rest.partition(".") if rest.startswith(_VERSION_NAME) else ("", "", rest)
    for resource in RESOURCES:
        named = name in {resource.plural, resource.kind.lower(), *resource.short}
        if named and (not rest or group == resource.group or (version and not group and not resource.group)):
            return resource._replace(version=version or resource.version)
    return None


def of_kind(api_version: str, kind: str) -> Resource | None:
    """The resource of a manifest's apiVersion and kind; None if Kubernetes itself does not have it."""
    group, _, version = api_version.rpartition("/")
    for resource in RESOURCES:
        if resource.group == group and resource.kind == kind:
            return resource._replace(version=version)
    return None
