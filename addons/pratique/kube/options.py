"""The options that the API server decodes from a query: list, get, create, update, patch, delete, and those of pods.

Belongs here: one table of parameters per options type, and the conversions of values. Not here: which options a
request has (`options_of` at the end knows the server's handlers), what is refused (`canonical`). Source: apimachinery
1.36 `meta/v1` and kubernetes `core/v1` zz_generated.conversion.go, `runtime/conversion.go`. Unknown parameters are
ignored by the server.

Order matters: fields are converted in the order of the tables, and the first error ends the decoding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from pratique.kube.gotext import go_quote
from pratique.kube.query import Query
from pratique.kube.selectors import FieldTerm, SelectorError, exact_value, parse_fields, parse_labels
from pratique.kube.times import TimeError, check_time

_INTEGER = re.compile(r"[+-]?([0-9]+)")
_UNSIGNED = re.compile(r"([0-9]+)")
# An int64 has 19. Python's int() refuses more than 4300.
_INT_DIGITS = 25


class OptionsError(ValueError):
    """Options that the server answers with 400; the text is the server's."""


class Kind(Enum):
    """Go's type of a field."""

    STRING = "string"
    BOOL = "bool"
    INT = "int64"
    STRING_POINTER = "*string"
    BOOL_POINTER = "*bool"
    INT_POINTER = "*int64"
    TIME_POINTER = "*metav1.Time"
    STRINGS = "[]string"
    PORTS = "[]int32"

    @property
    def repeats(self) -> bool:
        """Whether every value counts (a list), not only the first."""
        return self in {Kind.STRINGS, Kind.PORTS}


# Go's zero values; those of pointers and slices are null.
_ABSENT: dict[Kind, Any] = {Kind.STRING: "", Kind.BOOL: False, Kind.INT: 0}


def to_bool(value: str) -> bool:
    """`Convert_Slice_string_To_bool`: everything but `0` and `false` in any case is true, also the empty string.

    Any case is Go's EqualFold: a long s (U+017F) is an s.
    """
    return not (value == "0" or (len(value) == 5 and value.casefold() == "false"))


def to_int(value: str, what: str = "ParseInt", low: int = -(2**63), high: int = 2**63 - 1) -> int:
    """`strconv.ParseInt(value, 10, 64)`, or ParseUint. OptionsError with Go's text.

    Go reads digit by digit: a number that is too large for its uint64 ends it, whatever follows.
    """
    match = (_INTEGER if what == "ParseInt" else _UNSIGNED).match(value)
    digits = "" if match is None else match.group(1).lstrip("0")[:_INT_DIGITS]
    number = int(digits or "0") * (-1 if value.startswith("-") else 1)
    complete = match is not None and match.end() == len(value)
    largest = 2**64 - 1 if what == "ParseInt" else high
    if not complete and abs(number) <= largest:
        raise OptionsError(f"strconv.{what}: parsing {go_quote(value)}: invalid syntax")
    if not complete or not low <= number <= high:
        raise OptionsError(f"strconv.{what}: parsing {go_quote(value)}: value out of range")
    return number


def _ports(values: list[str]) -> list[int]:
    """`Convert_Slice_string_To_Slice_int32`: repeated and comma-separated."""
    try:
        return [to_int(port, "ParseUint", 0, 65535) for value in values for port in value.split(",")]
    except OptionsError as error:
        raise OptionsError(f"cannot convert to []int32: {error}") from None


def _time(values: list[str]) -> str | None:
    """`Time.UnmarshalQueryParameter`; kept as text, the server compares it."""
    if values[0] in {"", "null"}:
        return None
    try:
        check_time(values[0])
    except TimeError as error:
        raise OptionsError(str(error)) from None
    return values[0]


_CONVERT: dict[Kind, Callable[[list[str]], Any]] = {
    Kind.STRING: lambda values: values[0],
    Kind.STRING_POINTER: lambda values: values[0],
    Kind.BOOL: lambda values: to_bool(values[0]),
    Kind.BOOL_POINTER: lambda values: to_bool(values[0]),
    Kind.INT: lambda values: to_int(values[0]),
    Kind.INT_POINTER: lambda values: to_int(values[0]),
    Kind.TIME_POINTER: _time,
    Kind.STRINGS: list,
    Kind.PORTS: _ports,
}

LIST = {
    "labelSelector": Kind.STRING,
    "fieldSelector": Kind.STRING,
    "watch": Kind.BOOL,
    "allowWatchBookmarks": Kind.BOOL,
    "resourceVersion": Kind.STRING,
    "resourceVersionMatch": Kind.STRING,
    "timeoutSeconds": Kind.INT_POINTER,
    "limit": Kind.INT,
    "continue": Kind.STRING,
    "sendInitialEvents": Kind.BOOL_POINTER,
}
GET = {"resourceVersion": Kind.STRING}
CREATE = {"dryRun": Kind.STRINGS, "fieldManager": Kind.STRING, "fieldValidation": Kind.STRING}
UPDATE = CREATE
PATCH = {
    "dryRun": Kind.STRINGS,
    "force": Kind.BOOL_POINTER,
    "fieldManager": Kind.STRING,
    "fieldValidation": Kind.STRING,
}
DELETE = {
    "gracePeriodSeconds": Kind.INT_POINTER,
    "orphanDependents": Kind.BOOL_POINTER,
    "propagationPolicy": Kind.STRING_POINTER,
    "dryRun": Kind.STRINGS,
}
# Read by Convert_url_Values_To_v1_DeleteOptions besides the generated fields.
DELETE_EXTRA = {
    "ignoreStoreReadErrorWithClusterBreakingPotential": Kind.BOOL_POINTER,
    "uid": Kind.STRING,
    "resourceVersion": Kind.STRING,
}
ATTACH = {
    "stdin": Kind.BOOL,
    "stdout": Kind.BOOL,
    "stderr": Kind.BOOL,
    "tty": Kind.BOOL,
    "container": Kind.STRING,
}
EXEC = {**ATTACH, "command": Kind.STRINGS}
LOG = {
    "container": Kind.STRING,
    "follow": Kind.BOOL,
    "previous": Kind.BOOL,
    "sinceSeconds": Kind.INT_POINTER,
    "sinceTime": Kind.TIME_POINTER,
    "timestamps": Kind.BOOL,
    "tailLines": Kind.INT_POINTER,
    "limitBytes": Kind.INT_POINTER,
    "insecureSkipTLSVerifyBackend": Kind.BOOL,
    "stream": Kind.STRING_POINTER,
}
PORT_FORWARD = {"ports": Kind.PORTS}
PROXY = {"path": Kind.STRING}


def decode(table: Mapping[str, Kind], values: Mapping[str, list[str]]) -> dict[str, Any]:
    """The options of `table`, absent ones with Go's zero value. OptionsError at the first that does not convert."""
    return {name: _CONVERT[kind](values[name]) if name in values else _ABSENT.get(kind) for name, kind in table.items()}


class ListOptions(NamedTuple):
    """`metainternalversion.ListOptions` after DecodeParameters. `error`: the server's text, "" if it decoded."""

    values: dict[str, Any]
    field_terms: tuple[FieldTerm, ...]
    error: str

    @property
    def exact_name(self) -> str | None:
        return exact_value(self.field_terms, "metadata.name")


_LIST_ZERO = {name: _ABSENT.get(kind) for name, kind in LIST.items() if not name.endswith("Selector")}


def decode_list(query: Query) -> ListOptions:
    """ListOptions with its selectors parsed: on an error all fields are reset, as the decoder leaves them.

    Without any parameter the selectors are absent (nil), with one they are present and empty: the server's own
    difference.
    """
    zero = dict(_LIST_ZERO)
    if not query.pairs:
        return ListOptions(zero, (), "")
    try:
        values = decode(LIST, query.grouped())
        zero["labelSelector"] = ",".join(map(str, parse_labels(values["labelSelector"])))
        terms = parse_fields(values["fieldSelector"])
    except (OptionsError, SelectorError) as error:
        return ListOptions(zero, (), str(error))
    values["labelSelector"] = zero["labelSelector"]
    values["fieldSelector"] = ",".join(map(str, terms))
    return ListOptions(values, terms, "")


POD_OPTIONS = {
    "exec": ("podExecOptions", EXEC),
    "attach": ("podAttachOptions", ATTACH),
    "log": ("podLogOptions", LOG),
    "portforward": ("podPortForwardOptions", PORT_FORWARD),
}
PROXIED_RESOURCES = frozenset({"pods", "services", "nodes"})
_VERB_OPTIONS = {
    "create": ("createOptions", CREATE),
    "update": ("updateOptions", UPDATE),
    "patch": ("patchOptions", PATCH),
}


def table_of(group: str, resource: str, subresource: str, verb: str) -> tuple[str, Mapping[str, Kind]] | None:
    """Name and table of the options that the handler of this request decodes.

    None for list (`decode_list`), delete and none.
    """
    if group == "" and resource == "pods" and subresource in POD_OPTIONS:
        return POD_OPTIONS[subresource]
    if group == "" and resource in PROXIED_RESOURCES and subresource == "proxy":
        return "proxyOptions", PROXY
    return _VERB_OPTIONS.get(verb)


def options_of(  # noqa: PLR0917 - the order of a URL
    group: str, resource: str, subresource: str, verb: str, query: Query, listed: ListOptions | None
) -> tuple[dict[str, Any], str]:
    """The options that the server decodes for this request, by the name of their type.

    And the server's error text ("": none).

    `listed` saves decoding a list twice.
    """
    found = table_of(group, resource, subresource, verb)
    try:
        if found is not None:
            given = query.grouped()
            decoded = decode(found[1], given)
            if "sinceTime" not in given:
                decoded.pop("sinceTime", None)  # shown only where it was asked for
            return {found[0]: decoded}, ""
        if verb in {"list", "watch"}:
            listed = listed or decode_list(query)
            return {"listOptions": listed.values}, listed.error
        if verb == "delete":
            return {"deleteOptionsFromQuery": decode(DELETE, query.grouped())}, ""
        if verb == "deletecollection":
            listed = listed or decode_list(query)
            deleted = decode(DELETE, query.grouped())
            return {"deleteOptionsFromQuery": deleted, "listOptions": listed.values}, listed.error
    except OptionsError as error:
        return {}, str(error)
    return {}, ""
