"""Masking: lists against reading and writing the same JSON, text, watches against bare mitmdump, memory, and the loop."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from tests.bench.meter import QUICK_ROUNDS, Meter
from tests.masking import generated
from tests.masking.session import Session
from tests.process.cluster import FakeCluster
from tests.process.gateway import Gateway, free_port

FEW, EVERY = 0.5, 1.2
"""Of the time in which orjson reads and writes the body: where one item of 20 holds a value, and where each does."""
SIZES = {"1 MB": 1 << 20, "20 MB": 20 << 20}
ROUNDS = {"1 MB": 25, "20 MB": 5}
EVENTS = 100_000
WATCH = 0.8  # of the events of bare mitmdump
TEXT_MEGABYTES = 200.0  # a second
MEMORY = 3.0  # times the body, the body included
STALL = 50.0  # ms


def run(meter: Meter) -> None:
    for size in SIZES:
        for name in generated.LISTS:
            _list(meter, name, size)
    _remembering(meter)
    for name in ("PodList, every", "SecretList, every"):
        _memory(meter, name)
    _text(meter)
    _stall(meter)
    _watch(meter)
    meter.note(
        "× orjson: CPU time over that of orjson.loads and orjson.dumps of the same body, per round; default rules"
    )
    meter.note(
        "watch: the same TLS stream of pods through `mitmdump --set stream_large_bodies=1` and through the gateway"
    )


def _list(meter: Meter, name: str, size: str) -> None:
    target, make = generated.LISTS[name]
    body = make(SIZES[size])
    _compared(meter, f"{name}, {size}", body, lambda: Session().body(target, body), ROUNDS[size])


def _compared(meter: Meter, name: str, body: bytes, masked: Callable[[], Any], rounds: int) -> None:
    def base() -> None:
        orjson.dumps(orjson.loads(body))

    ratios = []
    for number in range(QUICK_ROUNDS if meter.quick else rounds):
        first, second = (base, masked) if number % 2 else (masked, base)
        times = {first: _cpu(first), second: _cpu(second)}
        ratios.append(times[masked] / times[base])
    meter.add(name, ratios, "× orjson", budget=FEW if "few" in name else EVERY)


def _cpu(function: Callable[[], Any]) -> float:
    started = time.process_time()
    function()
    return time.process_time() - started


def _remembering(meter: Meter) -> None:
    """The second net: a client that has seen as many values as are remembered."""
    target, make = generated.LISTS["PodList, few"]
    body, session = make(SIZES["20 MB"]), Session()
    session.body(generated.SECRETS, generated.LISTS["SecretList, every"][1](SIZES["1 MB"]))
    session.known.index()
    _compared(meter, "PodList, few, 20 MB, 512 values known", body, lambda: session.body(target, body), ROUNDS["20 MB"])


def _memory(meter: Meter, name: str) -> None:
    target, make = generated.LISTS[name]
    body = make(SIZES["20 MB"])
    session = Session()
    session.body(target, make(SIZES["1 MB"]))  # what is made once
    tracemalloc.start()
    session.body(target, body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    meter.add(f"{name}, 20 MB: peak memory", [(len(body) + peak) / len(body)], "× body", budget=MEMORY)


def _text(meter: Meter) -> None:
    text = generated.log((4 if meter.quick else 50) << 20)
    masker = Session().masker(f"{generated.PODS}/p/log")

    def stream(size: int) -> None:
        masked = masker.text_stream()
        for start in range(0, len(text), size):
            masked.feed(text[start : start + size])
        masked.close()

    cases: dict[str, Callable[[], Any]] = {"whole": lambda: masker.mask_body("text/plain", text)}
    cases |= {f"in chunks of {size >> 10} KiB": lambda size=size: stream(size) for size in (64 << 10, 4 << 10)}
    for name, case in cases.items():
        speeds = [len(text) / 1e6 / _cpu(case) for _ in range(QUICK_ROUNDS if meter.quick else 5)]
        budget = None if "4 KiB" in name else TEXT_MEGABYTES
        meter.add(f"log, {name}", speeds, "MB/s", budget=budget, smaller_is_better=False)


def _stall(meter: Meter) -> None:
    """The longest that an event loop waits while a body is masked in a thread beside it; and one that does nothing."""
    idle = [asyncio.run(_longest(lambda: time.sleep(0.5))) * 1e3 for _ in range(1 if meter.quick else 5)]
    meter.add("a thread that sleeps: longest stall of the loop", idle, "ms")
    for name in ("PodList, every", "SecretList, every", "HelmReleaseList, few"):
        target, make = generated.LISTS[name]
        body = make(SIZES["20 MB"])
        masking = functools.partial(_whole, target, body)
        stalls = [asyncio.run(_longest(masking)) * 1e3 for _ in range(1 if meter.quick else 5)]
        meter.add(f"{name}, 20 MB: longest stall of the loop", stalls, "ms", budget=STALL)


def _whole(target: str, body: bytes) -> None:
    """What the gateway does in threads before the answer leaves."""
    session = Session()
    session.body(target, body)
    session.known.index()


async def _longest(work: Callable[[], None]) -> float:
    working, longest = asyncio.create_task(asyncio.to_thread(work)), 0.0
    while not working.done():
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        longest = max(longest, time.perf_counter() - before - 0.001)
    await working
    return longest


# --- a watch, through the real thing ---


def _watch(meter: Meter) -> None:
    count = 2_000 if meter.quick else EVENTS
    events = [
        json.dumps({"type": "MODIFIED", "object": {"kind": "Pod", "apiVersion": "v1", **generated.pod(n, secret=n % 20 == 0)}},
                   separators=(",", ":")).encode() + b"\n"
        for n in range(200)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        cluster = FakeCluster(Path(folder) / "cluster")
        cluster.behaviour = lambda server, sock: _send(server, sock, events, count)
        gateway = Gateway(Path(folder) / "gateway", cluster)  # type: ignore[arg-type]  # what is used of a sandbox
        port, bare = _bare(cluster, Path(folder))
        gateway.start()
        headers = f"Authorization: Bearer {gateway.keys['agent']}\r\n"
        try:
            insecure, tls = ssl._create_unverified_context(), gateway.tls()  # noqa: S323
            both = {
                "bare mitmdump": (bare.pid, lambda: _receive(port, "", insecure, count)),
                "the gateway": (gateway.process.pid, lambda: _receive(gateway.port, headers, tls, count)),
            }
            taken: dict[str, list[tuple[float, float]]] = {name: [] for name in both}
            for _ in range(1 if meter.quick else 5):
                for name, (pid, stream) in both.items():
                    taken[name].append(_taken(pid, stream))
        finally:
            gateway.stop()
            bare.terminate()
            bare.wait(30)
            cluster.close()
    for index, unit in enumerate(("events/s", "events per CPU second")):
        base, ours = ([count / sample[index] for sample in taken[name]] for name in both)
        row = meter.add(f"watch of pods, {unit}: bare mitmdump", base, unit, smaller_is_better=False)
        meter.add(f"watch of pods, {unit}: the gateway", ours, unit, against=row.name, budget=WATCH * row.median,
                  smaller_is_better=False)  # fmt: skip


def _taken(pid: int, stream: Callable[[], float]) -> tuple[float, float]:
    """Seconds of the clock, and of the CPU that the process used: what others do on the machine does not slow that one."""
    before = _busy(pid)
    took = stream()
    return took, _busy(pid) - before


def _busy(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _send(cluster: FakeCluster, sock: socket.socket, events: list[bytes], count: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)
    with cluster.tls(sock) as conn:
        cluster.read_request(conn)
        conn.sendall(head)
        for _ in range(count // len(events)):
            conn.sendall(chunks)
        conn.sendall(b"0\r\n\r\n")
        cluster.wait_for_end(conn)


def _bare(cluster: FakeCluster, folder: Path) -> tuple[int, subprocess.Popen[bytes]]:
    port = free_port()
    arguments = ["-q", "--mode", f"reverse:https://127.0.0.1:{cluster.port}", "--ssl-insecure", "--listen-host", "127.0.0.1",
                 "-p", str(port), "--set", "stream_large_bodies=1", "--set", f"confdir={folder / 'bare'}"]  # fmt: skip
    command = [sys.executable, "-c", "from mitmproxy.tools.main import mitmdump; mitmdump()", *arguments]
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port, process
        time.sleep(0.1)
    raise RuntimeError("mitmdump did not start")


def _receive(port: int, headers: str, context: ssl.SSLContext, count: int) -> float:
    """Seconds from the first to the last event."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=120) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as sock,
    ):
        sock.sendall(f"GET {generated.PODS}?watch=1 HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        started, seen = 0.0, 0
        for data in _chunks(sock):
            started = started or time.perf_counter()
            seen += data.count(b'"MODIFIED"')
            if data.endswith(b"0\r\n\r\n"):
                break
        if seen < count // 2:
            raise RuntimeError(f"only {seen} events came")
        return time.perf_counter() - started


def _chunks(sock: ssl.SSLSocket) -> Iterator[bytes]:
    while data := sock.recv(1 << 18):
        yield data
