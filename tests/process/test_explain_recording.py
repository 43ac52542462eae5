"""`pratique explain` on what a gateway recorded."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from pratique.cli import main
from pratique.recorder.sessions import Recordings
from tests.process.gateway import Gateway

pytestmark = pytest.mark.process
PROBE = "/api/v1/namespaces/payments/configmaps/explained-probe"


def explained(gateway: Gateway, what: str) -> list[dict]:
    arguments = ["explain", "-o", "json", "--policies", str(gateway.policies), "--state", str(gateway.state), what]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_recorded_session_and_its_flow_file_are_explained_as_they_were_judged(gateway: Gateway) -> None:
    gateway.call("GET", PROBE + "?pretty=true")
    gateway.call("DELETE", "/api/v1/namespaces/explained-probe")
    found = Recordings(gateway.state)
    answers = [answer for session in found.ids() for answer in explained(gateway, session)]
    probes = [answer for answer in answers if "explained-probe" in str(answer["attributes"])]
    assert [(a["attributes"]["verb"], a["verdict"]["action"], a["verdict"]["rules"]) for a in probes] == [
        ("get", "Allow", ["test/read", "test/write"]),
        ("delete", "Deny", ["test/no-namespaces"]),
    ]
    assert all("recorded:" in probe["assumed"][0] for probe in probes)
    files = [part for session in found.ids() for part in found.parts(session) if part.suffix == ".flow"]
    (file,) = [path for path in files if b"configmaps/explained-probe" in path.read_bytes()]
    assert any("configmaps/explained-probe" in str(answer["attributes"]) for answer in explained(gateway, str(file)))
