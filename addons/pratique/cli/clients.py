"""`pratique clients`: make API keys, list clients. A key is printed once; only its hash is kept."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import click

from pratique.cli.output import output_option, print_json
from pratique.documents import read_folder
from pratique.errors import StartError
from pratique.identity.clients import Clients, NewApiKey, client_document, new_api_key


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
    key = _new_key(name)
    file = policies / f"client-{name}.yaml"
    try:
        with file.open("x", encoding="utf-8") as document:
            document.write(client_document(name, key.sha256, waits, expires))
    except FileExistsError:
        raise StartError(f"`{file}` exists. Remove it, or run `pratique clients key {name}` for a second key") from None
    click.echo(key.key.reveal())
    click.echo(f"wrote {file}; the key is shown only this once", err=True)


def _new_key(name: str) -> NewApiKey:
    try:
        return new_api_key(name, os.urandom(32))
    except ValueError as error:
        raise StartError(str(error)) from None


@clients.command()
@click.argument("name")
@click.option("--policies", type=click.Path(path_type=Path), default=Path("policies"), help="Folder of the documents.")
def key(name: str, policies: Path) -> None:
    """Make another key for client NAME, print it (once) and the line for its document.

    To rotate: add the line, give the client the new key, take the old line out.
    """
    if name not in Clients.from_documents(read_folder(policies)).names:
        raise StartError(f"no Client document has the name `{name}`. Run `pratique clients add {name}`")
    made = _new_key(name)
    click.echo(made.key.reveal())
    click.echo(f'add to `apiKeys` of client `{name}`:\n  - sha256: "{made.sha256}"', err=True)


@clients.command("list")
@click.option("--policies", type=click.Path(path_type=Path), default=Path("policies"), help="Folder of the documents.")
@output_option
def list_(policies: Path, output: str) -> None:
    """All clients, and by which credentials each is known."""
    found = Clients.from_documents(read_folder(policies))
    kinds = {name: list(found.kinds_of(name)) for name in found.names}
    if output == "json":
        print_json([{"name": name, "credentials": of_it} for name, of_it in kinds.items()])
        return
    wide = max(map(len, kinds), default=0)
    for name, of_it in kinds.items():
        click.echo(f"{name:<{wide}}  {', '.join(of_it) or 'none'}")
