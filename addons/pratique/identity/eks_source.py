"""I/O: the credential for an EKS cluster: boto3's own credentials (Role X) → sts:AssumeRole (Role Y) → EKS token.

Belongs here: calling STS, when to assume the role anew and when to mint. Not here: the token (`eks_token`), the
request and the errors (`assume_role`), scheduling (`credentials.Refresher`). boto3 is imported when first used: 70 ms
and 30 MB.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from pratique.errors import CredentialError
from pratique.identity.assume_role import (
    OF_CREDENTIALS,
    assume_role_error,
    assume_role_request,
    credentials_from,
    role_session_name,
)
from pratique.identity.clusters import EksSource
from pratique.identity.credentials import Clock, Description, Fetched, Refresher, Run, Sleep
from pratique.identity.eks_token import AwsCredentials, mint_token, sts_endpoint, token_expiry
from pratique.identity.gate import Credential

logger = logging.getLogger("pratique")

# Every new token costs the API server a call of STS and misses its authentication cache; the token is good for 14 min.
MINT_EVERY_SECONDS = 11 * 60
# Role Y's credentials are renewed with this part of their life left (20 of 60 min), so that a long outage goes
# unnoticed.
RENEW_WITH_LEFT = 1 / 3
# While they cannot be renewed but are still good, renewal is tried this often.
RENEW_RETRY_SECONDS = 30.0
STS_CONNECT_SECONDS = 3
STS_READ_SECONDS = 5
STS_ATTEMPTS = 2


class EksCredentialSource:
    """Tokens of Role Y for one cluster. `session_name`: what CloudTrail and the audit log show; made valid for STS."""

    def __init__(
        self,
        eks: EksSource,
        session_name: str,
        *,
        client: Callable[[EksSource], Any] | None = None,
        clock: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        run: Run[Credential] = asyncio.to_thread,
    ) -> None:
        """`client` gives the boto3 STS client of Role X; it is called in a thread, before each AssumeRole."""
        self._eks = eks
        self._session_name = role_session_name(session_name)
        self._client = client or StsClients()
        self._endpoint = sts_endpoint(eks.region)
        self._role: AwsCredentials | None = None
        self._assumed_at = 0.0
        self._renewal_failure: CredentialError | None = None
        identity = f"`{eks.role_arn}` (session `{self._session_name}`) on EKS cluster `{eks.cluster_name}`"
        self._refresher = Refresher(self._fetch, identity, clock=clock, sleep=sleep, chance=chance, run=run)

    async def start(self) -> None:
        await self._refresher.start()

    async def stop(self) -> None:
        await self._refresher.stop()

    async def credential(self, now: float) -> Credential:
        return await self._refresher.credential(now)

    def rejected(self) -> None:
        if self._refresher.rejected():
            self._role = None  # its session may have been revoked

    def describe(self) -> Description:
        described = self._refresher.describe()
        if described.failure or self._renewal_failure is None:
            return described
        return Description(described.identity, described.expires, str(self._renewal_failure))

    def _fetch(self, now: float) -> Fetched[Credential]:
        """Blocks. The Refresher runs one at a time, so nothing here needs a lock."""
        role = self._role_credentials(now)
        token = mint_token(role, self._eks.cluster_id or self._eks.cluster_name, self._endpoint, now)
        next_mint = now + MINT_EVERY_SECONDS
        if self._renewal_failure is not None:
            next_mint = now + RENEW_RETRY_SECONDS
        elif role.expires is not None:
            next_mint = min(next_mint, role.expires - self._renewal_margin())
        return Fetched(Credential(token), token_expiry(role, now), next_mint)

    def _role_credentials(self, now: float) -> AwsCredentials:
        held = self._role
        if held is not None and held.expires is not None and held.expires - now > self._renewal_margin():
            return held
        try:
            self._role = credentials_from(self._assume_role())
        except CredentialError as error:
            if held is None or token_expiry(held, now) <= now:
                raise
            if self._renewal_failure is None:
                logger.warning("%s (what is at hand is good for a while)", error)
            self._renewal_failure = error
            return held
        self._assumed_at, self._renewal_failure = now, None
        return self._role

    def _renewal_margin(self) -> float:
        """Seconds before expiry at which Role Y's credentials are renewed."""
        expires = self._role.expires if self._role is not None else None
        return 0.0 if expires is None else max(0.0, (expires - self._assumed_at) * RENEW_WITH_LEFT)

    def _assume_role(self) -> Any:
        try:
            client = self._client(self._eks)
            answer = client.assume_role(**assume_role_request(self._eks, self._session_name))
            self._endpoint = sts_endpoint(self._eks.region, self._eks.sts_endpoint or client.meta.endpoint_url)
        except CredentialError:
            raise
        except Exception as error:  # noqa: BLE001 - botocore raises classes of its own making, none escapes as such
            response = getattr(error, "response", None) or {}
            code = str((response.get("Error") or {}).get("Code", ""))
            operation = str(getattr(error, "operation_name", ""))
            if not OF_CREDENTIALS.isdisjoint({code, type(error).__name__}):
                self._forget()
            raise assume_role_error(type(error).__name__, code, operation, str(error), self._eks.role_arn) from None
        return answer

    def _forget(self) -> None:
        if isinstance(self._client, StsClients):
            self._client.forget()


class StsClients:
    """Role X's STS client, made once and shared by every source: 70 ms and some megabytes each.

    Boto3 keeps the credentials that it found, or that it found none; so `forget` makes the next call look again.
    """

    def __init__(self) -> None:
        self._made: Any = None
        self._making = threading.Lock()

    def __call__(self, eks: EksSource) -> Any:
        """Blocks. Of `eks` only region and endpoint count, which are those of the one Cluster."""
        with self._making:
            if self._made is None:
                self._made = sts_client(eks)
            return self._made

    def forget(self) -> None:
        self._made = None


def sts_client(eks: EksSource) -> Any:
    """boto3's STS client of the gateway's own role (default credential chain). Blocks; raises botocore's errors."""
    import boto3  # noqa: PLC0415 - 70 ms and 30 MB that only EKS clusters need
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=STS_CONNECT_SECONDS,
        read_timeout=STS_READ_SECONDS,
        retries={"total_max_attempts": STS_ATTEMPTS, "mode": "standard"},
    )
    session = boto3.session.Session(region_name=eks.region)
    return session.client("sts", endpoint_url=eks.sts_endpoint, config=config)
