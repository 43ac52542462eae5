"""The runner of `scripts/bench`: it finds benches by their module, and its arithmetic is right. No time is asserted."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from tests.bench import __main__ as runner
from tests.bench import baseline, report
from tests.bench.meter import ROUNDS, SOAK_MINUTES, Meter
from tests.bench.mix import Tally, is_refused
from tests.bench.soak import slope


def test_every_bench_says_what_it_measures_and_can_be_run() -> None:
    assert "policy" in runner.names()
    for name in runner.names():
        module = runner.load(name)
        assert runner.summary(module), name
        assert callable(module.run), name


def test_an_unknown_bench_is_named_with_the_nearest_known_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["polcy"]) == 2
    assert "Did you mean `policy`?" in capsys.readouterr().err


class Clock:
    """CPU time that only the measured functions spend."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


def test_cases_are_measured_per_call_in_turns_and_compared_by_their_medians() -> None:
    clock, order, meter = Clock(), [], Meter()

    def case(name: str, seconds: float):
        def call() -> None:
            order.append(name)
            clock.spend(seconds)

        return call

    meter.compare({"a": case("a", 0.002), "b": case("b", 0.006)}, unit="ms", budgets={"b": 5}, clock=clock)
    a, b = meter.row("a"), meter.row("b")
    assert (round(a.median, 6), round(b.median, 6)) == (2, 6)
    assert len(a.samples) == ROUNDS
    assert (meter.ratio(a), round(meter.ratio(b) or 0, 6)) == (None, 3)
    assert (a.within_budget, b.within_budget) == (None, False)
    turns = [name for index, name in enumerate(order) if index == 0 or order[index - 1] != name]
    assert len(turns) > ROUNDS, "the cases alternate"


def test_spread_budget_and_ratio_of_samples_that_a_bench_took_itself() -> None:
    meter = Meter()
    meter.add("base", [10.0], "req/s")
    row = meter.add(
        "other", [1.0 * n for n in range(1, 12)], "req/s", against="base", budget=7, smaller_is_better=False
    )
    assert (row.median, row.spread, row.within_budget, meter.ratio(row)) == (6.0, (2.0, 10.0), False, 0.6)


def test_the_table_has_the_ratio_first_and_json_has_the_same_figures() -> None:
    meter = Meter()
    meter.add("base", [2.0], "ms")
    meter.add("other", [5.0], "ms", against="base", budget=4)
    meter.note("a note")
    out = io.StringIO()
    report.show(Console(file=out, width=100), "name", "what", meter)
    heading, _, other, note, *_ = out.getvalue().splitlines()[1:]
    assert heading.split()[:3] == ["case", "ratio", "median"]
    assert other.split()[:4] == ["other", "2.5×", "5", "ms"]
    assert "missed" in other
    assert note.strip() == "a note"
    shown = report.as_json("name", "what", meter)
    assert shown["rows"][1] | {"samples": 1} == json.loads(json.dumps(shown["rows"][1]))
    assert (shown["rows"][1]["ratio"], shown["rows"][1]["against"]) == (2.5, "base")


def test_figures_are_shown_beside_those_of_the_baseline(tmp_path: Path) -> None:
    file, meter = tmp_path / "baseline.json", Meter()
    assert baseline.read(file) == {"benches": []}
    meter.add("base", [2.0], "ms")
    meter.add("other", [5.0], "ms", against="base")
    baseline.update([report.as_json("b", "what", meter), report.as_json("c", "what", Meter())], {"cores": 2}, file)
    meter.rows[1] = meter.add("other", [7.0], "ms", against="base")
    baseline.update([report.as_json("a", "what", meter)], {"cores": 8}, file)  # the others stay
    assert [(each["bench"], each["machine"]["cores"]) for each in baseline.read(file)["benches"]] == [
        ("a", 8),
        ("b", 2),
        ("c", 2),
    ]
    meter.add("new", [1.0], "ms")
    out = io.StringIO()
    report.show(Console(file=out, width=100), "b", "what", meter, baseline.rows_of(baseline.read(file), "b"))
    heading, base, other, *_ = (line.split() for line in out.getvalue().splitlines()[1:])
    assert (heading[-1], base[-2:], other[-1]) == ("baseline", ["2", "ms"], "2.5×")


def test_quick_figures_are_no_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        runner.main(["policy", "--quick", "--update-baseline"])
    assert "mean nothing" in capsys.readouterr().err


def test_the_committed_baseline_is_of_benches_that_exist() -> None:
    known = baseline.read()["benches"]
    assert known
    for each in known:
        assert each["bench"] in runner.names()
        assert not each["quick"]
        assert each["rows"]


def test_json_goes_to_standard_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["policy", "--quick", "--json", "-"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written["benches"][0]["bench"] == "policy"
    assert written["machine"].keys() == {"python", "system", "cores", "load"}


def test_the_slope_of_a_soak_is_that_of_a_line_per_hour() -> None:
    assert round(slope([(0.0, 5.0), (60.0, 6.0), (120.0, 7.0)]), 9) == 60.0
    assert slope([(0.0, 5.0), (60.0, 6.0), (120.0, 5.0)]) == 0.0
    assert slope([(1.0, 5.0)]) == slope([]) == 0.0


def test_an_error_of_a_soak_is_expected_only_after_what_causes_it() -> None:
    tally = Tally()
    refusal = b"the cluster refused the gateway's credential"
    assert is_refused(503, refusal)
    assert not is_refused(502, refusal)
    assert not is_refused(503, b"the disk is full")
    tally.failed("reads", "503", refused=True)
    assert (tally.expected.total(), dict(tally.unexpected)) == (0, {"reads: 503": 1})
    tally.revoked_at = time.monotonic()
    tally.failed("reads", "503", refused=True)
    tally.failed("reads", "502")
    assert (tally.expected.total(), tally.unexpected.total()) == (1, 2)


def test_minutes_reach_the_bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given: list[float] = []
    bench = ModuleType("soak", "What it is.")
    bench.run = lambda meter: given.append(meter.minutes)  # type: ignore[attr-defined]
    monkeypatch.setattr(runner, "load", lambda _: bench)
    assert runner.main(["soak", "--minutes", "2.5"]) == runner.main(["soak"]) == 0
    assert given == [2.5, SOAK_MINUTES]
    assert "What it is" in capsys.readouterr().out
