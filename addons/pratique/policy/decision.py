"""From policy documents to a verdict.

Belongs here: compiling a set of policies, the order of strictness, what the cluster has to be asked first. Not here:
whether one rule matches (`matching.py`), finding the rules (`index.py`), what a verdict is (`pratique.verdict`).

The verdict of a request, strictest first:

1. Deny if the request has an error, a verb that is none, a method that does not fit its verb, or if the cluster could
   not be asked what a rule needs.
2. Deny if a matching rule has a condition without an answer; the error goes into the verdict.
3. Deny if a Deny rule matches.
4. Deny if one of the required demands (`demands.py`) is permitted by no matching Allow or RequireApproval rule. Rules
   permit together: one may allow `patch`, another `get`. Escalations are permitted only by rules that name them. A
   RequireApproval rule that matches only because something is unknown (all namespaces at once, no name) permits
   nothing.
5. RequireApproval if such a rule matches, on the strictest terms of them.
6. Allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pratique.documents import Document
from pratique.documents.folder import duplicates
from pratique.errors import DocumentError, DocumentErrors, Position
from pratique.policy import escalation
from pratique.policy.conditions import Condition, ConditionError, compile_condition
from pratique.policy.demands import NON_RESOURCE_VERBS, Demand, demands_of
from pratique.policy.facts import Facts
from pratique.policy.index import NO_DEMANDS, Covering, RuleIndex
from pratique.policy.matching import CompiledRule
from pratique.policy.needs import NOTHING, Needs
from pratique.policy.observing import Observed, Observer
from pratique.policy.outcome import Outcome, verdict_of
from pratique.policy.patterns import Globs
from pratique.policy.request import PolicyRequest
from pratique.policy.rules import OBSERVE, PolicySpec, check_rules
from pratique.verdict import Action, Verdict

KIND = "Policy"

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


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule that was considered. `reason` says why it did not match; `error` that its conditions have no answer."""

    rule: str
    action: str
    matched: bool
    reason: str
    position: Position
    error: bool = False


class PolicySet:
    """All policies of a folder, compiled. Does not change, but for what it remembers of earlier requests."""

    def __init__(self, rules: Sequence[CompiledRule], observers: Sequence[Observer] = ()) -> None:
        """`observers` are asked by `observe` only: INVARIANT: they are no part of any verdict."""
        self.rules = tuple(rules)
        self.observers = tuple(observers)
        self._index = RuleIndex(self.rules)

    def observe(self, request: PolicyRequest) -> tuple[Observed, ...]:
        """What each observed policy that is about this client would decide. Never raises."""
        return tuple(each.see(request) for each in self.observers if each.concerns(request.client))

    def decide(self, request: PolicyRequest) -> Verdict:
        """Never raises for a request; whatever cannot be told is Deny."""
        problem = _problem(request) or request.fault
        if problem:
            return verdict_of(request, Outcome(errors=(problem,)))
        candidates = self._index.candidates(request)
        namespace = request.namespace
        group = candidates.group(namespace)
        if group.settled is not None:
            return group.settled
        facts = Facts(request)
        outcome = Outcome(candidates.required, facts.escalations)
        for rule, covered in group.rules(namespace):
            if not rule.is_static or facts.escalations:
                try:
                    if _mismatch(rule, request, facts):
                        continue
                except ConditionError as error:
                    outcome.fail(rule, error)
                    continue
            outcome.add(rule, covered, sure=rule.allow or rule.is_sure(request, facts))
        verdict = verdict_of(request, outcome)
        # An Allow by static rules holds for every name and body, unless a body of this kind can be an escalation.
        if group.is_static and verdict.action is Action.ALLOW and not escalation.is_checked(request.attributes):
            group.settled = verdict
        return verdict

    def candidates(self, request: PolicyRequest) -> list[CompiledRule]:
        """The rules whose client, verb, resource and namespace match: only what they look at can make a difference."""
        return [rule for rule, _ in self.covering(request)[1]]

    def covering(self, request: PolicyRequest) -> tuple[frozenset[Demand], Sequence[Covering]]:
        """The required demands, and the candidates with those that each covers."""
        candidates = self._index.candidates(request)
        return candidates.required, candidates.group(request.namespace).rules(request.namespace)

    def explain(self, request: PolicyRequest) -> list[RuleTrace]:
        """Every rule, in the order of the documents, asked as `decide` asks it."""
        problem = _problem(request) or request.fault
        demands = demands_of(request) if request.attributes.is_resource_request else NO_DEMANDS
        facts = Facts(request)
        namespace = request.namespace
        traces: list[RuleTrace] = []
        for rule in self.rules:
            reason, error = problem, False
            try:
                reason = reason or rule.static_mismatch(request, demands) or rule.namespace_mismatch(namespace)
                reason = reason or _mismatch(rule, request, facts)
            except ConditionError as failure:
                reason, error = str(failure), True
            traces.append(RuleTrace(rule.id, rule.action.value, not reason, reason, rule.position, error))
        return traces

    def needs(self, request: PolicyRequest) -> Needs:
        """What the cluster has to be asked so that `decide` knows; nothing where the answer is Deny whatever it says.

        The caller asks, puts what it was told into the request (or a `fault`), and calls `decide`. A request that is
        decided without is denied by whichever rule needed it.
        """
        if _problem(request) or request.fault:
            return NOTHING
        candidates = self._index.candidates(request)
        namespace = request.namespace
        group = candidates.group(namespace)
        if not group.asks:
            return NOTHING
        rules = [(rule, covered, rule.needs(request)) for rule, covered in group.rules(namespace)]
        if not any(any(needed) for _, _, needed in rules):
            return NOTHING
        facts = Facts(request)
        missing = candidates.required
        wanted, permitted = NOTHING, False
        for rule, covered, needed in rules:
            try:
                if rule.request_mismatch(request, facts) or (not any(needed) and _mismatch(rule, request, facts)):
                    continue
            except ConditionError:
                return NOTHING
            if not any(needed) and rule.action is Action.DENY:
                return NOTHING
            wanted |= needed
            if rule.permits(facts.escalations) and (any(needed) or rule.allow or rule.is_sure(request, facts)):
                missing, permitted = missing - covered, True
        return wanted if permitted and not missing else NOTHING


def _mismatch(rule: CompiledRule, request: PolicyRequest, facts: Facts) -> str:
    """Raises ConditionError."""
    reason = rule.request_mismatch(request, facts) or rule.found_mismatch(request, facts)
    return reason or (facts.refused_by(rule.conditions) if rule.conditions else "")


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
    compiled: list[_Compiled] = []
    for document in policies:
        try:
            compiled.append(_compile(document))
        except DocumentErrors as error:
            errors += error.errors
    names = {document.name for document in policies}
    enforced = [each for each in compiled if each.spec.mode != OBSERVE]
    errors += _wrong_bases(compiled, names - {each.document.name for each in compiled if each not in enforced})
    if errors:
        raise DocumentErrors(errors)
    observers = [_observer(each, enforced) for each in compiled if each.spec.mode == OBSERVE]
    return PolicySet([rule for each in enforced for rule in each.rules], observers)


class _Compiled(NamedTuple):
    """One document."""

    document: Document
    spec: PolicySpec
    subjects: Globs
    rules: list[CompiledRule]


def _wrong_bases(compiled: Sequence[_Compiled], enforced: set[str]) -> Iterator[DocumentError]:
    for each in compiled:
        if each.spec.base and each.spec.base not in enforced:
            message = f"there is no enforced policy `{each.spec.base}`"
            yield each.document.error(("spec", "base"), message, "Name the policy that it would replace")


def _observer(observed: _Compiled, enforced: Sequence[_Compiled]) -> Observer:
    """The set that would decide if this policy were enforced in place of its base."""
    base = [each for each in enforced if each.document.name == observed.spec.base]
    kept = [rule for each in enforced if each not in base for rule in each.rules]
    subjects = (observed.subjects, *(each.subjects for each in base))
    return Observer(observed.document.name, PolicySet([*kept, *observed.rules]), subjects)


def _compile(document: Document) -> _Compiled:
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
    return _Compiled(document, spec, subjects, rules)
