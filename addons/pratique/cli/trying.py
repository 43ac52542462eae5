"""`pratique test-policy`: recorded requests through a folder of documents, offline, and the difference from another folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pratique.cli.output import console, output_option, print_json, table
from pratique.documents import read_text
from pratique.kube.status import harmless
from pratique.trial.expectation import ExpectationSpec, parse_expectation, unmet
from pratique.trial.judging import As, Outcome
from pratique.trial.running import Plan, run
from pratique.trial.tally import Change, Example, Group, Tally
from pratique.trial.visibility import Sight

SHOWN_BAD = 20
"""Lines about what could not be read that are printed; all are counted."""


def recordings_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is read, and as whose."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--jobs", type=click.IntRange(1, 64), default=os.cpu_count() or 1, help="Processes at a time."),
        click.option("--keep-going", is_flag=True, help="Read on after what cannot be read; exit 1 all the same."),
        click.option("--user", "users", multiple=True, help="Only clients or users that match this glob."),
        click.option("--recordings", "-r", multiple=True, required=True, type=path, help=_RECORDINGS),
    ):
        function = option(function)
    return function


_RECORDINGS = "State folder, .flow file, audit log or JSON lines of requests; may be repeated."


@click.command("test-policy")
@click.argument("folder", type=click.Path(path_type=Path))
@recordings_options
@click.option("--against", type=click.Path(path_type=Path), default=None, help="Only the difference from this folder.")
@click.option("--expect", type=click.Path(path_type=Path), default=None, help="Exit 1 unless this is met.")
@click.option("--client", default="", help="As which client: every request that names none; with --as-client, all.")
@click.option("--as-client", is_flag=True, help="Judge every request as --client, whoever sent it.")
@click.option("--examples", type=click.IntRange(0, 10_000), default=3, show_default=True, help="Of each row.")
@click.option("--masks/--no-masks", default=True, help="Look at what is masked in the answers, too.")
@output_option
def test_policy(  # noqa: PLR0917 - the options of a command line
    folder: Path,
    recordings: tuple[Path, ...],
    users: tuple[str, ...],
    keep_going: bool,  # noqa: FBT001
    jobs: int,
    against: Path | None,
    expect: Path | None,
    client: str,
    as_client: bool,  # noqa: FBT001
    examples: int,
    masks: bool,  # noqa: FBT001
    output: str,
) -> None:
    """What the documents of FOLDER make of recorded requests. Nothing is sent.

    Exit code 1: an expectation is not met, or a part of a recording could not be read.
    """
    if as_client and not client:
        raise click.UsageError("--as-client needs --client NAME")
    expectation = parse_expectation(read_text(expect), str(expect)) if expect else ExpectationSpec()
    plan = Plan(
        folder=folder,
        against=against,
        asks=As(client, force=as_client),
        users=users,
        expectation=expectation,
        keep=examples,
        masks=masks,
        keep_going=keep_going,
        jobs=jobs,
    )
    with progress_bar() as begin:
        tally = run(plan, recordings, begin)
    problems = list(unmet(expectation, tally, against=against is not None))
    if output == "json":
        print_json(as_json(tally, problems, compared=against is not None))
    else:
        show(tally, problems, compared=against is not None)
    sys.exit(1 if problems or tally.bad_count else 0)


@contextmanager
def progress_bar() -> Iterator[Callable[[int], Callable[[int], None]]]:
    """A bar on standard error, where that is a terminal: call it with all the bytes, and its answer with those done."""
    shown = console(err=True)
    columns = (TextColumn("reading"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=shown, transient=True, disable=not sys.stderr.isatty()
    ) as bar:

        def begin(total: int) -> Callable[[int], None]:
            task = bar.add_task("reading", total=total)
            return lambda done: bar.advance(task, done)

        yield begin


# --- for people ---


def show(tally: Tally, problems: list[str], *, compared: bool) -> None:
    """The tables, then what is wrong, then the sums."""
    if compared:
        _show_differences(tally)
    else:
        _show_outcomes(tally)
    shown = console()
    for reason, group in tally.unseen.items():
        shown.print(f"{group.count} answers were not looked at: {harmless(reason)}", style="yellow", markup=False)
    for line in tally.bad[:SHOWN_BAD]:
        click.echo(f"pratique: {harmless(line)}", err=True)
    if tally.bad_count > SHOWN_BAD:
        click.echo(f"pratique: {tally.bad_count} parts of the recordings could not be read", err=True)
    for problem in problems:
        shown.print(f"not as expected: {harmless(problem)}", style="red", markup=False)
    mark = "[green]ok[/]" if not problems and not tally.bad_count else "[red]not ok[/]"
    shown.print(f"{mark}: {_sums(tally, compared=compared)}")


def _show_outcomes(tally: Tally) -> None:
    rows = sorted(tally.outcomes.items(), key=lambda item: (item[0].client, item[0].outcome, -item[1].count))
    table(
        ["CLIENT", "OUTCOME", "RULES", "REQUESTS", "FOR EXAMPLE", "WHERE"],
        [
            (row.client, row.outcome.value, ", ".join(row.rules) or "-", group.count, *_first(group))
            for row, group in rows
        ],
    )
    for row, group in rows:
        if row.outcome is Outcome.UNKNOWN and group.examples:
            why = group.examples[0].why
            console().print(
                f"Unknown ({group.count}, client {row.client}): {harmless(why)}", style="yellow", markup=False
            )
    if tally.masks:
        click.echo("")
        masks = sorted(tally.masks.items())
        table(
            ["CLIENT", "MASK RULE", "VALUES", "ANSWERS", "FOR EXAMPLE", "WHERE"],
            [(client, rule, group.values, group.count, *_first(group)) for (client, rule), group in masks],
        )


def _show_differences(tally: Tally) -> None:
    order = {change: number for number, change in enumerate(Change)}
    changes = sorted(tally.changes.items(), key=lambda item: (order[item[0].change], item[0].client, item[0].what))
    if changes:
        table(
            ["DIFFERENCE", "CLIENT", "WHAT", "BEFORE", "NOW", "REQUESTS", "FOR EXAMPLE", "WHERE"],
            [
                (
                    row.change.value,
                    row.client,
                    row.what,
                    _by(row.before.value, row.before_rules),
                    _by(row.after.value, row.after_rules),
                    group.count,
                    *_first(group),
                )
                for row, group in changes
            ],
        )
    if tally.sights:
        click.echo("")
        table(
            ["DIFFERENCE", "CLIENT", "OBJECTS", "FIELD", "RULE", "ANSWERS", "FOR EXAMPLE", "WHERE"],
            [
                (row.sight.value, row.client, row.resource, row.field, row.rule or "-", group.count, *_first(group))
                for row, group in sorted(tally.sights.items())
            ],
        )


def _by(outcome: str, rules: tuple[str, ...]) -> str:
    return f"{outcome} ({', '.join(rules)})" if rules else outcome


def _first(group: Group) -> tuple[str, str]:
    return (group.examples[0].words, group.examples[0].place) if group.examples else ("", "")


def _sums(tally: Tally, *, compared: bool) -> str:
    counts = {outcome.value: tally.of_outcome(outcome) for outcome in Outcome}
    said = f"{tally.requests} requests: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    if not compared:
        return said
    changed = {change.value: tally.of_change(change) for change in Change}
    changed |= {sight.value: tally.of_sight(sight) for sight in Sight}
    listed = ", ".join(f"{count} {name}" for name, count in changed.items() if count)
    return f"{said}. Difference: {listed or 'none'}"


# --- for programs ---


def as_json(tally: Tally, problems: list[str], *, compared: bool) -> dict[str, Any]:
    """Every row, stable camelCase keys."""
    result: dict[str, Any] = {
        "requests": tally.requests,
        "outcomes": {outcome.value: tally.of_outcome(outcome) for outcome in Outcome},
        "rows": [
            {"client": row.client, "outcome": row.outcome.value, "rules": list(row.rules), **_group(group)}
            for row, group in tally.outcomes.items()
        ],
        "masks": [
            {"client": client, "rule": rule, "values": group.values, **_group(group)}
            for (client, rule), group in tally.masks.items()
        ],
        "notSeen": [{"reason": reason, **_group(group)} for reason, group in tally.unseen.items()],
        "unreadable": {"count": tally.bad_count, "parts": tally.bad},
        "unmet": problems,
        "passed": not problems and not tally.bad_count,
    }
    if compared:
        result["changes"] = [_change(row, group) for row, group in tally.changes.items()]
        result["fields"] = [
            {
                "change": row.sight.value,
                "client": row.client,
                "objects": row.resource,
                "field": row.field,
                "rule": row.rule,
                **_group(group),
            }
            for row, group in tally.sights.items()
        ]
    return result


def _change(row: Any, group: Group) -> dict[str, Any]:
    return {
        "change": row.change.value,
        "client": row.client,
        "what": row.what,
        "before": {"outcome": row.before.value, "rules": list(row.before_rules)},
        "after": {"outcome": row.after.value, "rules": list(row.after_rules)},
        **_group(group),
    }


def _group(group: Group) -> dict[str, Any]:
    return {"count": group.count, "examples": [_example(one) for one in group.examples]}


def _example(one: Example) -> dict[str, str]:
    return {"request": one.words, "place": one.place, "id": one.id, "why": one.why}
