"""What grows with its number: worker processes, rules, idle watches, and 250 watches beside requests on one connection.

Requests a second of workers are those of wrk over HTTP/1.1 with nginx as the cluster; on a machine whose cores wrk and nginx
need too, the ratio says more of the machine than of the workers: what a request costs them does not depend on that. Watches are
those of the sandbox, on HTTP/2.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pratique.sandbox.cluster import Sandbox, SandboxOptions
from tests.bench import load
from tests.bench.meter import Meter
from tests.bench.policy import GET, POOL, decide, kinds, policies, request
from tests.process.gateway import Gateway, eventually, rss
from tests.process.h2client import H2Client

WORKERS = (1, 2)
WORKERS_GOAL = 1.8  # times the requests a second of one
ROUNDS, QUICK_ROUNDS = 4, 1
SECONDS, QUICK_SECONDS = 4.0, 1.0
CONNECTIONS = 16
PATH = "/api/v1/namespaces/dev/pods/web"
RULES, QUICK_RULES = (10, 100, 1_000, 10_000), (10, 1_000)
WATCHES, QUICK_WATCHES = (1, 10, 100, 1_000), (1, 100)
PER_CONNECTION = 100  # watches; client-go opens up to 250
WATCH_KIB = 100.0
WATCH_CLIENTS = 4  # of 512 streams each
BESIDE, QUICK_BESIDE = 250, 50
REQUESTS, QUICK_REQUESTS = 300, 30
READ = "/api/v1/namespaces/payments/pods/db-0"
MAPS = "/api/v1/namespaces/payments/configmaps"
POD = b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"dev"},"spec":{"containers":[{"name":"web","image":"nginx:1.27"}]}}'


def run(meter: Meter) -> None:
    _rules(meter)
    with tempfile.TemporaryDirectory() as name:
        _workers(meter, Path(name))
        _watches(meter, Path(name))


def _rules(meter: Meter) -> None:
    """A rule for each of so many resources, and rules that all are about one resource, for requests that all differ."""
    fresh = [request(replace(GET, name=f"w{number}", namespace=f"n{number % 1000}")) for number in range(POOL)]
    counts = QUICK_RULES if meter.quick else RULES
    meter.compare({f"{count:,} rules": decide(policies(kinds(count)), [request()]) for count in counts})
    spaces = {count: policies(map(_space, range(count))) for count in counts}
    meter.compare(
        {f"{count:,} rules about pods, each in a namespace": decide(rules, fresh) for count, rules in spaces.items()}
    )


def _space(number: int) -> str:
    return f"verbs: [get], resources: [pods], namespaces: [n{number}], action: Allow"


def _workers(meter: Meter, folder: Path) -> None:
    load.programs()
    cluster = load.Nginx(folder / "nginx", {PATH: POD})
    rates: dict[int, list[float]] = {count: [] for count in WORKERS}
    costs: dict[int, list[float]] = {count: [] for count in WORKERS}
    try:
        with contextlib.ExitStack() as stack:
            gateways = {count: stack.enter_context(_serving(folder, cluster, count)) for count in WORKERS}
            for number in range(QUICK_ROUNDS if meter.quick else ROUNDS):
                for count in WORKERS if number % 2 == 0 else reversed(WORKERS):
                    rate, cost = _rate(gateways[count], QUICK_SECONDS if meter.quick else SECONDS)
                    rates[count].append(rate)
                    costs[count].append(cost)
    finally:
        cluster.close()
    one = f"requests a second, {WORKERS[0]} worker"
    meter.add(one, rates[WORKERS[0]], "1/s", smaller_is_better=False)
    for count in WORKERS[1:]:
        meter.add(f"requests a second, {count} workers", rates[count], "1/s", against=one, smaller_is_better=False)
        ratios = [more / less for more, less in zip(rates[count], rates[WORKERS[0]], strict=True)]
        meter.add(f"{count} workers, of one", ratios, "x", budget=WORKERS_GOAL, smaller_is_better=False)
    for count in WORKERS:
        base = "" if count == WORKERS[0] else f"CPU of a request, {WORKERS[0]} worker"
        name = f"CPU of a request, {count} worker{'s' if count > 1 else ''}"
        meter.add(name, costs[count], "ms", against=base)
    meter.note(f"wrk and nginx share {os.cpu_count()} cores with the workers")


@contextlib.contextmanager
def _serving(folder: Path, cluster: load.Nginx, count: int) -> Iterator[Gateway]:
    gateway = Gateway(folder / f"workers-{count}", cluster, options=["--workers", str(count)])  # type: ignore[arg-type]
    gateway.start()
    try:
        eventually(lambda: gateway.output.count("pratique serves") == count)
        yield gateway
    finally:
        gateway.stop()


def _rate(gateway: Gateway, seconds: float) -> tuple[float, float]:
    """Requests a second, and what each costs the gateway's processes, in ms of CPU."""
    before = load.cpu(*load.family(gateway.pid))
    headers = {"Authorization": f"Bearer {gateway.keys['agent']}"}
    seen = load.wrk(f"https://127.0.0.1:{gateway.port}{PATH}", seconds, CONNECTIONS, headers)
    if seen.failed or not seen.requests:
        raise SystemExit(f"bench: {seen.failed} of {seen.requests} requests failed")
    spent = load.cpu(*load.family(gateway.pid)) - before
    return seen.requests / seen.seconds, spent / seen.requests * 1e3


def _watches(meter: Meter, folder: Path) -> None:
    clients = tuple(f"watcher-{number}" for number in range(WATCH_CLIENTS))
    with Sandbox(folder / "sandbox", SandboxOptions(static_token="static")) as sandbox:
        gateway = Gateway(folder / "watched", sandbox, clients=("agent", *clients)).start()
        try:
            _beside(meter, gateway)
            _idle(meter, gateway, clients)
        finally:
            gateway.stop()


def _watch(client: H2Client, number: int) -> int:
    selector = f"fieldSelector=metadata.name%3Dscale-{number}"  # of which there is none: nothing ever comes
    return client.request("GET", f"{MAPS}?watch=true&timeoutSeconds=3000&{selector}")


def _open(client: H2Client, numbers: range) -> None:
    streams = [client.streams[_watch(client, number)] for number in numbers]
    client.wait(lambda: all(stream.status for stream in streams), 120)
    if bad := [stream.status for stream in streams if stream.status != 200]:
        raise SystemExit(f"bench: {len(bad)} watches were answered {bad[0]}")


def _idle(meter: Meter, gateway: Gateway, names: tuple[str, ...]) -> None:
    """Memory of each, over what the gateway takes before; all stay open until the last is measured."""
    before, count = rss(gateway.pid), 0
    with contextlib.ExitStack() as stack:
        for wanted in QUICK_WATCHES if meter.quick else WATCHES:
            while count < wanted:
                more = min(PER_CONNECTION, wanted - count)
                name = names[count // PER_CONNECTION % len(names)]
                _open(stack.enter_context(H2Client(gateway, client=name)), range(count, count + more))
                count += more
            budget = WATCH_KIB if wanted == WATCHES[-1] else None
            meter.add(
                f"memory of each of {wanted:,} idle watches",
                [(rss(gateway.pid) - before) / 1024 / wanted],
                "KiB",
                budget=budget,
            )
    meter.note(f"{PER_CONNECTION} watches on a connection of HTTP/2, each with a connection of its own to the cluster")
    meter.note("memory is from one sample each; the first watch pays for what is loaded once")


def _beside(meter: Meter, gateway: Gateway) -> None:
    """Requests one after another, in turns on the connection of the watches and on one of their own."""
    count, requests = (QUICK_BESIDE, QUICK_REQUESTS) if meter.quick else (BESIDE, REQUESTS)
    names = ("a request on a connection of its own", f"a request beside {count} watches on its connection")
    samples: dict[str, list[list[float]]] = {name: [] for name in names}
    with H2Client(gateway) as alone, H2Client(gateway) as full:
        alone.settle()
        full.settle()
        _open(full, range(count))
        ways = list(zip(names, (alone, full), strict=True))
        for _, client in ways:
            load.took(client, READ, requests // 3)  # warm
        for number in range(QUICK_ROUNDS if meter.quick else ROUNDS):
            for name, client in ways if number % 2 == 0 else reversed(ways):
                samples[name].append(load.took(client, READ, requests))
    for kind, share in (("p50", 0.5), ("p99", 0.99)):
        for name in names:
            found = [load.quantile(took, share) for took in samples[name]]
            meter.add(f"{name}, {kind}", found, "ms", against="" if name == names[0] else f"{names[0]}, {kind}")
