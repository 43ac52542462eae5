"""What the API server does with objects: create, get, list, update, patch, apply, delete, with the real one's rules.

Pure but for the store that it is given. Does not know HTTP; raises StatusError. Subresources that store the object
(`status`, `scale`, `ephemeralcontainers`) are here, the others in `actions`.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from pratique.sandbox import defaults, managed, status, strict, validation
from pratique.sandbox.query import DeleteOptions, WriteOptions
from pratique.sandbox.resources import Registry, Resource
from pratique.sandbox.store import Store

JSON = dict[str, Any]

_NO_GENERATION = {("", "services"), ("", "nodes"), ("", "namespaces"), ("", "persistentvolumes"),
                  ("", "persistentvolumeclaims"), ("", "events")}  # fmt: skip
_FIXED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
FOREGROUND = "foregroundDeletion"


class Api:
    def __init__(self, store: Store, registry: Registry) -> None:
        self.store = store
        self.registry = registry
        self.warnings: list[str] = []
        """What the next answer says in `Warning` headers; whoever writes the answer empties it."""

    # -- reading -----------------------------------------------------------------------------------------------------
    def get(self, resource: Resource, namespace: str, name: str) -> JSON:
        obj = self.store.get(resource.key, namespace if resource.namespaced else "", name)
        if obj is None:
            raise status.not_found(resource, name)
        return as_version(resource, obj)

    def all(self, resource: Resource, namespace: str) -> list[JSON]:
        objects = self.store.all(resource.key, namespace if resource.namespaced else "")
        return [as_version(resource, obj) for obj in objects]

    # -- create ------------------------------------------------------------------------------------------------------
    def create(self, resource: Resource, namespace: str, body: JSON, options: WriteOptions) -> JSON:
        obj = self._prepared(resource, namespace, body, options)
        if obj["metadata"].get("resourceVersion"):
            raise status.bad_request("resourceVersion should not be set on objects to be created")
        self._check_namespace(resource, namespace)
        self._complete(resource, obj)
        managed.record_update(None, obj, options.manager, self.store.now())
        return self._create(resource, obj, dry_run=options.dry_run)

    def _prepared(self, resource: Resource, namespace: str, body: JSON, options: WriteOptions) -> JSON:
        check_kind(resource, body)
        obj = copy.deepcopy(body)
        self._check_fields(resource, obj, options)
        metadata = obj.setdefault("metadata", None) or {}
        obj["metadata"] = metadata
        set_namespace(resource, metadata, namespace)
        broken = validation.broken_base64(obj) if resource.key == ("", "secrets") else ""
        if broken:
            text = f'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at `data.{broken}`'
            raise status.bad_request(text)
        return obj

    def _check_fields(self, resource: Resource, body: JSON, options: WriteOptions) -> None:
        """Unknown fields: refused (Strict), kept in `warnings` (Warn), or nothing said (Ignore)."""
        unknown = strict.drop_unknown(resource, body)
        if unknown and options.validation == "Strict":
            raise status.bad_request(f"strict decoding error: {', '.join(unknown)}")
        self.warnings += unknown if options.validation == "Warn" else []

    def _complete(self, resource: Resource, obj: JSON) -> None:
        metadata = obj["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + self.store.suffix()
        if not metadata.get("name"):
            text = "Required value: name or generateName is required"
            raise status.invalid(resource, "", [status.cause("FieldValueRequired", text, "metadata.name")])
        for name in (*_FIXED, "managedFields"):
            metadata.pop(name, None)
        metadata["uid"] = self.store.new_uid()
        metadata["creationTimestamp"] = self.store.now()
        defaults.apply_defaults(resource, obj)
        if resource.custom and "status" in resource.subresources:
            obj.pop("status", None)
        if "spec" in obj and resource.key not in _NO_GENERATION:
            metadata["generation"] = 1
        validation.validate(resource, obj, None)

    def _create(self, resource: Resource, obj: JSON, *, dry_run: bool) -> JSON:
        metadata = obj["metadata"]
        if self.store.get(resource.key, metadata.get("namespace", ""), metadata["name"]):
            raise status.already_exists(resource, metadata["name"])
        return obj if dry_run else self.store.put(resource.key, obj)

    def _check_namespace(self, resource: Resource, namespace: str) -> None:
        if not resource.namespaced:
            return
        spaces = self.registry.find("", "v1", "namespaces")
        found = self.store.get(("", "namespaces"), "", namespace)
        if found is None and spaces:
            raise status.not_found(spaces, namespace)
        if found and found["metadata"].get("deletionTimestamp"):
            text = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise status.forbidden(resource, "", text)

    # -- update ------------------------------------------------------------------------------------------------------
    def update(self, resource: Resource, namespace: str, name: str, body: JSON, options: WriteOptions, *,
               subresource: str = "") -> tuple[JSON, bool]:  # fmt: skip
        """The stored object, and whether it was created (never for most kinds, as in the real server)."""
        obj = self._prepared(resource, namespace, body, options)
        if obj["metadata"].get("name", name) != name or not obj["metadata"].get("name"):
            given = obj["metadata"].get("name", "")
            raise status.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
        live = self.get(resource, namespace, name)
        return self.replace(resource, live, obj, options, subresource), False

    def replace(self, resource: Resource, live: JSON, obj: JSON, options: WriteOptions, subresource: str = "",
                *, applied: bool = False) -> JSON:  # fmt: skip
        """Store `obj` in place of `live`: preconditions, fields that stay, generation, finalizers, no-op writes."""
        name = live["metadata"]["name"]
        self._check_current(resource, live, obj)
        obj = self._settled(resource, live, obj, subresource)
        if not applied:
            managed.record_update(live, obj, options.manager, self.store.now(), subresource)
        if _unchanged(live, obj):
            return live
        if options.dry_run:
            return obj
        if obj["metadata"].get("deletionTimestamp") and not obj["metadata"].get("finalizers"):
            return self.store.remove(resource.key, live["metadata"].get("namespace", ""), name) or obj
        return self.store.put(resource.key, obj)

    def _check_current(self, resource: Resource, live: JSON, obj: JSON) -> None:
        name, given = live["metadata"]["name"], obj["metadata"]
        if given.get("resourceVersion") not in {None, "", "0", live["metadata"]["resourceVersion"]}:
            raise status.modified(resource, name)
        if given.get("uid") not in {None, "", live["metadata"]["uid"]}:
            uid, old = given["uid"], live["metadata"]["uid"]
            text = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old}"
            raise status.conflict(resource, name, text)

    def _settled(self, resource: Resource, live: JSON, obj: JSON, subresource: str) -> JSON:
        if subresource == "status":
            obj = {**copy.deepcopy(live), "status": obj.get("status", {})}
        elif "status" in resource.subresources:
            obj = {**obj, "status": live["status"]} if "status" in live else _without(obj, "status")
        metadata = obj["metadata"] = {**obj["metadata"]}
        for field in _FIXED:
            if field in live["metadata"]:
                metadata[field] = live["metadata"][field]
            else:
                metadata.pop(field, None)
        defaults.apply_defaults(resource, obj)
        if "generation" in metadata and obj.get("spec") != live.get("spec"):
            metadata["generation"] += 1
        validation.validate(resource, obj, live)
        metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
        return obj

    # -- server-side apply ---------------------------------------------------------------------------------------------
    def apply(self, resource: Resource, namespace: str, name: str, body: JSON, options: WriteOptions, *,
              subresource: str = "") -> tuple[JSON, bool]:  # fmt: skip
        """The stored object, and whether it was created."""
        obj = self._prepared(resource, namespace, body, options)
        if obj["metadata"].setdefault("name", name) != name:
            text = f"the name of the object ({obj['metadata']['name']}) does not match the name on the URL ({name})"
            raise status.bad_request(text)
        live = self.store.get(resource.key, namespace if resource.namespaced else "", name)
        now = self.store.now()
        if live is None:
            if subresource:
                raise status.not_found(resource, name)
            self._check_namespace(resource, namespace)
            merged = managed.apply(None, obj, options.manager, now)
            entries = merged["metadata"]["managedFields"]
            self._complete(resource, merged)
            merged["metadata"]["managedFields"] = entries
            return self._create(resource, merged, dry_run=options.dry_run), True
        self._check_conflicts(live, obj, options)
        merged = managed.apply(live, obj, options.manager, now, subresource)
        merged["metadata"].setdefault("resourceVersion", live["metadata"]["resourceVersion"])
        return self.replace(resource, live, merged, options, subresource, applied=True), False

    def _check_conflicts(self, live: JSON, obj: JSON, options: WriteOptions) -> None:
        found = [] if options.force else managed.conflicts(live, obj, options.manager)
        if not found:
            return
        causes = [
            status.cause("FieldManagerConflict", f'conflict with "{manager}"', _dotted(path)) for manager, path in found
        ]
        lines = "\n".join(f"- {item['field']}" for item in causes)
        many = f'{len(found)} conflict{"s" if len(found) > 1 else ""} with "{found[0][0]}"'
        separator = ": " + causes[0]["field"] if len(found) == 1 else f":\n{lines}"
        text = f"Apply failed with {many}{separator}"
        raise status.StatusError(409, "Conflict", text, {"causes": causes})

    # -- delete --------------------------------------------------------------------------------------------------------
    def delete(self, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> tuple[JSON, bool]:
        """(object, gone): the object as it was last, and whether it was removed at once."""
        live = self.get(resource, namespace, name)
        self._check_preconditions(resource, live, options)
        obj = self._marked(resource, live, options)
        finalizers = obj["metadata"].get("finalizers")
        lingering = bool(finalizers) or resource.key in {("", "namespaces"), ("", "pods")}
        if options.dry_run:
            return obj, not lingering
        if options.propagation == "Orphan":
            self._orphan(live["metadata"]["uid"])
        if not lingering:
            self.store.remove(resource.key, live["metadata"].get("namespace", ""), name)
            return live, True
        if live["metadata"].get("deletionTimestamp"):
            return live, False
        return self.store.put(resource.key, obj), False

    def _check_preconditions(self, resource: Resource, live: JSON, options: DeleteOptions) -> None:
        name, metadata = live["metadata"]["name"], live["metadata"]
        if options.uid and options.uid != metadata["uid"]:
            text = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {metadata['uid']}"
            raise status.conflict(resource, name, text)
        if options.version and options.version != metadata["resourceVersion"]:
            text = (f"Precondition failed: ResourceVersion in precondition: {options.version}, "
                    f"ResourceVersion in object meta: {metadata['resourceVersion']}")  # fmt: skip
            raise status.conflict(resource, name, text)

    def _marked(self, resource: Resource, live: JSON, options: DeleteOptions) -> JSON:
        obj = copy.deepcopy(live)
        grace = 30 if resource.key == ("", "pods") else 0
        obj["metadata"].setdefault("deletionTimestamp", self.store.now())
        chosen = grace if options.grace_seconds is None else options.grace_seconds
        obj["metadata"].setdefault("deletionGracePeriodSeconds", chosen)
        if options.propagation == "Foreground":
            finalizers = obj["metadata"].get("finalizers") or []
            obj["metadata"]["finalizers"] = [*finalizers, *([] if FOREGROUND in finalizers else [FOREGROUND])]
        if resource.key == ("", "namespaces"):
            obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
        return obj

    def _orphan(self, uid: str) -> None:
        for key in self.store.places():
            for obj in self.store.all(key):
                owners = obj["metadata"].get("ownerReferences") or []
                if any(owner["uid"] == uid for owner in owners):
                    freed = copy.deepcopy(obj)
                    freed["metadata"]["ownerReferences"] = [owner for owner in owners if owner["uid"] != uid]
                    self.store.put(key, freed)


def as_version(resource: Resource, obj: JSON) -> JSON:
    """Custom resources have one stored form for all versions, told apart by apiVersion only (conversion None)."""
    return obj if obj["apiVersion"] == resource.api_version else {**obj, "apiVersion": resource.api_version}


def check_kind(resource: Resource, body: JSON) -> None:
    kind, version = body.get("kind") or resource.kind, body.get("apiVersion") or resource.api_version
    if resource.custom and not (body.get("kind") and body.get("apiVersion")):
        raise status.bad_request(
            "Object 'Kind' is missing in the body" if not body.get("kind") else "Object 'apiVersion' is missing"
        )
    if version != resource.api_version:
        text = (
            f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        )
        raise status.bad_request(text)
    if kind != resource.kind:
        text = f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise status.bad_request(text)


def set_namespace(resource: Resource, metadata: JSON, namespace: str) -> None:
    if not resource.namespaced:
        metadata.pop("namespace", None)
    elif metadata.get("namespace") not in {None, "", namespace}:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    else:
        metadata["namespace"] = namespace


def _without(obj: JSON, name: str) -> JSON:
    return {key: value for key, value in obj.items() if key != name}


def _unchanged(live: JSON, obj: JSON) -> bool:
    """Whether a write changes nothing but times in managedFields: then the resourceVersion stays."""

    def core(item: JSON) -> JSON:
        fields = [_without(entry, "time") for entry in item["metadata"].get("managedFields") or []]
        return {**item, "metadata": {**item["metadata"], "managedFields": fields}}

    return core(live) == core(obj)


def _dotted(path: managed.Path) -> str:
    """`.spec.containers[name="web"].image`, as the real server names a field in a conflict."""
    text = ""
    for element in path:
        kind, rest = element[:2], element[2:]
        if kind == "f:":
            text += f".{rest}"
        elif kind == "v:":
            text += f"[={rest}]"
        else:
            pairs = [f"{key}={json.dumps(value)}" for key, value in json.loads(rest).items()]
            text += f"[{','.join(pairs)}]"
    return text
