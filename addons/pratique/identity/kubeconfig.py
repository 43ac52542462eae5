"""A kubeconfig's context: server, CA and the one user, without anything that would weaken either.

Belongs here: client-go's merging rules, what is taken over and what is refused. Not here: opening files (`upstream`),
running plugins (`exec_source`). Relies on `pratique.documents.yaml` (strict YAML: no aliases, no duplicate keys).

Source: client-go `tools/clientcmd` (Kubernetes 1.36). Fields that do not matter to a gateway are ignored, not refused:
the file belongs to other programs too.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import msgspec

from pratique.errors import PratiqueError
from pratique.identity.secret import Secret
from pratique.identity.server import Server


class KubeconfigError(PratiqueError):
    """A kubeconfig that the gateway does not use. The caller knows the Cluster's place and raises a DocumentError."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class _EnvVar(msgspec.Struct, frozen=True):
    name: str
    value: str = ""


class _Exec(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    command: str
    args: tuple[str, ...] | None = None
    env: tuple[_EnvVar, ...] | None = None
    interactive_mode: str = "IfAvailable"
    provide_cluster_info: bool = False


class _Cluster(msgspec.Struct, frozen=True, rename="kebab"):
    server: str = ""
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = None


class _User(msgspec.Struct, frozen=True, rename="kebab"):
    token: str | None = None
    token_file: str | None = msgspec.field(name="tokenFile", default=None)
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    username: str | None = None
    password: str | None = None
    exec: _Exec | None = None
    auth_provider: Any = None
    as_user: str | None = msgspec.field(name="as", default=None)
    as_groups: tuple[str, ...] | None = None
    as_uid: str | None = None
    as_user_extra: Any = None


class _Context(msgspec.Struct, frozen=True):
    cluster: str = ""
    user: str = ""


class _NamedCluster(msgspec.Struct, frozen=True):
    name: str
    cluster: _Cluster


class _NamedUser(msgspec.Struct, frozen=True):
    name: str
    user: _User | None = None


class _NamedContext(msgspec.Struct, frozen=True):
    name: str
    context: _Context


class _File(msgspec.Struct, frozen=True, rename="kebab"):
    current_context: str | None = None
    clusters: tuple[_NamedCluster, ...] | None = None
    users: tuple[_NamedUser, ...] | None = None
    contexts: tuple[_NamedContext, ...] | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """PEM that is either in the kubeconfig or in a file beside it; exactly one is set."""

    data: bytes | None = None
    path: PurePath | None = None

    def __repr__(self) -> str:
        return f"Material(path={self.path!r})"  # `data` may be a private key


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """`command` is resolved as client-go does: with a separator, relative to the kubeconfig; else on PATH."""

    api_version: str
    command: str
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    provide_cluster_info: bool


@dataclass(frozen=True, slots=True)
class User:
    """How the kubeconfig's user authenticates. A certificate may stand beside one of the others."""

    token: Secret | None = None
    token_file: PurePath | None = None
    exec: ExecPlugin | None = None
    certificate: Material | None = None
    key: Material | None = None


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """One context of a kubeconfig."""

    context: str
    server: str
    certificate_authority: Material | None
    tls_server_name: str | None
    user: User


def kubeconfig_from(files: Sequence[tuple[PurePath, object]], context: str | None = None) -> Kubeconfig:
    """The context `context` (default: the current one) of the merged files; of equal names the first counts.

    `files`: each file's path and its plain data. `server` is checked by `Server.parse` where it is used.

    Raises:
        KubeconfigError: not a kubeconfig, no such context, or something in it that the gateway does not use.
    """
    parsed = [(path.parent, _parse(path, data)) for path, data in files]
    wanted = context or next((file.current_context for _, file in parsed if file.current_context), None)
    if not wanted:
        raise KubeconfigError("the kubeconfig has no current context", "Name one in `kubeconfig.context`")
    chosen = _find(parsed, "contexts", wanted).context
    cluster_folder, cluster = _find_with_folder(parsed, "clusters", chosen.cluster)
    user_folder, user = _find_with_folder(parsed, "users", chosen.user)
    _check_cluster(cluster.cluster)
    return Kubeconfig(
        context=wanted,
        server=cluster.cluster.server,
        certificate_authority=_material(
            cluster_folder, cluster.cluster.certificate_authority_data, cluster.cluster.certificate_authority
        ),
        tls_server_name=_tls_server_name(cluster.cluster),
        user=_user(user_folder, user.user or _User()),
    )


def _parse(path: PurePath, data: object) -> _File:
    try:
        return msgspec.convert(data, _File)
    except msgspec.ValidationError as error:
        raise KubeconfigError(f"`{path}` is not a kubeconfig: {error}", "Check it with `kubectl config view`") from None


def _find(parsed: Sequence[tuple[PurePath, _File]], section: str, name: str) -> Any:
    return _find_with_folder(parsed, section, name)[1]


def _find_with_folder(parsed: Sequence[tuple[PurePath, _File]], section: str, name: str) -> tuple[PurePath, Any]:
    for folder, file in parsed:
        for entry in getattr(file, section) or ():
            if entry.name == name:
                return folder, entry
    message = f"the kubeconfig has no `{name}` among its {section}"
    raise KubeconfigError(message, "Check `kubeconfig.context` and `kubectl config get-contexts`")


def _check_cluster(cluster: _Cluster) -> None:
    if cluster.insecure_skip_tls_verify:
        raise KubeconfigError(
            "`insecure-skip-tls-verify` is set, and the gateway verifies the API server always",
            "Give the cluster's CA in `certificateAuthority` or in the kubeconfig, and remove the flag",
        )
    if cluster.proxy_url:
        raise KubeconfigError("`proxy-url` is not supported", "Let the gateway reach the API server directly")


def _tls_server_name(cluster: _Cluster) -> str | None:
    name = cluster.tls_server_name or None
    if name is not None and not Server.is_host(name):
        raise KubeconfigError(f"`tls-server-name` `{name}` is not a host name", "Give a name of the certificate")
    return name


def _user(folder: PurePath, user: _User) -> User:
    """client-go's order: exec is alone; of token and tokenFile the file counts."""
    _check_user(user)
    certificate = _material(folder, user.client_certificate_data, user.client_certificate)
    key = _material(folder, user.client_key_data, user.client_key)
    if (certificate is None) != (key is None):
        raise KubeconfigError("of client certificate and client key one is missing", "Give both or none")
    plugin = _plugin(folder, user.exec) if user.exec is not None else None
    token_file = folder / user.token_file if user.token_file and plugin is None else None
    token = Secret(user.token) if user.token and token_file is None and plugin is None else None
    if plugin is None and token_file is None and token is None and certificate is None:
        raise KubeconfigError(
            "the kubeconfig's user has no credential", "Give a token, a certificate or an exec plugin"
        )
    return User(token, token_file, plugin, certificate, key)


def _check_user(user: _User) -> None:
    if user.username or user.password:
        raise KubeconfigError("user name and password are not accepted by Kubernetes any more", "Use a token")
    if user.auth_provider is not None:
        raise KubeconfigError("`auth-provider` has been removed from Kubernetes", "Use an exec plugin")
    if user.as_user or user.as_groups or user.as_uid or user.as_user_extra:
        raise KubeconfigError(
            "the kubeconfig's user impersonates another one", "Give the gateway a credential of the user it is to be"
        )
    if user.exec is not None and (user.token or user.token_file):
        raise KubeconfigError("an exec plugin beside a token", "Remove one of them")


def _plugin(folder: PurePath, plugin: _Exec) -> ExecPlugin:
    version = plugin.api_version.removeprefix("client.authentication.k8s.io/")
    if version not in {"v1", "v1beta1"}:
        raise KubeconfigError(f"exec apiVersion `{plugin.api_version}` is not known", "Use v1 or v1beta1")
    if plugin.interactive_mode == "Always":
        raise KubeconfigError(
            "the exec plugin is interactive, and nobody sits at the gateway", "Use another credential"
        )
    command = str(folder / plugin.command) if "/" in plugin.command else plugin.command
    env = tuple((variable.name, variable.value) for variable in plugin.env or ())
    return ExecPlugin(plugin.api_version, command, tuple(plugin.args or ()), env, plugin.provide_cluster_info)


def _material(folder: PurePath, data: str | None, path: str | None) -> Material | None:
    """As client-go: inline data counts before a file."""
    if data:
        try:
            return Material(data=base64.b64decode("".join(data.split()), validate=True))
        except (binascii.Error, ValueError):
            raise KubeconfigError("certificate or key data is not base64", "Copy it again") from None
    return Material(path=folder / path) if path else None
