"""`pratique reviewers`: make reviewers' keys. The key is printed once; only its hash is kept."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import click

from pratique.approvals.reviewers import Reviewers, new_reviewer_key, reviewer_document
from pratique.cli.output import output_option, print_json
from pratique.documents import read_folder
from pratique.errors import StartError

policies_option = click.option(
    "--policies", type=click.Path(path_type=Path), default=Path("policies"), help="Folder of the documents."
)


@click.group()
def reviewers() -> None:
    """Who decides approvals."""


@reviewers.command()
@click.argument("name")
@policies_option
@click.option("--client", "clients", multiple=True, metavar="GLOB", help="Clients whose requests they may decide.")
@click.option("--namespace", "namespaces", multiple=True, metavar="GLOB", help="Namespaces that they may decide about.")
@click.option(
    "--expires", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z"]), default=None, help="From then on refused."
)
def add(
    name: str, policies: Path, clients: tuple[str, ...], namespaces: tuple[str, ...], expires: datetime | None
) -> None:
    """Make a key for reviewer NAME, write their Reviewer document, print the key (once)."""
    try:
        key = new_reviewer_key(name, os.urandom(32))
    except ValueError as error:
        raise StartError(str(error)) from None
    file = policies / f"reviewer-{name}.yaml"
    try:
        with file.open("x", encoding="utf-8") as document:
            document.write(reviewer_document(name, key.sha256, clients=clients, namespaces=namespaces, expires=expires))
    except FileExistsError:
        raise StartError(f"`{file}` exists. Remove it to give `{name}` a new key") from None
    click.echo(key.key.reveal())
    click.echo(f"wrote {file}; the key is shown only this once", err=True)


@reviewers.command("list")
@policies_option
@output_option
def list_(policies: Path, output: str) -> None:
    """The names of all reviewers."""
    names = Reviewers.from_documents(read_folder(policies)).names
    if output == "json":
        print_json(list(names))
    else:
        for name in names:
            click.echo(name)
