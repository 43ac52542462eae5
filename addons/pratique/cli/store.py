"""`pratique store`: make the DynamoDB table that replicas share. An operator's credentials do it, not the gateway's."""

from __future__ import annotations

import click

from pratique.cli.output import output_option, print_json
from pratique.dynamodb.setup import Wanted, create_table
from pratique.dynamodb.table import client


@click.group()
def store() -> None:
    """What several replicas of the gateway share."""


@store.command()
@click.option("--table", required=True, help="Its name, as in pratique_dynamodb_table.")
@click.option("--region", default="", help="Its AWS region, where it is not the environment's.")
@click.option("--kms-key", default="", metavar="ARN", help="Encrypt with this KMS key, not with the one that AWS owns.")
@click.option("--recovery/--no-recovery", default=True, help="Point-in-time recovery of the last 35 days.")
@click.option("--protection/--no-protection", default=True, help="Protect the table against deletion.")
@output_option
def create(table: str, region: str, kms_key: str, *, recovery: bool, protection: bool, output: str) -> None:
    """Make the table, or add what it lacks. It may be repeated."""
    done = create_table(client(region), Wanted(table, recovery, protection, kms_key))
    if output == "json":
        print_json({"table": table, "done": done})
        return
    for line in done or [f"the table `{table}` is as it should be"]:
        click.echo(line)
