"""I/O: sources of the upstream credential, and what keeps one fresh.

Belongs here: the protocol of a source, the sources that need no AWS and no plugin, and `Refresher`, which every
renewable source shares. Not here: EKS (`eks_source`), exec plugins (`exec_source`), writing the credential into a
request (`gate`).

Time is seconds since the epoch. Clock and sleep are injected, so that two hours of a watch take a test no time.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pratique.errors import CredentialError
from pratique.identity.gate import MAX_TOKEN_CHARACTERS, Credential
from pratique.identity.secret import Secret

logger = logging.getLogger("pratique")

type Clock = Callable[[], float]
type Sleep = Callable[[float], Awaitable[None]]
type Run[T] = Callable[[Callable[[float], Fetched[T]], float], Awaitable[Fetched[T]]]

# A request waits so long for a first token; longer, and its client would rather have the 503.
REQUEST_WAIT_SECONDS = 10.0
# After a failure requests get the same answer for so long, without a call: a thousand of them must not become a
# thousand.
FAILURE_STANDS_SECONDS = 1.0
# A credential that the cluster refuses is fetched anew at most this often: a cluster that always refuses must not become a
# flood of calls to STS.
REJECTED_STANDS_SECONDS = 2.0
# Pauses between failing refreshes in the background double from the first to the last.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# The background task looks at the clock this often, so that a suspended machine or a set clock is noticed.
LOOK_SECONDS = 60.0
JITTER = 0.1  # of the time to the refresh: replicas started together do not refresh together
# A projected token is rewritten at 80 % of its life, an hour at least; client-go looks once a minute.
TOKEN_FILE_LOOK_SECONDS = 10.0


class CredentialSource(Protocol):
    """Has the credential for one cluster."""

    async def start(self) -> None:
        """Begins to keep a credential at hand. Does not raise when there is none: requests get the CredentialError."""

    async def stop(self) -> None:
        """Ends what `start` began."""

    async def credential(self, now: float) -> Credential:
        """A credential that is good at `now`. Raises CredentialError: none can be had."""

    def rejected(self) -> None:
        """The cluster answered 401: what is at hand is no good, whatever its expiry says. The next request gets another."""

    def describe(self) -> Description:
        """For the operator: never a secret."""


@dataclass(frozen=True, slots=True)
class Description:
    """State of a source. `identity`: as whom we call, in the source's own terms; `failure`: of the last refresh."""

    identity: str
    expires: float | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Fetched[T]:
    """A credential (or an issuer's keys), until when it is good and when to fetch the next one (None: never)."""

    credential: T
    expires: float | None
    refresh_at: float | None


class Refresher[T]:
    """Keeps one credential, or an issuer's keys, fresh: one fetch at a time, in a thread, ahead of expiry, with jitter and growing pauses.

    While the credential at hand is good, `credential` returns it at once, whatever became of the refresh.
    """

    def __init__(
        self,
        fetch: Callable[[float], Fetched[T]],
        identity: str,
        *,
        clock: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        run: Run[T] = asyncio.to_thread,
    ) -> None:
        """`fetch` blocks and gets the time; it raises CredentialError. `run` calls it in a thread.

        `chance` is uniform over 0 to 1.
        """
        self._fetch: Callable[[float], Awaitable[Fetched[T]]] = functools.partial(run, fetch)
        self._identity = identity
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._held: Fetched[T] | None = None
        self._fetched_at = float("-inf")
        self._failure: CredentialError | None = None
        self._failed_at = 0.0
        self._failures = 0
        self._fetching: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._refresh()
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep_fresh())

    async def stop(self) -> None:
        tasks = [task for task in (self._keeping, self._fetching) if task is not None]
        self._keeping = self._fetching = None
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def credential(self, now: float) -> T:
        held = self._good(now)
        if held is None and not self._failure_stands(now):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._refresh(), REQUEST_WAIT_SECONDS)
            held = self._good(self._clock())
        if held is not None:
            return held.credential
        if self._failure is not None:
            raise CredentialError(str(self._failure))
        raise CredentialError(f"no credential of {self._identity} in time", "Try again")

    def at_hand(self, now: float) -> T | None:
        """What is good at `now`, without fetching."""
        held = self._good(now)
        return None if held is None else held.credential

    async def renewed(self, now: float, stands_seconds: float) -> T:
        """What a fetch brings that began less than `stands_seconds` ago, or begins now. What is at hand stays if it fails.

        Raises CredentialError: that fetch failed.
        """
        if not 0 <= now - max(self._fetched_at, self._failed_at) < stands_seconds:
            try:
                await asyncio.wait_for(self._refresh(), REQUEST_WAIT_SECONDS)
            except TimeoutError:
                raise CredentialError(f"{self._identity}: no answer in time", "Try again") from None
        if self._failure is not None:
            raise CredentialError(str(self._failure))
        return await self.credential(now)

    def rejected(self) -> bool:
        """Drops the credential at hand; False if it is too young for that."""
        if 0 <= self._clock() - self._fetched_at < REJECTED_STANDS_SECONDS:
            return False
        self._held = None
        return True

    def describe(self) -> Description:
        expires = self._held.expires if self._held is not None else None
        return Description(self._identity, expires, "" if self._failure is None else str(self._failure))

    def _good(self, now: float) -> Fetched[T] | None:
        held = self._held
        return held if held is not None and (held.expires is None or now < held.expires) else None

    def _failure_stands(self, now: float) -> bool:
        return self._failure is not None and 0 <= now - self._failed_at < FAILURE_STANDS_SECONDS

    async def _refresh(self) -> None:
        """Joins the fetch under way or begins one. A caller that is cancelled does not end it."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch_once())
        await asyncio.shield(self._fetching)

    async def _fetch_once(self) -> None:
        try:
            self._held = await self._fetch(self._clock())
            self._fetched_at = self._clock()
        except CredentialError as error:
            self._note_failure(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, requests get a refusal and the next try may do
            self._note_failure(CredentialError(f"`{type(error).__name__}` while fetching {self._identity}"))
        else:
            if self._failures:
                logger.warning("had again: %s", self._identity)
            self._failure = None
            self._failures = 0

    def _note_failure(self, error: CredentialError) -> None:
        if self._failure is None or str(self._failure) != str(error):
            # Its text never holds one. No error: mitmproxy ends where one is logged while it starts.
            logger.warning("%s", error)
        self._failure = error
        self._failed_at = self._clock()
        self._failures += 1

    async def _keep_fresh(self) -> None:
        due = self._next_refresh()
        while due is not None:
            await self._sleep(max(0.0, min(LOOK_SECONDS, due - self._clock())))
            if self._clock() >= due:
                await self._refresh()
                due = self._next_refresh()

    def _next_refresh(self) -> float | None:
        now = self._clock()
        if self._failures:
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 16))
            return now + pause * (1 - JITTER * self._chance())
        if self._held is None or self._held.refresh_at is None:
            return None
        return now + max(FIRST_PAUSE_SECONDS, (self._held.refresh_at - now) * (1 - JITTER * self._chance()))


class StaticCredentialSource:
    """A credential that does not change while the gateway runs: a kubeconfig's token or client certificate."""

    def __init__(self, credential: Credential, identity: str) -> None:
        self._credential = credential
        self._identity = identity

    async def start(self) -> None:
        """Nothing to begin."""

    async def stop(self) -> None:
        """Nothing to end."""

    async def credential(self, now: float) -> Credential:  # noqa: ARG002 - the protocol's
        return self._credential

    def rejected(self) -> None:
        """There is no other."""

    def describe(self) -> Description:
        return Description(self._identity)


class TokenFileCredentialSource:
    """A token in a file that may be replaced at any time. It is looked at every `look_seconds`, when a request comes.

    A file that is gone or empty ends the credential: removing it is a way to cut the gateway off.
    """

    def __init__(self, path: Path, look_seconds: float = TOKEN_FILE_LOOK_SECONDS) -> None:
        self._path = path
        self._look_seconds = look_seconds
        self._looked_at: float | None = None
        self._credential: Credential | None = None
        self._failure = ""

    async def start(self) -> None:
        """Nothing to begin: the first request reads the file."""

    async def stop(self) -> None:
        """Nothing to end."""

    async def credential(self, now: float) -> Credential:
        age = None if self._looked_at is None else now - self._looked_at
        if self._credential is None or age is None or not 0 <= age < self._look_seconds:
            self._credential = None
            try:
                self._credential = Credential(await asyncio.to_thread(read_token, self._path))
            except CredentialError as error:
                self._failure = str(error)
                raise
            self._looked_at, self._failure = now, ""
        return self._credential

    def rejected(self) -> None:
        self._credential = None

    def describe(self) -> Description:
        return Description(f"the token in `{self._path}`", failure=self._failure)


def read_token(path: Path) -> Secret:
    """The token in a file, without the white space around it. Raises CredentialError: no such file, nothing in it."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TOKEN_CHARACTERS + 1)
    except OSError as error:
        raise CredentialError(
            f"the token file `{path}` cannot be read: {error.strerror}", "Check that it is mounted"
        ) from None
    text = content.decode("ascii", errors="replace").strip()
    if not text or len(content) > MAX_TOKEN_CHARACTERS or not text.isascii() or not all("!" <= c <= "~" for c in text):
        raise CredentialError(f"the token file `{path}` holds no bearer token", "Check what writes it")
    return Secret(text)
