"""What the answers mean: each step's finding, with the remedy.

Pure: answers in, findings out. A finding never holds a token.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pratique.identity.eks_token import LIFETIME_SECONDS, MAX_TOKEN_BYTES

CLOCK_WARNING_SECONDS = 60.0  # AWS refuses signatures at 300 s, EKS tokens at 60 s before their end
PACKED_WARNING_PERCENT = 80  # of AWS's limit for session policy and tags together
SHOWN_RULES = 12


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """Not asked, because an earlier step is broken, or because it may not be asked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`step` is one of a few words, `about` which role or client, empty for all."""

    step: str
    state: State
    says: str
    remedy: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """An access review: may Role Y do this anywhere? `wanted`: what the answer should be, None where both are fine."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    wanted: bool | None = False

    def __str__(self) -> str:
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{self.verb} {resource}{f'.{self.group}' if self.group not in {'', '*'} else ''}"


REVIEWS = (
    Review("*", "*", "*"),
    Review("impersonate", "", "users"),
    Review("impersonate", "", "groups"),
    Review("escalate", "rbac.authorization.k8s.io", "clusterroles"),
    Review("bind", "rbac.authorization.k8s.io", "clusterroles"),
    Review("create", "", "serviceaccounts", "token"),
    Review("create", "", "nodes", "proxy"),
    Review("get", "", "namespaces", wanted=True),
)
"""What makes more of Role Y than its rules say, and what the gateway needs for rules with a `namespaceSelector`."""


# --- the endpoint ---


def reached(server: str, code: int, skew: float | None) -> Finding:
    """`skew`: seconds by which the API server's clock is ahead of ours, None where it told none."""
    if code not in {200, 401, 403}:
        remedy = "Check `server` of the Cluster: it must be the API server itself"
        return Finding("endpoint", State.WARNING, f"`{server}` answers {code} to GET /version", remedy)
    if skew is not None and abs(skew) > CLOCK_WARNING_SECONDS:
        remedy = "Set the clock of this machine (NTP): AWS and EKS refuse signatures that are minutes off"
        return Finding("endpoint", State.WARNING, f"the clocks differ by {abs(skew):.0f} s", remedy)
    return Finding("endpoint", State.OK, f"`{server}` answers, with a certificate of the Cluster's CA")


# --- Role X and Role Y ---

_STATIC = {"env", "shared-credentials-file", "config-file", "explicit"}


def own_identity(arn: str, method: str) -> Finding:
    """`method` is botocore's name of where the credentials came from."""
    if ":user/" in arn or method in _STATIC:
        remedy = (
            "For production use IRSA, EKS Pod Identity or an instance profile: keys in a file or variable do not expire"
        )
        return Finding("role x", State.WARNING, f"the gateway is `{arn}` (credentials from {method})", remedy)
    return Finding("role x", State.OK, f"the gateway is `{arn}` (credentials from {method})")


def assumed(arn: str, packed_percent: int | None, about: str) -> Finding:
    if packed_percent is not None and packed_percent > PACKED_WARNING_PERCENT:
        text = f"assumed as `{arn}`; session policy and tags fill {packed_percent} % of what AWS takes"
        return Finding("role y", State.WARNING, text, "Use fewer or shorter session tags", about)
    return Finding("role y", State.OK, f"assumed as `{arn}`", about=about)


def minted(length: int, about: str) -> Finding:
    text = f"a token of {length} bytes (EKS takes {MAX_TOKEN_BYTES}), good for {LIFETIME_SECONDS // 60} min"
    return Finding("token", State.OK, text, about=about)


# --- the cluster ---


def accepted(code: int, document: Any, role_arn: str, about: str) -> Finding:
    """The answer to a SelfSubjectReview."""
    user = user_of(document)
    if code in {200, 201} and user:
        groups = [group for group in user.get("groups") or [] if group != "system:authenticated"]
        text = f"the cluster knows us as `{user.get('username', '')}`, groups {', '.join(groups) or 'none'}"
        if "system:masters" in groups:
            remedy = "Take `system:masters` out of the access entry: RBAC and revocation do not bind it"
            return Finding("accepted", State.WARNING, text, remedy, about)
        return Finding("accepted", State.OK, text, about=about)
    if code == 401:
        if not role_arn:
            return Finding(
                "accepted", State.BROKEN, "the cluster refuses the token", "Look at the token's source", about
            )
        remedy = (
            f"Create an access entry (STANDARD) for `{role_arn}`, anew if the role was created anew; check `clusterName` or "
            "`clusterID`, and that the cluster's authentication mode has API"
        )
        return Finding("accepted", State.BROKEN, "the cluster refuses the token of Role Y (401)", remedy, about)
    if code == 403:
        remedy = "Bind system:basic-user to system:authenticated, as every cluster has it at first"
        return Finding("accepted", State.WARNING, "the token is accepted, but may not ask who it is", remedy, about)
    return Finding("accepted", State.BROKEN, f"the cluster answers {code} to a SelfSubjectReview", "See its log", about)


def user_of(document: Any) -> Mapping[str, Any]:
    status = document.get("status") if isinstance(document, dict) else None
    user = status.get("userInfo") if isinstance(status, dict) else None
    return user if isinstance(user, dict) else {}


def rights(answers: Sequence[tuple[Review, bool | None]], about: str) -> Finding:
    """The answers to `REVIEWS`; None: the cluster did not say."""
    unsaid = [str(review) for review, allowed in answers if allowed is None]
    if unsaid:
        return Finding("rights", State.UNKNOWN, f"the cluster did not say: {', '.join(unsaid)}", "Ask it again", about)
    wrong = [(review, allowed) for review, allowed in answers if review.wanted not in {None, allowed}]
    too_much = [review for review, allowed in wrong if allowed]
    if too_much and too_much[0].verb == "*":
        text = "Role Y may do everything in the cluster: only the gateway's policies are in the way"
        return Finding("rights", State.WARNING, text, _LESS, about)
    if too_much:
        return Finding("rights", State.WARNING, f"Role Y may {', '.join(map(str, too_much))}", _LESS, about)
    if wrong:
        remedy = "Allow Role Y to get namespaces, or use no `namespaceSelector`: such rules would refuse every request"
        return Finding("rights", State.WARNING, "Role Y may not get namespaces", remedy, about)
    return Finding(
        "rights", State.OK, "Role Y may not escalate, impersonate, mint tokens or proxy to nodes", about=about
    )


_LESS = "Bind its group to a ClusterRole made from the policies: `scripts/setup`"


def rules_of(document: Any) -> list[str]:
    """A SelfSubjectRulesReview's rules for people, one a line, shortened."""
    status = document.get("status") if isinstance(document, dict) else None
    rules = (status.get("resourceRules") or []) if isinstance(status, dict) else []
    lines = sorted({_rule(rule) for rule in rules if isinstance(rule, dict)})
    more = [f"… and {len(lines) - SHOWN_RULES} more"] if len(lines) > SHOWN_RULES else []
    return lines[:SHOWN_RULES] + more


def _rule(rule: Mapping[str, Any]) -> str:
    groups = [group for group in rule.get("apiGroups") or [] if group not in {"", "*"}]
    names = f" named {_some(rule['resourceNames'])}" if rule.get("resourceNames") else ""
    return f"{_some(rule.get('verbs'))} {_some(rule.get('resources'))}{f' of {_some(groups)}' if groups else ''}{names}"


def _some(words: Iterable[Any] | None) -> str:
    found = [str(word) for word in words or []]
    return ",".join(found[:6]) + (f",… ({len(found)})" if len(found) > 6 else "")


# --- around the gateway ---


def endpoint_access(described: Mapping[str, Any], server: str) -> Finding:
    """`described`: `cluster` of eks:DescribeCluster. Who can reach the endpoint without the gateway."""
    vpc = described.get("resourcesVpcConfig") or {}
    mode = (described.get("accessConfig") or {}).get("authenticationMode", "")
    endpoint = str(described.get("endpoint", ""))
    if endpoint and endpoint.rstrip("/").lower() not in {server, server.removesuffix(":443")}:
        remedy = f"Set `server` to `{endpoint}`, or make sure that what stands there leads to it"
        return Finding("around", State.WARNING, f"`server` is not this cluster's endpoint (`{endpoint}`)", remedy)
    if mode == "CONFIG_MAP":
        remedy = "Set the cluster's authentication mode to API_AND_CONFIG_MAP or API"
        return Finding("around", State.BROKEN, "the cluster takes no access entries (CONFIG_MAP)", remedy)
    open_to = [cidr for cidr in vpc.get("publicAccessCidrs") or [] if _is_wide(cidr)]
    if vpc.get("endpointPublicAccess") and open_to:
        remedy = "Switch the public endpoint off, or let only the gateway's addresses reach it (publicAccessCidrs)"
        return Finding("around", State.WARNING, f"the endpoint is open to {', '.join(open_to)}", remedy)
    return Finding(
        "around", State.OK, "the endpoint is not open to the Internet. Ask from a client, too: `--as-client`"
    )


def _is_wide(cidr: str) -> bool:
    """More than any organisation's own addresses: an IPv4 /8, an IPv6 /32."""
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return True
    return network.prefixlen < (8 if network.version == 4 else 32)
