"""Strict YAML bodies: the YAML that YAML 1.1 (the server's reader) and YAML 1.2 read alike, as plain values.

Belongs here: one document of mappings, sequences and scalars. Not here: JSON, kinds (`body`). Relies on ruamel.yaml's
event parser only; scalars are resolved here. Refused: aliases, anchors, tags, directives, a second document,
duplicate keys, merge keys, and plain scalars such as `yes`, `0777` or `.inf` that the two versions, or the server's
Go reader, take differently.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from pratique.kube.rules import quoted, refused

# The parser is pure Python, 60 to 500 kB/s: this bounds the time that one request can take to two seconds of a thread. kubectl and
# client-go send JSON also as apply patch; people who send YAML by hand send manifests.
YAML_BYTES = 128 * 1024

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_TWO_READINGS = frozenset({"y", "n", "yes", "no", "on", "off", "<<", "=", ".inf", "+.inf", "-.inf", ".nan"})
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?\Z")
# Octal, hex, binary, sexagesimal, underscores, leading zeros, a leading dot: some reader takes these for numbers.
_NUMBER_LIKE = re.compile(
    r"[-+]?(0[xob]?[0-9a-fA-F_]+|\.?[0-9][0-9_,.]*([eE][-+]?[0-9]+)?|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)\Z"
)
_SINGLE = re.compile(r"[0-9]+(\.[0-9]+){2,}\Z")  # 1.2.3 is text for everyone
_INTEGERS = range(-(2**63), 2**64)


def read_yaml(raw: bytes, depth: int) -> Any:
    """One document as plain values, at most `depth` levels.

    Refused (body/yaml, body/too-large, body/depth, body/duplicate-key).
    """
    if len(raw) > YAML_BYTES:
        raise refused("body/too-large", f"a YAML body may have {YAML_BYTES} bytes. Send JSON")
    if any(
        line.count(b"[") + line.count(b"{") - line.count(b"]") - line.count(b"}") > depth for line in raw.splitlines()
    ):
        # The parser looks ahead on a line for a colon, and at every open bracket for each new one.
        raise _too_deep(depth)
    try:
        return _Builder(depth).document(YAML(typ="safe", pure=True).parse(io.StringIO(raw.decode("utf-8"))))
    except UnicodeDecodeError as error:
        raise refused("body/yaml", f"the body is not UTF-8 at byte {error.start}. Send UTF-8") from None
    except (
        YAMLError,
        ValueError,
        OverflowError,
        AssertionError,
        IndexError,
        KeyError,
        AttributeError,
        TypeError,
    ) as error:
        # The library lets some of Python's own errors out on malformed input.
        raise _bad(f"it does not parse ({type(error).__name__})") from None


def _bad(why: str) -> Exception:
    return refused("body/yaml", f"the body is not plain YAML: {why}. Send JSON, or quote the value")


def _too_deep(depth: int) -> Exception:
    return refused("body/depth", f"the body is nested deeper than {depth} levels. Send a flatter object")


class _Builder:
    """Values from events, without recursion.

    `stack` holds the open containers and, for mappings, the key that waits.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.stack: list[tuple[Any, list[str]]] = []
        self.result: list[Any] = []

    def document(self, events: Iterator[Event]) -> Any:
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1 or event.version or event.tags:
                    raise _bad("it has a second document or a directive")
            elif isinstance(event, AliasEvent):
                raise _bad("it has an alias")
            elif isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent):
                self.node(event)
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                self.stack.pop()
        if not self.result:
            raise _bad("it is empty")
        return self.result[0]

    def node(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> None:
        if event.anchor is not None or event.tag is not None:
            raise _bad("it has an anchor or a tag")
        if isinstance(event, ScalarEvent):
            self.scalar(event)
            return
        if len(self.stack) >= self.depth:
            raise _too_deep(self.depth)
        value: Any = {} if isinstance(event, MappingStartEvent) else []
        self.put(value)
        self.stack.append((value, []))

    def scalar(self, event: ScalarEvent) -> None:
        plain = event.style is None
        if self.stack and isinstance(self.stack[-1][0], dict) and not self.stack[-1][1]:
            self.stack[-1][1].append(_key(event.value) if plain else event.value)
            return
        self.put(_resolve(event.value) if plain else event.value)

    def put(self, value: Any) -> None:
        if not self.stack:
            self.result.append(value)
            return
        container, waiting = self.stack[-1]
        if isinstance(container, list):
            container.append(value)
            return
        if not waiting:
            raise _bad("a key is not a string")
        key = waiting.pop()
        if key in container:
            raise refused("body/duplicate-key", f"the key {quoted(key)} stands twice in one mapping. Send it once")
        container[key] = value


def _key(text: str) -> str:
    """A plain key: a string for everyone, or a decimal that the server turns into the same string."""
    value = _resolve(text)
    if isinstance(value, str) or (type(value) is int and str(value) == text):
        return text
    raise _bad(f"the key {quoted(text)} is not a string")


def _resolve(text: str) -> Any:
    """A plain scalar that has one reading. Refused (body/yaml) otherwise."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.match(text) and len(text) < 25 and int(text) in _INTEGERS:
        return int(text)
    if _FLOAT.match(text) and not _INTEGER.match(text):
        value = float(text)
        if value not in {float("inf"), float("-inf")}:
            return value
    if text.lower() in _TWO_READINGS or (_NUMBER_LIKE.match(text) and not _SINGLE.match(text)):
        raise _bad(f"the plain scalar {quoted(text)} has two readings")
    return text
