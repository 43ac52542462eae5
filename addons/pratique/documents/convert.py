"""Plain values to msgspec Structs, with every error of a value at once, its path and what was probably meant.

Belongs here: finding all errors where msgspec stops at the first, did-you-mean. Not here: positions (`document.py`).
"""

from __future__ import annotations

import difflib
import enum
import re
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from pratique.documents.yaml import Value, ValuePath

_PATH = re.compile(r" - at `(?:key in )?\$(.*)`\Z")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Problem:
    """One error of one value. `at_key`: the key is at fault, not what follows it."""

    path: ValuePath
    message: str
    remedy: str = ""
    at_key: bool = False

    @classmethod
    def unknown_value(cls, what: str, given: object, known: Iterable[str], path: ValuePath = ()) -> Problem:
        return cls(path, f"{what} `{given}` is not known", _suggestion(str(given), list(known)))


def convert[T](value: Value, target: type[T]) -> tuple[T | None, list[Problem]]:
    """The value as `target`, or None and what is wrong with it (at least one problem)."""
    try:
        return msgspec.convert(value, target, strict=True), []
    except msgspec.ValidationError as error:
        return None, _problems(value, target, (), str(error))


def _suggestion(given: str, known: list[str]) -> str:
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.6) or [
        name for name in known if name.lower() == given.lower()
    ]
    if close:
        return f"Did you mean `{close[0]}`?"
    return "Known are " + ", ".join(f"`{name}`" for name in known)


def _problems(value: Value, target: typing.Any, path: ValuePath, reason: str) -> list[Problem]:
    """Walks into Structs, lists and maps to find each error; `reason` is used where nothing below explains it."""
    target = _stripped(target)
    found: list[Problem] = []
    if _is_struct(target) and isinstance(value, dict):
        found = _of_struct(value, target, path)
    elif isinstance(value, list) and (item := _item_type(target)) is not None:
        for index, element in enumerate(value):
            found += _of_part(element, item, (*path, index))
    elif isinstance(value, dict) and typing.get_origin(target) is dict:
        for key, element in value.items():
            found += _of_part(element, typing.get_args(target)[1], (*path, key))
    return found or [_leaf(value, target, path, reason)]


def _of_part(value: Value, target: typing.Any, path: ValuePath) -> list[Problem]:
    try:
        msgspec.convert(value, target, strict=True)
    except msgspec.ValidationError as error:
        return _problems(value, target, path, str(error))
    return []


def _of_struct(value: dict[str, Value], target: typing.Any, path: ValuePath) -> list[Problem]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(target)}
    missing = [name for name, field in fields.items() if field.required and name not in value]
    found = [
        Problem((*path, name), f"field `{name}` is not known", _suggestion(name, sorted(fields)), at_key=True)
        for name in value
        if name not in fields
    ]
    found += [Problem(path, f"field `{name}` is missing", f"Add `{name}:`", at_key=True) for name in missing]
    for name, element in value.items():
        if name in fields:
            found += _of_part(element, fields[name].type, (*path, name))
    return found


def _leaf(value: Value, target: typing.Any, path: ValuePath, reason: str) -> Problem:
    known = _choices(target)
    if known and isinstance(value, str):
        return Problem.unknown_value("value", value, known, path)
    match = _PATH.search(reason)
    steps = tuple(name or int(index) for name, index in _STEP.findall(match[1])) if match else ()
    message = _PATH.sub("", reason)
    return Problem((*path, *steps), message[:1].lower() + message[1:])


def _is_struct(target: typing.Any) -> bool:
    return isinstance(target, type) and issubclass(target, msgspec.Struct)


def _stripped(target: typing.Any) -> typing.Any:
    """`T | None`, `Annotated[T, …]` and `type` aliases as T; other unions stay."""
    if isinstance(target, typing.TypeAliasType):
        return _stripped(target.__value__)
    if typing.get_origin(target) is typing.Annotated:
        return _stripped(typing.get_args(target)[0])
    if typing.get_origin(target) in {typing.Union, types.UnionType}:
        members = [member for member in typing.get_args(target) if member is not types.NoneType]
        return _stripped(members[0]) if len(members) == 1 else target
    return target


def _item_type(target: typing.Any) -> typing.Any:
    """T of `list[T]`, `tuple[T, ...]`, `set[T]`, `frozenset[T]`; None for others."""
    arguments = typing.get_args(target)
    if typing.get_origin(target) in {list, tuple, set, frozenset} and arguments:
        return arguments[0]
    return None


def _choices(target: typing.Any) -> list[str]:
    if typing.get_origin(target) is typing.Literal:
        return [str(choice) for choice in typing.get_args(target)]
    if isinstance(target, type) and issubclass(target, enum.Enum):
        return [str(member.value) for member in target]
    return []
