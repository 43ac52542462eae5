"""`pratique check DIR`: every error at its place, every case run, exit 1 if anything is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pratique.cli.policies import check
from pratique.errors import DocumentErrors
from pratique.loaded import load
from pratique.recorder.flowfile import encode

SHIPPED = Path(__file__).parents[2] / "policies"
POLICY = """apiVersion: pratique/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: read, verbs: [get], resources: [pods], action: Allow}
    - name: own
      verbs: [delete]
      resources: [pods]
      namespaceSelector: {matchLabels: {team: a}}
      conditions: [{name: mine, expression: "oldObject == null || oldObject.metadata.labels['a'] == 'b'"}]
      action: Allow
"""
CASES = """apiVersion: pratique/v1
kind: PolicyCases
metadata: {name: c}
spec:
  client: a
  cases:
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "p.yaml").write_text(POLICY)
    return tmp_path


def run(folder, *cases, output=()):
    if cases:
        (folder / "p.cases.yaml").write_text(CASES + "".join(f"    - {case}\n" for case in cases))
    return CliRunner().invoke(check, [str(folder), *output])


READ = (
    "{name: a, request: {method: GET, path: /api/v1/namespaces/dev/pods/a}, expect: {action: Allow, rules: [p/read]}}"
)
DELETE = "verb: delete, resource: pods, namespace: dev, name: a"
OWN = f"{{name: b, request: {{{DELETE}, oldObject: {{metadata: {{labels: {{a: b}}}}}}, namespaceLabels: {{team: a}}}}, expect: {{action: Allow}}}}"


def test_the_shipped_policies_pass_and_no_rule_is_unreached():
    result = CliRunner().invoke(check, [str(SHIPPED)])
    assert result.exit_code == 0
    [line] = result.output.splitlines()
    assert line.startswith("ok: 3 policies, ")
    assert line.endswith(" cases, 0 failed")


def test_a_folder_whose_cases_pass_is_ok(folder):
    result = run(folder, READ, OWN)
    assert (result.exit_code, result.output) == (0, "ok: 1 policies, 2 rules, 2 cases, 0 failed\n")


def test_a_rule_that_no_case_reaches_is_reported_at_its_place_and_fails_nothing(folder):
    result = run(folder, READ)
    assert result.exit_code == 0
    assert result.output.startswith(
        f"{folder}/p.yaml:7:7: no case reaches rule `p/own`. Write one, or remove the rule\n"
    )


def test_a_case_that_gets_another_verdict_fails_at_its_place(folder):
    result = run(folder, OWN, READ.replace("Allow", "Deny"))
    assert result.exit_code == 1
    assert f"{folder}/p.cases.yaml:8:7: case `a`: expected Deny, got Allow by p/read" in result.output


@pytest.mark.parametrize(
    ("given", "action"),
    [
        ("oldObject: null, namespaceLabels: {team: a}", "Allow"),
        ("oldObject: null, namespaceLabels: {team: b}", "Deny"),
        ("oldObject: {metadata: {}}, namespaceLabels: {team: a}", "Deny, errors: true"),
        ("namespaceLabels: {team: a}", "Deny, errors: true"),
        ("oldObject: null", "Deny"),
    ],
)
def test_a_case_says_what_the_cluster_would_say_and_what_it_leaves_out_is_denied(folder, given, action):
    case = f"{{name: b, request: {{{DELETE}, {given}}}, expect: {{action: {action}}}}}"
    assert run(folder, READ, case).exit_code == 0


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (POLICY.replace("[get]", "[gett]"), "p.yaml:6:28: verb `gett` is not known. Known are "),
        (POLICY.replace("oldObject == null", "oldObject = null"), "p.yaml:11:56: condition `mine`: syntax error"),
        (POLICY.replace("== 'b'\"", "== 'b' && request.verbb == ''\""), "p.yaml:11:108: condition `mine`: undeclared reference to `request.verbb`"),
        (POLICY.replace("team: a", "team: [a]"), "p.yaml:10:47: expected `str`, got `array`"),
        (POLICY + "  rules: []\n", "p.yaml:13:3: key `rules` stands twice, first at line 5"),
        (POLICY.replace("kind: Policy", "kind: Polic"), "p.yaml:2:7: "),
    ],
)  # fmt: skip
def test_an_error_stands_at_file_line_and_column_with_its_remedy(folder, text, place):
    (folder / "p.yaml").write_text(text)
    result = run(folder, READ)
    assert result.exit_code == 1
    assert place in result.output + str(result.exception or "")


BROKEN = {
    "Cluster": "spec: {}",
    "Client": "spec: {nothing: 1}",
    "Policy": "spec: {rules: []}",
    "MaskPolicy": "spec: {rules: [{name: x, nothing: 1}]}",
    "Recording": "spec: {nothing: 1}",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_the_gateway_would_not_start_with_does_not_pass_the_check(folder, kind):
    (folder / "broken.yaml").write_text(
        f"apiVersion: pratique/v1\nkind: {kind}\nmetadata: {{name: x}}\n{BROKEN[kind]}\n"
    )
    with pytest.raises(DocumentErrors) as caught:
        load(folder)
    errors = [str(error) for error in caught.value.errors if "broken.yaml" in error.position.file]
    assert errors
    result = run(folder, READ)
    assert result.exit_code == 1
    for error in errors:
        assert error in result.output


def test_json_has_the_same_findings(folder):
    result = run(folder, READ, output=["--output", "json"])
    found = json.loads(result.output)
    assert (found["passed"], found["rules"], found["cases"], found["failed"]) == (True, 2, 1, 0)
    assert found["findings"][0].startswith(f"{folder}/p.yaml:7:7: no case reaches")


# Recorded flows

HEADERS = ((b"Content-Type", b"application/json"), (b"Audit-ID", b"id-2"), (b"Authorization", b"[removed]"))


def flow(method, path, body=b"", headers=HEADERS, answer=()):
    request = {"method": method, "path": path, "headers": headers, "content": body, "http_version": b"HTTP/2.0"}
    return encode({"type": "http", "request": request, "response": {"headers": answer} if answer else None})


def recorded(folder, reference, action):
    case = f"{{name: b, request: {{flow: {{file: monday.flow, {reference}}}}}, expect: {{action: {action}, why: on Monday}}}}"
    return run(folder, READ, OWN, case)


@pytest.fixture
def monday(folder):
    pods = b"/api/v1/namespaces/dev/pods"
    flows = [
        flow(b"GET", pods + b"/a", headers=()),
        flow(b"POST", pods, b'{"kind":"Pod","metadata":{"name":"b"}}'),
        encode({"type": "tcp"}),
        flow(b"GET", pods + b"/c", headers=(), answer=((b"audit-id", b"id-3"),)),
    ]
    (folder / "monday.flow").write_bytes(b"".join(flows))
    return folder


@pytest.mark.parametrize(
    ("reference", "action"),
    [("index: 1", "Allow"), ("index: 2", "Deny"), ("auditID: id-2", "Deny"), ("auditID: id-3", "Allow"), ("index: 3", "Allow")],
)  # fmt: skip
def test_a_recorded_flow_is_a_case(monday, reference, action):
    result = recorded(monday, reference, action)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("reference", "why"),
    [("index: 4", "has no request number 4"), ("auditID: id-9", "has no request with Audit-ID `id-9`"), ("index: -1", ">= 0")],
)  # fmt: skip
def test_a_recorded_flow_that_is_not_there_is_an_error_at_its_place(monday, reference, why):
    result = recorded(monday, reference, "Deny")
    assert result.exit_code == 1
    assert f"{monday}/p.cases.yaml:9:" in result.output
    assert why in result.output


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), (b"12:abc", "no request number 1"), (b"x", "length")]
)
def test_a_flow_file_that_cannot_be_read_is_an_error_at_its_place(folder, content, why):
    if content is not None:
        (folder / "monday.flow").write_bytes(content)
    result = recorded(folder, "index: 1", "Deny")
    assert result.exit_code == 1
    assert f"{folder}/p.cases.yaml:9:" in result.output
    assert why in result.output
