"""Held requests, 1 to 5,000: what other requests notice of them, and what each costs in memory.

A real gateway in front of the sandbox; each client has 20 requests that wait, on one HTTP/2 connection. The others are small
reads, one after another, on a connection of their own. `approvals` measures the same with a TLS connection for each.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path

from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State
from pratique.sandbox.cluster import Sandbox, SandboxOptions
from tests.bench import load
from tests.bench.approvals import PER_CLIENT, WAIT_SECONDS
from tests.bench.meter import Meter
from tests.process.gateway import Gateway, rss
from tests.process.h2client import H2Client
from tests.process.reviewing import MAPS, POLICY

HELD, QUICK_HELD = (1, 100, 1_000, 5_000), (1, 20)
ROUNDS, REQUESTS = 5, 200
QUICK_ROUNDS, QUICK_REQUESTS = 1, 20
HOLD_SECONDS = 290
LOOK_SECONDS = 0.2
READ = "/api/v1/namespaces/payments"


def run(meter: Meter) -> None:
    counts = QUICK_HELD if meter.quick else HELD
    clients = tuple(f"client-{number}" for number in range(-(-counts[-1] // PER_CLIENT)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Sandbox(folder / "sandbox", SandboxOptions(static_token="static")) as sandbox:
            gateway = Gateway(
                folder / "gateway", sandbox, policy=POLICY, hold=HOLD_SECONDS, clients=("reader", *clients)
            ).start()  # fmt: skip
            try:
                _measure(meter, gateway, clients, counts)
            finally:
                gateway.stop()


def _measure(meter: Meter, gateway: Gateway, clients: tuple[str, ...], counts: tuple[int, ...]) -> None:
    with contextlib.ExitStack() as stack, H2Client(gateway, client="reader") as reader:
        load.took(reader, READ, QUICK_REQUESTS)  # warm
        _add(meter, reader, 0)
        before, waiting = rss(gateway.pid), dict[int, H2Client]()
        held = 0
        for wanted in counts:
            for number in range(held, wanted):
                at = number // PER_CLIENT
                if at not in waiting:
                    waiting[at] = stack.enter_context(H2Client(gateway, client=clients[at]))
                    waiting[at].settle()
                waiting[at].request("DELETE", f"{MAPS}/held-{number}")
            held = wanted
            _all_pending(gateway, held)
            _add(meter, reader, held)
            each = (rss(gateway.pid) - before) / 1024 / held
            meter.add(f"memory of each of {held:,} held requests", [each], "KiB")
    meter.note(f"{PER_CLIENT} on each HTTP/2 connection; memory is from one sample each, the first pays for what is loaded once")  # fmt: skip


def _add(meter: Meter, reader: H2Client, held: int) -> None:
    rounds, requests = (QUICK_ROUNDS, QUICK_REQUESTS) if meter.quick else (ROUNDS, REQUESTS)
    took = [load.took(reader, READ, requests) for _ in range(rounds)]
    for kind, share in (("p50", 0.5), ("p99", 0.99)):
        found = [load.quantile(each, share) for each in took]
        against = f"other requests, 0 held, {kind}" if held else ""
        meter.add(f"other requests, {held:,} held, {kind}", found, "ms", against=against)


def _all_pending(gateway: Gateway, held: int) -> None:
    store = SqliteStore(gateway.state / "approvals.sqlite")
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        while (found := len(store.find(time.time(), {State.PENDING}, None, held))) < held:
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: only {found} of {held} are held")
            time.sleep(LOOK_SECONDS)
    finally:
        store.close()
