"""Request attributes: what the API server's RequestInfo says about a method and a request target.

Belongs here: `RequestInfoFactory.NewRequestInfo` (k8s.io/apiserver 1.36 `pkg/endpoints/request/requestinfo.go`), bug
for bug, on any bytes. Not here: which requests are refused (`canonical`): this module must also read what is refused,
to show it. Headers and bodies never enter. Paths are decoded once and then split, so `%2F` is a separator; nothing is
cleaned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pratique.kube.forms import Target, read_target
from pratique.kube.options import ListOptions, decode_list
from pratique.kube.query import EMPTY, Query, parse, text

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_WITH_SELECTORS = frozenset({"list", "watch", "deletecollection"})


@dataclass(frozen=True, slots=True)
class RequestAttributes:
    """The server's RequestInfo. Text holds bytes that are not UTF-8 as lone surrogates (`surrogateescape`).

    `verb` of a non-resource request is the lower-cased method; of a resource request with an unknown method it is "".
    `error` is the text of the 500 that the server answers, the other fields then say how far it came.
    """

    is_resource_request: bool
    verb: str
    path: str
    api_prefix: str = ""
    api_group: str = ""
    api_version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    parts: tuple[str, ...] = ()
    field_selector: str = ""
    label_selector: str = ""
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The keys of the server's RequestInfo; `name_bytes_hex` only where the name is not UTF-8."""
        shown = {
            "isResourceRequest": self.is_resource_request,
            "verb": _shown(self.verb),
            "path": _shown(self.path),
            "apiPrefix": self.api_prefix,
            "apiGroup": _shown(self.api_group),
            "apiVersion": _shown(self.api_version),
            "namespace": _shown(self.namespace),
            "resource": _shown(self.resource),
            "subresource": _shown(self.subresource),
            "name": _shown(self.name),
            "parts": [_shown(part) for part in self.parts],
            "fieldSelector": _shown(self.field_selector),
            "labelSelector": _shown(self.label_selector),
            "error": None if self.error is None else _shown(self.error),
        }
        if shown["name"] != self.name:
            shown["name_bytes_hex"] = self.name.encode("utf-8", "surrogateescape").hex()
        return shown


def _shown(value: str) -> str:
    """Go's JSON: one U+FFFD for each byte that is not UTF-8."""
    return value if value.isascii() else "".join("\ufffd" if "\udc80" <= c <= "\udcff" else c for c in value)


class Resolved(NamedTuple):
    """One reading of a request target, so that `canonical` parses nothing twice.

    `listed`: the options that the verb came from.
    """

    attributes: RequestAttributes
    target: Target
    query: Query
    listed: ListOptions | None


def request_attributes(method: str, target: bytes) -> RequestAttributes:
    """RequestInfo of a request line.

    Refused where Go's net/http answers 400 before RequestInfo runs; nothing else is raised.
    """
    return resolve(method, target).attributes


def resolve(method: str, target: bytes) -> Resolved:
    """`request_attributes` with everything that was parsed on the way. Refused."""
    url = read_target(method, target)
    path = text(url.path)
    query = parse(url.raw_query)
    parts = path.strip("/").split("/")
    prefix = parts[0]
    # "api" needs a version and a resource, "apis" a group as well; everything else is a non-resource request.
    group_parts = 1 if prefix == "api" else 2
    if prefix not in {"api", "apis"} or len(parts) < group_parts + 2:
        resource_prefix = prefix if prefix == "apis" and len(parts) >= 3 else ""
        return Resolved(RequestAttributes(False, method.lower(), path, resource_prefix), url, query, None)
    group = "" if prefix == "api" else parts[1]
    found = _resource(method, path, (prefix, group, parts[group_parts]), parts[group_parts + 1 :], url)
    if isinstance(found, RequestAttributes):
        return Resolved(found, url, query, None)
    attributes, listed = found.finish(query)
    return Resolved(attributes, url, query, listed)


class _Path(NamedTuple):
    """What the path of a resource request says, before the query is asked."""

    path: str
    version: tuple[str, str, str]  # API prefix, group, version
    namespace: str
    verb: str
    via_prefix: bool
    parts: tuple[str, ...]

    def finish(self, query: Query) -> tuple[RequestAttributes, ListOptions | None]:
        parts, verb = self.parts, self.verb
        name = parts[1] if len(parts) >= 2 else ""
        listed = None
        if not name and verb == "get":
            listed = decode_list(query)
            verb = "watch" if _watches(listed, query) else "list"
            name = _selected_name(listed)
        if not name and verb == "delete":
            verb = "deletecollection"
        selects = verb in _WITH_SELECTORS and not self.via_prefix and query is not EMPTY
        return RequestAttributes(
            True,
            verb,
            self.path,
            *self.version,
            self.namespace,
            parts[0],
            parts[2] if len(parts) >= 3 and verb != "proxy" else "",
            name,
            parts,
            (query.first("fieldSelector") or "") if selects else "",
            (query.first("labelSelector") or "") if selects else "",
        ), listed


def _resource(
    method: str, path: str, version: tuple[str, str, str], parts: list[str], url: Target
) -> _Path | RequestAttributes:
    verb = _VERBS.get(method, "")
    via_prefix = parts[0] in {"watch", "proxy"}
    if via_prefix:
        if len(parts) < 2:
            error = f"unable to determine kind and namespace from url, {url.text}"
            return RequestAttributes(True, method.lower(), path, *version, error=error)
        verb = parts[0]
        parts = parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    return _Path(path, version, namespace, verb, via_prefix, tuple(parts))


def _watches(listed: ListOptions, query: Query) -> bool:
    if not listed.error:
        return bool(listed.values["watch"])
    first = query.first("watch")  # read again, by ToLower and not by EqualFold
    return first is not None and first.lower() not in {"false", "0"}


def _selected_name(listed: ListOptions) -> str:
    """A list of exactly one name is authorised as that name, if the name can be a path segment."""
    name = listed.exact_name
    if name is None or name in {".", ".."} or "/" in name or "%" in name:
        return ""
    return name
