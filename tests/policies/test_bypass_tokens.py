"""Row 2.17 of the threat list: a credential for the direct path cannot be had through the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from pratique.documents.folder import read_files
from pratique.kube.canonical import canonicalise
from pratique.policy.decision import compile_policies
from pratique.policy.request import PolicyRequest
from pratique.verdict import Action
from tests.kube.requests import raw

FOLDER = Path(__file__).parents[2] / "policies"
JSON = {"Content-Type": "application/json"}
CSR = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MINTING = {
    "a token of a service account": ("POST", "/api/v1/namespaces/dev/serviceaccounts/default/token", {}),
    "the same, rehearsed": ("POST", "/api/v1/namespaces/dev/serviceaccounts/default/token?dryRun=All", {}),
    "a Secret that gets a token": (
        "POST",
        "/api/v1/namespaces/dev/secrets",
        {
            "type": "kubernetes.io/service-account-token",
            "metadata": {"name": "t", "annotations": {"kubernetes.io/service-account.name": "default"}},
        },
    ),
    "a certificate": (
        "POST",
        CSR,
        {"metadata": {"name": "c"}, "spec": {"signerName": "kubernetes.io/kube-apiserver-client"}},
    ),
    "its approval": ("PUT", f"{CSR}/c/approval", {"metadata": {"name": "c"}}),
}


@pytest.fixture(scope="module")
def policies():
    return compile_policies(
        read_files([FOLDER / f"{name}.yaml" for name in ("read-only", "mcp-default", "break-glass")])
    )


@pytest.mark.parametrize("client", ["demo", "mcp-1", "viewer-1", "break-glass-1"])
@pytest.mark.parametrize(("method", "target", "body"), MINTING.values(), ids=MINTING)
def test_bypass_2_17_no_client_mints_a_credential_by_itself(policies, client, method, target, body):
    request = PolicyRequest.from_canonical(client, canonicalise(raw(method, target, JSON, body)))
    assert policies.decide(request).action is not Action.ALLOW
