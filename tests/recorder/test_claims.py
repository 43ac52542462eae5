"""What a client says about itself is stored as a claim, scrubbed and bounded."""

from __future__ import annotations

import pytest

from pratique.recorder.claims import MAX_CLAIM, claims, kubectl_session, mcp_client


@pytest.mark.parametrize(
    ("agent", "client"),
    [
        ("kubernetes-mcp-server/v0.0.67 (linux/amd64) mcp/0.1.0", "mcp/0.1.0"),
        ("kubernetes-mcp-server/v0.0.67 (linux/amd64) claude-code/2.1.4 more", "claude-code/2.1.4"),
        ("kubectl/v1.36.2 (linux/amd64) kubernetes/8d1e3f4", ""),
        ("awslabs/mcp/eks-mcp-server/0.2.1", ""),
        ("kubernetes-mcp-server/v0.0.67 (linux/amd64)", ""),
        ("", ""),
    ],
)
def test_the_mcp_client_is_what_kubernetes_mcp_server_appends(agent: str, client: str) -> None:
    assert mcp_client(agent) == client


def test_only_an_id_is_a_kubectl_session() -> None:
    uuid = "0b6c2e5e-7a77-4f3b-9d0f-1e9c6a1d2b3c"
    assert kubectl_session({"kubectl-session": uuid}) == uuid
    for bad in ("", "../../x", "a" * 65, "short", f"{uuid}\n"):
        assert kubectl_session({"kubectl-session": bad}) == ""


def test_claims_hold_what_is_there_and_no_secret() -> None:
    found = claims({
        "user-agent": "kubectl/v1 token=hunter2hunter2 \x1b[31m" + "x" * 500,
        "kubectl-command": "kubectl get",
    })  # fmt: skip
    assert set(found) == {"user_agent", "kubectl_command"}
    assert "hunter2" not in found["user_agent"]
    assert "\x1b" not in found["user_agent"]
    assert len(found["user_agent"]) < MAX_CLAIM + 32
    assert claims({}) == {}
