"""Checks of the faults of the gateway's own process: its clock, its descriptors, its time on the CPU, its files."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
import time
from pathlib import Path

from tests.faults.world import FAULT_SECONDS, LIST, POLICY, World
from tests.process.gateway import Answer, eventually
from tests.process.reviewing import Held, Reviewer, configmap

DAY = 86_400.0  # seconds
STOPPED_SECONDS = 2.2  # longer than the answer of the cluster may take
EDITS = 20
NOTHING = POLICY.replace("[get, list, watch]", "[list]")  # of what the storm asks for
BROKEN = "apiVersion: pratique/v1\nkind: Policy\nmetadata: {name: test}\nspec: {rules: [{verbs: [get"


def _approved(world: World, name: str) -> None:
    assert world.odd.call("DELETE", f"{LIST}/{name}").reason == "ApprovalPending"
    Reviewer(world.odd.gateway, "alice").decide(name)


def _deleted(world: World, name: str) -> bool:
    return any(one.startswith(f"DELETE {LIST}/{name} ".encode()) for one in world.cluster.received)


def clock_jumps(world: World) -> None:
    """Ahead: what was approved is too old, and is asked anew. Back: everything is served, and it does not come alive."""
    _approved(world, "clock-usual")
    assert world.odd.call("DELETE", f"{LIST}/clock-usual").code == 200
    assert _deleted(world, "clock-usual")
    _approved(world, "clock-jump")
    world.clock(100 * DAY)
    assert world.odd.call("DELETE", f"{LIST}/clock-jump").code in {403, 429}
    for ahead in (-10 * DAY, 0):
        world.clock(ahead)
        assert world.odd.call("GET", LIST).code == 200
    assert not _deleted(world, "clock-jump")


def no_descriptors(world: World) -> None:
    """EMFILE: who is connected already gets an answer or an end, and with descriptors again everybody is served."""
    gateway, before = world.odd.gateway, len(world.cluster.received)
    soft, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
    with gateway.connect(FAULT_SECONDS) as sock:
        used = len(list(Path(f"/proc/{gateway.pid}/fd").iterdir()))
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (used, hard))
        try:
            sock.sendall(gateway.head(f"GET {LIST}"))
            received = sock.recv(65536)
            assert not received or received.split()[1] in {b"502", b"503"}, received
        finally:
            resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert len(world.cluster.received) == before
    eventually(lambda: _served(world), FAULT_SECONDS)


def _served(world: World) -> bool:
    with contextlib.suppress(OSError):
        return world.odd.call("GET", LIST).code == 200
    return False


def stopped(world: World) -> None:
    """SIGSTOP and SIGCONT: whoever waited is answered once, and no deadline turns a good answer into half of one."""
    gateway, before = world.odd.gateway, len(world.cluster.received)
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        held = [Held(gateway, "GET", f"{LIST}?limit={number}") for number in (1, 2, 3)]
        time.sleep(STOPPED_SECONDS)
        assert not any(one.done() for one in held)
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    for one in held:
        found = one.outcome()
        assert not isinstance(found, Answer) or found.code in {200, 504}
    assert len(world.cluster.received) - before <= len(held)


def store_locked(world: World) -> None:
    """Another program holds the approvals: what needs one is refused in time, everything else is served meanwhile."""
    real = world.real
    name = "store-locked"
    assert real.call("POST", LIST, configmap(name)).code == 201
    lock = sqlite3.connect(real.gateway.state / "approvals.sqlite", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        asking = Held(real.gateway, "DELETE", f"{LIST}/{name}", timeout=FAULT_SECONDS)
        assert real.call("GET", f"{LIST}/{name}").code == 200
        assert not asking.done(), "the read had to wait for it"
        told = asking.answer()
        assert (told.code, told.json["kind"]) == (503, "Status")
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    assert [one for one in real.gateway.seen(name) if one.method == "DELETE"] == []
    assert real.call("DELETE", f"{LIST}/{name}").reason == "ApprovalPending"


def reload_storm(world: World) -> None:
    """Two good sets and a broken one in turns: every request is judged by one of the good ones, as a whole."""
    real = world.real
    file, new = real.gateway.policies / "policy.yaml", real.gateway.folder / "policy.new"
    codes: set[int] = set()
    for turn in range(EDITS):
        new.write_text((POLICY, BROKEN, NOTHING)[turn % 3] + "\n" * turn)
        new.replace(file)
        codes.add(real.call("GET", "/api/v1/namespaces/payments/pods/db-0").code)
        assert real.call("GET", "/api/v1/namespaces/payments/secrets/reload-storm").code == 403
    assert codes <= {200, 403}
    for last, expected in ((NOTHING, 403), (POLICY, 200)):
        new.write_text(last)
        new.replace(file)
        eventually(lambda: real.call("GET", "/api/v1/namespaces/payments/pods/db-0").code == expected, FAULT_SECONDS)  # noqa: B023 - waited for at once
    assert real.gateway.seen("reload-storm") == []
