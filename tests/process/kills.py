"""kill -9 at random moments of a mixed load: what a client has seen is in the files, and the files are whole.

    PYTHONPATH=addons python -m tests.process.kills --times 50

The suite does the same a few times (test_kills.py).
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

from mitmproxy.exceptions import FlowReadException
from mitmproxy.io import FlowReader

from pratique.recorder import keys, layout
from pratique.recorder.record import Stage
from pratique.recorder.sessions import Recordings, Verification
from pratique.sandbox.cluster import Sandbox, SandboxOptions
from tests.process.gateway import Gateway

LONGEST_SECONDS = 1.5
NAMESPACE = "/api/v1/namespaces/payments"
WATCH = f"{NAMESPACE}/configmaps?watch=true&timeoutSeconds=300"


class Load:
    """Four clients that read, write, are denied, and watch, until the gateway is gone. `seen`: what they were answered."""

    def __init__(self, gateway: Gateway, run: int) -> None:
        self.gateway = gateway
        self.run = run
        self.seen: dict[str, int] = {}
        self.watched: dict[str, bytes] = {}
        self._threads = [threading.Thread(target=self._serve, args=(number,)) for number in range(3)]
        self._threads.append(threading.Thread(target=self._watch))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _serve(self, number: int) -> None:
        for turn in itertools.count():
            name = f"kill-{self.run}-{number}-{turn}"
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}
            calls: list[tuple[str, str, Any]] = [
                ("POST", f"{NAMESPACE}/configmaps", body),
                ("GET", f"{NAMESPACE}/configmaps/{name}", None),
                ("GET", f"{NAMESPACE}/secrets", None),
                ("DELETE", f"/api/v1/namespaces/{name}", None),
                ("GET", f"{NAMESPACE}/pods", None),
            ]
            method, target, sent = calls[turn % len(calls)]
            try:
                answer = self.gateway.call(method, target, sent, timeout=20)
            except (OSError, http.client.HTTPException, ValueError):  # not whole, so not seen
                return
            self.seen[answer.headers["audit-id"]] = answer.code

    def _watch(self) -> None:
        head = f"GET {WATCH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.gateway.keys['agent']}\r\n\r\n"
        received = b""
        try:
            with self.gateway.connect(20) as sock:
                sock.sendall(head.encode())
                while chunk := sock.recv(65536):
                    received += chunk
        except OSError:
            pass
        head_bytes, _, body = received.partition(b"\r\n\r\n")
        for line in head_bytes.decode("latin-1").split("\r\n"):
            if line.lower().startswith("audit-id:"):
                self.watched[line.partition(":")[2].strip()] = dechunked(body)


def dechunked(body: bytes) -> bytes:
    """The data of a chunked body, as far as it is there."""
    data = b""
    while b"\r\n" in body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        data += rest[:length]
        body = rest[length + 2 :]
    return data


def flows(state: Path) -> list[Any]:
    """Every flow in every file, read by mitmproxy itself; an unfinished last one is the only thing that may be missing."""
    found: list[Any] = []
    for path in sorted(layout.recordings(state).glob("*/*.flow")):
        with path.open("rb") as file, contextlib.suppress(FlowReadException):
            found.extend(FlowReader(file).stream())
    return found


def check(state: Path, load: Load) -> Verification:
    """AssertionError if anything that a client saw is not in the files, or verification finds more than an open end."""
    found = flows(state)
    recorded = {
        flow.metadata["pratique.audit_id"]: flow.response.status_code
        for flow in found
        if flow.metadata["pratique.stage"] == Stage.COMPLETE and flow.response
    }
    lost = {audit: code for audit, code in load.seen.items() if recorded.get(audit) != code}
    assert not lost, f"{len(lost)} of {len(load.seen)} finished requests are not in the files"
    streams = {
        flow.metadata["pratique.audit_id"]: flow for flow in found if flow.metadata["pratique.stage"] == Stage.STARTED
    }
    recordings = Recordings(state)
    for audit, body in load.watched.items():
        flow = streams[audit]
        events = [
            event.data
            for session in recordings.ids()
            for event in recordings.stream(session, flow.metadata["pratique.flow"])
        ]
        assert b"".join(events).startswith(body), "a watch event that was seen is not in the files"
    result = recordings.verify(keys.verifier(state))
    assert result.ok, [str(finding) for finding in result.findings]
    return result


def kill_once(gateway: Gateway, run: int, after: float) -> tuple[int, int, int]:
    """Starts, loads, kills after so many seconds, checks, starts again, checks again. (requests, watch bytes, open ends)."""
    gateway.start()
    with Load(gateway, run) as load:
        deadline = time.monotonic() + 30
        while not load.seen and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(min(after, LONGEST_SECONDS))
        gateway.stop(signal.SIGKILL)
    unsealed = len(check(gateway.state, load).findings)
    gateway.log.write_bytes(b"")
    gateway.start()
    result = check(gateway.state, load)
    assert [str(finding) for finding in result.findings if finding.session != "sessions"] == []
    gateway.stop()
    assert check(gateway.state, load).findings == ()
    return len(load.seen), sum(map(len, load.watched.values())), unsealed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    total = [0, 0, 0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Sandbox(folder / "sandbox", SandboxOptions(static_token="upstream")) as sandbox:
            for run in range(arguments.times):
                gateway = Gateway(folder / f"gateway-{run}", sandbox)
                done = kill_once(gateway, run, moments.uniform(0, LONGEST_SECONDS))
                total = [a + b for a, b in zip(total, done, strict=True)]
                print(
                    json.dumps({"run": run, "requests": done[0], "watched": done[1], "unsealed": done[2]}), flush=True
                )
    print(f"{arguments.times} kills, {total[0]} finished requests, {total[1]} bytes of watches: all in the files")


if __name__ == "__main__":
    sys.exit(main())
