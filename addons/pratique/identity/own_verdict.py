"""What the gateway may ask the API server for itself, with its own credential.

Belongs here: the verdict on an own call. Not here: sending it (`own_calls`), the requests (`pratique.kube.rehearsal`).
Reads of objects and server-side dry runs; nothing that changes, mints, opens a connection or stays open.
"""

from __future__ import annotations

from pratique.kube.canonical import CanonicalRequest
from pratique.verdict import Action, Verdict

RULE = "builtin/own-call"

READS = frozenset({"get", "list"})
REHEARSALS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
# A dry run of a TokenRequest mints a working token; one of a binding, a proxy or an exec is none at all.
REHEARSED_SUBRESOURCES = frozenset({"", "scale", "status", "ephemeralcontainers", "resize", "eviction"})
NOT_REHEARSED = frozenset({("", "bindings"), ("", "componentstatuses")})
REVIEW_GROUPS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})  # they answer, dry run or not
READ_SUBRESOURCES = frozenset({"", "scale", "status"})
READ_PATHS = frozenset({"/openid/v1/jwks"})
"""The keys that the cluster's ServiceAccount tokens are verified by."""


def own_verdict(request: CanonicalRequest) -> Verdict:
    """Allow for a read of objects and for a dry run that is one; Deny for everything else."""
    problem = _problem(request)
    if problem:
        return Verdict(Action.DENY, (RULE,), (problem,), f"the gateway does not ask this for itself: {problem}")
    return Verdict(Action.ALLOW, (RULE,))


def _problem(request: CanonicalRequest) -> str:
    attributes = request.attributes
    if request.method == "GET" and request.target.decode("latin-1") in READ_PATHS and not attributes.error:
        return ""
    if not attributes.is_resource_request or attributes.error:
        return "it is not about a resource"
    if request.upgrade or request.stream or request.proxied:
        return "it opens a connection"
    if request.method == "GET" and attributes.verb in READS:
        return "" if attributes.subresource in READ_SUBRESOURCES else f"it reads `{attributes.subresource}`"
    if attributes.verb not in REHEARSALS or request.dry_run is not True:
        return "it is no dry run"
    if attributes.subresource not in REHEARSED_SUBRESOURCES or attributes.api_group in REVIEW_GROUPS:
        return "its dry run is no rehearsal"
    if (attributes.api_group, attributes.resource) in NOT_REHEARSED:
        return "its dry run is no rehearsal"
    return ""
