"""The clients that test_clients_matrix tries: where each is found, what it is asked for each step, and how it is driven.

PRATIQUE_KUBECTLS and PRATIQUE_PYTHON_CLIENTS name programs (by `:`), PRATIQUE_MCP_PYTHON a Python with the `mcp` SDK, and
PRATIQUE_MCP_SERVER, PRATIQUE_MCP_SERVER_KUBERNETES (both npm) and PRATIQUE_EKS_MCP_SERVER (PyPI) the programs of MCP servers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tests.e2e import real

STEPS = ("list", "get", "describe", "watch", "logs", "deny", "queue", "exec")
"""`describe` is the client's own, or what comes nearest: the events of an object."""
SCRIPT = ["sh", "-c", "echo said $DB_PASSWORD", "MARKER"]
SECRET = {"apiVersion": "v1", "kind": "Secret", "namespace": "NAMESPACE"}
DOOMED = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "NAMESPACE", "name": "NAME"}
HOME = {"apiVersion": "v1", "kind": "Namespace", "name": "NAMESPACE"}
BOX = {"namespace": "NAMESPACE", "name": "box"}

KUBECTL: dict[str, Any] = {
    "list": ["get", "secrets,configmaps", "-o", "yaml"],
    "get": ["get", "secret", "db", "-o", "json"],
    "describe": ["describe", "pod/box", "secret/db", "configmap/settings"],
    "watch": ["get", "secrets", "-w", "-o", "json"],
    "logs": ["logs", "-f", "box"],
    "deny": ["delete", "namespace", "NAMESPACE"],
    "queue": ["delete", "configmap", "NAME"],
    "exec": ["exec", "box", "--", *SCRIPT],
}
PYTHON: dict[str, Any] = {
    "list": ["list_namespaced_secret", {"namespace": "NAMESPACE"}],
    "get": ["read_namespaced_secret", {"namespace": "NAMESPACE", "name": "db"}],
    "describe": ["list_namespaced_event", {"namespace": "NAMESPACE"}],
    "watch": ["watch", {"namespace": "NAMESPACE"}],
    "logs": ["read_namespaced_pod_log", BOX],
    "deny": ["delete_namespace", {"name": "NAMESPACE"}],
    "queue": ["delete_namespaced_config_map", {"namespace": "NAMESPACE", "name": "NAME"}],
    "exec": ["exec", BOX | {"command": SCRIPT}],
}
KUBERNETES_MCP_SERVER: dict[str, Any] = {
    "list": ["resources_list", SECRET],
    "get": ["resources_get", SECRET | {"name": "db"}],
    "describe": ["events_list", {"namespace": "NAMESPACE"}],
    "logs": ["pods_log", BOX],
    "deny": ["resources_delete", HOME],
    "queue": ["resources_delete", DOOMED],
    "exec": ["pods_exec", BOX | {"command": SCRIPT}],
}
MCP_SERVER_KUBERNETES: dict[str, Any] = {
    "list": ["kubectl_get", {"resourceType": "secrets", "namespace": "NAMESPACE", "output": "yaml"}],
    "get": ["kubectl_get", {"resourceType": "secret", "name": "db", "namespace": "NAMESPACE", "output": "json"}],
    "describe": ["kubectl_describe", {"resourceType": "pod", "name": "box", "namespace": "NAMESPACE"}],
    "logs": ["kubectl_logs", BOX | {"resourceType": "pod"}],
    "deny": ["kubectl_delete", {"resourceType": "namespace", "name": "NAMESPACE"}],
    "queue": ["kubectl_delete", {"resourceType": "configmap", "name": "NAME", "namespace": "NAMESPACE"}],
    "exec": ["exec_in_pod", BOX | {"command": SCRIPT}],
}


def _eks(**arguments: Any) -> dict[str, Any]:
    """It finds the kubeconfig's context by the name of its cluster, and calls versions `api_version`."""
    version = {"api_version": arguments.pop("apiVersion")} if "apiVersion" in arguments else {}
    return {"cluster_name": "gateway", **version, **arguments}


EKS_MCP_SERVER: dict[str, Any] = {
    "list": ["list_k8s_resources", _eks(**SECRET)],
    "get": ["manage_k8s_resource", _eks(operation="read", name="db", **SECRET)],
    "describe": ["get_k8s_events", _eks(kind="Pod", name="box", namespace="NAMESPACE")],
    "logs": ["get_pod_logs", _eks(pod_name="box", namespace="NAMESPACE")],
    "deny": ["manage_k8s_resource", _eks(operation="delete", **HOME)],
    "queue": ["manage_k8s_resource", _eks(operation="delete", **DOOMED)],
}


@dataclass(frozen=True)
class Case:
    """One client. `environment`: what it is told besides KUBECONFIG; `arguments` follow the name of the program."""

    name: str
    program: str
    steps: dict[str, Any] = field(hash=False)
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    def asked(self, step: str, **words: str) -> Any:
        """What it is asked for this step, NAMESPACE, NAME and MARKER filled in."""
        text = json.dumps(self.steps[step])
        for word, value in words.items():
            text = text.replace(word.upper(), value)
        return json.loads(text)

    def connect(self, kubeconfig: Path, namespace: str) -> KubectlClient | DrivenClient:
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), **dict(self.environment)}
        if self.steps is KUBECTL:
            return KubectlClient(self.program, kubeconfig, namespace)
        driver = Path(__file__).with_name("python_driver.py" if self.steps is PYTHON else "mcp_driver.py")
        if self.steps is PYTHON:
            return DrivenClient([self.program, str(driver), str(kubeconfig)], environment)
        return DrivenClient(
            [os.environ["PRATIQUE_MCP_PYTHON"], str(driver), self.program, *self.arguments], environment
        )


def cases() -> list[Case]:
    """Those that are at hand on this machine."""
    kubectls = [name for name in real.kubectls() if shutil.which(name)]
    pythons = [name for name in os.environ.get("PRATIQUE_PYTHON_CLIENTS", "").split(":") if name] or [sys.executable]
    found = [Case("kubectl", program, KUBECTL) for program in kubectls]
    found += [Case("Python client", program, PYTHON) for program in pythons]
    # Its own masks are switched off, so that what is masked is the gateway's doing.
    unmasked = (("MASK_SECRETS", "false"),)
    writes = ("--auth-mode", "kubeconfig", "--allow-write", "--allow-sensitive-data-access")
    servers = [
        Case("kubernetes-mcp-server", os.environ.get("PRATIQUE_MCP_SERVER", ""), KUBERNETES_MCP_SERVER),
        Case("mcp-server-kubernetes", os.environ.get("PRATIQUE_MCP_SERVER_KUBERNETES", ""), MCP_SERVER_KUBERNETES, environment=unmasked),
        Case("awslabs.eks-mcp-server", os.environ.get("PRATIQUE_EKS_MCP_SERVER", ""), EKS_MCP_SERVER, writes),
    ]  # fmt: skip
    return found + [case for case in servers if case.program]


@dataclass
class Told:
    """What a client showed the person or the model that uses it."""

    failed: bool
    text: str


class KubectlClient:
    def __init__(self, program: str, kubeconfig: Path, namespace: str) -> None:
        self.kubectl = real.Kubectl(program, kubeconfig, namespace, {})
        client = json.loads(self.kubectl.ok("version", "--client", "-o", "json"))["clientVersion"]
        self.version = client["gitVersion"].removeprefix("v")

    def call(self, asked: list[str]) -> Told:
        if {"-w", "-f"} & set(asked):
            return self._follow(asked)
        done = self.kubectl(*asked)
        return Told(done.code != 0, done.all)

    def _follow(self, asked: list[str]) -> Told:
        """Until the Secret or the last line of the log is there."""
        process = self.kubectl.start(*asked)
        assert process.stdout is not None
        text = ""
        try:
            for line in process.stdout:
                text += line.decode()
                if '"name": "db"' in text or "said" in text:
                    return Told(failed=False, text=text)
        finally:
            process.kill()
            process.wait(20)
        return Told(failed=True, text=text)

    def close(self) -> None:
        """Nothing stays open."""


class DrivenClient:
    """A program that reads calls and writes what came of them, one JSON line each."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the program
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
        self._process = subprocess.Popen(command, env=environment, **pipes)
        self.version = str(self._line()["version"]).removeprefix("v") or _distribution(command[2])

    def call(self, asked: list[Any]) -> Told:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._line()
        return Told(answer["error"], answer["text"])

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise AssertionError(f"the client ended: {self._errors.read().decode(errors='replace')[-2000:]}")
        return cast("dict[str, Any]", json.loads(line))

    def close(self) -> None:
        self._process.communicate(timeout=60)
        self._errors.close()


def _distribution(program: str) -> str:
    """The version of the Python package that a script belongs to, by the Python beside it."""
    code = f"import importlib.metadata as m; print(m.version({Path(program).name!r}))"
    return real.call(str(Path(program).with_name("python")), "-c", code).out.strip()
