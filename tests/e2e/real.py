"""A real cluster behind a real gateway process: what the tests against it share.

The cluster is named by the environment: PRATIQUE_REALCLUSTER, an admin kubeconfig (token or client certificate; the gateway
uses the token file PRATIQUE_REALCLUSTER_TOKEN where that is given); PRATIQUE_REALCLUSTER_AUDIT, its audit log; PRATIQUE_KUBECTLS,
kubectl programs (separated by `:`; default: the one on PATH). Its node needs the image `busybox:1.35`.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pratique.cli.audit import events, records
from pratique.recorder.join import Join, join
from tests.process.gateway import Gateway

CALL_SECONDS = 120
IMAGE = "busybox:1.35"
EVERYTHING = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: e2e}
spec:
  subjects: ["*"]
  rules:
    - {name: discover, verbs: ["*"], nonResourceURLs: ["*"], action: Allow}
    - {name: all, verbs: ["*"], apiGroups: ["*"], resources: ["*/*"], action: Allow}
"""


def kubeconfig() -> Path:
    return Path(os.environ["PRATIQUE_REALCLUSTER"])


def kubectls() -> list[str]:
    given = [name for name in os.environ.get("PRATIQUE_KUBECTLS", "").split(":") if name]
    return given or [shutil.which("kubectl") or "kubectl"]


@dataclass
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


def call(*command: str, given: str | bytes | None = None, timeout: float = CALL_SECONDS, **environment: str) -> Done:
    data = given.encode() if isinstance(given, str) else given
    done = subprocess.run(
        command,
        input=data,
        stdin=subprocess.DEVNULL if data is None else None,
        capture_output=True,
        timeout=timeout,
        env={**os.environ, **environment},
    )
    return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


@dataclass
class Kubectl:
    """One kubectl with one kubeconfig in one namespace."""

    program: str
    config: Path
    namespace: str
    environment: dict[str, str]

    def __call__(self, *arguments: str, given: str | bytes | None = None, timeout: float = CALL_SECONDS) -> Done:
        return call(*self.command(*arguments), given=given, timeout=timeout, **self.environment)

    def command(self, *arguments: str) -> list[str]:
        return [self.program, "--kubeconfig", str(self.config), "-n", self.namespace, *arguments]

    def ok(self, *arguments: str, given: str | bytes | None = None, timeout: float = CALL_SECONDS) -> str:
        done = self(*arguments, given=given, timeout=timeout)
        assert done.code == 0, (arguments, done)
        return done.out

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.environment},
        )


@dataclass
class Pair:
    """The same kubectl straight to the cluster and through the gateway, each in a namespace of its own."""

    direct: Kubectl
    through: Kubectl

    def same(self, *arguments: str, given: str | bytes | None = None, errors: bool = True) -> Done:
        """Runs both; exit code and output must be equal but for names, times and the like. What came through."""
        straight, gated = (
            one(*[part.replace("NAMESPACE", one.namespace) for part in arguments], given=_named(given, one.namespace))
            for one in (self.direct, self.through)
        )
        assert gated.code == straight.code, (arguments, straight, gated)
        left, right = (
            normal(done.out + (done.err if errors else ""), one.namespace)
            for done, one in ((straight, self.direct), (gated, self.through))
        )
        assert right == left, (arguments, left, right)
        return gated


def _named(given: str | bytes | None, namespace: str) -> str | bytes | None:
    return given.replace("NAMESPACE", namespace) if isinstance(given, str) else given


_NOISE = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "TIME"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} [\d:]+ [+-]\d{4}", "TIME"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r"(?m)^Warning: \d+ values? masked.*\n", ""),
    (r"\b([a-z]+)-[a-z0-9]{8,10}-[a-z0-9]{5}\b", r"\1-HASH"),
    (r"\b([a-z]+)-[bcdf0-9ghjklmnpqrstvwxz]{8,10}\b", r"\1-HASH"),
    (r"\b10\.244\.\d+\.\d+\b", "IP"),
    (r"\b10\.96\.\d+\.\d+\b", "IP"),
    (r"https?://(127\.0\.0\.1|localhost):\d+", "SERVER"),
    (r'(resourceVersion: )"?\d+"?', r"\1N"),
    (r'("resourceVersion":) ?"\d+"', r"\1N"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \+0000", "TIME"),
    (r"/\S*/(LIVE|MERGED)-\d+", r"\1"),
    (r"\b\d+(m\d+)?s\b", "AGE"),
    (r" +", " "),
    (r"-{3,}", "---"),
)


def normal(text: str, namespace: str) -> str:
    """Without what differs between two runs: names of namespaces and pods, times, uids, addresses, widths of columns."""
    text = text.replace(namespace, "NAMESPACE")
    for pattern, replacement in _NOISE:
        text = re.sub(pattern, replacement, text)
    return text.strip()


@dataclass
class RealInfo:
    """What `Gateway` needs to know of a cluster."""

    server: str
    ca_path: str
    static_token: str
    access_key_id: str = ""
    secret_access_key: str = ""


@dataclass
class RealCluster:
    info: RealInfo


def real_cluster(folder: Path) -> RealCluster:
    """Endpoint and CA from the kubeconfig, the token from PRATIQUE_REALCLUSTER_TOKEN."""
    view = json.loads(
        call(kubectls()[0], "--kubeconfig", str(kubeconfig()), "config", "view", "--raw", "--flatten", "-o", "json").out
    )
    cluster = view["clusters"][0]["cluster"]
    authority = folder / "cluster-ca.pem"
    authority.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    return RealCluster(RealInfo(cluster["server"], str(authority), os.environ["PRATIQUE_REALCLUSTER_TOKEN"]))


def client_kubeconfig(gateway: Gateway, client: str = "agent") -> Path:
    """What a workload gets: the gateway's endpoint and CA, and its API key."""
    file = gateway.folder / f"kubeconfig-{client}.json"
    authority = gateway.state / "mitmproxy" / "mitmproxy-ca-cert.pem"
    cluster = {"server": f"https://127.0.0.1:{gateway.port}", "certificate-authority": str(authority)}
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "gateway", "cluster": cluster}],
        "users": [{"name": client, "user": {"token": gateway.keys[client]}}],
        "contexts": [{"name": "gateway", "context": {"cluster": "gateway", "user": client}}],
        "current-context": "gateway",
    }
    file.write_text(json.dumps(document))
    return file


def eventually(check: Callable[[], Any], seconds: float = 60) -> Any:
    """The first true result of `check`."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.1)
    return found


def joined(gateway: Gateway) -> Join:
    """The gateway's recordings against the cluster's audit log."""
    return join(records(gateway.state), events(Path(os.environ["PRATIQUE_REALCLUSTER_AUDIT"])))
