"""Label and field selectors, as the API server parses and matches them (apimachinery pkg/labels, pkg/fields 1.34).

Pure. A selector that does not parse raises StatusError 400.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pratique.sandbox import status
from pratique.sandbox.resources import Resource

JSON = dict[str, Any]
Match = Callable[[JSON], bool]

_KEY = r"(?P<key>[A-Za-z0-9][\w./-]*)"
_SET = re.compile(rf"\s*{_KEY}\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)\s*$")
_EQUAL = re.compile(rf"\s*{_KEY}\s*(?P<op>==|=|!=)\s*(?P<value>[\w.-]*)\s*$")
_COMPARE = re.compile(rf"\s*{_KEY}\s*(?P<op>[<>])\s*(?P<value>\d+)\s*$")
_EXISTS = re.compile(rf"\s*(?P<op>!?)\s*{_KEY}\s*$")

FIELDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    ("", "secrets"): ("type",),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "namespaces"): ("status.phase",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("", "events"): (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    ("", "replicationcontrollers"): ("status.replicas",),
    ("apps", "replicasets"): ("status.replicas",),
    ("batch", "jobs"): ("status.successful",),
}


def everything(_: JSON) -> bool:
    return True


def both(first: Match, second: Match) -> Match:
    return lambda obj: first(obj) and second(obj)


def _split(text: str) -> list[str]:
    """Split at commas that are not inside parentheses."""
    return re.split(r",(?![^(]*\))", text)


def label_match(text: str) -> Match:
    """A predicate over objects for a `labelSelector` value."""
    if not text.strip():
        return everything
    tests = [_requirement(part, text) for part in _split(text)]
    return lambda obj: all(test(obj.get("metadata", {}).get("labels") or {}) for test in tests)


def _requirement(part: str, whole: str) -> Callable[[dict[str, str]], bool]:
    if found := _SET.match(part):
        return _in_set(found["key"], found["op"], {item.strip() for item in found["values"].split(",")})
    if found := _EQUAL.match(part):
        key, value, want = found["key"], found["value"], found["op"] != "!="
        return lambda labels: (labels.get(key) == value) is want
    if found := _COMPARE.match(part):
        return _compare(found["key"], found["op"], int(found["value"]))
    if found := _EXISTS.match(part):
        key, want = found["key"], not found["op"]
        return lambda labels: (key in labels) is want
    message = f"unable to parse requirement: found '{part.strip()}'"
    raise status.bad_request(f"unable to parse label selector `{whole}`: {message}")


def _in_set(key: str, operator: str, values: set[str]) -> Callable[[dict[str, str]], bool]:
    if operator == "in":
        return lambda labels: labels.get(key) in values
    return lambda labels: labels.get(key) not in values


def _compare(key: str, operator: str, limit: int) -> Callable[[dict[str, str]], bool]:
    def test(labels: dict[str, str]) -> bool:
        value = labels.get(key, "")
        if not value.isdigit():
            return False
        return int(value) > limit if operator == ">" else int(value) < limit

    return test


def selector_match(selector: JSON | None) -> Match:
    """A predicate for a `metav1.LabelSelector` (matchLabels, matchExpressions); None matches nothing."""
    if selector is None:
        return lambda _: False
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    parts += [_expression(item) for item in selector.get("matchExpressions") or []]
    return label_match(",".join(parts))


def _expression(item: JSON) -> str:
    key, values = item["key"], ",".join(item.get("values") or [])
    forms: dict[str, str] = {
        "In": f"{key} in ({values})",
        "NotIn": f"{key} notin ({values})",
        "Exists": key,
        "DoesNotExist": f"!{key}",
    }
    return forms[item["operator"]]


def field_match(resource: Resource, text: str) -> Match:
    """A predicate for a `fieldSelector` value; a field that the real server does not index is a 400."""
    if not text:
        return everything
    tests = [_field_test(resource, part, text) for part in text.split(",") if part]
    return lambda obj: all(test(obj) for test in tests)


def _field_test(resource: Resource, part: str, whole: str) -> Match:
    found = re.match(r"\s*([^=!]+?)\s*(==|=|!=)\s*(.*?)\s*$", part)
    if not found:
        raise status.bad_request(f"invalid selector: '{whole}'; can't understand '{part}'")
    path, operator, value = found.groups()
    known = ("metadata.name", "metadata.namespace", *FIELDS.get(resource.key, ()))
    if path not in known:
        raise status.bad_request(f"field label not supported: {path}")
    want = operator != "!="
    return lambda obj: (_field(obj, path) == value) is want


def _field(obj: JSON, path: str) -> str:
    node: Any = obj
    for name in path.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    if path == "source" and isinstance(node, dict):
        node = node.get("component")
    if isinstance(node, bool):
        return "true" if node else "false"
    if node is None:
        return "false" if path in {"spec.unschedulable", "spec.hostNetwork"} else ""
    return str(node)
