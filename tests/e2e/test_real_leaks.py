"""The leak catalogue again, in front of a real cluster: whatever needs no scripted answer. The tests are tests/process' own."""
# ruff: noqa: F401 - tests are imported to be run here, with the fixtures of this module

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import real
from tests.masking.canary import find
from tests.process import leaks
from tests.process.gateway import Gateway
from tests.process.leaks import Probe
from tests.process.streams import V5, WebSocketClient, exec_target
from tests.process.test_leaks import (
    test_leak_a01_a02_a03_a07_whatever_is_accepted_is_answered_in_json,
    test_leak_a04_rows_of_a_table_hold_annotations,
    test_leak_a05_include_object_shows_whole_secrets,
    test_leak_a06_partial_objects_hold_annotations,
    test_leak_a08_a_compressed_answer_is_not_asked_for,
    test_leak_a11_head_has_no_body,
    test_leak_b01_b04_a_watch_in_any_spelling,
    test_leak_b02_a_deleted_event_carries_the_last_state,
    test_leak_b03_initial_events_and_their_bookmark,
    test_leak_b06_protobuf_frames_are_not_asked_for,
    test_leak_b07_a_table_watch,
    test_leak_b08_a_watch_over_websocket_becomes_an_ordinary_one,
    test_leak_b10_b11_pages_and_all_namespaces,
    test_leak_c01_the_answers_of_writes,
    test_leak_c02_c04_dry_runs_are_reads,
    test_leak_c03_deletecollection_answers_with_the_objects,
    test_leak_c08_a_dry_run_does_not_tell_whether_a_guess_was_right,
    test_leak_c12_a_token_review_echoes_the_token,
    test_leak_c13_a_parse_error_quotes_the_body,
    test_leak_e_the_length_of_a_value_does_not_show,
    test_leak_h05_a_mirror_of_a_secret_the_client_has_read,
    test_leak_l_what_a_client_sends_is_not_written_down,
)
from tests.process.test_leaks_copies import test_leak_d

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]
POD = "leaks"


@pytest.fixture
def pod(probe: Probe) -> Iterator[str]:
    """A pod that says the probe's value: in its log, and as a file."""
    name = f"{POD}-{secrets.token_hex(3)}"
    script = f"echo token={probe.value}; echo {probe.encoded}; echo said; sleep 600"
    container: dict[str, Any] = {"name": "c", "image": real.IMAGE, "command": ["sh", "-c", script]}
    container |= {"imagePullPolicy": "Never", "env": [{"name": "PASSWORD", "value": probe.value}]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    probe.plant(f"{leaks.N}/pods", document)
    target = f"{leaks.N}/pods/{name}"
    real.eventually(lambda: probe.gateway.behind("GET", target).json["status"].get("phase") == "Running")
    yield name
    probe.gateway.behind("DELETE", target)


def test_leak_f04_logs(probe: Probe, pod: str) -> None:
    probe.get(probe.plant_secret())  # so that the client has seen it masked
    real.eventually(lambda: b"said" in probe.gateway.behind("GET", f"{leaks.N}/pods/{pod}/log").body)
    assert b"said" in probe.get(f"{leaks.N}/pods/{pod}/log").body
    assert b"said" in probe.stream(f"{leaks.N}/pods/{pod}/log?follow=true", b"said")


def test_leak_f_exec_and_objects_of_a_pod(probe: Probe, pod: str) -> None:
    probe.get(probe.plant_secret())
    command = f"echo {probe.value}; env; echo {base64.b64encode(probe.value.encode()).decode()} >&2; cat /nothing"
    session = WebSocketClient(probe.gateway, exec_target(pod, "sh", "-c", command), V5)
    assert session.code == 101
    session.finish()
    probe.outputs += session.messages
    assert b"PASSWORD=" in session.output(1)
    for accept in ("application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"):
        probe.get(f"{leaks.N}/pods/{pod}", Accept=accept)
        probe.get(f"{leaks.N}/pods?includeObject=Object", Accept=accept)
    assert find(*session.messages, value=probe.value) == []
