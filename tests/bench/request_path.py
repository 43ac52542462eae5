"""Whole requests: straight to nginx, through bare mitmdump, the gateway and `kubectl proxy`, TLS on both sides.

CPU is that of the proxy's process for each request, user and system. The gateway has all its addons on: the policy judges,
masks are looked for, everything is recorded. `kubectl proxy` takes plaintext from its clients. Latencies are those of one
client that sends one request after another.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.bench import load
from tests.bench.meter import Meter
from tests.process.gateway import Gateway, free_port

ROUNDS, QUICK_ROUNDS = {"2 KB": 5, "1 MB": 3, "20 MB": 2}, 1
SECONDS, QUICK_SECONDS = 3.0, 1.0
CONNECTIONS = 4
STREAMS = 10  # at once on each HTTP/2 connection
SIZES = {"2 KB": ("/api/v1/namespaces/dev/pods/web", 2 << 10), "1 MB": ("/api/v1/namespaces/mega/pods", 1 << 20), "20 MB": ("/api/v1/namespaces/giga/pods", 20 << 20)}  # fmt: skip
GOALS = {"1.1": 0.6, "2": 0.8}
"""CPU of the gateway for a small request, of that of bare mitmdump."""
PROXY_GOAL = 4.0
ADDED_MS = 0.3
IDLE_MIB = 150.0
BARE, GATEWAY, SCRIPT, DIRECT, PROXY = "bare mitmdump", "gateway", "gateway as a script", "direct", "kubectl proxy"


@dataclass(frozen=True)
class Way:
    """One way to the cluster. `pid` is of the process whose CPU counts; 0 where there is none."""

    name: str
    url: str
    pid: int
    headers: Mapping[str, str]
    http2: bool = True


def run(meter: Meter) -> None:
    load.programs()
    with tempfile.TemporaryDirectory() as name:
        cluster = load.Nginx(Path(name) / "nginx", nginx_pods())
        try:
            with _ways(Path(name), cluster, meter) as ways:
                _memory(meter, ways, "idle")
                for version in ("1.1", "2"):
                    for size in SIZES:
                        _measure(meter, ways, version, size)
                _memory(meter, ways, "at most, after all of it")
        finally:
            cluster.close()


def nginx_pods() -> dict[str, bytes]:
    """What the cluster serves: path → body."""
    return {path: _pods(size) for path, size in SIZES.values()}


def _pods(size: int) -> bytes:
    """One pod, or a list of as many as fit."""
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "dev", "uid": "0" * 36},
        "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": "nginx:1.27", "args": ["x" * 100] * 15}]},
        "status": {"phase": "Running", "podIP": "10.0.0.7"},
    }  # fmt: skip
    one = msgspec.json.encode(pod)
    if size < 2 * len(one):
        return one
    return msgspec.json.encode(
        {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [pod] * (size // len(one))}
    )


@contextlib.contextmanager
def _ways(folder: Path, cluster: load.Nginx, meter: Meter) -> Iterator[list[Way]]:
    with contextlib.ExitStack() as stack:
        ways = [Way(DIRECT, cluster.info.server, 0, {"Authorization": "Bearer upstream"})]
        port = free_port()
        bare = stack.enter_context(load.process(_bare(cluster, port, folder), port))
        ways.append(Way(BARE, f"https://127.0.0.1:{port}", bare.pid, {"Authorization": "Bearer upstream"}))
        for name, form in ((GATEWAY, "run"), (SCRIPT, "mitmdump")):
            gateway = Gateway(folder / form, cluster, form=form).start()  # type: ignore[arg-type]
            stack.callback(gateway.stop)
            headers = {"Authorization": f"Bearer {gateway.keys['agent']}"}
            ways.append(Way(name, f"https://127.0.0.1:{gateway.port}", gateway.pid, headers))
        if way := _proxy(stack, cluster, folder):
            ways.append(way)
        else:
            meter.note("`kubectl proxy` was not measured: there is no kubectl (on the PATH or in KUBECTL)")
        yield ways


def _bare(cluster: load.Nginx, port: int, folder: Path) -> list[str]:
    options = [
        f"ssl_verify_upstream_trusted_ca={cluster.ca_path}", f"confdir={folder / 'bare'}", "connection_strategy=lazy",
    ]  # fmt: skip
    sets = [part for option in options for part in ("--set", option)]
    program = [sys.executable, "-c", "from mitmproxy.tools.main import mitmdump; mitmdump()", "-q"]
    return [*program, "--mode", f"reverse:{cluster.info.server}", "--listen-host", "127.0.0.1", "-p", str(port), *sets]


def _proxy(stack: contextlib.ExitStack, cluster: load.Nginx, folder: Path) -> Way | None:
    kubectl = os.environ.get("KUBECTL") or shutil.which("kubectl")
    if not kubectl:
        return None
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": cluster.info.server, "certificate-authority": str(cluster.ca_path)}}],
        "users": [{"name": "u", "user": {"token": "upstream"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    (folder / "kubeconfig").write_bytes(msgspec.json.encode(config))
    port = free_port()
    command = [kubectl, "proxy", f"--port={port}", f"--kubeconfig={folder / 'kubeconfig'}"]
    running = stack.enter_context(load.process(command, port))
    return Way(PROXY, f"http://127.0.0.1:{port}", running.pid, {}, http2=False)


def _measure(meter: Meter, ways: list[Way], version: str, size: str) -> None:
    path, _ = SIZES[size]
    some = [way for way in ways if way.http2 or version == "1.1"]
    costs: dict[str, list[float]] = {way.name: [] for way in some}
    p50: dict[str, list[float]] = {way.name: [] for way in some}
    p99: dict[str, list[float]] = {way.name: [] for way in some}
    for number in range(QUICK_ROUNDS if meter.quick else ROUNDS[size]):
        for way in some if number % 2 == 0 else reversed(some):
            costs[way.name].append(_cost(way, path, version, meter, size))
            seen = _serial(way, path, version, meter, size)
            p50[way.name].append(seen.p50 * 1e3)
            p99[way.name].append(seen.p99 * 1e3)
    _rows(meter, f"HTTP/{version}, {size}", version, costs, p50, p99)


def _rows(
    meter: Meter, what: str, version: str, costs: dict[str, list[float]], p50: dict[str, list[float]], p99: dict[str, list[float]]
) -> None:  # fmt: skip
    small = "2 KB" in what
    for name, samples in costs.items():
        if name != DIRECT:
            meter.add(f"{what}: CPU, {name}", samples, "ms", against="" if name == BARE else f"{what}: CPU, {BARE}")
    if small:
        goals: list[tuple[str, float]] = [(BARE, GOALS[version])]
        goals += [(PROXY, PROXY_GOAL)] if PROXY in costs else []
        for base, goal in goals:
            ratios = [mine / theirs for mine, theirs in zip(costs[GATEWAY], costs[base], strict=True)]
            meter.add(f"{what}: CPU of the gateway, of {base}'s", ratios, "x", budget=goal)
    for name, samples in p50.items():
        meter.add(f"{what}: p50, {name}", samples, "ms", against="" if name == DIRECT else f"{what}: p50, {DIRECT}")
    for name, samples in p99.items():
        meter.add(f"{what}: p99, {name}", samples, "ms", against="" if name == DIRECT else f"{what}: p99, {DIRECT}")
    if small:
        added = [mine - theirs for mine, theirs in zip(p50[GATEWAY], p50[BARE], strict=True)]
        meter.add(f"{what}: p50 on top of {BARE}", added, "ms", budget=ADDED_MS)


def _cost(way: Way, path: str, version: str, meter: Meter, size: str) -> float:
    """CPU of the way's process for each request, in ms."""
    before = load.cpu(way.pid) if way.pid else 0.0
    seen = _send(way, path, version, meter, size, CONNECTIONS, STREAMS)
    return (load.cpu(way.pid) - before) / seen.requests * 1e3 if way.pid else 0.0


def _serial(way: Way, path: str, version: str, meter: Meter, size: str) -> load.Load:
    return _send(way, path, version, meter, size, 1, 1)


def _send(way: Way, path: str, version: str, meter: Meter, size: str, connections: int, streams: int) -> load.Load:
    seconds = (QUICK_SECONDS if meter.quick else SECONDS) * (2 if size == "20 MB" else 1)
    send: Callable[[], load.Load] = lambda: load.wrk(way.url + path, seconds, connections, way.headers)  # noqa: E731 - one of two
    if version == "2":
        count = int(seconds * {"2 KB": 300, "1 MB": 20, "20 MB": 2}[size])
        send = lambda: load.h2load(way.url + path, max(count, 4), min(connections, max(count, 4)), streams, way.headers)  # noqa: E731 - the other
    seen = send()
    if seen.failed or not seen.requests:
        raise SystemExit(f"bench: {seen.failed} of {seen.requests} requests of `{way.name}` failed ({path}, {version})")
    return seen


def _memory(meter: Meter, ways: list[Way], when: str) -> None:
    what = "VmRSS" if when == "idle" else "VmHWM"
    for way in ways:
        if way.pid:
            budget = IDLE_MIB if way.name == GATEWAY and when == "idle" else None
            meter.add(f"memory {when}, {way.name}", [load.memory(way.pid, what)], "MiB", budget=budget)
