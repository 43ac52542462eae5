"""I/O: the sandbox as the upstream of a gateway whose `kind: Cluster` says `sandbox: {}`. Demos and offline policy work only.

Starts `python -m pratique.sandbox` as a child process and describes it as what it stands for: an EKS cluster behind STS.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pratique.errors import StartError
from pratique.identity.clusters import CertificateAuthority, ClusterSpec, EksSource
from pratique.identity.server import Server

START_SECONDS = 60.0
"""A cold start on a slow laptop compiles Python files first."""


def embedded_cluster(cluster: ClusterSpec, state: Path) -> ClusterSpec:
    """`cluster` with the endpoint, the CA and the role of a sandbox started for it. StartError if it does not come up."""
    folder = state / "sandbox"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    info = _start(folder)
    os.environ |= {"AWS_ACCESS_KEY_ID": info["access_key_id"], "AWS_SECRET_ACCESS_KEY": info["secret_access_key"]}
    os.environ.pop("AWS_SESSION_TOKEN", None)
    eks = EksSource(info["cluster_name"], info["region"], info["role_arn"], sts_endpoint=info["sts_endpoint"])
    authority = CertificateAuthority(path=info["ca_path"])
    return replace(cluster, source=eks, server=Server.parse(info["server"]), certificate_authority=authority)


def _start(folder: Path) -> dict[str, Any]:
    ready = folder / "sandbox.json"
    ready.unlink(missing_ok=True)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with (folder / "sandbox.log").open("ab") as log:
        command = [sys.executable, "-m", "pratique.sandbox", "--state", str(folder)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    atexit.register(process.terminate)
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise StartError(f"the embedded cluster did not start. See {folder / 'sandbox.log'}")
        time.sleep(0.05)
    info: dict[str, Any] = json.loads(ready.read_text())
    return info
