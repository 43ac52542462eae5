"""A folder is in force as a whole or not at all; a bad edit keeps the old set and says so until it is mended."""

from __future__ import annotations

import logging
import os
import time

import pytest

from pratique import loaded
from pratique.errors import DocumentErrors
from pratique.loaded import AGAIN_SECONDS, Live, load
from pratique.policy.decision import PolicySet
from pratique.policy.discovery_class import DiscoveredAttributes
from pratique.policy.request import PolicyRequest
from pratique.verdict import Action

CLUSTER = "apiVersion: pratique/v1\nkind: Cluster\nmetadata: {name: c}\nspec: {sandbox: {}}\n"
POLICY = """apiVersion: pratique/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: all, verbs: [get], resources: [pods, secrets], action: Allow}
    - {name: no-secrets, verbs: [get], resources: [secrets], action: Deny}
"""
MASKS = """apiVersion: pratique/v1
kind: MaskPolicy
metadata: {name: m}
spec: {rules: [{name: r, jsonPaths: [$.data], as: string}]}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    write(tmp_path / "policy.yaml", POLICY)
    return tmp_path


@pytest.fixture
def clock():
    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    return Clock()


written = iter(range(1, 10_000))


def write(file, text):
    """Each time with another mtime, as a person's edits have."""
    file.write_text(text)
    os.utime(file, ns=(time.time_ns(), time.time_ns() + next(written) * 1_000_000))


def action(live, resource):
    attributes = DiscoveredAttributes("get", "", "v1", resource, "", "dev", "a")
    return live.current.policies.decide(PolicyRequest("anyone", attributes)).action


def test_a_good_edit_is_in_force_at_the_next_look(folder, clock):
    live = Live(folder, clock)
    assert (live.reload(), action(live, "pods")) == (False, Action.ALLOW)
    write(folder / "policy.yaml", POLICY.replace("pods, ", ""))
    assert (live.reload(), action(live, "pods")) == (True, Action.DENY)
    assert not live.reload()


BAD = {
    "not YAML": "a: [",
    "a verb that is none": POLICY.replace("[get]", "[gett]", 1),
    "a rule without resources": POLICY.replace("resources: [pods, secrets], ", ""),
    "a condition with a mistake": POLICY.replace("action: Allow", 'action: Allow, conditions: [{name: c, expression: "x"}]'),
    "half of it": POLICY[:-40],
    "empty": "",
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_bypass_7_a_bad_edit_keeps_the_whole_old_set_and_shouts(folder, clock, caplog, bad):
    live = Live(folder, clock)
    before = live.current
    write(folder / "policy.yaml", bad)
    write(folder / "masks.yaml", MASKS)  # a good edit beside a bad one is not taken either
    assert not live.reload()
    if bad:
        assert live.current is before
        assert "NOT in force" in caplog.text
        assert f"{folder / 'policy.yaml'}:" in caplog.text
    assert action(live, "secrets") is Action.DENY


def test_bypass_7_a_file_that_goes_missing_takes_its_rules_with_it_or_nothing_changes(folder, clock, caplog):
    live = Live(folder, clock)
    (folder / "cluster.yaml").unlink()
    assert not live.reload()
    assert "no `kind: Cluster`" in caplog.text
    assert action(live, "pods") is Action.ALLOW
    (folder / "cluster.yaml").write_text(CLUSTER)
    (folder / "policy.yaml").unlink()
    live.reload()
    assert action(live, "pods") is Action.DENY, "no policy denies everything"


def test_bypass_7_a_folder_that_goes_missing_or_cannot_be_read_keeps_the_old_set(
    folder, clock, caplog, tmp_path_factory
):
    live = Live(folder, clock)
    away = tmp_path_factory.mktemp("away") / "moved"
    folder.rename(away)
    assert not live.reload()
    assert "NOT in force" in caplog.text
    away.rename(folder)
    assert not live.reload(), "as it was"
    assert action(live, "pods") is Action.ALLOW


@pytest.mark.parametrize("error", [RecursionError("deep"), MemoryError(), TypeError("a bug"), KeyError("value-CANARY")])
def test_bypass_7_whatever_is_raised_while_reading_the_old_set_stays_and_the_next_look_comes(
    folder, clock, caplog, monkeypatch, error
):
    live = Live(folder, clock)
    before = live.current

    def broken(_documents):
        raise error

    write(folder / "policy.yaml", POLICY.replace("pods, ", ""))
    monkeypatch.setattr(loaded, "READERS", (broken,))
    assert not live.reload()
    assert live.current is before
    assert type(error).__name__ in caplog.text
    assert "CANARY" not in caplog.text
    monkeypatch.undo()
    clock.now += AGAIN_SECONDS
    assert live.reload()


def test_a_bad_set_is_read_and_shouted_about_once_a_minute_not_at_every_look(folder, clock, caplog, monkeypatch):
    live = Live(folder, clock)
    write(folder / "policy.yaml", BAD["a verb that is none"])
    reads = []
    monkeypatch.setattr(loaded, "load", lambda where: reads.append(where) or load(where))
    for _ in range(3):
        live.reload()
        clock.now += 1
    assert (len(reads), caplog.text.count("NOT in force")) == (1, 1)
    clock.now += AGAIN_SECONDS
    live.reload()
    assert (len(reads), caplog.text.count("NOT in force")) == (2, 2)
    write(folder / "policy.yaml", BAD["not YAML"])
    live.reload()
    assert caplog.text.count("NOT in force") == 3, "another mistake is said at once"
    write(folder / "policy.yaml", POLICY)
    with caplog.at_level(logging.WARNING):
        assert live.reload()
    assert "documents reloaded" in caplog.text


def test_a_file_that_is_still_being_written_is_not_taken_although_its_first_half_is_valid(folder, clock, monkeypatch):
    live = Live(folder, clock)
    half = POLICY[: POLICY.index("    - {name: no-secrets")]
    write(folder / "policy.yaml", half)

    def slowly(where):
        found = load(where)
        write(folder / "policy.yaml", POLICY)  # the writer comes to the end while we read
        return found

    monkeypatch.setattr(loaded, "load", slowly)
    assert not live.reload()
    assert action(live, "secrets") is Action.DENY
    monkeypatch.undo()
    assert live.reload()
    assert action(live, "secrets") is Action.DENY


def test_another_cluster_is_not_taken_while_running_but_the_rest_is(folder, clock, caplog):
    live = Live(folder, clock)
    (folder / "cluster.yaml").write_text(CLUSTER.replace("name: c", "name: other"))
    write(folder / "policy.yaml", POLICY.replace("pods, ", ""))
    assert live.reload()
    assert live.current.cluster.name == "c"
    assert "needs a restart" in caplog.text
    assert action(live, "pods") is Action.DENY


def test_bypass_7_a_folder_that_cannot_be_used_is_fatal_at_start_with_every_error(folder):
    write(folder / "policy.yaml", BAD["a verb that is none"])
    write(folder / "masks.yaml", MASKS.replace("as: string", "as: strin"))
    with pytest.raises(DocumentErrors) as caught:
        Live(folder)
    assert {error.position.file.rpartition("/")[2] for error in caught.value.errors} == {"policy.yaml", "masks.yaml"}
    with pytest.raises(DocumentErrors):
        Live(folder / "missing")


def test_a_swap_is_one_assignment(folder, clock):
    """What a request holds on to stays the set that it began with."""
    live = Live(folder, clock)
    held: PolicySet = live.current.policies
    write(folder / "policy.yaml", POLICY.replace("pods, ", ""))
    assert live.reload()
    assert live.current.policies is not held
    attributes = DiscoveredAttributes("get", "", "v1", "pods", "", "dev", "a")
    assert held.decide(PolicyRequest("a", attributes)).action is Action.ALLOW


def test_a_bad_edit_is_a_problem_until_it_is_mended_or_taken_back(folder, clock):
    live = Live(folder, clock)
    assert live.problem == ""
    good = folder / "policy.yaml"
    before = good.stat()
    write(good, "kind: [")
    live.reload()
    assert "policy.yaml:1" in live.problem
    good.write_text(POLICY)
    os.utime(good, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (live.reload(), live.problem) == (False, "")
    write(good, "kind: [")
    live.reload()
    write(good, POLICY.replace("pods, ", ""))
    assert (live.reload(), live.problem) == (True, "")
