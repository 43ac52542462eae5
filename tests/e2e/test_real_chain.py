"""The whole chain in front of a real API server that looks at tokens as EKS does, installed by `scripts/setup`.

setup → documents and RBAC → gateway (Role X → Role Y → token) → kubectl with the kubeconfig that setup wrote → audit log.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from kubernetes import client as kubernetes

from pratique.cli import main
from pratique.setup import __main__ as command
from tests.e2e.webhook_cluster import ADMIN, KEY, REGION, ROLE_X, SECRET, WebhookCluster, events
from tests.process.gateway import ROOT, eventually, free_port
from tests.setup.fake_aws import ACCOUNT

pytestmark = [pytest.mark.e2e, pytest.mark.realcluster]
POLICY = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: discover, verbs: [get], nonResourceURLs: [/api, "/api/*", /apis, "/apis/*", /version, "/openapi/*"], action: Allow}
    - {name: read, verbs: [get, list], resources: [configmaps, namespaces], action: Allow}
    - {name: write, verbs: [create, patch, apply, get], resources: [configmaps], namespaces: [default], action: Allow}
"""
USER = f"arn:aws:sts::{ACCOUNT}:assumed-role/pratique-prod/agent"


class Installed:
    """A cluster, an installation made by setup, and its gateway."""

    def __init__(self, cluster: WebhookCluster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster, self.folder, self.port = cluster, folder, free_port()
        self.documents = folder / "documents"
        self.documents.mkdir()
        (self.documents / "policy.yaml").write_text(POLICY)
        (self.documents / "masking.yaml").write_text((ROOT / "policies" / "masking.yaml").read_text())
        configuration = kubernetes.Configuration(host=cluster.server)
        configuration.ssl_ca_cert = str(cluster.authority)
        configuration.api_key = {"authorization": f"Bearer {ADMIN}"}
        api = kubernetes.ApiClient(configuration)
        monkeypatch.setattr(command, "_aws_clients", lambda region: (cluster.iam, cluster.eks))
        monkeypatch.setattr(command, "_api_client", lambda context, endpoint: api)
        self.process: subprocess.Popen[bytes] | None = None

    def setup(self, *more: str) -> None:
        url = f"https://127.0.0.1:{self.port}"
        names = ["--cluster", "prod", "--role-x", ROLE_X, "--documents", str(self.documents), "--client", "agent"]
        done = CliRunner().invoke(command.main, [*names, "--region", REGION, "--gateway-url", url, *more])
        assert done.exit_code == 0, done.output

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL_STS": self.cluster.sts_endpoint,
            "AWS_ENDPOINT_URL_EKS": "http://127.0.0.1:1", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }  # fmt: skip

    def start(self) -> None:
        found = self.cluster.kubectl("get", "secret", "-n", "pratique", "pratique-serving", "-o", "json")
        combined = self.folder / "combined.pem"
        combined.write_bytes(base64.b64decode(json.loads(found.stdout)["data"]["tls-combined.pem"]))
        arguments = [
            "run", "--policies", str(self.documents), "--state", str(self.folder / "state"), f"--certs=*={combined}",
            "--set=pratique_admin=127.0.0.1:0", "--listen-host=127.0.0.1", f"--listen-port={self.port}",
        ]  # fmt: skip
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(ROOT / "addons"), "PYTHONUNBUFFERED": "1"}
        with (self.folder / "gateway.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pratique.cli", *arguments], stdout=log, stderr=log, env=environment
            )
        eventually(lambda: "pratique serves" in self.log(), 120)

    def log(self) -> str:
        return (self.folder / "gateway.log").read_text()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    def kubectl(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """As the workload does: with what setup wrote, and nothing else."""
        return self.cluster.kubectl(*arguments, given=given, config=self.folder / "agent.kubeconfig")

    def doctor(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
        with monkeypatch.context() as patched:
            for name, value in self.environment.items():
                patched.setenv(name, value)
            done = CliRunner().invoke(main, ["doctor", "--policies", str(self.documents), "--output", "json"])
        return {each["step"]: each for each in reversed(json.loads(done.stdout))}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookCluster]:
    made = WebhookCluster(tmp_path_factory.mktemp("webhook-cluster"))
    with contextlib.ExitStack() as stack:
        stack.callback(made.stop)
        yield made.start()


@pytest.fixture
def installed(cluster, tmp_path, monkeypatch) -> Iterator[Installed]:
    made = Installed(cluster, tmp_path, monkeypatch)
    yield made
    made.stop()


def test_the_whole_chain(installed: Installed, monkeypatch) -> None:
    cluster = installed.cluster
    installed.setup()
    installed.start()
    # The workload works, as a user of its own, with the rights of its policies.
    assert "default" in installed.kubectl("get", "namespaces").stdout
    made = installed.kubectl("create", "configmap", "chained", "--from-literal=a=b")
    assert made.returncode == 0, made.stderr
    assert "chained" in cluster.kubectl("get", "configmaps", "-o", "name").stdout
    users = {
        event["user"]["username"]
        for event in events(cluster)
        if event["verb"] == "create" and "/namespaces/default/configmaps" in event["requestURI"]
    }
    assert users == {USER}
    # What the policy denies, and what neither policy nor RBAC gives.
    assert "Forbidden" in installed.kubectl("get", "secrets").stderr
    assert (
        cluster.kubectl("auth", "can-i", "get", "secrets", "--as=x", "--as-group=pratique:agents").stdout.strip()
        == "no"
    )
    assert (
        cluster.kubectl("auth", "can-i", "patch", "configmaps", "--as=x", "--as-group=pratique:agents").stdout.strip()
        == "yes"
    )
    found = installed.doctor(monkeypatch)
    assert (found["role y"]["state"], found["accepted"]["state"], found["rights"]["state"]) == ("ok", "ok", "ok"), found
    # The access entry goes: the identity is revoked, without touching the workload.
    entries = dict(cluster.eks.entries)
    cluster.eks.entries.clear()
    # The API server believes in a token for 10 s after it has looked at it.
    eventually(lambda: "refused the gateway's credential" in installed.kubectl("get", "namespaces").stderr, 120)
    assert installed.doctor(monkeypatch)["accepted"]["state"] == "broken"
    cluster.eks.entries.update(entries)
    eventually(lambda: installed.kubectl("get", "namespaces").returncode == 0)
    # STS cannot be had: who has a token works on; a gateway that starts without one says so, then recovers by itself.
    roles, cluster.iam.roles = cluster.iam.roles, {}
    assert installed.kubectl("get", "namespaces").returncode == 0
    installed.stop()
    installed.start()
    refused = installed.kubectl("get", "namespaces")
    assert refused.returncode != 0
    assert "AWS denies sts:AssumeRole" in refused.stderr, installed.log()
    assert installed.doctor(monkeypatch)["role y"]["state"] == "broken"
    cluster.iam.roles = roles
    eventually(lambda: installed.kubectl("get", "namespaces").returncode == 0)
    assert SECRET not in installed.log()
    # Taken back: no role, no entry, no rights.
    installed.setup("--destroy")
    assert cluster.eks.entries == {}
    deadline = time.monotonic() + 30
    while (
        cluster.kubectl("auth", "can-i", "get", "configmaps", "--as=x", "--as-group=pratique:agents").stdout.strip()
        != "no"
    ):
        assert time.monotonic() < deadline
