"""I/O: the credential of a kubeconfig's exec plugin (`aws eks get-token`, `gke-gcloud-auth-plugin`, …).

Belongs here: running the plugin and reading its ExecCredential. Not here: when (`credentials.Refresher`).

Source: `client.authentication.k8s.io/v1`, client-go `plugin/pkg/client/auth/exec`. Tokens only: a client certificate
belongs to the connection, and a plugin's would change under the connections that are open.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from datetime import datetime

import msgspec

from pratique.errors import CredentialError
from pratique.identity.credentials import Clock, Description, Fetched, Refresher, Sleep
from pratique.identity.gate import Credential
from pratique.identity.kubeconfig import ExecPlugin
from pratique.identity.secret import Secret

PLUGIN_SECONDS = 30  # `aws eks get-token` takes 1 to 3 s; one that hangs must not hang the refresh
MAX_OUTPUT_BYTES = 1 << 20
# A token without an expiration is kept for the life of the process by client-go, which drops it on a 401. We ask anew.
NO_EXPIRATION_SECONDS = 10 * 60
REFRESH_WITH_LEFT = 1 / 4  # of the token's life
CLOCK_SKEW_SECONDS = 10.0


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    token: str | None = None
    expiration_timestamp: datetime | None = None
    client_certificate_data: str | None = None


class _ExecCredential(msgspec.Struct, frozen=True, rename="camel"):
    kind: str
    api_version: str
    status: _Status


class ExecCredentialSource:
    """Tokens of an exec plugin. `cluster_info`: the ExecCredential's `spec.cluster`, for a plugin that asks for it."""

    def __init__(
        self,
        plugin: ExecPlugin,
        cluster_info: dict[str, object] | None = None,
        *,
        clock: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._plugin = plugin
        self._cluster_info = cluster_info
        identity = f"the exec plugin `{plugin.command}`"
        self._refresher = Refresher(self._fetch, identity, clock=clock, sleep=sleep, chance=chance)

    async def start(self) -> None:
        await self._refresher.start()

    async def stop(self) -> None:
        await self._refresher.stop()

    async def credential(self, now: float) -> Credential:
        return await self._refresher.credential(now)

    def rejected(self) -> None:
        self._refresher.rejected()

    def describe(self) -> Description:
        return self._refresher.describe()

    def _fetch(self, now: float) -> Fetched[Credential]:
        token, expires = exec_credential(self._run(), self._plugin)
        if expires is None:
            return Fetched(Credential(token), None, now + NO_EXPIRATION_SECONDS)
        life = expires - now
        if life <= CLOCK_SKEW_SECONDS:
            raise CredentialError(
                f"the token of the exec plugin `{self._plugin.command}` has expired", "Check the clock of this machine"
            )
        return Fetched(Credential(token), expires - CLOCK_SKEW_SECONDS, expires - life * REFRESH_WITH_LEFT)

    def _run(self) -> bytes:
        """The plugin's stdout. Its stderr is not shown: it may hold what it was given."""
        plugin = self._plugin
        spec: dict[str, object] = {"interactive": False}
        if plugin.provide_cluster_info and self._cluster_info is not None:
            spec["cluster"] = self._cluster_info
        info = {"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec}
        env = {**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": json.dumps(info)}
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own kubeconfig names it
                [plugin.command, *plugin.args],
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PLUGIN_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._failed(f"did not end within {PLUGIN_SECONDS} s") from None
        except OSError as error:
            raise self._failed(f"cannot be run: {error.strerror}") from None
        if done.returncode != 0:
            raise self._failed(f"ended with exit code {done.returncode}")
        return done.stdout

    def _failed(self, how: str) -> CredentialError:
        return CredentialError(
            f"the exec plugin `{self._plugin.command}` {how}", "Run it by hand as the gateway's user"
        )


def exec_credential(output: bytes, plugin: ExecPlugin) -> tuple[Secret, float | None]:
    """The token in a plugin's output and its expiry in seconds since the epoch. Raises CredentialError."""
    try:
        given = msgspec.json.decode(output[:MAX_OUTPUT_BYTES], type=_ExecCredential)
    except msgspec.MsgspecError:  # its text may quote the output
        given = None
    expires = given.status.expiration_timestamp if given is not None else None
    if given is None or given.kind != "ExecCredential" or given.api_version != plugin.api_version:
        remedy = f"Let it print an ExecCredential of `{plugin.api_version}`"
        raise CredentialError(f"the exec plugin `{plugin.command}` printed no ExecCredential", remedy)
    if not given.status.token:
        remedy = "Use a plugin that gives a token; for a client certificate name its files in the kubeconfig"
        raise CredentialError(f"the exec plugin `{plugin.command}` gave no token", remedy)
    if expires is not None and expires.tzinfo is None:
        raise CredentialError(f"the exec plugin `{plugin.command}` gave an expiration without a zone", "Update it")
    return Secret(given.status.token), None if expires is None else expires.timestamp()
