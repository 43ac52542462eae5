"""I/O (tornado): /healthz, /readyz and /metrics, for whoever can reach the listener: the kubelet and Prometheus have no key.

They tell nothing of requests: names of clients and rules, counts, and fixed texts.
"""

from __future__ import annotations

from pratique.approvals.admin.api import Handler
from pratique.approvals.admin.probed import HealthView, ready_view

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Health(Handler):
    """Alive: the event loop answers. A store or a cluster that is down is mended by no restart: that is /readyz."""

    async def get(self) -> None:
        self.answer(HealthView("ok"))


class Ready(Handler):
    async def get(self) -> None:
        shown = ready_view(await self.context.probes.ready())
        self.set_status(200 if shown.ready else 503)
        self.answer(shown)


class Metrics(Handler):
    async def get(self) -> None:
        text = await self.context.probes.metrics()
        self.set_header("Content-Type", METRICS_TYPE)
        self.finish(text)

    def compute_etag(self) -> None:
        """Nobody asks again for what has not changed."""


ROUTES: tuple[tuple[str, type[Handler]], ...] = (
    (r"/healthz", Health),
    (r"/readyz", Ready),
    (r"/metrics", Metrics),
)
