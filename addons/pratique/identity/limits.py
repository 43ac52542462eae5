"""How much one client may do: requests per second, requests at once, questions to reviewers, writes per day.

Belongs here: the `limits` of a Client document, the token buckets, what counts as a write. Not here: counting what must
survive a restart (`counters`), what is open (`addon`), questions (`pratique.approvals`). Pure; `now` in seconds.

The first two are this process's own: of two gateways each counts for itself.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from pratique.errors import Refused
from pratique.kube.canonical import CanonicalRequest

MAX_PER_SECOND = 10_000.0
BURST_SECONDS = 2.0  # of the rate, where no `burst` is given: kubectl begins with some thirty requests at once
MAX_CLIENTS = 4_096  # buckets that are kept; the one used longest ago is forgotten, which fills it
MAX_WRITES = 10_000_000  # per day

STREAMS = frozenset({"exec", "attach", "portforward"})
REVIEW_GROUPS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})  # they are posted, and store nothing
READS = frozenset({"get", "list", "watch", "head"})


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`limits:` of a Client. None: the gateway's own limit, or none.

    `streams`: requests that are open at once, watches and sessions included. `writes_per_day`: of a day in UTC.
    """

    requests_per_second: float | None = None
    burst: int | None = None
    streams: int | None = None
    pending_approvals: int | None = None
    writes_per_day: int | None = None

    @property
    def bucket_size(self) -> float:
        """Requests that may come at once after a pause."""
        rate = self.requests_per_second or 0.0
        return float(self.burst) if self.burst is not None else max(1.0, math.ceil(rate * BURST_SECONDS))

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """(field, message, remedy) of each value that cannot be."""
        rate = self.requests_per_second
        if rate is not None and not 0 < rate <= MAX_PER_SECOND:
            yield "requestsPerSecond", f"`{rate:g}` is no rate", f"Give more than 0, at most {MAX_PER_SECOND:g}"
        if self.burst is not None and rate is None:
            yield "burst", "`burst` without `requestsPerSecond` limits nothing", "Give both"
        for name, value, least, most in (
            ("burst", self.burst, 1, 100_000),
            ("streams", self.streams, 1, 100_000),
            ("pendingApprovals", self.pending_approvals, 0, 1_000),
            ("writesPerDay", self.writes_per_day, 0, MAX_WRITES),
        ):
            if value is not None and not least <= value <= most:
                yield name, f"`{value}` is no limit", f"Give {least} to {most}"


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Rates:
    """A token bucket for each client. Memory is bounded."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, client: str, limits: Limits, now: float) -> None:
        """One request. `now` never goes back (monotonic). Raises Refused: (429, with Retry-After) not now."""
        rate = limits.requests_per_second
        if rate is None:
            return
        size = limits.bucket_size
        bucket = self._buckets.setdefault(client, _Bucket(size, now))
        self._buckets.move_to_end(client)
        while len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        bucket.tokens = min(size, bucket.tokens + max(0.0, now - bucket.at) * rate)
        bucket.at = now
        if bucket.tokens < 1:
            wait = max(1, math.ceil((1 - bucket.tokens) / rate))
            text = f"client `{client}` sends more than {rate:g} requests per second. Wait {wait} s"
            raise Refused(429, "TooManyRequests", text, rule="identity/rate", retry_after=wait)
        bucket.tokens -= 1


def is_write(request: CanonicalRequest) -> bool:
    """Whether a request counts against the daily budget: it may change something, or opens a session in a pod."""
    attributes = request.attributes
    if request.proxied or not attributes.is_resource_request:
        return request.method not in {"GET", "HEAD", "OPTIONS"} or bool(request.upgrade)
    if attributes.subresource in STREAMS:
        return True
    return attributes.verb not in READS and not request.dry_run and attributes.api_group not in REVIEW_GROUPS


def day_of(now: float) -> str:
    """The day in UTC that a write is counted on: `2026-11-29`."""
    return datetime.fromtimestamp(now, UTC).date().isoformat()


def over_budget(client: str, limit: int, now: float) -> Refused:
    """The budget is used up. Without Retry-After: a client that repeats would have to wait for hours."""
    renewed = (datetime.fromtimestamp(now, UTC) + timedelta(days=1)).date().isoformat()
    text = (
        f"client `{client}` has used its {limit} writes of today; reads go on. The budget is renewed at"
        f" {renewed}T00:00:00Z. Do not repeat it before, or ask the operator of the gateway for more"
    )
    return Refused(429, "TooManyRequests", text, rule="identity/writes")
