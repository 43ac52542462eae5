from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pratique.cli import main
from tests.cli import support

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with two sessions; tests only read it."""
    return support.make_state(tmp_path_factory.mktemp("state"))


@pytest.fixture
def own_state(tmp_path: Path) -> Path:
    """The same, for tests that change it."""
    return support.make_state(tmp_path / "state")


@pytest.fixture
def run() -> Callable[..., Result]:
    """`run("sessions", "list", …)` in this process, as in a pipe. An exception that leaves the command is the test's."""

    def invoke(*arguments: str | Path, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, [str(each) for each in arguments], input=stdin, catch_exceptions=False)

    return invoke


@pytest.fixture
def run_json(run: Callable[..., Result]) -> Callable[..., Any]:
    def invoke(*arguments: str | Path, code: int = 0) -> Any:
        result = run(*arguments, "--output", "json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    return invoke


def module(*arguments: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """`python -m pratique.cli …` as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "addons")}
    command = [sys.executable, "-m", "pratique.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, **more)
