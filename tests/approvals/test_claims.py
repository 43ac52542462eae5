"""What a client says of itself is shown as a claim, and decides only how its wait is answered."""

from __future__ import annotations

import pytest

from pratique.approvals.claims import MAX_CLAIM_CHARACTERS, claims_of, has_a_person, reads_the_status, waits_of

CONTROLLER = "manager/v1.2.3 (linux/amd64) kubernetes/abcdef0"


def test_claims_are_escaped_cut_and_the_first_of_each_name():
    headers = [
        (b"user-agent", b"kubectl/v1.36\x1b[31m"),
        (b"User-Agent", b"second"),
        (b"Kubectl-Command", b"kubectl delete"),
        (b"Authorization", b"Bearer secret"),
        (b"Mcp-Client", b"x" * 1000),
    ]
    claims = claims_of(headers)
    assert claims["User-Agent"] == "kubectl/v1.36\\u{1b}[31m"
    assert claims["Kubectl-Command"] == "kubectl delete"
    assert len(claims["Mcp-Client"]) == MAX_CLAIM_CHARACTERS
    assert set(claims) == {"User-Agent", "Kubectl-Command", "Mcp-Client"}


@pytest.mark.parametrize(
    ("agent", "wanted"),
    [
        ("kubernetes-mcp-server/v0.0.67 (linux/amd64) mcp/0.1.0", "refuse"),
        ("awslabs/mcp/eks-mcp-server/0.2.1", "refuse"),
        ("kubectl/v1.36.4 (linux/amd64) kubernetes/1234567", "refuse"),
        ("kubectl-1.36/v1.36.3 (linux/amd64) kubernetes/0f29094", "refuse"),
        ("kubectl.exe/v1.36.3 (windows/amd64) kubernetes/0f29094", "refuse"),
        ("kubectled/v1.2.3 (linux/amd64) kubernetes/0f29094", "retry"),
        (CONTROLLER, "retry"),
        ("Helm/3.16.1", "retry"),
        ("Terraform/1.9.0 (+https://www.terraform.io)", "retry"),
        ("OpenAPI-Generator/37.0.1/python", "refuse"),
        ("", "refuse"),
    ],
)
def test_each_kind_of_client_waits_as_suits_it(agent, wanted):
    assert waits_of("auto", agent) == wanted


def test_what_the_document_says_counts_more_than_the_claim():
    assert waits_of("retry", "kubectl/v1.36.4 (linux/amd64) kubernetes/1234567") == "retry"
    assert waits_of("refuse", CONTROLLER) == "refuse"


@pytest.mark.parametrize("wanted", ["auto", "retry"])
def test_an_upgrade_is_never_told_to_retry(wanted):
    assert waits_of(wanted, CONTROLLER, is_upgrade=True) == "refuse"


@pytest.mark.parametrize(
    ("agent", "reads", "person"),
    [
        ("kubectl/v1.36.4 (linux/amd64) kubernetes/1234567", True, True),
        ("kubectl-1.36/v1.36.3 (linux/amd64) kubernetes/0f29094", True, True),
        ("k9s/v0.50.9 (linux/amd64) kubernetes/$Format", True, True),
        ("runner/v0.0.0 (linux/amd64) kubernetes/$Format", True, False),
        (CONTROLLER, True, False),
        ("kubernetes-mcp-server/v0.0.67 (linux/amd64) mcp/0.1.0", True, False),
        ("awslabs/mcp/eks-mcp-server/0.2.1", False, False),
        ("OpenAPI-Generator/37.0.1/python", False, False),
        ("node-fetch", False, False),
        ("", False, False),
    ],
)
def test_only_who_reads_the_status_at_the_end_may_be_refused_after_a_101(agent, reads, person):
    assert (reads_the_status(agent), has_a_person(agent)) == (reads, person)
