"""`pratique sessions observed`: what observed policies would have decided otherwise, counted from the recordings."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click

from pratique.cli.audit import records
from pratique.cli.output import output_option, print_json, state_option, table
from pratique.policy.observing import Observed
from pratique.recorder.record import Record, Stage


class _Row(NamedTuple):
    policy: str
    client: str
    enforced: str
    observed: str
    rules: tuple[str, ...]


@click.command()
@state_option
@click.option("--all", "everything", is_flag=True, help="Also where the verdict is the same.")
@output_option
def observed(state: Path, everything: bool, output: str) -> None:  # noqa: FBT001
    """Verdicts of policies with `mode: Observe`, beside those that were enforced; only where they differ."""
    counts: dict[_Row, tuple[int, str]] = {}
    for record in records(state):
        if record.stage is not Stage.COMPLETE:
            continue
        for text in record.observed:
            found = Observed.parse(text)
            if everything or found.action != record.verdict:
                row = _Row(found.policy, record.client, record.verdict, found.action, found.rules)
                count, example = counts.get(row, (0, _words(record)))
                counts[row] = (count + 1, example)
    rows = sorted(counts.items())
    if output == "json":
        print_json([row._asdict() | {"requests": count, "example": example} for row, (count, example) in rows])
        return
    headings = ["POLICY", "CLIENT", "ENFORCED", "OBSERVED", "RULES", "REQUESTS", "FOR EXAMPLE"]
    table(headings, [(*row[:4], ", ".join(row.rules) or "-", count, example) for row, (count, example) in rows])


def _words(record: Record) -> str:
    if not record.resource:
        return f"{record.method} {record.path}"
    resource = f"{record.resource}/{record.subresource}" if record.subresource else record.resource
    where = f" -n {record.namespace}" if record.namespace else ""
    return " ".join(word for word in (record.verb, resource, record.name) if word) + where
