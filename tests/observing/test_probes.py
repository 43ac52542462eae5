"""Readiness: one failing check that is required is enough, none is trusted when it is slow, and its text stays inside."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pratique.errors import RecordError
from pratique.observing import probes
from pratique.observing.metrics import Readings
from pratique.observing.readiness import Outcome, Readiness
from pratique.observing.watched import Parts, watch


def fine() -> str:
    return ""


async def a_credential() -> object:
    return object()


def made(**other: Any) -> tuple[probes.Probes, Any]:
    parts: dict[str, Any] = {
        "closed": fine, "documents_problem": fine, "revocations_problem": fine, "credential": a_credential,
        "recorder_healthy": lambda: True, "approvals_version": lambda: (1, 2), "is_stopped": lambda: False,
        "readings": lambda ready: Readings(ready=ready.ready),
    }  # fmt: skip
    return watch(Parts(**parts | other))


def ask(**other: Any) -> Readiness:
    return asyncio.run(made(**other)[0].ready())


def raising(error: Exception) -> Any:
    def work() -> None:
        raise error

    return work


async def no_credential() -> object:
    raise RecordError("arn:aws:iam::1:role/SECRET-CANARY may not be assumed")


async def never() -> object:
    await asyncio.Event().wait()


def test_ready_when_every_check_is_fine() -> None:
    found = ask()
    assert found.ready
    assert {each.name for each in found.outcomes} == {
        "serving", "credential", "recorder", "approvals", "revocations", "documents", "kill-switch",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("serving", {"closed": lambda: "the gateway is starting"}),
        ("credential", {"credential": no_credential}),
        ("recorder", {"recorder_healthy": raising(RecordError("disk full"))}),
        ("approvals", {"approvals_version": raising(ValueError("SECRET-CANARY"))}),
        ("revocations", {"revocations_problem": lambda: "not read for 9 s"}),
    ],
)
def test_one_of_these_is_enough_not_to_be(name: str, other: Any, caplog: pytest.LogCaptureFixture) -> None:
    found = ask(**other)
    assert not found.ready
    (problem,) = [each for each in found.outcomes if each.problem]
    assert problem.name == name
    assert "CANARY" not in problem.problem, "everybody can read it"
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"not ready: {name}: ")
    assert ("CANARY" in line) is (name == "credential"), "texts of ours are for the log, others for nobody"


@pytest.mark.parametrize(
    ("name", "other"),
    [("documents", {"documents_problem": lambda: "a.yaml:1:1: no"}), ("kill-switch", {"is_stopped": lambda: True})],
)
def test_these_are_said_and_it_is_ready_all_the_same(name: str, other: Any) -> None:
    """The old documents are in force; and a kill switch that takes the page away could not be lifted."""
    found = ask(**other)
    assert found.ready
    assert [each.name for each in found.outcomes if each.problem] == [name]


def test_a_check_that_hangs_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "CHECK_SECONDS", 0.1)
    assert [each.name for each in ask(credential=never).outcomes if each.problem] == ["credential"]


def test_it_is_logged_when_it_changes_and_not_each_time(caplog: pytest.LogCaptureFixture) -> None:
    said = [""]
    probe, _ = made(closed=lambda: said[0])
    for text in ("", "stopping", "stopping", ""):
        said[0] = text
        asyncio.run(probe.ready())
    assert [record.getMessage() for record in caplog.records] == [
        "not ready: serving: stopping",
        "ready again: serving: fine",
    ]


def test_nothing_asked_is_not_ready() -> None:
    assert not Readiness(()).ready
    assert Readiness((Outcome("x"),)).ready


def test_the_metrics_say_it_as_it_is_when_they_are_asked() -> None:
    said = [""]
    probe, _ = made(closed=lambda: said[0])
    assert b"\npratique_ready 1.0\n" in asyncio.run(probe.metrics())
    said[0] = "stopping"
    assert b"\npratique_ready 0.0\n" in asyncio.run(probe.metrics())
