"""`kind: Issuer`: who vouches for clients, and by which keys that is checked.

Belongs here: the shape of the document and what is refused in it. Not here: fetching keys (`keyring`), tokens
(`tokens`), certificates (`certificates`), which client a credential is of (`clients`). Pure.

An Issuer issues either tokens (a cluster's ServiceAccount tokens, OpenID Connect) or client certificates.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from pratique.documents import Document
from pratique.errors import DocumentError, DocumentErrors
from pratique.identity.certificates import AuthorityError, read_authorities
from pratique.identity.clusters import CertificateAuthority

type Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
ALGORITHMS: tuple[Algorithm, ...] = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
)  # fmt: skip
"""Signatures by a private key that nobody but the issuer has. `none` and the HMACs are not among them, and cannot be."""

_PRINTABLE = re.compile(r"[!-~]{1,2048}")


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Base of the Structs here: unknown fields are errors."""


class _ClusterKeys(_Part, frozen=True):
    """The keys of the gateway's own cluster, asked of its API server."""


class _Keys(_Part, frozen=True):
    url: str | None = None
    certificate_authority: CertificateAuthority | None = None
    file: str | None = None
    cluster: _ClusterKeys | None = None


class _Tokens(_Part, frozen=True):
    url: str
    audiences: tuple[str, ...]
    keys: _Keys
    algorithms: tuple[Algorithm, ...] = ALGORITHMS


class _Certificates(_Part, frozen=True):
    certificate_authority: CertificateAuthority


class _Spec(_Part, frozen=True):
    tokens: _Tokens | None = None
    certificates: _Certificates | None = None


@dataclass(frozen=True, slots=True)
class UrlKeys:
    """A key set over https. Without `authority`, the system's CAs count."""

    url: str
    authority: CertificateAuthority | None = None


@dataclass(frozen=True, slots=True)
class FileKeys:
    """A key set, or CA certificates, in a file that may be replaced at any time."""

    path: str


@dataclass(frozen=True, slots=True)
class InlineKeys:
    """CA certificates in the document: base64 of PEM."""

    data: str


@dataclass(frozen=True, slots=True)
class ClusterKeys:
    """The key set that the gateway's own cluster publishes."""


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """`url` is the exact `iss` of its tokens; one of `audiences` must be in their `aud`."""

    name: str
    url: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    keys: UrlKeys | FileKeys | ClusterKeys


@dataclass(frozen=True, slots=True)
class CertificateIssuer:
    """Client certificates that end in one of these CA certificates."""

    name: str
    authority: FileKeys | InlineKeys


@dataclass(frozen=True, slots=True)
class Issuers:
    """The issuers of a policy folder, by name and by `iss`."""

    tokens: dict[str, TokenIssuer] = field(default_factory=dict)
    certificates: dict[str, CertificateIssuer] = field(default_factory=dict)

    def of_url(self, url: str) -> TokenIssuer | None:
        """The issuer of tokens whose `iss` is exactly this."""
        return next((issuer for issuer in self.tokens.values() if issuer.url == url), None)

    def only(self, names: Collection[str]) -> Issuers:
        """Those of these names: nobody's keys are fetched, and no token is read, for an issuer that vouches for nobody."""
        return Issuers(
            {name: issuer for name, issuer in self.tokens.items() if name in names},
            {name: issuer for name, issuer in self.certificates.items() if name in names},
        )


def issuers_from(documents: Sequence[Document]) -> Issuers:
    """Every `kind: Issuer`. Raises DocumentErrors: all errors at once."""
    issuers, errors = Issuers(), _Errors()
    for document in documents:
        if document.kind == "Issuer":
            errors.document = document
            try:
                _add(issuers, document, document.convert(("spec",), _Spec), errors)
            except DocumentErrors as error:
                errors.found += error.errors
    if errors.found:
        raise DocumentErrors(errors.found)
    return issuers


class _Errors:
    """Collects the errors of all documents, so that one run shows them."""

    document: Document

    def __init__(self) -> None:
        self.found: list[DocumentError] = []

    def add(self, path: tuple[str | int, ...], message: str, remedy: str) -> None:
        self.found.append(self.document.error(("spec", *path), message, remedy))

    def path(self, written: str, path: tuple[str | int, ...]) -> str:
        """A path of the document as the I/O side opens it."""
        if not written or "\0" in written:
            self.add(path, "the path is empty", "Give the path of a file")
        return written if written.startswith("~") else str(self.document.resolve(written))


def _add(issuers: Issuers, document: Document, spec: _Spec, errors: _Errors) -> None:
    tokens, certificates = spec.tokens, spec.certificates
    if (tokens is None) == (certificates is None):
        errors.add((), "the Issuer needs exactly one of `tokens` and `certificates`", "Remove or add one")
    elif tokens is not None:
        issuer = _tokens(document.name, tokens, errors)
        if (other := issuers.of_url(issuer.url)) is not None:
            errors.add(("tokens", "url"), f"Issuer `{other.name}` has the same `url`", "Give both audiences in one")
        issuers.tokens[issuer.name] = issuer
    elif certificates is not None:
        path = ("certificates", "certificateAuthority")
        authority = _authority(certificates.certificate_authority, path, errors)
        issuers.certificates[document.name] = CertificateIssuer(document.name, authority)


def _tokens(name: str, spec: _Tokens, errors: _Errors) -> TokenIssuer:
    if not _PRINTABLE.fullmatch(spec.url):
        errors.add(("tokens", "url"), f"`{spec.url}` is not the `iss` of a token", "Give it exactly as tokens have it")
    if not spec.audiences or not all(spec.audiences):
        remedy = "Give one that tokens for this gateway have in `aud`, such as `pratique`"
        errors.add(("tokens", "audiences"), "tokens for anybody would be accepted: no audience", remedy)
    if not spec.algorithms:
        errors.add(("tokens", "algorithms"), "no algorithm is allowed", f"Give some of {', '.join(ALGORITHMS)}")
    keys = _keys(spec.keys, errors)
    return TokenIssuer(name, spec.url, frozenset(spec.audiences), frozenset(spec.algorithms), keys)


def _keys(spec: _Keys, errors: _Errors) -> UrlKeys | FileKeys | ClusterKeys:
    path = ("tokens", "keys")
    given = [name for name in ("url", "file", "cluster") if getattr(spec, name) is not None]
    if len(given) != 1:
        errors.add(path, "the Issuer needs exactly one source of keys", "Give one of `url`, `file`, `cluster`")
    if spec.certificate_authority is not None and spec.url is None:
        errors.add((*path, "certificateAuthority"), "only an `url` is verified against a CA", "Remove it")
    if spec.file is not None:
        return FileKeys(errors.path(spec.file, (*path, "file")))
    if spec.url is None:
        return ClusterKeys()
    if not _is_https(spec.url):
        remedy = "Give the `jwks_uri` of the issuer's `/.well-known/openid-configuration`"
        errors.add((*path, "url"), f"`{spec.url}` is not an https URL", remedy)
    return UrlKeys(spec.url, _url_authority(spec.certificate_authority, (*path, "certificateAuthority"), errors))


def _url_authority(
    spec: CertificateAuthority | None, path: tuple[str, ...], errors: _Errors
) -> CertificateAuthority | None:
    if spec is None:
        return None
    authority = _authority(spec, path, errors)
    return CertificateAuthority(path=authority.path) if isinstance(authority, FileKeys) else spec


def _authority(spec: CertificateAuthority, path: tuple[str, ...], errors: _Errors) -> FileKeys | InlineKeys:
    if (spec.path is None) == (spec.data is None):
        errors.add(path, "`certificateAuthority` needs exactly one of `path` and `data`", "Remove or add one")
        return InlineKeys("")
    if spec.path is not None:
        return FileKeys(errors.path(spec.path, (*path, "path")))
    try:
        read_authorities(base64.b64decode("".join((spec.data or "").split()), validate=True))
    except (AuthorityError, ValueError) as error:
        said = str(error) if isinstance(error, AuthorityError) else "it is not base64"
        errors.add((*path, "data"), f"no CA certificates: {said}", "Give base64 of their PEM")
    return InlineKeys(spec.data or "")


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = parts.username is None and parts.password is None and not parts.fragment
    return parts.scheme == "https" and bool(parts.hostname) and plain and _PRINTABLE.fullmatch(url) is not None
