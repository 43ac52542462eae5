"""The core of `pratique check`: a set of policies and their cases, as a report.

Belongs here: what is reported. Not here: reading files, printing, exit codes (`pratique.cli`), other kinds than Policy.
"""

from __future__ import annotations

from dataclasses import dataclass

from pratique.documents import Document
from pratique.errors import DocumentError, DocumentErrors, Position
from pratique.policy.cases import Case, CaseResult, run_cases
from pratique.policy.decision import KIND, compile_policies
from pratique.policy.overlaps import Overlap, overlaps


@dataclass(frozen=True, slots=True)
class Unreached:
    """A rule that no case makes match."""

    rule: str
    position: Position

    def __str__(self) -> str:
        return f"{self.position}: no case reaches rule `{self.rule}`. Write one, or remove the rule"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """`errors`: the policies cannot be used, no case was run. `unreached` is empty when there are no cases."""

    policies: int = 0
    rules: int = 0
    errors: tuple[DocumentError, ...] = ()
    results: tuple[CaseResult, ...] = ()
    unreached: tuple[Unreached, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    observed: tuple[str, ...] = ()
    """Names of policies that decide nothing."""

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        return tuple(result for result in self.results if not result.passed)

    @property
    def passed(self) -> bool:
        """True without errors and failed cases. Unreached and pointless rules are reported, they fail nothing."""
        return not self.errors and not self.failed

    def lines(self) -> list[str]:
        """`file:line:column: message. remedy`, one per finding."""
        found = [str(error) for error in self.errors]
        found += [f"{each.case.position}: case `{each.case.name}`: {each.problem}" for each in self.failed]
        return found + [str(each) for each in (*self.unreached, *self.overlaps)]


def check_folder_documents(documents: list[Document], cases: list[Case]) -> CheckReport:
    """Compiles the policies among the documents and runs the cases. Never raises for bad documents."""
    count = sum(document.kind == KIND for document in documents)
    try:
        policies = compile_policies(documents)
    except DocumentErrors as error:
        return CheckReport(count, 0, tuple(error.errors))
    results = tuple(run_cases(policies, cases))
    reached = frozenset[str]().union(*(result.reached for result in results))
    unreached = (
        [Unreached(rule.id, rule.position) for rule in policies.rules if rule.id not in reached] if cases else []
    )
    observed = tuple(observer.policy for observer in policies.observers)
    return CheckReport(count, len(policies.rules), (), results, tuple(unreached), tuple(overlaps(policies)), observed)
