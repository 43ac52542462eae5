"""`pratique audit join`: the recordings against the API server's own audit log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from pratique.cli.output import console, output_option, print_json, state_option, table
from pratique.errors import RecordError
from pratique.kube.status import harmless
from pratique.recorder import layout
from pratique.recorder.chain import parse_line
from pratique.recorder.join import Join, join
from pratique.recorder.record import Record

SHOWN = 20
"""Rows of each kind that are printed for people; `--output json` has all of them."""


@click.group()
def audit() -> None:
    """The API server's audit log."""


@audit.command("join")
@state_option
@click.option("--audit-log", "log", required=True, type=click.Path(path_type=Path), help="audit.k8s.io/v1 JSON lines.")
@click.option("--user", "users", multiple=True, help="User that only the gateway may be; default: those that it used.")
@output_option
def join_(state: Path, log: Path, users: tuple[str, ...], output: str) -> None:
    """Join by Audit-ID: what differs, what went around the gateway, what the server never saw. Exit 1 if anything."""
    report = join(records(state), events(log), frozenset(users))
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
