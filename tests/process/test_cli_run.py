"""`pratique run` as people start it, and the other commands beside it while it serves."""

from __future__ import annotations

import json
import sys

import pytest

from pratique.sandbox.cluster import Sandbox
from tests.cli.conftest import module
from tests.process.gateway import Gateway

pytestmark = pytest.mark.process


class Run(Gateway):
    def command(self) -> list[str]:
        folders = ["--policies", str(self.policies), f"--state={self.state}"]
        return [
            sys.executable,
            "-m",
            "pratique.cli",
            "run",
            *folders,
            "--listen-host",
            "127.0.0.1",
            "-p",
            str(self.port),
        ]


def test_the_command_serves_until_it_is_told_to_stop_and_its_recordings_can_be_read_meanwhile(
    sandbox: Sandbox, tmp_path
) -> None:
    gateway = Run(tmp_path / "gateway", sandbox).start()
    try:
        assert gateway.call("GET", "/api/v1/namespaces").code == 200
        listed = json.loads(module("sessions", "list", "--state", gateway.state, "-o", "json").stdout)
        assert [row["verbs"] for row in listed] == [["list"]]
        shown = module("sessions", "show", listed[0]["session"], "--state", gateway.state)
        assert "list namespaces" in shown.stdout
        assert module("sessions", "verify", "--state", gateway.state).returncode == 0
    finally:
        assert gateway.stop() == 0
    verified = module("sessions", "verify", "--state", gateway.state)
    assert verified.stdout.startswith("ok: 1 sessions, 1 records\n")
