from __future__ import annotations

import base64

import pytest

from pratique.sandbox import manifests, seed
from pratique.sandbox.controller import Controller
from pratique.sandbox.logs import Logs
from pratique.sandbox.query import DeleteOptions
from pratique.sandbox.resources import Registry
from pratique.sandbox.store import Store
from tests.sandbox.kit import NOW, OPTIONS, World, deployment, pod

APPS = "apps"


def _create(world: World, plural: str, group: str, body: dict) -> dict:
    made = world.api.create(world.kind(plural, group), "default", body, OPTIONS)
    world.controller.run()
    return made


def _live(world: World, plural: str, group: str, name: str) -> dict:
    return world.api.get(world.kind(plural, group), "default", name)


def _update(world: World, plural: str, group: str, name: str, **spec) -> None:
    live = _live(world, plural, group, name)
    world.api.update(world.kind(plural, group), "default", name, {**live, "spec": {**live["spec"], **spec}}, OPTIONS)
    world.controller.run()


def _pods(world: World) -> list[dict]:
    return world.store.all(("", "pods"), "default")


def test_a_deployment_makes_ready_pods_through_a_replica_set(world):
    _create(world, "deployments", APPS, deployment())
    pods = _pods(world)
    assert [pod["status"]["phase"] for pod in pods] == ["Running"] * 2
    assert all(pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet" for pod in pods)
    state = _live(world, "deployments", APPS, "web")["status"]
    assert (state["readyReplicas"], state["updatedReplicas"], state["observedGeneration"]) == (2, 2, 1)
    assert {item["type"]: item["status"] for item in state["conditions"]} == {
        "Available": "True",
        "Progressing": "True",
    }


@pytest.mark.parametrize("replicas", [0, 1, 4])
def test_scaling_adds_and_removes_pods(world, replicas):
    _create(world, "deployments", APPS, deployment())
    _update(world, "deployments", APPS, "web", replicas=replicas)
    assert len(_pods(world)) == replicas
    assert _live(world, "deployments", APPS, "web")["status"]["replicas"] == replicas


def test_a_new_template_is_a_new_revision_and_going_back_reuses_the_old_set(world):
    _create(world, "deployments", APPS, deployment())
    old = _live(world, "deployments", APPS, "web")["spec"]["template"]
    _update(world, "deployments", APPS, "web", template=deployment(image="nginx:2")["spec"]["template"])
    assert len(world.store.all(("apps", "replicasets"), "default")) == 2
    assert {pod["spec"]["containers"][0]["image"] for pod in _pods(world)} == {"nginx:2"}
    _update(world, "deployments", APPS, "web", template=old)
    assert len(world.store.all(("apps", "replicasets"), "default")) == 2
    revision = "deployment.kubernetes.io/revision"
    assert _live(world, "deployments", APPS, "web")["metadata"]["annotations"][revision] == "3"


def test_a_deleted_pod_is_replaced_and_a_deleted_deployment_takes_all_with_it(world):
    _create(world, "deployments", APPS, deployment())
    first = _pods(world)[0]["metadata"]["name"]
    world.api.delete(world.kind("pods"), "default", first, DeleteOptions())
    world.controller.run()
    assert len(_pods(world)) == 2
    assert first not in {pod["metadata"]["name"] for pod in _pods(world)}
    world.api.delete(world.kind("deployments", APPS), "default", "web", DeleteOptions(propagation="Background"))
    world.controller.run()
    assert _pods(world) == world.store.all(("apps", "replicasets")) == []


def test_foreground_deletes_the_dependents_first_and_orphan_leaves_them(world):
    _create(world, "deployments", APPS, deployment())
    made, gone = world.api.delete(
        world.kind("deployments", APPS), "default", "web", DeleteOptions(propagation="Foreground")
    )
    assert not gone
    assert made["metadata"]["finalizers"] == ["foregroundDeletion"]
    world.controller.run()
    assert _pods(world) == world.store.all(("apps", "deployments")) == []
    _create(world, "replicasets", APPS, {**deployment("solo"), "kind": "ReplicaSet"})
    world.api.delete(world.kind("replicasets", APPS), "default", "solo", DeleteOptions(propagation="Orphan"))
    world.controller.run()
    assert len(_pods(world)) == 2
    assert not _pods(world)[0]["metadata"]["ownerReferences"]


def test_stateful_sets_name_their_pods_and_replace_them_on_a_new_template(world):
    _create(world, "statefulsets", APPS, {**deployment("db"), "kind": "StatefulSet"})
    assert [pod["metadata"]["name"] for pod in _pods(world)] == ["db-0", "db-1"]
    before = {pod["metadata"]["uid"] for pod in _pods(world)}
    _update(world, "statefulsets", APPS, "db", template=deployment("db", image="x:2")["spec"]["template"], replicas=1)
    assert [pod["metadata"]["name"] for pod in _pods(world)] == ["db-0"]
    assert not before & {pod["metadata"]["uid"] for pod in _pods(world)}


def test_daemon_sets_put_one_pod_on_each_node(world):
    for name in ("n1", "n2"):
        _create(world, "nodes", "", {"metadata": {"name": name}, "spec": {}})
    body = {**deployment("agent"), "kind": "DaemonSet"}
    del body["spec"]["replicas"]
    _create(world, "daemonsets", APPS, body)
    assert sorted(pod["spec"]["nodeName"] for pod in _pods(world)) == ["n1", "n2"]
    _update(world, "daemonsets", APPS, "agent", template=deployment("agent", image="x:2")["spec"]["template"])
    assert {pod["spec"]["containers"][0]["image"] for pod in _pods(world)} == {"x:2"}
    assert _live(world, "daemonsets", APPS, "agent")["status"]["numberReady"] == 2


def test_jobs_complete_unless_they_are_suspended(world):
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}
    _create(world, "jobs", "batch", {"metadata": {"name": "j"}, "spec": {"template": template, "completions": 2}})
    _create(world, "jobs", "batch", {"metadata": {"name": "s"}, "spec": {"template": template, "suspend": True}})
    done = _live(world, "jobs", "batch", "j")["status"]
    assert (done["succeeded"], done["conditions"][0]["type"]) == (2, "Complete")
    assert [pod["status"]["phase"] for pod in _pods(world)] == ["Succeeded"] * 2
    assert _live(world, "jobs", "batch", "s")["status"] == {}


def test_replication_controllers_scale_too(world):
    body = deployment("rc")
    body = {"metadata": body["metadata"], "spec": {**body["spec"], "selector": {"app": "rc"}}}
    _create(world, "replicationcontrollers", "", body)
    assert len(_pods(world)) == 2


def test_a_service_has_the_addresses_of_its_ready_pods(world):
    _create(
        world,
        "services",
        "",
        {"metadata": {"name": "s"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}},
    )
    assert _live(world, "endpoints", "", "s")["subsets"] == []
    _create(world, "deployments", APPS, deployment())
    assert len(_live(world, "endpoints", "", "s")["subsets"][0]["addresses"]) == 2
    _create(world, "services", "", {"metadata": {"name": "e"}, "spec": {"type": "ExternalName", "externalName": "x.y"}})
    assert world.store.get(("", "endpoints"), "default", "e") is None


def test_a_namespace_is_furnished_and_emptied(world):
    assert world.store.get(("", "serviceaccounts"), "default", "default")
    _create(world, "deployments", APPS, deployment())
    made, gone = world.api.delete(world.kind("namespaces"), "", "default", DeleteOptions())
    assert (made["status"]["phase"], gone) == ("Terminating", False)
    with pytest.raises(Exception, match="being terminated"):
        world.api.create(world.kind("pods"), "default", pod(), OPTIONS)
    world.controller.run()
    assert not [key for key in world.store.places() if world.store.all(key, "default")]


def test_claims_are_bound(world):
    claim = {
        "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    _create(world, "persistentvolumeclaims", "", claim)
    assert _live(world, "persistentvolumeclaims", "", "c")["status"]["capacity"] == {"storage": "1Gi"}


def test_a_definition_adds_a_resource_and_its_removal_removes_the_objects(world):
    crds = world.kind("customresourcedefinitions", "apiextensions.k8s.io")
    world.api.create(crds, "", manifests.WEBHOOK_CRD, OPTIONS)
    world.controller.run()
    hooks = world.kind("webhooks", "shop.example.com")
    world.api.create(hooks, "default", {"apiVersion": "shop.example.com/v1", "kind": "Webhook", "metadata": {"name": "h"},
                                        "spec": {"url": "x"}}, OPTIONS)  # fmt: skip
    name = "webhooks.shop.example.com"
    live = world.api.get(crds, "", name)
    assert {item["type"] for item in live["status"]["conditions"]} == {"Established", "NamesAccepted"}
    world.api.delete(crds, "", name, DeleteOptions())
    world.controller.run()
    assert world.registry.any_version("shop.example.com", "webhooks") is None
    assert world.store.all(("shop.example.com", "webhooks")) == []


def test_controllers_come_to_rest_and_say_so_when_they_do_not(world, monkeypatch):
    _create(world, "deployments", APPS, deployment())
    version = world.store.version
    world.controller.run()
    assert world.controller.idle
    assert world.store.version == version
    monkeypatch.setattr("pratique.sandbox.controller.MAX_STEPS", 2)
    world.api.create(world.kind("deployments", APPS), "default", deployment("more"), OPTIONS)
    with pytest.raises(RuntimeError, match="settle"):
        world.controller.run()


def _planted() -> tuple[Store, Logs]:
    store, logs = Store(lambda: NOW), Logs()
    seed.plant(store, Controller(store, Registry()), logs)
    return store, logs


def test_the_seed_is_deterministic_and_every_canary_is_in_it():
    (one, logs), (two, _) = _planted(), _planted()
    everything = repr([one.all(key) for key in one.places()]) + repr([logs.lines(place) for place in logs.places()])
    assert everything.startswith(repr([two.all(key) for key in two.places()]))
    values = [base64.b64decode(value).decode() for obj in one.all(("", "secrets")) for value in obj["data"].values()]
    for canary in seed.CANARIES:
        assert canary in everything or any(canary in value for value in values), canary


def test_environment_references_are_followed():
    store, _ = _planted()
    secret = {"secretKeyRef": {"name": "db-credentials", "key": "password"}}
    assert seed.referenced(store, "payments", secret) == "sandbox-canary-db-password"
    assert seed.referenced(store, "payments", {"configMapKeyRef": {"name": "api-config", "key": "LOG_LEVEL"}}) == "info"
    assert seed.referenced(store, "payments", {"secretKeyRef": {"name": "none", "key": "x"}}) == ""
    assert seed.referenced(store, "payments", {"fieldRef": {}}) == ""
