"""The revocations in memory: as the store has them, and nobody is served when that is not known."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pratique.errors import Refused, StoreError
from pratique.identity.revoking.current import KILL_FILE, POLL_SECONDS, STALE_SECONDS, Current
from pratique.identity.revoking.sqlite_store import SqliteRevocations
from pratique.revocation import Kind, Revocation
from tests.identity.revocation_contract import NOW, revocation


class World:
    """A clock that only sleeping moves; `steps` are done one before each poll, then the watch is stopped."""

    def __init__(self, folder: Path) -> None:
        self.time = 0.0
        self.store = SqliteRevocations(folder / "revocations.sqlite")
        self.kill = folder / KILL_FILE
        self.told: list[tuple[list[str], list[str]]] = []
        self.current = self.make()

    def make(self) -> Current:
        return Current(
            self.store, self.kill, clock=lambda: NOW + self.time, monotonic=lambda: self.time, sleep=self.sleep
        )

    async def sleep(self, seconds: float) -> None:
        assert seconds == POLL_SECONDS
        self.time += seconds
        if not self.steps:
            raise asyncio.CancelledError
        self.steps.pop(0)()

    def watch(self, *steps) -> None:
        """Each step is followed by a poll."""
        self.steps = list(steps)

        def changed(begun: list[Revocation], ended: list[Revocation]) -> None:
            self.told.append(([each.id for each in begun], [each.id for each in ended]))

        async def run() -> None:
            with pytest.raises(asyncio.CancelledError):
                await self.current.watch(changed)

        asyncio.run(run())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def nothing() -> None:
    pass


def test_what_is_in_force_at_the_start_hits_before_the_first_poll(world: World) -> None:
    world.store.revoke(revocation())
    assert world.make().check("agent", []) == revocation()


def test_one_poll_later_it_hits_and_one_poll_after_lifting_it_does_not(world: World) -> None:
    world.watch(lambda: world.store.revoke(revocation()))
    assert world.current.check("agent", []) == revocation()
    assert world.current.check("other", []) is None
    world.watch(nothing, lambda: world.store.lift("rev-1", "bob", NOW + 2))
    assert world.current.check("agent", []) is None
    assert world.told == [(["rev-1"], []), ([], ["rev-1"])]


def test_its_end_by_time_needs_no_change_in_the_store(world: World) -> None:
    world.store.revoke(revocation(until=NOW + 2))
    world.watch(*[nothing] * 4)
    assert world.current.check("agent", [])
    world.watch(*[nothing] * 8)
    assert world.current.check("agent", []) is None
    assert world.told == [(["rev-1"], []), ([], ["rev-1"])]


def test_the_kill_file_stops_everybody_and_its_first_line_is_the_reason(world: World) -> None:
    world.watch(lambda: world.kill.write_text("incident 7\nmore\n"))
    hit = world.current.check("whoever", [])
    assert hit is not None
    assert (hit.kind, hit.reason, hit.by) == (Kind.ALL, "incident 7", "the file KILL")
    assert world.current.revoked.is_stopped(NOW)
    world.watch(world.kill.unlink)
    assert world.current.check("whoever", []) is None


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.write_bytes(b"\xff" * 9000)])
def test_any_kill_file_does(world: World, make) -> None:
    make(world.kill)
    assert world.make().check("whoever", []) is not None


def test_a_store_that_cannot_be_read_refuses_after_some_seconds_and_recovers(world: World, caplog) -> None:
    world.store.revoke(revocation())
    working, world.current = world.store.version, world.make()

    def broken() -> tuple[int, int]:
        raise StoreError("the disk is gone")

    def break_it() -> None:
        world.store.version = broken  # type: ignore[method-assign]

    world.watch(break_it, *[nothing] * int(STALE_SECONDS / POLL_SECONDS - 2))
    assert world.current.check("other", []) is None, "a short failure is nobody's business"
    assert world.current.problem == ""
    world.watch(*[nothing] * 8)
    with pytest.raises(Refused) as refused:
        world.current.check("other", [])
    assert (refused.value.code, refused.value.rule) == (503, "identity/revocations")
    assert "not read for" in world.current.problem
    assert world.current.hits("agent", []) == revocation(), "what is open is still held against what was known"
    assert world.current.hits("other", []) is None
    world.store.version = working  # type: ignore[method-assign]
    world.watch(nothing)
    assert world.current.check("other", []) is None
    assert [record.message for record in caplog.records] == [
        "revocations cannot be read: the disk is gone",
        "revocations are read again",
    ]


def test_a_store_that_cannot_be_read_at_the_start_is_no_start(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.store.close()
    with pytest.raises(StoreError):
        world.make()


def test_a_kill_file_that_cannot_be_asked_for_is_a_failure_not_a_no(world: World, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    world.kill = blocked / KILL_FILE  # ENOTDIR
    with pytest.raises(NotADirectoryError):
        world.make()
