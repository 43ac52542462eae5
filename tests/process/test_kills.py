"""A killed gateway has lost nothing that a client saw; fifty more kills are one command away (see kills.py)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pratique.sandbox.cluster import Sandbox
from tests.process.gateway import Gateway
from tests.process.kills import LONGEST_SECONDS, kill_once

pytestmark = pytest.mark.process


@pytest.mark.parametrize("run", range(2))
def test_after_kill_nine_every_finished_request_is_in_the_files(sandbox: Sandbox, tmp_path: Path, run: int) -> None:
    moment = random.uniform(0, LONGEST_SECONDS)
    requests, _, unsealed = kill_once(Gateway(tmp_path / "gateway", sandbox), run, moment)
    assert requests
    assert unsealed, "a kill leaves an open end: else the gateway was not killed at work"
