"""The rows of benches as a table for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.baseline import Rows
from tests.bench.meter import Meter, Row


def machine() -> dict[str, Any]:
    """What figures depend on and may be published."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def as_json(name: str, summary: str, meter: Meter) -> dict[str, Any]:
    return {
        "bench": name,
        "summary": summary,
        "quick": meter.quick,
        "rows": [_row_json(meter, row) for row in meter.rows],
        "notes": meter.notes,
    }


def _row_json(meter: Meter, row: Row) -> dict[str, Any]:
    low, high = row.spread
    return {
        "name": row.name,
        "ratio": meter.ratio(row),
        "against": row.against or None,
        "median": row.median,
        "p10": low,
        "p90": high,
        "unit": row.unit,
        "samples": len(row.samples),
        "budget": row.budget,
        "withinBudget": row.within_budget,
    }


def show(console: Console, name: str, summary: str, meter: Meter, known: Rows | None = None) -> None:
    """Ratios first: they survive another machine, the medians do not. `known`: of the committed baseline."""
    table = Table(title=f"{name}: {summary}", title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("case")
    for heading in ("ratio", "median", "p10 to p90", "budget", *(["baseline"] if known else [])):
        table.add_column(heading, justify="right")
    for row in meter.rows:
        ratio = meter.ratio(row)
        low, high = row.spread
        table.add_row(
            row.name,
            "1" if ratio is None else f"{_figure(ratio)}×",
            f"{_figure(row.median)} {row.unit}",
            f"{_figure(low)} to {_figure(high)}",
            _budget(row),
            *([_baseline(known.get(row.name))] if known else []),
        )
    console.print(table)
    for note in meter.notes:
        console.print(f"  {note}", style="dim", markup=False)
    console.print()


def _baseline(row: Mapping[str, Any] | None) -> str:
    """The ratio, or the median where there is none."""
    if row is None:
        return ""
    return f"{_figure(row['median'])} {row['unit']}" if row["ratio"] is None else f"{_figure(row['ratio'])}×"


def _budget(row: Row) -> str:
    if row.budget is None:
        return ""
    mark = "[green]kept[/]" if row.within_budget else "[red]missed[/]"
    return f"{_figure(row.budget)} {row.unit} {mark}"


def _figure(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
