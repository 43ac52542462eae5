"""Real MCP servers, driven through their tools, with the shipped policy for agents, in front of a real cluster.

PRATIQUE_MCP_SERVER is the program of npm's `kubernetes-mcp-server`, PRATIQUE_MCP_PYTHON a Python with the `mcp` SDK.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from pratique.approvals.deciding import Decision
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State
from pratique.cli.audit import records
from pratique.sandbox.cluster import Sandbox
from tests.e2e import real
from tests.e2e.matrix import Told, cases
from tests.process.gateway import ROOT, Gateway

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]

CANARY = "mcp-CANARY-0815"
NAMESPACE = "e2e-mcp"


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with `mcp-default` for everybody, a namespace with a Secret, a ConfigMap and a pod."""
    folder = tmp_path_factory.mktemp("mcp")
    policy = (ROOT / "policies" / "mcp-default.yaml").read_text().replace('["mcp-*", demo]', '["*"]')
    running = Gateway(folder / "gateway", cast("Sandbox", real.real_cluster(folder)), policy=policy, hold=3).start()
    admin = real.Kubectl(real.kubectls()[0], real.kubeconfig(), NAMESPACE, {})
    admin("delete", "namespace", NAMESPACE, "--timeout=60s", timeout=90)
    admin.ok("create", "namespace", NAMESPACE)
    admin.ok("create", "secret", "generic", "db", f"--from-literal=password={CANARY}")
    for name in ("first", "second", "third"):
        admin.ok("create", "configmap", name, "--from-literal=a=b")
    yield running
    running.stop()
    admin("delete", "namespace", NAMESPACE, "--wait=false")


def tools(gateway: Gateway, *calls: tuple[str, dict[str, Any]]) -> list[Told]:
    case = next(each for each in cases() if each.name == "kubernetes-mcp-server")
    server = case.connect(real.client_kubeconfig(gateway), NAMESPACE)
    try:
        return [server.call(list(call)) for call in calls]
    finally:
        server.close()


def decide(gateway: Gateway, decision: Decision, reason: str) -> str:
    """Decides whatever waits, as a reviewer would; its id."""
    store = SqliteStore(gateway.state / "approvals.sqlite")
    [approval] = real.eventually(lambda: list(store.find(time.time(), [State.PENDING])))
    store.decide(approval.id, decision, "a-reviewer", reason, time.time())
    return approval.id


def there(name: str) -> bool:
    admin = real.Kubectl(real.kubectls()[0], real.kubeconfig(), NAMESPACE, {})
    return admin("get", "configmap", name).code == 0


def delete(name: str) -> tuple[str, dict[str, Any]]:
    return "resources_delete", {"apiVersion": "v1", "kind": "ConfigMap", "namespace": NAMESPACE, "name": name}


def test_reads_work_and_show_no_secret(agents: Gateway) -> None:
    reads = [
        ("namespaces_list", {}),
        ("pods_list", {}),
        ("pods_list_in_namespace", {"namespace": NAMESPACE}),
        ("events_list", {"namespace": NAMESPACE}),
        ("resources_list", {"apiVersion": "apps/v1", "kind": "Deployment"}),
        ("resources_list", {"apiVersion": "v1", "kind": "Secret", "namespace": NAMESPACE}),
        (
            "resources_get",
            {"apiVersion": "v1", "kind": "ConfigMap", "namespace": NAMESPACE, "name": "kube-root-ca.crt"},
        ),
        ("resources_get", {"apiVersion": "v1", "kind": "Secret", "namespace": NAMESPACE, "name": "db"}),
    ]
    results = tools(agents, *reads)
    assert [result for result in results if result.failed] == []
    shown = "\n".join(result.text for result in results)
    assert CANARY not in shown
    assert base64.b64encode(CANARY.encode()).decode() not in shown
    assert "db" in results[5].text


def test_a_delete_is_refused_with_a_text_that_a_model_can_act_on_and_the_repeat_succeeds_once_approved(
    agents: Gateway,
) -> None:
    [asked] = tools(agents, delete("first"))
    assert asked.failed
    assert "waits for a reviewer's approval" in asked.text
    assert "Repeat exactly the same request" in asked.text
    assert there("first")
    assert decide(agents, Decision.APPROVE, "fine") in asked.text
    assert there("first"), "nothing is executed until the client asks again"
    [repeated] = tools(agents, delete("first"))
    assert not repeated.failed, repeated
    assert not there("first")


def test_a_delete_that_is_approved_while_it_is_held_happens_without_a_repeat(agents: Gateway) -> None:
    reviewer = threading.Thread(target=decide, args=(agents, Decision.APPROVE, "fine"), daemon=True)
    reviewer.start()
    [done] = tools(agents, delete("second"))
    assert not done.failed, done
    assert not there("second")


def test_a_denied_delete_tells_the_reason(agents: Gateway) -> None:
    [asked] = tools(agents, delete("third"))
    decide(agents, Decision.DENY, "not on a Friday")
    [repeated] = tools(agents, delete("third"))
    assert asked.failed
    assert repeated.failed
    assert "not on a Friday" in repeated.text
    assert there("third")


def test_what_is_denied_says_by_which_rule(agents: Gateway) -> None:
    [refused] = tools(agents, ("resources_delete", {"apiVersion": "v1", "kind": "Namespace", "name": NAMESPACE}))
    assert refused.failed
    assert "no-namespace-delete" in refused.text


def test_an_exec_is_held_once_and_told_in_the_clusters_own_way(agents: Gateway) -> None:
    """Refused before its 101 it would be sent again over SPDY, and be held twice."""
    admin = real.Kubectl(real.kubectls()[0], real.kubeconfig(), NAMESPACE, {})
    admin.ok("run", "shell", f"--image={real.IMAGE}", "--image-pull-policy=Never", "--", "sleep", "3600")
    admin.ok("wait", "--for=condition=Ready", "--timeout=90s", "pod/shell", timeout=120)
    run = ("pods_exec", {"namespace": NAMESPACE, "name": "shell", "command": ["echo", "ran"]})
    [asked] = tools(agents, run)
    assert asked.failed
    assert "waits for a reviewer's approval" in asked.text
    assert "unable to upgrade" not in asked.text
    assert decide(agents, Decision.APPROVE, "fine") in asked.text
    [repeated] = tools(agents, run)
    assert (repeated.failed, repeated.text) == (False, "ran\n")
    execs = [r for r in records(agents.state) if r.subresource == "exec" and str(r.stage) == "ResponseComplete"]
    assert [(r.status, r.sent) for r in execs] == [(403, False), (101, True)]
