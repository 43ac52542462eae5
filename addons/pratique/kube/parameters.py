"""Query parameters of a request: which are known, which are refused, and the one spelling that is sent.

Belongs here: the tables of known parameters by what the request is, and their canonical text. Not here: what the
server makes of the values (`options`), the query syntax (`query`).

Known parameters are sent in one spelling, sorted by name. Unknown ones are dropped, since the server ignores them and
another hop might not; on a deletecollection they are refused, since a newer server could narrow the deletion by one.
Proxied requests keep their own query, without parameters that carry credentials.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pratique.kube import options
from pratique.kube.attributes import RequestAttributes, Resolved
from pratique.kube.options import Kind, OptionsError
from pratique.kube.query import Query
from pratique.kube.rules import quoted, refused

# Go's net/url reads no query with more (urlmaxqueryparams, Go 1.25.6).
QUERY_PARAMETERS = 10_000

# What every request may have: printing, and client-go's --request-timeout.
_COMMON = {"pretty": Kind.STRING, "timeout": Kind.STRING}
# `shardSelector` is alpha in 1.36: kept, because without it a list is longer.
_LIST = {**_COMMON, **options.LIST, "includeObject": Kind.STRING, "shardSelector": Kind.STRING}
_DELETE = {**_COMMON, **options.DELETE, **options.DELETE_EXTRA}
DELETE_OPTIONS = {**options.DELETE, **options.DELETE_EXTRA}
_VERBS: dict[str, dict[str, Kind]] = {
    "get": {**_COMMON, **options.GET, "includeObject": Kind.STRING},
    "list": _LIST,
    "watch": _LIST,
    "create": {**_COMMON, **options.CREATE},
    "update": {**_COMMON, **options.UPDATE},
    "patch": {**_COMMON, **options.PATCH},
    "delete": _DELETE,
    "deletecollection": {**_LIST, **_DELETE},
}
_PODS = {
    "exec": {**_COMMON, **options.EXEC},
    "attach": {**_COMMON, **options.ATTACH},
    "log": {**_COMMON, **options.LOG},
    "portforward": {**_COMMON, **options.PORT_FORWARD},
}
# OpenAPI's hash, health's verbose and exclude. Present-but-empty counts (`?verbose`), so they are pointers.
_NON_RESOURCE = {**_COMMON, "hash": Kind.STRING, "verbose": Kind.STRING_POINTER, "exclude": Kind.STRINGS}
_DELETIONS = frozenset({"delete", "deletecollection"})
_CREDENTIALS = frozenset({"access_token", "token", "authorization"})

_BOOLEANS = {"true": True, "1": True, "": True, "false": False, "0": False}
_SUSPECT = re.compile(rb"%(?:[01][0-9A-Fa-f]|7[Ff]|[89A-Fa-f][0-9A-Fa-f])")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Parameters(NamedTuple):
    """`pairs` are sent; `delete` are DeleteOptions that go into the body; `options` as the server decodes them."""

    pairs: tuple[tuple[str, str], ...] = ()
    delete: Mapping[str, Any] = {}
    options: Mapping[str, Any] = {}


_NONE: dict[str, Any] = {}


def known_parameters(attributes: RequestAttributes) -> Mapping[str, Kind]:
    """The table for this request; empty for a verb that the server does not route."""
    if not attributes.is_resource_request:
        return _NON_RESOURCE
    if _has_pod_options(attributes):
        return _PODS[attributes.subresource]
    return _VERBS.get(attributes.verb, _COMMON)


def takes_delete_options(attributes: RequestAttributes) -> bool:
    """Whether the server reads this request as a deletion. exec, attach, portforward and log have options of their own."""
    return attributes.is_resource_request and attributes.verb in _DELETIONS and not _has_pod_options(attributes)


def _has_pod_options(attributes: RequestAttributes) -> bool:
    return attributes.resource == "pods" and attributes.api_group == "" and attributes.subresource in _PODS


def canonical_parameters(resolved: Resolved, *, proxied: bool) -> Parameters:
    """Refused (rules query/*) or the canonical parameters."""
    attributes, query = resolved.attributes, resolved.query
    raw = resolved.target.raw_query
    if raw:
        _check_syntax(raw, query)
    if proxied:
        return Parameters(_proxied(query), _NONE, {"proxyOptions": {"path": query.first("path") or ""}})
    decoded = _decoded(resolved)
    if not query.pairs:
        return Parameters((), _NONE, decoded)
    table = known_parameters(attributes)
    pairs: list[tuple[str, str]] = []
    delete: dict[str, Any] = {}
    for name, values in sorted(query.grouped().items()):
        kind = table.get(name)
        if kind is None:
            _check_unknown(name, table, attributes.verb)
            continue
        _check_values(name, kind, values)
        pairs += [(name, value) for value in _canonical(name, kind, values)]
    if takes_delete_options(attributes):
        delete = _delete_options(query)
        stay = _LIST if attributes.verb == "deletecollection" else _COMMON
        pairs = [pair for pair in pairs if pair[0] in stay]
    return Parameters(tuple(pairs), delete, decoded)


def _check_syntax(raw: bytes, query: Query) -> None:
    if b";" in raw:
        raise refused("query/semicolon", "a raw `;` in the query. Encode it as %3B, or separate parameters with &")
    if query.errors:
        raise refused("query/escape", f"malformed query: {query.errors[0]}. Encode % as %25")
    if raw.count(b"&") >= QUERY_PARAMETERS:
        raise refused("query/parameters", f"more than {QUERY_PARAMETERS} query parameters. Send fewer")
    if _SUSPECT.search(raw):
        for pair in query.pairs:
            for value in pair:
                if "\x00" in value or _SURROGATE.search(value):
                    raise refused(
                        "query/characters", f"the parameter {quoted(pair[0])} has a NUL or is not UTF-8. Send text"
                    )


def _decoded(resolved: Resolved) -> Mapping[str, Any]:
    """The options as the server decodes them, with its error text as `optionsError`: it answers 400, and so is asked.

    Refused for deletions, whose options move into the body.
    """
    attributes = resolved.attributes
    if not attributes.is_resource_request:
        return _NONE
    found, error = options.options_of(
        attributes.api_group,
        attributes.resource,
        attributes.subresource,
        attributes.verb,
        resolved.query,
        resolved.listed,
    )
    if not error:
        return found
    if attributes.verb in _DELETIONS or attributes.subresource == "portforward":
        raise refused("query/option", f"the server cannot decode the query: {error}. Correct the parameter")
    return {**found, "optionsError": error}


def _check_unknown(name: str, table: Mapping[str, Kind], verb: str) -> None:
    if any(name.lower() == known.lower() for known in table):
        raise refused(
            "query/misspelt", f"the parameter {quoted(name)} would be ignored: case counts. Spell it as documented"
        )
    if verb == "deletecollection":
        raise refused(
            "query/unknown",
            f"unknown parameter {quoted(name)} on a deletion of many objects. Leave it out",
        )


def _check_values(name: str, kind: Kind, values: list[str]) -> None:
    if name == "dryRun" and values != ["All"]:
        raise refused("query/dry-run", "dryRun has one value, `All`. Send dryRun=All, once")
    if len(values) > 1 and not kind.repeats:
        raise refused("query/duplicate", f"the parameter {quoted(name)} stands twice. Send it once")
    if name != "command" and any(_CONTROL.search(value) for value in values):
        raise refused("query/characters", f"the parameter {quoted(name)} has a control character. Send one line")


def _canonical(name: str, kind: Kind, values: list[str]) -> list[str]:
    """The values as they are sent; none where absent means the same."""
    value = values[0]
    if kind is Kind.STRING:
        return [value] if value else []
    if kind is Kind.BOOL:
        return ["true"] if _boolean(name, value) else []
    if kind is Kind.BOOL_POINTER:
        return ["true" if _boolean(name, value) else "false"]
    if kind is Kind.PORTS:
        return [str(port) for port in options.decode({name: kind}, {name: values})[name]]
    if kind in {Kind.INT, Kind.INT_POINTER}:
        try:
            return [str(options.to_int(value))]
        except OptionsError:
            return values  # for the server's 400
    return values


def _boolean(name: str, value: str) -> bool:
    found = _BOOLEANS.get(value.lower())
    if found is None:
        raise refused(
            "query/boolean", f"the parameter {quoted(name)} is {quoted(value)}, which would be true. Send true or false"
        )
    return found


def _delete_options(query: Query) -> dict[str, Any]:
    """What the server reads from the query of a DELETE without a body, as DeleteOptions."""
    given = query.grouped()
    found = options.decode({name: kind for name, kind in DELETE_OPTIONS.items() if name in given}, given)
    preconditions = {name: value for name in ("uid", "resourceVersion") if (value := found.pop(name, ""))}
    if preconditions:
        found["preconditions"] = preconditions
    return found


def _proxied(query: Query) -> tuple[tuple[str, str], ...]:
    """The application's own query: sorted by name, the order of equal names kept."""
    return tuple(
        sorted((pair for pair in query.pairs if pair[0].lower() not in _CREDENTIALS), key=lambda pair: pair[0])
    )
