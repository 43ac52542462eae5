"""I/O (asyncio): what goes with a deleted object: what is in a namespace, what has it as its owner, a CRD's objects.

Belongs here: which collections are looked at, and counting. Not here: the deleted object itself (`foreseeing`).
The garbage collector deletes what has an ownerReference with the object's uid, and what that owns (Kubernetes 1.36
`pkg/controller/garbagecollector`); a namespace takes everything in it along.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pratique.approvals.listing import Send, count, every, listing
from pratique.approvals.words import kind_of
from pratique.kube.canonical import CanonicalRequest

MAX_CUSTOM_KINDS = 100  # one call each; a cluster with more is told as not complete

# What a namespace holds, by path prefix. Events, Leases and EndpointSlices go too; their numbers say nothing.
_IN_NAMESPACES = {
    "/api/v1": (
        "pods", "services", "configmaps", "secrets", "serviceaccounts", "persistentvolumeclaims", "replicationcontrollers",
        "resourcequotas", "limitranges",
    ),
    "/apis/apps/v1": ("deployments", "statefulsets", "daemonsets", "replicasets"),
    "/apis/batch/v1": ("jobs", "cronjobs"),
    "/apis/autoscaling/v2": ("horizontalpodautoscalers",),
    "/apis/networking.k8s.io/v1": ("ingresses", "networkpolicies"),
    "/apis/policy/v1": ("poddisruptionbudgets",),
    "/apis/rbac.authorization.k8s.io/v1": ("roles", "rolebindings"),
}  # fmt: skip
_PODS, _REPLICASETS, _JOBS = ("/api/v1", "pods"), ("/apis/apps/v1", "replicasets"), ("/apis/batch/v1", "jobs")
_ANYTHING = (
    ("/apis/apps/v1", "deployments"), ("/apis/apps/v1", "statefulsets"), ("/apis/apps/v1", "daemonsets"), _REPLICASETS,
    ("/apis/batch/v1", "cronjobs"), _JOBS, _PODS, ("/api/v1", "services"), ("/api/v1", "configmaps"),
    ("/api/v1", "secrets"), ("/api/v1", "persistentvolumeclaims"),
)  # fmt: skip
# Which collections may hold what these own, in the order of ownership. What is in no list here owns nothing.
_OWNED = {
    ("apps", "deployments"): (_REPLICASETS, _PODS),
    ("apps", "statefulsets"): (_PODS, ("/api/v1", "persistentvolumeclaims")),
    ("apps", "daemonsets"): (_PODS,),
    ("apps", "replicasets"): (_PODS,),
    ("", "replicationcontrollers"): (_PODS,),
    ("batch", "jobs"): (_PODS,),
    ("batch", "cronjobs"): (_JOBS, _PODS),
}
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True, slots=True)
class Counted:
    """Kind and number, sorted by kind; `complete`: every collection answered."""

    kinds: tuple[tuple[str, int], ...] = ()
    complete: bool = True
    notes: tuple[str, ...] = ()


class Cascade:
    """`send(request)` asks the cluster."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def of(self, request: CanonicalRequest, found: Any, options: Mapping[str, Any]) -> Counted:
        """What goes with `found`, the object that `request` deletes with these DeleteOptions."""
        attributes = request.attributes
        kind = (attributes.api_group, attributes.resource)
        if kind == ("", "namespaces"):
            return await self._namespace(attributes.name)
        if kind == ("apiextensions.k8s.io", "customresourcedefinitions"):
            return await self._custom(found)
        owned = _owned_by(kind)
        if not owned or not attributes.namespace:
            return Counted()
        if options.get("propagationPolicy") == "Orphan" or options.get("orphanDependents"):
            return Counted(notes=("what it owns stays, without an owner",))
        return await self._owned(found, attributes.namespace, owned)

    async def _namespace(self, name: str) -> Counted:
        places = [(prefix, plural) for prefix, plurals in _IN_NAMESPACES.items() for plural in plurals]
        custom, complete = await self._custom_places()
        places += custom
        calls = [count(self._send, f"{prefix}/namespaces/{name}/{plural}") for prefix, plural in places]
        counts = await asyncio.gather(*calls)
        found = Counter({_kind(*place): number for place, number in zip(places, counts, strict=True) if number})
        complete = complete and None not in counts
        return Counted(tuple(sorted(found.items())), complete, ("everything in the namespace goes with it",))

    async def _custom_places(self) -> tuple[list[tuple[str, str]], bool]:
        """Custom kinds by their CRD's name, `PLURAL.GROUP`; the version is asked for with the CRD itself."""
        crds = await every(self._send, listing(_CRDS, (("limit", "500"),)))
        names = sorted(str((crd.get("metadata") or {}).get("name", "")) for crd in crds.items)
        asked = names[:MAX_CUSTOM_KINDS]
        found = await asyncio.gather(*[self._crd(name) for name in asked])
        places = [place for crd in found for place in _places(crd, namespaced=True)]
        return places, crds.complete and not crds.problem and len(asked) == len(names) and None not in found

    async def _crd(self, name: str) -> Any:
        answer = await self._send(listing(f"{_CRDS}/{name}"))
        return answer.document if answer.ok else None

    async def _custom(self, crd: Any) -> Counted:
        places = _places(crd)
        counts = await asyncio.gather(*[count(self._send, "/".join(place)) for place in places])
        found = {_kind(*place): number for place, number in zip(places, counts, strict=True) if number}
        notes = ("every object of this kind goes with it, in all namespaces",)
        return Counted(tuple(sorted(found.items())), bool(places) and None not in counts, notes)

    async def _owned(self, found: Any, namespace: str, places: tuple[tuple[str, str], ...]) -> Counted:
        owners = {str((found.get("metadata") or {}).get("uid", ""))}
        kinds: Counter[str] = Counter()
        paths = [f"{prefix}/namespaces/{namespace}/{plural}" for prefix, plural in places]
        lists = await asyncio.gather(*[every(self._send, listing(path, (("limit", "500"),))) for path in paths])
        for place, listed in zip(places, lists, strict=True):
            owned = [item for item in listed.items if owners & _owner_uids(item)]
            owners |= {str((item.get("metadata") or {}).get("uid", "")) for item in owned}
            if owned:
                kinds[_kind(*place)] += len(owned)
        complete = all(listed.complete and not listed.problem for listed in lists)
        return Counted(tuple(sorted(kinds.items())), complete, ("what it owns goes with it",) if kinds else ())


def _owned_by(kind: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    if kind in _OWNED:
        return _OWNED[kind]
    group = kind[0]
    built_in = "." not in group or group.endswith(".k8s.io")
    return () if built_in else _ANYTHING


def _places(crd: Any, *, namespaced: bool = False) -> list[tuple[str, str]]:
    """Where a CRD's objects are: its storage version. `namespaced`: none for kinds of the whole cluster."""
    spec = crd.get("spec") if isinstance(crd, dict) else None
    if not isinstance(spec, dict) or (namespaced and spec.get("scope") != "Namespaced"):
        return []
    plural = (spec.get("names") or {}).get("plural")
    versions = [
        each.get("name") for each in spec.get("versions") or () if isinstance(each, dict) and each.get("served")
    ]
    if not isinstance(plural, str) or not versions or not isinstance(spec.get("group"), str):
        return []
    return [(f"/apis/{spec['group']}/{versions[0]}", plural)]


def _owner_uids(item: Any) -> set[str]:
    references = (item.get("metadata") or {}).get("ownerReferences") or ()
    return {str(each.get("uid", "")) for each in references if isinstance(each, dict)}


def _kind(prefix: str, plural: str) -> str:
    parts = prefix.strip("/").split("/")
    return kind_of(parts[1] if parts[0] == "apis" else "", plural)
