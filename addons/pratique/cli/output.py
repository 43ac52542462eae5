"""What the commands share: options, tables that are aligned on a terminal and plain in a pipe, times, folders.

Belongs here: presentation. Control characters never reach a terminal from data: `harmless`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pratique.kube.status import harmless

STYLES = {
    "Allow": "green",
    "approved": "green",
    "used": "green",
    "RequireApproval": "yellow",
    "pending": "yellow",
    "Deny": "red",
    "denied": "red",
    "refused": "red",
    "ok": "green",
    "warning": "yellow",
    "broken": "red",
}

_SURROGATE = re.compile("[\ud800-\udfff]")

output_option = click.option(
    "--output", "-o", type=click.Choice(["text", "json"]), default="text", help="How to print."
)


def state_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--state DIR`, else PRATIQUE_STATE, else `.pratique`."""
    default = os.environ.get("PRATIQUE_STATE", ".pratique")
    return click.option(
        "--state", type=click.Path(path_type=Path), default=default, help="The gateway's state folder."
    )(function)


def console(*, err: bool = False) -> Console:
    """Coloured on a terminal, plain and unwrapped in a pipe. `err`: standard error."""
    stream = sys.stderr if err else sys.stdout
    return Console(soft_wrap=not stream.isatty(), highlight=False, stderr=err)


def print_json(value: Any, *, err: bool = False) -> None:
    """One line. Lone surrogates, which UTF-8 has no bytes for, are escaped."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=False, default=str)
    click.echo(_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text), err=err)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, err: bool = False) -> None:
    """Aligned columns on a terminal; tab-separated in a pipe. `err`: on standard error."""
    if not (sys.stderr if err else sys.stdout).isatty():
        for row in rows:
            click.echo("\t".join(harmless(str(cell)) for cell in row), err=err)
        return
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        shown.add_column(heading, overflow="fold")
    for row in rows:
        cells = [harmless(str(cell)) for cell in row]
        shown.add_row(*[Text(cell, style=STYLES.get(cell, "")) for cell in cells])
    console(err=err).print(shown)


def time_of(seconds: float | None) -> str:
    """UTC, to the second; empty for none."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if seconds else ""


def default_policies() -> Path:
    """`policies/` beside `addons/`, where this is a checkout; else `policies` here."""
    beside = Path(__file__).parents[3] / "policies"
    return beside if beside.is_dir() else Path("policies")
