"""I/O (asyncio): what is watched: the checks of /readyz and the gauges of /metrics, from the parts of a running gateway.

Belongs here: which checks there are, which of them a gateway must pass to be sent requests, and what everybody may read
of a failure. Not here: asking them (`probes`), the parts themselves (the composition root hands over what reads them).

Not required are what another gateway would not do better, and what would take the reviewers' page away with it: edited
documents with an error (the old ones are in force), and the kill switch (clients are told so, and somebody must lift it).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pratique.observing.metrics import Metrics, Readings
from pratique.observing.probes import Check, Probes, in_thread
from pratique.observing.readiness import Readiness


@dataclass(frozen=True, slots=True)
class Parts:
    """What reads the parts. Those that are named for what they say return a text, "" if all is well; others raise."""

    closed: Callable[[], str]
    documents_problem: Callable[[], str]
    revocations_problem: Callable[[], str]
    credential: Callable[[], Awaitable[object]]
    recorder_healthy: Callable[[], object]
    approvals_version: Callable[[], object]
    is_stopped: Callable[[], bool]
    readings: Callable[[Readiness], Readings]


def watch(parts: Parts, version: str = "") -> tuple[Probes, Metrics]:
    """The probes, and the metrics that requests are counted in."""
    metrics = Metrics(lambda: parts.readings(probes.last), version)
    probes = Probes(_checks(parts), metrics)
    return probes, metrics


def _checks(parts: Parts) -> list[Check]:
    return [
        Check("serving", "it is starting, stopping, or was closed", _said(parts.closed)),
        Check("credential", "no credential for the cluster can be had", lambda: _credential(parts)),
        Check("recorder", "nothing can be recorded", lambda: in_thread(parts.recorder_healthy)),
        Check("approvals", "approvals cannot be read", lambda: in_thread(parts.approvals_version)),
        Check("revocations", "it cannot be read who was revoked", _said(parts.revocations_problem)),
        Check("documents", "edited documents have errors; the old ones are in force", _said(parts.documents_problem), required=False),
        Check("kill-switch", "everybody is cut off", lambda: _stopped(parts), required=False),
    ]  # fmt: skip


def _said(ask: Callable[[], str]) -> Callable[[], Awaitable[str]]:
    async def said() -> str:
        return ask()

    return said


async def _credential(parts: Parts) -> str:
    await parts.credential()
    return ""


async def _stopped(parts: Parts) -> str:
    return "the kill switch is on" if parts.is_stopped() else ""
