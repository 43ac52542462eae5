"""`pratique docs`: the fields of the documents, from the Structs that read them; and their JSON Schema for editors."""

from __future__ import annotations

import difflib

import click

from pratique.cli.output import console, output_option, print_json, table
from pratique.schema import ABOUT, SPECS, parts, schema_text


@click.command()
@click.argument("kind", default="")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of all kinds (policies/schema.json).")
@output_option
def docs(kind: str, schema: bool, output: str) -> None:  # noqa: FBT001
    """The kinds of documents, or the fields of KIND."""
    if schema:
        click.echo(schema_text(), nl=False)
    elif not kind:
        _kinds(output)
    else:
        _fields(_known(kind), output)


def _kinds(output: str) -> None:
    if output == "json":
        print_json(ABOUT)
    else:
        table(["KIND", "WHAT IT SAYS"], ABOUT.items())


def _known(kind: str) -> str:
    by_lower = {name.lower(): name for name in SPECS}
    if kind.lower() in by_lower:
        return by_lower[kind.lower()]
    close = difflib.get_close_matches(kind.lower(), list(by_lower), 1)
    hint = f"Did you mean `{by_lower[close[0]]}`?" if close else f"Known are {', '.join(SPECS)}"
    raise click.UsageError(f"there is no kind `{kind}`. {hint}")


def _fields(kind: str, output: str) -> None:
    found = parts(kind)
    if output == "json":
        rows = [field._asdict() for part in found for field in part.fields]
        print_json({"kind": kind, "about": ABOUT[kind], "fields": rows})
        return
    shown = console()
    shown.print(f"{kind}: {ABOUT[kind]}", style="bold", markup=False)
    for part in found:
        shown.print()
        shown.print(part.path, style="bold", markup=False)
        if part.about:
            shown.print(part.about, markup=False)
        table(["FIELD", "TYPE", "DEFAULT"], part.fields)
