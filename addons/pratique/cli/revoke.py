"""`pratique revoke`: cutting off a client, a session or everything, and taking back approvals and grants."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from pratique.approvals.admin.revocation_views import RevocationView, RevokeInput
from pratique.cli.approvals import approval_id_of, desk_options
from pratique.cli.desks import desk
from pratique.cli.output import output_option, print_json, table, time_of
from pratique.errors import StartError
from pratique.kube.status import harmless
from pratique.policy.rules import seconds
from pratique.revocation import MAX_REASON_CHARACTERS, Kind

CUT_OFF = tuple(kind.value for kind in Kind)
TAKEN_BACK = ("approval", "grant")


@click.command()
@click.argument("what", type=click.Choice([*CUT_OFF, *TAKEN_BACK]), required=False)
@click.argument("name", default="")
@desk_options
@click.option("--reason", default="", help="Kept, and told to whoever is cut off.")
@click.option("--for", "length", default="", metavar="2h", help="Only for so long; else until it is lifted.")
@click.option("--list", "listed", is_flag=True, help="What is cut off now; with --all, what was.")
@click.option("--all", "ended", is_flag=True, help="With --list: ended ones too.")
@click.option("--lift", "lifted", default="", metavar="ID", help="End a revocation (ids: --list).")
@output_option
def revoke(  # noqa: PLR0917 - click's arguments
    what: str | None,
    name: str,
    state: Path,
    admin: str,
    reason: str,
    length: str,
    listed: bool,  # noqa: FBT001 - a flag of click
    ended: bool,  # noqa: FBT001 - a flag of click
    lifted: str,
    output: str,
) -> None:
    """Cut off a client, a session or all; or take back an approval or a grant. In effect within a second.

    Whoever is cut off is refused, what they hold is let go, and their open streams end. An approval (used or not) or a
    grant that is taken back ends the streams that it opened.
    """
    asked = [bool(what), listed, bool(lifted)]
    if asked.count(True) != 1:
        raise click.UsageError("say what to revoke, or --list, or --lift ID")
    if listed:
        _print(desk(state, admin).revocations(ended=ended), output)
    elif lifted:
        desk(state, admin).lift(lifted)
        click.echo(f"{lifted} lifted")
    elif what in TAKEN_BACK:
        _take_back(what, name, state, admin)
    else:
        given = _given(Kind(what or ""), name, reason, length)
        _print([desk(state, admin).cut_off(given)], output)


def _given(kind: Kind, name: str, reason: str, length: str) -> RevokeInput:
    """Raises StartError or UsageError."""
    if (kind is Kind.ALL) != (not name):
        raise click.UsageError("name the client or the session; `all` takes no name")
    if len(reason) > MAX_REASON_CHARACTERS:
        raise StartError(f"--reason: {MAX_REASON_CHARACTERS} characters at most")
    try:
        lasts = seconds(length) if length else None
    except ValueError as error:
        raise StartError(f"--for: {error}") from None
    return RevokeInput(kind, name, reason, lasts)


def _take_back(what: str, name: str, state: Path, admin: str) -> None:
    if not name:
        raise click.UsageError(f"name the {what}")
    at = desk(state, admin)
    if what == "grant":
        at.revoke_grant(name)
        click.echo(f"{name} revoked")
        return
    shown = at.revoke(approval_id_of(at, name))
    click.echo(f"{shown.row.id} {'taken back' if shown.row.withdrawn else shown.row.state}")


def _print(found: list[RevocationView], output: str) -> None:
    if output == "json":
        print_json([msgspec.to_builtins(each) for each in found])
        return
    rows = [
        (each.id, each.kind, harmless(each.name), each.by, time_of(each.at), _until(each), harmless(each.reason))
        for each in found
    ]
    table(["ID", "WHAT", "NAME", "BY", "SINCE", "UNTIL", "REASON"], rows)


def _until(each: RevocationView) -> str:
    if each.lifted_at is not None:
        return f"lifted {time_of(each.lifted_at)} by {each.lifted_by}"
    return time_of(each.until) or "it is lifted"
