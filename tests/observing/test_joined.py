"""Several workers as one: ready if each is, and each metric once for each of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from pratique.observing import workers
from pratique.observing.finished import Finished
from pratique.observing.joined import joined_metrics, joined_readiness
from pratique.observing.metrics import Metrics, Readings
from pratique.observing.probes import Check, Probes
from pratique.observing.readiness import Outcome, Readiness

READY = Readiness((Outcome("serving"), Outcome("documents", "old", required=False)))


def families(text: str) -> dict[str, list[Any]]:
    found = list(text_string_to_metric_families(text))
    assert len({family.name for family in found}) == len(found)  # Prometheus refuses a family that is there twice
    return {family.name: family.samples for family in found}


def metrics(number: int) -> Metrics:
    made = Metrics(lambda: Readings(ready=True, open_requests=number), "1.0")
    for _ in range(number):
        made.observe(Finished(client='a "b} c{', verb="get", code=200, upstream=0.1))
    return made


def test_all_are_ready_if_each_is() -> None:
    found = joined_readiness({0: READY, 1: READY})
    assert found.ready
    assert {each.name: each.problem for each in found.outcomes} == {
        "serving": "", "documents": "worker 0: old; worker 1: old", "workers": "",
    }  # fmt: skip


def test_one_that_is_not_ready_is_enough_and_named() -> None:
    found = joined_readiness({0: READY, 1: Readiness((Outcome("serving", "it stops"),))})
    assert not found.ready
    assert found.outcomes[0] == Outcome("serving", "worker 1: it stops")


def test_one_that_does_not_answer_is_not_ready() -> None:
    found = joined_readiness({0: READY, 2: None})
    assert not found.ready
    assert found.outcomes[-1] == Outcome("workers", "worker 2: it does not answer")
    assert not joined_readiness({0: None}).ready


def test_each_sample_has_its_worker_and_each_family_is_there_once() -> None:
    texts = {number: metrics(number).text().decode() for number in (1, 3)}
    joined = families(joined_metrics(texts))
    for number, text in texts.items():
        for name, samples in families(text).items():
            mine = [each for each in joined[name] if each.labels["worker"] == str(number)]
            without = [each._replace(labels={k: v for k, v in each.labels.items() if k != "worker"}) for each in mine]
            assert without == samples
    assert sum(each.value for each in joined["pratique_requests"] if each.name == "pratique_requests_total") == 4


def probes(problem: str = "") -> Probes:
    async def ask() -> str:
        return problem

    return Probes([Check("serving", "it stops", ask)], metrics(2))


def asked(folder: Path, other: Probes | None, what: str) -> Any:
    """What the first of two workers says; None: the other one does not run."""

    async def both() -> Any:
        folder.mkdir(exist_ok=True)
        answering = asyncio.create_task(workers.answer(folder, other)) if other else None
        while answering and not (folder / workers.NAME).exists():
            await asyncio.sleep(0)
        try:
            return await getattr(workers.EveryWorker(probes(), {1: folder}), what)()
        finally:
            if answering:
                answering.cancel()

    return asyncio.run(both())


def test_the_first_asks_the_other_on_its_socket(tmp_path: Path) -> None:
    """However long the folder's path is: an address has 108 bytes."""
    folder = tmp_path / ("x" * 120)
    assert asked(folder, probes(), "ready").ready
    found = asked(folder, probes("it stops"), "ready")
    assert found.outcomes[0] == Outcome("serving", "worker 1: it stops")
    told = families(asked(folder, probes(), "metrics").decode())
    assert {each.labels["worker"] for each in told["pratique_ready"]} == {"0", "1"}


def test_a_worker_that_is_away_has_no_metrics_and_is_not_ready(tmp_path: Path) -> None:
    assert not asked(tmp_path, None, "ready").ready
    told = families(asked(tmp_path, None, "metrics").decode())
    assert {each.labels["worker"] for each in told["pratique_ready"]} == {"0"}


def test_what_is_no_answer_is_none(tmp_path: Path) -> None:
    class Nonsense(Probes):
        async def ready(self) -> Readiness:
            return Readiness(({"name": 1},))  # type: ignore[arg-type]

    assert asked(tmp_path, Nonsense([], metrics(0)), "ready").outcomes[-1].problem == "worker 1: it does not answer"
