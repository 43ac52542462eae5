"""With real kubectl and a real cluster: what exec shows is masked and recorded, over WebSocket and over SPDY."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import CANARY
from tests.e2e.real import Kubectl, eventually
from tests.process.gateway import Gateway

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]

MASK = "**masked-by-pratique**"
SPLIT = (
    'printf "a ${CANARY%????????}"; sleep 0.05; printf "${CANARY#${CANARY%????????}} b\\n"; env | grep CANARY; exit 3'
)


def casts(gateway: Gateway, marker: str) -> list[list[Any]]:
    """Finished casts that mention `marker`."""
    texts = [path.read_text() for path in gateway.state.rglob("*.cast")]
    found = [[json.loads(line) for line in text.splitlines()] for text in texts if marker in text]
    return [lines for lines in found if lines[-1][1] == "m"]


def test_leaks_F1_a_value_split_over_writes_is_masked_in_exec_and_in_its_cast(
    real_gateway: Gateway, kubectl: Kubectl, request: pytest.FixtureRequest
) -> None:
    marker = f"split-{kubectl.namespace}-{request.node.callspec.id}"
    done = kubectl("exec", "box", "--", "sh", "-c", SPLIT, marker)
    assert (done.code, done.out) == (3, f"a {MASK} b\nCANARY={MASK}\n")
    (cast,) = eventually(lambda: casts(real_gateway, marker))
    assert "".join(line[2] for line in cast[1:] if line[1] == "o").replace("\r", "") == done.out
    assert cast[-1][1:] == ["m", "exit 3"]
    assert CANARY.encode() not in real_gateway.recorded()


def test_leaks_F2_a_copy_that_holds_a_masked_value_fails_and_writes_nothing_of_it(
    kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("copied")
    kubectl.ok("exec", "box", "--", "sh", "-c", 'echo "$CANARY" > /tmp/held; echo harmless > /tmp/free')
    kubectl.ok("cp", "box:/tmp/free", str(folder / "free"))
    assert (folder / "free").read_text() == "harmless\n"
    done = kubectl("cp", "box:/tmp/held", str(folder / "held"))
    assert "masked for you" in done.all
    assert not [path for path in folder.rglob("*") if path.is_file() and CANARY in path.read_text()]


def test_a_command_that_cannot_start_says_so_in_its_cast(real_gateway: Gateway, kubectl: Kubectl) -> None:
    done = kubectl("exec", "box", "--", "no-such-program")
    assert done.code != 0
    found = eventually(lambda: casts(real_gateway, "no-such-program"))
    assert any("no-such-program" in line[2] and line[2].startswith("failed: ") for line in found[-1][1:])
