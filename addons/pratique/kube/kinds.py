"""Which kind a URL takes: Kubernetes' own resources, so that a body of another kind is refused before policy reads it.

Belongs here: resource → kind of the groups that ship with Kubernetes 1.20 to 1.36. Not here: custom resources (for
those only the group and version of a body are compared). Kinds do not change between versions of a group.
"""

from __future__ import annotations

_BY_GROUP = {
    "": (
        "bindings:Binding configmaps:ConfigMap endpoints:Endpoints events:Event limitranges:LimitRange "
        "namespaces:Namespace nodes:Node persistentvolumeclaims:PersistentVolumeClaim "
        "persistentvolumes:PersistentVolume pods:Pod podtemplates:PodTemplate "
        "replicationcontrollers:ReplicationController resourcequotas:ResourceQuota secrets:Secret "
        "serviceaccounts:ServiceAccount services:Service"
    ),
    "admissionregistration.k8s.io": (
        "mutatingadmissionpolicies:MutatingAdmissionPolicy "
        "mutatingadmissionpolicybindings:MutatingAdmissionPolicyBinding "
        "mutatingwebhookconfigurations:MutatingWebhookConfiguration "
        "validatingadmissionpolicies:ValidatingAdmissionPolicy "
        "validatingadmissionpolicybindings:ValidatingAdmissionPolicyBinding "
        "validatingwebhookconfigurations:ValidatingWebhookConfiguration"
    ),
    "apiextensions.k8s.io": "customresourcedefinitions:CustomResourceDefinition",
    "apiregistration.k8s.io": "apiservices:APIService",
    "apps": (
        "controllerrevisions:ControllerRevision daemonsets:DaemonSet deployments:Deployment "
        "replicasets:ReplicaSet statefulsets:StatefulSet"
    ),
    "authentication.k8s.io": "tokenreviews:TokenReview selfsubjectreviews:SelfSubjectReview",
    "authorization.k8s.io": (
        "localsubjectaccessreviews:LocalSubjectAccessReview selfsubjectaccessreviews:SelfSubjectAccessReview "
        "selfsubjectrulesreviews:SelfSubjectRulesReview subjectaccessreviews:SubjectAccessReview"
    ),
    "autoscaling": "horizontalpodautoscalers:HorizontalPodAutoscaler",
    "batch": "cronjobs:CronJob jobs:Job",
    "certificates.k8s.io": (
        "certificatesigningrequests:CertificateSigningRequest clustertrustbundles:ClusterTrustBundle "
        "podcertificaterequests:PodCertificateRequest"
    ),
    "coordination.k8s.io": "leases:Lease leasecandidates:LeaseCandidate",
    "discovery.k8s.io": "endpointslices:EndpointSlice",
    "events.k8s.io": "events:Event",
    "flowcontrol.apiserver.k8s.io": "flowschemas:FlowSchema prioritylevelconfigurations:PriorityLevelConfiguration",
    "networking.k8s.io": (
        "ingressclasses:IngressClass ingresses:Ingress ipaddresses:IPAddress networkpolicies:NetworkPolicy "
        "servicecidrs:ServiceCIDR"
    ),
    "node.k8s.io": "runtimeclasses:RuntimeClass",
    "policy": "poddisruptionbudgets:PodDisruptionBudget podsecuritypolicies:PodSecurityPolicy",
    "rbac.authorization.k8s.io": (
        "clusterrolebindings:ClusterRoleBinding clusterroles:ClusterRole rolebindings:RoleBinding roles:Role"
    ),
    "resource.k8s.io": (
        "deviceclasses:DeviceClass resourceclaims:ResourceClaim resourceclaimtemplates:ResourceClaimTemplate "
        "resourceslices:ResourceSlice"
    ),
    "scheduling.k8s.io": "priorityclasses:PriorityClass",
    "storage.k8s.io": (
        "csidrivers:CSIDriver csinodes:CSINode csistoragecapacities:CSIStorageCapacity "
        "storageclasses:StorageClass volumeattachments:VolumeAttachment "
        "volumeattributesclasses:VolumeAttributesClass"
    ),
    "storagemigration.k8s.io": "storageversionmigrations:StorageVersionMigration",
}

KINDS: dict[tuple[str, str], str] = {
    (group, pair.partition(":")[0]): pair.partition(":")[2]
    for group, pairs in _BY_GROUP.items()
    for pair in pairs.split()
}

# Subresources that take the kind of their parent.
_OF_PARENT = frozenset({"", "status", "finalize", "approval", "ephemeralcontainers", "resize"})
# Subresources that take a kind of their own, with the versions that the server accepts.
_OWN = {
    "scale": ("Scale", frozenset({"autoscaling/v1"})),
    "pods/eviction": ("Eviction", frozenset({"policy/v1", "policy/v1beta1"})),
    "pods/binding": ("Binding", frozenset({"v1"})),
    "serviceaccounts/token": ("TokenRequest", frozenset({"authentication.k8s.io/v1"})),
}


def expected(group: str, version: str, resource: str, subresource: str) -> tuple[str, frozenset[str]]:
    """Kind and apiVersions that a body on this URL can have; "" or an empty set where that is not known."""
    if subresource in _OF_PARENT:
        return KINDS.get((group, resource), ""), frozenset({f"{group}/{version}" if group else version})
    if subresource == "scale":
        return _OWN["scale"]
    if group == "":
        return _OWN.get(f"{resource}/{subresource}", ("", frozenset()))
    return "", frozenset()
