"""`pratique check --coverage`."""

from __future__ import annotations

import pytest

from tests.trial.support import ASKS, PODS, READ, SECRETS, flow, masks, policy

CASES = """apiVersion: pratique/v1
kind: PolicyCases
metadata: {name: c}
spec:
  client: a
  cases:
  - {name: one, request: {verb: get, resource: pods}, expect: {action: Allow}}
  - {name: two, request: {method: GET, path: /api//x}, expect: {action: Refused}}
"""
SECRET = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"p": "**masked-by-pratique**"}}
IDLE = "  - {name: idle, match: {resources: [configmaps]}, jsonPaths: [$.data.*]}\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "p.yaml").write_text(policy(READ + ASKS) + masks(SECRETS + IDLE))
    (tmp_path / "p" / "p.cases.yaml").write_text(CASES)
    secret = flow("GET", PODS.replace("pods", "secrets") + "/s", answer=SECRET)
    (tmp_path / "s.flow").write_bytes(flow("DELETE", PODS + "/web") + secret)
    return tmp_path


def test_cases_and_recordings_are_counted_apart(run, run_json, folder):
    found = run_json("check", folder / "p", "--coverage", "-r", folder / "s.flow")["coverage"]
    assert [(each["rule"], each["cases"], each["recordings"]) for each in found["rules"]] == [
        ("p/read", 1, 1),
        ("p/asks", 0, 1),
    ]
    assert found["masks"] == {"m/secrets": 1, "m/idle": 0}
    assert found["gaps"] == []
    shown = run("check", folder / "p", "--coverage", "-r", folder / "s.flow").stdout
    assert "p/asks\tRequireApproval\t0\t1" in shown
    assert "mask rule `m/idle` masks nothing in these recordings" in shown


def test_without_recordings_only_cases_count(run, folder):
    result = run("check", folder / "p", "--coverage")
    assert result.exit_code == 0
    assert "nothing matches rule `p/asks`" in result.stdout
    assert "mask rules were not looked at" in result.stdout
    assert run("check", folder / "p", "-r", folder / "s.flow").exit_code == 2


def test_rules_that_do_nothing_are_said_by_every_check(run, folder):
    denies = "  - {name: none, verbs: ['*'], apiGroups: ['*'], resources: ['*'], action: Deny}\n"
    (folder / "p" / "p.yaml").write_text(policy(READ + denies))
    result = run("check", folder / "p")
    assert "rule `p/read` never has an effect: `p/none` is stricter" in result.stdout


def test_a_policy_that_decides_nothing_is_named(run, run_json, folder):
    (folder / "p" / "q.yaml").write_text(policy(ASKS, "next", "  mode: Observe\n  base: p\n"))
    assert "2 policies (next only observed), 2 rules" in run("check", folder / "p").stdout
    assert run_json("check", folder / "p")["observed"] == ["next"]
