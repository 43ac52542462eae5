"""`pratique sessions`: what was recorded, and whether it is unchanged. `pratique replay`: a session in mitmweb."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from pratique.cli.output import console, output_option, print_json, state_option, table, time_of
from pratique.errors import RecordError
from pratique.kube.status import harmless
from pratique.recorder import export as exporting
from pratique.recorder.casts import read as read_cast
from pratique.recorder.chain import Entry
from pratique.recorder.index import Filter, Index
from pratique.recorder.keys import verifier
from pratique.recorder.layout import FLOW, recordings
from pratique.recorder.sessions import Recordings

IDLE_SECONDS = 2.0


@click.group()
def sessions() -> None:
    """Recorded sessions."""


@sessions.command("list")
@state_option
@click.option("--client", default="")
@click.option("--since", default="", help="Such as 30m, 24h or 7d.")
@click.option("--verb", default="")
@click.option("--resource", default="")
@click.option("--namespace", default="")
@click.option("--verdict", default="")
@click.option("--grep", default="")
@output_option
def list_(state: Path, since: str, output: str, **wanted: Any) -> None:
    """Sessions, newest first."""
    if not recordings(state).is_dir():
        raise RecordError(f"no recordings in `{state}`. Name the gateway's state folder with --state")
    with Index(state) as index:
        index.catch_up()
        rows = index.sessions(Filter(since=time.time() - _seconds(since) if since else 0.0, **wanted))
    if output == "json":
        print_json([dataclasses.asdict(row) for row in rows])
        return
    table(
        ["SESSION", "CLIENT", "OPENED", "REQUESTS", "VERBS", "VERDICTS", "CLAIMS"],
        [
            (
                row.session,
                row.client,
                time_of(row.opened),
                row.requests,
                ",".join(row.verbs),
                ",".join(row.verdicts),
                row.user_agent,
            )
            for row in rows
        ],
    )


def _seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    try:
        return float(text[:-1]) * units[text[-1]]
    except (ValueError, KeyError, IndexError):
        raise RecordError(f"`{text}` is no length of time. Write 30m, 24h or 7d") from None


def _row(entry: Entry) -> dict[str, Any]:
    record = entry.record
    if record is None:
        return {}
    return {
        "time": time_of(record.started or entry.time),
        "verdict": record.verdict or "refused",
        "status": record.status,
        "request": f"{record.method} {record.path}" + (f"?{record.query}" if record.query else ""),
        "rules": ",".join(record.rules),
        "masks": ",".join(record.masks),
        "approval": record.approval_id,
        "milliseconds": round(max(record.ended - record.started, 0.0) * 1000),
        "auditID": record.audit_id,
        "message": record.message,
    }


@sessions.command()
@click.argument("session")
@state_option
@output_option
def show(session: str, state: Path, output: str) -> None:
    """The timeline of one session."""
    found = Recordings(state)
    identifier = found.find(session)
    rows = [_row(entry) for entry in found.timeline(identifier)]
    opened = found.opened(identifier)
    if output == "json":
        print_json({"session": identifier, "client": opened.client, "claims": opened.claims, "requests": rows})
        return
    console().print(f"session {identifier}  client {opened.client}  claims {opened.claims}", markup=False)
    columns = ["time", "verdict", "status", "milliseconds", "request", "rules", "masks", "approval"]
    table([name.upper() for name in columns], [[row[name] for name in columns] for row in rows])


@sessions.command()
@click.argument("session", default="")
@state_option
@output_option
def verify(session: str, state: Path, output: str) -> None:
    """Find any changed, removed, reordered or truncated record. Exit 1 if something proves a change."""
    found = Recordings(state)
    result = found.verify(verifier(state), session=found.find(session) if session else "")
    if output == "json":
        print_json(
            {
                "ok": result.ok,
                "sessions": result.sessions,
                "records": result.records,
                "findings": [str(each) for each in result.findings],
            }
        )
    else:
        for finding in result.findings:
            click.echo(harmless(str(finding)))
        click.echo(f"{'ok' if result.ok else 'NOT ok'}: {result.sessions} sessions, {result.records} records")
    sys.exit(0 if result.ok else 1)


@sessions.command()
@click.argument("session")
@state_option
@click.option("--speed", type=click.FloatRange(0.1, 100), default=1.0)
@click.option("--idle", type=click.FloatRange(0), default=IDLE_SECONDS, help="Longest pause, in seconds.")
def play(session: str, state: Path, speed: float, idle: float) -> None:
    """Play the recorded terminal of an exec session."""
    found = Recordings(state)
    casts = [part for part in found.parts(found.find(session)) if part.suffix == ".cast"]
    if not casts:
        raise RecordError("this session has no recorded terminal. `pratique sessions show` lists its requests")
    for cast in casts:
        with cast.open("rb") as lines:
            before = 0.0
            for event in read_cast(lines):
                time.sleep(min(max(event.time - before, 0.0), idle) / speed)
                before = event.time
                if event.code == "o":
                    click.echo(event.data, nl=False)


@sessions.command()
@click.argument("session")
@state_option
@click.option("--format", "form", type=click.Choice(["audit", "har"]), default="audit")
def export(session: str, state: Path, form: str) -> None:
    """Print a session as audit.k8s.io/v1 events (JSON lines) or as HAR."""
    found = Recordings(state)
    identifier = found.find(session)
    opened = found.opened(identifier)
    if form == "audit":
        for entry in found.timeline(identifier):
            if (event := exporting.audit_event(identifier, opened, entry)) is not None:
                print_json(event)
        return
    entries = [
        exporting.har_entry(found.flow(identifier, entry), entry.record)
        for entry in found.timeline(identifier)
        if entry.part == FLOW
    ]
    from pratique import __version__  # noqa: PLC0415 - only here

    print_json(exporting.har(entries, __version__))


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("session")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@state_option
def replay(session: str, options: tuple[str, ...], state: Path) -> None:
    """Open a recorded session in mitmweb; nothing is sent anywhere. OPTIONS go to mitmweb."""
    found = Recordings(state)
    identifier = found.find(session)
    files = [part for part in found.parts(identifier) if part.suffix == ".flow"]
    if not files:
        raise RecordError(f"session `{identifier}` has no flow file")
    command = "from mitmproxy.tools.main import mitmweb; mitmweb()"
    sys.exit(subprocess.call([sys.executable, "-c", command, "--no-server", "-r", str(files[0]), *options]))  # noqa: S603 - our own interpreter
