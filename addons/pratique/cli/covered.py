"""`pratique check --coverage`: what the cases and recordings reached of a folder, and what nothing did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pratique.cli.output import console, table
from pratique.cli.trying import progress_bar
from pratique.documents import read_folder
from pratique.errors import Refused
from pratique.kube.status import harmless
from pratique.masking.rules import MaskSet, compile_masks
from pratique.policy.cases import policy_request
from pratique.policy.check import CheckReport
from pratique.policy.coverage import Coverage, Gap, gaps
from pratique.policy.decision import PolicySet, compile_policies
from pratique.trial.running import Plan, run
from pratique.trial.tally import Tally


@dataclass(frozen=True, slots=True)
class Covered:
    """`tally` is None without recordings."""

    policies: PolicySet
    masks: MaskSet
    cases: Coverage
    tally: Tally | None

    @property
    def together(self) -> Coverage:
        """Of cases and recordings."""
        found = Coverage()
        found.merge(self.cases)
        if self.tally is not None:
            found.merge(self.tally.coverage)
        return found

    @property
    def recorded(self) -> Coverage:
        """Of recordings alone."""
        return self.tally.coverage if self.tally is not None else Coverage()

    def values_masked(self) -> dict[str, int]:
        """Mask rule → values that it masked in recorded answers."""
        counts = {rule.id: 0 for rule in self.masks.rules}
        for (_, rule), group in (self.tally.masks if self.tally is not None else {}).items():
            if rule in counts:
                counts[rule] += group.values
        return counts

    def gaps(self) -> list[Gap]:
        """Rules and conditions that nothing reached."""
        return list(gaps(self.policies, self.together))

    def as_json(self) -> dict[str, Any]:
        """Stable keys."""
        answers = self.together.answers
        return {
            "rules": [
                {
                    "rule": rule.id,
                    "action": rule.action.value,
                    "cases": self.cases.matched.get(rule.id, 0),
                    "recordings": self.recorded.matched.get(rule.id, 0),
                }
                for rule in self.policies.rules
            ],
            "conditions": [
                {"rule": rule, "condition": name, "true": each.true, "false": each.false, "errors": each.errors}
                for (rule, name), each in answers.items()
            ],
            "masks": self.values_masked() if self.tally is not None else None,
            "gaps": [str(gap) for gap in self.gaps()],
        }

    def show(self) -> None:
        """Tables, then what was never reached."""
        shown = self.as_json()
        rules = [(each["rule"], each["action"], each["cases"], each["recordings"]) for each in shown["rules"]]
        table(["RULE", "ACTION", "CASES", "RECORDED REQUESTS"], rules)
        if shown["conditions"]:
            click.echo("")
            keys = ("rule", "condition", "true", "false", "errors")
            table(
                ["RULE", "CONDITION", "TRUE", "FALSE", "NO ANSWER"],
                [[each[key] for key in keys] for each in shown["conditions"]],
            )
        click.echo("")
        if self.tally is not None:
            table(["MASK RULE", "VALUES MASKED"], sorted(self.values_masked().items()))
            idle = [rule for rule, count in sorted(self.values_masked().items()) if not count]
            _say(f"mask rule `{rule}` masks nothing in these recordings" for rule in idle)
        else:
            _say(["mask rules were not looked at: cases have no answers. Give --recordings"])
        _say(map(str, self.gaps()))


def _say(lines: Any) -> None:
    for line in lines:
        console().print(harmless(line), style="yellow", markup=False)


def covered_folder(folder: Path, report: CheckReport, recordings: Sequence[Path]) -> Covered:
    """Of the cases that were run, and of recordings. RecordError for one that cannot be read."""
    documents = read_folder(folder)
    policies = compile_policies(documents)
    cases = Coverage()
    for result in report.results:
        try:
            cases.take(policies, policy_request(result.case))
        except Refused:
            continue
    tally = None
    if recordings:
        with progress_bar() as begin:
            tally = run(Plan(folder, coverage=True), recordings, begin)
    return Covered(policies, compile_masks(documents), cases, tally)
