"""The rules of a set, found by what a request asks for instead of one by one.

Belongs here: the index by verb and resource, what is remembered of earlier requests, the rules of one namespace. Not
here: whether a rule matches (`matching.py`), what follows (`decision.py`).

What is remembered is bounded (`MEMO_ENTRIES`), and never depends on a namespace or name that a client made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pratique.policy.demands import NON_RESOURCE_VERBS, RESOURCE_VERBS, Demand, Demands, demands_of
from pratique.policy.matching import CompiledRule
from pratique.policy.patterns import ANY
from pratique.policy.request import APPLY_PATCH, PolicyRequest
from pratique.verdict import Verdict

MEMO_ENTRIES = 4096  # resources that were asked for; then forgotten and found again by the index
MEMO_NAME_LENGTH = 253  # characters; a longer name is no Kubernetes name, and not worth the memory

NO_DEMANDS = Demands((), ())

type MemoKey = tuple[str, str, str, str, str]
type Covering = tuple[CompiledRule, frozenset[Demand]]


class Group:
    """The candidates of one namespace. `asks`: whether one of them may need to know what the cluster says.

    `settled`: the Allow that every request to it gets, once that is known.
    """

    __slots__ = ("always", "asks", "by_pattern", "is_static", "settled")

    def __init__(self, always: list[Covering], by_pattern: list[Covering]) -> None:
        self.always = tuple(always)
        self.by_pattern = tuple(by_pattern)
        self.is_static = not by_pattern and all(rule.is_static for rule, _ in always)
        self.asks = any(rule.asks for rule, _ in (*always, *by_pattern))
        self.settled: Verdict | None = None

    def rules(self, namespace: str | None) -> Sequence[Covering]:
        if not self.by_pattern:
            return self.always
        return (*self.always, *(each for each in self.by_pattern if not each[0].namespace_mismatch(namespace)))


class Candidates:
    """The rules whose client, verb, group and resource match, each with the required demands that it covers."""

    __slots__ = ("_by_name", "_everywhere", "_groups", "_nowhere", "_other", "demands", "required")

    def __init__(self, demands: Demands, rules: Sequence[Covering]) -> None:
        self.demands = demands
        self.required = frozenset(demands.required)
        free: list[Covering] = []
        patterned: list[Covering] = []
        self._by_name: dict[str, list[Covering]] = {}
        self._groups: dict[str, Group] = {}
        for each in rules:
            namespaces = each[0].namespaces
            if namespaces is None:
                free.append(each)
                continue
            if namespaces.patterns:
                patterned.append(each)
            for name in namespaces.exact:
                self._by_name.setdefault(name, []).append(each)
        self._other = Group(free, patterned)
        self._nowhere = Group(free, [])
        self._everywhere = Group([each for each in rules if not each[0].namespace_mismatch(None)], [])

    def group(self, namespace: str | None) -> Group:
        if not namespace:
            return self._everywhere if namespace is None else self._nowhere
        if namespace not in self._by_name:
            return self._other
        group = self._groups.get(namespace)
        if group is None:
            group = self._groups[namespace] = self._named(self._by_name[namespace])
        return group

    def _named(self, named: list[Covering]) -> Group:
        here = {rule.id for rule, _ in named}
        others = [each for each in self._other.by_pattern if each[0].id not in here]
        return Group([*self._other.always, *named], others)


class RuleIndex:
    """Of one set of rules."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._rules = rules
        self._resources: dict[tuple[str, str], list[int]] = {}
        self._urls: dict[str, list[int]] = {}
        self.memo: dict[MemoKey, Candidates] = {}
        for number, rule in enumerate(rules):
            self._add(number, rule)

    def _add(self, number: int, rule: CompiledRule) -> None:
        known = NON_RESOURCE_VERBS if rule.rule.non_resource_urls else RESOURCE_VERBS
        resources = {resource.partition("/")[0] for resource in rule.rule.resources}
        for verb in known:
            if not rule.verbs.match(verb):
                continue
            if rule.rule.non_resource_urls:
                self._urls.setdefault(verb, []).append(number)
            for resource in resources:
                self._resources.setdefault((verb, resource), []).append(number)

    def candidates(self, request: PolicyRequest) -> Candidates:
        attributes = request.attributes
        key: MemoKey
        if not attributes.is_resource_request:
            key = (request.client, attributes.verb, "", attributes.path, "/")
        else:
            applies = request.patch_type == APPLY_PATCH and attributes.verb == "patch"
            verb = "apply" if applies else attributes.verb
            key = (request.client, verb, attributes.api_group, attributes.resource, attributes.subresource)
        found = self.memo.get(key)
        if found is None:
            found = self._find(request)
            self._remember(key, found)
        return found

    def _find(self, request: PolicyRequest) -> Candidates:
        if not request.attributes.is_resource_request:
            return self._select(request, NO_DEMANDS, self._urls.get(request.attributes.verb, ()))
        demands = demands_of(request)
        numbers: set[int] = set()
        for demand in demands.strict:
            numbers.update(self._resources.get((demand.verb, demand.resource), ()))
            numbers.update(self._resources.get((demand.verb, ANY), ()))
        return self._select(request, demands, sorted(numbers))

    def _select(self, request: PolicyRequest, demands: Demands, numbers: Iterable[int]) -> Candidates:
        rules = (self._rules[number] for number in numbers)
        matching = [rule for rule in rules if not rule.static_mismatch(request, demands)]
        return Candidates(demands, [(rule, rule.covered(demands)) for rule in matching])

    def _remember(self, key: MemoKey, found: Candidates) -> None:
        if any(len(part) > MEMO_NAME_LENGTH for part in key):
            return
        if len(self.memo) >= MEMO_ENTRIES:
            self.memo.clear()
        self.memo[key] = found
