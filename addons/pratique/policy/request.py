"""The request as the policy sees it.

Belongs here: `PolicyRequest`, how it is made from a canonical request, and what is known of its name and namespace. Not
here: parsing (`pratique.kube`), which verbs it counts as (`demands.py`), the pod template (`powers.py`).
Relies on the shape of `pratique.kube.attributes.RequestAttributes` and `pratique.kube.canonical.CanonicalRequest` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

JSON_PATCH = "json-patch"
MERGE_PATCH = "merge-patch"
STRATEGIC_PATCH = "strategic-merge-patch"
APPLY_PATCH = "apply-patch"

_TUNNEL = "SPDY/3.1+portforward.k8s.io"
_COLLECTION_VERBS = frozenset({"list", "watch", "deletecollection"})
_REHEARSED_VERBS = frozenset({"create", "update", "patch", "delete"})


class Attributes(Protocol):
    """What the API server's RequestInfo says (kubernetes/apiserver `pkg/endpoints/request/requestinfo.go`, 1.36)."""

    @property
    def is_resource_request(self) -> bool: ...
    @property
    def verb(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def api_group(self) -> str: ...
    @property
    def api_version(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def resource(self) -> str: ...
    @property
    def subresource(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def field_selector(self) -> str: ...
    @property
    def label_selector(self) -> str: ...
    @property
    def error(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """PodExecOptions and PodAttachOptions (core/v1), as the API server decodes them. `attach` has no command."""

    command: tuple[str, ...] = ()
    stdin: bool = False
    tty: bool = False
    stdout: bool = True
    stderr: bool = True
    container: str = ""


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """One request, canonical, of one client.

    `document` is the parsed JSON body (for a patch: the patch), None when there is none. `result` is what the API
    server says a patch would make (the gateway's own dry run), None when not asked for. `method` "" is not checked.
    `ports` of a port-forward: None when not known; `()` when the caller decides again for each port that a stream
    opens.
    """

    client: str
    attributes: Attributes
    method: str = ""
    client_labels: Mapping[str, str] = field(default_factory=dict)
    patch_type: str = ""
    document: Any = None
    result: Any = None
    dry_run: bool = False
    exec: ExecOptions | None = None
    ports: tuple[int, ...] | None = None
    upgrade: str = ""

    @classmethod
    def from_canonical(
        cls, client: str, canonical: Any, labels: Mapping[str, str] | None = None, result: Any = None
    ) -> PolicyRequest:
        """From a `CanonicalRequest`."""
        options = getattr(canonical, "options", None)
        return cls(
            client=client,
            attributes=canonical.attributes,
            method=canonical.method,
            client_labels=labels or {},
            patch_type=canonical.patch_type or "",
            document=canonical.document,
            result=result,
            dry_run=bool(canonical.dry_run),
            exec=_exec_options(canonical.attributes, options),
            ports=_ports(canonical, options),
            upgrade=canonical.upgrade or "",
        )

    @property
    def object(self) -> Any:
        """The object that this write makes: the result when known, the body of a create, update or apply; else None.

        A JSON, merge or strategic merge patch is not the object.
        """
        if self.result is not None:
            return self.result
        return self.document if self.patch_type in {"", APPLY_PATCH} else None

    @property
    def is_collection(self) -> bool:
        return self.attributes.verb in _COLLECTION_VERBS

    @property
    def creates_in_collection(self) -> bool:
        """POST to a collection: the name stands in the body only."""
        attributes = self.attributes
        return attributes.verb == "create" and not attributes.name and not attributes.subresource

    @property
    def name(self) -> str | None:
        """The name of the object, from the body for a create; None when unknown (collections, `generateName`)."""
        if self.attributes.name:
            return self.attributes.name
        return _body_name(self.document) if self.creates_in_collection else None

    @property
    def namespace(self) -> str | None:
        """The namespace; "" for a cluster-scoped object; None when the request reaches all namespaces.

        A Namespace object is in itself, as in RequestInfo; one to be created gets its name from the body.
        """
        attributes = self.attributes
        if attributes.namespace:
            return attributes.namespace
        key = (attributes.api_group, attributes.resource)
        if key == ("", "namespaces"):
            return self.name
        return None if self.is_collection and key not in CLUSTER_SCOPED else ""

    @property
    def rehearses(self) -> bool:
        """A dry run that changes and mints nothing. Not so for deletecollection, subresources and reviews."""
        attributes = self.attributes
        return self.dry_run and attributes.verb in _REHEARSED_VERBS and not attributes.subresource


CLUSTER_SCOPED = frozenset(
    {
        ("", "nodes"),
        ("", "persistentvolumes"),
        ("", "componentstatuses"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("apiregistration.k8s.io", "apiservices"),
        ("certificates.k8s.io", "certificatesigningrequests"),
        ("certificates.k8s.io", "clustertrustbundles"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("metrics.k8s.io", "nodes"),
        ("networking.k8s.io", "ingressclasses"),
        ("networking.k8s.io", "ipaddresses"),
        ("networking.k8s.io", "servicecidrs"),
        ("node.k8s.io", "runtimeclasses"),
        ("rbac.authorization.k8s.io", "clusterrolebindings"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("resource.k8s.io", "deviceclasses"),
        ("resource.k8s.io", "resourceslices"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("storage.k8s.io", "csidrivers"),
        ("storage.k8s.io", "csinodes"),
        ("storage.k8s.io", "storageclasses"),
        ("storage.k8s.io", "volumeattachments"),
        ("storage.k8s.io", "volumeattributesclasses"),
    }
)  # built-in kinds whose list does not reach into namespaces; a kind that is not here is taken to (fail closed)


def _body_name(document: Any) -> str | None:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) and name else None


def _exec_options(attributes: Attributes, options: Any) -> ExecOptions | None:
    """None where nothing was decoded: a rule with `exec:` then does not allow."""
    if attributes.resource != "pods" or attributes.subresource not in {"exec", "attach"}:
        return None
    values = _decoded(options, "podExecOptions" if attributes.subresource == "exec" else "podAttachOptions")
    if values is None:
        return None
    return ExecOptions(
        command=tuple(values.get("command") or ()),
        stdin=bool(values.get("stdin")),
        tty=bool(values.get("tty")),
        stdout=bool(values.get("stdout")),
        stderr=bool(values.get("stderr")),
        container=values.get("container") or "",
    )


def _ports(canonical: Any, options: Any) -> tuple[int, ...] | None:
    """`ports=` of a port-forward. Left out, they come when a stream is opened, where the protocol names them there: ()."""
    if canonical.attributes.subresource != "portforward":
        return None
    values = _decoded(options, "podPortForwardOptions") or {}
    named_by_streams = canonical.upgrade == "SPDY/3.1" or _TUNNEL in canonical.subprotocols
    return tuple(values.get("ports") or ()) or (() if named_by_streams else None)


def _decoded(options: Any, kind: str) -> Mapping[str, Any] | None:
    """Options come by the name of their type; a bare mapping is taken to be of the type that the resource has."""
    if not isinstance(options, Mapping):
        return None
    values = options.get(kind, options)
    return values if isinstance(values, Mapping) else None


def pointer(text: str) -> tuple[str, ...]:
    """RFC 6901: `/a/b~1c` as its tokens; the empty pointer is the whole document."""
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:])
