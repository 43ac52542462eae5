"""`pratique replay`: a recorded session in mitmweb, or its reads once more against a test cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pratique.cli.output import output_option, state_option
from pratique.errors import RecordError
from pratique.recorder.layout import FLOW
from pratique.recorder.sessions import located


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("session")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@state_option
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="A kubeconfig: re-send the session's reads there and compare the statuses. Nothing is ever written.",
)
@click.option("--context", default=None, help="Context of that kubeconfig.")
@output_option
def replay(  # noqa: PLR0917 - click passes them by name
    session: str, options: tuple[str, ...], state: Path, against: Path | None, context: str | None, output: str
) -> None:
    """Open a recorded session in mitmweb; nothing is sent anywhere. OPTIONS go to mitmweb.

    With --against, re-send its reads to a test cluster (through a gateway, where the kubeconfig says so) and compare.
    """
    found, identifier = located(state, session)
    if against is not None:
        if options:
            raise click.UsageError(f"`{options[0]}` is an option of mitmweb, which --against does not open")
        from pratique.cli.resend import compare  # noqa: PLC0415 - imports the Kubernetes client

        sys.exit(compare(found, identifier, against, context, output))
    entries = [entry for entry in found.timeline(identifier) if entry.part == FLOW]
    if not entries:
        raise RecordError(f"session `{identifier}` has no requests")
    from pratique.cli.web import show, shown_flow  # noqa: PLC0415 - imports mitmproxy

    flows = [
        shown_flow(found, identifier, entry, entry.record, found.cast(identifier, entry.record.flow))
        for entry in entries
        if entry.record is not None
    ]
    show(flows, options)
