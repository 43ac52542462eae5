"""I/O (asyncio): the checks behind /readyz, asked when somebody asks, each with a deadline; and the metrics.

Belongs here: asking, and logging when the answer changes. Not here: what the checks are (the composition root).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pratique.errors import PratiqueError
from pratique.observing.metrics import Metrics
from pratique.observing.readiness import Outcome, Readiness

logger = logging.getLogger("pratique")

CHECK_SECONDS = 0.8
"""A check that takes longer has failed: the kubelet gives a probe one second by default."""


@dataclass(frozen=True, slots=True)
class Check:
    """`ask()` raises, or returns what is wrong; "" is fine. `problem` is what everybody may read then."""

    name: str
    problem: str
    ask: Callable[[], Awaitable[str]]
    required: bool = True


class Probes:
    """`metrics` is asked for its text by the same listener."""

    def __init__(self, checks: Sequence[Check], metrics: Metrics) -> None:
        self._checks = tuple(checks)
        self._metrics = metrics
        self._said: dict[str, str] = {}
        self.last = Readiness(())

    async def ready(self) -> Readiness:
        """Asks every check, all at once."""
        found = await asyncio.gather(*map(self._outcome, self._checks))
        self.last = Readiness(tuple(found))
        return self.last

    async def metrics(self) -> bytes:
        """With the readiness as it is now."""
        await self.ready()
        return self._metrics.text()

    async def _outcome(self, check: Check) -> Outcome:
        try:
            detail = await asyncio.wait_for(check.ask(), CHECK_SECONDS)
        except PratiqueError as error:
            detail = str(error)
        except TimeoutError:
            detail = f"no answer within {CHECK_SECONDS} s"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not fine; its text may hold a value
            detail = type(error).__name__
        self._log(check, detail)
        return Outcome(check.name, check.problem if detail else "", check.required)

    def _log(self, check: Check, detail: str) -> None:
        """Once, until it changes."""
        if detail == self._said.get(check.name, ""):
            return
        self._said[check.name] = detail
        what = "not ready" if check.required else "look at this"
        logger.warning("%s: %s: %s", what if detail else "ready again", check.name, detail or "fine")


async def in_thread(work: Callable[[], object]) -> str:
    """For a check that blocks and raises."""
    await asyncio.to_thread(work)
    return ""
