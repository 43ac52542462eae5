"""Which verbs on which resources a request counts as.

A request asks for more than its RequestInfo verb says: a PATCH answers with the object, an apply can create it, an
exec by GET is an exec. Belongs here: that table. Not here: matching rules against it (`matching.py`).

Two sets, because the safe direction differs:

* `required`: each of them must be allowed, by one Allow rule or by several together.
* `strict`: a Deny or RequireApproval rule that matches any of them applies. A superset of `required`.

=================  ==========================================  ================================================
request            required                                    strict also
=================  ==========================================  ================================================
get                get
list               list                                        get (a list shows what a get shows)
watch              watch                                       list, get
create             create
update (PUT)       update, get; create where PUT creates       patch (the same effect)
patch              patch, get                                  update
apply              apply, patch, get; create (not on a         update
                   subresource)
delete             delete
deletecollection   deletecollection, delete, list              get
exec, attach,      create, whatever the method                 the verb by method
portforward,
proxy
create eviction    create pods/eviction, delete pods
=================  ==========================================  ================================================
"""

from __future__ import annotations

from dataclasses import dataclass

from pratique.policy.request import APPLY_PATCH, CONNECTIONS, PolicyRequest

RESOURCE_VERBS = frozenset({"get", "list", "watch", "create", "update", "patch", "apply", "delete", "deletecollection"})
NON_RESOURCE_VERBS = frozenset({"get", "head", "post", "put", "patch", "delete", "options"})

CREATED_BY_PUT = frozenset(
    {
        ("", "endpoints"),
        ("", "events"),
        ("", "limitranges"),
        ("", "services"),
        ("coordination.k8s.io", "leases"),
        ("events.k8s.io", "events"),
        ("node.k8s.io", "runtimeclasses"),
        ("rbac.authorization.k8s.io", "clusterrolebindings"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("rbac.authorization.k8s.io", "rolebindings"),
        ("rbac.authorization.k8s.io", "roles"),
    }
)  # AllowCreateOnUpdate in kubernetes/pkg/registry, seen on 1.36.2

ALIASES = {
    ("events.k8s.io", "events"): ("", "events"),
    ("", "events"): ("events.k8s.io", "events"),
    ("extensions", "daemonsets"): ("apps", "daemonsets"),
    ("extensions", "deployments"): ("apps", "deployments"),
    ("extensions", "replicasets"): ("apps", "replicasets"),
    ("extensions", "ingresses"): ("networking.k8s.io", "ingresses"),
    ("extensions", "networkpolicies"): ("networking.k8s.io", "networkpolicies"),
}  # the same stored object under two groups: a rule on either matches


@dataclass(frozen=True, slots=True)
class Demand:
    """One verb on one resource, under each group that serves the same object (`groups[0]` is the requested one)."""

    verb: str
    groups: tuple[str, ...]
    resource: str
    subresource: str = ""

    def __str__(self) -> str:
        name = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{self.verb} {name}" + (f".{self.groups[0]}" if self.groups[0] else "")


@dataclass(frozen=True, slots=True)
class Demands:
    required: tuple[Demand, ...]
    strict: tuple[Demand, ...]


def demands_of(request: PolicyRequest) -> Demands:
    """Of a resource request."""
    attributes = request.attributes
    verb = "apply" if attributes.verb == "patch" and request.patch_type == APPLY_PATCH else attributes.verb
    return demands(verb, attributes.api_group, attributes.resource, attributes.subresource)


def demands(verb: str, group: str, resource: str, subresource: str) -> Demands:
    """Of a verb (`apply` for an apply patch) on a resource."""
    required, strict = _verbs(verb, group, resource, subresource)
    alias = ALIASES.get((group, resource))
    groups = (group, alias[0]) if alias else (group,)
    needed = [Demand(each, groups, resource, subresource) for each in required]
    if (group, resource, subresource, verb) == ("", "pods", "eviction", "create"):
        needed.append(Demand("delete", groups, "pods"))
    also = [Demand(each, groups, resource, subresource) for each in strict if each not in required]
    return Demands(tuple(needed), (*needed, *also))


def _verbs(verb: str, group: str, resource: str, subresource: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if group == "" and (resource, subresource) in CONNECTIONS:
        return ("create",), (verb,)
    match verb:
        case "list":
            return ("list",), ("get",)
        case "watch":
            return ("watch",), ("list", "get")
        case "update":
            creates = ("create",) if not subresource and _put_creates(group, resource) else ()
            return ("update", "get", *creates), ("patch",)
        case "patch":
            return ("patch", "get"), ("update",)
        case "apply":
            return ("apply", "patch", "get", *(() if subresource else ("create",))), ("update",)
        case "deletecollection":
            return ("deletecollection", "delete", "list"), ("get",)
    return (verb,), ()


def _put_creates(group: str, resource: str) -> bool:
    """Known to create, or served by somebody else: an aggregated API server may do as it likes."""
    built_in = "." not in group or group.endswith(".k8s.io")
    return (group, resource) in CREATED_BY_PUT or not built_in
