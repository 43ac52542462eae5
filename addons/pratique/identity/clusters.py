"""`kind: Cluster`: which API server, verified against which CA, and whence the credential for it.

Belongs here: the shape of the document and what is refused in it. Not here: reading files, environment or kubeconfig
(`upstream`), having a credential (`credentials`). Relies on `pratique.documents` for positions.

Paths are relative to the document's folder; a leading `~` is left for the I/O side to expand. Verification of the
server cannot be switched off: there is no field for it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from pratique.documents import Document
from pratique.errors import DocumentError, DocumentErrors, Position
from pratique.identity.server import Server, ServerError

# STS: 900 s is the least, 43,200 s the most that a role can be set to. A role assumed by a role is capped at 3,600 s.
MIN_DURATION_SECONDS = 900
MAX_DURATION_SECONDS = 43_200
DEFAULT_DURATION_SECONDS = 3_600

ROLE_ARN = re.compile(r"arn:aws[a-z-]{0,16}:iam::\d{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)
_REGION = re.compile(r"[a-z]{2,5}(-[a-z]{2,16}){1,2}-\d{1,2}")
_EKS_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")  # eks:CreateCluster; ids of local clusters are UUIDs
_SOURCE_IDENTITY = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_SOURCE_IDENTITY_REMEDY = "Use 2 to 64 of `A-Z a-z 0-9 _ + = , . @ -`, and `{client}`, `{session}`"
_TAG_KEY = re.compile(r"[\w .:/=+@-]{1,128}")
_TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}")
_TAG_REMEDY = (
    "Keys have 1 to 128 letters, digits, blanks and `_ . : / = + @ -`, not `aws:` in front; values 256 at most"
)
MAX_TAGS = 50
MAX_SESSION_POLICY_CHARACTERS = 2_048  # plain; a packed limit, shared with the tags, is AWS's to check
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Base of the Structs here: unknown fields are errors."""


class CertificateAuthority(_Part, frozen=True):
    """One of: `path` of a PEM file, `data` as in a kubeconfig (base64 of PEM)."""

    path: str | None = None
    data: str | None = None


class EksSource(_Part, frozen=True):
    """Role X (boto3's default chain) assumes `role_arn` (Role Y), and Role Y signs the EKS token.

    `assume`: one session of Role Y for the whole `gateway`, for each `client` (its name is the session's name), or for each
    `session` of a client (its name and the recording's id; an AssumeRole with every new connection). `{client}` and
    `{session}` in `source_identity` and in values of `session_tags` stand for these.
    """

    cluster_name: str
    region: str
    role_arn: str = msgspec.field(name="roleARN")
    sts_endpoint: str | None = None
    duration_seconds: int = DEFAULT_DURATION_SECONDS
    source_identity: str | None = None
    assume: Literal["gateway", "client", "session"] = "client"
    session_tags: dict[str, str] = {}
    # None: the session may do nothing in AWS (`assume_role.DENY_ALL`); {}: no session policy is sent.
    session_policy: dict[str, Any] | None = None
    # Local clusters on Outposts are addressed by id, not by name, in the token's `x-k8s-aws-id`.
    cluster_id: str | None = msgspec.field(name="clusterID", default=None)


class KubeconfigSource(_Part, frozen=True):
    """A kubeconfig's context: token, token file, client certificate or exec plugin. Default: as kubectl finds them."""

    path: str | None = None
    context: str | None = None


class SandboxSource(_Part, frozen=True):
    """The embedded cluster, started with the gateway."""


class _Spec(_Part, frozen=True):
    server: str | None = None
    certificate_authority: CertificateAuthority | None = None
    tls_server_name: str | None = None
    eks: EksSource | None = None
    kubeconfig: KubeconfigSource | None = None
    token_file: str | None = None
    sandbox: SandboxSource | None = None


@dataclass(frozen=True, slots=True)
class TokenFileSource:
    """A file that holds the bearer token and may be replaced at any time (a projected ServiceAccount token)."""

    path: str


type Source = EksSource | KubeconfigSource | TokenFileSource | SandboxSource


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """One cluster. `server` and the CA are None only where the kubeconfig or the sandbox supplies them."""

    name: str
    source: Source
    server: Server | None
    certificate_authority: CertificateAuthority | None
    tls_server_name: str | None
    position: Position


def cluster_from(documents: Sequence[Document]) -> ClusterSpec:
    """The one `kind: Cluster` of a folder.

    Raises:
        DocumentErrors: none or several Clusters, or one that cannot be used; each error with its place and remedy.
    """
    clusters = [document for document in documents if document.kind == "Cluster"]
    if len(clusters) > 1:
        first, *others = clusters
        text = f"a second Cluster `{{}}` beside `{first.name}` ({first.position()}): one gateway serves one cluster"
        remedy = "Remove one of them, or run a second gateway with its own policy folder"
        raise DocumentErrors([d.error(("metadata", "name"), text.format(d.name), remedy) for d in others])
    if not clusters:
        place = Position(str(documents[0].folder) if documents else ".")
        raise DocumentErrors([DocumentError(place, "no `kind: Cluster` document", "Add one that names the API server")])
    document = clusters[0]
    errors = _Errors(document)
    spec = document.convert(("spec",), _Spec)
    cluster = ClusterSpec(
        name=document.name,
        source=_source(spec, errors),
        server=_server(spec, errors),
        certificate_authority=_certificate_authority(spec, errors),
        tls_server_name=_tls_server_name(spec, errors),
        position=document.position("spec"),
    )
    if errors.found:
        raise DocumentErrors(errors.found)
    return cluster


class _Errors:
    """Collects the errors of one document, so that one run shows them all."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.found: list[DocumentError] = []

    def add(self, path: tuple[str, ...], message: str, remedy: str = "") -> None:
        self.found.append(self.document.error(("spec", *path), message, remedy))

    def path(self, written: str) -> str:
        """A path of the document as the I/O side opens it."""
        return written if written.startswith("~") else str(self.document.resolve(written))


def _source(spec: _Spec, errors: _Errors) -> Source:
    given: dict[str, Callable[[], Source]] = {}
    if (eks := spec.eks) is not None:
        given["eks"] = lambda: _eks(eks, errors)
    if (kubeconfig := spec.kubeconfig) is not None:
        given["kubeconfig"] = lambda: _kubeconfig(kubeconfig, errors)
    if (token_file := spec.token_file) is not None:
        given["tokenFile"] = lambda: TokenFileSource(_file(token_file, ("tokenFile",), errors))
    if (sandbox := spec.sandbox) is not None:
        given["sandbox"] = lambda: sandbox
    remedy = "Give exactly one of `eks`, `kubeconfig`, `tokenFile`, `sandbox`"
    if not given:
        errors.add((), "the Cluster has no source of credentials", remedy)
        return SandboxSource()
    first, *others = given
    for other in others:
        errors.add((other,), f"`{other}` beside `{first}`: two sources of credentials", remedy)
    return given[first]()


def _server(spec: _Spec, errors: _Errors) -> Server | None:
    supplied = spec.kubeconfig is not None or spec.sandbox is not None
    if spec.server is None:
        if not supplied:
            errors.add((), "`server` is missing", "Give the API server's endpoint, `https://HOST[:PORT]`")
        return None
    if spec.sandbox is not None:
        errors.add(("server",), "`server` beside `sandbox`: the embedded cluster has its own", "Remove it")
        return None
    try:
        return Server.parse(spec.server)
    except ServerError as error:
        errors.add(("server",), str(error), error.remedy)
        return None


def _certificate_authority(spec: _Spec, errors: _Errors) -> CertificateAuthority | None:
    authority, path = spec.certificate_authority, ("certificateAuthority",)
    if authority is None:
        if spec.kubeconfig is None and spec.sandbox is None:
            errors.add((), "`certificateAuthority` is missing", "Give `path` or `data` of the cluster's CA certificate")
        return None
    if (authority.path is None) == (authority.data is None):
        errors.add(path, "`certificateAuthority` needs exactly one of `path` and `data`", "Remove or add one")
        return None
    if authority.path is not None:
        return CertificateAuthority(path=_file(authority.path, (*path, "path"), errors))
    if not _is_base64_pem(authority.data or ""):
        remedy = "Copy `certificate-authority-data` of the kubeconfig, or `eks describe-cluster`'s certificateAuthority"
        errors.add((*path, "data"), "`data` is not base64 of a PEM certificate", remedy)
    return authority


def _is_base64_pem(data: str) -> bool:
    try:
        return b"-----BEGIN CERTIFICATE-----" in base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return False


def _tls_server_name(spec: _Spec, errors: _Errors) -> str | None:
    name = spec.tls_server_name
    if name is not None and not Server.is_host(name):
        errors.add(("tlsServerName",), f"`{name}` is not a host name", "Give the name in the server's certificate")
    return name


def _file(written: str, path: tuple[str, ...], errors: _Errors) -> str:
    if not written or "\0" in written:
        errors.add(path, "the path is empty", "Give the path of a file")
    return errors.path(written)


def _kubeconfig(source: KubeconfigSource, errors: _Errors) -> KubeconfigSource:
    if source.path is None:
        return source
    return KubeconfigSource(path=_file(source.path, ("kubeconfig", "path"), errors), context=source.context)


def _eks(source: EksSource, errors: _Errors) -> EksSource:
    for field, value, pattern, remedy in (
        ("clusterName", source.cluster_name, _EKS_NAME, "Give the name that `aws eks list-clusters` prints"),
        ("region", source.region, _REGION, "Give a region such as `eu-west-1`"),
        ("roleARN", source.role_arn, ROLE_ARN, "Give Role Y as `arn:aws:iam::ACCOUNT:role/NAME`"),
        ("clusterID", source.cluster_id, _EKS_NAME, "Give `cluster.id` of `aws eks describe-cluster`"),
    ):
        if value is not None and not pattern.fullmatch(value):
            errors.add(("eks", field), f"`{value}` cannot be {field}", remedy)
    if not MIN_DURATION_SECONDS <= source.duration_seconds <= MAX_DURATION_SECONDS:
        errors.add(
            ("eks", "durationSeconds"),
            f"`{source.duration_seconds}` s is no session duration of STS",
            f"Give {MIN_DURATION_SECONDS} to {MAX_DURATION_SECONDS}; a role assumed by a role gets 3600 at most",
        )
    _eks_session(source, errors)
    if source.sts_endpoint is not None:
        _sts_endpoint(source.sts_endpoint, errors)
    return source


def _eks_session(source: EksSource, errors: _Errors) -> None:
    """SourceIdentity, tags and policy of the session (sts:AssumeRole, 2011-06-15)."""
    identity = source.source_identity
    if identity is not None and not _SOURCE_IDENTITY.fullmatch(_without_words(identity)):
        errors.add(("eks", "sourceIdentity"), f"`{identity}` cannot be sourceIdentity", _SOURCE_IDENTITY_REMEDY)
    for key, value in source.session_tags.items():
        if (
            not _TAG_KEY.fullmatch(key)
            or key.lower().startswith("aws:")
            or not _TAG_VALUE.fullmatch(_without_words(value))
        ):
            errors.add(("eks", "sessionTags", key), f"`{key}: {value}` cannot be a session tag", _TAG_REMEDY)
    if len(source.session_tags) > MAX_TAGS:
        errors.add(("eks", "sessionTags"), f"{len(source.session_tags)} session tags", f"Give {MAX_TAGS} at most")
    words = "".join((identity or "", *source.session_tags.values()))
    for word, needs in (("{client}", ("client", "session")), ("{session}", ("session",))):
        if word in words and source.assume not in needs:
            text = f"`{word}` where the role is assumed for each {source.assume}"
            errors.add(("eks", "assume"), text, f"Set `assume` to {' or '.join(f'`{need}`' for need in needs)}")
    policy = "" if source.session_policy is None else json.dumps(source.session_policy, separators=(",", ":"))
    if len(policy) > MAX_SESSION_POLICY_CHARACTERS:
        text = f"the session policy has {len(policy)} characters"
        errors.add(("eks", "sessionPolicy"), text, f"Give {MAX_SESSION_POLICY_CHARACTERS} at most")


def _without_words(text: str) -> str:
    return text.replace("{client}", "client").replace("{session}", "session")


def _sts_endpoint(endpoint: str, errors: _Errors) -> None:
    try:
        server = Server.parse(endpoint, schemes=("https", "http"))
    except ServerError as error:
        errors.add(("eks", "stsEndpoint"), str(error), error.remedy)
        return
    if server.scheme != "https" and server.host not in _LOOPBACK:
        errors.add(("eks", "stsEndpoint"), "STS over plain http", "Use https (http is for loopback only)")
