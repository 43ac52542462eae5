"""What the composition root gives to all rooms."""

from __future__ import annotations

import asyncio
import threading

from pratique.bundle import THREADS, give_threads


def test_what_blocks_does_not_hold_up_what_blocks_too() -> None:
    """As many as there are threads wait for each other: with fewer, none would come back."""
    together = threading.Barrier(THREADS, timeout=60)

    async def go() -> None:
        give_threads(asyncio.get_running_loop())
        await asyncio.gather(*(asyncio.to_thread(together.wait) for _ in range(THREADS)))

    asyncio.run(go())
