"""The words of a kubectl command line: arguments, flags, and what comes after `--`.

Belongs here: which flags take a value, as kubectl 1.36 has them. Not here: what a command sends (`kubectl_line`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import click

# Flags with a value. What is not here is a switch. `--dry-run` may stand without one.
_WITH_VALUE = frozenset(
    [
        "namespace",
        "output",
        "selector",
        "filename",
        "container",
        "field-selector",
        "replicas",
        "current-replicas",
        "tail",
        "since",
        "since-time",
        "grace-period",
        "cascade",
        "field-manager",
        "image",
        "type",
        "patch",
        "patch-file",
        "timeout",
        "request-timeout",
        "context",
        "cluster",
        "user",
        "kubeconfig",
        "server",
        "token",
        "as",
        "as-group",
        "as-uid",
        "certificate-authority",
        "client-key",
        "client-certificate",
        "limit-bytes",
        "chunk-size",
        "subresource",
        "to-revision",
        "revision",
        "overrides",
        "restart",
        "port",
        "target-port",
        "from-literal",
        "from-file",
        "env",
        "labels",
        "requests",
        "limits",
        "sort-by",
        "template",
        "raw",
        "profile",
        "target",
        "audience",
        "duration",
        "pod-running-timeout",
        "address",
        "resource-version",
        "clusterrole",
        "role",
        "verb",
        "resource",
        "resource-name",
        "min",
        "max",
        "cpu-percent",
        "tls-server-name",
        "username",
        "password",
        "cache-dir",
        "for",
        "kustomize",
        "label-columns",
        "api-group",
        "max-log-requests",
        "pod-selector",
        "v",
        "vmodule",
        "name",
        "schedule",
        "from",
        "generator",
        "serviceaccount",
    ]
)
_SHORT = {
    "n": "namespace", "o": "output", "l": "selector", "f": "filename", "c": "container", "s": "server", "L": "label-columns", "v": "v",
    "k": "kustomize", "A": "all-namespaces", "w": "watch", "i": "stdin", "t": "tty", "q": "quiet", "p": "previous", "R": "recursive",
}  # fmt: skip
# The same letter is another flag for these commands.
_SHORT_OF = {"logs": {"f": "follow"}, "patch": {"p": "patch"}, "expose": {"l": "labels"}, "run": {"l": "labels"}}


@dataclass(frozen=True, slots=True)
class Line:
    """`flags` by their long names, each with its values in order ("true" for a switch); `rest` is what follows `--`."""

    words: tuple[str, ...]
    flags: dict[str, list[str]] = field(default_factory=dict)
    rest: tuple[str, ...] = ()

    def first(self, name: str, default: str = "") -> str:
        return self.flags.get(name, [default])[-1]

    def on(self, name: str) -> bool:
        return self.first(name, "false").lower() not in {"false", "0", "f"}


def read_line(words: Sequence[str]) -> Line:
    """The line without `kubectl`. UsageError for a flag that is not known here, or lacks its value."""
    before = list(words)
    rest: tuple[str, ...] = ()
    if "--" in before:
        at = before.index("--")
        before, rest = before[:at], tuple(before[at + 1 :])
    command = next((word for word in before if not word.startswith("-")), "")
    short = {**_SHORT, **_SHORT_OF.get(command, {})}
    found: list[str] = []
    flags: dict[str, list[str]] = {}
    while before:
        word = before.pop(0)
        if not word.startswith("-") or word == "-":
            found.append(word)
            continue
        for name, value in _flags(word, short, before):
            flags.setdefault(name, []).append(value)
    return Line(tuple(found), flags, rest)


def _flags(word: str, short: dict[str, str], following: list[str]) -> list[tuple[str, str]]:
    """What one word says: `--name=value`, `--name value`, `--switch`, `-nvalue`, `-n=value`, `-it`."""
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        return [(name, value if equals else _value(word, name, following))]
    name = short.get(word[1], "")
    if not name:
        raise click.UsageError(f"`{word}` of kubectl is not known here. Write its long form, or leave it out")
    if name in _WITH_VALUE:
        return [(name, word[2:].removeprefix("=") if word[2:] else _value(word, name, following))]
    more = _flags("-" + word[2:], short, following) if word[2:] else []
    return [(name, "true"), *more]


def _value(word: str, name: str, following: list[str]) -> str:
    if name == "dry-run":
        return "unchanged"  # what kubectl took for `client` before 1.23, and refuses since
    if name not in _WITH_VALUE:
        return "true"
    if not following:
        raise click.UsageError(f"`{word}` of kubectl needs a value. Give it")
    return following.pop(0)
