"""The JSON Schema for editors says what the models say, is the committed one, and takes the shipped documents."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from pratique import schema
from pratique.documents import API_VERSION, KINDS, parse
from pratique.documents.folder import read_folder
from pratique.documents.yaml import read
from pratique.errors import DocumentErrors

POLICIES = Path(__file__).parents[1] / "policies"
SHIPPED = sorted(POLICIES.glob("*.yaml"))
SCHEMA = schema.json_schema()


def problems(value, wanted, where="$"):
    """The part of JSON Schema (draft 7) that the schema uses; anything else in it is a KeyError here."""
    known = {"$schema", "title", "description", "default", "$defs"}
    for keyword, argument in wanted.items():
        if keyword not in known:
            yield from CHECKS[keyword](value, argument, wanted, where)


def of_type(value, names, _, where):
    names = [names] if isinstance(names, str) else names
    types = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "null": type(None),
        "number": (int, float),
        "integer": int,
    }
    fits = any(isinstance(value, types[name]) and (name == "boolean" or not isinstance(value, bool)) for name in names)
    if not fits:
        yield f"{where}: no {names}"


def properties(value, argument, _, where):
    for name, inner in argument.items():
        if isinstance(value, dict) and name in value:
            yield from problems(value[name], inner, f"{where}.{name}")


def additional(value, argument, wanted, where):
    for name in value if isinstance(value, dict) else ():
        if name not in wanted.get("properties", {}):
            if argument is False:
                yield f"{where}: {name} is not known"
            elif isinstance(argument, dict):
                yield from problems(value[name], argument, f"{where}.{name}")


def items(value, argument, _, where):
    for index, each in enumerate(value if isinstance(value, list) else ()):
        yield from problems(each, argument, f"{where}[{index}]")


def any_of(value, argument, _, where):
    if all(list(problems(value, each, where)) for each in argument):
        yield f"{where}: fits none of {len(argument)}"


def all_of(value, argument, _, where):
    for each in argument:
        if "if" not in each:
            yield from problems(value, each, where)
        elif not list(problems(value, each["if"], where)):
            yield from problems(value, each["then"], where)


def failing(test):
    def check(value, argument, _wanted, where):
        if test(value, argument):
            yield f"{where}: {argument}"

    return check


CHECKS = {
    "type": of_type, "properties": properties, "additionalProperties": additional, "items": items, "anyOf": any_of, "allOf": all_of,
    "$ref": lambda value, ref, _, where: problems(value, SCHEMA["$defs"][ref.rpartition("/")[2]], where),
    "required": lambda value, names, _, where: (f"{where}: {name} is missing" for name in names if isinstance(value, dict) and name not in value),
    "enum": failing(lambda value, choices: value not in choices),
    "const": failing(lambda value, constant: value != constant),
    "minLength": failing(lambda value, least: isinstance(value, str) and len(value) < least),
    "maxLength": failing(lambda value, most: isinstance(value, str) and len(value) > most),
    "minimum": failing(lambda value, least: isinstance(value, int | float) and value < least),
    "maximum": failing(lambda value, most: isinstance(value, int | float) and value > most),
    "pattern": failing(lambda value, pattern: isinstance(value, str) and not re.search(pattern, value)),
    "propertyNames": lambda value, argument, _, where: (p for name in value for p in problems(name, argument, where)),
    "minItems": failing(lambda value, least: isinstance(value, list) and len(value) < least),
    "maxItems": failing(lambda value, most: isinstance(value, list) and len(value) > most),
    "prefixItems": items,
}  # fmt: skip


def test_every_kind_that_a_folder_may_hold_is_in_the_schema():
    assert set(schema.SPECS) >= KINDS
    assert set(schema.SPECS) == set(schema.ABOUT)


def test_the_committed_schema_is_current():
    """Write it anew with `pratique docs --schema > policies/schema.json`."""
    assert (POLICIES / "schema.json").read_text() == schema.schema_text()


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_the_shipped_documents_fit_and_name_their_schema(file):
    text = file.read_text()
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    for tree in read(text, str(file)):
        assert list(problems(tree.value, SCHEMA)) == []


def test_the_loader_does_not_read_the_schema():
    assert all(document.file.endswith(".yaml") for document in read_folder(POLICIES))


def broken(value):
    """Copies of a document with one thing wrong, at every depth."""
    if isinstance(value, dict):
        yield {**value, "noSuchField": 1}
        for name, each in value.items():
            yield {other: inner for other, inner in value.items() if other != name}
            for worse in broken(each):
                yield {**value, name: worse}
    elif isinstance(value, list):
        yield {"a": "mapping"}
        for index, each in enumerate(value[:1]):
            for worse in broken(each):
                yield [*value[:index], worse, *value[index + 1 :]]
    else:
        yield [value] if not isinstance(value, list) else 1
        yield {"x": 1}
        yield True if not isinstance(value, bool) else "text"


def accepted(document):
    """By the models, as the loader asks them."""
    try:
        (read_again,) = parse(json.dumps(document), "x", kinds=set(schema.SPECS))
        read_again.convert(("spec",), schema.SPECS[read_again.kind])
    except DocumentErrors:
        return False
    return True


SAMPLES = [tree.value for file in SHIPPED if "cases" not in file.name for tree in read(file.read_text(), file.name)]


def smaller(document):
    """One rule is as good as thirty."""
    rules = document.get("spec", {}).get("rules")
    return document if rules is None else {**document, "spec": {**document["spec"], "rules": rules[-1:]}}


@pytest.mark.parametrize("document", SAMPLES, ids=lambda document: f"{document['kind']}-{document['metadata']['name']}")
def test_what_the_models_refuse_the_schema_refuses_and_what_they_take_it_takes(document):
    count = 0
    for changed in broken(smaller(document)):
        takes = not list(problems(changed, SCHEMA))
        name = changed.get("metadata", {}) if isinstance(changed.get("metadata"), dict) else {}
        assert takes == accepted(changed), (changed, name)
        count += 1
    assert count > 10


def test_every_field_is_explained():
    for kind, struct in schema.SPECS.items():
        found = schema.parts(kind)
        assert found[0].path == "spec"
        named = {field.path.removeprefix("spec.") for field in found[0].fields}
        assert named == {field.encode_name for field in msgspec.structs.fields(struct)}
        assert all(field.type and "typing" not in field.type for part in found for field in part.fields), kind


def test_the_schema_is_of_our_version():
    assert SCHEMA["properties"]["apiVersion"] == {"const": API_VERSION}
    assert set(SCHEMA["properties"]["kind"]["enum"]) == set(schema.SPECS)
