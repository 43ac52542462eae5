"""`pratique store create` makes the table, and says what it did."""

from __future__ import annotations

import json

from click.testing import CliRunner

from pratique.cli import main
from tests.dynamodb.service import REGION, service


def run(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["store", "create", "--region", REGION, "--table", "state", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_table_is_made_and_a_second_time_nothing_is_done() -> None:
    with service() as made:
        assert "created the table `state`" in run()
        assert made.describe_table(TableName="state")["Table"]["DeletionProtectionEnabled"]
        assert run() == "the table `state` is as it should be\n"
        assert json.loads(run("--output", "json")) == {"table": "state", "done": []}
