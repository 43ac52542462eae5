"""Every kind of document, its fields, and the JSON Schema of all of them: one source, the Structs that the rooms read with.

Belongs here: which Struct is the `spec` of which kind, the schema for editors, the rows of `pratique docs`. Not here: the Structs (each
room declares its own), what a schema cannot say (the checks of the rooms; `pratique check` runs them).

Who adds a kind adds a line to SPECS (a test compares with `documents.KINDS`) and writes policies/schema.json anew:
`pratique docs --schema > policies/schema.json`.
"""

from __future__ import annotations

import enum
import inspect
import json
import types
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from pratique.approvals import reviewers, webhooks
from pratique.documents import API_VERSION, Metadata
from pratique.identity import clients, clusters, issuers
from pratique.masking.rules import MaskPolicySpec
from pratique.policy.cases import KIND as POLICY_CASES
from pratique.policy.cases import CasesSpec
from pratique.policy.rules import PolicySpec
from pratique.recorder import rules as recording
from pratique.trial.expectation import KIND as EXPECTATION
from pratique.trial.expectation import ExpectationSpec

SPECS: dict[str, type[msgspec.Struct]] = {
    "Cluster": clusters._Spec,  # noqa: SLF001 - of the room that reads it, and of nobody else but the schema
    "Client": clients._Spec,  # noqa: SLF001
    "Issuer": issuers._Spec,  # noqa: SLF001
    "Policy": PolicySpec,
    "MaskPolicy": MaskPolicySpec,
    "Recording": recording._Spec,  # noqa: SLF001
    "Reviewer": reviewers._Spec,  # noqa: SLF001
    "Webhook": webhooks._Spec,  # noqa: SLF001
    POLICY_CASES: CasesSpec,
    EXPECTATION: ExpectationSpec,
}
ABOUT = {
    "Cluster": "The API server's endpoint and CA, and how the gateway authenticates there.",
    "Client": "Who may call the gateway.",
    "Issuer": "Whose tokens are believed (OIDC, service accounts).",
    "Policy": "Rules: what is allowed, queued for approval, denied.",
    "MaskPolicy": "What is masked where.",
    "Recording": "Whose typed input is recorded.",
    "Reviewer": "Who decides approvals.",
    "Webhook": "Who is told of approvals.",
    POLICY_CASES: "Requests and the verdicts that they must get; in *.cases.yaml.",
    EXPECTATION: "What `pratique test-policy` is expected to show.",
}
DRAFT = "http://json-schema.org/draft-07/schema#"
"""What editors know best; `$defs` is a place like any other there."""


def json_schema() -> dict[str, Any]:
    """Of one document of any kind."""
    structs = [Metadata, *SPECS.values()]
    references, components = msgspec.json.schema_components(structs, ref_template="#/$defs/{name}")
    for component in components.values():
        if "description" in component:  # Python 3.13 takes the indent off docstrings, 3.12 does not
            component["description"] = inspect.cleandoc(component["description"])
    metadata, *specs = references
    return {
        "$schema": DRAFT,
        "title": "pratique documents",
        "type": "object",
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"enum": list(SPECS)},
            "metadata": metadata,
            "spec": {"type": "object"},
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "allOf": [_of_kind(kind, reference) for kind, reference in zip(SPECS, specs, strict=True)],
        "$defs": components,
    }


def _of_kind(kind: str, reference: dict[str, Any]) -> dict[str, Any]:
    then = {"description": ABOUT[kind], "properties": {"spec": reference}}
    return {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": then}


def schema_text() -> str:
    """As it is committed."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False, sort_keys=False) + "\n"


# --- for people ---


class FieldHelp(NamedTuple):
    """One field. `path` as in `spec.rules[].verbs`; `default` is "required" or JSON."""

    path: str
    type: str
    default: str


class Part(NamedTuple):
    """One Struct of a kind: what its docstring says, and its fields."""

    path: str
    about: str
    fields: tuple[FieldHelp, ...]


def parts(kind: str) -> list[Part]:
    """The `spec` of a kind, and what is inside of it, outermost first. KeyError for a kind that is none."""
    return list(_parts(SPECS[kind], "spec", ()))


def _parts(struct: type[msgspec.Struct], path: str, inside: tuple[type, ...]) -> Iterator[Part]:
    fields = msgspec.structs.fields(struct)
    about = inspect.cleandoc(struct.__doc__ or "")
    rows = [FieldHelp(f"{path}.{field.encode_name}", type_words(field.type), _default(field)) for field in fields]
    yield Part(path, about if not about.startswith(f"{struct.__name__}(") else "", tuple(rows))
    for field in fields:
        for inner, suffix in _structs_in(field.type):
            if inner not in inside:
                yield from _parts(inner, f"{path}.{field.encode_name}{suffix}", (*inside, struct))


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
    if value is msgspec.UNSET or value is None:
        return ""
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False)


def _structs_in(annotation: Any) -> Iterator[tuple[type[msgspec.Struct], str]]:
    if isinstance(annotation, typing.TypeAliasType):
        yield from _structs_in(annotation.__value__)
    elif isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        yield annotation, ""
    else:
        many = typing.get_origin(annotation) in {tuple, list}
        keyed = typing.get_origin(annotation) is dict
        for argument in typing.get_args(annotation):
            for inner, suffix in _structs_in(argument):
                yield inner, ("[]" if many else ".KEY" if keyed else "") + suffix


def type_words(annotation: Any) -> str:
    """A type as people say it: `list of string`, `a, b or c`."""
    if isinstance(annotation, typing.TypeAliasType):
        return type_words(annotation.__value__)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_words(arguments[0])
    if origin in {typing.Union, types.UnionType}:
        kinds = [each for each in arguments if each not in {type(None), msgspec.UnsetType}]
        return " or ".join(dict.fromkeys(map(type_words, kinds)))
    if origin is typing.Literal:
        return _either([str(each) or '""' for each in arguments])
    if origin in {tuple, list}:
        return f"list of {type_words(arguments[0])}"
    if origin is dict:
        return f"map of {type_words(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _either([str(each.value) for each in annotation])
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return "mapping"
    return _WORDS.get(annotation, "any value")


_WORDS: dict[Any, str] = {str: "string", int: "whole number", float: "number", bool: "true or false"}


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
