"""Requests that are held for a reviewer: what other requests notice of them, and what each costs in memory.

A real gateway in front of the sandbox, TLS on both sides, HTTP/1.1, each held request on a connection of its own. The
others are small reads, one after another on one connection. In alternating phases: nothing held, then all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ssl
import statistics
import tempfile
import time
from pathlib import Path

from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State
from pratique.sandbox.cluster import Sandbox, SandboxOptions
from tests.bench.meter import Meter
from tests.process.gateway import Gateway
from tests.process.reviewing import MAPS, POLICY

HELD, QUICK_HELD = 1_000, 20
PER_CLIENT = 20  # the quota of pending approvals
PHASES = 3
ROUNDS, REQUESTS = 5, 200  # of others, in each phase
WAIT_SECONDS = 300


def run(meter: Meter) -> None:
    held = QUICK_HELD if meter.quick else HELD
    clients = tuple(f"client-{number}" for number in range(held // PER_CLIENT))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Sandbox(folder / "sandbox", SandboxOptions(static_token="static")) as sandbox:
            gateway = Gateway(
                folder / "gateway", sandbox, policy=POLICY, hold=290, clients=("reader", *clients),
                holds=dict.fromkeys(clients, 290),
            ).start()  # fmt: skip
            try:
                _measure(meter, gateway, clients, held)
            finally:
                gateway.stop()


def _measure(meter: Meter, gateway: Gateway, clients: tuple[str, ...], held: int) -> None:
    phases = 1 if meter.quick else PHASES
    samples: dict[str, list[float]] = {"idle p50": [], "idle p99": [], "held p50": [], "held p99": []}
    memory: list[float] = []
    asyncio.run(_others(gateway, 50))  # warm
    for phase in range(phases):
        before = _resident(gateway)
        _take(samples, "idle", gateway, meter)
        after = asyncio.run(_with_held(samples, gateway, clients, held, meter, phase))
        if phase == 0:  # later ones use again what the first has freed
            memory.append((after - before) / held)
    for kind in ("p50", "p99"):
        meter.add(f"other requests, nothing held, {kind}", samples[f"idle {kind}"], "ms")
        name = f"other requests, {held:,} held, {kind}"
        meter.add(name, samples[f"held {kind}"], "ms", against=f"other requests, nothing held, {kind}")
    meter.add("memory for each held request", memory, "KiB")
    meter.note(
        f"{held:,} held, {len(clients)} clients, each request on its own TLS connection, which is most of the memory"
    )
    meter.note("memory is from one sample: the first phase's")


def _take(samples: dict[str, list[float]], kind: str, gateway: Gateway, meter: Meter) -> None:
    for _ in range(1 if meter.quick else ROUNDS):
        took = asyncio.run(_others(gateway, 20 if meter.quick else REQUESTS))
        samples[f"{kind} p50"].append(statistics.median(took))
        samples[f"{kind} p99"].append(sorted(took)[int(len(took) * 0.99) - 1])


async def _others(gateway: Gateway, number: int) -> list[float]:
    """Milliseconds of each request."""
    return await asyncio.to_thread(_read, gateway, number)


def _read(gateway: Gateway, number: int) -> list[float]:
    connection = http.client.HTTPSConnection("127.0.0.1", gateway.port, context=gateway.tls(), timeout=WAIT_SECONDS)
    headers = {"Authorization": f"Bearer {gateway.keys['reader']}"}
    took = []
    for _ in range(number):
        started = time.perf_counter()
        connection.request("GET", "/api/v1/namespaces/payments", headers=headers)
        response = connection.getresponse()
        response.read()
        took.append((time.perf_counter() - started) * 1e3)
        if response.status != 200:
            raise RuntimeError(f"a read was answered {response.status}")
    connection.close()
    return took


async def _with_held(
    samples: dict[str, list[float]], gateway: Gateway, clients: tuple[str, ...], held: int, meter: Meter, phase: int
) -> int:
    """The gateway's memory with all of them held, in KiB."""
    context = gateway.tls()
    asking = [
        _ask(gateway, context, clients[number % len(clients)], f"{MAPS}/held-{number}")
        for number in range(held)
    ]  # fmt: skip
    writers: list[asyncio.StreamWriter] = []
    for start in range(0, held, 50):  # no more TLS handshakes at once than a machine of two cores likes
        writers += await asyncio.gather(*asking[start : start + 50])
    await _all_pending(gateway, held, phase)
    await asyncio.to_thread(_take, samples, "held", gateway, meter)
    resident = _resident(gateway)
    for writer in writers:
        writer.close()
    for writer in writers:
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
    return resident


async def _ask(gateway: Gateway, context: ssl.SSLContext, client: str, target: str) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection(
        "127.0.0.1", gateway.port, ssl=context, server_hostname="127.0.0.1", ssl_handshake_timeout=WAIT_SECONDS
    )
    key = gateway.keys[client]
    writer.write(f"DELETE {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    await writer.drain()
    return writer


async def _all_pending(gateway: Gateway, held: int, phase: int) -> None:
    """Asked once more in each phase: the approvals stay, the requests are new."""
    store = SqliteStore(gateway.state / "approvals.sqlite")
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = await asyncio.to_thread(store.find, time.time(), {State.PENDING}, None, held)
        if sum(approval.attempts > phase for approval in found) == held:
            break
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {len(found)} of {held} are held")
        await asyncio.sleep(0.2)
    store.close()


def _resident(gateway: Gateway) -> int:
    """KiB."""
    if gateway.process is None:
        raise RuntimeError("the gateway does not run")
    status = Path(f"/proc/{gateway.process.pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
