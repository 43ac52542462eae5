"""`pratique approvals`: what waits for a person, and deciding it. `pratique revoke`: taking a grant back."""

from __future__ import annotations

import getpass
import sys
import time
from pathlib import Path
from typing import Any

import click

from pratique.approvals.deciding import Decision
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.store import Approval
from pratique.approvals.transitions import State
from pratique.cli.output import console, output_option, print_json, state_option, table, time_of
from pratique.errors import StartError
from pratique.kube.status import harmless

WATCH_SECONDS = 0.5


def _store(state: Path) -> SqliteStore:
    file = state / "approvals.sqlite"
    if not file.exists():
        raise StartError(f"no approvals in `{state}`. Name the gateway's state folder with --state")
    return SqliteStore(file)


def _find(store: SqliteStore, prefix: str) -> Approval:
    found = store.get(prefix, time.time())
    if found is None:
        hits = [approval for approval in store.find(time.time(), limit=10_000) if approval.id.startswith(prefix)]
        if len(hits) != 1:
            raise StartError(f"`{prefix}` names {len(hits)} approvals. Take an id from `pratique approvals list`")
        found = hits[0]
    return found


def as_json(approval: Approval) -> dict[str, Any]:
    """One approval, for `--output json`."""
    summary = approval.question.summary
    return {
        "id": approval.id,
        "state": str(approval.state),
        "client": approval.client,
        "cluster": approval.question.cluster,
        "words": summary.words,
        "method": summary.method,
        "path": summary.path,
        "body": summary.body,
        "rules": list(summary.rules),
        "message": summary.message,
        "createdAt": approval.created_at,
        "expiresAt": approval.expires_at,
        "attempts": approval.attempts,
        "decisions": [
            {"reviewer": each.reviewer, "decision": str(each.decision), "reason": each.reason, "at": each.at}
            for each in approval.decisions
        ],
    }


@click.group()
def approvals() -> None:
    """Requests that wait for a person."""


@approvals.command("list")
@state_option
@click.option("--all", "everything", is_flag=True, help="Decided and ended ones too.")
@output_option
def list_(state: Path, everything: bool, output: str) -> None:  # noqa: FBT001 - a flag of click
    """What is pending (or approved and not used yet)."""
    wanted = () if everything else (State.PENDING, State.APPROVED)
    found = _store(state).find(time.time(), wanted)
    if output == "json":
        print_json([as_json(approval) for approval in found])
        return
    rows = [
        (approval.id, approval.state, approval.client, approval.question.summary.words, time_of(approval.expires_at))
        for approval in found
    ]
    table(["ID", "STATE", "CLIENT", "WHAT", "EXPIRES"], rows)


@approvals.command()
@click.argument("approval_id")
@state_option
@output_option
def show(approval_id: str, state: Path, output: str) -> None:
    """One approval with the request, masked."""
    approval = _find(_store(state), approval_id)
    if output == "json":
        print_json(as_json(approval))
        return
    shown, summary = console(), approval.question.summary
    rows = [
        ("approval", approval.id),
        ("state", str(approval.state)),
        ("client", approval.client),
        ("what", summary.words),
        ("request", f"{summary.method} {summary.path}"),
        ("rules", ", ".join(summary.rules)),
        ("why", summary.message),
        ("asked", f"{approval.attempts} times, first {time_of(approval.created_at)}"),
        ("expires", time_of(approval.expires_at)),
        ("body", summary.body),
        *(
            ("decided", f"{each.decision} by {each.reviewer} at {time_of(each.at)} {each.reason}")
            for each in approval.decisions
        ),
    ]
    for name, value in rows:
        if value:
            shown.print(f"{name:<9} {harmless(value)}", markup=False)


@approvals.command()
@state_option
def watch(state: Path) -> None:
    """Print approvals as they are asked for and decided, until Ctrl-C."""
    store, seen, version = _store(state), dict[str, State](), None
    while True:
        if (now_version := store.version()) != version:
            version = now_version
            for approval in reversed(store.find(time.time())):
                if seen.get(approval.id) is not approval.state:
                    seen[approval.id] = approval.state
                    words = harmless(approval.question.summary.words)
                    click.echo(f"{approval.id}  {approval.state:<9}  {approval.client}  {words}")
        time.sleep(WATCH_SECONDS)


def _decide(state: Path, approval_id: str, decision: Decision, reviewer: str | None, reason: str) -> None:
    store = _store(state)
    approval = _find(store, approval_id)
    decided = store.decide(approval.id, decision, reviewer or getpass.getuser(), reason, time.time())
    click.echo(f"{decided.id} {decided.state}: {harmless(decided.question.summary.words)}")


reviewer_option = click.option("--as", "reviewer", default=None, help="Reviewer's name; default: the login name.")
reason_option = click.option("--reason", default="", help="Kept, and told to the client on denial.")


@approvals.command()
@click.argument("approval_id")
@state_option
@reviewer_option
@reason_option
def approve(approval_id: str, state: Path, reviewer: str | None, reason: str) -> None:
    """Let exactly this request happen once."""
    _decide(state, approval_id, Decision.APPROVE, reviewer, reason)


@approvals.command()
@click.argument("approval_id")
@state_option
@reviewer_option
@reason_option
def deny(approval_id: str, state: Path, reviewer: str | None, reason: str) -> None:
    """Refuse it."""
    _decide(state, approval_id, Decision.DENY, reviewer, reason)


@click.command()
@click.argument("what", type=click.Choice(["approval", "client", "session", "grant", "all"]))
@click.argument("name", default="")
@state_option
def revoke(what: str, name: str, state: Path) -> None:
    """Take back an approval that was granted and not used yet."""
    if what != "approval":
        click.echo(
            f"pratique: revoking a {what} is not available yet. To cut a client off, remove its Client document",
            err=True,
        )
        sys.exit(1)
    store = _store(state)
    approval = _find(store, name)
    if not store.revoke(approval.id, time.time()):
        click.echo(f"pratique: `{approval.id}` is {approval.state}, there is nothing to revoke", err=True)
        sys.exit(1)
    click.echo(f"{approval.id} revoked")
