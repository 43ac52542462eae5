"""The request as the policy sees it.

Belongs here: `PolicyRequest`, how it is made from a canonical request, and what is known of its name and namespace. Not
here: parsing (`pratique.kube`), which verbs it counts as (`demands.py`), the pod template (`powers.py`).
Relies on the shape of `pratique.kube.attributes.RequestAttributes` and `pratique.kube.canonical.CanonicalRequest` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

JSON_PATCH = "json-patch"
MERGE_PATCH = "merge-patch"
STRATEGIC_PATCH = "strategic-merge-patch"
APPLY_PATCH = "apply-patch"

_TUNNEL = "SPDY/3.1+portforward.k8s.io"


class Absent(Enum):
    """A value that nobody has asked for: something else than None, which says that there is none."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT

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
    """PodExecOptions and PodAttachOptions (core/v1), as the API server decodes them.

    `command` is None for attach: what it attaches to was started by somebody else.
    """

    command: tuple[str, ...] | None = ()
    stdin: bool = False
    tty: bool = False
    stdout: bool = True
    stderr: bool = True
    container: str = ""


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """One request, canonical, of one client.

    `document` is the parsed JSON body (for a patch: the patch), None when there is none. `method` "" is not checked.
    `ports` of a port-forward or proxy (numbers, or names of a service's or container's ports): None when not known;
    `()` when the caller decides again for each port that a stream opens.

    What the cluster was asked (`Needs`): `result`, what a patch would make (the gateway's own dry run), None when not
    asked for; `old_object`, the live object, None when there is none; `namespace_labels`. `fault`: why it could not
    be asked.
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
    ports: tuple[int | str, ...] | None = None
    upgrade: str = ""
    old_object: Any = ABSENT
    namespace_labels: Mapping[str, str] | None = None
    fault: str = ""

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
        """The object that this write makes: the result when known, the body of a create or update; else None.

        A patch is not the object, nor is an apply patch: what is left out of it may be there already.
        """
        if self.result is not None:
            return self.result
        return None if self.patch_type else self.document

    @property
    def is_collection(self) -> bool:
        return self.attributes.verb in _COLLECTION_VERBS

    @property
    def creates_in_collection(self) -> bool:
        """POST to a collection: the name stands in the body only."""
        attributes = self.attributes
        return attributes.verb == "create" and not attributes.name and not attributes.subresource

    @property
    def acts_on_object(self) -> bool:
        """Whether there is one live object that the request changes, connects to or removes."""
        attributes = self.attributes
        if not attributes.is_resource_request or not attributes.name or self.is_collection:
            return False
        return attributes.verb != "get" or (attributes.resource, attributes.subresource) in CONNECTIONS

    @property
    def name(self) -> str | None:
        """The name of the object, from the body for a create; None when unknown (collections, `generateName`).

        Of a proxy without scheme and port, which stand in the same path segment.
        """
        attributes = self.attributes
        if attributes.name:
            return _proxied(attributes.name)[0] if attributes.subresource == "proxy" else attributes.name
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
    def labels_of_namespace(self) -> Mapping[str, str] | None:
        """The labels of the namespace, None when they are not known. A Namespace to be created brings its own."""
        attributes = self.attributes
        if self.creates_in_collection and (attributes.api_group, attributes.resource) == ("", "namespaces"):
            return _labels(self.document)
        return self.namespace_labels if self.namespace else None

    @property
    def rehearses(self) -> bool:
        """A dry run that changes and mints nothing. Not so for deletecollection, subresources and reviews."""
        attributes = self.attributes
        return self.dry_run and attributes.verb in _REHEARSED_VERBS and not attributes.subresource


CONNECTIONS = frozenset(
    {
        ("pods", "exec"),
        ("pods", "attach"),
        ("pods", "portforward"),
        ("pods", "proxy"),
        ("services", "proxy"),
        ("nodes", "proxy"),
    }
)  # resource and subresource, core group: they open a connection; GET does as much as POST

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


def _labels(document: Any) -> Mapping[str, str] | None:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    labels = metadata.get("labels") or {} if isinstance(metadata, dict) else None
    return labels if isinstance(labels, dict) else None


_PROXY_SCHEMES = frozenset({"", "http", "https"})


def _proxied(segment: str) -> tuple[str | None, int | str | None]:
    """Name and port of `[scheme:]name[:port]` (apimachinery `util/net.SplitSchemeNamePort`); None for what is not said.

    A number in any spelling is that number: the server dials `0080` as 80.
    """
    parts = segment.split(":")
    scheme, name, port = {1: ("", *parts, ""), 2: ("", *parts), 3: tuple(parts)}.get(len(parts), ("?", "", ""))
    if scheme not in _PROXY_SCHEMES or not name:
        return None, None
    return name, (int(port) if port.isascii() and port.isdigit() else port) or None


def _exec_options(attributes: Attributes, options: Any) -> ExecOptions | None:
    """None where nothing was decoded: a rule with `exec:` then does not allow."""
    if attributes.resource != "pods" or attributes.subresource not in {"exec", "attach"}:
        return None
    values = _decoded(options, "podExecOptions" if attributes.subresource == "exec" else "podAttachOptions")
    if values is None:
        return None
    return ExecOptions(
        command=tuple(values.get("command") or ()) if attributes.subresource == "exec" else None,
        stdin=bool(values.get("stdin")),
        tty=bool(values.get("tty")),
        stdout=bool(values.get("stdout")),
        stderr=bool(values.get("stderr")),
        container=values.get("container") or "",
    )


def _ports(canonical: Any, options: Any) -> tuple[int | str, ...] | None:
    """Of a port-forward `ports=`. Left out, they come when a stream is opened, where the protocol names them there: ().

    Of a proxy the port in its path; without one the server chooses: None.
    """
    attributes = canonical.attributes
    if attributes.subresource == "proxy" and (attributes.resource, "proxy") in CONNECTIONS:
        port = _proxied(attributes.name)[1]
        return None if port is None else (port,)
    if attributes.subresource != "portforward":
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
