"""A real gateway process in front of an in-process sandbox, on loopback, for tests that taddons cannot do (F26)."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pratique.approvals.reviewers import new_reviewer_key, reviewer_document
from pratique.identity.clients import client_document, new_api_key
from pratique.sandbox.cluster import Sandbox
from tests.process.cluster import FakeCluster

ROOT = Path(__file__).parents[2]
START_SECONDS = 240
FAULTS = Path(__file__).with_name("faults.py")
UNRULY = Path(__file__).with_name("unruly.py")
POLICY = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: test}
spec:
  subjects: ["*"]
  rules:
    - {name: discover, verbs: [get], nonResourceURLs: ["/api", "/api/*", "/apis", "/apis/*", "/openapi/*", "/version", "/healthz"], action: Allow}
    - {name: read, verbs: [get, list, watch], apiGroups: ["", apps, events.k8s.io], resources: [pods, pods/log, secrets, configmaps, namespaces, deployments, services, events], action: Allow}
    - {name: write, verbs: [create, update, patch, apply, get, list], apiGroups: [""], resources: [configmaps, secrets], action: Allow}
    - {name: exec, verbs: [get, create], apiGroups: [""], resources: [pods/exec, pods/attach, pods/portforward], action: Allow}
    - {name: delete-asks, verbs: [delete], apiGroups: [""], resources: [configmaps], action: RequireApproval, message: deletes are approved by a person}
    - {name: no-namespaces, verbs: [delete], apiGroups: [""], resources: [namespaces], action: Deny, message: namespaces stay}
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Answer:
    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        return str(self.json.get("reason", ""))


def rss(pid: int) -> int:
    """Resident memory of a process in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def eventually(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Waits for a condition of another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@dataclass
class Gateway:
    """A process, its documents and its cluster.

    `cluster`: fields of the sandbox's description that are changed. `script`: the one that mitmproxy loads.
    """

    folder: Path
    sandbox: Sandbox | FakeCluster
    form: str = "run"
    """`run` is the service, `command` the same as people type it. `mitmdump` and `mitmweb` are mitmproxy's own programs with
    the script, `activated` is README's line with the folder."""
    options: list[str] = field(default_factory=list)
    scripts: list[Path] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    credential: str = "tokenFile"
    policy: str = POLICY
    hold: int = 2
    drain: int = 2
    clients: tuple[str, ...] = ("agent", "other")
    reviewers: tuple[str, ...] = ("alice", "bob")
    documents: dict[str, str] = field(default_factory=dict)
    """More files of the policy folder: name → text."""
    holds: dict[str, int] = field(default_factory=dict)
    """Client → its own `holdSeconds`, where it is not the gateway's."""
    cluster: dict[str, Any] = field(default_factory=dict)
    script: Path = ROOT / "addons" / "gateway.py"

    def __post_init__(self) -> None:
        self.policies, self.state, self.port = self.folder / "policies", self.folder / "state", free_port()
        self.log = self.folder / "gateway.log"
        self.keys: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._earlier = 0
        self._write_documents()

    def _write_documents(self) -> None:
        self.policies.mkdir(parents=True, exist_ok=True)
        info = replace(self.sandbox.info, **self.cluster) if self.cluster else self.sandbox.info
        token = self.folder / "token"
        token.write_text(info.static_token)
        cluster: dict[str, Any] = {"server": info.server, "certificateAuthority": {"path": info.ca_path}}
        if self.credential == "tokenFile":
            cluster["tokenFile"] = str(token)
        else:
            cluster["eks"] = {
                "clusterName": info.cluster_name,
                "region": info.region,
                "roleARN": info.role_arn,
                "stsEndpoint": info.sts_endpoint,
            }
        document = {"apiVersion": "pratique/v1", "kind": "Cluster", "metadata": {"name": "test"}, "spec": cluster}
        (self.policies / "cluster.yaml").write_text(json.dumps(document))
        (self.policies / "policy.yaml").write_text(self.policy)
        (self.policies / "masking.yaml").write_text((ROOT / "policies" / "masking.yaml").read_text())
        for name in self.clients:
            key = new_api_key(name, os.urandom(32))
            self.keys[name] = key.key.reveal()
            (self.policies / f"client-{name}.yaml").write_text(
                client_document(name, key.sha256)
                + (f"  holdSeconds: {self.holds[name]}\n" if name in self.holds else "")
            )
        for name, text in self.documents.items():
            (self.policies / name).write_text(text)
        for name in self.reviewers:
            key = new_reviewer_key(name, os.urandom(32))
            self.keys[name] = key.key.reveal()
            (self.policies / f"reviewer-{name}.yaml").write_text(reviewer_document(name, key.sha256))

    def arguments(self) -> list[str]:
        """What follows the name of the program."""
        settings = [
            f"pratique_policies={self.policies}",
            f"pratique_state={self.state}",
            f"pratique_drain={self.drain}",
        ]
        settings.append(f"pratique_hold={self.hold}")
        sets = [part for setting in settings for part in ("--set", setting)]
        if self.form == "command":
            sets = ["--policies", str(self.policies), "--state", str(self.state), *sets[-2:]]
        options = [*sets, *self.options, "--listen-host", "127.0.0.1", "-p", str(self.port)]
        if self.form in {"mitmdump", "mitmweb"}:
            return [*(part for script in [*self.scripts, self.script] for part in ("-s", str(script))), *options]
        return options

    def command(self) -> list[str]:
        programs = {
            "run": [sys.executable, "-m", "pratique.cli.run"],
            "command": [sys.executable, "-m", "pratique.cli", "run"],
            "mitmdump": [sys.executable, "-c", "from mitmproxy.tools.main import mitmdump; mitmdump()"],
            "mitmweb": [sys.executable, "-c", "from mitmproxy.tools.main import mitmweb; mitmweb()"],
            "activated": ["bash", "-c", '. scripts/activate && exec mitmdump -s addons/ "$@"', "mitmdump"],
        }
        return [*programs[self.form], *self.arguments()]

    def surroundings(self) -> dict[str, str]:
        """Environment variables of the process."""
        info = self.sandbox.info
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "addons"),
            "PYTHONUNBUFFERED": "1",
            "AWS_ACCESS_KEY_ID": info.access_key_id,
            "AWS_SECRET_ACCESS_KEY": info.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PRATIQUE_VENV": sys.prefix,
            **self.environment,
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return environment

    def launch(self) -> None:
        cwd = ROOT if self.form == "activated" else self.folder
        self._earlier = len(self.output)  # of an earlier run
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=self.surroundings(), cwd=cwd)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> Gateway:
        self.launch()
        return self.started()

    def started(self) -> Gateway:
        """Waits until it serves."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the gateway ended with {self.process.returncode}:\n{self.output}")
            if "pratique serves" in self.output[self._earlier :] and self._listens():
                return self
            time.sleep(0.1)
        raise AssertionError(f"the gateway did not start:\n{self.output}")

    def _listens(self) -> bool:
        with socket.socket() as sock:
            sock.settimeout(1)
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def refused_start(self) -> str:
        """Starts, expects an end by itself with code 1; its output."""
        self.launch()
        return self.ended(1)

    def ended(self, expected: int) -> str:
        """Expects an end by itself; its output."""
        assert self.process is not None
        try:
            code = self.process.wait(START_SECONDS)
        finally:
            self.stop()
        assert code == expected, (code, self.output)
        return self.output

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def admin(self) -> str:
        """The URL of the admin listener."""
        return str(json.loads((self.state / "admin.json").read_text())["url"])

    # --- calls ---

    def tls(self, alpn: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.state / "mitmproxy" / "mitmproxy-ca-cert.pem"))
        context.set_alpn_protocols(list(alpn))
        return context

    def connect(self, timeout: float = 60) -> ssl.SSLSocket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        return self.tls().wrap_socket(sock, server_hostname="127.0.0.1")

    def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        client: str = "agent",
        timeout: float = 60,
    ) -> Answer:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls(), timeout=timeout)
        sent = {"Authorization": f"Bearer {self.keys[client]}"} if client else {}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, target, body=data, headers={**sent, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def behind(self, method: str, target: str, body: Any = None) -> Answer:
        """Straight at the cluster, by somebody else; `seen` does not count it."""
        server = urlsplit(self.sandbox.info.server)
        context = ssl.create_default_context(cafile=self.sandbox.info.ca_path)
        connection = http.client.HTTPSConnection(server.hostname or "", server.port, context=context, timeout=60)
        headers = {"Authorization": f"Bearer {self.sandbox.info.static_token}", "Audit-ID": "test-own-behind"}
        headers["Content-Type"] = "application/json"
        try:
            connection.request(method, target, body=None if body is None else json.dumps(body), headers=headers)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def raw(self, data: bytes, timeout: float = 60) -> bytes:
        """Bytes as they are; what comes back until a whole answer is there or the gateway closes."""
        with self.connect(timeout) as sock:
            sock.sendall(data)
            return read_answer(sock)

    def head(self, line: str, *headers: str, client: str = "agent") -> bytes:
        """The head of an HTTP/1.1 request with its credential."""
        own = ["Host: gateway", f"Authorization: Bearer {self.keys[client]}"] if client else ["Host: gateway"]
        return "\r\n".join([f"{line} HTTP/1.1", *own, *headers, "", ""]).encode("latin-1")

    def recorded(self) -> bytes:
        """Everything that the gateway wrote: recordings, logs, databases."""
        files = [
            path
            for path in self.state.rglob("*")
            if path.is_file() and "mitmproxy" not in path.parts and "tls" not in path.parts
        ]
        return b"".join(path.read_bytes() for path in files) + self.log.read_bytes()

    def seen(self, marker: str) -> list[Any]:
        """Clients' requests with `marker` in their target that reached the cluster.

        It is exactly that name, or a part of it beside a `-`: the cluster is shared, and others have names alike.
        """
        end = "" if marker.endswith("-") else r"(?![a-z0-9.-])"
        start = "" if marker[0] in "-/" else r"(?<![a-z0-9.-])"
        named = re.compile(start + re.escape(marker) + end)
        return [one for one in self.sandbox.requests if named.search(one.uri) and "-own-" not in one.audit_id]

    def own_calls(self, marker: str) -> list[Any]:
        """What the gateway itself asked the cluster about it."""
        return [record for record in self.sandbox.requests if marker in record.uri and "-own-" in record.audit_id]


def read_answer(sock: ssl.SSLSocket) -> bytes:
    """One whole answer with a length, or all that comes until the end. TimeoutError where there is neither."""
    received = b""
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        while not _complete(received) and (chunk := sock.recv(65536)):
            received += chunk
    return received


def _complete(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n") if end else []:
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return False
