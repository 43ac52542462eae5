"""The least policy that would have let pass what was used, rule by rule, with the evidence for each.

Belongs here: from usage to rules; which cells may share a rule without permitting more. Pure. Not here: text (`proposal_text`), RBAC
(`role`).

INVARIANT: a rule permits no combination that was not seen, but for the names and namespaces that `naming` generalises: cells
go into one rule only where all that differs is the verb, or the resource of one API group.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pratique.trial.naming import generalised
from pratique.trial.tally import Example
from pratique.trial.usage import EVERYWHERE, KEPT, Cell, Evidence, Path, Usage
from pratique.verdict import Action

MAX_NAMESPACES = 20
"""Namespaces that a rule lists; of more it takes all, and says so."""
_WIDE_PATHS = ("/apis/", "/api/", "/openapi/", "/livez/", "/readyz/", "/healthz/")
_FEW_PATHS = 3


@dataclass(frozen=True, slots=True)
class ProposedRule:
    """`names`, `namespaces` None: any. `commands` None: any. `dry_run` None: either."""

    action: Action
    verbs: tuple[str, ...]
    group: str = ""
    resources: tuple[str, ...] = ()
    namespaces: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None
    dry_run: bool | None = None
    commands: tuple[tuple[str, ...], ...] | None = None
    paths: tuple[str, ...] = ()
    requests: int = 0
    distinct_names: int = 0
    distinct_namespaces: int = 0
    examples: tuple[Example, ...] = ()
    name: str = ""


@dataclass(slots=True)
class _Draft:
    """A rule while cells are put together."""

    cells: list[Cell] = field(default_factory=list)
    distinct_names: int = 0
    distinct_namespaces: int = 0


type _Key = tuple[
    Action, bool | None, str, tuple[str, ...] | None, tuple[str, ...] | None, tuple[tuple[str, ...], ...] | None
]


def proposed(usage: Usage) -> list[ProposedRule]:
    """Allow first, then what waits for a person; within, by group and resource."""
    rules = [*_paths(usage), *_resources(usage)]
    order = {Action.ALLOW: 0, Action.REQUIRE_APPROVAL: 1}
    rules.sort(key=lambda rule: (order[rule.action], rule.group, rule.resources, rule.verbs, rule.namespaces or ()))
    return _named(rules)


def _resources(usage: Usage) -> list[ProposedRule]:
    """Cells with the same place and names; first verbs of one resource, then resources with the same verbs."""
    rehearsed = usage.rehearsed()
    by_resource: dict[tuple[_Key, str], _Draft] = {}
    for cell in usage:
        commands = _commands(usage.evidence[cell], cell)
        dry_run = True if cell.dry_run else False if _also_rehearsed(cell, rehearsed) else None
        for namespaces, names, counts in _places(usage, cell):
            key: _Key = (cell.action, dry_run, cell.group, namespaces, names, commands)
            draft = by_resource.setdefault((key, cell.resource), _Draft())
            draft.cells.append(cell)
            draft.distinct_names = max(draft.distinct_names, counts[0])
            draft.distinct_namespaces = max(draft.distinct_namespaces, counts[1])
    together: dict[tuple[_Key, tuple[str, ...]], list[_Draft]] = {}
    for (key, _), draft in by_resource.items():
        verbs = tuple(sorted(cell.verb for cell in draft.cells))
        together.setdefault((key, verbs), []).append(draft)
    return [_rule(usage, key, verbs, drafts) for (key, verbs), drafts in together.items()]


def _also_rehearsed(cell: Cell, rehearsed: set[tuple[str, str]]) -> bool:
    return cell.action is Action.REQUIRE_APPROVAL and (cell.group, cell.resource) in rehearsed


def _rule(usage: Usage, key: _Key, verbs: tuple[str, ...], drafts: list[_Draft]) -> ProposedRule:
    action, dry_run, group, namespaces, names, commands = key
    cells = sorted({cell for draft in drafts for cell in draft.cells})
    evidence = [usage.evidence[cell] for cell in cells]
    return ProposedRule(
        action=action,
        verbs=verbs,
        group=group,
        resources=tuple(sorted({cell.resource for cell in cells})),
        namespaces=namespaces,
        names=names,
        dry_run=dry_run,
        commands=commands,
        requests=max(each.requests for each in evidence),
        distinct_names=max(draft.distinct_names for draft in drafts),
        distinct_namespaces=max(draft.distinct_namespaces for draft in drafts),
        examples=_examples(evidence),
    )


def _examples(evidence: Iterable[Evidence]) -> tuple[Example, ...]:
    found = {one.words: one for each in evidence for one in each.examples}
    return tuple(found.values())[:KEPT]


def _commands(evidence: Evidence, cell: Cell) -> tuple[tuple[str, ...], ...] | None:
    if cell.resource != "pods/exec" or not evidence.commands:
        return None
    return tuple(sorted(evidence.commands))


type _Place = tuple[tuple[str, ...] | None, tuple[str, ...] | None, tuple[int, int]]


def _places(usage: Usage, cell: Cell) -> list[_Place]:
    """(namespaces, names, counts): where a cell was used. Namespaces with the same names go together."""
    spaces = usage.cells[cell]
    total = len(spaces)
    if EVERYWHERE in spaces or "" in spaces or total > MAX_NAMESPACES:
        everywhere = set[str]().union(*(each.names for each in spaces.values()))
        unknown = any(each.unknown for each in spaces.values())
        return [(None, None if unknown else generalised(everywhere), (len(everywhere), total))]
    by_names: dict[tuple[str, ...] | None, list[str]] = {}
    distinct: dict[tuple[str, ...] | None, int] = {}
    for namespace, each in spaces.items():
        names = None if each.unknown else generalised(each.names)
        by_names.setdefault(names, []).append(str(namespace))
        distinct[names] = max(distinct.get(names, 0), len(each.names))
    return [
        (tuple(sorted(found)), names, (distinct[names], len(found)))
        for names, found in sorted(by_names.items(), key=lambda item: item[1])
    ]


def _paths(usage: Usage) -> list[ProposedRule]:
    by_action: dict[tuple[Action, tuple[str, ...]], list[Path]] = {}
    for path in sorted(usage.paths):
        by_action.setdefault((path.action, wide_paths(usage.paths[path])), []).append(path)
    return [
        ProposedRule(
            action=action,
            verbs=tuple(sorted(path.verb for path in found)),
            paths=paths,
            requests=sum(usage.path_evidence[path].requests for path in found),
            examples=_examples([usage.path_evidence[path] for path in found]),
        )
        for (action, paths), found in by_action.items()
    ]


def wide_paths(paths: Iterable[str]) -> tuple[str, ...]:
    """Discovery is walked by clients as the cluster grows: three paths below one of its roots stand for all of them."""
    left = set(paths)
    globs: set[str] = set()
    for root in _WIDE_PATHS:
        below = {path for path in left if path.startswith(root)}
        if len(below) >= _FEW_PATHS:
            globs.add(f"{root}*")
            left -= below
    return tuple(sorted(globs | left))


def _named(rules: list[ProposedRule]) -> list[ProposedRule]:
    """Names that say what a rule is, each once."""
    taken: dict[str, int] = {}
    named: list[ProposedRule] = []
    for rule in rules:
        base = _name(rule)
        taken[base] = taken.get(base, 0) + 1
        named.append(replace(rule, name=base if taken[base] == 1 else f"{base}-{taken[base]}"))
    return named


def _name(rule: ProposedRule) -> str:
    what = "-".join(rule.resources[:2]).replace("/", "-") or "paths"
    does = (
        "rehearse"
        if rule.dry_run
        else "-".join(rule.verbs)
        if len(rule.verbs) < 3
        else "read"
        if _reads(rule)
        else "write"
    )
    asked = "ask-" if rule.action is Action.REQUIRE_APPROVAL else ""
    more = "-and-more" if len(rule.resources) > 2 else ""
    return f"{asked}{does}-{what}{more}"[:50].strip("-.")


def _reads(rule: ProposedRule) -> bool:
    return set(rule.verbs) <= {"get", "list", "watch"}
