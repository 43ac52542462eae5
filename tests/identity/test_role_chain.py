"""Role X → Role Y → token → user of the cluster, every signature verified, by a virtual clock."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import pytest

from pratique.behalf import GATEWAY, Behalf
from pratique.errors import CredentialError
from pratique.identity.clusters import EksSource
from pratique.identity.eks_source import EksCredentialSource
from pratique.identity.roles import assumed_role, with_role
from pratique.identity.sources import IDLE_SECONDS, RoleSources
from pratique.sandbox.authenticator import AccessEntry, Authenticator, TokenError
from pratique.sandbox.sts import Role, Sts, User
from tests.identity.helpers import HandTime
from tests.identity.virtual_sts import VirtualStsClient

X = "arn:aws:iam::123456789012:role/RoleX"
Y, BILLING, CLOSED = (f"arn:aws:iam::123456789012:role/{name}" for name in ("RoleY", "billing", "closed"))
KEY, SECRET = "AKIAEXAMPLEROLEX", "x-secret"
EKS = EksSource(cluster_name="prod", region="eu-west-1", role_arn=Y)
HOUR = 3600
AGENT, OTHER = Behalf("agent", "", "s1"), Behalf("other", BILLING, "s2")


class Chain:
    """The whole chain; `user(behalf)` is who the cluster takes a request for, sent at this moment."""

    def __init__(self, **fields):
        self.clock = HandTime()
        roles = [Role(Y, "AROAY", (X,)), Role(BILLING, "AROAB", (X,)), Role(CLOSED, "AROAC", ())]
        self.sts = Sts("eu-west-1", [User(KEY, SECRET, X, "AROAX")], roles)
        self.client = VirtualStsClient(self.sts, KEY, SECRET, self.clock)
        entries = [AccessEntry(role, f"{role.rpartition('/')[2]}:{{{{SessionName}}}}", ()) for role in (Y, BILLING)]
        self.authenticator = Authenticator("prod", "eu-west-1", entries, self.sts.handle)
        eks = msgspec.structs.replace(EKS, **fields)

        def make(role):
            return EksCredentialSource(
                with_role(eks, role),
                role.session_name,
                client=lambda _: self.client,
                clock=self.clock,
                sleep=self.clock.sleep,
                chance=lambda: 0.5,
            )

        self.sources = RoleSources(
            lambda behalf: assumed_role(eks, behalf), make, clock=self.clock, sleep=self.clock.sleep
        )

    async def token(self, behalf):
        return (await self.sources.credential(behalf, self.clock())).token.reveal()

    async def user(self, behalf):
        return self.authenticator.authenticate(await self.token(behalf), self.clock()).username

    @contextlib.asynccontextmanager
    async def running(self):
        await self.sources.start()
        try:
            yield self
        finally:
            await self.sources.stop()


def test_each_client_is_a_user_of_its_own_with_the_role_of_its_document():
    async def run():
        async with Chain(source_identity="{client}", session_tags={"agent": "{client}"}).running() as chain:
            assert await chain.user(AGENT) == "RoleY:agent"
            assert await chain.user(OTHER) == "billing:other"
            assert await chain.user(GATEWAY) == "RoleY:pratique"
            assert await chain.user(Behalf("agent", "", "another")) == "RoleY:agent"
            assert len(chain.client.asked) == 3
            found = {session.name: (session.source_identity, session.tags) for session in chain.sts.sessions.values()}
            assert found["agent"] == ("agent", (("agent", "agent"),))
            with pytest.raises(CredentialError, match=f"trust policy name .*{CLOSED}|{CLOSED}.*trust policy name"):
                await chain.user(Behalf("third", CLOSED))
            assert await chain.user(AGENT) == "RoleY:agent"

    asyncio.run(run())


def test_a_session_of_its_own_for_each_session_of_a_client():
    async def run():
        async with Chain(assume="session").running() as chain:
            assert await chain.user(AGENT) == "RoleY:agent-s1"
            assert await chain.user(Behalf("agent", "", "s9")) == "RoleY:agent-s9"

    asyncio.run(run())


def test_during_a_watch_of_two_hours_and_after_a_long_hold_every_request_is_accepted():
    """The watch was accepted with the first token. What is sent later, or was held for long, is signed when it is sent."""

    async def run():
        async with Chain().running() as chain:
            opened = await chain.token(AGENT)
            asked = 0
            for minute in range(120):
                await chain.clock.pass_(60, step=60)
                held = len(chain.client.asked)
                if minute % 10 == 0:
                    assert await chain.user(AGENT) == "RoleY:agent"
                    assert len(chain.client.asked) == held  # nobody waited for STS
                    asked += 1
            assert asked == 12
            with pytest.raises(TokenError):
                chain.authenticator.authenticate(opened, chain.clock())
            await chain.clock.pass_(45 * 60, step=60)  # a hold, during which nobody asks for this client
            assert await chain.user(AGENT) == "RoleY:agent"
            names = [name for _, name in chain.client.asked]
            assert {name: names.count(name) for name in set(names)} == {"pratique": 5, "agent": 5}

    asyncio.run(run())


@pytest.mark.parametrize("begins", [60, 23 * 60, 39 * 60, 40 * 60, 41 * 60])
def test_ten_minutes_without_sts_are_noticed_by_no_client(begins):
    async def run():
        async with Chain().running() as chain:
            for _ in range(begins // 60):
                await chain.clock.pass_(60, step=60)
                await chain.token(AGENT)
            chain.client.down = True
            for _ in range(60):
                await chain.clock.pass_(10, step=10)
                assert await chain.user(AGENT) == "RoleY:agent"
            chain.client.down = False
            await chain.clock.pass_(120, step=10)
            assert [described.failure for described in chain.sources.describe()] == ["", ""]

    asyncio.run(run())


def test_without_a_token_at_hand_an_outage_is_503_for_that_client_and_ends_by_itself():
    async def run():
        async with Chain().running() as chain:
            await chain.token(AGENT)
            chain.client.down = True
            with pytest.raises(CredentialError, match="cannot be reached") as raised:
                await chain.token(OTHER)
            assert (raised.value.code, raised.value.reason) == (503, "ServiceUnavailable")
            assert await chain.user(AGENT) == "RoleY:agent"
            chain.client.down = False
            await chain.clock.pass_(31, step=1)
            assert chain.sources.describe()[2].expires is not None  # before anybody asked again
            assert await chain.user(OTHER) == "billing:other"

    asyncio.run(run())


def test_an_idle_client_is_forgotten_and_comes_back():
    async def run():
        async with Chain().running() as chain:
            await chain.token(AGENT)
            await chain.clock.pass_(IDLE_SECONDS + 120, step=30)
            assert len(chain.sources.describe()) == 1  # the gateway's own stays
            before = len(chain.client.asked)
            await chain.clock.pass_(HOUR, step=60)
            assert {name for _, name in chain.client.asked[before:]} == {"pratique"}
            assert await chain.user(AGENT) == "RoleY:agent"

    asyncio.run(run())


def test_what_the_cluster_refused_is_fetched_anew_for_that_client_only():
    async def run():
        async with Chain().running() as chain:
            first, other = await chain.token(AGENT), await chain.token(OTHER)
            await chain.clock.pass_(5, step=5)
            chain.sources.rejected(AGENT)
            chain.sources.rejected(Behalf("nobody"))
            assert await chain.token(AGENT) != first
            assert await chain.token(OTHER) == other

    asyncio.run(run())
