"""A real kube-apiserver of our own whose tokens are looked at as EKS does: by a webhook that asks an STS.

Needs the programs `etcd` and `hyper` (kube-apiserver, kubectl) in REALCLUSTER_BIN. No node and no controllers: objects and
RBAC only. AWS is in memory: what `scripts/setup` makes there is what STS and webhook then go by.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pratique.sandbox.authenticator import AccessEntry, Authenticator, TokenError
from pratique.sandbox.reviews import user_info
from pratique.sandbox.sts import Request, Role, Sts, User
from pratique.setup.serving import serving_certificate
from tests.process.gateway import free_port
from tests.setup.fake_aws import ACCOUNT, Eks, Iam

REGION = "eu-west-1"
ROLE_X = f"arn:aws:iam::{ACCOUNT}:role/gateway"
KEY, SECRET = "AKIAWEBHOOKCLUSTER00", "role-x-secret-CANARY"
ADMIN = "webhook-admin-token"
START_SECONDS = 120


class WebhookCluster:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.iam = Iam("gateway")
        self.sts = Sts(REGION, [User(KEY, SECRET, ROLE_X, "AROAX")], [])
        self.port = free_port()
        self.server = f"https://127.0.0.1:{self.port}"
        serving = serving_certificate(["127.0.0.1", "localhost"], time.time())
        self.authority = self._write("ca.crt", serving.authority)
        self._tls = self._write("tls.pem", serving.combined.reveal())
        self.eks = Eks(self.iam, self.server, _base64(serving.authority))
        self.audit = folder / "audit.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._listeners: list[ThreadingHTTPServer] = []

    # --- what setup made in AWS, as STS and EKS go by it ---

    def _handle_sts(self, request: Request) -> Any:
        self.sts.roles = {
            arn: Role(
                arn, f"AROA{name.upper()}", (role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"],)
            )
            for name, role in self.iam.roles.items()
            if "AssumeRolePolicyDocument" in role
            for arn in [f"arn:aws:iam::{ACCOUNT}:role/{name}"]
        }
        return self.sts.handle(request, time.time())

    def _review(self, token: str) -> dict[str, Any]:
        entries = [
            AccessEntry(arn, f"arn:aws:sts::{ACCOUNT}:assumed-role/{arn.rpartition('/')[2]}/{{{{SessionName}}}}", tuple(entry["kubernetesGroups"]))
            for arn, entry in self.eks.entries.items()
        ]  # fmt: skip
        authenticator = Authenticator("prod", REGION, entries, self.sts.handle)
        try:
            return {"authenticated": True, "user": user_info(authenticator.authenticate(token, time.time()))}
        except TokenError as error:
            return {"authenticated": False, "error": str(error)}

    # --- start and stop ---

    def start(self) -> WebhookCluster:
        self.sts_endpoint = self._listen(self._sts_answer)
        webhook = self._listen(lambda _, body: (200, "application/json", self._webhook_answer(body)))
        etcd, peer = free_port(), free_port()
        programs = Path(os.environ["REALCLUSTER_BIN"])
        etcd_url, peer_url = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
        self._run(
            programs / "etcd", "--name=e", f"--data-dir={self.folder / 'etcd'}", f"--listen-client-urls={etcd_url}",
            f"--advertise-client-urls={etcd_url}", f"--listen-peer-urls={peer_url}", f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=e={peer_url}", "--log-level=error", "--unsafe-no-fsync",
        )  # fmt: skip
        key = self._write("sa.key", _private_key())
        hook = self._write("webhook.json", json.dumps(_webhook_kubeconfig(webhook)))
        tokens = self._write("tokens.csv", f'{ADMIN},admin,admin,"system:masters"\n')
        policy = self._write(
            "audit.json",
            json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}),
        )
        self._run(
            programs / "hyper", "kube-apiserver", "--bind-address=127.0.0.1", f"--secure-port={self.port}",
            f"--etcd-servers={etcd_url}", "--service-cluster-ip-range=10.97.0.0/16", f"--tls-cert-file={self._tls}",
            f"--tls-private-key-file={self._tls}", f"--cert-dir={self.folder}", "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", f"--token-auth-file={tokens}",
            f"--authentication-token-webhook-config-file={hook}", "--authentication-token-webhook-version=v1",
            "--authentication-token-webhook-cache-ttl=1s", f"--audit-policy-file={policy}", f"--audit-log-path={self.audit}",
            "--profiling=false", "--disable-admission-plugins=ServiceAccount",
        )  # fmt: skip
        self._await_ready()
        return self

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert all(process.poll() is None for process in self._processes), self.log()
            if self.kubectl("get", "--raw", "/readyz").returncode == 0:
                return
            time.sleep(0.3)
        raise AssertionError(f"kube-apiserver did not start:\n{self.log()}")

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGKILL)  # nothing is kept
            process.wait(30)
        for listener in self._listeners:
            listener.shutdown()
            listener.server_close()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def kubectl(
        self, *arguments: str, given: str | None = None, config: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        program = os.environ.get("PRATIQUE_KUBECTLS", "kubectl").split(":")[0]
        who = (
            ["--kubeconfig", str(config)]
            if config
            else [
                "--kubeconfig=/dev/null",
                f"--server={self.server}",
                f"--certificate-authority={self.authority}",
                f"--token={ADMIN}",
            ]
        )
        return subprocess.run(
            [program, *who, "--request-timeout=20s", *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "HOME": str(self.folder)},
        )

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def _run(self, *command: Any) -> None:
        with (self.folder / "log").open("ab") as log:
            self._processes.append(
                subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            )

    def _listen(self, answer: Any) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code, kind, content = answer(self, body)
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self._listeners.append(listener)
        return f"http://127.0.0.1:{listener.server_port}"

    def _sts_answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str, bytes]:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        answer = self._handle_sts(Request("POST", "/", "", headers, body))
        return answer.code, answer.content_type, answer.body

    def _webhook_answer(self, body: bytes) -> bytes:
        review = json.loads(body)
        return json.dumps({**review, "status": self._review(review["spec"]["token"])}).encode()


def _webhook_kubeconfig(server: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "w", "cluster": {"server": server}}],
        "users": [{"name": "w", "user": {}}],
        "contexts": [{"name": "w", "context": {"cluster": "w", "user": "w"}}],
        "current-context": "w",
    }


def _private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _base64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


def events(cluster: WebhookCluster) -> list[dict[str, Any]]:
    """The API server's own audit events, complete ones."""
    lines = cluster.audit.read_text().splitlines() if cluster.audit.exists() else []
    return [event for event in map(json.loads, lines) if event["stage"] == "ResponseComplete"]
