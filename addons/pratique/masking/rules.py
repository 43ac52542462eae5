"""`kind: MaskPolicy`: what operators write, and the rules that come out of it.

Belongs here: the schema, its errors with positions, which rules match a type. Not here: how a rule is applied
(`plan.py`).

A rule says where (`jsonPaths`; none: the whole object but the metadata that names it) and what there (`keyNames`,
`patterns`; neither: everything). It is written for one object: lists, Tables and watch events are taken apart before
(`pratique.kube.objects`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from pratique.errors import DocumentError, DocumentErrors, Position
from pratique.kube.objects import ObjectType
from pratique.masking.globs import compile_globs
from pratique.masking.jsonpath import Path, PathError, compile_path
from pratique.masking.keys import KeyNames
from pratique.masking.mask import Mask
from pratique.masking.patterns import GENERAL, PATTERNS, Pattern, PatternError, PatternSet
from pratique.masking.plan import Plan

KIND = "MaskPolicy"
_PLANS = 4096  # compiled plans that are remembered; types and namespaces come from clients, so they are bounded

type As = Literal["auto", "base64", "string", "json", "drop", "client"]

# These take a value whole, so they need to know where it is.
_WHOLE = frozenset({"json", "drop", "client"})


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Base of what operators write."""


class MatchSpec(Spec, frozen=True):
    """Which objects: globs, `!glob` for exceptions. `resources` may name a subresource (`serviceaccounts/token`)."""

    api_groups: tuple[str, ...] = ("*",)
    resources: tuple[str, ...] = ("*",)
    namespaces: tuple[str, ...] = ("*",)


class PatternSpec(Spec, frozen=True):
    """A pattern of the operator's own (RE2 syntax)."""

    name: str
    regex: str


class RuleSpec(Spec, frozen=True):
    """One rule.

    `as`: auto (keeps the type; base64 where Kubernetes has bytes), base64, string, json (JSON inside a string), drop,
    client (the name of the client who asks).
    `keep: [certificates]` leaves values that are nothing but PEM certificates.
    """

    name: str
    match: MatchSpec = MatchSpec()
    json_paths: tuple[str, ...] = ()
    as_: As = msgspec.field(default="auto", name="as")
    key_names: tuple[str, ...] = ()
    patterns: tuple[str | PatternSpec, ...] = ()
    keep: tuple[Literal["certificates"], ...] = ()


class MaskPolicySpec(Spec, frozen=True):
    """`clients` are globs over client names (none given: all)."""

    rules: tuple[RuleSpec, ...]
    clients: tuple[str, ...] = ("*",)


class SourceDocument(Protocol):
    """What is used of `pratique.documents.Document`."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    def position(self, *path: str | int) -> Position: ...
    def convert[T](self, path: tuple[str | int, ...], target: type[T]) -> T: ...


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class MaskRule:
    """A compiled rule. `id` is POLICY/RULE."""

    id: str
    groups: Callable[[str], bool]
    resources: Callable[[str], bool]
    namespaces: Callable[[str], bool]
    clients: Callable[[str], bool]
    namespaced: bool
    paths: tuple[Path, ...]
    as_: As
    keys: KeyNames | None
    patterns: tuple[Pattern, ...]
    keep_certificates: bool

    def matches(self, kind: ObjectType, namespace: str, client: str) -> bool:
        """A pattern of resources without `/` also takes the subresources: `pods` is `pods/status`.

        Without a namespace (a list of all of them) the rules of every namespace count: too much rather than too little.
        """
        resource = kind.resource
        return (
            self.clients(client)
            and self.groups(kind.group)
            and (self.resources(resource) or ("/" in resource and self.resources(resource.partition("/")[0])))
            and (not self.namespaced or not namespace or self.namespaces(namespace))
        )


class MaskSet:
    """Every rule of a policy folder. Immutable but for the memory of plans; safe in threads."""

    def __init__(self, rules: Iterable[MaskRule] = (), mask: Mask | None = None) -> None:
        self.rules = tuple(rules)
        self.mask = mask or Mask()
        self.namespaced = any(rule.namespaced for rule in self.rules)
        self._plans: dict[tuple[ObjectType, str, str], Plan] = {}
        self._lock = threading.Lock()

    def plan(self, kind: ObjectType, namespace: str, client: str) -> Plan:
        """The rules for objects of one type, ready to be applied."""
        key = (kind, namespace if self.namespaced else "", client)
        plan = self._plans.get(key)
        if plan is None:
            plan = Plan(kind, [rule for rule in self.rules if rule.matches(kind, namespace, client)])
            with self._lock:
                if len(self._plans) >= _PLANS:
                    self._plans = {}
                self._plans[key] = plan
        return plan

    def applies_to(self, client: str) -> bool:
        """Whether any rule is for this client."""
        return any(rule.clients(client) for rule in self.rules)

    def text_patterns(self, kind: ObjectType, namespace: str, client: str) -> PatternSet | None:
        """For text that belongs to a request (logs, Status messages, warnings).

        The general patterns as soon as any rule is for the client, and those of the rules that match the request.
        """
        if not self.applies_to(client):
            return None
        return self.plan(kind, namespace, client).text_patterns


def compile_masks(documents: Iterable[SourceDocument], mask: Mask | None = None) -> MaskSet:
    """Documents of other kinds are passed over. Raises DocumentErrors with every error and its position."""
    rules: list[MaskRule] = []
    errors: list[DocumentError] = []
    for document in documents:
        if document.kind != KIND:
            continue
        try:
            spec = document.convert(("spec",), MaskPolicySpec)
        except DocumentErrors as error:
            errors += error.errors
            continue
        compiled, wrong = _rules(document, spec)
        rules += compiled
        errors += wrong
    if errors:
        raise DocumentErrors(errors)
    return MaskSet(rules, mask)


def _rules(document: SourceDocument, spec: MaskPolicySpec) -> tuple[list[MaskRule], list[DocumentError]]:
    rules: list[MaskRule] = []
    errors: list[DocumentError] = []
    names: set[str] = set()
    if not spec.rules:
        errors.append(
            DocumentError(
                document.position("spec", "rules"),
                "a MaskPolicy without rules masks nothing",
                "Write one or delete the file",
            )
        )
    for index, rule in enumerate(spec.rules):
        where: tuple[str | int, ...] = ("spec", "rules", index)
        if rule.name in names:
            errors.append(
                DocumentError(document.position(*where, "name"), f"rule `{rule.name}` is there twice", "Rename one")
            )
        names.add(rule.name)
        compiled = _Compiler(document, where, rule, spec.clients).compile()
        if isinstance(compiled, MaskRule):
            rules.append(compiled)
        else:
            errors += compiled
    return rules, errors


class _Compiler:
    """One rule, with all of its errors."""

    def __init__(
        self, document: SourceDocument, where: tuple[str | int, ...], rule: RuleSpec, clients: tuple[str, ...]
    ) -> None:
        self._document = document
        self._where = where
        self._rule = rule
        self._clients = clients
        self._errors: list[DocumentError] = []

    def compile(self) -> MaskRule | list[DocumentError]:
        rule, match = self._rule, self._rule.match
        paths = tuple(path for index, text in enumerate(rule.json_paths) if (path := self._path(index, text)))
        patterns = tuple(p for index, given in enumerate(rule.patterns) for p in self._patterns(index, given))
        self._check()
        if self._errors:
            return self._errors
        return MaskRule(
            f"{self._document.name}/{rule.name}",
            compile_globs(match.api_groups),
            compile_globs(match.resources),
            compile_globs(match.namespaces),
            compile_globs(self._clients),
            match.namespaces != ("*",),
            paths,
            rule.as_,
            KeyNames(rule.key_names) if rule.key_names else None,
            patterns,
            bool(rule.keep),
        )

    def _path(self, index: int, text: str) -> Path | None:
        try:
            return compile_path(text)
        except PathError as error:
            self._error(str(error), "", "jsonPaths", index)
        return None

    def _patterns(self, index: int, given: str | PatternSpec) -> list[Pattern]:
        if given == "general":
            return [PATTERNS[name] for name in GENERAL]
        if isinstance(given, str) and given not in PATTERNS:
            self._error(
                f"pattern `{given}` is not known", "Use `general`, a built-in name, or {name, regex}", "patterns", index
            )
            return []
        if isinstance(given, str):
            return [PATTERNS[given]]
        pattern = Pattern(given.name, given.regex)
        try:
            PatternSet([pattern])
        except PatternError as error:
            self._error(str(error), "", "patterns", index)
        return [pattern]

    def _check(self) -> None:
        rule = self._rule
        if not rule.name or "/" in rule.name:
            self._error(f"rule name `{rule.name}` is empty or has a `/`", "Choose another", "name")
        if not rule.json_paths and not rule.key_names and not rule.patterns:
            self._error(f"rule `{rule.name}` says neither where nor what", "Add jsonPaths, keyNames or patterns")
        if (rule.key_names or rule.patterns) and rule.as_ in _WHOLE:
            self._error(f"`as: {rule.as_}` does not go with keyNames or patterns", "Use two rules", "as")
        if rule.as_ in _WHOLE and not rule.json_paths:
            self._error(f"`as: {rule.as_}` needs jsonPaths", "Say which fields", "as")
        if rule.patterns and rule.as_ == "base64":
            self._error("patterns cannot look into base64", "Use jsonPaths or keyNames", "as")

    def _error(self, message: str, remedy: str, *path: str | int) -> None:
        self._errors.append(DocumentError(self._document.position(*self._where, *path), message, remedy))
