"""`pratique run --workers`: several processes on one port, one gateway to those who use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pratique.recorder import layout
from tests.process.gateway import ROOT, Gateway, eventually
from tests.process.reviewing import Held, Reviewer, changed, make, probe

PODS = "/api/v1/namespaces/payments/pods"
pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def both(sandbox: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    running = Gateway(
        tmp_path_factory.mktemp("workers"),
        sandbox,
        hold=30,
        options=["--workers", "2"],
        clients=("agent", "brief"),
        holds={"brief": 0},
    ).start()
    eventually(lambda: running.output.count("pratique serves") == 2)
    yield running
    running.stop()


def children(gateway: Gateway) -> list[int]:
    """Process ids of the workers."""
    return [int(pid) for pid in Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()]


def cli(gateway: Gateway, *arguments: str) -> Any:
    command = [sys.executable, "-m", "pratique.cli", *arguments, "--state", str(gateway.state), "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT / "addons")})  # fmt: skip
    return json.loads(done.stdout)


def both_serve(gateway: Gateway, path: str) -> None:
    """New connections until each worker has recorded one: the kernel spreads them by their ports."""
    before = [len(list(layout.recordings(state).glob("*/*.flow"))) for state in layout.states(gateway.state)]
    for _ in range(200):
        assert gateway.call("GET", path).code == 200
        after = [len(list(layout.recordings(state).glob("*/*.flow"))) for state in layout.states(gateway.state)]
        if len(after) == 2 and all(new > old for new, old in zip(after, before, strict=True)):
            return
    raise AssertionError("one worker serves nothing")


def test_both_serve_and_record_each_in_a_chain_of_its_own(both: Gateway) -> None:
    both_serve(both, PODS)
    found = cli(both, "sessions", "verify")
    assert found["ok"]
    assert len(found["heads"]) == 2
    assert all(found["heads"])
    listed = [row["session"] for row in cli(both, "sessions", "list")]
    assert listed == sorted(listed, reverse=True)
    folders = [layout.worker_state(both.state, number) for number in (0, 1)]
    kept = {layout.check_session_id(path.stem) for each in folders for path in layout.recordings(each).glob("*/*.flow")}
    assert kept <= set(listed)
    for session in (listed[0], listed[-1]):
        assert cli(both, "sessions", "show", session)["requests"]


def test_what_one_holds_is_approved_for_whichever_process_it_is(both: Gateway) -> None:
    alice = Reviewer(both, "alice")
    targets = [make(both, f"workers-{number}") for number in range(4)]
    asking = [Held(both, "DELETE", target) for target in targets]
    for number in range(4):
        alice.decide(f"workers-{number}")
    assert [each.answer().code for each in asking] == [200] * 4
    assert [len(changed(both, f"workers-{number}")) for number in range(4)] == [1] * 4


def test_every_worker_says_where_to_approve(both: Gateway) -> None:
    """The second has no page of its own, and its clients are told of the first one's."""
    target = make(both, "workers-told")
    told = {
        both.call("DELETE", target, headers={"User-Agent": f"try-{number}"}, client="brief").json["message"]
        for number in range(8)
    }
    assert all(f"{both.admin}/a/" in message for message in told)


def test_readiness_and_metrics_are_of_all_of_them(both: Gateway) -> None:
    both_serve(both, PODS)
    eventually(lambda: probe(both, "/readyz").code == 200)
    counted = {sample.labels["worker"] for sample in _samples(both, "pratique_requests_total")}
    assert counted == {"0", "1"}


def test_who_has_a_worker_that_does_not_answer_is_not_ready(both: Gateway) -> None:
    eventually(lambda: probe(both, "/readyz").code == 200)
    second = children(both)[1]
    os.kill(second, signal.SIGSTOP)
    try:
        shown = probe(both, "/readyz")
        told = {each["name"]: each["problem"] for each in shown.json["checks"]}
        assert shown.code == 503
        assert told["workers"] == "worker 1: it does not answer"
        assert told["serving"] == ""
        assert {each.labels["worker"] for each in _samples(both, "pratique_ready")} == {"0"}
    finally:
        os.kill(second, signal.SIGCONT)
    eventually(lambda: probe(both, "/readyz").code == 200)


def _samples(gateway: Gateway, name: str) -> list[Any]:
    families = text_string_to_metric_families(probe(gateway, "/metrics").body.decode())
    return [sample for family in families for sample in family.samples if sample.name == name]


def test_a_worker_that_crashes_is_started_again_and_no_finished_record_is_lost(both: Gateway) -> None:
    both_serve(both, PODS)
    before = {row["session"]: row["requests"] for row in cli(both, "sessions", "list")}
    pids = children(both)
    os.kill(pids[1], signal.SIGKILL)
    eventually(lambda: len(children(both)) == 2 and pids[1] not in children(both))
    eventually(lambda: both.output.count("pratique serves") >= 3)
    assert "ended with -9. It is started again" in both.output
    both_serve(both, PODS)
    after = {row["session"]: row["requests"] for row in cli(both, "sessions", "list")}
    assert before.items() <= after.items()
    assert cli(both, "sessions", "verify")["ok"]


def test_the_workers_end_with_their_supervisor_however_it_ends(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(options=["--workers", "2"]).start()
    eventually(lambda: gateway.output.count("pratique serves") == 2)
    pids = children(gateway)
    gateway.stop(signal.SIGKILL)
    eventually(lambda: not any(_running(pid) for pid in pids))


def _running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_sigterm_ends_them_all_with_0(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(options=["--workers", "2"]).start()
    eventually(lambda: gateway.output.count("pratique serves") == 2)
    pids, began = children(gateway), time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - began < 60
    assert not any(map(_running, pids))


def test_a_bad_document_ends_the_start_with_one_message(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(options=["--workers", "2"], policy="apiVersion: pratique/v1\nkind: Nonsense\n")
    assert gateway.refused_start().count("policy.yaml:1:1") == 1
