"""kubectl as the client of a gateway in front of the sandbox; all that it prints is searched for the probe's value."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.process.gateway import Gateway
from tests.process.leaks import N, Probe

KUBECTL = shutil.which("kubectl")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="no kubectl on PATH")


@dataclass
class Done:
    code: int
    out: str
    err: str


@dataclass
class Client:
    """kubectl, and what it looks at: one Secret with a value that nobody has seen."""

    gateway: Gateway
    folder: Path
    probe: Probe

    def __call__(self, *arguments: str, given: str = "", editor: str = "") -> Done:
        command = [
            str(KUBECTL),
            "--kubeconfig",
            str(self.config),
            "--cache-dir",
            str(self.folder / "cache"),
            "-n",
            "payments",
        ]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "KUBE_EDITOR": editor}
        done = subprocess.run(
            [*command, *arguments], input=given, capture_output=True, text=True, timeout=120, env=environment
        )
        self.probe.outputs += [done.stdout.encode(), done.stderr.encode()]
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, given: str = "", editor: str = "", expect: tuple[int, ...] = (0,)) -> str:
        done = self(*arguments, given=given, editor=editor)
        assert done.code in expect, done
        return done.out

    @property
    def config(self) -> Path:
        path = self.folder / "config"
        certificate = str(self.gateway.state / "mitmproxy" / "mitmproxy-ca-cert.pem")
        cluster = {"server": f"https://127.0.0.1:{self.gateway.port}", "certificate-authority": certificate}
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": self.gateway.keys["agent"]}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }))  # fmt: skip
        return path

    def script(self, text: str) -> str:
        path = self.folder / "editor.sh"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    @property
    def name(self) -> str:
        return self.probe.name

    def live(self, resource: str = "secrets", collection: str = "") -> Any:
        """The object as it is in the cluster."""
        return self.gateway.behind("GET", f"{collection or f'{N}/{resource}'}/{self.name}").json
