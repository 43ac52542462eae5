"""`pratique cases add`."""

from __future__ import annotations

import pytest

from tests.trial.support import ASKS, PODS, READ, SECRETS, event, flow, lines, masks, policy

PATCH = {"Content-Type": "application/merge-patch+json"}
POD = {"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "c"}]}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text(policy(READ + ASKS))
    (tmp_path / "s.flow").write_bytes(flow() + flow("DELETE", PODS + "/web", flow="f2"))
    return tmp_path


def test_a_recorded_request_becomes_a_case_that_check_runs(run, folder):
    arguments = ("cases", "add", f"{folder}/s.flow:2", "--policies", folder / "policies", "--expect")
    result = run(*arguments, "RequireApproval", "--why", "a person looks")
    assert result.exit_code == 0, result.output
    text = (folder / "policies" / "p.cases.yaml").read_text()
    assert text.endswith(
        "    - name: delete pods web -n dev\n"
        "      request: {verb: delete, resource: pods, namespace: dev, name: web}\n"
        "      expect: {action: RequireApproval, rules: [p/asks], why: a person looks}\n"
    )
    second = run(
        "cases", "add", "audit-f1", "-r", folder / "s.flow", *arguments[3:], "Deny", "--why", "nobody reads pods"
    )
    assert second.exit_code == 0, second.output
    assert "do not pass it yet: expected Deny, got Allow" in second.stdout
    assert (folder / "policies" / "p.cases.yaml").read_text().startswith(text)
    checked = run("check", folder / "policies")
    assert checked.exit_code == 1
    assert "2 cases, 1 failed" in checked.stdout


def test_what_the_cluster_would_say_is_written_or_asked_for(run, folder):
    rules = "  - {name: w, verbs: [patch, get], resources: [pods], podPowers: [], action: Allow}\n"
    (folder / "policies" / "p.yaml").write_text(policy(rules))
    patch = {"verb": "patch", "uri": PODS + "/web", "requestObject": {"spec": {}}}
    (folder / "a.log").write_bytes(lines(event(**patch, responseObject=POD), event(**patch)))
    common = ("--policies", folder / "policies", "--expect", "Allow", "--why", "plain", "--client", "x")
    assert run("cases", "add", f"{folder}/a.log:1", *common).exit_code == 0
    assert "result: {kind: Pod" in (folder / "policies" / "p.cases.yaml").read_text()
    unknown = run("cases", "add", f"{folder}/a.log:2", *common, "--name", "other")
    assert "a rule asks the cluster for the result of the patch" in unknown.stdout


def test_a_refused_request_is_a_case_too(run, folder):
    (folder / "s.flow").write_bytes(flow("GET", "/api//v1", verdict="", rules=()))
    result = run("cases", "add", f"{folder}/s.flow:1", "--policies", folder / "policies", "--expect", "Refused", "--why",
                 "two slashes", "--file", folder / "policies" / "x.cases.yaml")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert run("check", folder / "policies").exit_code == 0


@pytest.mark.parametrize(
    ("what", "said", "code"),
    [("s.flow:9", "not among 2", 1), ("nothing", "FILE:N", 2), ("s.flow:1", "", 0)],
)
def test_what_is_not_there_is_said(run, folder, what, said, code):
    result = run("cases", "add", f"{folder}/{what}" if ":" in what else what, "--policies", folder / "policies",
                 "--expect", "Deny", "--why", "x")  # fmt: skip
    assert result.exit_code == code
    assert said in result.output


def test_where_several_files_could_be_meant_one_must_be_named(run, folder):
    for name in ("a", "b"):
        (folder / "policies" / f"{name}.cases.yaml").write_text("")
    (folder / "policies" / "p.yaml").write_text(policy(ASKS))
    result = run(
        "cases", "add", f"{folder}/s.flow:1", "--policies", folder / "policies", "--expect", "Deny", "--why", "x"
    )
    assert result.exit_code == 2
    assert "a.cases.yaml, b.cases.yaml" in result.output


@pytest.mark.parametrize("verb", ["create", "patch"])
def test_no_value_of_an_audit_log_gets_into_a_case(run, folder, verb):
    (folder / "policies" / "p.yaml").write_text(policy(READ) + masks(SECRETS))
    secret = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"p": "Q0FOQVJZLTE="}}
    operations = [{"op": "add", "path": "/data/p", "value": "Q0FOQVJZLTE="}]
    target = PODS.replace("pods", "secrets") + ("/s" if verb == "patch" else "")
    given = event(
        verb, target, requestObject=operations if verb == "patch" else secret, objectRef={"resource": "secrets"}
    )
    (folder / "a.log").write_bytes(lines(given))
    result = run("cases", "add", f"{folder}/a.log:1", "--policies", folder / "policies", "--expect", "Deny", "--why", "x", "--file",
                 folder / "policies" / "p.cases.yaml")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "values are masked" in result.stderr
    text = (folder / "policies" / "p.cases.yaml").read_text()
    assert "Q0FOQVJZLTE=" not in text
    assert run("check", folder / "policies").exit_code == 0
