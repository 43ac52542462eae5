from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.sandbox import managed

NOW = "2026-01-01T00:00:00Z"
BASE = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}


def _spec(**spec):
    return {**copy.deepcopy(BASE), "spec": spec}


def _apply(live, applied, manager="a"):
    return managed.apply(live, applied, manager, NOW)


def test_a_field_that_its_only_manager_gives_up_is_removed():
    live = _apply(None, _spec(replicas=1, paused=True))
    assert _apply(live, _spec(replicas=1))["spec"] == {"replicas": 1}


def test_a_field_that_another_manager_also_owns_stays():
    live = _apply(_apply(None, _spec(replicas=1)), _spec(replicas=1), "b")
    assert _apply(live, _spec())["spec"]["replicas"] == 1


def test_keyed_items_are_merged_and_removed_by_their_owner():
    one = _spec(containers=[{"name": "x", "image": "1"}], finalizers=["f"])
    live = _apply(None, one)
    live = _apply(live, _spec(containers=[{"name": "y", "image": "1"}], finalizers=["g"]), "b")
    assert [item["name"] for item in live["spec"]["containers"]] == ["x", "y"]
    assert live["spec"]["finalizers"] == ["f", "g"]
    live = _apply(live, _spec())
    assert [item["name"] for item in live["spec"]["containers"]] == ["y"]
    assert live["spec"]["finalizers"] == ["g"]


def test_a_conflict_is_a_field_of_another_manager_with_another_value():
    live = _apply(None, _spec(replicas=1))
    assert managed.conflicts(live, _spec(replicas=2), "b") == [("a", ("f:spec", "f:replicas"))]
    assert managed.conflicts(live, _spec(replicas=1), "b") == []
    assert managed.conflicts(live, _spec(replicas=2), "a") == []


def test_a_forced_apply_takes_the_field():
    live = _apply(_apply(None, _spec(replicas=1)), _spec(replicas=2), "b")
    assert managed.conflicts(live, _spec(replicas=3), "b") == []
    assert [entry["manager"] for entry in live["metadata"]["managedFields"]] == ["b"]


def test_an_update_owns_what_it_changed():
    old = _spec(replicas=1, paused=True)
    managed.record_update(None, old, "a", NOW)
    new = copy.deepcopy(old)
    new["spec"]["replicas"] = 2
    managed.record_update(old, new, "b", NOW)
    managed.record_update(new, again := copy.deepcopy(new), "c", NOW)
    owners = {entry["manager"]: entry["fieldsV1"] for entry in again["metadata"]["managedFields"]}
    assert owners == {"a": {"f:spec": {"f:paused": {}}}, "b": {"f:spec": {"f:replicas": {}}}}
    status = {**again, "status": {"x": 1}}
    managed.record_update(again, status, "b", NOW, "status")
    assert status["metadata"]["managedFields"][-1]["subresource"] == "status"


def test_lists_and_sets_have_elements_of_their_own():
    paths = managed.paths_of(_spec(containers=[{"name": "x", "args": ["1"]}], finalizers=["f"], empty={}, none=[]))
    item = ("f:spec", "f:containers", 'k:{"name":"x"}')
    assert {item, (*item, "f:args"), ("f:spec", "f:finalizers", 'v:"f"'), ("f:spec", "f:empty")} <= paths
    assert managed.value_at(_spec(containers=3), item) is managed.MISSING
    assert managed.value_at(_spec(finalizers=["f"]), ("f:spec", "f:finalizers", 'v:"g"')) is managed.MISSING


JSON_VALUES = st.recursive(
    st.integers(0, 3) | st.sampled_from(["x", "y"]),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), JSON_VALUES, max_size=3))
def test_fields_survive_a_round_trip_and_applying_twice_changes_nothing(spec):
    paths = managed.paths_of(_spec(**spec))
    assert managed.from_fields(managed.to_fields(paths)) == paths
    live = _apply(None, _spec(**spec))
    assert _apply(live, _spec(**spec)) == live
