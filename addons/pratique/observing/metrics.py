"""The metrics, in Prometheus' text format: counters and histograms of requests, and gauges that are read when asked.

Belongs here: names, labels, buckets. Not here: when a request has ended (`addon`), who serves them (the admin listener).

Labels are bounded, and show nothing that a client wrote: clients and rules are named by documents, verbs and refusals by
this program, codes by HTTP. Never a path, a namespace or an object's name. README's table is compared with `registry`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.registry import Collector

from pratique.observing.finished import Finished

__all__ = ["CONTENT_TYPE", "Metrics", "Readings"]

LATENCY_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: what the gateway adds is milliseconds, and a cluster may take a minute."""
HOLD_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0)
"""Seconds: a hold ends after 45 by default, and after 290 at the latest."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What is read when somebody asks. Times are seconds since the epoch, None where there is none."""

    ready: bool = False
    open_requests: int = 0
    open_streams: int = 0
    held_requests: int = 0
    revocations: int = 0
    stopped: bool = False
    credential_expires: float | None = None
    credential_failing: bool = False
    documents_refused: bool = False
    recorder_lag: float = 0.0
    recorder_waiting: int = 0
    recorder_written: int = 0


_GAUGES: tuple[tuple[str, str, Callable[[Readings], float | None]], ...] = (
    ("ready", "1 if the gateway serves, as /readyz says.", lambda now: now.ready),
    ("open_requests", "Requests that are not answered yet, streams included.", lambda now: now.open_requests),
    ("open_streams", "Watches, logs, execs and port-forwards that are open.", lambda now: now.open_streams),
    ("held_requests", "Requests that wait for a reviewer now.", lambda now: now.held_requests),
    ("revocations", "Revocations that are in force.", lambda now: now.revocations),
    ("kill_switch", "1 while everybody is cut off.", lambda now: now.stopped),
    (
        "credential_expiry_timestamp_seconds",
        "When the cluster credential at hand ends; left out where it has no end.",
        lambda now: now.credential_expires,
    ),
    ("credential_failing", "1 if the last refresh of the credential failed.", lambda now: now.credential_failing),
    ("documents_refused", "1 if edited documents are not in force, because of errors.", lambda now: now.documents_refused),
    ("recorder_lag_seconds", "Age of the oldest recording that is not synced to disk.", lambda now: now.recorder_lag),
    ("recorder_waiting_bytes", "Recordings that are not copied to the bucket yet.", lambda now: now.recorder_waiting),
    ("recorder_written_bytes", "Bytes recorded since the start.", lambda now: now.recorder_written),
)  # fmt: skip


class _Gauges(Collector):
    def __init__(self, read: Callable[[], Readings]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        now = self._read()
        for name, words, value in _GAUGES:
            found = value(now)
            if found is not None:
                yield GaugeMetricFamily(f"pratique_{name}", words, value=float(found))

    def describe(self) -> Iterator[Metric]:
        """So that nothing is read when this is registered."""
        for name, words, _ in _GAUGES:
            yield GaugeMetricFamily(f"pratique_{name}", words)


class Metrics:
    """One registry. `read()` is called when the metrics are asked for."""

    def __init__(self, read: Callable[[], Readings], version: str = "") -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Gauges(read))
        ProcessCollector(registry=self.registry)
        of = self.registry
        self._requests = Counter(
            "pratique_requests",
            "Requests that have ended; code 0: the client left.",
            ["client", "verb", "code"],
            registry=of,
        )
        self._verdicts = Counter(
            "pratique_verdicts", "Verdicts, once for each rule that decided.", ["action", "rule"], registry=of
        )
        self._observed = Counter(
            "pratique_observed_verdicts",
            "Verdicts of policies with `mode: Observe`, and what was enforced.",
            ["policy", "action", "enforced"],
            registry=of,
        )
        self._refusals = Counter(
            "pratique_refusals", "Requests that the gateway answered itself, by its own rule.", ["rule"], registry=of
        )
        self._masked = Counter("pratique_masked_values", "Values that were masked.", ["rule"], registry=of)
        self._held = Histogram(
            "pratique_hold_seconds",
            "How long requests waited for a reviewer.",
            ["approved"],
            buckets=HOLD_BUCKETS,
            registry=of,
        )
        self._upstream = Histogram(
            "pratique_upstream_seconds",
            "From sending a request to the cluster's answer; of a stream to its first byte.",
            ["verb"],
            buckets=LATENCY_BUCKETS,
            registry=of,
        )
        self._added = Histogram(
            "pratique_added_seconds",
            "What the gateway itself took of a request: without the cluster, and without the hold.",
            ["verb"],
            buckets=LATENCY_BUCKETS,
            registry=of,
        )
        # As many as there are rows: labels are bounded, and to look one up costs more than to count.
        self._requests_of = functools.cache(self._requests.labels)
        self._verdicts_of = functools.cache(self._verdicts.labels)
        self._upstream_of = functools.cache(self._upstream.labels)
        self._added_of = functools.cache(self._added.labels)
        info = Counter("pratique_starts", "1: the gateway was started once, as this version.", ["version"], registry=of)
        info.labels(version).inc()

    def observe(self, request: Finished) -> None:
        """Counts a request that has ended."""
        verb = request.known_verb
        self._requests_of(request.client, verb, str(request.code)).inc()
        for rule in request.rules or ([""] if request.action else []):
            self._verdicts_of(request.action, rule).inc()
        for policy, action in request.observed:
            self._observed.labels(policy, action, request.action).inc()
        if request.refusal:
            self._refusals.labels(request.refusal).inc()
        for rule, number in request.masked.items():
            self._masked.labels(rule).inc(number)
        if request.held is not None:
            self._held.labels("true" if request.upstream is not None else "false").observe(request.held)
        if request.upstream is not None:
            self._upstream_of(verb).observe(request.upstream)
        if request.added is not None:
            self._added_of(verb).observe(request.added)

    def text(self) -> bytes:
        """As `/metrics` answers, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)
