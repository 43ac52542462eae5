"""What a bench measures with: rounds in alternating order, and the samples kept."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ROUNDS = 15  # per case; enough for a 10 % and a 90 % quantile that mean something
ROUND_SECONDS = 0.05  # of CPU; 50 times the resolution that a busy machine leaves
QUICK_ROUNDS = 3
QUICK_SECONDS = 0.002
MAX_CALLS = 1_000_000
SOAK_MINUTES = 1.0  # of `soak`, where nothing else is asked for: long enough to see a leak of every request
UNITS = {"s": 1.0, "ms": 1e3, "µs": 1e6, "ns": 1e9}


@dataclass(frozen=True)
class Row:
    """Samples of one case, in `unit`. `against` names the row that it is compared with, `budget` is in `unit`."""

    name: str
    unit: str
    samples: tuple[float, ...]
    against: str = ""
    budget: float | None = None
    smaller_is_better: bool = True

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """The 10 % and the 90 % quantile."""
        if len(self.samples) < 2:
            return self.median, self.median
        tenths = statistics.quantiles(self.samples, n=10, method="inclusive")
        return tenths[0], tenths[-1]

    @property
    def within_budget(self) -> bool | None:
        if self.budget is None:
            return None
        return self.median <= self.budget if self.smaller_is_better else self.median >= self.budget


@dataclass
class Meter:
    """Collects rows. `quick`: few and short rounds, to see that a bench works; its figures mean nothing.

    `minutes`: how long a bench of endurance lasts.
    """

    quick: bool = False
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    minutes: float = SOAK_MINUTES

    def compare(
        self,
        cases: Mapping[str, Callable[[], Any]],
        *,
        unit: str = "µs",
        against: str = "",
        budgets: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        """Times each function, per call, in CPU time unless another clock is given.

        `against` is the case that the others are compared with ("": the first).
        """
        calls = {name: self._calls(function, clock) for name, function in cases.items()}
        samples: dict[str, list[float]] = {name: [] for name in cases}
        names = list(cases)
        for number in range(QUICK_ROUNDS if self.quick else ROUNDS):
            for name in names if number % 2 == 0 else reversed(names):
                samples[name].append(_time(cases[name], calls[name], clock) * UNITS[unit])
        base = against or names[0]
        for name in names:
            budget = (budgets or {}).get(name)
            self.add(name, samples[name], unit, against="" if name == base else base, budget=budget)

    def add(
        self,
        name: str,
        samples: Sequence[float],
        unit: str,
        *,
        against: str = "",
        budget: float | None = None,
        smaller_is_better: bool = True,
    ) -> Row:
        """A row that the bench has measured itself (latencies of requests, bytes of memory, requests a second)."""
        row = Row(name, unit, tuple(samples), against, budget, smaller_is_better)
        self.rows.append(row)
        return row

    def note(self, text: str) -> None:
        """A line under the table: what was not measured, what the figure depends on."""
        self.notes.append(text)

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def ratio(self, row: Row) -> float | None:
        """Of the medians; None for a row that is compared with nothing."""
        if not row.against:
            return None
        base = self.row(row.against).median
        return row.median / base if base else None

    def _calls(self, function: Callable[[], Any], clock: Callable[[], float]) -> int:
        """How many calls make a round; they also warm up."""
        wanted = QUICK_SECONDS if self.quick else ROUND_SECONDS
        calls = 1
        while calls < MAX_CALLS:
            took = _time(function, calls, clock) * calls
            if took >= wanted / 2:
                return max(1, round(calls * wanted / took))
            calls *= 4
        return calls


def _time(function: Callable[[], Any], calls: int, clock: Callable[[], float]) -> float:
    started = clock()
    for _ in range(calls):
        function()
    return (clock() - started) / calls
