"""From policy documents to a verdict.

Belongs here: compiling a set of policies, the index, the order of strictness. Not here: whether one rule matches
(`matching.py`), what a verdict is (`pratique.verdict`).

The verdict of a request, strictest first:

1. Deny if the request has an error, a verb that is none, or a method that does not fit its verb.
2. Deny if a matching rule has a condition without an answer; the error goes into the verdict.
3. Deny if a Deny rule matches.
4. Deny if one of the required demands (`demands.py`) is permitted by no matching Allow or RequireApproval rule. Rules
   permit together: one may allow `patch`, another `get`. Escalations are permitted only by rules that name them.
5. RequireApproval if such a rule matches, on the strictest terms of them.
6. Allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pratique.documents import Document
from pratique.documents.folder import duplicates
from pratique.errors import DocumentError, DocumentErrors, Position
from pratique.policy import escalation
from pratique.policy.conditions import Condition, ConditionError, activation, compile_condition
from pratique.policy.demands import NON_RESOURCE_VERBS, RESOURCE_VERBS, Demand, Demands, demands_of
from pratique.policy.matching import CompiledRule, Facts
from pratique.policy.outcome import Outcome, verdict_of
from pratique.policy.patterns import ANY, Globs
from pratique.policy.powers import template_of
from pratique.policy.request import APPLY_PATCH, PolicyRequest
from pratique.policy.rules import PolicySpec, check_rules
from pratique.verdict import Verdict

KIND = "Policy"
MEMO_ENTRIES = 4096  # resources that were asked for; then forgotten and found again by the index
MEMO_NAME_LENGTH = 253  # characters; a longer name is no Kubernetes name, and not worth the memory

_METHODS = {
    "get": {"GET", "HEAD"},
    "list": {"GET", "HEAD"},
    "watch": {"GET", "HEAD"},
    "create": {"POST"},
    "update": {"PUT"},
    "patch": {"PATCH"},
    "delete": {"DELETE"},
    "deletecollection": {"DELETE"},
}
_NO_DEMANDS = Demands((), ())

type MemoKey = tuple[str, str, str, str, str, str | None]


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule that was considered. `reason` says why it did not match; `error` that its conditions have no answer."""

    rule: str
    action: str
    matched: bool
    reason: str
    position: Position
    error: bool = False


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The rules whose static part matches, each with the required demands that it covers."""

    demands: Demands
    rules: tuple[tuple[CompiledRule, frozenset[Demand]], ...]


class PolicySet:
    """All policies of a folder, compiled. Does not change, but for what it remembers of earlier requests."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self.rules = tuple(rules)
        self._resources: dict[tuple[str, str], list[int]] = {}
        self._urls: dict[str, list[int]] = {}
        self._memo: dict[MemoKey, _Candidates] = {}
        for number, rule in enumerate(self.rules):
            self._index(number, rule)

    def _index(self, number: int, rule: CompiledRule) -> None:
        known = NON_RESOURCE_VERBS if rule.rule.non_resource_urls else RESOURCE_VERBS
        resources = {resource.partition("/")[0] for resource in rule.rule.resources}
        for verb in known:
            if not rule.verbs.match(verb):
                continue
            if rule.rule.non_resource_urls:
                self._urls.setdefault(verb, []).append(number)
            for resource in resources:
                self._resources.setdefault((verb, resource), []).append(number)

    def decide(self, request: PolicyRequest) -> Verdict:
        """Never raises for a request; whatever cannot be told is Deny."""
        problem = _problem(request)
        if problem:
            return verdict_of(request, Outcome(errors=(problem,)))
        candidates = self._candidates(request)
        facts = Facts(template_of(request), escalation.by_content(request))
        outcome = Outcome(missing=frozenset(candidates.demands.required), escalations=facts.escalations)
        asked = _Asked(request, facts)
        for rule, covered in candidates.rules:
            if rule.mismatch(request, facts):
                continue
            try:
                if rule.conditions and asked.refused_by(rule.conditions):
                    continue
            except ConditionError as error:
                outcome.fail(rule, error)
                continue
            outcome.add(rule, covered)
        return verdict_of(request, outcome)

    def explain(self, request: PolicyRequest) -> list[RuleTrace]:
        """Every rule, in the order of the documents, asked as `decide` asks it."""
        problem = _problem(request)
        demands = demands_of(request) if request.attributes.is_resource_request else _NO_DEMANDS
        facts = Facts(template_of(request), escalation.by_content(request))
        asked = _Asked(request, facts)
        traces: list[RuleTrace] = []
        for rule in self.rules:
            reason, error = problem, False
            try:
                reason = reason or rule.static_mismatch(request, demands) or rule.mismatch(request, facts)
                reason = reason or asked.refused_by(rule.conditions)
            except ConditionError as failure:
                reason, error = str(failure), True
            traces.append(RuleTrace(rule.id, rule.action.value, not reason, reason, rule.position, error))
        return traces

    def needs_result(self, request: PolicyRequest) -> bool:
        """Whether a rule would say something else (or less harshly) if it knew what this patch makes of the object."""
        if not request.patch_type or request.result is not None or _problem(request):
            return False
        return any(rule.reads_object for rule, _ in self._candidates(request).rules)

    def _candidates(self, request: PolicyRequest) -> _Candidates:
        attributes = request.attributes
        if not attributes.is_resource_request:
            return self._select(request, _NO_DEMANDS, self._urls.get(attributes.verb, ()))
        applies = request.patch_type == APPLY_PATCH and attributes.verb == "patch"
        key: MemoKey = (
            request.client,
            "apply" if applies else attributes.verb,
            attributes.api_group,
            attributes.resource,
            attributes.subresource,
            request.namespace,
        )
        found = self._memo.get(key)
        if found is None:
            demands = demands_of(request)
            found = self._select(request, demands, self._indexed(demands))
            self._remember(key, found)
        return found

    def _indexed(self, demands: Demands) -> Iterable[int]:
        numbers: set[int] = set()
        for demand in demands.strict:
            numbers.update(self._resources.get((demand.verb, demand.resource), ()))
            numbers.update(self._resources.get((demand.verb, ANY), ()))
        return sorted(numbers)

    def _select(self, request: PolicyRequest, demands: Demands, numbers: Iterable[int]) -> _Candidates:
        rules = (self.rules[number] for number in numbers)
        matching = [rule for rule in rules if not rule.static_mismatch(request, demands)]
        return _Candidates(demands, tuple((rule, rule.covered(demands)) for rule in matching))

    def _remember(self, key: MemoKey, found: _Candidates) -> None:
        if any(part is not None and len(part) > MEMO_NAME_LENGTH for part in key):
            return
        if len(self._memo) >= MEMO_ENTRIES:
            self._memo.clear()
        self._memo[key] = found


class _Asked:
    """The conditions of one request: the variables are made when the first rule has conditions."""

    def __init__(self, request: PolicyRequest, facts: Facts) -> None:
        self._request = request
        self._facts = facts
        self._activation: object = None

    def refused_by(self, conditions: tuple[Condition, ...]) -> str:
        """The first condition that is false; "" if all hold. Raises ConditionError."""
        for condition in conditions:
            if self._activation is None:
                applies = self._request.patch_type == APPLY_PATCH and self._request.attributes.verb == "patch"
                verb = "apply" if applies else self._request.attributes.verb
                self._activation = activation(self._request, verb, self._facts.template)
            if not condition.holds(self._activation):
                return f"condition `{condition.name}` is false"
        return ""


def _problem(request: PolicyRequest) -> str:
    attributes = request.attributes
    if attributes.error:
        return f"request cannot be read: {attributes.error}"
    if not attributes.is_resource_request:
        return "" if attributes.verb in NON_RESOURCE_VERBS else f"verb `{attributes.verb}` is not known"
    methods = _METHODS.get(attributes.verb)
    if methods is None:
        return f"verb `{attributes.verb}` is not known"
    if request.method and request.method not in methods:
        return f"method `{request.method}` does not fit verb `{attributes.verb}`"
    return ""


def compile_policies(documents: list[Document]) -> PolicySet:
    """The policies among the documents, as one set. Other kinds are left to their rooms.

    Raises DocumentErrors: every error of every policy.
    """
    policies = [document for document in documents if document.kind == KIND]
    errors: list[DocumentError] = duplicates(policies)
    rules: list[CompiledRule] = []
    for document in policies:
        try:
            rules += _compile(document)
        except DocumentErrors as error:
            errors += error.errors
    if errors:
        raise DocumentErrors(errors)
    return PolicySet(rules)


def _compile(document: Document) -> list[CompiledRule]:
    spec = document.convert(("spec",), PolicySpec)
    errors = check_rules(document, spec)
    subjects = Globs(spec.subjects)
    rules: list[CompiledRule] = []
    for index, rule in enumerate(spec.rules):
        conditions: list[Condition] = []
        for number, condition in enumerate(rule.conditions):
            path = ("spec", "rules", index, "conditions", number, "expression")
            try:
                conditions.append(compile_condition(document, path, condition.name, condition.expression))
            except DocumentError as error:
                errors.append(error)
        if not errors:
            position = document.position("spec", "rules", index)
            rules.append(CompiledRule(document.name, subjects, rule, tuple(conditions), position))
    if errors:
        raise DocumentErrors(errors)
    return rules
