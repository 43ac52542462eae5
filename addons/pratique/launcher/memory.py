"""I/O: how the service form's process holds memory: glibc's allocator. And why Python's collector is left alone.

Belongs here: what is set for the whole process. Not here: what is kept in it. Only the service form does this; in
mitmproxy's own programs the process is not ours.

Without it the process grows by the minute though no more of it is in use: 47 of 84 MiB of glibc's heap were holes after 30,000
requests of a soak, many of about the 256 KiB that asyncio reads into, and each thread has holes of its own. Fixed thresholds
of mallopt(3) would do, too, but took a fifth more CPU for bodies of 1 MB. What is done here costs none.

Python's collector stays as it is (`scripts/bench process`, two noisy cores, where the same setting twice differed by up to
14 %): never to collect took 0.93 of a small request's CPU over HTTP/1.1 and 1.01 over HTTP/2, but 1.4 of a large one's, and
2 GB. Frozen after the start it saved nothing that could be told from noise (0.94, 1.06), and the process was 1.3 times as
large at the end; with ten times the thresholds as well 1.4 times.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable, Mapping
from typing import Any

M_ARENA_MAX = -8
"""Parameter of mallopt(3), as in glibc's malloc.h."""
ARENAS = 2
"""Pools of memory that threads share; glibc would make up to eight for each core."""
VARIABLES = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")
"""By these an operator says otherwise: then nothing is done here."""
TRIM_SECONDS = 10.0
"""How often free pages are given back: a few milliseconds in a thread, the less the more often."""


def settle_allocator(environment: Mapping[str, str] = os.environ, library: Any = None) -> None:
    """Call it before there are threads. Nothing happens where the C library has no mallopt(3) (musl, macOS)."""
    mallopt = _function("mallopt", environment, library)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)


async def trim(
    environment: Mapping[str, str] = os.environ, library: Any = None, *, seconds: float = TRIM_SECONDS
) -> None:
    """Until it is cancelled; returns where the C library has no malloc_trim(3)."""
    malloc_trim = _function("malloc_trim", environment, library)
    while malloc_trim is not None:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(malloc_trim, 0)


def _function(name: str, environment: Mapping[str, str], library: Any) -> Callable[..., int] | None:
    if any(variable in environment for variable in VARIABLES):
        return None
    return getattr(library or ctypes.CDLL(None), name, None)
