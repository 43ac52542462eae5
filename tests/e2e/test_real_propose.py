"""Record kubectl in front of a real cluster, propose, and do it again with no more than was proposed."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from pratique.cli import main
from pratique.documents import read_folder
from pratique.sandbox.cluster import Sandbox
from pratique.trial.judging import As, Engine, Outcome
from pratique.trial.reading import BadRecording, files_of, pieces, read
from pratique.trial.recorded import RecordedRequest
from tests.e2e import real
from tests.process.gateway import Gateway

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]

NAMESPACE, ROLE_Y = "e2e-propose", "e2e-propose-y"
GROUP = f"system:serviceaccounts:{ROLE_Y}"
"""Role Y here is a ServiceAccount: its namespace's group stands for that of an access entry."""
MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied, labels: {a: b}}\ndata: {size: small}\n"


@pytest.fixture(scope="module")
def admin() -> Iterator[real.Kubectl]:
    found = real.Kubectl(real.kubectls()[0], real.kubeconfig(), NAMESPACE, {})
    for name in (NAMESPACE, ROLE_Y):
        found("delete", "namespace", name, "--timeout=60s", timeout=90)
        found.ok("create", "namespace", name)
    found.ok("-n", ROLE_Y, "create", "serviceaccount", "y")
    yield found
    for name in (NAMESPACE, ROLE_Y):
        found("delete", "namespace", name, "--wait=false")
    for kind in ("clusterrole", "clusterrolebinding"):
        found("delete", kind, "pratique-agent", "--ignore-not-found")


def start(folder: Path, token: str = "") -> Gateway:
    cluster = real.real_cluster(folder)
    if token:
        cluster = replace(cluster, info=replace(cluster.info, static_token=token))
    return Gateway(folder / "gateway", cast("Sandbox", cluster), policy=real.EVERYTHING).start()


def session(kubectl: real.Kubectl) -> None:
    """What an agent does; every step must succeed."""
    kubectl.ok("get", "pods")
    kubectl.ok("create", "configmap", "made", "--from-literal=a=b")
    kubectl.ok("label", "configmap", "made", "x=y")
    kubectl.ok("apply", "-f", "-", given=MANIFEST)
    kubectl.ok("apply", "-f", "-", given=MANIFEST.replace("small", "large"))
    kubectl.ok("apply", "--server-side", "--force-conflicts", "-f", "-", given=MANIFEST)
    kubectl.ok("get", "configmaps", "-o", "yaml")
    kubectl.ok("create", "configmap", "rehearsed", "--dry-run=server")
    kubectl.ok("delete", "configmap", "made", "applied")
    kubectl.ok("get", "--raw", "/version")


@pytest.fixture(scope="module")
def recorded(admin: real.Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a gateway through which the session went."""
    running = start(tmp_path_factory.mktemp("propose"))
    session(real.Kubectl(real.kubectls()[0], real.client_kubeconfig(running), NAMESPACE, {}))
    running.stop()
    return running.state


@pytest.fixture(scope="module")
def proposal(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proposal")
    (folder / "policies").mkdir()
    out, rbac = folder / "policies" / "agent.yaml", folder / "rbac.yaml"
    run("propose", "-r", recorded, "--client", "agent", "--out", out, "--rbac", rbac, "--group", GROUP)
    return folder


def run(*arguments: Any) -> Result:
    result = CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def requests(path: Path) -> list[RecordedRequest]:
    ignored: list[BadRecording] = []
    return [
        each
        for file in files_of([path])
        for piece in pieces(file, ignored.append)
        for each in read(piece, ignored.append)
    ]


def test_the_proposed_policy_lets_the_session_pass_or_asks_a_person(recorded: Path, proposal: Path) -> None:
    run("check", proposal / "policies")
    found = json.loads(run("test-policy", proposal / "policies", "-r", recorded, "-o", "json").stdout)
    assert found["requests"] > 10
    assert {name: count for name, count in found["outcomes"].items() if count} == {
        "Allow": found["outcomes"]["Allow"],
        "RequireApproval": found["outcomes"]["RequireApproval"],
    }


def test_the_session_passes_with_no_more_rights_than_were_proposed(
    admin: real.Kubectl, proposal: Path, tmp_path: Path
) -> None:
    admin.ok("apply", "-f", str(proposal / "rbac.yaml"))
    running = start(tmp_path, admin.ok("-n", ROLE_Y, "create", "token", "y").strip())
    try:
        narrow = real.Kubectl(real.kubectls()[0], real.client_kubeconfig(running), NAMESPACE, {})
        session(narrow)
        for refused in (
            ("get", "secrets"),
            ("get", "pods", "-n", "kube-system"),
            ("delete", "pod", "x"),
            ("get", "nodes"),
        ):
            done = narrow(*refused)
            assert done.code != 0
            assert "Forbidden" in done.err, (refused, done)
    finally:
        running.stop()


def test_a_tightened_rule_changes_exactly_the_requests_that_it_is_about(
    recorded: Path, proposal: Path, tmp_path: Path
) -> None:
    tight = tmp_path / "tight"
    tight.mkdir()
    denies = "    - {name: no-deletes, verbs: [delete], resources: [configmaps], action: Deny}\n"
    text = (proposal / "policies" / "agent.yaml").read_text()
    (tight / "agent.yaml").write_text(text.replace("  rules:\n", f"  rules:\n{denies}", 1))
    shown = run(
        "test-policy", tight, "--against", proposal / "policies", "-r", recorded, "--examples", 100, "-o", "json"
    )
    changes = json.loads(shown.stdout)["changes"]
    assert [(change["change"], change["what"]) for change in changes] == [("newlyDenied", "delete configmaps")]
    deleted = sorted(one.id for one in requests(recorded) if one.raw.method == b"DELETE")
    assert len(deleted) == 2
    assert sorted(example["id"] for change in changes for example in change["examples"]) == deleted


def test_the_audit_log_of_the_cluster_tells_the_same_verdicts(recorded: Path, proposal: Path) -> None:
    engine = Engine.of(read_folder(proposal / "policies"), As("agent", force=True))
    ours = {each.id: engine.judge(each) for each in requests(recorded)}
    audited = {
        each.id: engine.judge(each)
        for each in requests(Path(os.environ["PRATIQUE_REALCLUSTER_AUDIT"]))
        if each.id in ours
    }
    assert len(audited) > 10
    known = {name: found for name, found in audited.items() if found.outcome is not Outcome.UNKNOWN}
    assert {name: found.outcome for name, found in known.items()} == {name: ours[name].outcome for name in known}
    assert Counter(found.outcome for found in known.values())[Outcome.ALLOW] > 5
