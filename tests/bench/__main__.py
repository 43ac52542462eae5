"""`python -m tests.bench [NAME…] [--json FILE] [--quick] [--minutes N] [--list] [--update-baseline]`."""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import pkgutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

from tests import bench
from tests.bench import baseline, meter, report

RUNNER = {"__main__", "baseline", "load", "meter", "mix", "report"}


def names() -> list[str]:
    """Every module of the package that is not the runner."""
    return sorted(module.name for module in pkgutil.iter_modules(bench.__path__) if module.name not in RUNNER)


def load(name: str) -> ModuleType:
    return importlib.import_module(f"tests.bench.{name}")


def summary(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().split("\n", 1)[0].rstrip(".")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measurements, side by side in one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="benches to run; none: all")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the figures to FILE (- for standard output)"
    )
    parser.add_argument(
        "--update-baseline",
        action="store_true",
        help="put the figures into tests/bench/baseline.json, which later runs show beside theirs",
    )
    parser.add_argument("--quick", action="store_true", help="short rounds, to see that it works; figures mean nothing")
    parser.add_argument(
        "--minutes",
        type=float,
        default=meter.SOAK_MINUTES,
        metavar="N",
        help="how long `soak` loads the gateway; default: %(default)g",
    )
    parser.add_argument("--list", action="store_true", help="say which benches there are")
    given = parser.parse_args(arguments)
    known = names()
    for name in given.names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"Did you mean `{near[0]}`?" if near else f"Known are {', '.join(known)}"
            print(f"bench: there is no bench `{name}`. {hint}", file=sys.stderr)
            return 2
    to_standard_output = given.json is not None and str(given.json) == "-"
    console = Console(stderr=to_standard_output, soft_wrap=not sys.stdout.isatty(), highlight=False)
    if given.list:
        for name in known:
            console.print(f"[bold]{name}[/]  {summary(load(name))}", markup=True)
        return 0
    if given.quick and given.update_baseline:
        parser.error("figures of --quick mean nothing, so they are no baseline")
    results = [_run(console, name, given) for name in given.names or known]
    if given.update_baseline:
        baseline.update(results, report.machine())
    if given.json is not None:
        text = json.dumps({"machine": report.machine(), "benches": results}, indent=2, ensure_ascii=False) + "\n"
        sys.stdout.write(text) if to_standard_output else given.json.write_text(text)
    return 0


def _run(console: Console, name: str, given: argparse.Namespace) -> dict[str, Any]:
    module = load(name)
    measured = meter.Meter(given.quick, minutes=given.minutes)
    with console.status(f"{name}: measuring"):
        module.run(measured)
    known = {} if given.quick else baseline.rows_of(baseline.read(), name)
    report.show(console, name, summary(module), measured, known)
    return report.as_json(name, summary(module), measured)


if __name__ == "__main__":
    sys.exit(main())
