"""A document of a policy folder: header, plain data, and the way back to file, line and column.

Belongs here: the header that every kind shares, conversion to a room's own Structs with errors that name the place. Not
here: YAML itself (`yaml.py`), files (`folder.py`), the Structs (each room declares those of its kinds).
"""

from __future__ import annotations

import re
import typing
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import PurePath

import msgspec

from pratique.documents.convert import Problem, convert
from pratique.documents.yaml import Place, Tree, Value, ValuePath, read
from pratique.errors import DocumentError, DocumentErrors, Position

API_VERSION = "pratique/v1"
KINDS = frozenset({"Policy", "MaskPolicy", "Client", "Issuer", "Cluster", "Reviewer", "Recording", "Webhook"})

_NAME = re.compile(
    r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?\Z"
)  # DNS-1123 characters; 63 as for a label, it goes into headers
_BLOCK_STYLES = frozenset({"|", ">"})


class Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`metadata:` of every kind. Labels and annotations are for people and tools; no rule reads them."""

    name: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What stands at the top level of every document."""

    api_version: str
    kind: str
    metadata: Metadata
    spec: dict[str, typing.Any] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One document. `data` is plain (dict, list, str, int, float, bool, None); `file` as the operator gave it."""

    kind: str
    name: str
    file: str
    data: dict[str, Value]
    _places: dict[ValuePath, Place] = field(repr=False)
    _lines: tuple[str, ...] = field(repr=False)

    @property
    def folder(self) -> PurePath:
        """The folder of `file`: relative paths inside the document start here."""
        return PurePath(self.file).parent

    def resolve(self, path: str) -> PurePath:
        """A path written in the document, relative to its folder unless absolute."""
        return self.folder / path

    def position(self, *path: str | int) -> Position:
        """Of the key or list item at `path`, or of its nearest parent that is there."""
        return _nearest(self._places, path).key

    def value_position(self, *path: str | int) -> Position:
        """Of the value at `path` (for a key, what follows the colon), or of its nearest parent."""
        return _nearest(self._places, path).value

    def text_position(self, path: ValuePath, line: int, column: int) -> Position:
        """Of a place inside the string at `path`; line and column count from 1 in the string.

        Exact for plain and quoted strings of one line and for `|` blocks; else the start of the value.
        """
        place = _nearest(self._places, path)
        start = place.value
        if place.style == "|":
            first = next((text for text in self._lines[start.line :] if text.strip()), "")
            indent = len(first) - len(first.lstrip(" "))
            return Position(self.file, start.line + line, indent + column)
        if line == 1 and place.style not in _BLOCK_STYLES:
            return Position(self.file, start.line, start.column + column - 1 + len(place.style))
        return start

    def error(self, path: ValuePath, message: str, remedy: str = "") -> DocumentError:
        """An error at `path`, to be raised or collected by the caller."""
        return DocumentError(self.position(*path), message, remedy)

    def convert[T](self, path: ValuePath, target: type[T]) -> T:
        """The value at `path` as a Struct (strict, every error of it at once).

        Raises DocumentErrors, at the offending keys.
        """
        value: Value = self.data
        for depth, step in enumerate(path):
            if not _has(value, step):
                raise DocumentErrors([self.error(path[:depth], f"`{step}` is missing", f"Add `{step}:`")])
            value = value[step]  # type: ignore[index]  # _has looked
        converted, problems = convert(value, target)
        if converted is None or problems:
            raise DocumentErrors([self._located(path, problem) for problem in problems])
        return converted

    def _located(self, path: ValuePath, problem: Problem) -> DocumentError:
        full = (*path, *problem.path)
        position = self.position(*full) if problem.at_key else self.value_position(*full)
        return DocumentError(position, problem.message, problem.remedy)


def parse(text: str, file: str, kinds: Collection[str] = KINDS) -> list[Document]:
    """Every document of a file, header checked; all errors at once (but a syntax error hides what follows it).

    Raises DocumentErrors.
    """
    trees = read(text, file)
    if not trees:
        raise DocumentErrors([DocumentError(Position(file), "file holds no document", "Write one or delete the file")])
    lines = tuple(text.split("\n"))
    documents: list[Document] = []
    errors: list[DocumentError] = []
    for tree in trees:
        try:
            documents.append(_document(tree, lines, file, kinds))
        except DocumentErrors as error:
            errors += error.errors
    if errors:
        raise DocumentErrors(errors)
    return documents


def _document(tree: Tree, lines: tuple[str, ...], file: str, kinds: Collection[str]) -> Document:
    if not isinstance(tree.value, dict):
        raise DocumentErrors(
            [
                DocumentError(
                    tree.places[()].value, "document is not a mapping", "Start it with `apiVersion:` and `kind:`"
                )
            ]
        )
    document = Document("", "", file, tree.value, tree.places, lines)
    header = check_header(document, kinds)
    return Document(header.kind, header.metadata.name, file, tree.value, tree.places, lines)


def check_header(document: Document, kinds: Collection[str] = KINDS) -> Header:
    """apiVersion, a known kind, a name of DNS-1123 characters, and nothing else at the top level.

    Raises DocumentErrors.
    """
    header = document.convert((), Header)
    errors: list[DocumentError] = []
    if header.api_version != API_VERSION:
        errors.append(
            DocumentError(
                document.value_position("apiVersion"),
                f"apiVersion `{header.api_version}` is not known",
                f"Write `{API_VERSION}`",
            )
        )
    if header.kind not in kinds:
        problem = Problem.unknown_value("kind", header.kind, sorted(kinds))
        errors.append(DocumentError(document.value_position("kind"), problem.message, problem.remedy))
    if not _NAME.match(header.metadata.name):
        errors.append(
            DocumentError(
                document.value_position("metadata", "name"),
                f"name `{header.metadata.name}` is not a DNS-1123 name",
                "Use at most 63 of a-z, 0-9, `-` and `.`, with a letter or digit at both ends",
            )
        )
    if errors:
        raise DocumentErrors(errors)
    return header


def _nearest(places: dict[ValuePath, Place], path: ValuePath) -> Place:
    while path not in places:
        path = path[:-1]
    return places[path]


def _has(value: Value, step: str | int) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value)
