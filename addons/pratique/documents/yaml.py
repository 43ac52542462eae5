"""YAML text to plain values with positions, strictly.

Belongs here: what YAML is accepted (YAML 1.2 core schema; no duplicate keys, anchors, aliases, tags or merge keys) and
where each value stood. Not here: what the values mean (`document.py`). Relies on ruamel.yaml's round-trip scanner and
parser for the events; values are built here, because a loader hides duplicate keys, tags and positions.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from pratique.errors import DocumentError, DocumentErrors, Position

type Value = dict[str, Value] | list[Value] | str | int | float | bool | None
type ValuePath = tuple[str | int, ...]

MAX_CHARACTERS = (
    1 << 20
)  # characters of one file; a ConfigMap holds 1 MiB, a policy that long is not one a person wrote
MAX_DEPTH = 32  # levels; the deepest of our kinds has 8, and recursion below must end before Python's does

_FOLD = "\a"  # ruamel's round-trip scanner puts one at each fold of a `>` scalar; YAML allows none to be written there

_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOL = re.compile(r"(?:(true|True|TRUE)|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]{1,300}\Z|0o[0-7]{1,300}\Z|0x[0-9a-fA-F]{1,300}\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: `key` is its key (or list item), `value` the value; `style` as in YAML ("", ', ", |, >)."""

    key: Position
    value: Position
    style: str = ""


@dataclass
class Tree:
    """One YAML document: its plain value, and the place of each value by path (the root is `()`)."""

    value: Value
    places: dict[ValuePath, Place]
    errors: list[DocumentError] = field(default_factory=list)


def read(text: str, file: str) -> list[Tree]:
    """Every YAML document of a text. Null documents (an empty `---`) are left out.

    Raises DocumentErrors: the first error of syntax, or all of what is refused.
    """
    if len(text) > MAX_CHARACTERS:
        raise _refusal(Position(file), f"file has more than {MAX_CHARACTERS} characters", "Split it into several files")
    events: Iterator[Event] = YAML(typ="rt", pure=True).parse(io.StringIO(text))
    try:
        trees = [_Builder(events, file).document(event) for event in events if isinstance(event, DocumentStartEvent)]
    except YAMLError as error:
        raise _syntax(error, text, file) from error
    errors = [error for tree in trees for error in tree.errors]
    if errors:
        raise DocumentErrors(errors)
    return [tree for tree in trees if tree.value is not None]


def _refusal(position: Position, message: str, remedy: str) -> DocumentErrors:
    return DocumentErrors([DocumentError(position, message, remedy)])


def _syntax(error: YAMLError, text: str, file: str) -> DocumentErrors:
    if isinstance(error, ReaderError):
        before = text[: error.position] if isinstance(error.position, int) else ""
        position = Position(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        return _refusal(position, "character that YAML does not allow", "Remove it or write it as an escape")
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        position = _position(file, mark) if mark else Position(file)
        problem = (error.problem or error.context or "cannot be read").replace("\n", " ")
        return _refusal(position, f"not YAML: {problem}", "Check indentation, quotes and brackets")
    return _refusal(
        Position(file), "not YAML", "Check indentation, quotes and brackets"
    )  # pragma: no cover - no such one


def _position(file: str, mark: StringMark) -> Position:
    return Position(file, mark.line + 1, mark.column + 1)


class _Builder:
    """Builds one tree from parser events; goes on after each refused value, so that all are reported."""

    def __init__(self, events: Iterator[Event], file: str) -> None:
        self._events = events
        self._file = file
        self._tree = Tree(None, {})

    def document(self, start: DocumentStartEvent) -> Tree:
        if start.version not in {None, (1, 2)}:
            self._refuse(start, "only YAML 1.2 is read", "Remove the `%YAML` line")
        event = next(self._events)
        self._tree.value = self._value(event, (), self._at(event))
        next(self._events)  # the DocumentEndEvent: the parser gives one root per document
        return self._tree

    def _at(self, event: Event) -> Position:
        return _position(self._file, event.start_mark)

    def _refuse(self, event: Event, message: str, remedy: str) -> None:
        self._tree.errors.append(DocumentError(self._at(event), message, remedy))

    def _value(self, event: Event, path: ValuePath, key: Position) -> Value:
        style = (event.style or "") if isinstance(event, ScalarEvent) else ""
        self._tree.places[path] = Place(key, self._at(event), style)
        self._check(event)
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        if isinstance(event, MappingStartEvent):
            return self._mapping(event, path)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(event, path)
        return None  # an alias: refused by _check

    def _check(self, event: Event) -> None:
        if isinstance(event, AliasEvent):
            self._refuse(event, "aliases are not read", "Write the value out")
        elif isinstance(event, NodeEvent) and event.anchor is not None:
            self._refuse(
                event, f"anchor `&{event.anchor}` is not read", "Remove it and write the value out where it is used"
            )
        if isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent) and event.tag is not None:
            self._refuse(event, f"tag `{event.tag}` is not read", "Remove it, and quote the value if it is a string")

    def _sequence(self, start: Event, path: ValuePath) -> list[Value]:
        items: list[Value] = []
        if self._too_deep(start, path):
            return items
        while not isinstance(event := next(self._events), CollectionEndEvent):
            items.append(self._value(event, (*path, len(items)), self._at(event)))
        return items

    def _mapping(self, start: Event, path: ValuePath) -> dict[str, Value]:
        values: dict[str, Value] = {}
        if self._too_deep(start, path):
            return values
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._key(event)
            if key in values:
                first = self._tree.places[*path, key].key
                self._refuse(event, f"key `{key}` stands twice, first at line {first.line}", "Remove one of them")
                key = f"{key} (again)"
            values[key] = self._value(next(self._events), (*path, key), self._at(event))
        return values

    def _key(self, event: Event) -> str:
        self._check(event)
        if not isinstance(event, ScalarEvent):
            self._refuse(event, "key is not a string", "Use a plain string as the key")
            self._skip(event)
            return f"({event.start_mark.line}:{event.start_mark.column})"
        if not event.style and event.value == "<<":
            self._refuse(event, "merge key `<<` is not read", "Write the values out")
        elif not isinstance(self._scalar(event), str):
            self._refuse(event, f"key `{event.value}` is not a string", "Put it in quotes")
        return str(event.value)

    def _too_deep(self, start: Event, path: ValuePath) -> bool:
        if len(path) < MAX_DEPTH:
            return False
        self._refuse(start, f"nested more than {MAX_DEPTH} levels deep", "Flatten it")
        self._skip(start)
        return True

    def _skip(self, start: Event) -> None:
        """Reads to the end of a collection without keeping it (and without recursion)."""
        depth = 1 if isinstance(start, MappingStartEvent | SequenceStartEvent) else 0
        while depth:
            event = next(self._events)
            depth += isinstance(event, MappingStartEvent | SequenceStartEvent)
            depth -= isinstance(event, CollectionEndEvent)

    def _scalar(self, event: ScalarEvent) -> str | float | bool | None:
        """YAML 1.2.2 section 10.3.2 (core schema); timestamps stay strings, numbers that JSON lacks are refused."""
        text = str(event.value)
        if event.style == ">":
            return text.replace(_FOLD, "")
        if event.style:
            return text
        if _NULL.match(text):
            return None
        if match := _BOOL.match(text):
            return match[1] is not None
        if _INT.match(text):
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if _FLOAT.match(text) and math.isfinite(number := float(text)):
            return number
        if _FLOAT.match(text) or _NOT_FINITE.match(text):
            self._refuse(event, f"number `{text}` is not finite", "Put it in quotes if it is a string")
        return text
