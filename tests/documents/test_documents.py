"""Documents are read strictly, and every error says where."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pratique.documents import cases_files, fingerprint, parse, read_folder
from pratique.documents.yaml import MAX_CHARACTERS, read
from pratique.errors import DocumentErrors

ROOT = Path(__file__).parents[2]
HEAD = "apiVersion: pratique/v1\nkind: Policy\nmetadata: {name: a}\n"


def errors_of(text, **kwargs):
    with pytest.raises(DocumentErrors) as caught:
        parse(text, "f.yaml", **kwargs)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("a: 1\na: 2\n", "f.yaml:2:1: key `a` stands twice, first at line 1"),
        ("a: &x 1\n", "f.yaml:1:4: anchor `&x` is not read"),
        ("a: 1\nb: *x\n", "f.yaml:2:4: aliases are not read"),
        ("a: !foo 1\n", "f.yaml:1:4: tag `!foo` is not read"),
        ("a: !!str 1\n", "f.yaml:1:4: tag `tag:yaml.org,2002:str` is not read"),
        ("a: !x [1]\n", "f.yaml:1:4: tag `!x` is not read"),
        ("<<: {a: 1}\n", "f.yaml:1:1: merge key `<<` is not read"),
        ("? [a]\n: 1\n", "f.yaml:1:3: key is not a string"),
        ("1: a\n", "f.yaml:1:1: key `1` is not a string"),
        ("a: .inf\n", "f.yaml:1:4: number `.inf` is not finite"),
        ("a: 1e999\n", "f.yaml:1:4: number `1e999` is not finite"),
        ("a: [1,2\n", "f.yaml:2:1: not YAML: expected ',' or ']'"),
        ("a:\n\t- b\n", "f.yaml:2:1: not YAML: found character"),
        ("a: b\x00c", "f.yaml:1:5: character that YAML does not allow"),
        ("%YAML 1.1\n---\na: on\n", "f.yaml:2:1: only YAML 1.2 is read"),
        ("a: " + "[" * 40 + "]" * 40, "f.yaml:1:35: nested more than 32 levels deep"),
        ("a: " + "{a: " * 40 + "1" + "}" * 40, "f.yaml:1:128: nested more than 32 levels deep"),
        ("a" * (MAX_CHARACTERS + 1), "f.yaml:1:1: file has more than 1048576 characters"),
        ("", "f.yaml:1:1: file holds no document"),
        ("# only a comment\n", "f.yaml:1:1: file holds no document"),
        ("- 1\n", "f.yaml:1:1: document is not a mapping"),
        (HEAD.replace("v1", "v2"), "f.yaml:1:13: apiVersion `pratique/v2` is not known. Write `pratique/v1`"),
        (HEAD.replace("Policy", "Polcy"), "f.yaml:2:7: kind `Polcy` is not known. Did you mean `Policy`?"),
        (HEAD.replace("name: a", "name: A"), "f.yaml:3:18: name `A` is not a DNS-1123 name"),
        (HEAD.replace("name: a", "nam: a"), "f.yaml:3:12: field `nam` is not known. Did you mean `name`?"),
        (HEAD + "specc: {}\n", "f.yaml:4:1: field `specc` is not known. Did you mean `spec`?"),
    ],
)
def test_what_is_refused_is_refused_at_its_place(text, starts):
    assert errors_of(text)[0].startswith(starts)


def test_all_errors_of_a_file_are_reported_at_once():
    text = HEAD.replace("v1", "v2") + "---\n" + HEAD.replace("Policy", "X")
    assert [line.split(": ")[0] for line in errors_of(text)] == ["f.yaml:1:13", "f.yaml:6:7"]


def test_scalars_follow_the_core_schema_of_yaml_1_2():
    [tree] = read("[~, '', true, on, 0777, 0o17, 0x1F, -1, 1.5, 1e3, 2026-01-01, '1', \"x\", 1_000]", "f")
    assert tree.value == [None, "", True, "on", 777, 15, 31, -1, 1.5, 1000.0, "2026-01-01", "1", "x", "1_000"]
    assert [type(value) for value in tree.value[2:5]] == [bool, str, int]


FOLDED = "a: >-\n  b,\n  c\n\n  d\n   e\n  f\nk: >+\n  x\n  y\n\n"


def test_a_folded_scalar_holds_spaces_where_it_is_folded_and_nothing_else():
    (tree,) = read(FOLDED, "f.yaml")
    assert tree.value == {"a": "b, c\nd\n e\nf", "k": "x y\n\n"} == YAML(typ="safe", pure=True).load(FOLDED)


@pytest.mark.parametrize("path", sorted((ROOT / "policies").rglob("*.yaml")), ids=lambda path: path.name)
def test_no_document_that_is_shipped_holds_a_control_character(path):
    assert [tree for tree in read(path.read_text(), path.name) if "\\u00" in json.dumps(tree.value)] == []


def test_null_documents_are_left_out_and_the_others_kept():
    assert [each.name for each in parse("---\n---\n" + HEAD + "---\n" + HEAD.replace("a}", "b}"), "f")] == ["a", "b"]


def test_other_kinds_can_be_asked_for():
    assert parse(HEAD.replace("Policy", "X"), "f", kinds={"X"})[0].kind == "X"


class Colour(Enum):
    RED = "red"


class Item(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    name: str
    verbs: tuple[Literal["get", "list"], ...] = ()
    expires_after: Annotated[int, msgspec.Meta(ge=1)] | None = None
    colour: Colour = Colour.RED
    either: int | list[int] = 0


class Spec(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    items: list[Item]
    numbers: dict[str, int] = {}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("  items: [{name: a, verbs: [lst]}]", "f.yaml:5:29: value `lst` is not known. Did you mean `list`?"),
        ("  items: [{name: a, colour: blue}]", "f.yaml:5:29: value `blue` is not known. Known are `red`"),
        (
            "  items: [{name: a, expireAfter: 3}]",
            "f.yaml:5:21: field `expireAfter` is not known. Did you mean `expiresAfter`?",
        ),
        ("  items: [{name: a, expiresAfter: '3'}]", "f.yaml:5:35: expected `int | null`, got `str`"),
        ("  items: [{name: a, expiresAfter: 0}]", "f.yaml:5:35: expected `int` >= 1"),
        ("  items: [{name: a, either: [x]}]", "f.yaml:5:30: expected `int`, got `str`"),
        ("  items: [{}]", "f.yaml:5:11: field `name` is missing. Add `name:`"),
        ("  items: [1]", "f.yaml:5:11: expected `object`, got `int`"),
        ("  items: []\n  numbers: {a: b}", "f.yaml:6:16: expected `int`, got `str`"),
        ("  {}", "f.yaml:4:1: field `items` is missing. Add `items:`"),
    ],
)
def test_conversion_errors_stand_at_the_offending_key_or_value(spec, expected):
    [document] = parse(HEAD + "spec:\n" + spec + "\n", "f.yaml")
    with pytest.raises(DocumentErrors) as caught:
        document.convert(("spec",), Spec)
    assert str(caught.value) == expected


def test_every_error_of_a_value_is_reported_in_one_run():
    [document] = parse(HEAD + "spec:\n  items:\n  - {nam: 1}\n  - {name: 2, verbs: [x, y]}\n", "f.yaml")
    with pytest.raises(DocumentErrors) as caught:
        document.convert(("spec",), Spec)
    assert [error.position.line for error in caught.value.errors] == [6, 6, 7, 7, 7]


def test_a_good_value_converts_and_a_missing_path_is_an_error():
    [document] = parse(HEAD + "spec: {items: [{name: a}]}\n", "f.yaml")
    assert document.convert(("spec", "items", 0), Item).name == "a"
    for path in (("spec", "nothing"), ("spec", "items", 1), ("spec", "items", 0, "name", 0)):
        with pytest.raises(DocumentErrors, match="is missing"):
            document.convert(path, Item)


@pytest.mark.parametrize(
    ("value", "line", "column", "expected"),
    [
        ("abc", 1, 2, "4:8"),
        ("'abc'", 1, 2, "4:9"),
        ("|\n    one\n    two", 2, 2, "6:6"),
        (">\n    one\n    two", 2, 2, "4:7"),
    ],
)
def test_a_place_inside_a_string_is_found_in_the_file(value, line, column, expected):
    document = _document(f"{value}\n")
    assert str(document.text_position(("spec",), line, column)) == f"f:{expected}"


def _document(value):
    """`spec:` may be any value here; the header check would refuse it."""
    from pratique.documents.document import Document

    text = HEAD + f"spec: {value}"
    [tree] = read(text, "f")
    return Document("Policy", "a", "f", tree.value, tree.places, tuple(text.split("\n")))


def test_positions_fall_back_to_the_nearest_parent_and_paths_start_at_the_folder():
    [document] = parse(HEAD + "spec: {a: {b: 1}}\n", "dir/f.yaml")
    assert str(document.position("spec", "a", "nothing", 3)) == "dir/f.yaml:4:8"
    assert str(document.value_position("spec", "a", "b")) == "dir/f.yaml:4:15"
    assert str(document.resolve("ca.pem")) == "dir/ca.pem"
    assert str(document.error(("spec",), "bad", "Fix it")) == "dir/f.yaml:4:1: bad. Fix it"


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab1:-[]{}&*!|>'\"#?%\n\t\r\x00\ud800é\ufeff\u2028 ,<.~", max_size=60))
def test_any_text_is_read_or_refused_with_our_own_error(text):
    try:
        parse(text, "f")
    except DocumentErrors as error:
        assert all(each.position.line >= 1 and each.position.column >= 1 for each in error.errors)


def test_a_folder_is_read_by_name_without_hidden_files_and_cases(tmp_path):
    for name in ("b.yml", "a.yaml"):
        (tmp_path / name).write_text(HEAD.replace("a}", f"{name[0]}}}"))
    (tmp_path / ".hidden.yaml").write_text("no: document")
    (tmp_path / "a.cases.yaml").write_text("no: document")
    (tmp_path / "README.md").write_text("text")
    assert [document.name for document in read_folder(tmp_path)] == ["a", "b"]
    assert [file.name for file in cases_files(tmp_path)] == ["a.cases.yaml"]


def refuse_missing(folder):
    return folder / "missing"


def refuse_empty(folder):
    return folder


def refuse_binary(folder):
    (folder / "a.yaml").write_bytes(b"a: 1\nb: \xff")
    return folder


def refuse_directory(folder):
    (folder / "a.yaml").mkdir()
    return folder


def refuse_twice(folder):
    (folder / "a.yaml").write_text(HEAD)
    (folder / "b.yaml").write_text(HEAD)
    return folder


def refuse_nested(folder):
    (folder / "a.yaml").write_text(HEAD)
    (folder / "sub").mkdir()
    (folder / "sub" / "b.yaml").write_text(HEAD)
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (refuse_missing, "folder cannot be read: No such file"),
        (refuse_empty, "folder holds no `*.yaml` file"),
        (refuse_binary, "a.yaml:2:4: file is not UTF-8"),
        (refuse_directory, "file cannot be read: Is a directory"),
        (refuse_twice, "Policy `a` stands twice, first at"),
        (refuse_nested, "sub-folder with documents is not read"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(tmp_path, make, message):
    with pytest.raises(DocumentErrors, match="(?s).*") as caught:
        read_folder(make(tmp_path))
    assert message in str(caught.value)


def test_the_errors_of_all_files_are_reported_at_once(tmp_path):
    (tmp_path / "a.yaml").write_text("a: !x 1")
    (tmp_path / "b.yaml").write_text("b: &y 1")
    with pytest.raises(DocumentErrors) as caught:
        read_folder(tmp_path)
    assert len(caught.value.errors) == 2


def test_the_fingerprint_changes_with_a_file_and_not_with_cases(tmp_path):
    (tmp_path / "a.yaml").write_text(HEAD)
    first = fingerprint(tmp_path)
    (tmp_path / "a.cases.yaml").write_text("x")
    assert fingerprint(tmp_path) == first
    (tmp_path / "a.yaml").write_text(HEAD + "spec: {}\n")
    second = fingerprint(tmp_path)
    assert second != first
    (tmp_path / "b.yaml").symlink_to(tmp_path / "missing")
    assert fingerprint(tmp_path)[1] == ("b.yaml", 0, -1, 0)
