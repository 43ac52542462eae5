"""Which verified credentials a Client document means: `serviceAccount`, `oidc`, `certificate`.

Belongs here: the shapes of these fields, whether a credential is meant, whether two clients mean the same one. Not here:
verifying credentials (`tokens`, `certificates`), API keys (`pratique.apikeys`). Pure.

Everything is compared exactly, character by character; only a pod's name may be a glob, because it ends at random.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pratique.documents import Document
from pratique.errors import DocumentError
from pratique.identity.issuers import Issuers
from pratique.identity.proof import CertificateNames, Claims, Fact, Kind

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123 label: a namespace
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")  # RFC 1123 subdomain: a ServiceAccount
_WORKLOAD_CLAIM = "kubernetes.io"


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Base of the Structs here: unknown fields are errors."""


class ServiceAccount(_Part, frozen=True):
    """A ServiceAccount by its projected token. `uid`: of the ServiceAccount; `pod`: a glob over the pod's name."""

    issuer: str
    namespace: str
    name: str
    uid: str | None = None
    pod: str | None = None

    @property
    def subject(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    def means(self, fact: Fact) -> bool:
        if not isinstance(fact, Claims) or (fact.issuer, fact.subject) != (self.issuer, self.subject):
            return False
        bound = _map(fact.claims.get(_WORKLOAD_CLAIM))
        account = _map(bound.get("serviceaccount"))
        if (bound.get("namespace"), account.get("name")) != (self.namespace, self.name):
            return False
        if self.uid is not None and account.get("uid") != self.uid:
            return False
        pod = _map(bound.get("pod")).get("name")
        return self.pod is None or (isinstance(pod, str) and fnmatch.fnmatchcase(pod, self.pod))

    @property
    def conditions(self) -> dict[str, object]:
        given = {"sub": self.subject, "uid": self.uid, "pod": self.pod}
        return {name: value for name, value in given.items() if value is not None}


class Oidc(_Part, frozen=True):
    """A token by its `sub`, or by claims: each must equal the value given here, or be a list that holds it."""

    issuer: str
    subject: str | None = None
    claims: dict[str, str | int | bool] = {}

    def means(self, fact: Fact) -> bool:
        if not isinstance(fact, Claims) or fact.issuer != self.issuer or not (self.subject or self.claims):
            return False
        if self.subject is not None and fact.subject != self.subject:
            return False
        return all(_holds(fact.claims.get(name), wanted) for name, wanted in self.claims.items())

    @property
    def conditions(self) -> dict[str, object]:
        claims: dict[str, object] = {f"claims.{name}": value for name, value in self.claims.items()}
        return claims | ({} if self.subject is None else {"sub": self.subject})


class Certificate(_Part, frozen=True):
    """A client certificate by one name in it: a URI (SPIFFE id) or DNS name of its SAN, or its subject's CN."""

    issuer: str
    uri: str | None = None
    dns: str | None = None
    common_name: str | None = None

    def means(self, fact: Fact) -> bool:
        if not isinstance(fact, CertificateNames) or fact.issuer != self.issuer:
            return False
        if self.uri is not None:
            # An X.509-SVID has exactly one URI, and must be refused otherwise (SPIFFE X509-SVID 5.2).
            return fact.uris == (self.uri,) if self.uri.startswith("spiffe:") else self.uri in fact.uris
        # A subject with several common names could be read as either.
        return self.dns in fact.dns or (self.common_name is not None and fact.common_names == (self.common_name,))

    @property
    def conditions(self) -> dict[str, object]:
        given = {"uri": self.uri, "dns": self.dns, "cn": self.common_name}
        return {name: value for name, value in given.items() if value is not None}


type Matcher = ServiceAccount | Oidc | Certificate


@dataclass(frozen=True, slots=True)
class Matchers:
    """Those of one client."""

    service_account: ServiceAccount | None = None
    oidc: Oidc | None = None
    certificate: Certificate | None = None

    def kinds(self) -> Iterator[tuple[Kind, Matcher]]:
        if self.service_account is not None:
            yield "serviceAccount", self.service_account
        if self.oidc is not None:
            yield "oidc", self.oidc
        if self.certificate is not None:
            yield "certificate", self.certificate

    def means(self, fact: Fact) -> Kind | None:
        """The field that means this credential."""
        return next((kind for kind, matcher in self.kinds() if matcher.means(fact)), None)


def matcher_errors(
    document: Document, matchers: Matchers, issuers: Issuers | None, owners: list[tuple[str, Matcher]]
) -> list[DocumentError]:
    """What is wrong with the fields of one client. `owners`: those of the clients before, is added to.

    `issuers` None: they cannot be used themselves, so nothing is said about references to them.
    """
    errors: list[DocumentError] = []
    for kind, matcher in matchers.kinds():
        errors += (
            document.error(("spec", kind, *path), message, remedy) for path, message, remedy in _problems(matcher)
        )
        errors += [] if issuers is None else _issuer_errors(document, kind, matcher, issuers)
        errors += [
            document.error(("spec", kind), f"client `{owner}` means the same credentials", "Tell them apart")
            for owner, other in owners
            if _overlap(matcher, other)
        ]
    owners += [(document.name, matcher) for _, matcher in matchers.kinds()]
    return errors


def _issuer_errors(document: Document, kind: str, matcher: Matcher, issuers: Issuers) -> list[DocumentError]:
    issued = "certificates" if isinstance(matcher, Certificate) else "tokens"
    known: Mapping[str, object] = getattr(issuers, issued)
    if matcher.issuer in known:
        return []
    remedy = f"Known are {', '.join(f'`{name}`' for name in known)}" if known else "Add a `kind: Issuer` document"
    message = f"no Issuer of {issued} has the name `{matcher.issuer}`"
    return [document.error(("spec", kind, "issuer"), message, remedy)]


def _problems(matcher: Matcher) -> Iterator[tuple[tuple[str, ...], str, str]]:
    if isinstance(matcher, ServiceAccount):
        if not _LABEL.fullmatch(matcher.namespace):
            yield ("namespace",), f"`{matcher.namespace}` is no namespace", "Give the one of the ServiceAccount"
        if not _SUBDOMAIN.fullmatch(matcher.name):
            yield (
                ("name",),
                f"`{matcher.name}` is no name of a ServiceAccount",
                "Give it without `system:` and namespace",
            )
    elif isinstance(matcher, Oidc):
        if not (matcher.subject or matcher.claims):
            yield (), "every token of the issuer would be this client", "Give `subject` or `claims`"
    elif len([value for value in matcher.conditions.values() if value]) != 1:
        yield (), "the certificate needs exactly one of `uri`, `dns` and `commonName`", "Remove or add one"


def _overlap(one: Matcher, other: Matcher) -> bool:
    """Whether every credential that one of them means is meant by the other, too."""
    if one.issuer != other.issuer or isinstance(one, Certificate) != isinstance(other, Certificate):
        return False
    here, there = one.conditions.items(), other.conditions.items()
    return here <= there or there <= here


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _holds(claim: Any, wanted: str | float) -> bool:
    """Equal and of the same type: in Python, `True` equals 1."""
    values = claim if isinstance(claim, list) else [claim]
    return any(type(value) is type(wanted) and value == wanted for value in values)
