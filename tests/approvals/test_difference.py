"""A difference shows every change, and nothing in it is invisible or looks like something else."""

from __future__ import annotations

import pytest

from pratique.approvals import difference as module
from pratique.approvals.difference import difference, lines_of, without_noise
from pratique.approvals.risks import risks_of, risks_of_deletion


def shown(value):
    return list(lines_of(value))


def test_an_object_reads_like_yaml():
    assert shown({"b": [{"x": 1, "y": "z"}, [], "s"], "a": {"k": None, "e": {}}}) == [
        "a:",
        "  e: {}",
        "  k: null",
        "b:",
        "  - x: 1",
        "    y: z",
        "  - []",
        "  - s",
    ]


@pytest.mark.parametrize(
    "text", ["true", "null", "12", "1.5", "~", "", " a", "a:", "a\nb: c", '"', "a\u202eb", "\x1b[31m"]
)
def test_a_string_never_looks_like_another_value_or_line(text):
    (line,) = shown({"k": text})
    assert line.startswith('k: "')
    assert line.isprintable()
    assert line.isascii() or "\u202e" not in line


def test_a_long_value_is_counted_not_lost():
    (line,) = shown({"k": "x" * 1200})
    assert "(200 more characters)" in line


def test_what_changes_stands_with_its_neighbours_only():
    before = {"spec": {f"f{index}": index for index in range(30)}}
    after = {"spec": {**before["spec"], "f15": "changed"}}
    lines, left_out = difference(before, after)
    assert [line for line in lines if line[0] in "+-"] == ["-  f15: 15", "+  f15: changed"]
    assert (len(lines), left_out) == (7, 0)


def test_nothing_to_something_and_back():
    assert difference(None, {"a": 1})[0] == ("@", "+a: 1")
    assert difference({"a": 1}, None)[0] == ("@", "-a: 1")
    assert difference({"a": 1}, {"a": 1}) == ((), 0)


def test_what_is_left_out_is_counted(monkeypatch):
    monkeypatch.setattr(module, "MAX_DIFF_LINES", 10)
    lines, left_out = difference(None, {f"f{index}": index for index in range(100)})
    assert (len(lines), left_out) == (10, 91)


def test_objects_too_large_to_compare_say_so(monkeypatch):
    monkeypatch.setattr(module, "MAX_COMPARED_LINES", 10)
    lines, left_out = difference(None, {f"f{index}": index for index in range(11)})
    assert "too large" in lines[0]
    assert left_out == 11


def test_noise_is_what_the_cluster_writes_for_itself():
    metadata = {"name": "a", "uid": "u", "resourceVersion": "1", "managedFields": [], "generation": 2}
    last = "kubectl.kubernetes.io/last-applied-configuration"
    document = {"metadata": {**metadata, "annotations": {last: "{}", "mine": "x"}}, "spec": {}, "status": {"x": 1}}
    assert without_noise(document) == {"metadata": {"name": "a", "uid": "u", "annotations": {"mine": "x"}}, "spec": {}}
    assert "uid" not in without_noise(document, is_new=True)["metadata"]
    assert without_noise(document, keep_status=True)["status"] == {"x": 1}
    assert without_noise([1]) == [1]


POD = {
    "kind": "Pod",
    "metadata": {"finalizers": ["x/y"]},
    "spec": {
        "hostNetwork": True,
        "serviceAccountName": "admin",
        "nodeName": "n1",
        "volumes": [{"name": "v", "hostPath": {"path": "/etc"}}, {"name": "w"}],
        "containers": [
            {
                "name": "c",
                "image": "evil:latest",
                "command": ["sh", "-c", "\u202e"],
                "securityContext": {
                    "privileged": True,
                    "runAsUser": 0,
                    "allowPrivilegeEscalation": True,
                    "capabilities": {"add": ["SYS_ADMIN"]},
                },
            },
            {"name": "d", "image": "good@sha256:0"},
        ],
    },
}


def test_the_powers_of_a_pod_come_first_wherever_its_template_is():
    bare = risks_of(POD)
    assert [what for what, _ in bare] == [
        "privileged", "privilege escalation", "runs as root", "capabilities", "hostNetwork", "hostPath",
        "service account", "node", "image", "image", "command", "finalizers",
    ]  # fmt: skip
    values = dict(bare)
    assert (values["privileged"], values["hostPath"]) == ("c: true", "/etc")
    assert ("image", "c: evil:latest (a tag: it can change later)") in bare
    assert ("image", "d: good@sha256:0") in bare
    assert "\u202e" not in values["command"]
    for wrapped in (
        {"template": {"spec": POD["spec"]}},
        {"jobTemplate": {"spec": {"template": {"spec": POD["spec"]}}}},
    ):
        assert risks_of({"kind": "X", "spec": wrapped})[0] == ("privileged", "c: true")


def test_rights_exposure_and_replicas_are_risks():
    role = {"kind": "ClusterRole", "rules": [{"verbs": ["*"], "resources": ["secrets"]}]}
    assert risks_of(role) == (("rights", "* on secrets"),)
    binding = {"kind": "RoleBinding", "roleRef": {"name": "admin"}, "subjects": [{"kind": "User", "name": "eve"}]}
    assert risks_of(binding) == (("binds", "admin"), ("to", "User /eve"))
    service = {"kind": "Service", "spec": {"type": "LoadBalancer", "externalIPs": ["192.0.2.1"]}}
    assert risks_of(service) == (("exposed", "LoadBalancer"), ("external IPs", "192.0.2.1"))
    assert risks_of({"kind": "Scale", "spec": {"replicas": 0}}) == (("replicas", "0"),)


def test_of_a_deletion_only_how_it_happens_matters():
    options = {"gracePeriodSeconds": 0, "propagationPolicy": "Orphan"}
    assert [what for what, _ in risks_of_deletion(POD, options)] == ["grace period", "propagation", "finalizers"]
    assert risks_of_deletion(None, {}) == ()


def test_what_is_typed_into_a_connection_comes_before_its_pod():
    risks = risks_of(POD, {"stdin": True, "tty": False, "container": "c", "ports": [80, 81]})
    assert [what for what, _ in risks][:4] == ["stdin", "container", "ports", "privileged"]


@pytest.mark.parametrize("odd", [None, [], "x", {"spec": []}, {"spec": {"containers": ["x"]}}, {"metadata": 1}])
def test_odd_objects_have_no_risks_and_no_errors(odd):
    assert risks_of(odd) == ()
