"""`pratique test-policy` as people and pipelines use it."""

from __future__ import annotations

import pytest

from tests.trial.support import ASKS, PODS, READ, SECRETS, flow, masks, policy

EXPECTATION = "apiVersion: pratique/v1\nkind: PolicyExpectation\nmetadata: {name: x}\nspec: {outcomes: {Deny: 0}}\n"


@pytest.fixture
def folder(tmp_path):
    for name, text in (("new", policy(READ) + masks(SECRETS)), ("old", policy(READ + ASKS) + masks(SECRETS))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "p.yaml").write_text(text)
    (tmp_path / "s.flow").write_bytes(
        flow() + flow("DELETE", PODS + "/web\x1b[31m", flow="x") + flow("DELETE", PODS + "/web")
    )
    (tmp_path / "expect.yaml").write_text(EXPECTATION)
    return tmp_path


def test_a_table_and_a_line_of_sums(run, folder):
    result = run("test-policy", folder / "old", "-r", folder / "s.flow")
    assert result.exit_code == 0
    assert f"mcp-1\tRequireApproval\tp/asks\t1\tdelete pods web -n dev\t{folder}/s.flow byte" in result.stdout
    assert "ok: 3 requests: 1 Allow, 1 RequireApproval, 1 Unknown" in result.stdout
    assert "cannot be read" in result.stdout, "why one is not known"
    assert "\x1b" not in result.stdout


def test_only_the_difference_and_exit_1_where_it_was_not_expected(run, folder):
    arguments = ("test-policy", folder / "new", "--against", folder / "old", "--recordings", folder / "s.flow")
    result = run(*arguments)
    assert result.exit_code == 0
    assert "newlyDenied\tmcp-1\tdelete pods\tRequireApproval (p/asks)\tDeny\t1\tdelete pods web -n dev" in result.stdout
    assert "list pods" not in result.stdout, "what did not change is not shown"
    result = run(*arguments, "--expect", folder / "expect.yaml")
    assert result.exit_code == 1
    assert "not as expected: Deny: expected 0, found 1" in result.stdout


def test_json_has_every_row(run_json, folder):
    found = run_json("test-policy", folder / "new", "--against", folder / "old", "-r", folder / "s.flow")
    (change,) = found["changes"]
    assert (change["change"], change["before"], change["after"]) == (
        "newlyDenied",
        {"outcome": "RequireApproval", "rules": ["p/asks"]},
        {"outcome": "Deny", "rules": []},
    )
    assert change["examples"][0]["id"] == "audit-f1"
    assert "no rule allows" in change["examples"][0]["why"]
    assert found["passed"]


def test_bad_recordings(run, run_json, folder):
    (folder / "s.flow").write_bytes(flow() + b"12:")
    stopped = run("test-policy", folder / "old", "-r", folder / "s.flow")
    assert stopped.exit_code == 1
    assert f"{folder}/s.flow byte {len(flow())}: a record of 3 bytes or more is cut short" in stopped.stderr
    went_on = run_json("test-policy", folder / "old", "-r", folder / "s.flow", "--keep-going", code=1)
    assert (went_on["requests"], went_on["unreadable"]["count"], went_on["passed"]) == (1, 1, False)
    shown = run("test-policy", folder / "old", "-r", folder / "s.flow", "--keep-going")
    assert "cut short" in shown.stderr
    assert "not ok" in shown.stdout


def test_what_cannot_go_together_is_said(run, folder):
    result = run("test-policy", folder / "old", "-r", folder / "s.flow", "--as-client")
    assert result.exit_code == 2
    assert "--client" in result.output
    missing = run("test-policy", folder / "old", "-r", folder / "nothing")
    assert (missing.exit_code, "there is no" in missing.stderr) == (1, True)
