from __future__ import annotations

import pytest

from pratique.sandbox import tables
from pratique.sandbox.resources import BUILT_IN
from tests.sandbox.kit import NOW


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-5, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (150, "2m30s"), (600, "10m"), (10799, "179m"),
     (10800, "3h"), (3600 * 7 + 120, "7h2m"), (3600 * 9, "9h"), (3600 * 49, "2d1h"), (86400 * 3, "3d"), (86400 * 9, "9d"),
     (86400 * 730, "2y"), (86400 * 740, "2y10d"), (86400 * 365 * 9, "9y")],
)  # fmt: skip
def test_ages_are_written_as_kubectl_shows_them(seconds, expected):
    assert tables.human_duration(seconds) == expected


@pytest.mark.parametrize("resource", [item for item in BUILT_IN if "list" in item.verbs], ids=lambda item: item.plural)
def test_every_row_has_a_cell_for_every_column_even_for_a_bare_object(resource):
    obj = {"metadata": {"name": "n"}, "roleRef": {}, "subjects": []}
    table = tables.table(resource, [obj], NOW)
    assert len(table["rows"][0]["cells"]) == len(table["columnDefinitions"])
    assert table["rows"][0]["cells"].count("n") >= 1
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_rows_carry_what_was_asked_for():
    resource = BUILT_IN[0]
    obj = {"metadata": {"name": "n"}, "data": {"a": "b"}}
    assert tables.table(resource, [obj], NOW, include="Object")["rows"][0]["object"] is obj
    assert "object" not in tables.table(resource, [obj], NOW, include="None")["rows"][0]
    assert tables.table(resource, [obj], NOW, headed=False)["columnDefinitions"] is None


def _pod(**status):
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"phase": "Running", **status},
    }


def test_the_status_of_a_pod_says_why_it_waits():
    resource = next(item for item in BUILT_IN if item.plural == "pods")
    waiting = [{"name": "c", "ready": False, "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    rows = tables.table(resource, [_pod(containerStatuses=waiting), _pod(reason="Evicted")], NOW)["rows"]
    assert rows[0]["cells"][1:4] == ["0/1", "CrashLoopBackOff", "4"]
    assert rows[1]["cells"][2] == "Evicted"
    gone = _pod()
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert tables.table(resource, [gone], NOW)["rows"][0]["cells"][2] == "Terminating"


def test_other_cells():
    by_name = {item.plural: item for item in BUILT_IN}
    service = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}]}}
    assert "80:30001/TCP" in tables.table(by_name["services"], [service], NOW)["rows"][0]["cells"]
    node = {"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/infra": ""}}, "spec": {"unschedulable": True}}
    assert tables.table(by_name["nodes"], [node], NOW)["rows"][0]["cells"][1:3] == [
        "NotReady,SchedulingDisabled",
        "infra",
    ]
    done = {"metadata": {"name": "j"}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    paused = {"metadata": {"name": "j"}, "spec": {"suspend": True}}
    rows = tables.table(by_name["jobs"], [done, paused], NOW)["rows"]
    assert [row["cells"][1] for row in rows] == ["Complete", "Suspended"]
    subjects = [{"kind": "ServiceAccount", "name": "a", "namespace": "n"}, {"kind": "User", "name": "u"}]
    binding = {"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": subjects}
    assert tables.table(by_name["rolebindings"], [binding], NOW)["rows"][0]["cells"][3:] == ["u", "", "n/a"]
    cron = {"metadata": {"name": "c"}, "status": {"lastScheduleTime": "2026-05-28T20:00:00Z"}, "spec": {}}
    assert tables.table(by_name["cronjobs"], [cron], NOW)["rows"][0]["cells"][5] != tables.NONE
