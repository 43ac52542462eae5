"""The policies in `policies/` do what their cases and section 4 of the bypass table say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pratique.documents.folder import read_files
from pratique.masking.rules import compile_masks
from pratique.policy.cases import parse_cases, run_cases
from pratique.policy.check import check_folder_documents
from pratique.policy.decision import compile_policies
from pratique.policy.discovery_class import DiscoveredAttributes
from pratique.policy.request import PolicyRequest
from pratique.verdict import Action

FOLDER = Path(__file__).parents[2] / "policies"
NAMES = ("read-only", "mcp-default", "break-glass")


def documents():
    return read_files([FOLDER / f"{name}.yaml" for name in NAMES])


def cases(name):
    file = FOLDER / f"{name}.cases.yaml"
    return parse_cases(file.read_text(), str(file))


@pytest.fixture(scope="module")
def policies():
    return compile_policies(documents())


@pytest.mark.parametrize("name", NAMES)
def test_every_case_gets_its_verdict_with_all_policies_loaded_together(policies, name):
    assert [(r.case.name, r.problem) for r in run_cases(policies, cases(name)) if not r.passed] == []


def test_the_cases_together_reach_every_rule():
    report = check_folder_documents(documents(), [case for name in NAMES for case in cases(name)])
    assert report.lines() == []
    assert report.passed


def test_no_client_is_a_subject_of_two_policies(policies):
    for client in ("viewer-1", "mcp-1", "demo", "break-glass-1"):
        assert len({rule.policy for rule in policies.rules if rule._subjects.match(client)}) == 1, client


def test_every_case_says_in_one_line_why():
    for name in NAMES:
        for case in cases(name):
            assert case.spec.expect.why, case.position
            assert "\n" not in case.spec.expect.why


def test_the_mask_policies_are_what_makes_reading_secrets_safe(policies):
    """`mcp-default` and `read-only` allow it, so a folder with them must mask Secrets."""
    masks = compile_masks(read_files([FOLDER / "masking.yaml"]))
    attributes = DiscoveredAttributes("get", "", "v1", "secrets", "", "dev", "a")
    for client in ("mcp-1", "viewer-1"):
        assert policies.decide(PolicyRequest(client, attributes)).action is Action.ALLOW
        assert masks.applies_to(client)
