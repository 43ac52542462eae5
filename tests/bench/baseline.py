"""The figures that are committed beside the benches (`baseline.json`), to compare one's own with: as `--json` writes them.

Ratios are what can be compared: they were taken in one run of one machine. Medians are that machine's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("baseline.json")

type Rows = Mapping[str, Mapping[str, Any]]
"""By the name of the row."""


def read(file: Path = FILE) -> dict[str, Any]:
    """As it was written; no benches where there is no file."""
    return dict(json.loads(file.read_text())) if file.exists() else {"benches": []}


def rows_of(known: Mapping[str, Any], bench: str) -> Rows:
    """Of one bench; empty where it was not measured."""
    found = next((each for each in known["benches"] if each["bench"] == bench), None)
    return {row["name"]: row for row in found["rows"]} if found else {}


def update(results: Sequence[Mapping[str, Any]], machine: Mapping[str, Any], file: Path = FILE) -> None:
    """Puts these benches in place of what was known of them; the others stay. The machine is noted with each."""
    kept = {each["bench"]: each for each in read(file)["benches"]}
    kept |= {each["bench"]: {**each, "machine": dict(machine)} for each in results}
    text = json.dumps({"benches": [kept[name] for name in sorted(kept)]}, indent=1, ensure_ascii=False)
    file.write_text(text + "\n")
