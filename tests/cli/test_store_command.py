"""`pratique store create` makes the table that replicas share; `sessions list --table` reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pratique.approvals.sqlite_store import SqliteStore
from pratique.cli import main
from pratique.dynamodb.table import Table
from pratique.recorder.shared_index import OFFSET, SharedIndex
from pratique.stores import Stores
from tests.cli.support import OTHER, SESSION
from tests.dynamodb.service import REGION, new_table, service


def create(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["store", "create", "--region", REGION, "--table", "state", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_table_is_made_and_a_second_time_nothing_is_done() -> None:
    with service() as made:
        assert "created the table `state`" in create()
        assert made.describe_table(TableName="state")["Table"]["DeletionProtectionEnabled"]
        assert create() == "the table `state` is as it should be\n"
        assert json.loads(create("--output", "json")) == {"table": "state", "done": []}


def test_sessions_of_all_replicas_are_listed_from_the_table(recorded: Path, run: Any, run_json: Any) -> None:
    with service() as made:
        name = new_table(made)
        SharedIndex(recorded, Table(name, made), "pod-1", lambda _session: "s3://audit/x").step()
        (recorded / "recordings" / OFFSET).unlink()
        asked = ("sessions", "list", "--table", name, "--region", REGION)
        rows = [line.split("\t") for line in run(*asked).stdout.splitlines()]
        assert {(row[0], row[4], row[5]) for row in rows} == {
            (each, "pod-1", "s3://audit/x") for each in (SESSION, OTHER)
        }
        found = run_json(*asked, "--client", "robot")
        assert [(row["session"], row["client"], row["replica"]) for row in found] == [(OTHER, "robot", "pod-1")]
        refused = run(*asked, "--verb", "get")
        assert refused.exit_code == 2
        assert "--client, --since, --until" in refused.stderr


@pytest.mark.parametrize(
    "command", [("approvals", "list"), ("revoke", "all", "--reason", "incident 7"), ("revoke", "--list")]
)
def test_with_a_table_the_files_of_the_state_folder_decide_nothing(tmp_path: Path, command: tuple[str, ...]) -> None:
    """They may be there from before: who is told that everybody is cut off must not be wrong."""
    SqliteStore(tmp_path / "approvals.sqlite").close()
    with service() as made:
        Stores(tmp_path, new_table(made), service=made)
    environment = {"PRATIQUE_ADMIN": None, "PRATIQUE_REVIEWER_KEY": None}
    done = CliRunner().invoke(main, [*command, "--state", str(tmp_path)], env=environment)
    assert done.exit_code == 1
    assert "Use --admin URL" in done.output
    assert not (tmp_path / "revocations.sqlite").exists()
