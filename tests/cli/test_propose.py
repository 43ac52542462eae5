"""`pratique propose`, then `pratique test-policy` on what it wrote."""

from __future__ import annotations

from ruamel.yaml import YAML

from tests.trial.support import PODS, event, flow, lines


def test_the_proposal_lets_the_recording_pass(run, run_json, tmp_path):
    target = f"{PODS}/web/exec?command=ls&stdout=true"
    upgrade = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io"}
    data = flow() + flow("DELETE", PODS + "/web") + flow("POST", target, headers=upgrade) + flow(client="other")
    (tmp_path / "s.flow").write_bytes(data)
    (tmp_path / "policies").mkdir()
    result = run(
        "propose",
        "-r",
        tmp_path / "s.flow",
        "--client",
        "mcp-1",
        "--out",
        tmp_path / "policies" / "p.yaml",
        "--rbac",
        tmp_path / "rbac.yaml",
    )
    assert result.exit_code == 0, result.output
    assert "3 requests of client mcp-1: 3 rules, 0 requests left out" in result.stderr
    assert run("check", tmp_path / "policies").exit_code == 0
    found = run_json("test-policy", tmp_path / "policies", "-r", tmp_path / "s.flow", "--user", "mcp-1")
    assert found["outcomes"] == {"Allow": 1, "RequireApproval": 2, "Deny": 0, "Refused": 0, "Unknown": 0}
    kinds = [one["kind"] for one in YAML(typ="safe").load_all(tmp_path / "rbac.yaml")]
    assert kinds == ["Role", "RoleBinding"]


def test_an_audit_log_becomes_a_policy_for_the_client_that_its_user_will_be(run, tmp_path):
    others = event(user={"username": "system:node:n1"})
    (tmp_path / "a.log").write_bytes(lines(event(), event("delete", PODS + "/web"), others))
    result = run("propose", "-r", tmp_path / "a.log", "--client", "mcp-1", "--user", "system:serviceaccount:agents:*")
    assert result.exit_code == 0
    assert "subjects: [mcp-1]" in result.stdout
    assert "list-pods" in result.stdout
    assert "2 requests" in result.stderr


def test_nothing_to_propose_and_bad_recordings_are_said(run, tmp_path):
    (tmp_path / "s.flow").write_bytes(flow() + b"12:")
    result = run("propose", "-r", tmp_path / "s.flow", "--client", "mcp-1")
    assert (result.exit_code, "cut short" in result.stderr) == (1, True)
    went_on = run("propose", "-r", tmp_path / "s.flow", "--client", "mcp-1", "--keep-going")
    assert (went_on.exit_code, "list-pods" in went_on.stdout) == (1, True)
    nobody = run("propose", "-r", tmp_path / "s.flow", "--client", "nobody", "--keep-going")
    assert (nobody.exit_code, "no request of client `nobody`" in nobody.stderr) == (1, True)
