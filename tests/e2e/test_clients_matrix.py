"""Every client that is at hand does the same things with the shipped policy for agents: read, be denied, ask, exec.

What it shows without the gateway is the control: `masked` is said of what holds the value there, and not here.
In front of the sandbox, and with `-m realcluster` in front of a real cluster; tests/e2e/matrix.py says what names the clients.
What came of each step is printed as a table, and written to the file PRATIQUE_CLIENTS_REPORT as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from rich import box
from rich.console import Console
from rich.table import Table

from pratique.sandbox.cluster import Sandbox
from tests.e2e import real
from tests.e2e.matrix import STEPS, Case, DrivenClient, KubectlClient, Told, cases
from tests.masking.canary import find
from tests.process.gateway import ROOT, Gateway
from tests.process.reviewing import Reviewer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

REPORT_WIDTH = 200
READS = ("list", "get", "describe", "watch", "logs")
SAID = "echo password=$DB_PASSWORD; echo said; sleep 3600"


@dataclass
class Site:
    """A gateway in front of one cluster, and a namespace there with a Secret, a ConfigMap and a pod that hold `canary`."""

    gateway: Gateway
    alice: Reviewer = field(init=False)
    cluster: str = field(init=False)
    canary: str = field(default_factory=lambda: f"matrix-CANARY-{secrets.token_hex(6)}")
    namespace: str = field(default_factory=lambda: f"e2e-matrix-{secrets.token_hex(3)}")

    def __post_init__(self) -> None:
        self.alice = Reviewer(self.gateway, "alice")
        self.cluster = f"Kubernetes {self.behind('GET', '/version')['gitVersion']}"

    def behind(self, method: str, target: str, body: Any = None) -> Any:
        answer = self.gateway.behind(method, target, body)
        assert answer.code < 300, answer.body
        return answer.json

    @property
    def home(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}"

    def furnish(self) -> None:
        container: dict[str, Any] = {"name": "c", "image": real.IMAGE, "command": ["sh", "-c", SAID]}
        container |= {"imagePullPolicy": "Never", "env": [{"name": "DB_PASSWORD", "value": self.canary}]}
        self.behind("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        self.make("secrets", "db", stringData={"password": self.canary})
        self.make("configmaps", "settings", data={"password": self.canary})
        real.eventually(lambda: self.gateway.behind("GET", f"{self.home}/serviceaccounts/default").code == 200)
        self.make("pods", "box", spec={"containers": [container], "terminationGracePeriodSeconds": 0})
        real.eventually(lambda: self.behind("GET", f"{self.home}/pods/box")["status"].get("phase") == "Running")
        event = {"involvedObject": {"kind": "Pod", "name": "box", "namespace": self.namespace}}
        self.make("events", "box.said", **event, reason="Said", message=f"password={self.canary}", type="Warning")
        if isinstance(self.gateway.sandbox, Sandbox):
            self.cluster = "sandbox"
            for line in (f"password={self.canary}", "said"):
                self.gateway.sandbox.append_log(self.namespace, "box", "c", line)
        real.eventually(lambda: b"said" in self.gateway.behind("GET", f"{self.home}/pods/box/log").body)

    def straight(self) -> Path:
        """A kubeconfig that goes around the gateway, in the words of the one that goes through it."""
        document = json.loads(real.client_kubeconfig(self.gateway).read_text())
        info = self.gateway.sandbox.info
        document["clusters"][0]["cluster"] = {"server": info.server, "certificate-authority": info.ca_path}
        document["users"][0]["user"] = {"token": info.static_token}
        file = self.gateway.folder / "kubeconfig-straight.json"
        file.write_text(json.dumps(document))
        return file

    def make(self, resource: str, name: str, **fields: Any) -> None:
        self.behind("POST", f"{self.home}/{resource}", {"metadata": {"name": name}, **fields})

    def there(self, configmap: str) -> bool:
        return self.gateway.behind("GET", f"{self.home}/configmaps/{configmap}").code == 200


Program = KubectlClient | DrivenClient


@dataclass
class Client:
    """One client of the table: around the gateway, as `agent`, who is answered at once, and as `patient`, who is held."""

    case: Case
    site: Site
    straight: Program
    agent: Program
    patient: Program

    def call(self, step: str, program: Program | None = None, **words: str) -> Told:
        """As `agent`, or as given. Nothing that is shown may hold the canary."""
        told = self._call(step, program or self.agent, **words)
        assert find(told.text, value=self.site.canary) == []
        return told

    def shows_values(self, step: str) -> bool:
        """Whether this step shows the canary without the gateway."""
        told = self._call(step, self.straight)
        assert not told.failed, (step, told)
        return find(told.text, value=self.site.canary) != []

    def _call(self, step: str, program: Program, **words: str) -> Told:
        return program.call(self.case.asked(step, namespace=self.site.namespace, **words))


class Matrix:
    """What is started on first use, and what came of each step."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._sites: dict[str, Site] = {}
        self._clients: dict[tuple[str, Case], Client] = {}
        self._open = contextlib.ExitStack()
        self.outcomes: dict[tuple[str, str, str], dict[str, str]] = {}
        """Client, version, cluster → step → outcome."""

    def client(self, where: str, case: Case) -> Client:
        if (where, case) not in self._clients:
            site = self._site(where)
            configs = [site.straight(), *(real.client_kubeconfig(site.gateway, name) for name in ("agent", "patient"))]
            with ThreadPoolExecutor() as pool:
                programs = list(pool.map(lambda config: case.connect(config, site.namespace), configs))
            for program in programs:
                self._open.callback(program.close)
            self._clients[where, case] = Client(case, site, *programs)
        return self._clients[where, case]

    def _site(self, where: str) -> Site:
        if where not in self._sites:
            folder = self._factory.mktemp(where)
            cluster = real.real_cluster(folder) if where == "real" else self._open.enter_context(_sandbox(folder))
            policy = (ROOT / "policies" / "mcp-default.yaml").read_text().replace('["mcp-*", demo]', '["*"]')
            clients: Any = {"clients": ("agent", "patient"), "holds": {"agent": 0}, "hold": 45}
            gateway = Gateway(folder / "gateway", cast("Sandbox", cluster), policy=policy, **clients).start()
            self._open.callback(gateway.stop)
            site = self._sites[where] = Site(gateway)
            self._open.callback(site.gateway.behind, "DELETE", site.home)
            site.furnish()
        return self._sites[where]

    @contextlib.contextmanager
    def step(self, client: Client, step: str, outcome: str) -> Iterator[None]:
        """Notes what came of it: the outcome, or that it failed."""
        row = self.outcomes.setdefault((client.case.name, client.agent.version, client.site.cluster), {})
        row[step] = "FAILED"
        yield
        row[step] = outcome

    def close(self) -> None:
        self._open.close()

    def table(self) -> Table:
        table = Table("client", "version", "in front of", *STEPS, box=box.SIMPLE)
        for key, row in sorted(self.outcomes.items()):
            table.add_row(*key, *(row.get(step, "-") for step in STEPS))
        return table

    def rows(self) -> list[dict[str, Any]]:
        names = ("client", "version", "cluster")
        return [{**dict(zip(names, key, strict=True)), "steps": row} for key, row in sorted(self.outcomes.items())]


def _sandbox(folder: Path) -> Sandbox:
    from pratique.sandbox.cluster import SandboxOptions

    return Sandbox(folder / "sandbox", SandboxOptions(static_token="matrix-upstream-token"))


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Matrix]:
    made = Matrix(tmp_path_factory)
    yield made
    made.close()
    if file := os.environ.get("PRATIQUE_CLIENTS_REPORT"):
        Path(file).write_text(json.dumps(made.rows(), indent=2) + "\n")
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        Console(width=None if os.isatty(1) else REPORT_WIDTH).print("\n", made.table())


def _each(*, having: str = "") -> pytest.MarkDecorator:
    """Each client with each cluster, as arguments of a test."""
    rows = [
        pytest.param(where, case, id=f"{where}-{case.name}-{number}", marks=marks)
        for where, marks in (("sandbox", ()), ("real", pytest.mark.realcluster))
        for number, case in enumerate(cases())
        if not having or having in case.steps
    ]
    return pytest.mark.parametrize(("where", "case"), rows)


@_each()
def test_what_is_read_is_there_and_masked(matrix: Matrix, where: str, case: Case) -> None:
    client = matrix.client(where, case)
    for step in (step for step in READS if step in case.steps):
        with matrix.step(client, step, "masked" if client.shows_values(step) else "no values"):
            told = client.call(step)
            assert not told.failed, (step, told)
            assert ("said" if step == "logs" else "box" if step == "describe" else "db") in told.text, (step, told)


@_each()
def test_a_denied_write_says_by_which_rule(matrix: Matrix, where: str, case: Case) -> None:
    client = matrix.client(where, case)
    with matrix.step(client, "deny", "denied, rule named"):
        told = client.call("deny")
        assert told.failed, told
        assert "no-namespace-delete" in told.text, told
        assert client.site.behind("GET", client.site.home)["status"]["phase"] == "Active"


@_each()
def test_a_queued_write_is_told_in_clear_text_and_happens_once_approved(matrix: Matrix, where: str, case: Case) -> None:
    client = matrix.client(where, case)
    site, name = client.site, f"doomed-{secrets.token_hex(3)}"
    site.make("configmaps", name, data={"a": "b"})
    with matrix.step(client, "queue", "asked, then done"):
        asked = client.call("queue", name=name)
        assert asked.failed, asked
        assert "waits for a reviewer's approval" in asked.text, asked
        assert site.there(name)
        assert site.alice.decide(name) in asked.text
        repeated = client.call("queue", name=name)
        assert not repeated.failed, repeated
        assert not site.there(name)


@_each(having="exec")
def test_an_exec_waits_for_a_reviewer_and_what_it_prints_is_masked(matrix: Matrix, where: str, case: Case) -> None:
    client = matrix.client(where, case)
    client.call("get", client.patient)  # so that the client has seen the value masked
    marker, asked_only = (f"marker-{secrets.token_hex(3)}" for _ in range(2))
    with matrix.step(client, "exec", "asked; held, then masked"), ThreadPoolExecutor(1) as pool:
        asked = client.call("exec", marker=asked_only)
        assert "waits for a reviewer's approval" in asked.text, asked
        client.site.alice.decide(asked_only, "deny", reason="only asked")
        held = pool.submit(client.call, "exec", client.patient, marker=marker)
        client.site.alice.decide(marker)
        told = held.result(120)
        assert not told.failed, told
        assert "said " in told.text, told
