"""`pratique clients`: make API keys. The key is printed once; only its hash is kept."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import click

from pratique.cli.output import output_option, print_json
from pratique.documents import read_folder
from pratique.errors import StartError
from pratique.identity.clients import Clients, client_document, new_api_key


@click.group()
def clients() -> None:
    """Who may call the gateway."""


@clients.command()
@click.argument("name")
@click.option("--policies", type=click.Path(path_type=Path), default=Path("policies"), help="Folder of the documents.")
@click.option(
    "--waits", type=click.Choice(["auto", "refuse", "retry"]), default="auto", help="When a hold ends undecided."
)
@click.option(
    "--expires", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z"]), default=None, help="From then on refused."
)
def add(name: str, policies: Path, waits: str, expires: datetime | None) -> None:
    """Make a key for client NAME, write its Client document, print the key (once)."""
    try:
        key = new_api_key(name, os.urandom(32))
    except ValueError as error:
        raise StartError(str(error)) from None
    file = policies / f"client-{name}.yaml"
    try:
        with file.open("x", encoding="utf-8") as document:
            document.write(client_document(name, key.sha256, waits, expires))
    except FileExistsError:
        raise StartError(f"`{file}` exists. Remove it to give `{name}` a new key") from None
    click.echo(key.key.reveal())
    click.echo(f"wrote {file}; the key is shown only this once", err=True)


@clients.command("list")
@click.option("--policies", type=click.Path(path_type=Path), default=Path("policies"), help="Folder of the documents.")
@output_option
def list_(policies: Path, output: str) -> None:
    """The names of all clients."""
    names = Clients.from_documents(read_folder(policies)).names
    if output == "json":
        print_json(list(names))
    else:
        for name in names:
            click.echo(name)
