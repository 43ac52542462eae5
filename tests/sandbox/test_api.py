from __future__ import annotations

import base64

import pytest

from pratique.sandbox.query import DeleteOptions, WriteOptions
from pratique.sandbox.status import StatusError
from tests.sandbox.kit import OPTIONS, World, deployment, pod

DRY = WriteOptions(dry_run=True)


def _code(call, *arguments, **named) -> tuple[int, str]:
    with pytest.raises(StatusError) as caught:
        call(*arguments, **named)
    return caught.value.code, caught.value.reason


def _config(name: str = "c", **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _create(world: World, body: dict, plural: str = "configmaps", group: str = "", **options) -> dict:
    return world.api.create(world.kind(plural, group), "default", body, WriteOptions(manager="test", **options))


def test_create_fills_in_what_the_server_owns(world):
    made = _create(world, {"metadata": {"generateName": "c-", "uid": "mine", "creationTimestamp": "x"}})
    assert made["metadata"]["name"].startswith("c-")
    assert len(made["metadata"]["name"]) == 7
    assert made["metadata"]["uid"] != "mine"
    assert made["kind"] == "ConfigMap"
    assert made["metadata"]["managedFields"][0]["manager"] == "test" if "managedFields" in made["metadata"] else True


def test_a_dry_run_stores_nothing(world):
    _create(world, _config(), dry_run=True)
    assert _code(world.api.get, world.kind("configmaps"), "default", "c") == (404, "NotFound")
    live = _create(world, _config(a="1"))
    changed = world.api.update(world.kind("configmaps"), "default", "c", _config(a="2"), DRY)[0]
    assert changed["data"] == {"a": "2"}
    assert world.api.get(world.kind("configmaps"), "default", "c") == live
    world.api.delete(world.kind("configmaps"), "default", "c", DeleteOptions(dry_run=True))
    assert world.api.get(world.kind("configmaps"), "default", "c") == live


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({**_config(), "kind": "Secret"}, (400, "BadRequest")),
        ({**_config(), "apiVersion": "apps/v1"}, (400, "BadRequest")),
        ({"metadata": {"name": "c", "namespace": "other"}}, (400, "BadRequest")),
        ({"metadata": {"name": "c", "resourceVersion": "1"}}, (400, "BadRequest")),
        ({"metadata": {}}, (422, "Invalid")),
        ({"metadata": {"name": "Not_A_Name"}}, (422, "Invalid")),
        ({"metadata": {"name": "c", "labels": {"a": "not ok"}}}, (422, "Invalid")),
        ({"metadata": {"name": "c", "labels": {"a b": "x"}}}, (422, "Invalid")),
        ({"metadata": {"name": "c", "annotations": {"a b": "x"}}}, (422, "Invalid")),
        ({"metadata": {"name": "c"}, "data": {"a/b": "x"}}, (422, "Invalid")),
    ],
)
def test_objects_that_are_refused(world, body, expected):
    assert _code(_create, world, body) == expected


def test_names_are_taken_once_and_namespaces_must_exist(world):
    _create(world, _config())
    assert _code(_create, world, _config()) == (409, "AlreadyExists")
    code = _code(world.api.create, world.kind("configmaps"), "nowhere", _config(), OPTIONS)
    assert code == (404, "NotFound")


def test_unknown_fields_are_refused_warned_of_or_dropped(world):
    body = {**deployment(), "spoc": 1}
    kind = ("deployments", "apps")
    assert _code(_create, world, body, *kind, validation="Strict") == (400, "BadRequest")
    world.api.warnings.clear()
    assert "spoc" not in _create(world, body, *kind)
    assert world.api.warnings == ['unknown field "spoc"']
    world.api.warnings.clear()
    _create(world, {**deployment("quiet"), "spoc": 1}, *kind, validation="Ignore")
    assert world.api.warnings == []


def test_an_update_needs_the_version_that_it_read_if_it_names_one(world):
    live = _create(world, _config(a="1"))
    kind = world.kind("configmaps")
    updated = world.api.update(kind, "default", "c", {**live, "data": {"a": "2"}}, OPTIONS)[0]
    assert updated["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]
    assert _code(world.api.update, kind, "default", "c", {**live, "data": {}}, OPTIONS) == (409, "Conflict")
    foreign = {"metadata": {"name": "c", "uid": "another"}}
    assert _code(world.api.update, kind, "default", "c", foreign, OPTIONS) == (409, "Conflict")
    assert _code(world.api.update, kind, "default", "d", live, OPTIONS) == (400, "BadRequest")
    assert _code(world.api.update, kind, "default", "c", {"metadata": {}}, OPTIONS) == (400, "BadRequest")
    assert _code(world.api.update, kind, "default", "x", {"metadata": {"name": "x"}}, OPTIONS) == (404, "NotFound")


def test_a_write_that_changes_nothing_keeps_the_version(world):
    live = _create(world, _config(a="1"))
    again = world.api.update(world.kind("configmaps"), "default", "c", _config(a="1"), OPTIONS)[0]
    assert again["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]


def test_status_and_spec_are_written_apart_and_generation_counts_the_spec(world):
    kind = world.kind("deployments", "apps")
    live = _create(world, deployment(), "deployments", "apps")
    spec = {**live, "spec": {**live["spec"], "replicas": 5}, "status": {"replicas": 99}}
    updated = world.api.update(kind, "default", "web", spec, OPTIONS)[0]
    assert (updated["metadata"]["generation"], updated["status"]) == (2, {})
    state = {**updated, "spec": {}, "status": {"replicas": 5}}
    updated = world.api.update(kind, "default", "web", state, OPTIONS, subresource="status")[0]
    assert (updated["metadata"]["generation"], updated["spec"]["replicas"]) == (2, 5)
    assert updated["status"] == {"replicas": 5}


def test_secrets_fold_string_data_and_check_base64(world):
    body = {"metadata": {"name": "s"}, "stringData": {"a": "plain"}, "data": {"b": "Yg=="}}
    made = _create(world, body, "secrets")
    assert made["data"] == {"a": base64.b64encode(b"plain").decode(), "b": "Yg=="}
    assert "stringData" not in made
    assert made["type"] == "Opaque"
    assert _code(_create, world, {"metadata": {"name": "t"}, "data": {"b": "**"}}, "secrets")[0] == 400
    assert _code(world.api.update, world.kind("secrets"), "default", "s", {**made, "type": "x"}, OPTIONS)[0] == 422


def test_immutable_data_stays(world):
    body = {"metadata": {"name": "s"}, "data": {"a": "YQ=="}, "immutable": True}
    made = _create(world, body, "secrets")
    for change in ({"data": {"a": "Yg=="}}, {"immutable": False}):
        assert _code(world.api.update, world.kind("secrets"), "default", "s", {**made, **change}, OPTIONS)[0] == 422


def test_selectors_role_references_and_pods_are_immutable(world):
    live = _create(world, deployment(), "deployments", "apps")
    template = {**live["spec"]["template"], "metadata": {"labels": {"app": "x"}}}
    moved = {**live, "spec": {**live["spec"], "selector": {"matchLabels": {"app": "x"}}, "template": template}}
    assert _code(world.api.update, world.kind("deployments", "apps"), "default", "web", moved, OPTIONS)[0] == 422
    reference = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    group = "rbac.authorization.k8s.io"
    bound = _create(world, {"metadata": {"name": "x:y"}, "roleRef": reference}, "rolebindings", group)
    other = {**bound, "roleRef": {**reference, "name": "q"}}
    assert _code(world.api.update, world.kind("rolebindings", group), "default", "x:y", other, OPTIONS)[0] == 422
    running = _create(world, pod(), "pods")
    image = {
        **running,
        "spec": {**running["spec"], "containers": [{**running["spec"]["containers"][0], "image": "b:2"}]},
    }
    assert world.api.update(world.kind("pods"), "default", "p", image, OPTIONS)[0]["spec"] == image["spec"]
    host = {
        **image,
        "metadata": running["metadata"] | {"resourceVersion": ""},
        "spec": {**image["spec"], "hostPID": True},
    }
    assert _code(world.api.update, world.kind("pods"), "default", "p", host, OPTIONS)[0] == 422


@pytest.mark.parametrize(
    ("plural", "group", "body"),
    [
        ("pods", "", {"metadata": {"name": "p"}, "spec": {}}),
        ("pods", "", pod("p", containers=[{"name": "a"}])),
        ("pods", "", pod("p", containers=[{"image": "a"}])),
        ("pods", "", pod("p", containers=[{"name": "a", "image": "b"}] * 2)),
        ("deployments", "apps", {"metadata": {"name": "d"}, "spec": {}}),
        (
            "deployments",
            "apps",
            {**deployment(), "spec": {**deployment()["spec"], "selector": {"matchLabels": {"x": "y"}}}},
        ),
        ("deployments", "apps", deployment(replicas=-1)),
        ("services", "", {"metadata": {"name": "s"}, "spec": {}}),
        ("services", "", {"metadata": {"name": "1.2"}, "spec": {"clusterIP": "None"}}),
        ("secrets", "", {"metadata": {"name": "s"}, "type": "kubernetes.io/tls"}),
        ("jobs", "batch", {"metadata": {"name": "j"}, "spec": {"template": {}}}),
        ("roles", "rbac.authorization.k8s.io", {"metadata": {"name": "a/b"}}),
    ],
)
def test_kinds_that_are_incomplete_are_422_with_causes(world, plural, group, body):
    with pytest.raises(StatusError) as caught:
        _create(world, body, plural, group)
    assert caught.value.code == 422
    assert caught.value.details["causes"][0]["field"]
    assert caught.value.details["kind"] == world.kind(plural, group).kind


def test_deletes_check_preconditions(world):
    live = _create(world, _config())
    kind = world.kind("configmaps")
    assert _code(world.api.delete, kind, "default", "c", DeleteOptions(uid="other"))[0] == 409
    assert _code(world.api.delete, kind, "default", "c", DeleteOptions(version="1"))[0] == 409
    good = DeleteOptions(uid=live["metadata"]["uid"], version=live["metadata"]["resourceVersion"])
    assert world.api.delete(kind, "default", "c", good)[1] is True
    assert _code(world.api.delete, kind, "default", "c", DeleteOptions())[0] == 404


def test_finalizers_keep_an_object_until_they_are_gone(world):
    body = _config()
    body["metadata"]["finalizers"] = ["example.com/wait"]
    _create(world, body)
    kind = world.kind("configmaps")
    marked, gone = world.api.delete(kind, "default", "c", DeleteOptions())
    assert not gone
    assert marked["metadata"]["deletionTimestamp"]
    assert world.api.delete(kind, "default", "c", DeleteOptions())[0] == marked
    world.controller.run()
    freed = {**marked, "metadata": {**marked["metadata"], "finalizers": []}}
    world.api.update(kind, "default", "c", freed, OPTIONS)
    assert _code(world.api.get, kind, "default", "c")[0] == 404


def test_server_side_apply_creates_merges_and_reports_conflicts(world):
    kind = world.kind("configmaps")

    def apply(manager: str, force: bool = False, **data: str):
        options = WriteOptions(manager=manager, force=force)
        return world.api.apply(kind, "default", "c", _config(**data), options)

    made, created = apply("a", x="1")
    assert created
    assert made["metadata"]["managedFields"][0]["operation"] == "Apply"
    assert apply("a", x="1") == (made, False)
    with pytest.raises(StatusError) as caught:
        apply("b", x="2", y="1")
    assert caught.value.code == 409
    assert caught.value.details["causes"][0] == {
        "reason": "FieldManagerConflict", "message": 'conflict with "a"', "field": ".data.x"}  # fmt: skip
    assert apply("b", force=True, x="2", y="1")[0]["data"] == {"x": "2", "y": "1"}
    assert apply("b", x="2")[0]["data"] == {"x": "2"}
    wrong = {**_config(), "metadata": {"name": "other"}}
    assert _code(world.api.apply, kind, "default", "c", wrong, OPTIONS)[0] == 400
    assert _code(world.api.apply, kind, "default", "d", _config("d"), OPTIONS, subresource="status")[0] == 404


def test_conflicts_name_items_as_the_real_server_does(world):
    kind = world.kind("deployments", "apps")
    world.api.apply(kind, "default", "web", deployment(), WriteOptions(manager="a"))
    with pytest.raises(StatusError) as caught:
        world.api.apply(kind, "default", "web", deployment(image="nginx:2", replicas=7), WriteOptions(manager="b"))
    assert '.spec.template.spec.containers[name="c"].image' in caught.value.message
    assert caught.value.message.startswith('Apply failed with 2 conflicts with "a":\n- ')
