"""Every caller has the source of its role, begun when it is needed and ended when it is not."""

from __future__ import annotations

import asyncio

import pytest

from pratique.behalf import GATEWAY, Behalf
from pratique.errors import CredentialError
from pratique.identity import sources as module
from pratique.identity.credentials import Description, StaticCredentialSource
from pratique.identity.gate import Credential
from pratique.identity.secret import Secret
from pratique.identity.sources import OneSource, RoleSources, summary
from tests.identity.helpers import HandTime


class Source:
    """Notes what is done with it; `wait` holds a request."""

    def __init__(self, role):
        self.role, self.done, self.wait = role, [], None

    async def start(self):
        self.done.append("start")

    async def stop(self):
        self.done.append("stop")

    async def credential(self, now):
        if self.wait is not None:
            await self.wait.wait()
        return Credential(Secret(self.role))

    def rejected(self):
        self.done.append("rejected")

    def describe(self):
        return Description(self.role)


def made(clock):
    found = []

    def make(role):
        found.append(Source(role))
        return found[-1]

    return RoleSources(lambda behalf: behalf.client or "own", make, clock=clock, sleep=clock.sleep), found


def test_no_more_sources_are_kept_than_the_limit_and_never_one_that_is_waited_for(monkeypatch):
    monkeypatch.setattr(module, "SOURCES_KEPT", 3)

    async def run():
        clock = HandTime()
        sources, found = made(clock)
        await sources.start()
        await sources.credential(Behalf("busy"), clock())
        busy = found[1]
        busy.wait = asyncio.Event()
        waiting = asyncio.create_task(sources.credential(Behalf("busy"), clock()))
        await asyncio.sleep(0)
        for name in "abc":
            await sources.credential(Behalf(name), clock())
        assert [each.identity for each in sources.describe()] == ["own", "busy", "c"]
        busy.wait.set()
        assert (await waiting).token == Secret("busy")
        await sources.stop()
        assert {each.role: each.done for each in found} == {name: ["start", "stop"] for name in ("own", "busy", *"abc")}

    asyncio.run(run())


def test_after_the_end_there_is_no_credential():
    async def run():
        clock = HandTime()
        sources, _ = made(clock)
        await sources.start()
        await sources.stop()
        with pytest.raises(CredentialError, match="stopping"):
            await sources.credential(GATEWAY, clock())
        assert sources.describe() == ()
        await sources.start()
        assert (await sources.credential(GATEWAY, clock())).token == Secret("own")
        await sources.stop()

    asyncio.run(run())


def test_a_source_that_is_still_beginning_is_ended_too():
    class Slow(Source):
        async def start(self):
            await asyncio.Event().wait()

    async def run():
        clock = HandTime()
        found = []
        sources = RoleSources(
            lambda behalf: behalf.client, lambda role: found.append(Slow(role)) or found[-1], clock=clock
        )
        await sources.credential(Behalf("a"), clock())
        await asyncio.wait_for(sources.stop(), 5)
        assert found[0].done == ["stop"]

    asyncio.run(run())


def test_one_credential_is_for_every_client_but_for_one_that_names_a_role():
    async def run():
        source = Source("shared")
        one = OneSource(source)
        await one.start()
        assert (await one.credential(Behalf("a"), 1.0)).token == Secret("shared")
        with pytest.raises(CredentialError, match="client `b` names the role `arn`, but the gateway assumes no roles"):
            await one.credential(Behalf("b", "arn"), 1.0)
        one.rejected(Behalf("a"))
        assert one.describe() == (Description("shared"),)
        await one.stop()
        assert source.done == ["start", "rejected", "stop"]

    asyncio.run(run())


def test_a_static_credential_is_a_source_like_others():
    async def run():
        one = OneSource(StaticCredentialSource(Credential(Secret("t")), "a test"))
        await one.start()
        assert (await one.credential(GATEWAY, 1.0)).token == Secret("t")
        await one.stop()

    asyncio.run(run())


def test_all_of_them_are_summed_up_by_the_earliest_end_and_the_first_failure():
    many = (Description("own", 20.0), Description("a", 10.0, "down"), Description("b", None, "late"))
    assert summary(many) == Description("own", 10.0, "down")
    assert summary(()) == Description("nobody yet")
