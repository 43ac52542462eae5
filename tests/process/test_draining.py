"""A gateway that stops: it says so, finishes what it has begun, begins nothing that lasts, and loses nothing."""

from __future__ import annotations

import json
import re
import signal
import threading
from typing import Any

import pytest

from tests.process.gateway import Answer, Gateway, eventually
from tests.process.reviewing import MAPS, Held, Reviewer, configmap
from tests.process.streams import WebSocketClient, exec_target
from tests.process.test_observing import probe
from tests.process.test_shutdown import verify

pytestmark = pytest.mark.process


def test_what_is_open_may_finish_and_nothing_new_that_lasts_begins(make_gateway) -> None:
    gateway = make_gateway(hold=40, drain=20).start()
    session = WebSocketClient(gateway, exec_target("db-0", "sh", "-c", "echo begun; sleep 3; echo and-finished"))
    session.wait_for(b"begun")
    kept = gateway.connect()
    held = Held(gateway, "DELETE", f"{MAPS}/held-while-stopping")
    Reviewer(gateway, "alice").find("held-while-stopping")

    gateway.process.send_signal(signal.SIGTERM)
    told = held.answer()
    ready = probe(gateway, "/readyz")
    watch = gateway.call("GET", f"{MAPS}?watch=true")
    upgrade = WebSocketClient(gateway, exec_target("db-0", "true"))
    kept.sendall(gateway.head(f"GET {MAPS}/served-while-stopping"))
    served = b""
    while more := kept.recv(65536):
        served += more
    late = gateway.call("DELETE", f"{MAPS}/asked-while-stopping")
    session.finish()
    gateway.ended(0)

    assert (told.code, told.headers["retry-after"]) == (429, "5")
    assert told.json["details"]["causes"][1]["reason"] == "ApprovalID"
    assert (ready.code, ready.json["checks"][0]["ok"]) == (503, False)
    assert probe_alive(gateway, ready)
    for refused in (
        Answer(watch.code, watch.headers, watch.body),
        Answer(upgrade.code, upgrade.headers, json.dumps(upgrade.body).encode()),
    ):
        assert (refused.code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json["details"]["causes"][0]["reason"] == "interlock/draining"
    assert served.startswith(b"HTTP/1.1 404") and b"connection: close" in served.lower()
    assert (late.code, late.headers["retry-after"]) == (429, "5"), "it is asked, and waits for nobody here"
    assert session.output(1) == b"begun\nand-finished\n"
    assert session.status["status"] == "Success"
    assert gateway.seen("held-while-stopping") == gateway.seen("asked-while-stopping") == []
    verify(gateway)


def probe_alive(gateway: Gateway, ready: Answer) -> bool:
    """Everything else was fine: it is not ready because it stops."""
    return all(check["ok"] for check in ready.json["checks"] if check["name"] != "serving")


def test_a_second_signal_does_not_wait(make_gateway) -> None:
    gateway = make_gateway(drain=60).start()
    session = WebSocketClient(gateway, exec_target("db-0", "sh", "-c", "echo begun; exec sleep 60"))
    session.wait_for(b"begun")
    gateway.process.send_signal(signal.SIGTERM)
    eventually(lambda: "new streams are refused, 1 are open" in gateway.output)
    gateway.process.send_signal(signal.SIGTERM)
    session.finish()
    assert (session.status["status"], session.status["code"]) == ("Failure", 503)
    assert gateway.stop() == 0  # kills after 30 s
    verify(gateway)


class Load:
    """Clients that ask for one thing after the other, and ask again whenever the gateway is away or says so."""

    def __init__(self, gateway: Gateway, clients: int) -> None:
        self.gateway = gateway
        self.answered: list[str] = []
        self.odd: list[Any] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, client: int) -> None:
        number = 0
        while not self._stop.is_set():
            name = f"load-{client}-{number:05}"
            try:
                answer = self.gateway.call("GET", f"{MAPS}/{name}")
            except OSError:
                continue  # not there at the moment, or gone before it answered
            if answer.code == 404:
                self.answered.append(name)
                number += 1
            elif answer.code != 503:
                self.odd.append((answer.code, answer.body))

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def recorded(gateway: Gateway) -> set[str]:
    data = b"".join(path.read_bytes() for path in (gateway.state / "recordings").rglob("*.chain"))
    return {name.decode() for name in re.findall(rb'"name":"(load-[0-9-]+)"', data)}


def test_a_restart_under_load_loses_no_approval_and_no_finished_request(make_gateway) -> None:
    gateway = make_gateway(hold=40).start()
    names = ("held-approved-early", "held-approved-late")
    for name in names:
        assert gateway.call("POST", MAPS, configmap(name)).code == 201
    load = Load(gateway, 2)
    helds = {name: Held(gateway, "DELETE", f"{MAPS}/{name}") for name in names}
    alice = Reviewer(gateway, "alice")
    asked = {alice.find(name) for name in names}
    eventually(lambda: len(load.answered) > 10)
    gateway.process.send_signal(signal.SIGTERM)
    assert [held.answer().code for held in helds.values()] == [429, 429]
    gateway.ended(0)
    before = len(load.answered)
    gateway.start()
    alice = Reviewer(gateway, "alice")
    assert {row["id"] for row in alice.rows()} == asked
    for name in names:
        alice.decide(name)
        assert gateway.call("DELETE", f"{MAPS}/{name}").code == 200
    eventually(lambda: len(load.answered) > before + 10)
    load.stop()
    assert gateway.stop() == 0
    assert load.odd == []
    assert set(load.answered) <= recorded(gateway)
    deleted = [[one for one in gateway.seen(name) if one.method == "DELETE"] for name in names]
    assert [len(each) for each in deleted] == [1, 1]
    verify(gateway)
