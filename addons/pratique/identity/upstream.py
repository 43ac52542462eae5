"""I/O: everything that a `kind: Cluster` refers to, read once at start: CA, client certificate, kubeconfig, source.

Belongs here: opening files and environment, kubeconfig's defaults. Not here: what may stand in them (`clusters`,
`kubeconfig`).
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

from pratique.documents.yaml import read
from pratique.errors import DocumentError, DocumentErrors
from pratique.identity.clusters import (
    CertificateAuthority,
    ClusterSpec,
    EksSource,
    KubeconfigSource,
    TokenFileSource,
)
from pratique.identity.credentials import (
    CredentialSource,
    Fetched,
    StaticCredentialSource,
    TokenFileCredentialSource,
)
from pratique.identity.eks_source import EksCredentialSource, StsClients
from pratique.identity.exec_source import ExecCredentialSource
from pratique.identity.gate import Credential
from pratique.identity.kubeconfig import Kubeconfig, KubeconfigError, Material, kubeconfig_from
from pratique.identity.roles import AssumedRole, assumed_role, with_role
from pratique.identity.secret import Secret
from pratique.identity.server import Server, ServerError
from pratique.identity.sources import OneSource, RoleSources, Sources
from pratique.identity.tls import ClientCertificate

DEFAULT_KUBECONFIG = "~/.kube/config"
STS_THREADS = 8  # AssumeRole takes 0.1 s: 80 new roles a second
MAX_FILE_BYTES = 1 << 20  # of a kubeconfig, CA bundle, certificate or key


@dataclass(frozen=True, slots=True)
class Upstream:
    """The cluster, ready to be called. `certificate_authority` is PEM; write it with `tls.write_tls_files`."""

    server: Server
    certificate_authority: str
    tls_server_name: str | None
    client_certificate: ClientCertificate | None
    sources: Sources


def load_upstream(cluster: ClusterSpec) -> Upstream:
    """Reads what `cluster` refers to; nothing is sent anywhere. For `sandbox` use `dataclasses.replace` first.

    Raises:
        DocumentErrors: a file that is missing or unusable, at the place of the Cluster (or in the kubeconfig).
    """
    try:
        if isinstance(cluster.source, KubeconfigSource):
            return _from_kubeconfig(cluster, cluster.source)
        return _from_document(cluster)
    except (_UnusableError, KubeconfigError, ServerError) as error:
        raise DocumentErrors([DocumentError(cluster.position, str(error), error.remedy)]) from None


class _UnusableError(KubeconfigError):
    """Something that the Cluster refers to; located by `load_upstream`."""


def _from_document(cluster: ClusterSpec) -> Upstream:
    if not isinstance(cluster.source, EksSource | TokenFileSource):
        raise _UnusableError("the embedded cluster is not running", "Start with `pratique run`, or give another source")
    if cluster.server is None:
        raise _UnusableError("`server` is missing", "Give the API server's endpoint, `https://HOST[:PORT]`")
    authority = _authority(cluster.certificate_authority)
    return Upstream(cluster.server, authority, cluster.tls_server_name, None, _sources(cluster.source))


def _sources(source: EksSource | TokenFileSource) -> Sources:
    if isinstance(source, EksSource):
        return eks_sources(source)
    return OneSource(TokenFileCredentialSource(_expanded(source.path)))


def eks_sources(eks: EksSource) -> RoleSources[AssumedRole]:
    """One source for each role that is assumed, with one STS client and threads of their own.

    While STS hangs, each of them holds a thread for seconds: those that mask bodies must not be among them.
    """
    clients, threads = StsClients(), ThreadPoolExecutor(STS_THREADS, "pratique-sts")

    async def run(fetch: Callable[[float], Fetched[Credential]], now: float) -> Fetched[Credential]:
        return await asyncio.get_running_loop().run_in_executor(threads, fetch, now)

    def make(role: AssumedRole) -> CredentialSource:
        return EksCredentialSource(with_role(eks, role), role.session_name, client=clients, run=run)

    return RoleSources(lambda behalf: assumed_role(eks, behalf), make)


def _from_kubeconfig(cluster: ClusterSpec, source: KubeconfigSource) -> Upstream:
    kubeconfig = kubeconfig_from(_kubeconfig_files(source.path), source.context)
    authority = (
        _authority(cluster.certificate_authority)
        if cluster.certificate_authority is not None
        else _required_authority(kubeconfig.certificate_authority)
    )
    certificate, key = kubeconfig.user.certificate, kubeconfig.user.key
    client = None
    if certificate is not None and key is not None:
        client = ClientCertificate(_pem(certificate), Secret(_pem(key)))
    server = cluster.server or Server.parse(kubeconfig.server)
    tls_server_name = cluster.tls_server_name or kubeconfig.tls_server_name
    info = _cluster_info(server, authority, tls_server_name)
    sources = OneSource(_user_source(kubeconfig, client is not None, info))
    return Upstream(server, authority, tls_server_name, client, sources)


def _user_source(kubeconfig: Kubeconfig, certificate: bool, info: dict[str, object]) -> CredentialSource:  # noqa: FBT001
    user = kubeconfig.user
    if user.exec is not None:
        return ExecCredentialSource(user.exec, info)
    if user.token_file is not None:
        return TokenFileCredentialSource(Path(user.token_file))
    identity = f"the user of kubeconfig context `{kubeconfig.context}`"
    return StaticCredentialSource(Credential(user.token, certificate), identity)


def _cluster_info(server: Server, authority: str, tls_server_name: str | None) -> dict[str, object]:
    """`spec.cluster` of an ExecCredential."""
    info: dict[str, object] = {
        "server": str(server),
        "certificate-authority-data": base64.b64encode(authority.encode()).decode(),
    }
    return info if tls_server_name is None else {**info, "tls-server-name": tls_server_name}


def _kubeconfig_files(path: str | None) -> list[tuple[PurePath, object]]:
    """As kubectl: the given file; else those of KUBECONFIG that exist; else `~/.kube/config`."""
    if path is not None:
        files = [_expanded(path)]
    else:
        named = [Path(name) for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
        files = [file for file in named if file.exists()] or [_expanded(DEFAULT_KUBECONFIG)]
    return [(file, _yaml(file)) for file in files]


def _yaml(file: Path) -> object:
    trees = read(_text(file), str(file))
    if len(trees) != 1:
        raise _UnusableError(f"`{file}` holds {len(trees)} YAML documents", "Name a kubeconfig: one document")
    return trees[0].value


def _authority(authority: CertificateAuthority | None) -> str:
    if authority is not None and authority.path is not None:
        return _text(_expanded(authority.path))
    if authority is not None and authority.data is not None:
        return _ascii(base64.b64decode(authority.data), "certificateAuthority")
    raise _UnusableError("no CA certificate", "Give `certificateAuthority`")


def _required_authority(material: Material | None) -> str:
    if material is None:
        raise _UnusableError(
            "the kubeconfig has no CA certificate, and the gateway does not trust the system's CAs for an API server",
            "Give the cluster's CA in `certificateAuthority`",
        )
    return _pem(material)


def _pem(material: Material) -> str:
    if material.data is not None:
        return _ascii(material.data, "kubeconfig data")
    return _text(Path(material.path or ""))


def _expanded(path: str) -> Path:
    return Path(path).expanduser()


def _text(file: Path) -> str:
    try:
        return _limited(file).decode("utf-8")
    except OSError as error:
        raise _UnusableError(f"`{file}` cannot be read: {error.strerror}", "Check path and permissions") from None
    except UnicodeDecodeError:
        raise _UnusableError(f"`{file}` is not text", "Give a PEM or YAML file") from None


def _limited(file: Path) -> bytes:
    with file.open("rb") as stream:
        content = stream.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise _UnusableError(f"`{file}` is larger than {MAX_FILE_BYTES} bytes", "Check that it is the right file")
    return content


def _ascii(content: bytes, what: str) -> str:
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise _UnusableError(f"{what} is not PEM", "Copy it again") from None
