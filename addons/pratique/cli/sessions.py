"""`pratique sessions`: what was recorded, played, exported, and whether it is unchanged."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pratique.cli.exporting import exported
from pratique.cli.observed import observed
from pratique.cli.output import STYLES, console, output_option, print_json, state_option, table, time_of
from pratique.cli.shared import print_shared
from pratique.errors import RecordError
from pratique.kube.status import harmless
from pratique.recorder import layout
from pratique.recorder.filters import Filter, matches, moment
from pratique.recorder.index import Index, SessionRow
from pratique.recorder.keys import verifier
from pratique.recorder.sessions import Anchor, Recordings, Verification, located
from pratique.recorder.terminal import RESET, TerminalFilter, pauses
from pratique.recorder.timeline import Row, rfc3339, rows, tally

IDLE_SECONDS = 2.0
VERDICTS = ["Allow", "RequireApproval", "Deny", "refused"]
sleep = time.sleep
"""Replaced by tests: they do not wait."""


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filters of `list` and `show`; they reach the command as `wanted`."""
    for option in (
        click.option("--grep", default="", help="A part of path, query, argv, message or rule; any case."),
        click.option("--verdict", type=click.Choice(VERDICTS, case_sensitive=False), default=None),
        click.option("--namespace", "-n", default=""),
        click.option("--resource", default="", help="Such as pods or pods/exec."),
        click.option("--verb", default="", help="As in RBAC: get, list, watch, create, delete …"),
        click.option("--until", default="", help="Not later than: as --since."),
        click.option("--since", default="", help="30m, 24h, 7d ago, or 2026-01-31, 2026-01-31T09:30 (UTC)."),
        click.option("--client", default=""),
    ):
        function = option(function)
    return function


def _filter(since: str, until: str, verdict: str | None, **wanted: Any) -> Filter:
    now = time.time()
    try:
        begin, end = (moment(text, now) if text else 0.0 for text in (since, until))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return Filter(since=begin, until=end, verdict=verdict or "", **wanted)


def _states(state: Path) -> list[Path]:
    """Of every worker."""
    found = [each for each in layout.states(state) if layout.recordings(each).is_dir()]
    if not found:
        raise RecordError(f"no recordings in `{state}`. Name the gateway's state folder with --state")
    return found


def _located(state: Path, session: str) -> tuple[Recordings, str]:
    _states(state)
    return located(state, session)


@click.group()
def sessions() -> None:
    """Recorded sessions."""


@sessions.command("list")
@state_option
@click.option("--table", "shared_table", default="", help="Those of all replicas, from their DynamoDB table.")
@click.option("--region", default="", help="The table's AWS region, where it is not the environment's.")
@filter_options
@output_option
def list_(state: Path, shared_table: str, region: str, output: str, **wanted: Any) -> None:
    """Sessions, newest first; with filters, those with a request that matches."""
    asked, found = _filter(**wanted), list[SessionRow]()
    if shared_table:
        print_shared(shared_table, region, asked, output)
        return
    for each in _states(state):
        with Index(each) as index:
            index.catch_up()
            found += index.sessions(asked)
    found.sort(key=lambda row: row.session, reverse=True)
    if output == "json":
        print_json([_as_json(row) for row in found])
        return
    headings = ["SESSION", "CLIENT", "OPENED", "TOOK", "REQUESTS", "VERBS", "VERDICTS", "RECORDED", "CLAIMS"]
    table(headings, map(_listed, found))


def _as_json(row: SessionRow) -> dict[str, Any]:
    times = {"opened": rfc3339(row.opened), "closed": rfc3339(row.closed) if row.closed else None}
    return dataclasses.asdict(row) | times


def _listed(row: SessionRow) -> tuple[object, ...]:
    casts = sum(part.endswith(".cast") for part in row.parts)
    streams = sum(part.endswith(".events") for part in row.parts)
    counted = ((casts, "terminal"), (streams, "stream"))
    recorded = [f"{count} {name}" + ("" if count == 1 else "s") for count, name in counted if count]
    took = _took(round((row.closed - row.opened) * 1000)) if row.closed else "open"
    claims = row.mcp_client or row.user_agent.partition(" ")[0]
    return (
        row.session, row.client, time_of(row.opened), took, row.requests, ",".join(row.verbs), ",".join(row.verdicts),
        ", ".join(recorded), claims,
    )  # fmt: skip


def _took(milliseconds: int) -> str:
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def timeline(found: Recordings, session: str) -> list[Row]:
    """Every request of a session."""
    parts = [path.name.removeprefix(f"{session}.") for path in found.parts(session)]
    return rows(found.timeline(session), parts)


@sessions.command()
@click.argument("session")
@state_option
@filter_options
@output_option
def show(session: str, state: Path, output: str, **wanted: Any) -> None:
    """The timeline of one session: request, verdict, rule, status, duration, approval."""
    found, identifier = _located(state, session)
    asked = _filter(**wanted)
    chosen = {
        entry.n for entry in found.timeline(identifier) if entry.record and matches(asked, entry.record, entry.time)
    }
    listed = [row for row in timeline(found, identifier) if row.entry in chosen]
    opened, notes = found.opened(identifier), found.notes(identifier)
    if output == "json":
        about = {"session": identifier, "client": opened.client, "cluster": opened.cluster, "claims": opened.claims}
        print_json(
            about
            | {"notes": [{"time": rfc3339(at), "note": text} for at, text in notes]}
            | {"requests": [row.as_json() for row in listed]}
        )
        return
    claims = ", ".join(f"{name} {value}" for name, value in opened.claims.items())
    said = console()
    said.print(f"session {identifier}  opened {time_of(found.entries(identifier)[0].time)}", markup=False)
    said.print(
        harmless(f"client {opened.client} on {opened.cluster}" + (f"; claims: {claims}" if claims else "")),
        markup=False,
    )
    for at, text in notes:
        said.print(harmless(f"{time_of(at)}  {text}"), markup=False)
    said.print(tally(listed), markup=False)
    if sys.stdout.isatty():
        said.print(_aligned(listed))
    else:
        table([], map(_shown, listed))
    if any(row.cast for row in listed) and sys.stdout.isatty():
        said.print(f"[dim]pratique sessions play {escape(identifier)} shows its terminals[/]")


def _aligned(listed: list[Row]) -> Table:
    """The timeline for a terminal: what was masked and said stands below the request."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("TIME", "VERDICT", "STATUS"):
        shown.add_column(heading, no_wrap=True)
    shown.add_column("TOOK", justify="right", no_wrap=True)
    shown.add_column("REQUEST", ratio=1, overflow="fold")
    for heading in ("RULES", "APPROVAL"):
        shown.add_column(heading, overflow="fold")
    for row in listed:
        otherwise = [f"observed: {text}" for text in row.observed if text.split(" ")[1:2] != [row.verdict]]
        below = [*otherwise, f"masked by {', '.join(row.masks)}" if row.masks else "", row.message, row.note]
        request = Text(harmless(row.words))
        for line in filter(None, below):
            request.append(f"\n{harmless(line)}", style="dim")
        shown.add_row(
            rfc3339(row.time).partition("T")[2].rstrip("Z"),
            Text(harmless(row.verdict), style=STYLES.get(row.verdict, "")),
            Text(str(row.status or "–"), style="red" if row.status >= 400 or not row.status else ""),
            _took(row.milliseconds) + ("…" if row.open else ""),
            request,
            Text("\n".join(map(harmless, row.rules))),
            Text(harmless(row.approval)),
        )
    return shown


def _shown(row: Row) -> tuple[object, ...]:
    took = _took(row.milliseconds) + ("…" if row.open else "")
    masks = ",".join(row.masks)
    said = row.message or row.note
    return (
        rfc3339(row.time),
        row.verdict,
        row.status or "–",
        took,
        row.words,
        ",".join(row.rules),
        row.approval,
        masks,
        said,
    )


@sessions.command()
@click.argument("session", default="")
@state_option
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Public key (PEM) that was kept elsewhere; default: those in the state folder, which prove less.",
)
@click.option("--anchor", default="", help="A head that was noted elsewhere, N:HASH, as this command prints it.")
@output_option
def verify(session: str, state: Path, keys: tuple[Path, ...], anchor: str, output: str) -> None:
    """Find any changed, removed, reordered or truncated record and any missing session. Exit 1 if a change is proved."""
    known, checked = _anchor(anchor), list[Verification]()
    for each in _states(state):
        found = Recordings(each)
        if session and not found.named(session):
            continue
        wanted = found.find(session) if session else ""
        checked.append(found.verify(verifier(each, *keys), session=wanted, anchor=known if not checked else None))
    if not checked:
        located(state, session)  # says that there is none
    if output == "json":
        print_json(_verified(checked))
    else:
        _say(checked)
    sys.exit(0 if all(result.ok for result in checked) else 1)


def _anchor(text: str) -> Anchor | None:
    if not text:
        return None
    number, colon, digest = text.partition(":")
    if not (number.isdecimal() and colon and digest):
        raise click.UsageError(f"`{text}` is no head. Give N:HASH, as `pratique sessions verify` prints it")
    return Anchor(int(number), digest)


def _verified(checked: list[Verification]) -> dict[str, Any]:
    """`head` is the first worker's, `heads` are all workers'."""
    findings = [
        {"change": str(each.change), "session": each.session, "file": each.file, "entry": each.n,
         "message": each.message, "provesChange": each.proves_change}
        for result in checked for each in result.findings
    ]  # fmt: skip
    heads = [_head(result) for result in checked]
    return {
        "ok": all(result.ok for result in checked),
        "sessions": sum(result.sessions for result in checked),
        "records": sum(result.records for result in checked),
        "head": heads[0],
        "heads": heads,
        "findings": findings,
    }


def _head(result: Verification) -> str | None:
    return f"{result.head.n}:{result.head.hash}" if result.head else None


def _say(checked: list[Verification]) -> None:
    said = console()
    for finding in (finding for result in checked for finding in result.findings):
        style = "red" if finding.proves_change else "yellow"
        said.print(Text(harmless(str(finding)), style=style))
    word = "[green]ok[/]" if all(result.ok for result in checked) else "[red]NOT ok[/]"
    sessions_, records = sum(result.sessions for result in checked), sum(result.records for result in checked)
    said.print(f"{word}: {sessions_} sessions, {records} records")
    for head in filter(None, map(_head, checked)):
        said.print(f"head {head}", markup=False)


@sessions.command()
@click.argument("session")
@state_option
@click.option("--speed", type=click.FloatRange(0.1, 100), default=1.0, help="How many times faster.")
@click.option("--idle", type=click.FloatRange(0), default=IDLE_SECONDS, help="Longest pause, in seconds.")
def play(session: str, state: Path, speed: float, idle: float) -> None:
    """Play the recorded terminals of a session. In a pipe: their text at once, without control sequences."""
    found, identifier = _located(state, session)
    casts = [row for row in timeline(found, identifier) if row.cast]
    if not casts:
        raise RecordError("this session has no recorded terminal. `pratique sessions show` lists its requests")
    for row in casts:
        _play(found, identifier, row, speed, idle)


def _play(found: Recordings, session: str, row: Row, speed: float, idle: float) -> None:
    terminal = sys.stdout.isatty()
    shown = TerminalFilter(plain=not terminal)
    events = list(found.cast(session, row.flow))
    said = console()
    said.print(Text(f"── {harmless(row.words)} ──", style="dim"))
    try:
        for pause, event in zip(pauses((event.time for event in events), speed, idle), events, strict=True):
            if terminal and pause:
                sleep(pause)
            if event.code == "o":
                click.echo(shown.feed(event.data), nl=False)
    finally:
        if terminal:
            click.echo(RESET)
    markers = [event.data for event in events if event.code == "m"]
    if markers:
        said.print(Text(f"── {harmless('; '.join(markers))} ──", style=STYLES.get("pending", "")))


@sessions.command()
@click.argument("session")
@state_option
@click.option("--format", "form", type=click.Choice(["audit", "har", "html"]), default="audit")
@click.option(
    "--to", type=click.Path(path_type=Path, dir_okay=False), default=None, help="File; default: standard output."
)
def export(session: str, state: Path, form: str, to: Path | None) -> None:
    """A session as audit.k8s.io/v1 events (JSON lines), as HAR, or as one HTML page that can be sent."""
    found, identifier = _located(state, session)
    if form == "html" and to is None and sys.stdout.isatty():
        to = Path(f"{identifier}.html")
    text = exported(found, identifier, form, verifier(state), time.time())
    if to is None:
        click.echo(text, nl=False)
        return
    to.write_text(text, encoding="utf-8")
    to.chmod(0o600)
    click.echo(f"wrote {to}", err=True)


sessions.add_command(observed)
