"""What `pratique run` sets for its process, against other settings: Python's collector, glibc's allocator, the event loop.

One gateway for each setting, loaded by turns. A script of the operator (`-s`) sets the collector when the gateway is
running, over what the launcher has set; the environment sets the allocator; a `sitecustomize` the loop. `never` is no
setting but the most that one of the collector could save.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench import load
from tests.bench.meter import Meter
from tests.bench.request_path import CONNECTIONS, SIZES, STREAMS, Way, nginx_pods
from tests.process.gateway import ROOT, Gateway

ROUNDS, QUICK_ROUNDS = 5, 1
SECONDS, QUICK_SECONDS = 3.0, 1.0
A_SECOND = {"2 KB": 300, "1 MB": 20}  # requests over HTTP/2
PYTHON = gc.get_threshold()  # of this Python
UNSET = f"gc.unfreeze(), gc.set_threshold{PYTHON}"
UVLOOP = "uvloop"


@dataclass(frozen=True)
class Setting:
    """`collector`: an expression. `environment`: of the process. `customize`: what runs before anything else."""

    collector: str = "None"
    environment: tuple[tuple[str, str], ...] = ()
    customize: str = ""


BASE = "as it is"
"""What the others are compared with."""
SETTINGS = {
    BASE: Setting(),
    "collector: Python's": Setting(UNSET),
    "collector: frozen": Setting(f"{UNSET}, gc.collect(), gc.freeze()"),
    "collector: frozen, thresholds x 10": Setting(
        f"gc.unfreeze(), gc.set_threshold({PYTHON[0] * 10}, *{PYTHON[1:]}), gc.collect(), gc.freeze()"
    ),
    "collector: never": Setting("gc.disable()"),
    "allocator: glibc's": Setting(environment=(("GLIBC_TUNABLES", ""),)),
    UVLOOP: Setting(customize="import uvloop\n\nuvloop.install()\n"),
}


def run(meter: Meter) -> None:
    load.programs()
    some = [name for name in SETTINGS if name != UVLOOP or importlib.util.find_spec(UVLOOP)]
    if UVLOOP not in some:
        meter.note("uvloop was not measured: it is not installed")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        cluster = load.Nginx(Path(folder) / "nginx", nginx_pods())
        stack.callback(cluster.close)
        ways = [_way(Path(folder) / str(number), cluster, name, stack) for number, name in enumerate(some)]
        for size in A_SECOND:
            for version in ("1.1", "2"):
                _measure(meter, ways, size, version)
        _rows(meter, "memory after all of it", {way.name: [load.memory(way.pid)] for way in ways}, "MiB")


def _way(place: Path, cluster: load.Nginx, name: str, stack: contextlib.ExitStack) -> Way:
    setting = SETTINGS[name]
    place.mkdir()
    script = place / "collector.py"
    script.write_text(f"import gc\n\n\ndef running():\n    {setting.collector}\n")
    environment = dict(setting.environment)
    if setting.customize:
        (place / "sitecustomize.py").write_text(setting.customize)
        environment["PYTHONPATH"] = f"{ROOT / 'addons'}:{place}"
    gateway = Gateway(
        place / "gateway", cluster, options=["-s", str(script)], environment=environment  # type: ignore[arg-type]
    ).start()  # fmt: skip
    stack.callback(gateway.stop)
    headers = {"Authorization": f"Bearer {gateway.keys['agent']}"}
    return Way(name, f"https://127.0.0.1:{gateway.port}", gateway.pid, headers)


def _measure(meter: Meter, ways: list[Way], size: str, version: str) -> None:
    found: dict[str, dict[str, list[float]]] = {what: {way.name: [] for way in ways} for what in ("CPU", "p50", "p99")}
    for number in range(QUICK_ROUNDS if meter.quick else ROUNDS):
        for way in ways if number % 2 == 0 else reversed(ways):
            before = load.cpu(way.pid)
            seen = _send(way, size, version, QUICK_SECONDS if meter.quick else SECONDS)
            found["CPU"][way.name].append((load.cpu(way.pid) - before) / seen.requests * 1e3)
            found["p50"][way.name].append(seen.p50 * 1e3)
            found["p99"][way.name].append(seen.p99 * 1e3)
    for what, samples in found.items():
        _rows(meter, f"HTTP/{version}, {size}: {what}", samples, "ms")


def _send(way: Way, size: str, version: str, seconds: float) -> load.Load:
    url = way.url + SIZES[size][0]
    if version == "1.1":
        seen = load.wrk(url, seconds, CONNECTIONS, way.headers)
    else:
        seen = load.h2load(url, int(seconds * A_SECOND[size]), CONNECTIONS, STREAMS, way.headers)
    if seen.failed or not seen.requests:
        raise SystemExit(
            f"bench: {seen.failed} of {seen.requests} requests failed with `{way.name}` ({size}, {version})"
        )
    return seen


def _rows(meter: Meter, what: str, samples: dict[str, list[float]], unit: str) -> None:
    for name, values in samples.items():
        meter.add(f"{what}, {name}", values, unit, against="" if name == BASE else f"{what}, {BASE}")
