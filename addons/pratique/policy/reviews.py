"""Reviews about oneself: who am I, may I, what may I. The cluster answers them for the gateway's user; here for the client.

Belongs here: what is made of the cluster's answer. Not here: whether the client may ask at all (its policy says), the
hook (`addon`). Pure.

`SelfSubjectReview`: the client's name, and nothing of the gateway's user. `SelfSubjectAccessReview`: allowed where the
cluster allows it and the policy does not deny it; what needs an approval is allowed, and said. `SelfSubjectRulesReview`:
the built-in resources and those that the cluster's answer names, each asked as the one before; so it is incomplete, and
says so. No text of the cluster's is kept: it tells of roles, bindings and the gateway's user.

A create or update is asked about as of the plainest object, as RBAC is, which knows no bodies at all; what a real one says
may still be denied. Where even that cannot be told, it is not allowed, and the reason says to try a dry run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pratique.errors import Refused
from pratique.kube.attributes import RequestAttributes
from pratique.kube.resources import RESOURCES
from pratique.policy.escalation import is_checked
from pratique.policy.outcome import ESCALATION_RULE
from pratique.policy.request import CLUSTER_SCOPED, PolicyRequest
from pratique.verdict import Action, Verdict

AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"
KINDS = {
    (AUTHENTICATION, "selfsubjectreviews"): "SelfSubjectReview",
    (AUTHORIZATION, "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    (AUTHORIZATION, "selfsubjectrulesreviews"): "SelfSubjectRulesReview",
}
GROUP_OF_CLIENTS = "pratique:clients"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
SUBRESOURCES = (
    ("", "pods/log"), ("", "pods/exec"), ("", "pods/attach"), ("", "pods/portforward"), ("", "pods/eviction"),
    ("", "pods/ephemeralcontainers"), ("apps", "deployments/scale"), ("apps", "statefulsets/scale"),
    ("apps", "replicasets/scale"),
)  # fmt: skip
PATHS = ("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi/*", "/readyz", "/version")
MAX_LISTED = 512  # resources of one rules review; the built-in ones are some eighty

type Decide = Callable[[PolicyRequest], Verdict]


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks: the client, its labels, and the groups of the ServiceAccount that its requests are made as."""

    client: str
    labels: Mapping[str, str]
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What the client is answered. `warning` is for a `Warning` header: kubectl shows no reason of a "yes"."""

    document: dict[str, Any]
    warning: str = ""


type Steps = Generator[None, None, Reviewed]


def is_self_review(attributes: RequestAttributes) -> bool:
    """Whether the answer to this request is about who asks."""
    return attributes.verb == "create" and not attributes.subresource and _key(attributes) in KINDS


def reviewed(attributes: RequestAttributes, asked: Any, answer: Any, subject: Subject, decide: Decide) -> Steps:
    """The cluster's `answer` to the review that was `asked`, for the client: what the generator returns.

    It yields now and then, less than a millisecond apart: a rules review takes some hundred verdicts, and others are to
    be served meanwhile. Raises Refused: (502) it is no such review.
    """
    kind = KINDS[_key(attributes)]
    if not isinstance(answer, dict) or answer.get("kind") != kind or not isinstance(answer.get("status", {}), dict):
        raise Refused(502, "InternalError", f"the cluster's answer is no {kind}", rule="policy/review")
    spec = _map(_map(asked).get("spec"))
    kept = {name: answer[name] for name in ("kind", "apiVersion") if name in answer}
    kept["metadata"] = {"creationTimestamp": _map(answer.get("metadata")).get("creationTimestamp")}
    if kind == "SelfSubjectReview":
        groups = [GROUP_OF_CLIENTS, *subject.groups]
        return Reviewed(kept | {"status": {"userInfo": {"username": subject.client, "groups": groups}}})
    status = _map(answer.get("status"))
    if kind == "SelfSubjectRulesReview":
        rules = yield from _rules(spec, status, subject, decide)
        return Reviewed(kept | {"spec": {}, "status": rules})
    found, warning = _access(spec, allowed=status.get("allowed") is True, subject=subject, decide=decide)
    return Reviewed(kept | {"spec": spec, "status": found}, warning)


# --- may I ---


def _access(spec: dict[str, Any], *, allowed: bool, subject: Subject, decide: Decide) -> tuple[dict[str, Any], str]:
    """The status, and a warning."""
    requests = _described(spec, subject)
    verdicts = [decide(request) for request in requests]
    if not verdicts:
        return _no("the gateway serves no such request; ask for one verb and one resource"), ""
    strictest = max(verdicts, key=lambda verdict: verdict.action.strictness)
    by = f" (rule {', '.join(strictest.rules)})" if strictest.rules else ""
    if strictest.action is Action.DENY and _depends(strictest, requests[verdicts.index(strictest)]):
        return _no(f"it depends on what the request says{by}: try it with dryRun=All"), ""
    if strictest.action is Action.DENY:
        return _no(f"the gateway's policy denies it{by}", denied=True), ""
    if not allowed:
        return _no("the gateway's policy would permit it, but the cluster does not allow it"), ""
    if strictest.action is Action.REQUIRE_APPROVAL:
        reason = f"yes, but a person has to approve each such request{by}"
        return {"allowed": True, "reason": reason}, reason
    return {"allowed": True, "reason": f"the gateway's policy allows it{by}, and so does the cluster"}, ""


def _depends(verdict: Verdict, request: PolicyRequest) -> bool:
    """Whether a request that says more could be judged otherwise."""
    return bool(verdict.errors) or (verdict.rules == (ESCALATION_RULE,) and is_checked(request.attributes))


def _no(reason: str, *, denied: bool = False) -> dict[str, Any]:
    return {"allowed": False, "reason": reason} | ({"denied": True} if denied else {})


def _described(spec: dict[str, Any], subject: Subject) -> list[PolicyRequest]:
    """The requests that are asked about; `*` as a verb is all of them. None where they cannot be told."""
    resource, path = _map(spec.get("resourceAttributes")), _map(spec.get("nonResourceAttributes"))
    if path:
        verb = _text(path, "verb")
        return [_request(RequestAttributes(False, verb, _text(path, "path")), subject)] if verb != "*" else []
    verb, plural = _text(resource, "verb"), _text(resource, "resource")
    if not plural or "*" in (plural, _text(resource, "group"), _text(resource, "subresource")):
        return []
    verbs = VERBS if verb == "*" else (verb,) if verb in VERBS else ()
    where = (_text(resource, "namespace"), _text(resource, "name"))
    name = f"{plural}/{sub}" if (sub := _text(resource, "subresource")) else plural
    return [_resource(verb, _text(resource, "group"), name, where, subject) for verb in verbs]


def _resource(verb: str, group: str, resource: str, where: tuple[str, str], subject: Subject) -> PolicyRequest:
    """`resource` with its subresource after a `/`; `where` is namespace and name."""
    plural, _, subresource = resource.partition("/")
    namespace, name = where
    if (group, plural) == ("", "namespaces"):
        namespace = name
    elif (group, plural) in CLUSTER_SCOPED:
        namespace = ""
    attributes = RequestAttributes(
        is_resource_request=True,
        verb=verb,
        path="",
        api_prefix="apis" if group else "api",
        api_group=group,
        namespace=namespace,
        resource=plural,
        subresource=subresource,
        name="" if verb in {"list", "watch", "deletecollection"} or (verb == "create" and not subresource) else name,
    )
    plainest = {"metadata": {"name": name} if name else {}} if verb in {"create", "update"} else None
    return replace(_request(attributes, subject), document=plainest)


def _request(attributes: RequestAttributes, subject: Subject) -> PolicyRequest:
    return PolicyRequest(subject.client, attributes, client_labels=subject.labels)


# --- what may I ---


def _rules(
    spec: dict[str, Any], status: dict[str, Any], subject: Subject, decide: Decide
) -> Generator[None, None, dict[str, Any]]:
    namespace = _text(spec, "namespace")
    theirs = [rule for rule in _list(status.get("resourceRules")) if isinstance(rule, dict)]
    merged: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for group, resource, name in _candidates(theirs):
        verbs = tuple(
            verb
            for verb in VERBS
            if _covered(theirs, verb, group, resource, name)
            and decide(_resource(verb, group, resource, (namespace, name), subject)).action is not Action.DENY
        )
        yield
        if verbs:
            merged.setdefault((group, verbs, name), []).append(resource)
    rules = [
        {"verbs": list(verbs), "apiGroups": [group], "resources": sorted(resources)}
        | ({"resourceNames": [name]} if name else {})
        for (group, verbs, name), resources in sorted(merged.items())
    ]
    text = (
        f"this is what both the gateway's policy and the cluster permit client `{subject.client}`; some of it needs a"
        " person's approval, custom resources are not listed, and what a request says may be denied. Ask for one request"
    )
    paths = {"resourceRules": rules, "nonResourceRules": _paths(status, subject, decide)}
    return paths | {"incomplete": True, "evaluationError": text}


def _candidates(rules: Iterable[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """(group, resource, name): the built-in ones, and those that the cluster's rules name."""
    found = dict.fromkeys((each.group, each.plural, "") for each in RESOURCES)
    found |= dict.fromkeys((group, resource, "") for group, resource in SUBRESOURCES)
    for rule in rules:
        for group in _strings(rule, "apiGroups"):
            for resource in _strings(rule, "resources"):
                for name in _strings(rule, "resourceNames") or ("",):
                    if "*" not in group + resource:
                        found[group, resource, name] = None
    return list(found)[:MAX_LISTED]


def _covered(rules: Iterable[dict[str, Any]], verb: str, group: str, resource: str, name: str) -> bool:
    """Whether RBAC rules permit this (rbac/v1 `VerbMatches`, `APIGroupMatches`, `ResourceMatches`)."""
    everywhere = f"*/{resource.partition('/')[2]}" if "/" in resource else resource
    return any(
        {"*", verb} & set(_strings(rule, "verbs"))
        and {"*", group} & set(_strings(rule, "apiGroups"))
        and {"*", resource, everywhere} & set(_strings(rule, "resources"))
        and (not (names := _strings(rule, "resourceNames")) or name in names)
        for rule in rules
    )


def _paths(status: dict[str, Any], subject: Subject, decide: Decide) -> list[dict[str, Any]]:
    """Paths that both permit to be read. A `*` at the end stands for what the cluster serves below."""
    theirs = [rule for rule in _list(status.get("nonResourceRules")) if isinstance(rule, dict)]
    found = [
        path
        for path in PATHS
        if any(
            {"*", "get"} & set(_strings(rule, "verbs")) and _reaches(_strings(rule, "nonResourceURLs"), path)
            for rule in theirs
        )
        and decide(_request(RequestAttributes(False, "get", path.replace("*", "v1")), subject)).action
        is not Action.DENY
    ]
    return [{"verbs": ["get"], "nonResourceURLs": found}] if found else []


def _reaches(urls: tuple[str, ...], path: str) -> bool:
    return any(url == path or (url.endswith("*") and path.startswith(url[:-1])) for url in urls)


def _key(attributes: RequestAttributes) -> tuple[str, str]:
    return attributes.api_group, attributes.resource


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Iterator[Any]:
    yield from value if isinstance(value, list) else ()


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _strings(values: dict[str, Any], name: str) -> tuple[str, ...]:
    return tuple(each for each in _list(values.get(name)) if isinstance(each, str))
