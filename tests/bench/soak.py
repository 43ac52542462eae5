"""Endurance: a mixed load on one gateway for minutes; whether memory and file descriptors stay, and every error by name.

A real gateway in front of the sandbox, TLS on both sides: reads, writes, watches (HTTP/1.1, and many on one HTTP/2
connection), execs, deletes that a reviewer approves through the API, edited and broken documents, Role Y sessions of 100 s
and sessions that are revoked. The slope is that of the least-squares line over the second half of the samples, one a second.
"""

from __future__ import annotations

import collections
import contextlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pratique.sandbox.cluster import Cluster, Sandbox
from tests.bench.meter import Meter
from tests.bench.mix import EXPECTED, HOLD_SECONDS, POLICY, SESSION_SECONDS, Mix, Tally
from tests.process.gateway import Gateway, rss

QUICK_SECONDS = 6.0
SAMPLE_SECONDS = 1.0
WARM_SHARE = 0.1  # of the time, before anything is measured
QUIET_LOOKS, LOOK_SECONDS = 60, 0.25  # connections that were closed are gone by then
KINDS = (
    "reads", "writes", "watches", "watches over HTTP/2", "execs", "decisions of reviewers", "approvals",
    "edits of documents", "sessions revoked at the cluster",
)  # fmt: skip
MIB_PER_HOUR = 10.0
NOISE_MIB = 4.0  # what an allocator may take or give back at any moment; it weighs the more the shorter the soak is
NOISE_FDS = 4.0  # a line through a number that goes up and down with the load
LEFT_FDS = 2.0  # open when it is quiet again, more than when it was quiet before


@dataclass(frozen=True)
class Sample:
    """`at`: seconds since the load began. `memory`: MiB."""

    at: float
    memory: float
    files: int


def run(meter: Meter) -> None:
    seconds = QUICK_SECONDS if meter.quick else meter.minutes * 60
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Sandbox(folder / "sandbox") as sandbox:
            sandbox.call(_short_sessions)
            gateway = Gateway(
                folder / "gateway", sandbox, credential="eks", policy=POLICY, hold=HOLD_SECONDS
            ).start()  # fmt: skip
            try:
                _soak(meter, gateway, seconds)
            finally:
                gateway.stop()


def _short_sessions(cluster: Cluster) -> None:
    """STS gives at least 15 minutes; here the gateway must renew its session and its token meanwhile."""
    usual = cluster.sts._session  # noqa: SLF001 - the one place where a life is decided

    def brief(role: Any, name: str, expires: float, *more: Any) -> Any:
        return usual(role, name, min(expires, time.time() + SESSION_SECONDS), *more)

    cluster.sts._session = brief  # type: ignore[method-assign]  # noqa: SLF001


def _soak(meter: Meter, gateway: Gateway, seconds: float) -> None:
    sessions: set[str] = set()
    tally = Tally()
    mix = Mix(gateway, tally)
    mix.start()
    time.sleep(seconds * WARM_SHARE)  # databases, code and pools that stay are opened by the first of each kind
    mix.stop()
    before = _quiet(gateway)
    mix = Mix(gateway, tally)
    mix.start()
    samples = _sample(gateway, seconds, sessions)
    mix.stop()
    after = _quiet(gateway)
    _report(meter, samples, tally)
    left = after.total() - before.total()
    meter.add("file descriptors left when it was quiet again", [left], "fds", budget=LEFT_FDS)
    more = {kind: count for kind, count in (after - before).items() if count}
    meter.note(f"more of them than before: {more or 'of no kind'}")
    reloads, refused = gateway.output.count("documents reloaded"), gateway.output.count("are NOT in force")
    meter.note(
        f"{seconds:g} s; {reloads} reloads, {refused} broken sets refused, {len(sessions)} sessions of Role Y assumed;"
        f" memory in MiB by quarters: {', '.join(f'{sample.memory:.0f}' for sample in _quarters(samples))};"
        f" file descriptors {before.total()} when quiet, at most {max(sample.files for sample in samples)}"
    )
    for what, count in (*tally.unexpected.most_common(10), *tally.expected.items()):
        meter.note(f"{count} x {what}")


def _sample(gateway: Gateway, seconds: float, sessions: set[str]) -> list[Sample]:
    """One a second, and which sessions STS knows."""
    began = time.monotonic()
    samples = []
    while (at := time.monotonic() - began) < seconds:
        samples.append(Sample(at, rss(gateway.pid) / (1 << 20), _files(gateway)))
        sessions |= gateway.sandbox.call(lambda cluster: set(cluster.sts.sessions))  # type: ignore[union-attr]
        time.sleep(min(SAMPLE_SECONDS, seconds / 10))
    return samples


def _quarters(samples: Sequence[Sample]) -> list[Sample]:
    return [samples[(len(samples) - 1) * part // 4] for part in range(5)]


def _files(gateway: Gateway) -> int:
    return sum(1 for _ in Path(f"/proc/{gateway.pid}/fd").iterdir())


def _quiet(gateway: Gateway) -> collections.Counter[str]:
    """The fewest file descriptors in the seconds after a load, by what they are of."""
    fewest = _kinds(gateway)
    for _ in range(QUIET_LOOKS):
        time.sleep(LOOK_SECONDS)
        fewest = min(fewest, _kinds(gateway), key=lambda counter: counter.total())
    return fewest


def _kinds(gateway: Gateway) -> collections.Counter[str]:
    found: collections.Counter[str] = collections.Counter()
    for link in Path(f"/proc/{gateway.pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            name = link.readlink().name
            found[name.partition(":")[0] if ":" in name else Path(name).suffix or name] += 1
    return found


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Of the least-squares line through (seconds, value), per hour; 0.0 where there are not two."""
    if len({at for at, _ in samples}) < 2:
        return 0.0
    return statistics.linear_regression([at for at, _ in samples], [value for _, value in samples]).slope * 3600


def _report(meter: Meter, samples: list[Sample], tally: Tally) -> None:
    for kind in KINDS:
        meter.add(kind, [float(tally.done[kind])], "")
    meter.add("errors that are expected", [float(tally.expected[EXPECTED])], "")
    meter.add("errors that are not", [float(sum(tally.unexpected.values()))], "", budget=0.0)
    half = samples[len(samples) // 2 :]
    hours = max(half[-1].at - half[0].at, SAMPLE_SECONDS) / 3600
    memory = slope([(sample.at, sample.memory) for sample in half])
    files = slope([(sample.at, float(sample.files)) for sample in half])
    meter.add("memory, slope over the second half", [memory], "MiB/h", budget=MIB_PER_HOUR + NOISE_MIB / hours)
    meter.add("file descriptors, slope over the second half", [files], "fds/h", budget=NOISE_FDS / hours)
    meter.note(
        f"the budgets of the slopes allow {NOISE_MIB:g} MiB and {NOISE_FDS:g} fds in {hours * 60:.2g} minutes as noise,"
        f" beside {MIB_PER_HOUR:g} MiB/h: the longer the soak, the sharper"
    )
