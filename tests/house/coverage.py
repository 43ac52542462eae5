"""Branch coverage of the pure modules, each on its own: a mean would hide the one that nobody tests.

`scripts/coverage` runs it, after `pytest --cov`. Prints the modules below `LEAST` and what is not reached; exits 1.
Pure modules are those that the import contracts of pyproject name: `pratique.kube`, `pratique.tunnel` and the deciding ones.
What a real gateway's process runs is not measured.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import coverage
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
LEAST = 90
"""Per cent of lines and branches together. What is missing is mostly the second half of an `or` that only a fuzz reaches."""
WHOLE = ("kube", "tunnel")
CONTRACT = "deciding and masking are pure"


def pure_modules() -> list[Path]:
    """Files of the pure modules."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (named,) = (contract["source_modules"] for contract in contracts if contract["name"] == CONTRACT)
    files = {ROOT / "addons" / f"{name.replace('.', '/')}.py" for name in named}
    for package in WHOLE:
        files.update((ROOT / "addons" / "pratique" / package).rglob("*.py"))
    return sorted(files)


def measured(data: coverage.Coverage, file: Path) -> tuple[float, Any]:
    """Per cent, and coverage's own analysis."""
    analysis = data._analyze(str(file))  # noqa: SLF001 - `analysis2` knows no branches
    return analysis.numbers.pc_covered, analysis


def main() -> int:
    data = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    data.load()
    table = Table("module", "%", "not reached", box=None, pad_edge=False)
    modules = pure_modules()
    for file in modules:
        share, analysis = measured(data, file)
        if share < LEAST:
            table.add_row(
                str(file.relative_to(ROOT / "addons")), f"{share:.1f}", analysis.missing_formatted(branches=True)
            )
    console = Console(width=200)
    console.print(f"branch coverage: {len(modules)} pure modules, {table.row_count} below {LEAST} %")
    if table.row_count:
        console.print(table)
    return 1 if table.row_count else 0


if __name__ == "__main__":
    sys.exit(main())
