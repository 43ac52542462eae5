"""The steps of `doctor`, in order: a step is asked only where those that it needs are whole.

Belongs here: the order, and what is left out after a broken step. Not here: the calls (`probes`), their meaning (`findings`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pratique.behalf import GATEWAY, Behalf
from pratique.doctor import findings
from pratique.doctor.findings import REVIEWS, Finding, Review, State
from pratique.doctor.probes import UnreachableError
from pratique.errors import CredentialError
from pratique.identity.assume_role import assume_role_request, credentials_from
from pratique.identity.clusters import EksSource
from pratique.identity.eks_token import mint_token, sts_endpoint
from pratique.identity.gate import Credential
from pratique.identity.roles import assumed_role, with_role

AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"


class ApiServer(Protocol):
    """See `probes.ApiServer`."""

    def version(self) -> tuple[int, float | None]: ...
    def review(self, kind: str, group: str, spec: dict[str, Any], credential: Credential) -> tuple[int, Any]: ...


class Aws(Protocol):
    """See `probes.Aws`."""

    @property
    def sts_endpoint(self) -> str: ...
    def identity(self) -> tuple[str, str]: ...
    def assume(self, request: dict[str, Any]) -> Any: ...
    def cluster(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Examined:
    """What is looked at. `clients`: those with a role of their own; `source` has the credential where `eks` is None."""

    server: str
    eks: EksSource | None
    clients: Sequence[tuple[str, str]]
    """Name and role ARN."""
    source: Callable[[], Credential]
    now: Callable[[], float]


def examine(what: Examined, api: ApiServer, aws: Aws | None) -> Iterator[Finding]:
    """Each finding as soon as it is known. `aws` is needed where `what.eks` is given."""
    endpoint = _endpoint(what, api)
    yield endpoint
    if what.eks is None or aws is None:
        yield from _with_source(what, api, endpoint)
        return
    own = _own_identity(aws)
    yield own
    for behalf in (GATEWAY, *(Behalf(name, role, "doctor") for name, role in what.clients)):
        yield from _role(what, what.eks, api, aws, behalf, broken=_first_broken(endpoint, own))
    yield _around(what, aws, own)


def _endpoint(what: Examined, api: ApiServer) -> Finding:
    try:
        return findings.reached(what.server, *api.version())
    except UnreachableError as error:
        return error.finding


def _own_identity(aws: Aws) -> Finding:
    try:
        return findings.own_identity(*aws.identity())
    except CredentialError as error:
        return _broken("role x", error)


def _with_source(what: Examined, api: ApiServer, endpoint: Finding) -> Iterator[Finding]:
    """A kubeconfig, a token file."""
    try:
        credential = what.source()
    except CredentialError as error:
        yield _broken("token", error)
        return
    yield Finding("token", State.OK, "a credential is there, as the Cluster document says")
    yield from _cluster(api, credential, "", "", broken=_first_broken(endpoint))
    remedy = "Ask from where a client runs: `pratique doctor --as-client`"
    yield Finding("around", State.UNKNOWN, "who else can reach the endpoint is not known from here", remedy)


def _role(
    what: Examined, eks: EksSource, api: ApiServer, aws: Aws, behalf: Behalf, *, broken: str
) -> Iterator[Finding]:
    role = assumed_role(eks, behalf)
    asked = with_role(eks, role)
    about = behalf.client
    if "role x" in broken:
        yield _not_asked("role y", broken, about)
        return
    try:
        answer = aws.assume(assume_role_request(asked, role.session_name))
        yield findings.assumed(_assumed_arn(answer), answer.get("PackedPolicySize"), about)
    except CredentialError as error:
        yield _broken("role y", error, about)
        return
    try:
        endpoint = sts_endpoint(eks.region, eks.sts_endpoint or aws.sts_endpoint)
        token = mint_token(credentials_from(answer), eks.cluster_id or eks.cluster_name, endpoint, what.now())
    except CredentialError as error:
        yield _broken("token", error, about)
        return
    yield findings.minted(len(token.reveal()), about)
    yield from _cluster(api, Credential(token), role.role_arn, about, broken=broken)


def _cluster(api: ApiServer, credential: Credential, role_arn: str, about: str, *, broken: str) -> Iterator[Finding]:
    if broken:
        yield _not_asked("accepted", broken, about)
        return
    try:
        found = findings.accepted(*api.review("SelfSubjectReview", AUTHENTICATION, {}, credential), role_arn, about)
        yield found
        if found.state is State.BROKEN:
            yield _not_asked("rights", "accepted", about)
            return
        yield findings.rights([(review, _may(api, review, credential)) for review in REVIEWS], about)
        _, rules = api.review("SelfSubjectRulesReview", AUTHORIZATION, {"namespace": "default"}, credential)
    except UnreachableError as error:
        yield error.finding
        return
    if lines := findings.rules_of(rules):
        yield Finding("rights", State.OK, f"in namespace default: {'; '.join(lines)}", about=about)


def _may(api: ApiServer, review: Review, credential: Credential) -> bool | None:
    attributes = {"verb": review.verb, "group": review.group, "resource": review.resource}
    if review.subresource:
        attributes["subresource"] = review.subresource
    spec = {"resourceAttributes": attributes}
    code, document = api.review("SelfSubjectAccessReview", AUTHORIZATION, spec, credential)
    status = document.get("status") if isinstance(document, dict) else None
    return bool(status.get("allowed")) if code in {200, 201} and isinstance(status, dict) else None


def _around(what: Examined, aws: Aws, own: Finding) -> Finding:
    if own.state is State.BROKEN:
        return _not_asked("around", "role x", "")
    try:
        return findings.endpoint_access(aws.cluster(), what.server)
    except CredentialError as error:
        remedy = "Allow Role X eks:DescribeCluster to have it looked at; ask from a client, too: `--as-client`"
        return Finding("around", State.UNKNOWN, str(error), remedy)


def _assumed_arn(answer: Any) -> str:
    return str((answer.get("AssumedRoleUser") or {}).get("Arn", ""))


def _first_broken(*found: Finding) -> str:
    return " and ".join(each.step for each in found if each.state is State.BROKEN)


def _broken(step: str, error: CredentialError, about: str = "") -> Finding:
    text = str(error).removesuffix(f". {error.remedy}") if error.remedy else str(error)
    return Finding(step, State.BROKEN, text, error.remedy or "See the gateway's log", about)


def _not_asked(step: str, broken: str, about: str) -> Finding:
    return Finding(step, State.UNKNOWN, f"not asked: {broken} first", about=about)
