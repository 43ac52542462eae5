"""I/O: `./scripts/demo`: a gateway in front of the sandbox (or of a real cluster), six things to try, and the guided tour.

Belongs here: starting the gateway with a policy folder made for the demo, and saying what to try. Not here: the six steps
themselves (`tour`). Demos only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from pratique.approvals.reviewers import new_reviewer_key, reviewer_document
from pratique.identity.clients import client_document, new_api_key

ROOT = Path(__file__).parents[3]
START_SECONDS = 240.0
"""A first start compiles every module; later ones take seconds."""
CLIENT, REVIEWER = "demo", "reviewer"
SHIPPED = ("mcp-default.yaml", "mcp-default.cases.yaml", "masking.yaml")


class DemoError(Exception):
    """The demo cannot go on; one readable line."""


@dataclass
class Demo:
    """A running gateway for the demo."""

    folder: Path
    cluster_kubeconfig: Path | None
    hold: int = 45

    def __post_init__(self) -> None:
        self.policies, self.state = self.folder / "policies", self.folder / "state"
        self.kubeconfig, self.log = self.folder / "kubeconfig", self.folder / "gateway.log"
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.reviewer_key = ""

    @property
    def on_real_cluster(self) -> bool:
        return self.cluster_kubeconfig is not None

    def start(self, say: Console) -> None:
        """Documents, gateway, kubeconfig. DemoError if the gateway does not come up."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.policies.mkdir(parents=True)
        for name in SHIPPED:
            shutil.copy(ROOT / "policies" / name, self.policies / name)
        spec = {"kubeconfig": {"path": str(self.cluster_kubeconfig)}} if self.cluster_kubeconfig else {"sandbox": {}}
        document = {"apiVersion": "pratique/v1", "kind": "Cluster", "metadata": {"name": "demo"}, "spec": spec}
        (self.policies / "cluster.yaml").write_text(json.dumps(document, indent=2) + "\n")
        key = new_api_key(CLIENT, os.urandom(32))
        (self.policies / "client-demo.yaml").write_text(client_document(CLIENT, key.sha256))
        reviewer = new_reviewer_key(REVIEWER, os.urandom(32))
        self.reviewer_key = reviewer.key.reveal()
        (self.policies / f"reviewer-{REVIEWER}.yaml").write_text(reviewer_document(REVIEWER, reviewer.sha256))
        with say.status("starting the gateway" + ("" if self.on_real_cluster else " and its sandbox")):
            self._launch()
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(self._client_kubeconfig(key.key.reveal()), indent=2) + "\n")

    def _launch(self) -> None:
        command = [
            sys.executable,
            "-m",
            "pratique.cli",
            "run",
            "--policies",
            str(self.policies),
            "--state",
            str(self.state),
        ]
        command += [
            "--set",
            f"pratique_hold={self.hold}",
            "--set",
            "pratique_playground=true",
            "--listen-host",
            "127.0.0.1",
            "-p",
            str(self.port),
        ]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "addons"), "PYTHONUNBUFFERED": "1"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + START_SECONDS
        while "pratique serves" not in self.log.read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise DemoError(f"the gateway did not start:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.1)

    def _client_kubeconfig(self, key: str) -> dict[str, Any]:
        authority = self.state / "mitmproxy" / "mitmproxy-ca-cert.pem"
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(authority)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "gateway", "cluster": cluster}],
            "users": [{"name": CLIENT, "user": {"token": key}}],
            "contexts": [
                {"name": "gateway", "context": {"cluster": "gateway", "user": CLIENT, "namespace": "payments"}}
            ],
            "current-context": "gateway",
        }

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return 1


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


GUIDE = """
The gateway runs. A workload needs only this kubeconfig; it holds no cluster credential:

  export KUBECONFIG={kubeconfig}

Six things to try:

  1. a masked secret         kubectl get secret db-credentials -o yaml
  2. a blocked delete        kubectl delete namespace payments
  3. a queued delete         kubectl delete configmap api-config
     and its approval        {pratique} approvals list --state {state}
                             {pratique} approvals approve ID --state {state}
     or on the page          {admin}/
     with the key            {key}
  4. exec (asks, too)        kubectl exec deploy/api -c api -- date
  5. the recording           {pratique} sessions list --state {state}
                             {pratique} replay SESSION --state {state}
  6. the policy on a file    echo '{{"id":"x","method":"DELETE","path":"/api/v1/namespaces/payments"}}' | {pratique} explain --policies {policies} -

     the same, as you type   {admin}/playground

Documents: {policies}   Log: {log}   Ctrl-C stops everything.
"""


def main(argv: list[str] | None = None) -> int:
    """Exit code 0: stopped by the user, or the tour saw every outcome; 1: something was not as it should be."""
    parser = argparse.ArgumentParser(
        prog="./scripts/demo", description="The gateway in front of a sandbox, or of a cluster."
    )
    parser.add_argument("--tour", action="store_true", help="try the six things, check each outcome, exit 0 or 1")
    parser.add_argument("--kubeconfig", type=Path, help="a real cluster to stand in front of, instead of the sandbox")
    arguments = parser.parse_args(argv)
    say = Console(highlight=False, soft_wrap=True)
    demo = Demo(ROOT / ".pratique" / "demo", arguments.kubeconfig and arguments.kubeconfig.resolve())
    try:
        demo.start(say)
        if arguments.tour:
            from pratique.sandbox.tour import tour  # noqa: PLC0415 - imports a Kubernetes client

            return tour(demo, say)
        pratique = str(Path(sys.executable).with_name("pratique"))
        names: dict[str, object] = {
            "kubeconfig": demo.kubeconfig,
            "state": demo.state,
            "policies": demo.policies,
            "log": demo.log,
        }
        names |= {"admin": json.loads((demo.state / "admin.json").read_text())["url"], "key": demo.reviewer_key}
        say.print(GUIDE.format(pratique=pratique, **names), markup=False)
        return demo.process.wait() if demo.process else 1
    except KeyboardInterrupt:
        return 0
    except DemoError as error:
        say.print(f"demo: {error}", markup=False)
        return 1
    finally:
        demo.stop()


if __name__ == "__main__":
    sys.exit(main())
