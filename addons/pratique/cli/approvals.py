"""`pratique approvals`: what waits for a person, and deciding it. Taking it back is `revoke`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.text import Text

from pratique.approvals.admin import views
from pratique.approvals.deciding import Decision
from pratique.approvals.grants import MAX_GRANT_SECONDS, GrantKind
from pratique.approvals.transitions import State
from pratique.cli.desks import ReviewDesk, desk
from pratique.cli.output import STYLES, console, output_option, print_json, state_option, table, time_of
from pratique.errors import StartError
from pratique.kube.status import harmless
from pratique.policy.rules import seconds

WATCH_SECONDS = 0.5
SHOWN_LINES = 200  # of a difference, on a terminal


def desk_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--state`, or `--admin` for a gateway elsewhere."""
    admin = click.option(
        "--admin", default="", metavar="URL", help="A gateway's admin listener; the key is in PRATIQUE_REVIEWER_KEY."
    )
    return state_option(admin(function))


def approval_id_of(at: ReviewDesk, prefix: str) -> str:
    """The approval that a beginning names. Raises StartError."""
    hits = {row.id for row in at.rows("all") if row.id.startswith(prefix)}
    if prefix in hits:
        return prefix
    if len(hits) != 1:
        raise StartError(f"`{prefix}` names {len(hits)} approvals. Take an id from `pratique approvals list`")
    return hits.pop()


def as_json(shown: views.ApprovalView) -> dict[str, Any]:
    """One approval, for `--output json`: as the API's, with its row at the same level."""
    value: dict[str, Any] = msgspec.to_builtins(shown)
    row: dict[str, Any] = value.pop("row")
    value.pop("nonce")
    return row | value


@click.group()
def approvals() -> None:
    """Requests that wait for a person."""


@approvals.command("list")
@desk_options
@click.option("--all", "everything", is_flag=True, help="Decided and ended ones too.")
@output_option
def list_(state: Path, admin: str, everything: bool, output: str) -> None:  # noqa: FBT001 - a flag of click
    """What is pending (or approved and not used yet)."""
    at = desk(state, admin)
    rows = at.rows("all" if everything else "open")
    if output == "json":
        print_json([as_json(at.view(row.id)) for row in rows])
        return
    shown = [(row.id, row.state, row.client, row.words, ", ".join(row.hints), time_of(row.expires_at)) for row in rows]
    table(["ID", "STATE", "CLIENT", "WHAT", "LOOK AT", "EXPIRES"], shown)


@approvals.command()
@click.argument("approval_id")
@desk_options
@output_option
def show(approval_id: str, state: Path, admin: str, output: str) -> None:
    """One approval: who asks, what it would do, the request; masked."""
    at = desk(state, admin)
    shown = at.view(approval_id_of(at, approval_id))
    if output == "json":
        print_json(as_json(shown))
        return
    for name, value in _lines(shown):
        if value:
            console().print(f"{name:<9} {harmless(value)}", markup=False)
    _print_difference(shown.effect)


def _lines(shown: views.ApprovalView) -> list[tuple[str, str]]:
    row, effect = shown.row, shown.effect
    lines = [
        ("approval", row.id),
        ("state", str(row.state)),
        ("what", row.words),
        *(("look at", f"{risk.what}: {risk.value}") for risk in (effect.risks if effect else ())),
        *_effect_lines(effect),
        *(("who", f"{claim.what} {claim.value} ({claim.trust})") for claim in shown.who),
        ("cluster", row.cluster),
        ("request", f"{shown.method} {shown.path}"),
        ("rules", ", ".join(shown.rules)),
        ("why", shown.message),
        ("asked", f"{row.attempts} times, first {time_of(row.created_at)}"),
        ("expires", time_of(row.expires_at)),
        ("replaces", shown.supersedes),
        ("repeats", shown.repeats),
        ("note", shown.note),
        ("body", shown.body),
    ]
    for each in shown.decisions:
        granted = "" if each.grant.kind is GrantKind.ONCE else f" for {each.grant.seconds:g} s {each.grant.words}"
        lines.append(("decided", f"{each.decision} by {each.reviewer} at {time_of(each.at)}{granted} {each.reason}"))
    return lines


def _effect_lines(effect: views.EffectView | None) -> list[tuple[str, str]]:
    if effect is None:
        return []
    if not effect.known:
        return [("effect", f"unknown: {effect.problem}")]
    lines = [("object", f"{each.kind} {each.namespace}/{each.name} {each.uid}") for each in effect.objects]
    if effect.total > len(effect.objects):
        lines.append(("object", f"and {effect.total - len(effect.objects)} more"))
    if effect.cascade:
        at_least = "" if effect.cascade_complete else "at least "
        lines.append(("with it", at_least + ", ".join(f"{each.number} {each.kind}" for each in effect.cascade)))
    return lines + [("note", note) for note in effect.notes]


def _print_difference(effect: views.EffectView | None) -> None:
    styles = {"+": "green", "-": "red", "@": "dim"}
    lines = effect.difference if effect else ()
    for line in lines[:SHOWN_LINES]:
        console().print(Text(f"  {harmless(line)}", style=styles.get(line[:1], "")))
    left_out = len(lines) - SHOWN_LINES + (effect.left_out if effect else 0)
    if left_out > 0:
        console().print(f"  ({left_out} more lines)")


@approvals.command()
@desk_options
def watch(state: Path, admin: str) -> None:
    """Print approvals as they are asked for and decided, until Ctrl-C."""
    at, seen = desk(state, admin), dict[str, State]()
    while True:
        for row in reversed(at.rows("all")):
            if seen.get(row.id) is not row.state:
                seen[row.id] = row.state
                line = Text(f"{row.id}  ") + Text(f"{row.state:<9}", style=STYLES.get(row.state, ""))
                console().print(line + Text(f"  {harmless(row.client)}  {harmless(row.words)}"))
        time.sleep(WATCH_SECONDS)


reason_option = click.option("--reason", default="", help="Kept, and told to the client on denial.")


@approvals.command()
@click.argument("approval_id")
@desk_options
@reason_option
@click.option("--for", "length", default="", metavar="10m", help="Also every repeat for so long, 8h at most.")
@click.option("--session", is_flag=True, help="Only until the client's session ends.")
@click.option("--name", default="", metavar="GLOB", help="With --for: other names, too; `*` for all.")
@click.option("--namespace", default="", metavar="GLOB", help="With --for: other namespaces, too.")
@click.option("--verb", default="", metavar="GLOB", help="With --for: other verbs, too.")
def approve(  # noqa: PLR0917 - click's arguments
    approval_id: str,
    state: Path,
    admin: str,
    reason: str,
    length: str,
    session: bool,  # noqa: FBT001 - a flag of click
    **scope: str,
) -> None:
    """Let exactly this request happen once; with --for or --session, every request that is stated."""
    at = desk(state, admin)
    _say(
        at.decide(
            approval_id_of(at, approval_id), Decision.APPROVE, reason, _grant(length, session=session, scope=scope)
        )
    )


@approvals.command()
@click.argument("approval_id")
@desk_options
@reason_option
def deny(approval_id: str, state: Path, admin: str, reason: str) -> None:
    """Refuse it."""
    at = desk(state, admin)
    _say(at.decide(approval_id_of(at, approval_id), Decision.DENY, reason, views.GrantInput()))


@approvals.command()
@desk_options
@click.option("--all", "ended", is_flag=True, help="Ended ones too.")
@output_option
def grants(state: Path, admin: str, ended: bool, output: str) -> None:  # noqa: FBT001 - a flag of click
    """What was approved for more than one use."""
    found = desk(state, admin).grants(ended=ended)
    if output == "json":
        print_json([msgspec.to_builtins(grant) for grant in found])
        return
    rows = [(each.id, each.client, each.words, each.uses, time_of(each.expires_at), each.revoked_by) for each in found]
    table(["ID", "CLIENT", "WHAT", "USES", "ENDS", "REVOKED BY"], rows)


def _grant(length: str, *, session: bool, scope: dict[str, str]) -> views.GrantInput:
    """Raises StartError: options that do not go together."""
    stated = views.ScopeInput(**scope) if any(scope.values()) else None
    if not length and not session:
        if stated is not None:
            raise StartError("a scope without a length says nothing. Add --for 10m, or --session")
        return views.GrantInput()
    try:
        lasts = seconds(length) if length else MAX_GRANT_SECONDS
    except ValueError as error:
        raise StartError(f"--for: {error}") from None
    if lasts > MAX_GRANT_SECONDS:
        raise StartError(f"--for: a grant lasts {MAX_GRANT_SECONDS / 3600:g} h at most. For longer write a rule")
    return views.GrantInput(GrantKind.SESSION if session else GrantKind.DURATION, lasts, stated)


def _say(shown: views.ApprovalView) -> None:
    row = shown.row
    more = f" ({row.approvals} of {row.quorum} approvals)" if row.state is State.PENDING else ""
    click.echo(f"{row.id} {row.state}: {harmless(row.words)}{more}")
