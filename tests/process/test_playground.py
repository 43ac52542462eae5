"""The playground of a running gateway: by reviewers only, where it is switched on; nothing reaches the cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.process.gateway import Gateway
from tests.process.reviewing import Reviewer, make

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def playing(sandbox: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    running = Gateway(tmp_path_factory.mktemp("play"), sandbox, options=["--set", "pratique_playground=true"]).start()
    yield running
    running.stop()


def test_a_recorded_request_is_picked_and_tried_with_another_policy(playing: Gateway) -> None:
    make(playing, "play-recorded", password="hunter2hunter2")
    alice = Reviewer(playing, "alice")
    choices = alice.call("GET", "/playground").json
    assert {"policy.yaml", "masking.yaml"} <= {each["name"] for each in choices["policies"]}
    assert choices["clients"] == ["agent", "other"]
    (row,) = [each for each in choices["recorded"] if each["words"].startswith("create configmaps")][:1]
    chosen = alice.call("GET", f"/playground/recorded/{row['session']}.{row['entry']}").json
    assert chosen["client"] == "agent"
    assert "hunter2hunter2" not in str(chosen)
    before = len(playing.seen("play-recorded"))
    said = alice.call("POST", "/playground", {"request": chosen["request"], "client": "agent"}).json
    assert said["steps"][0]["action"] == "Allow"
    text = next(each["text"] for each in choices["policies"] if each["name"] == "policy.yaml")
    tighter = text.replace("resources: [configmaps, secrets], action: Allow", "resources: [secrets], action: Allow")
    assert tighter != text
    said = alice.call("POST", "/playground", {"request": chosen["request"], "client": "agent", "policy": tighter}).json
    assert said["steps"][0]["action"] == "Deny"
    assert len(playing.seen("play-recorded")) == before, "nothing was sent"


def test_only_a_reviewer_is_answered_and_only_where_it_is_switched_on(
    playing: Gateway, make_gateway: Callable[..., Gateway]
) -> None:
    nobody = Reviewer(playing, "alice")
    nobody.key = playing.keys["agent"]
    assert nobody.call("GET", "/playground").code == 401
    assert nobody.call("POST", "/playground", {"request": "/api"}).code == 401
    alice = Reviewer(playing, "alice")
    assert alice.call("GET", "/playground/recorded/20260101T000000000Z-aaaaaaaaaaaaaaaa.1").code == 404
    assert alice.call("POST", "/playground", {"request": "/api", "more": 1}).code == 400
    assert alice.call("GET", "/me").json["playground"]
    closed = make_gateway().start()
    bob = Reviewer(closed, "bob")
    assert bob.call("GET", "/playground").code == 404
    assert not bob.call("GET", "/me").json["playground"]
