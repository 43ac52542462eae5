"""Two gateways for all rows of the table: one before a cluster that misbehaves, one before the sandbox with an STS that does.

What a client was answered is kept, and `check` asks after every row: is it in the files, was anything leaked, does it serve?
"""

from __future__ import annotations

import http.server
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import Request, urlopen

from pratique.sandbox.cluster import Sandbox
from tests.process import kills
from tests.process.cluster import TOKEN, FakeCluster, answer, says
from tests.process.gateway import ROOT, Answer, Gateway

LIST = "/api/v1/namespaces/payments/configmaps"
LEAK = "fault-list-CANARY"
GOOD = b'{"kind":"ConfigMapList","apiVersion":"v1","metadata":{},"items":[]}'
FAULT_SECONDS = 30.0
"""No row may take longer: the longest limit is a store that is locked (5 s), and machines are slow."""
CLOCK_SECONDS = 0.1  # twice what the switch of sitecustomize is looked at
LIMITS = {"pratique_head_timeout": 2, "pratique_answer_timeout": 2, "pratique_connect_timeout": 2}
POLICY = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: test}
spec:
  subjects: ["*"]
  rules:
    - {name: read, verbs: [get, list, watch], apiGroups: [""], resources: [pods, configmaps], action: Allow}
    - {name: write, verbs: [create], apiGroups: [""], resources: [configmaps], action: Allow}
    - {name: asks, verbs: [delete], apiGroups: [""], resources: [configmaps], action: RequireApproval, message: ask}
"""


class Watched:
    """A gateway and what its clients have been answered to the end, but for refusals that say they cannot be recorded."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.seen: dict[str, int] = {}

    def call(self, method: str, target: str, body: Any = None, **fields: Any) -> Answer:
        result = self.gateway.call(method, target, body, timeout=FAULT_SECONDS, **fields)
        if "audit-id" in result.headers and b"fault/RecordError" not in result.body:
            self.seen[result.headers["audit-id"]] = result.code
        return result

    def refused(self, code: int, method: str = "GET", target: str = LIST, body: Any = None) -> Answer:
        """Expects a Status of this code, which shows nothing of what went wrong."""
        result = self.call(method, target, body)
        assert result.code == code, result
        assert (result.json["kind"], result.json["code"]) == ("Status", code)
        assert LEAK not in str(result)
        return result

    def recorded(self) -> None:
        """Every answer that a client has seen is in a flow file, with its code."""
        kept = {
            flow.metadata["pratique.audit_id"]: flow.response.status_code
            for flow in kills.flows(self.gateway.state)
            if flow.response
        }
        assert {audit: code for audit, code in self.seen.items() if kept.get(audit) != code} == {}

    def close(self) -> None:
        assert self.gateway.stop() == 0
        kills.check(self.gateway.state, SimpleNamespace(seen=self.seen, watched={}))  # type: ignore[arg-type]


class Sts:
    """In front of the sandbox's STS. `says`: (code, content type, body) instead of what that answers."""

    def __init__(self, real: str) -> None:
        self.says: tuple[int, str, bytes] | None = None
        self.asked = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.asked += 1
                code, kind, body = outer.says or _forward(real, self.path, dict(self.headers), sent)
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _forward(real: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
    with urlopen(Request(real + path, body, headers)) as reply:  # noqa: S310 - loopback
        return reply.status, reply.headers["content-type"], reply.read()


class World:
    """`odd`: before the cluster that misbehaves. `real`: before the sandbox."""

    def __init__(self, folder: Path) -> None:
        options = [part for name, value in LIMITS.items() for part in ("--set", f"{name}={value}")]
        self.cluster = FakeCluster(folder / "cluster")
        self.sandbox = Sandbox(folder / "sandbox")
        self.sandbox.start()
        self.sts = Sts(self.sandbox.info.sts_endpoint)
        self._clock, self._dns = folder / "clock", folder / "dns"
        self._clock.write_text("0")
        self.usual()
        environment = {
            "FAULTS_CLOCK": str(self._clock),
            "FAULTS_DNS": str(self._dns),
            "PYTHONPATH": f"{Path(__file__).parent}:{ROOT / 'addons'}",
        }
        server = self.sandbox.info.server.replace("127.0.0.1", "localhost")
        self.odd = Watched(Gateway(folder / "odd", self.cluster, options=options, environment=environment, hold=0))
        self.real = Watched(
            Gateway(
                folder / "real", self.sandbox, options=options, environment=environment, credential="eks", policy=POLICY,
                hold=0, cluster={"sts_endpoint": self.sts.url, "server": server},
            )
        )  # fmt: skip
        for one in (self.odd, self.real):
            one.gateway.launch()
        for one in (self.odd, self.real):
            one.gateway.started()

    def clock(self, ahead: float) -> None:
        """Returns when the gateways have seen it: they look every 50 ms."""
        self._clock.write_text(str(ahead))
        time.sleep(CLOCK_SECONDS)

    def dns(self, how: str) -> None:
        self._dns.write_text(how)

    def usual(self) -> None:
        """Everything around the gateways as it should be."""
        self.cluster.behaviour = says(answer(200, GOOD))
        self.sts.says = None
        if self._clock.read_text() != "0":
            self.clock(0)
        self.dns("")

    def check(self) -> None:
        """After a row: both serve, what was answered is recorded, and nothing that was hidden is anywhere."""
        self.usual()
        assert self.odd.call("GET", LIST).body == GOOD
        for one in (self.odd, self.real):
            one.recorded()
            written = one.gateway.recorded()
            assert LEAK.encode() not in written
            assert TOKEN.encode() not in written

    def close(self) -> None:
        self.usual()
        self.odd.close()
        self.real.close()
        self.sts.close()
        self.cluster.close()
        self.sandbox.stop()
