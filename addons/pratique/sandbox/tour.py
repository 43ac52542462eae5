"""I/O: the guided tour of the demo: six things that a gateway must do, done by a real client, each outcome checked.

With kubectl where there is one, else with the Python client. Against a real cluster it makes a namespace of its own with
the cluster's kubeconfig, and removes it.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pratique.approvals.deciding import Decision
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State

if TYPE_CHECKING:
    from pratique.sandbox.demo import Demo

CALL_SECONDS = 180
CANARY = "tour-canary-value"
TOUR_NAMESPACE = "pratique-tour"


@dataclass
class Result:
    """What a client's command did."""

    code: int
    output: str


@dataclass
class Tour:
    """The steps share a client and what they have found."""

    demo: Demo
    say: Console
    failures: list[str] = field(default_factory=list)
    namespace: str = "payments"

    @property
    def kubectl(self) -> str | None:
        return os.environ.get("PRATIQUE_KUBECTL") or shutil.which("kubectl")

    def client(self, *arguments: str) -> Result:
        """kubectl's arguments, carried out by kubectl or by the Python client."""
        if self.kubectl:
            command = [self.kubectl, "--kubeconfig", str(self.demo.kubeconfig), "-n", self.namespace, *arguments]
        else:
            command = [
                sys.executable,
                "-m",
                "pratique.sandbox.minikubectl",
                str(self.demo.kubeconfig),
                self.namespace,
                *arguments,
            ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CALL_SECONDS, check=False)
        return Result(done.returncode, done.stdout + done.stderr)

    def pratique(self, *arguments: str, given: str | None = None) -> Result:
        """One of our own commands."""
        command = [sys.executable, "-m", "pratique.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CALL_SECONDS, check=False, input=given)
        return Result(done.returncode, done.stdout + done.stderr)

    def expect(self, condition: bool, what: str, result: Result) -> None:  # noqa: FBT001 - reads as an assertion
        if not condition:
            self.failures.append(f"{what}\n    {result.output.strip()[:2000]}")

    def decided(self, decision: Decision, ask: Callable[[], Result]) -> Result:
        """Run `ask` while a reviewer decides whatever it asks for; once more if the hold ended before the decision."""
        reviewer = threading.Thread(target=self._review, args=(decision,), daemon=True)
        reviewer.start()
        result = ask()
        reviewer.join(CALL_SECONDS)
        return ask() if "waits for a reviewer" in result.output else result

    def _review(self, decision: Decision) -> None:
        store = SqliteStore(self.demo.state / "approvals.sqlite")
        deadline = time.monotonic() + CALL_SECONDS
        while time.monotonic() < deadline:
            for approval in store.find(time.time(), [State.PENDING]):
                store.decide(approval.id, decision, "tour-reviewer", "part of the tour", time.time())
                return
            time.sleep(0.1)

    # --- the six ---

    def masked_secret(self) -> None:
        shown = self.client("get", "secret", "db-credentials", "-o", "json")
        self.expect(shown.code == 0, "a secret can be read", shown)
        self.expect("canary" not in _with_decoded(shown.output), "its values are masked", shown)
        self.expect("masked" in _with_decoded(shown.output).lower(), "the mask says what it is", shown)

    def blocked_delete(self) -> None:
        refused = self.client("delete", "namespace", self.namespace, "--wait=false")
        self.expect(refused.code != 0, "deleting a namespace is refused", refused)
        self.expect("mcp-default/no-namespace-delete" in refused.output, "the refusal names the rule", refused)
        there = self.client("get", "namespace", self.namespace, "-o", "json")
        self.expect(there.code == 0 and "deletionTimestamp" not in there.output, "the namespace is still there", there)

    def queued_delete(self) -> None:
        ask = lambda: self.client("delete", "configmap", "api-config")  # noqa: E731 - asked twice
        deleted = self.decided(Decision.APPROVE, ask)
        self.expect(deleted.code == 0, "a delete happens after its approval", deleted)
        gone = self.client("get", "configmap", "api-config")
        self.expect(gone.code != 0 and "not found" in gone.output.lower(), "the object is gone", gone)

    def exec_(self) -> None:
        pods = self.client("get", "pods", "-o", "json")
        names = (
            [item["metadata"]["name"] for item in json.loads(_json_part(pods.output)).get("items", [])]
            if pods.code == 0
            else []
        )
        self.expect(bool(names), "pods are listed", pods)
        if not names:
            return
        ask = lambda: self.client("exec", names[0], "--", "echo", "hello-from-exec")  # noqa: E731 - asked twice
        done = self.decided(Decision.APPROVE, ask)
        self.expect(done.code == 0 and "hello-from-exec" in done.output, "exec runs after its approval", done)

    def recording(self) -> None:
        state = str(self.demo.state)
        listed = self.pratique("sessions", "list", "--state", state, "--output", "json")
        rows = json.loads(listed.output) if listed.code == 0 else []
        self.expect(sum(row["requests"] for row in rows) >= 5, "the requests are recorded", listed)
        verified = self.pratique("sessions", "verify", "--state", state)
        self.expect(verified.code == 0, "the recordings are unchanged", verified)
        found = _recorded_values(self.demo.state)
        self.expect(not found, "no secret value is in the recordings", Result(1, str(found)))
        self.expect(_readable_by_mitmproxy(self.demo.state), "mitmproxy can read the flow files", listed)

    def policy_on_a_file(self) -> None:
        line = json.dumps({"id": "x", "method": "DELETE", "path": f"/api/v1/namespaces/{self.namespace}"})
        arguments = ["explain", "--policies", str(self.demo.policies), "--client", "demo", "--output", "json", "-"]
        explained = self.pratique(*arguments, given=line + "\n")
        verdict = json.loads(explained.output)["verdict"] if explained.code == 0 else {}
        self.expect(verdict.get("action") == "Deny", "the same policy decides offline", explained)
        checked = self.pratique("check", str(self.demo.policies))
        self.expect(checked.code == 0, "the policy's own cases pass", checked)


def tour(demo: Demo, say: Console) -> int:
    """Exit code 0 when every outcome was as it should be."""
    run = Tour(demo, say)
    steps: list[tuple[str, Callable[[], None]]] = [
        ("a secret comes back masked", run.masked_secret),
        ("deleting a namespace is blocked", run.blocked_delete),
        ("a delete waits for approval, then happens", run.queued_delete),
        ("exec, after approval", run.exec_),
        ("everything is recorded, nothing secret in it", run.recording),
        ("the same policy on a file", run.policy_on_a_file),
    ]
    client = f"kubectl ({run.kubectl})" if run.kubectl else "the Python client"
    say.print(
        f"tour with {client}, in front of {'a real cluster' if demo.on_real_cluster else 'the sandbox'}", markup=False
    )
    if demo.on_real_cluster:
        _prepare(demo, run)
    try:
        for number, (title, step) in enumerate(steps, 1):
            before = len(run.failures)
            with say.status(title):
                _run(step, run)
            mark = "[green]ok[/]" if len(run.failures) == before else "[red]FAILED[/]"
            say.print(f"  {number}. {title}: {mark}")
            for failure in run.failures[before:]:
                say.print(f"    not so: {failure}", markup=False)
    finally:
        if demo.on_real_cluster:
            _clean(demo, run)
    return 1 if run.failures else 0


def _run(step: Callable[[], None], run: Tour) -> None:
    try:
        step()
    except (subprocess.TimeoutExpired, ValueError, KeyError, OSError) as error:
        run.failures.append(f"{type(error).__name__}: {error}")


def _with_decoded(text: str) -> str:
    """The text, and what its base64 values decode to."""
    decoded = []
    for word in text.replace('"', " ").replace(",", " ").split():
        try:
            decoded.append(base64.b64decode(word, validate=True).decode("utf-8", "ignore"))
        except ValueError:
            continue
    return text + "\n" + "\n".join(decoded)


def _json_part(text: str) -> str:
    """kubectl's standard output without the warnings around it."""
    return text[text.index("{") : text.rindex("}") + 1]


def _recorded_values(state: Path) -> list[str]:
    from pratique.sandbox.seed import CANARIES  # noqa: PLC0415 - data of the sandbox

    files = b"".join(path.read_bytes() for path in (state / "recordings").rglob("*") if path.is_file())
    forms = [
        (value, form) for value in (*CANARIES, CANARY) for form in (value.encode(), base64.b64encode(value.encode()))
    ]
    return [value for value, form in forms if form in files]


def _readable_by_mitmproxy(state: Path) -> bool:
    """In a process of its own: this module must not need mitmproxy."""
    files = sorted(str(path) for path in (state / "recordings").rglob("*.flow"))
    code = "import sys; from mitmproxy.io import FlowReader; n = sum(1 for f in sys.argv[1:] for _ in FlowReader(open(f, 'rb')).stream()); sys.exit(n == 0)"
    return subprocess.run([sys.executable, "-c", code, *files], capture_output=True, check=False).returncode == 0


def _admin(demo: Demo, run: Tour, *arguments: str, given: Any = None) -> None:
    if not run.kubectl:
        raise OSError("the tour in front of a real cluster needs kubectl to make its namespace")
    command = [run.kubectl, "--kubeconfig", str(demo.cluster_kubeconfig), *arguments]
    text = json.dumps(given) if given is not None else None
    subprocess.run(command, input=text, text=True, check=True, capture_output=True, timeout=CALL_SECONDS)


def _prepare(demo: Demo, run: Tour) -> None:
    """What the steps look for, in a namespace of our own. Needs the busybox image on the node."""
    run.namespace = TOUR_NAMESPACE
    container = {"name": "c", "image": "busybox:1.35", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"]}
    items: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TOUR_NAMESPACE}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db-credentials", "namespace": TOUR_NAMESPACE}, "stringData": {"password": CANARY}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "api-config", "namespace": TOUR_NAMESPACE}, "data": {"a": "b"}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "api", "namespace": TOUR_NAMESPACE}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}},
    ]  # fmt: skip
    for item in items:
        _admin(demo, run, "apply", "-f", "-", given=item)
        if item["kind"] == "Namespace":
            time.sleep(1)  # the default ServiceAccount of a new namespace
    _admin(demo, run, "-n", TOUR_NAMESPACE, "wait", "--for=condition=Ready", "pod/api", "--timeout=120s")


def _clean(demo: Demo, run: Tour) -> None:
    """Waits for its end, so that the next tour finds no namespace that is going."""
    _admin(demo, run, "delete", "namespace", TOUR_NAMESPACE, f"--timeout={CALL_SECONDS // 2:.0f}s")
