"""Field and label selectors, parsed as the API server does, with its error texts.

Belongs here: whether a selector parses, its terms and its canonical text. Not here: what it selects. Source:
apimachinery 1.36 `pkg/fields/selector.go`, `pkg/labels/selector.go`, `pkg/api/validate/content`. Both matter to
request attributes: a selector that does not parse takes the name away from a list, and lists of two name terms have
the first in sorted order.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pratique.kube.gotext import go_quote

_LABEL_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]\Z")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_NAME_FORMAT = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_SUBDOMAIN_FORMAT = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_NAME_BYTES = 63
_SUBDOMAIN_BYTES = 253
_TOKEN = re.compile(r"[ \t\r\n]*(?:([=!(),><]+)\0?|([^=!(),>< \t\r\n\0]+)\0?|(\0|\Z))")
_BINARY = {"in", "=", "==", ">", "<", "notin", "!="}
_BINARY_TEXT = "in, notin, =, ==, !=, gt, lt"


class SelectorError(ValueError):
    """A selector that the server refuses with 400; the text is the server's."""


class FieldTerm(NamedTuple):
    field: str
    operator: str  # "=" or "!="
    value: str

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
        return f"{self.field}{self.operator}{value}"


def parse_fields(selector: str) -> tuple[FieldTerm, ...]:
    """`fields.ParseSelector`: the terms in the server's order (sorted as text). SelectorError.

    A term without a field and a value selects everything; the server leaves it out (`Transform`).
    """
    if not selector:
        return ()
    terms = [_field_term(selector, part) for part in sorted(_split_terms(selector), key=_go_order) if part]
    return tuple(term for term in terms if term.field or term.value)


def exact_value(terms: tuple[FieldTerm, ...], field: str) -> str | None:
    """`Selector.RequiresExactMatch`."""
    for term in terms:
        if term.operator == "=" and term.field == field:
            return term.value
    return None


def _go_order(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _split_terms(selector: str) -> list[str]:
    if "\\" not in selector:
        return selector.split(",")
    terms, start, escaped = [], 0, False
    for index, character in enumerate(selector):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ",":
            terms.append(selector[start:index])
            start = index + 1
    terms.append(selector[start:])
    return terms


def _field_term(selector: str, part: str) -> FieldTerm:
    at = part.find("=")
    if at < 0:
        raise SelectorError(f"invalid selector: '{selector}'; can't understand '{part}'")
    if at > 0 and part[at - 1] == "!":
        return FieldTerm(part[: at - 1], "!=", _unescape_value(part[at + 1 :]))
    width = 2 if part.startswith("==", at) else 1
    return FieldTerm(part[:at], "=", _unescape_value(part[at + width :]))


def _unescape_value(value: str) -> str:
    if not any(special in value for special in "\\,="):
        return value
    out, escaped = [], False
    for character in value:
        if escaped:
            if character not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{character}")
            out.append(character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(character)}")
        else:
            # Go ranges over runes here: a byte that is not UTF-8 becomes U+FFFD.
            out.append("\ufffd" if "\ud800" <= character <= "\udfff" else character)
    if escaped:
        raise SelectorError("invalid field selector: invalid escape sequence: \\")
    return "".join(out)


class Requirement(NamedTuple):
    key: str
    operator: str  # exists ! = == != in notin > <
    values: tuple[str, ...]

    def __str__(self) -> str:
        if self.operator in {"exists", "!"}:
            return ("!" if self.operator == "!" else "") + self.key
        joined = ",".join(self.values)
        return (
            f"{self.key} {self.operator} ({joined})"
            if self.operator in {"in", "notin"}
            else f"{self.key}{self.operator}{joined}"
        )


def parse_labels(selector: str) -> tuple[Requirement, ...]:
    """`labels.Parse`: the requirements, sorted by key. SelectorError."""
    if not selector:
        return ()
    return tuple(sorted(_LabelParser(_tokens(selector)).parse(), key=lambda requirement: _go_order(requirement.key)))


def _tokens(selector: str) -> list[tuple[str, str]]:
    """(kind, literal): kind is the operator, "id", "error" or "end"."""
    found: list[tuple[str, str]] = []
    for match in _TOKEN.finditer(selector):
        symbols, word, end = match.groups()
        if symbols is not None:
            found += _symbols(symbols)
        elif word is not None:
            found.append((word if word in {"in", "notin"} else "id", word))
        elif end is not None:  # a NUL where a token should start ends the text for the server's lexer as well
            break
    found.append(("end", ""))
    return found


def _symbols(run: str) -> list[tuple[str, str]]:
    """`Lexer.scanSpecialSymbol`: the longest known symbol, again and again."""
    found, at = [], 0
    while at < len(run):
        width = 2 if run[at : at + 2] in {"==", "!="} else 1
        found.append((run[at : at + width], run[at : at + width]))
        at += width
    return found


class _LabelParser:
    """`labels.Parser`; `in` and `notin` are words where a key or value may stand."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.at = 0

    def peek(self) -> tuple[str, str]:
        kind, literal = self.tokens[min(self.at, len(self.tokens) - 1)]
        return ("id" if kind in {"in", "notin"} else kind), literal

    def take(self) -> tuple[str, str]:
        token = self.peek()
        self.at += 1
        return token

    def parse(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while True:
            kind, literal = self.peek()
            if kind == "end":
                return requirements
            if kind not in {"id", "!"}:
                raise SelectorError(f"found '{literal}', expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self.requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            kind, literal = self.take()
            if kind == "end":
                return requirements
            if kind != ",":
                raise SelectorError(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self.peek()
            if kind not in {"id", "!"}:
                raise SelectorError(f"found '{literal}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        kind, key = self.take()
        negated = kind == "!"
        if negated:
            kind, key = self.take()
        if kind != "id":
            raise SelectorError(f"found '{key}', expected: identifier")
        errors = _label_key_errors(key)
        if errors:
            raise SelectorError(f"<nil>: Invalid value: {go_quote(key)}: {'; '.join(errors)}")
        if negated:
            return Requirement(key, "!", ())
        if self.peek()[0] in {"end", ","}:
            return Requirement(key, "exists", ())
        operator = self.operator()
        values = self.values() if operator in {"in", "notin"} else self.exact_value()
        return _checked(Requirement(key, operator, tuple(sorted(set(values), key=_go_order))))

    def operator(self) -> str:
        kind, literal = self.tokens[min(self.at, len(self.tokens) - 1)]
        self.at += 1
        if kind not in _BINARY:
            raise SelectorError(f"found '{literal}', expected: {_BINARY_TEXT}")
        return kind

    def exact_value(self) -> list[str]:
        if self.peek()[0] in {"end", ","}:
            return [""]
        kind, literal = self.take()
        if kind != "id":
            raise SelectorError(f"found '{literal}', expected: identifier")
        return [literal]

    def values(self) -> list[str]:
        kind, literal = self.take()
        if kind != "(":
            raise SelectorError(f"found '{literal}' expected: '('")
        kind, literal = self.peek()
        if kind == ")":
            self.at += 1
            return [""]
        if kind not in {"id", ","}:
            raise SelectorError(f"found '{literal}', expected: ',', ')' or identifier")
        found = self.identifiers()
        self.at += 1  # identifiers() ends before ")"
        return found

    def identifiers(self) -> list[str]:
        found: list[str] = []
        while True:
            kind, literal = self.take()
            following, literal_after = self.peek()
            if kind == "id":
                found.append(literal)
                if following == ")":
                    return found
                if following != ",":
                    raise SelectorError(f"found '{literal_after}', expected: ',' or ')'")
            elif kind == ",":
                if not found or following in {",", ")"}:
                    found.append("")
                if following == ")":
                    return found
            else:
                raise SelectorError(f"found '{literal}', expected: ',', or identifier")


def _checked(requirement: Requirement) -> Requirement:
    """`NewRequirement`, which tells all errors at once."""
    found: dict[str, None] = {}
    values = requirement.values
    if requirement.operator in {">", "<"} and not _is_int64(values[0]):
        text = "for 'Gt', 'Lt' operators, the value must be an integer"
        found[f"values[0]: Invalid value: {go_quote(values[0])}: {text}"] = None
    for index, value in enumerate(values):
        errors = _label_value_errors(value)
        if errors:
            found[f"values[{index}][{requirement.key}]: Invalid value: {go_quote(value)}: {'; '.join(errors)}"] = None
    if found:
        raise SelectorError(next(iter(found)) if len(found) == 1 else f"[{', '.join(found)}]")
    return requirement


def _is_int64(value: str) -> bool:
    digits = value.lstrip("+-").lstrip("0")
    return _INTEGER.match(value) is not None and len(digits) < 20 and int(digits or 0) < 2**63 + value.startswith("-")


def _label_key_errors(key: str) -> list[str]:
    example = f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME_FORMAT}')"
    must = (
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
        f"character {example}"
    )
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return [f"a valid label key {must} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    errors = _prefix_errors(prefix) if slash else []
    if not name:
        errors.append("name part must be non-empty")
    elif len(_go_order(name)) > _NAME_BYTES:
        errors.append(f"name part must be no more than {_NAME_BYTES} bytes")
    if not _LABEL_NAME.match(name):
        errors.append(f"name part {must}")
    return errors


def _prefix_errors(prefix: str) -> list[str]:
    errors: list[str] = []
    if not prefix:
        return ["prefix part must be non-empty"]
    if len(_go_order(prefix)) > _SUBDOMAIN_BYTES:
        errors.append(f"prefix part must be no more than {_SUBDOMAIN_BYTES} bytes")
    if not _SUBDOMAIN.match(prefix):
        errors.append(
            "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
            "'.', and must start and end with an alphanumeric character (e.g. 'example.com', "
            f"regex used for validation is '{_SUBDOMAIN_FORMAT}')"
        )
    return errors


def _label_value_errors(value: str) -> list[str]:
    errors: list[str] = []
    if len(_go_order(value)) > _NAME_BYTES:
        errors.append(f"must be no more than {_NAME_BYTES} bytes")
    if value and not _LABEL_NAME.match(value):
        errors.append(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
            f"regex used for validation is '({_NAME_FORMAT})?')"
        )
    return errors
