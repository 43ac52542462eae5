"""README's `./scripts/demo --tour`, as a machine without kubectl runs it: with the Python client."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.process.gateway import ROOT


@pytest.mark.process
def test_the_tour_sees_all_six_outcomes_with_the_python_client() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "addons"), "PATH": "/nonexistent"}
    environment.pop("PRATIQUE_KUBECTL", None)
    done = subprocess.run(
        [sys.executable, "-m", "pratique.sandbox.demo", "--tour"],
        capture_output=True, text=True, timeout=280, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tour with the Python client" in done.stdout
    assert done.stdout.count(": ok") == 6
