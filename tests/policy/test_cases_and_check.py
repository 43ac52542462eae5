"""Cases fail when a policy does something else, and a rule that no case reaches is reported."""

from __future__ import annotations

import pytest

from pratique.documents import parse
from pratique.errors import DocumentErrors
from pratique.policy.cases import parse_cases
from pratique.policy.check import check_folder_documents

POLICY = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
  - {name: read, verbs: [get, list], resources: [pods], action: Allow}
  - {name: never, verbs: [delete], resources: [pods], action: Deny}
"""
CASES = """
apiVersion: pratique/v1
kind: PolicyCases
metadata: {name: c}
spec:
  client: a
  cases:
"""


def report(*cases):
    text = CASES + "".join(f"  - {case}\n" for case in cases)
    return check_folder_documents(parse(POLICY, "p.yaml"), parse_cases(text, "c.yaml"))


GET = "request: {method: GET, path: /api/v1/namespaces/dev/pods/a}"


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        ("{action: Allow, rules: [p/read]}", ""),
        ("{action: Deny}", "expected Deny, got Allow by p/read"),
        ("{action: Allow, rules: [p/x]}", "expected Allow by p/x, got it by p/read"),
        ("{action: Allow, errors: true}", "expected errors, got no rule"),
    ],
)
def test_a_case_fails_on_another_action_rule_or_error(expect, problem):
    [result] = report(f"{{name: a, {GET}, expect: {expect}}}").results
    assert result.problem.startswith(problem)
    assert result.passed is (problem == "")


def test_a_rule_that_no_case_reaches_is_reported_at_its_place():
    found = report(f"{{name: a, {GET}, expect: {{action: Allow}}}}")
    assert found.passed
    assert found.lines() == ["p.yaml:8:5: no case reaches rule `p/never`. Write one, or remove the rule"]


def test_a_request_that_is_refused_before_policy_is_a_case_too():
    path = "request: {method: GET, path: /api/v1/namespaces//pods}"
    good, bad = report(
        f"{{name: a, {path}, expect: {{action: Refused}}}}", f"{{name: b, {path}, expect: {{action: Deny}}}}"
    ).results
    assert good.passed
    assert "refused before policy" in bad.problem


def test_a_broken_policy_is_a_report_with_errors_and_no_results():
    found = check_folder_documents(parse(POLICY.replace("[delete]", "[delet]"), "p.yaml"), [])
    assert not found.passed
    assert found.lines()[0].startswith("p.yaml:8:27: verb `delet` is not known")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "{name: a, request: {}, expect: {action: Allow}}",
            "needs `method` and `path`, or `verb` and `resource`, or `flow`",
        ),
        ("{name: a, request: {verb: get, resouce: pods}, expect: {action: Allow}}", "Did you mean `resource`?"),
        ("{name: a, request: {verb: get}, expect: {action: Alow}}", "Did you mean `Allow`?"),
    ],
)
def test_a_case_that_says_nothing_is_an_error(case, message):
    with pytest.raises(DocumentErrors, match=".") as caught:
        parse_cases(CASES + f"  - {case}\n", "c.yaml")
    assert message in str(caught.value)


def test_a_case_needs_a_client():
    with pytest.raises(DocumentErrors, match="has no client"):
        parse_cases(
            CASES.replace("  client: a\n", "") + f"  - {{name: a, {GET}, expect: {{action: Allow}}}}\n", "c.yaml"
        )
