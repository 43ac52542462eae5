"""`pratique audit join`: the recordings against the API server's own audit log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from pratique.cli.output import console, output_option, print_json, state_option, table
from pratique.errors import RecordError
from pratique.kube.status import harmless
from pratique.recorder import cloudwatch, layout
from pratique.recorder.chain import parse_line
from pratique.recorder.filters import moment
from pratique.recorder.join import Join, join
from pratique.recorder.record import Record

DELIVERY_SECONDS = 900.0
"""EKS delivers audit events within minutes; a request that is younger is not called missing."""
SHOWN = 20
"""Rows of each kind that are printed for people; `--output json` has all of them."""


@click.group()
def audit() -> None:
    """The API server's audit log."""


@audit.command("join")
@state_option
@click.option("--audit-log", "log", type=click.Path(path_type=Path), help="audit.k8s.io/v1 JSON lines.")
@click.option("--cloudwatch", "group", default="", help="CloudWatch log group instead: /aws/eks/CLUSTER/cluster.")
@click.option("--since", default="24h", show_default=True, help="With --cloudwatch: 30m, 24h, 7d, or 2026-01-31T09:30.")
@click.option("--user", "users", multiple=True, help="User that only the gateway may be; default: those that it used.")
@output_option
def join_(  # noqa: PLR0917 - click passes them by name
    state: Path, log: Path | None, group: str, since: str, users: tuple[str, ...], output: str
) -> None:
    """Join by Audit-ID: what differs, what went around the gateway, what the server never saw. Exit 1 if anything."""
    if (log is None) == (not group):
        raise click.UsageError("name the audit log: --audit-log FILE, or --cloudwatch GROUP")
    if log is not None:
        report = join(records(state), events(log), frozenset(users))
    else:
        report = of_cloudwatch(state, group, since, frozenset(users))
    if output == "json":
        print_json(
            {
                "joined": report.joined,
                "mismatches": [msgspec.to_builtins(mismatch) for mismatch in report.mismatches],
                "around": [_brief(event) for event in report.around],
                "unseen": report.unseen,
            }
        )
    else:
        _show(report)
    sys.exit(0 if report.clean else 1)


def of_cloudwatch(state: Path, group: str, since: str, users: frozenset[str]) -> Join:
    """All recordings against the events since then. What ended before it, or a moment ago, is not missed in the log."""
    now = time.time()
    try:
        begin = moment(since, now)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    expected, cut = set[str](), 0

    def known() -> Iterator[Record]:
        for record in records(state):
            if begin <= record.started and record.ended <= now - DELIVERY_SECONDS:
                expected.add(record.audit_id)
            else:
                expected.discard(record.audit_id)
            yield record

    def audited() -> Iterator[dict[str, Any]]:
        nonlocal cut
        with console(err=True).status(f"reading {group}"):
            for event in cloudwatch.events(group, begin):
                if event is None:
                    cut += 1
                else:
                    yield event

    report = join(known(), audited(), users)
    if cut:
        click.echo(f"pratique: {cut} events were cut by CloudWatch (over 256 KiB) and could not be read", err=True)
    report.unseen = [audit_id for audit_id in report.unseen if audit_id in expected]
    return report


def _show(report: Join) -> None:
    if report.around:
        keys = ("auditID", "user", "verb", "requestURI")
        rows = [tuple(harmless(_brief(event)[key]) for key in keys) for event in report.around[:SHOWN]]
        table(["WENT AROUND THE GATEWAY", "USER", "VERB", "URI"], rows)
    for line in [
        *map(str, report.mismatches),
        *(f"{one}: recorded as sent, not in the audit log" for one in report.unseen),
    ][:SHOWN]:
        click.echo(harmless(line))
    mark = "[green]ok[/]" if report.clean else "[red]not ok[/]"
    console().print(
        f"{mark}: {report.joined} joined, {len(report.mismatches)} mismatches, {len(report.around)} around the gateway, "
        f"{len(report.unseen)} never seen by the server"
    )


def _brief(event: Any) -> dict[str, str]:
    found = {key: str(event.get(key, "")) for key in ("auditID", "verb", "requestURI", "requestReceivedTimestamp")}
    return {**found, "user": str((event.get("user") or {}).get("username", ""))}


def records(state: Path) -> Iterator[Record]:
    """Every record of every session, of every worker, in the order of its journals."""
    folders = [folder for each in layout.states(state) if (folder := layout.recordings(each)).is_dir()]
    if not folders:
        raise RecordError(f"no recordings in `{state}`. Name the gateway's state folder with --state")
    for path in (path for folder in folders for path in sorted(folder.glob(f"*/*{layout.CHAIN_SUFFIX}"))):
        with path.open("rb") as file:
            for line in file:
                parsed = parse_line(line.rstrip(b"\n"))
                if parsed and parsed[0].record is not None:
                    yield parsed[0].record


def events(log: Path) -> Iterator[dict[str, Any]]:
    """The events of an audit log. RecordError names the line that is none; a last line that is still written is left out."""
    decoder = msgspec.json.Decoder(dict[str, Any])
    with log.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield decoder.decode(line)
            except msgspec.MsgspecError:
                raise RecordError(f"{log}:{number}:1: not an audit event. Give the API server's JSON log") from None
