"""The shapes of /healthz and /readyz, and what the listener needs of the gateway to answer them and /metrics. Pure."""

from __future__ import annotations

from typing import Literal, Protocol

from pratique.approvals.admin.views import View
from pratique.observing.readiness import Readiness


class Probes(Protocol):
    """`pratique.observing.probes.Probes`."""

    async def ready(self) -> Readiness:
        """Asks every check."""

    async def metrics(self) -> bytes:
        """In Prometheus' text format."""


class HealthView(View, frozen=True):
    status: Literal["ok"]


class CheckView(View, frozen=True):
    """`problem` is "" where there is none; without `required` the gateway serves all the same."""

    name: str
    ok: bool
    required: bool
    problem: str


class ReadyView(View, frozen=True):
    ready: bool
    checks: tuple[CheckView, ...]


def ready_view(readiness: Readiness) -> ReadyView:
    checks = [CheckView(each.name, not each.problem, each.required, each.problem) for each in readiness.outcomes]
    return ReadyView(readiness.ready, tuple(checks))
