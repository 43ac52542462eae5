"""From a parsed request to its answer: verbs on resources and their plain subresources, and non-resource paths.

Pure but for the store. Streams and upgrades (watch, log, exec, attach, port-forward) are the handler's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pratique.sandbox import bodies, discovery, lists, openapi, openapi_v2, reviews, status, subresources, tables
from pratique.sandbox.accept import Form, choose
from pratique.sandbox.api import Api
from pratique.sandbox.authenticator import Authenticator, User
from pratique.sandbox.query import Query, WriteOptions, delete_options, write_options
from pratique.sandbox.resources import Resource
from pratique.sandbox.routes import Route

JSON = dict[str, Any]
OBJECT_FORMS = ("Table", "PartialObjectMetadata")
LIST_FORMS = ("Table", "PartialObjectMetadataList")
HEALTH = ("/healthz", "/livez", "/readyz")


@dataclass(frozen=True, slots=True)
class Call:
    """One request in parts; header names are lower case."""

    method: str
    route: Route
    query: Query
    headers: dict[str, str]
    body: bytes
    user: User


@dataclass(frozen=True, slots=True)
class Answer:
    body: JSON | bytes
    code: int = 200
    form: Form = field(default_factory=Form)
    content_type: str = ""


class Endpoints:
    def __init__(self, api: Api, authenticator: Authenticator) -> None:
        self.api = api
        self.authenticator = authenticator

    def answer(self, call: Call) -> Answer:
        if call.route.resource is None:
            return self._plain(call)
        if call.route.resource.verbs == ("create",):
            return self._review(call, call.route.resource)
        if call.route.subresource:
            return self._subresource(call, call.route.resource)
        if call.route.name:
            return self._one(call, call.route.resource)
        return self._many(call, call.route.resource)

    # -- non-resource paths --------------------------------------------------------------------------------------------
    def _plain(self, call: Call) -> Answer:
        path, registry = call.route.path.rstrip("/") or "/", self.api.registry
        if path in HEALTH or path.startswith(tuple(f"{item}/" for item in HEALTH)):
            return Answer(b"ok", content_type="text/plain; charset=utf-8")
        if call.method != "GET":
            raise status.StatusError(405, "MethodNotAllowed", "the server does not allow this method")
        if path == "/version":
            return Answer(discovery.VERSION)
        if path == "/":
            roots = ["/api", "/api/v1", "/apis", *HEALTH, "/openapi/v2", "/openapi/v3", "/version"]
            return Answer({"paths": roots})
        if path.startswith("/openapi/"):
            return self._openapi(call, path)
        form = choose(call.headers.get("accept", ""), (discovery.AGGREGATED,))
        document = discovery.document(path, registry, form, call.headers.get("host", ""))
        if document is None:
            raise status.unknown_path()
        if form.kind:
            media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            return Answer(document, content_type=media if path in {"/api", "/apis"} else "")
        return Answer(document)

    def _openapi(self, call: Call, path: str) -> Answer:
        if path == "/openapi/v2":
            if "com.github.proto-openapi" in call.headers.get("accept", ""):
                return Answer(openapi_v2.encode(self.api.registry), content_type=openapi_v2.MEDIA)
            return Answer(openapi.v2(self.api.registry))
        if path == "/openapi/v3":
            return Answer(openapi.v3_index(self.api.registry))
        document = openapi.v3(self.api.registry, path.removeprefix("/openapi/v3/"))
        if document is None:
            raise status.unknown_path()
        return Answer(document)

    # -- virtual resources ---------------------------------------------------------------------------------------------
    def _review(self, call: Call, resource: Resource) -> Answer:
        if call.method != "POST" or call.route.name:
            raise status.method_not_allowed(resource, call.method)
        body = self._object(call)
        now = self.api.store.clock()
        found = reviews.answer(
            resource, body, call.user, now, lambda token: self.authenticator.authenticate(token, now)
        )
        return Answer(found, 201, choose(call.headers.get("accept", "")))

    # -- collections ---------------------------------------------------------------------------------------------------
    def _many(self, call: Call, resource: Resource) -> Answer:
        if call.method == "GET":
            return self.list(call, resource)
        if call.method == "POST":
            form = choose(call.headers.get("accept", ""), OBJECT_FORMS)
            created = self.api.create(resource, call.route.namespace, self._object(call), self._options(call))
            return self._shown(call, resource, created, 201, form)
        if call.method == "DELETE":
            return self._delete_collection(call, resource)
        raise status.method_not_allowed(resource, call.method)

    def list(self, call: Call, resource: Resource) -> Answer:
        form = choose(call.headers.get("accept", ""), LIST_FORMS)
        lists.check_version(self.api.store, call.query)
        match = lists.match_of(call.route, resource, call.query)
        found = [obj for obj in self.api.all(resource, call.route.namespace) if match(obj)]
        filtered = bool(call.query.first("labelSelector") or call.query.first("fieldSelector"))
        shown, metadata = lists.page(found, call.query, self.api.store, filtered=filtered)
        include = self._include(call)
        return Answer(
            lists.envelope(resource, shown, metadata, form, self.api.store.clock(), include=include), form=form
        )

    def _delete_collection(self, call: Call, resource: Resource) -> Answer:
        if resource.key == ("", "namespaces") or "deletecollection" not in resource.verbs:
            raise status.method_not_allowed(resource, call.method)
        options = delete_options(call.query, bodies.decode_options(call.body, call.headers.get("content-type", "")))
        match = lists.match_of(call.route, resource, call.query)
        found = [obj for obj in self.api.all(resource, call.route.namespace) if match(obj)]
        version = str(self.api.store.version)
        for obj in found:
            self.api.delete(resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"], options)
        body = lists.envelope(resource, found, {"resourceVersion": version}, Form(), 0.0, include="")
        return Answer(body, form=choose(call.headers.get("accept", "")))

    # -- one object ----------------------------------------------------------------------------------------------------
    def _one(self, call: Call, resource: Resource) -> Answer:
        form = choose(call.headers.get("accept", ""), OBJECT_FORMS)
        namespace, name = self._place(call)
        verbs: dict[str, Callable[[], tuple[JSON, int]]] = {
            "GET": lambda: (self.api.get(resource, namespace, name), 200),
            "PUT": lambda: (self._put(call, resource), 200),
            "PATCH": lambda: self._patch(call, resource),
            "DELETE": lambda: (self._delete(call, resource), 200),
        }
        verb = verbs.get(call.method)
        if verb is None:
            raise status.method_not_allowed(resource, call.method)
        obj, code = verb()
        return self._shown(call, resource, obj, code, form)

    def _put(self, call: Call, resource: Resource, subresource: str = "") -> JSON:
        namespace, name = self._place(call)
        body, options = self._object(call), self._options(call)
        return self.api.update(resource, namespace, name, body, options, subresource=subresource)[0]

    def _patch(self, call: Call, resource: Resource) -> tuple[JSON, int]:
        media = bodies.patch_type(resource, call.headers.get("content-type", ""))
        if media == bodies.APPLY_PATCH and not call.query.first("fieldManager"):
            text = 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
            raise status.StatusError(422, "Invalid", text)
        obj, created = subresources.patch(self.api, call.route, media, call.body, self._options(call))
        return obj, 201 if created else 200

    def _delete(self, call: Call, resource: Resource) -> JSON:
        namespace, name = self._place(call)
        options = delete_options(call.query, bodies.decode_options(call.body, call.headers.get("content-type", "")))
        obj, gone = self.api.delete(resource, namespace, name, options)
        if not gone:
            return obj
        details = {"name": name, "group": resource.group, "kind": resource.plural, "uid": obj["metadata"]["uid"]}
        return status.success({key: value for key, value in details.items() if value})

    # -- subresources --------------------------------------------------------------------------------------------------
    def _subresource(self, call: Call, resource: Resource) -> Answer:
        name = call.route.subresource
        if name not in resource.subresources or call.route.rest:
            raise status.unknown_path()
        form = choose(call.headers.get("accept", ""))
        handlers = {"status": self._stored, "ephemeralcontainers": self._stored, "finalize": self._stored,
                    "scale": self._scale, "eviction": self._eviction, "token": self._token}  # fmt: skip
        handler = handlers.get(name)
        if handler is None:
            raise status.method_not_allowed(resource, call.method)
        obj, code = handler(call, resource)
        return Answer(obj, code, form)

    def _stored(self, call: Call, resource: Resource) -> tuple[JSON, int]:
        subresource = call.route.subresource
        if call.method == "GET":
            return self.api.get(resource, *self._place(call)), 200
        if call.method == "PUT":
            return self._put(call, resource, subresource), 200
        if call.method == "PATCH":
            return self._patch(call, resource)
        raise status.method_not_allowed(resource, call.method)

    def _scale(self, call: Call, resource: Resource) -> tuple[JSON, int]:
        live = self.api.get(resource, *self._place(call))
        if call.method == "GET":
            return subresources.scale_of(resource, live), 200
        if call.method == "PUT":
            return subresources.set_scale(self.api, resource, live, self._object(call), self._options(call)), 200
        if call.method == "PATCH":
            return self._patch(call, resource)
        raise status.method_not_allowed(resource, call.method)

    def _eviction(self, call: Call, resource: Resource) -> tuple[JSON, int]:
        if call.method != "POST":
            raise status.method_not_allowed(resource, call.method)
        return subresources.evict(self.api, resource, *self._place(call), self._object(call)), 201

    def _token(self, call: Call, resource: Resource) -> tuple[JSON, int]:
        if call.method != "POST":
            raise status.method_not_allowed(resource, call.method)
        return subresources.new_token(self.api, call.route, self._object(call), self.authenticator), 201

    # -- parts ---------------------------------------------------------------------------------------------------------
    def _place(self, call: Call) -> tuple[str, str]:
        resource = call.route.resource
        return (call.route.namespace if resource and resource.namespaced else ""), call.route.name

    def _object(self, call: Call) -> JSON:
        return bodies.decode_object(call.body, call.headers.get("content-type", ""))

    def _options(self, call: Call) -> WriteOptions:
        return write_options(call.query, call.headers.get("user-agent", ""))

    def _include(self, call: Call) -> str:
        include = call.query.first("includeObject") or "Metadata"
        if include not in {"None", "Metadata", "Object"}:
            raise status.bad_request(f'includeObject: Invalid value: "{include}"')
        return include

    def _shown(self, call: Call, resource: Resource, obj: JSON, code: int, form: Form) -> Answer:
        if obj.get("kind") == "Status":
            return Answer(obj, code, Form(yaml=form.yaml))
        if form.kind == "Table":
            now, metadata = self.api.store.clock(), {"resourceVersion": obj["metadata"]["resourceVersion"]}
            include = self._include(call)
            body = tables.table(resource, [obj], now, include=include, metadata=metadata, version=form.version)
            return Answer(body, code, form)
        if form.kind == "PartialObjectMetadata":
            return Answer(tables.partial(obj, form.version), code, form)
        return Answer(obj, code, form)
