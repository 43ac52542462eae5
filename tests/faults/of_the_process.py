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

HOUR = 3600.0
STOPPED_SECONDS = 2.2  # longer than the answer of the cluster may take
EDITS = 30
NOTHING = POLICY.replace("[get, list, watch]", "[list]")  # of what the storm asks for
BROKEN = "apiVersion: pratique/v1\nkind: Policy\nmetadata: {name: test}\nspec: {rules: [{verbs: [get"


def clock_jumps(world: World) -> None:
    """Ahead: what was approved is too old, and the cluster's token is renewed. Back: an approval does not come alive."""
    real = world.real
    name = "clock-jump"
    assert real.call("POST", LIST, configmap(name)).code == 201
    assert real.call("DELETE", f"{LIST}/{name}").reason == "ApprovalPending"
    Reviewer(real.gateway, "alice").decide(name)
    world.clock(100 * 24 * HOUR)
    time.sleep(0.1)  # the switch is looked at every 50 ms
    assert real.call("DELETE", f"{LIST}/{name}").code != 200
    world.clock(-10 * 24 * HOUR)
    time.sleep(0.1)
    assert real.call("GET", "/api/v1/namespaces/payments/secrets").code == 403
    world.clock(0)
    time.sleep(0.1)
    eventually(lambda: real.call("GET", f"{LIST}/{name}").code == 200, FAULT_SECONDS)
    assert [one for one in real.gateway.seen(name) if one.method == "DELETE"] == []


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
    new.write_text(POLICY)
    new.replace(file)
    eventually(lambda: real.call("GET", "/api/v1/namespaces/payments/pods/db-0").code == 200, FAULT_SECONDS)
    assert real.gateway.seen("reload-storm") == []
