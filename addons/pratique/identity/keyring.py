"""I/O (asyncio): the keys of issuers, kept fresh: key sets of token issuers, CA certificates of certificate issuers.

Belongs here: where they come from, how often, how long they count while their source is away. Not here: what is in them
(`jwks`, `certificates`), refreshing itself (`credentials.Refresher`). Clock, sleep and chance are injected.

Fetching is never on the path of a request while keys are at hand: it is done ahead, in a thread. A token that names an
unknown key is the exception: the issuer may just have begun to use it. That is asked at most every AGAIN_SECONDS.
"""

from __future__ import annotations

import asyncio
import base64
import random
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Never

from pratique.errors import CredentialError
from pratique.identity.certificates import Authorities, AuthorityError, read_authorities
from pratique.identity.clusters import CertificateAuthority
from pratique.identity.credentials import Clock, Fetched, Refresher, Sleep
from pratique.identity.issuers import CertificateIssuer, FileKeys, Issuers, TokenIssuer, UrlKeys
from pratique.identity.jwks import MAX_SET_BYTES, Key, KeySetError, read_keys
from pratique.identity.proof import NotProvedError

FETCH_SECONDS = 5.0
REFRESH_SECONDS = (
    300.0  # an issuer that rotates publishes a key for hours before and after; this is how fast one is revoked
)
FILE_REFRESH_SECONDS = 10.0
STALE_SECONDS = 4 * 3600.0  # an issuer's outage is hours; a key that it has withdrawn must not live for a day
AGAIN_SECONDS = 10.0  # tokens with invented key ids must not become a flood of calls to the issuer

type KeySet = Mapping[str, Key]
type Issuer = TokenIssuer | CertificateIssuer
type Kept = KeySet | Authorities


class KeyRing:
    """The key sets of all token issuers, the CA certificates of all certificate issuers. `cluster_keys` asks the gateway's own cluster for its set, or raises."""

    def __init__(
        self,
        cluster_keys: Callable[[], Awaitable[bytes]],
        *,
        clock: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._cluster_keys = cluster_keys
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._tokens: dict[TokenIssuer, Refresher[KeySet]] = {}
        self._authorities: dict[CertificateIssuer, Refresher[Authorities]] = {}
        self._starting: set[asyncio.Task[None]] = set()

    def follow(self, issuers: Issuers) -> None:
        """Begins to keep the keys of these issuers, and stops keeping those of others. Waits for nothing."""
        self._follow(self._tokens, set(issuers.tokens.values()), self._key_set)
        self._follow(self._authorities, set(issuers.certificates.values()), self._authority)

    def _follow[I, T](self, kept: dict[I, Refresher[T]], wanted: set[I], made: Callable[[I], Refresher[T]]) -> None:
        for issuer in set(kept) - wanted:
            self._later(kept.pop(issuer).stop())
        for issuer in wanted - set(kept):
            self._of(kept, issuer, made)

    def _of[I, T](self, kept: dict[I, Refresher[T]], issuer: I, made: Callable[[I], Refresher[T]]) -> Refresher[T]:
        if issuer not in kept:
            kept[issuer] = made(issuer)
            self._later(kept[issuer].start())
        return kept[issuer]

    async def stop(self) -> None:
        for refresher in (*self._tokens.values(), *self._authorities.values()):
            await refresher.stop()
        self._tokens.clear()
        self._authorities.clear()

    async def key(self, issuer: TokenIssuer, key_id: str, now: float) -> Key:
        """The issuer's key of this id.

        Raises:
            CredentialError: (503) there are no keys, or it cannot be asked whether this one is new.
            NotProvedError: the issuer has no such key.
        """
        refresher = self._of(self._tokens, issuer, self._key_set)
        found = (await refresher.credential(now)).get(key_id)
        if found is None:
            found = (await refresher.renewed(now, AGAIN_SECONDS)).get(key_id)
        if found is None:
            raise NotProvedError(f"Issuer `{issuer.name}` has no key of the token's `kid`")
        return found

    async def authorities(self, issuer: CertificateIssuer, now: float) -> Authorities:
        """The issuer's CA certificates. Raises CredentialError: (503) there are none."""
        return await self._of(self._authorities, issuer, self._authority).credential(now)

    def knows(self, issuer: Issuer, key_id: str, now: float) -> bool:
        """Whether a key, or a CA certificate, is still one of the issuer's, by what is at hand. For open streams."""
        refresher: Refresher[Any] | None
        refresher = self._tokens.get(issuer) if isinstance(issuer, TokenIssuer) else self._authorities.get(issuer)
        held: Kept | None = refresher.at_hand(now) if refresher is not None else None
        return held is not None and key_id in held

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    def _key_set(self, issuer: TokenIssuer) -> Refresher[KeySet]:
        period = FILE_REFRESH_SECONDS if isinstance(issuer.keys, FileKeys) else REFRESH_SECONDS
        return self._refresher(issuer, self._reader(issuer), read_keys, period)

    def _authority(self, issuer: CertificateIssuer) -> Refresher[Authorities]:
        source = issuer.authority
        if isinstance(source, FileKeys):
            return self._refresher(issuer, lambda: read_limited(source.path), read_authorities, FILE_REFRESH_SECONDS)
        return self._refresher(issuer, lambda: base64.b64decode(source.data), read_authorities, REFRESH_SECONDS)

    def _refresher[T](
        self, issuer: Issuer, read: Callable[[], bytes], parse: Callable[[bytes], T], period: float
    ) -> Refresher[T]:
        what = f"the keys of Issuer `{issuer.name}`"

        def fetch(now: float) -> Fetched[T]:
            try:
                keys = parse(read())
            except Exception as error:  # noqa: BLE001 - of another thread's call, a parser, a socket: all are the same
                raise CredentialError(f"{what} cannot be had: {_said(error)}") from None
            return Fetched(keys, now + STALE_SECONDS, now + period)

        return Refresher(fetch, what, clock=self._clock, sleep=self._sleep, chance=self._chance)

    def _reader(self, issuer: TokenIssuer) -> Callable[[], bytes]:
        """What fetches the set; it blocks, in a thread."""
        keys = issuer.keys
        if isinstance(keys, FileKeys):
            return lambda: read_limited(keys.path)
        if isinstance(keys, UrlKeys):
            return lambda: _get(keys)
        loop = asyncio.get_running_loop()
        return lambda: self._from_cluster(loop)

    def _from_cluster(self, loop: asyncio.AbstractEventLoop) -> bytes:
        async def ask() -> bytes:
            return await self._cluster_keys()

        return asyncio.run_coroutine_threadsafe(ask(), loop).result(2 * FETCH_SECONDS)


def read_limited(path: str) -> bytes:
    """At most one byte more than a key set may have. OSError."""
    with Path(path).expanduser().open("rb") as file:
        return file.read(MAX_SET_BYTES + 1)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """INVARIANT: keys come from the host that the document names."""

    def redirect_request(self, *_arguments: Any, **_named: Any) -> Never:
        raise OSError("it redirects elsewhere")


def _get(keys: UrlKeys) -> bytes:
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=_context(keys.authority)), _NoRedirect, urllib.request.ProxyHandler()
    )
    request = urllib.request.Request(keys.url, headers={"Accept": "application/jwk-set+json, application/json"})  # noqa: S310 - https, see `issuers`
    with opener.open(request, timeout=FETCH_SECONDS) as response:
        content: bytes = response.read(MAX_SET_BYTES + 1)
    return content


def _context(authority: CertificateAuthority | None) -> ssl.SSLContext:
    if authority is None:
        return ssl.create_default_context()
    if authority.path is not None:
        context = ssl.create_default_context(cafile=str(Path(authority.path).expanduser()))
    else:
        context = ssl.create_default_context(cadata=base64.b64decode(authority.data or "").decode("ascii"))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as for the cluster's own server, see `own_calls`
    return context


def _said(error: Exception) -> str:
    """What went wrong, without what the other side may have written."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the answer is {error.code}"
    if isinstance(error, urllib.error.URLError):
        return _said(error.reason) if isinstance(error.reason, Exception) else "no answer"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good ({error.verify_message})"
    if isinstance(error, AuthorityError | KeySetError | CredentialError):
        return str(error)
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    return type(error).__name__
