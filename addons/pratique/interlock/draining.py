"""I/O (asyncio): the end of a gateway, in order, so that nobody loses more than they must. mitmproxy calls it by `done`.

1. It is not ready any more. What is held is answered "repeat it" (429): its approval is kept, another gateway asks on. New
   requests are served, but none that lasts; HTTP/1.1 connections close with their answer, so that clients go elsewhere.
2. Watches and logs end, as the API server ends them: clients open them again, elsewhere.
3. Requests that are under way, execs and port-forwards have `seconds` to end by themselves.
4. What is left gets a Status, nothing is served any more, and what was said is sent.

A second signal (`hurry`) goes to the last step at once. Belongs here: this order. Not here: closing stores and recordings,
which comes after it (`addon`). First in the chain: nothing else may be put away before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from pratique.exchange import open_exchanges
from pratique.interlock.connections import end_watches, handlers, has_unsent
from pratique.interlock.tunnel import EndStreams

logger = logging.getLogger("pratique")

STEP_SECONDS = 0.02
ANSWER_SECONDS = 0.5
"""At least so long for what was held to be answered, and for last words to be sent, also in a hurry."""
STOPPING = "the gateway is stopping"


class Drained(Protocol):
    """The interlock."""

    @property
    def closed(self) -> str:
        """Why nothing is served; "" while it is."""

    def begin_draining(self) -> None:
        """Serve on, but nothing that lasts."""

    def close(self, reason: str) -> None:
        """Serve nothing."""

    @property
    def open_streams(self) -> int:
        """Streams and tunnels that have not ended."""


class Draining:
    """`release()` lets held requests be answered, and says whether there were any."""

    name = "draining"

    def __init__(self, interlock: Drained, release: Callable[[], bool], seconds: Callable[[], float]) -> None:
        self._interlock = interlock
        self._release = release
        self._seconds = seconds
        self._hurry = False

    def hurry(self) -> None:
        """Wait for nobody. From any thread."""
        self._hurry = True

    async def done(self) -> None:
        left = 0.0 if self._interlock.closed else self._seconds()  # who is not served has nothing to finish
        logger.warning("%s: new streams are refused, %d are open", STOPPING, self._interlock.open_streams)
        self._interlock.begin_draining()
        held = self._release()
        await end_watches()
        left -= await self._wait(self._is_busy, left, ANSWER_SECONDS if held else 0.0)
        self._interlock.close(STOPPING)
        end = EndStreams()
        for handler in handlers():
            await handler.server_event(end)
        await self._wait(lambda: self._interlock.open_streams > 0 or has_unsent(end), max(left, ANSWER_SECONDS), 0.0)

    def _is_busy(self) -> bool:
        if self._interlock.open_streams > 0:
            return True
        return any(flow.live and state.client is not None for flow, state in open_exchanges())

    async def _wait(self, busy: Callable[[], bool], longest: float, shortest: float) -> float:
        """The seconds that it took. In a hurry ANSWER_SECONDS at most."""
        waited = 0.0
        while waited < shortest or (busy() and waited < (min(longest, ANSWER_SECONDS) if self._hurry else longest)):
            await asyncio.sleep(STEP_SECONDS)
            waited += STEP_SECONDS
        return waited
