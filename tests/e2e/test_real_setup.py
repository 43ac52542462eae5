"""`scripts/setup` and `pratique doctor` in front of a real cluster: its RBAC is what it says, and no more."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner
from kubernetes import config

from pratique.cli import main
from pratique.setup import __main__ as command
from tests.e2e.real import RealInfo, call, eventually, kubeconfig, kubectls, real_cluster
from tests.setup.fake_aws import ACCOUNT, Eks, Iam

pytestmark = [pytest.mark.e2e, pytest.mark.realcluster]
X = f"arn:aws:iam::{ACCOUNT}:role/gateway"
POLICY = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: read, verbs: [get, list], resources: [pods, pods/log], action: Allow}
    - {name: exec, verbs: [create], resources: [pods/exec], action: RequireApproval}
    - {name: write, verbs: [apply, deletecollection], resources: [configmaps], namespaces: [NAMESPACE], action: RequireApproval}
    - {name: versions, verbs: [get], nonResourceURLs: [/version, "/apis/*"], action: Allow}
"""


def kubectl(*arguments: str):
    return call(kubectls()[0], "--kubeconfig", str(kubeconfig()), *arguments)


class Installation:
    """An installation with names of its own, in front of the real cluster and an AWS in memory."""

    def __init__(self, folder: Path, info: RealInfo) -> None:
        self.name = f"setup-{uuid.uuid4().hex[:8]}"
        self.group = f"{self.name}:agents"
        self.iam = Iam("gateway")
        self.eks = Eks(self.iam, info.server)
        self.folder = folder / "documents"
        self.folder.mkdir()
        (self.folder / "policy.yaml").write_text(POLICY.replace("NAMESPACE", self.name))

    def run(self, *more: str) -> dict[str, str]:
        """Action by kind."""
        names = [
            "--role-y",
            self.name,
            "--group",
            self.group,
            "--namespace",
            self.name,
            "--documents",
            str(self.folder),
        ]
        arguments = ["--cluster", "prod", "--role-x", X, *names, "--client", "agent", "--output", "json", *more]
        done = CliRunner().invoke(command.main, arguments)
        assert done.exit_code == 0, done.output
        return {step["kind"]: step["action"] for step in json.loads(done.stdout)["steps"]}

    def may(self, *what: str) -> bool:
        """Whether somebody in Role Y's group may; as the API server's own authoriser says."""
        asked = kubectl("auth", "can-i", "--as", "role-y", "--as-group", self.group, *what)
        return asked.out.strip() == "yes"


@pytest.fixture
def installation(tmp_path, monkeypatch):
    info = real_cluster(tmp_path).info
    api = config.new_client_from_config(config_file=str(kubeconfig()))
    made = Installation(tmp_path, info)
    monkeypatch.setattr(command, "_aws_clients", lambda region: (made.iam, made.eks))
    monkeypatch.setattr(command, "_api_client", lambda context, endpoint: api)
    yield made
    made.run("--destroy")
    kubectl("delete", "namespace", made.name, "--wait=false")


def test_the_rights_are_those_of_the_policies_and_are_taken_back(installation) -> None:
    assert set(installation.run().values()) == {"create"}
    assert set(installation.run("--dry-run").values()) == {"keep"}  # the server adds nothing that would differ
    name = installation.name
    yes = [
        ("get", "pods", "-A"), ("list", "pods", "-A"), ("get", "pods", "--subresource=log", "-n", "default"),
        ("create", "pods", "--subresource=exec", "-n", "default"), ("get", "pods", "--subresource=exec", "-n", "default"),
        ("patch", "configmaps", "-n", name), ("create", "configmaps", "-n", name), ("list", "configmaps", "-n", name),
        ("get", "/version"), ("get", "/apis/apps"),
    ]  # fmt: skip
    no = [
        ("watch", "pods", "-A"), ("delete", "pods", "-A"), ("get", "secrets", "-A"), ("patch", "configmaps", "-n", "default"),
        ("update", "configmaps", "-n", name), ("create", "serviceaccounts", "--subresource=token", "-n", name), ("impersonate", "users"),
        ("escalate", "clusterroles"), ("create", "pods", "--subresource=attach", "-n", "default"), ("get", "nodes", "--subresource=proxy"), ("*", "*"), ("get", "/metrics"),
    ]  # fmt: skip
    assert [what for what in yes if not installation.may(*what)] == []
    assert [what for what in no if installation.may(*what)] == []
    account = f"system:serviceaccount:{name}:pratique-agents"
    assert kubectl("auth", "can-i", "get", "pods", "--as", account).out.strip() == "yes"
    installation.run("--destroy")
    eventually(lambda: not any(installation.may(*what) for what in yes if not what[1].startswith("/")))
    assert installation.run("--destroy", "--dry-run") == {"Namespace": "keep"}


def test_doctor_in_front_of_a_real_cluster(tmp_path) -> None:
    """With the tokens of an administrator, of one who may little, and of nobody."""
    info = real_cluster(tmp_path).info
    policies, token = tmp_path / "policies", tmp_path / "token"
    policies.mkdir()
    spec = {"server": info.server, "certificateAuthority": {"path": info.ca_path}, "tokenFile": str(token)}
    head = {"apiVersion": "pratique/v1", "kind": "Cluster", "metadata": {"name": "c"}, "spec": spec}
    (policies / "cluster.yaml").write_text(json.dumps(head))

    def doctor(given: str):
        token.write_text(given)
        done = CliRunner().invoke(main, ["doctor", "--policies", str(policies), "--output", "json"])
        assert given not in done.output
        return done.exit_code, {each["step"]: each for each in reversed(json.loads(done.stdout))}

    code, found = doctor(os.environ["PRATIQUE_REALCLUSTER_TOKEN"])
    assert (code, found["endpoint"]["state"], found["accepted"]["state"]) == (0, "ok", "warning")
    assert "system:masters" in found["accepted"]["says"]
    assert "may do everything" in found["rights"]["says"]
    code, found = doctor("role-y-token")
    assert (code, found["accepted"]["state"]) == (0, "ok")
    assert "role-y" in found["accepted"]["says"]
    assert "may do everything" not in found["rights"]["says"]
    code, found = doctor("no-such-token")
    assert (code, found["accepted"]["state"]) == (1, "broken")
