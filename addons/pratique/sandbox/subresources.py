"""Subresources that answer with objects: scale, eviction, token, ephemeralcontainers, and their bodies.

Pure but for the store behind `Api`.
"""

from __future__ import annotations

import copy
from typing import Any

from pratique.sandbox import bodies, reviews, selectors, status
from pratique.sandbox.api import Api
from pratique.sandbox.authenticator import Authenticator
from pratique.sandbox.query import Query, WriteOptions, delete_options
from pratique.sandbox.resources import Resource
from pratique.sandbox.routes import Route

JSON = dict[str, Any]


def _at(obj: JSON, path: str) -> Any:
    node: Any = obj
    for name in path.lstrip(".").split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node


def scale_of(resource: Resource, obj: JSON) -> JSON:
    """autoscaling/v1 Scale of a workload or of a custom resource with a scale subresource."""
    paths = resource.scale_paths or {}
    metadata = {name: value for name, value in obj["metadata"].items()
                if name in {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}}  # fmt: skip
    spec = _at(obj, paths.get("specReplicasPath", ".spec.replicas"))
    current = _at(obj, paths.get("statusReplicasPath", ".status.replicas"))
    labels = ((obj.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {"replicas": spec or 0},
            "status": {"replicas": current or 0, "selector": selector}}  # fmt: skip


def set_scale(api: Api, resource: Resource, live: JSON, scale: JSON, options: WriteOptions) -> JSON:
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    name = live["metadata"]["name"]
    if not isinstance(replicas, int) or replicas < 0:
        text = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise status.invalid(resource, name, [status.cause("FieldValueInvalid", text, "spec.replicas")])
    changed = copy.deepcopy(live)
    wanted = (scale.get("metadata") or {}).get("resourceVersion")
    if wanted:
        changed["metadata"]["resourceVersion"] = wanted
    *parents, last = (resource.scale_paths or {}).get("specReplicasPath", ".spec.replicas").lstrip(".").split(".")
    node = changed
    for part in parents:
        node = node.setdefault(part, {})
    node[last] = replicas
    return scale_of(resource, api.replace(resource, live, changed, options, applied=True))


def evict(api: Api, pods: Resource, namespace: str, name: str, body: JSON) -> JSON:
    """policy/v1 Eviction: 429 when a PodDisruptionBudget stands in the way, else a delete."""
    pod = api.get(pods, namespace, name)
    for budget in api.store.all(("policy", "poddisruptionbudgets"), namespace):
        if selectors.selector_match(budget["spec"].get("selector"))(pod) and not _allowed(api, namespace, budget):
            text = "Cannot evict pod as it would violate the pod's disruption budget."
            error = status.too_many_requests(text, 0)
            causes = [{"reason": "DisruptionBudget", "message": f"The disruption budget {budget['metadata']['name']} "
                       "does not allow it"}]  # fmt: skip
            error.details = {"causes": causes}
            raise error
    options = delete_options(Query(""), body.get("deleteOptions") or {})
    api.delete(pods, namespace, name, options)
    return {**status.success(), "code": 201}


def _allowed(api: Api, namespace: str, budget: JSON) -> bool:
    match = selectors.selector_match(budget["spec"].get("selector"))
    healthy = sum(1 for pod in api.store.all(("", "pods"), namespace) if match(pod))
    least = budget["spec"].get("minAvailable", 0)
    if isinstance(least, str):
        least = -(-healthy * int(least.rstrip("%")) // 100)
    return healthy > int(least)


def new_token(api: Api, route: Route, body: JSON, auth: Authenticator) -> JSON:
    """A token that the sandbox itself accepts; dry-run or not, as in the real server (leaks.md C11)."""
    account = api.get(_resource(route), route.namespace, route.name)
    made = reviews.token_request(body, account, api.store.clock(), api.store.new_uid())
    auth.issued[made["status"]["token"]] = reviews.service_account_user(route.namespace, route.name)
    return made


def patch(api: Api, route: Route, media: str, body: bytes, options: WriteOptions) -> tuple[JSON, bool]:
    """PATCH of an object or of its subresource: the object, and whether it was created."""
    resource, subresource, name = _resource(route), route.subresource, route.name
    namespace = route.namespace if resource.namespaced else ""
    if media == bodies.APPLY_PATCH and subresource != "scale":
        return api.apply(resource, namespace, name, bodies.decode_apply(body), options, subresource=subresource)
    live = api.get(resource, namespace, name)
    if subresource == "scale":
        return set_scale(api, resource, live, bodies.patched(media, body, scale_of(resource, live)), options), False
    changed = bodies.patched(media, body, live)
    changed["metadata"] = {"name": name, **(changed.get("metadata") or {})}
    return api.update(resource, namespace, name, changed, options, subresource=subresource)[0], False


def _resource(route: Route) -> Resource:
    if route.resource is None:
        raise status.unknown_path()
    return route.resource
