"""A session of `kubernetes-mcp-server`, driven through its tools: recorded, proposed, replayed, tightened.

The environment is that of `test_mcp`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from pratique.cli import main
from pratique.sandbox.cluster import Sandbox
from tests.e2e import real
from tests.e2e.test_mcp import tools
from tests.process.gateway import Gateway

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]
NAMESPACE = "e2e-mcp-propose"
CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "made", "namespace": NAMESPACE},
    "data": {"a": "b"},
}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("namespaces_list", {}),
    ("pods_list_in_namespace", {"namespace": NAMESPACE}),
    ("events_list", {"namespace": NAMESPACE}),
    ("resources_create_or_update", {"resource": json.dumps(CONFIG)}),
    ("resources_get", {"apiVersion": "v1", "kind": "ConfigMap", "namespace": NAMESPACE, "name": "made"}),
    ("resources_delete", {"apiVersion": "v1", "kind": "ConfigMap", "namespace": NAMESPACE, "name": "made"}),
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("mcp-propose")
    admin = real.Kubectl(real.kubectls()[0], real.kubeconfig(), NAMESPACE, {})
    admin("delete", "namespace", NAMESPACE, "--timeout=60s", timeout=90)
    admin.ok("create", "namespace", NAMESPACE)
    running = Gateway(folder / "gateway", cast("Sandbox", real.real_cluster(folder)), policy=real.EVERYTHING).start()
    results = tools(running, *CALLS)
    running.stop()
    assert [result for result in results if result.failed] == []
    yield running.state
    admin("delete", "namespace", NAMESPACE, "--wait=false")


def run(*arguments: Any) -> str:
    result = CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_its_session_proposes_a_policy_under_which_it_passes(recorded: Path, tmp_path: Path) -> None:
    policies, tight = tmp_path / "policies", tmp_path / "tight"
    policies.mkdir()
    tight.mkdir()
    run("propose", "-r", recorded, "--client", "agent", "--out", policies / "agent.yaml")
    run("check", policies)
    found = json.loads(run("test-policy", policies, "-r", recorded, "-o", "json"))
    assert found["outcomes"]["Allow"] > 5
    assert found["outcomes"]["RequireApproval"] >= 2, "what it applied and deleted"
    assert found["outcomes"]["Deny"] == found["outcomes"]["Refused"] == found["outcomes"]["Unknown"] == 0
    denies = "    - {name: no-deletes, verbs: [delete], resources: [configmaps], action: Deny}\n"
    (tight / "agent.yaml").write_text(
        (policies / "agent.yaml").read_text().replace("  rules:\n", f"  rules:\n{denies}", 1)
    )
    changes = json.loads(run("test-policy", tight, "--against", policies, "-r", recorded, "-o", "json"))["changes"]
    assert [(each["change"], each["what"], each["count"]) for each in changes] == [
        ("newlyDenied", "delete configmaps", 1)
    ]
    assert changes[0]["examples"][0]["request"] == f"delete configmaps made -n {NAMESPACE}"
