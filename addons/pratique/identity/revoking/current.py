"""I/O (asyncio): the revocations that are in force, in memory, no older than a quarter of a second.

Belongs here: polling the store, the KILL file, what counts as too old. Not here: what is done with them (`addon`).
Clocks and sleep are injected.

The file `KILL` in the state folder is the kill switch for whoever has nothing but a shell: it works without the store.
Its first line, if there is one, is the reason; removing it lifts it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pratique.errors import Refused, StoreError
from pratique.revocation import MAX_REASON_CHARACTERS, Kind, Revocation, RevocationStore, Revoked

logger = logging.getLogger("pratique")

POLL_SECONDS = 0.25
"""With the half second until open streams are rechecked, what is revoked ends within a second."""
STALE_SECONDS = 5.0
"""Not read for so long, nothing new is served: somebody may have been revoked. Longer than a busy moment of the disk."""
KILL_FILE = "KILL"
KILL_ID = "rev-file"


class Current:
    """`revoked` is read by every request; `watch` keeps it current. `changed(begun, ended)` is called from `watch`."""

    def __init__(
        self,
        store: RevocationStore,
        kill_file: Path,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Reads them. Raises StoreError or OSError: then the gateway must not start."""
        self._store = store
        self._kill_file = kill_file
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._version: Hashable = None
        self._kept: tuple[Revocation, ...] = ()
        self._failure = ""
        self.revoked = self._read()
        self._read_at = monotonic()

    @property
    def problem(self) -> str:
        """Why they cannot be relied on; "" if they can."""
        age = self._monotonic() - self._read_at
        return f"revocations were not read for {age:.0f} s" if age > STALE_SECONDS else ""

    def check(self, client: str, sessions: Collection[str]) -> Revocation | None:
        """The revocation that hits, or None. Raises Refused (503): they are not known well enough to serve anybody new."""
        if self.problem:
            text = "the gateway cannot read who was revoked, so it serves nobody. Repeat the request later"
            raise Refused(503, "ServiceUnavailable", text, rule="identity/revocations", retry_after=1)
        return self.hits(client, sessions)

    def hits(self, client: str, sessions: Collection[str]) -> Revocation | None:
        """As `check`, as far as they are known: for what is open already."""
        return self.revoked.hits(client, sessions, self._clock())

    async def watch(self, changed: Callable[[list[Revocation], list[Revocation]], None]) -> None:
        """Never ends. Reads in a thread of its own: bodies that are masked in the shared ones must not delay it."""
        with ThreadPoolExecutor(1, "revocations") as thread:
            await self._watch(thread, changed)

    async def _watch(
        self, thread: ThreadPoolExecutor, changed: Callable[[list[Revocation], list[Revocation]], None]
    ) -> None:
        while True:
            await self._sleep(POLL_SECONDS)
            before = self.revoked
            try:
                self.revoked = await asyncio.get_running_loop().run_in_executor(thread, self._read)
            except (StoreError, OSError) as error:
                self._note(f"revocations cannot be read: {error}")
                continue
            self._read_at = self._monotonic()
            self._note("")
            if before.all != self.revoked.all:
                begun = [each for each in self.revoked.all if each not in before.all]
                changed(begun, [each for each in before.all if each not in self.revoked.all])

    def _read(self) -> Revoked:
        # The version is read before what it is about: a change in between is seen again, not missed.
        version = self._store.version()
        if version != self._version or self._version is None:
            self._kept = self._store.in_force(self._clock())
            self._version = version
        now = self._clock()
        return Revoked([*(each for each in self._kept if each.in_force(now)), *self._killed()])

    def _killed(self) -> list[Revocation]:
        try:
            at = self._kill_file.stat().st_mtime
        except FileNotFoundError:
            return []
        reason = ""
        if self._kill_file.is_file():
            with self._kill_file.open("rb") as file:
                text = file.read(4 * MAX_REASON_CHARACTERS).decode("utf-8", "replace")
            reason = text.partition("\n")[0].strip()[:MAX_REASON_CHARACTERS]
        return [Revocation(KILL_ID, Kind.ALL, "", reason, f"the file {KILL_FILE}", at)]

    def _note(self, failure: str) -> None:
        """Logged once, until it is another one."""
        if failure != self._failure:
            logger.error("%s", failure) if failure else logger.warning("revocations are read again")
        self._failure = failure
