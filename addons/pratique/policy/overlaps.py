"""Rules that other rules make pointless, and rules that cannot be satisfied together; each with a request that shows it.

Belongs here: which rule covers which, by what they say. Pure. Not here: what was asked in practice (`coverage`).

Sound, not complete: a rule is called shadowed only where all that it can match is matched by the other one, told from the text of
the two, and where the engine itself agrees on an example.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pratique.errors import Position
from pratique.policy import escalation
from pratique.policy.decision import PolicySet
from pratique.policy.demands import RESOURCE_VERBS, demands
from pratique.policy.discovery_class import DiscoveredAttributes
from pratique.policy.matching import CompiledRule
from pratique.policy.patterns import ANY, matches
from pratique.policy.request import APPLY_PATCH, MERGE_PATCH, PolicyRequest
from pratique.verdict import Action

MAX_PAIRS = 4_000_000
"""Pairs of rules that are compared: 2,000 rules. More is not a policy that a person wrote."""
_METHODS = {"get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT", "patch": "PATCH"}
_COLLECTIVE = frozenset({"list", "watch", "deletecollection"})


class Kind(StrEnum):
    """What is wrong."""

    SHADOWED = "shadowed"  # a stricter rule matches all that it matches
    REDUNDANT = "redundant"  # another rule of the same action does
    CONTRADICTORY = "contradictory"  # together they can only deny


@dataclass(frozen=True, slots=True)
class Overlap:
    """`rule` is without effect, or (contradictory) of none together with `by`. `example`: a request in words."""

    kind: Kind
    rule: str
    by: str
    position: Position
    example: str

    def __str__(self) -> str:
        said = {
            Kind.SHADOWED: f"rule `{self.rule}` never has an effect: `{self.by}` is stricter and matches all that it matches",
            Kind.REDUNDANT: f"rule `{self.rule}` adds nothing: `{self.by}` matches all that it matches",
            Kind.CONTRADICTORY: f"rules `{self.rule}` and `{self.by}` ask for different reviewers, so what both match is denied",
        }[self.kind]
        return f"{self.position}: {said}, such as `{self.example}`"


def overlaps(policies: PolicySet) -> Iterator[Overlap]:
    """In the order of the documents; of each rule the first that covers it."""
    rules = policies.rules
    if len(rules) ** 2 > MAX_PAIRS:
        return
    for number, rule in enumerate(rules):
        found = _covered(policies, rule, [*rules[:number], *rules[number + 1 :]], rules)
        if found is not None:
            yield found
    yield from _contradictory(policies)


def _covered(
    policies: PolicySet, rule: CompiledRule, others: Iterable[CompiledRule], order: Sequence[CompiledRule]
) -> Overlap | None:
    for other in others:
        stricter = other.action.strictness > rule.action.strictness
        same = other.action is rule.action and rule.terms == other.terms
        same = same and rule.rule.message in {"", other.rule.message}
        if not (stricter and other.action is Action.DENY) and not same:
            continue
        if not covers(other, rule) or (same and covers(rule, other) and order.index(other) > order.index(rule)):
            continue
        request = witness(rule)
        if request is None or not {rule.id, other.id} <= _matching(policies, request):
            continue
        kind = Kind.REDUNDANT if same else Kind.SHADOWED
        return Overlap(kind, rule.id, other.id, rule.position, words(request))
    return None


def _matching(policies: PolicySet, request: PolicyRequest) -> set[str]:
    return {trace.rule for trace in policies.explain(request) if trace.matched}


def _contradictory(policies: PolicySet) -> Iterator[Overlap]:
    asking = [rule for rule in policies.rules if rule.terms is not None and rule.terms.reviewers]
    for number, rule in enumerate(asking):
        for other in asking[:number]:
            if set(_reviewers(rule)) & set(_reviewers(other)):
                continue
            for request in filter(None, (witness(rule), witness(other), witness(rule, other), witness(other, rule))):
                if {rule.id, other.id} <= _matching(policies, request):
                    yield Overlap(Kind.CONTRADICTORY, rule.id, other.id, rule.position, words(request))
                    break


def _reviewers(rule: CompiledRule) -> tuple[str, ...]:
    return rule.terms.reviewers if rule.terms is not None else ()


# --- which rule covers which ---


def covers(wide: CompiledRule, narrow: CompiledRule) -> bool:
    """Whether every request that `narrow` matches is matched by `wide`, as far as their texts tell.

    Of two rules of one action, or where `wide` denies: an Allow rule minds less of a request than the others do.
    """
    a, b = wide.rule, narrow.rule
    if bool(a.resources) != bool(b.resources) or not _within(narrow.subjects, wide.subjects):
        return False
    if not _within(b.verbs, a.verbs):
        return False
    if not a.resources:
        return _within(b.non_resource_urls, a.non_resource_urls) and _conditions(wide, narrow)
    return (
        _within(b.api_groups, a.api_groups)
        and _resources(wide, narrow)
        and _optional(a.namespaces, b.namespaces)
        and _optional(a.resource_names, b.resource_names)
        and _others(wide, narrow)
        and _conditions(wide, narrow)
    )


def _within(globs: Iterable[str], others: Iterable[str]) -> bool:
    """Each glob is within one of the others: its stars lie where the other has a star, for no literal one is a star."""
    wide = tuple(others)
    return all(any(matches(other, glob) for other in wide) for glob in globs)


def _optional(wide: tuple[str, ...] | None, narrow: tuple[str, ...] | None) -> bool:
    if wide is None or ANY in wide:
        return True
    return narrow is not None and _within(narrow, wide)


def _others(wide: CompiledRule, narrow: CompiledRule) -> bool:
    """Fields of which it is not told which is wider: the wide rule has none, or both say the same."""
    names = ("namespace_selector", "exec", "ports", "dry_run", "pod_powers", "images", "images_outside")
    if any(getattr(wide.rule, name) not in {None, getattr(narrow.rule, name)} for name in names):
        return False
    if wide.action is Action.DENY:
        return True
    if wide.allow:
        return set(narrow.rule.escalations) <= set(wide.rule.escalations)
    return not wide.rule.escalations or wide.rule.escalations == narrow.rule.escalations


def _conditions(wide: CompiledRule, narrow: CompiledRule) -> bool:
    sources = {condition.source for condition in narrow.conditions}
    return all(condition.source in sources for condition in wide.conditions)


def _resources(wide: CompiledRule, narrow: CompiledRule) -> bool:
    return all(_covers_resource(wide, narrow, resource) for resource in narrow.rule.resources)


def _covers_resource(wide: CompiledRule, narrow: CompiledRule, resource: str) -> bool:
    listed = set(wide.rule.resources)
    if "*/*" in listed or (ANY in listed and not wide.allow):
        found = True
    elif resource == ANY:
        found = ANY in listed and narrow.allow
    else:
        name, _, subresource = resource.partition("/")
        ways = {resource, f"{name}/*", f"*/{subresource}"} if subresource else {resource, ANY}
        found = bool(ways & listed)
    if not found or wide.action is Action.DENY or resource in listed:
        return found
    return ANY not in resource and not _escalates(narrow, resource)


def _escalates(rule: CompiledRule, resource: str) -> bool:
    """A wildcard does not reach what escalates, a name does."""
    name, _, subresource = resource.partition("/")
    verbs = [verb for verb in RESOURCE_VERBS if rule.verbs.match(verb)]
    groups = [group for group in rule.rule.api_groups if ANY not in group]
    if len(groups) < len(rule.rule.api_groups):
        return True
    return any(
        escalation.by_resource(demand)
        for verb in verbs
        for group in groups
        for demand in demands(verb, group, name, subresource).required
    )


# --- examples ---


def witness(rule: CompiledRule, also: CompiledRule | None = None) -> PolicyRequest | None:
    """A plain request that the rule is about; None where none can be made. `also`: preferably with that rule's places."""
    client = _literal([*rule.subjects, *(also.subjects if also else ())], "client")
    given = rule.rule
    if given.non_resource_urls:
        path = given.non_resource_urls[0].replace(ANY, "x")
        attributes = _Path("get" if rule.verbs.match("get") else given.verbs[0], path)
        return PolicyRequest(client, attributes, "GET")
    verb = next((each for each in sorted(RESOURCE_VERBS) if rule.verbs.match(each)), "")
    name, _, subresource = given.resources[0].partition("/")
    if not verb:
        return None
    spaces = also.rule.namespaces if also is not None and given.namespaces is None else given.namespaces
    names = also.rule.resource_names if also is not None and given.resource_names is None else given.resource_names
    return _resource_request(
        client,
        verb,
        _literal(given.api_groups, "example.com"),
        (_literal([name], "widgets"), _literal([subresource], "status") if subresource else ""),
        _literal(spaces or ("dev",), "dev"),
        _literal(names or ("x",), "x"),
    )


def _literal(globs: Iterable[str], star: str) -> str:
    first = next(iter(globs))
    return star if first == ANY else first.replace(ANY, "x")


@dataclass(frozen=True, slots=True)
class _Path(DiscoveredAttributes):
    """A request for a path that is no resource."""

    def __init__(self, verb: str, path: str) -> None:
        DiscoveredAttributes.__init__(self, verb, "", "", "", "", "", path, is_resource_request=False)

    @property
    def path(self) -> str:
        return self.name


def _resource_request(  # noqa: PLR0917 - the order of a URL
    client: str, verb: str, group: str, what: tuple[str, str], namespace: str, name: str
) -> PolicyRequest:
    unnamed = verb in _COLLECTIVE or (verb == "create" and not what[1])
    attributes = DiscoveredAttributes(
        "patch" if verb == "apply" else verb, group, "v1", *what, namespace, "" if unnamed else name
    )
    writes = verb in {"create", "update", "patch", "apply"}
    return PolicyRequest(
        client,
        attributes,
        _METHODS.get(attributes.verb, "DELETE"),
        patch_type={"patch": MERGE_PATCH, "apply": APPLY_PATCH}.get(verb, ""),
        document={"metadata": {"name": name}} if writes else None,
        result={"metadata": {"name": name}} if verb in {"patch", "apply"} else None,
    )


def words(request: PolicyRequest) -> str:
    """For people."""
    attributes = request.attributes
    if not attributes.is_resource_request:
        return f"{request.client}: {attributes.verb} {attributes.path}"
    group = f".{attributes.api_group}" if attributes.api_group else ""
    sub = f"/{attributes.subresource}" if attributes.subresource else ""
    verb = "apply" if request.patch_type == APPLY_PATCH else attributes.verb
    name = f" {request.name}" if request.name else ""
    return f"{request.client}: {verb} {attributes.resource}{sub}{group}{name} -n {attributes.namespace}"
