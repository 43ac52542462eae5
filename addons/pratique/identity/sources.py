"""I/O: the sources of the upstream credential, by behalf: one for all, or one for each role that is assumed.

Belongs here: which source a behalf gets, beginning and ending them. Not here: what a source does (`credentials`,
`eks_source`), which role a behalf gets (`roles`).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pratique.behalf import GATEWAY, Behalf
from pratique.errors import CredentialError
from pratique.identity.credentials import Clock, CredentialSource, Description, Sleep
from pratique.identity.gate import Credential

# A source that nobody asked for so long is ended: its role is assumed again when the behalf comes back (0.1 s). Longer
# than a token's life, so that a client that calls now and then always finds one at hand.
IDLE_SECONDS = 15 * 60.0
# Each is a task and some kilobytes; the one that was asked longest ago goes. Far above the clients of one cluster.
SOURCES_KEPT = 512
SWEEP_SECONDS = 60.0  # how often idle sources are looked for


class Sources(Protocol):
    """Has the credential for one cluster, for each behalf. See `credentials.CredentialSource`."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def credential(self, behalf: Behalf, now: float) -> Credential:
        """Raises CredentialError: none can be had for this behalf."""

    def rejected(self, behalf: Behalf) -> None:
        """The cluster answered 401 to the credential of this behalf."""

    def describe(self) -> tuple[Description, ...]:
        """The gateway's own first. Never a secret."""


def summary(described: Sequence[Description]) -> Description:
    """Of all sources: the earliest end of a credential, and the first failure."""
    ends = [each.expires for each in described if each.expires is not None]
    failures = [each.failure for each in described if each.failure]
    identity = described[0].identity if described else "nobody yet"
    return Description(identity, min(ends, default=None), failures[0] if failures else "")


class OneSource:
    """The same credential for every behalf: a kubeconfig, a token file. A client that names a role gets none."""

    def __init__(self, source: CredentialSource) -> None:
        self._source = source

    async def start(self) -> None:
        await self._source.start()

    async def stop(self) -> None:
        await self._source.stop()

    async def credential(self, behalf: Behalf, now: float) -> Credential:
        if behalf.role_arn:
            raise CredentialError(
                f"client `{behalf.client}` names the role `{behalf.role_arn}`, but the gateway assumes no roles",
                "Remove `roleARN` from the Client, or let the Cluster's credential come from `eks`",
            )
        return await self._source.credential(now)

    def rejected(self, behalf: Behalf) -> None:  # noqa: ARG002 - the protocol's
        self._source.rejected()

    def describe(self) -> tuple[Description, ...]:
        return (self._source.describe(),)


@dataclass(slots=True)
class _Kept:
    source: CredentialSource
    starting: asyncio.Task[None]
    asked: float
    waiting: int = 0


class RoleSources[Role: Hashable]:
    """A source for each role that some behalf needs, made with the first request and ended when it is idle.

    The gateway's own is begun at start and stays: it tells early that no role can be assumed, and serves own calls.
    """

    def __init__(
        self,
        role_of: Callable[[Behalf], Role],
        make: Callable[[Role], CredentialSource],
        *,
        clock: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`make` only makes the source; it does no I/O."""
        self._role_of = role_of
        self._make = make
        self._clock = clock
        self._sleep = sleep
        self._own = role_of(GATEWAY)
        self._kept: OrderedDict[Role, _Kept] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        self._stopped = False
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep())
        await asyncio.shield(self._of(GATEWAY, self._clock()).starting)

    async def stop(self) -> None:
        self._stopped = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for role in list(self._kept):
            self._end(role)
        while self._ending:
            await asyncio.gather(*self._ending, return_exceptions=True)

    async def credential(self, behalf: Behalf, now: float) -> Credential:
        if self._stopped:
            raise CredentialError("the gateway is stopping", "Repeat the request")
        kept = self._of(behalf, now)
        while len(self._kept) > SOURCES_KEPT and self._end_oldest():
            pass
        kept.waiting += 1
        try:
            return await kept.source.credential(now)
        finally:
            kept.waiting -= 1

    def rejected(self, behalf: Behalf) -> None:
        kept = self._kept.get(self._role_of(behalf))
        if kept is not None:
            kept.source.rejected()

    def describe(self) -> tuple[Description, ...]:
        own = self._kept.get(self._own)
        others = [kept for role, kept in self._kept.items() if role != self._own]
        return tuple(kept.source.describe() for kept in ([own] if own is not None else []) + others)

    def _of(self, behalf: Behalf, now: float) -> _Kept:
        role = self._role_of(behalf)
        kept = self._kept.get(role)
        if kept is None:
            source = self._make(role)
            kept = self._kept[role] = _Kept(source, asyncio.create_task(source.start()), now)
        kept.asked = now
        self._kept.move_to_end(role)
        return kept

    async def _sweep(self) -> None:
        while True:
            await self._sleep(SWEEP_SECONDS)
            while self._end_oldest(self._clock() - IDLE_SECONDS):
                pass

    def _end_oldest(self, before: float = float("inf")) -> bool:
        """Ends the one that was asked longest ago, if that was before `before` and no request waits for it."""
        for role, kept in self._kept.items():
            if role == self._own or kept.waiting:
                continue
            if kept.asked <= before:
                self._end(role)
                return True
            return False
        return False

    def _end(self, role: Role) -> None:
        kept = self._kept.pop(role)
        task = asyncio.create_task(_ended(kept))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _ended(kept: _Kept) -> None:
    """Only what has begun can be ended: `start` may be waiting for STS."""
    kept.starting.cancel()
    await asyncio.gather(kept.starting, return_exceptions=True)
    await kept.source.stop()
