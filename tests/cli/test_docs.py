"""`pratique docs`."""

from __future__ import annotations

from pathlib import Path

from pratique.schema import SPECS

COMMITTED = Path(__file__).parents[2] / "policies" / "schema.json"


def test_kinds_and_their_fields(run, run_json):
    assert [line.split("\t")[0] for line in run("docs").stdout.splitlines()] == list(SPECS)
    shown = run("docs", "policy").stdout
    assert "spec.rules[].approval.quorum\twhole number\t1" in shown
    assert 'spec.mode\tEnforce or Observe\t"Enforce"' in shown
    assert "`mode: Observe`: its verdict is recorded and decides nothing." in shown
    paths = {field["path"]: field["default"] for field in run_json("docs", "MaskPolicy")["fields"]}
    assert paths["spec.rules[].as"] == '"auto"'
    assert paths["spec.rules"] == "required"
    assert run_json("docs").keys() == SPECS.keys()


def test_the_schema_is_what_is_committed(run):
    assert run("docs", "--schema").stdout == COMMITTED.read_text()


def test_an_unknown_kind(run):
    result = run("docs", "Polcy")
    assert result.exit_code == 2
    assert "Did you mean `Policy`?" in result.output
    assert "Known are" in run("docs", "zzz").output
