"""Clients work with masked objects as with any other: kubectl's commands and the Python client, without a client-side error."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pratique.masking.mask import Mask
from tests.process.gateway import Gateway
from tests.process.kubectl import Client, needs_kubectl
from tests.process.leaks import Probe
from tests.process.test_leaks_copies import ROWS

pytestmark = pytest.mark.process
MASK = Mask()


@pytest.fixture
def kubectl(open_gateway: Gateway, tmp_path: Path) -> Iterator[Client]:
    client = Client(open_gateway, tmp_path, Probe(open_gateway))
    yield client
    client.probe.check()


def planted(kubectl: Client, row: str) -> str:
    collection, kind, make = ROWS[row]
    api_version, _, name = kind.rpartition("/")
    more = make(kubectl.probe)
    metadata = {"name": kubectl.name, **more.pop("metadata", {})}
    kubectl.probe.plant(collection, {"apiVersion": api_version, "kind": name, "metadata": metadata, **more})
    return collection.rpartition("/")[2]


READ = ["secret_data", "secret_annotations", "configmap", "pod", "deployment", "controller_revision", "ingress"]


@needs_kubectl
@pytest.mark.parametrize("row", READ)
def test_kubectl_gets_lists_and_describes(kubectl: Client, row: str) -> None:
    resource = planted(kubectl, row)
    for output in (
        "yaml",
        "json",
        "wide",
        "name",
        "jsonpath={.metadata.name}",
        "custom-columns=N:.metadata.name,ALL:.data",
    ):
        assert kubectl.name in kubectl.ok("get", resource, kubectl.name, "-o", output)
    assert kubectl.name in kubectl.ok("get", resource)
    assert kubectl.name in kubectl.ok("get", resource, "-o", "yaml")
    assert kubectl.name in kubectl.ok("describe", resource, kubectl.name)


@needs_kubectl
@pytest.mark.parametrize("row", ["secret_data", "configmap", "deployment"])
def test_kubectl_labels_annotates_edits_and_applies(kubectl: Client, row: str) -> None:
    resource = planted(kubectl, row)
    collection = ROWS[row][0]
    before = kubectl.live(resource, collection=collection)
    kubectl.ok("label", resource, kubectl.name, "team=a")
    kubectl.ok("annotate", resource, kubectl.name, "note=a")
    kubectl.ok("edit", resource, kubectl.name, editor=kubectl.script("sed -i 's/team: a/team: b/' \"$1\""))
    kubectl.ok("patch", resource, kubectl.name, "--type=merge", "-p", '{"metadata":{"labels":{"more":"c"}}}')
    live = kubectl.live(resource, collection=collection)
    assert live["metadata"]["labels"] == {**before["metadata"].get("labels", {}), "team": "b", "more": "c"}
    assert [live.get(part) for part in ("data", "spec")] == [before.get(part) for part in ("data", "spec")]


@needs_kubectl
def test_kubectl_applies_a_manifest_with_values_twice_and_changes_them(kubectl: Client) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": kubectl.name},
        "stringData": {"password": kubectl.probe.value},
    }
    assert "created" in kubectl.ok("apply", "-f", "-", given=json.dumps(secret))
    assert kubectl("apply", "-f", "-", given=json.dumps(secret)).code == 0
    assert "configured" in kubectl.ok(
        "apply", "-f", "-", given=json.dumps({**secret, "stringData": {"password": f"{kubectl.probe.value}-2"}})
    )
    assert base64.b64decode(kubectl.live()["data"]["password"]).decode() == f"{kubectl.probe.value}-2"
    assert "serverside-applied" in kubectl.ok(
        "apply", "--server-side", "--force-conflicts", "-f", "-", given=json.dumps(secret)
    )
    kubectl.ok("diff", "-f", "-", given=json.dumps({**secret, "stringData": {}}), expect=(0, 1))
    kubectl.ok("delete", "secret", kubectl.name)


@needs_kubectl
def test_kubectl_watches(kubectl: Client) -> None:
    planted(kubectl, "secret_data")
    shown = kubectl.ok("get", "secrets", "-w", "--request-timeout=2s", "-o", "json", expect=(0, 1))
    assert kubectl.name in shown
    assert MASK.base64 in shown
    assert kubectl.name in kubectl.ok("get", "secrets", "-w", "--request-timeout=2s", expect=(0, 1))


@needs_kubectl
def test_kubectl_says_what_was_masked(kubectl: Client) -> None:
    planted(kubectl, "secret_data")
    done = kubectl("get", "secret", kubectl.name)
    assert done.code == 0
    done = kubectl("get", "secret", kubectl.name, "-o", "yaml")
    assert "Warning: pratique masked values: 2 by default/secret-data" in done.err


@needs_kubectl
def test_kubectl_shows_logs_and_who_i_am(kubectl: Client) -> None:
    pod = kubectl.ok("get", "pods", "-o", "name").split()[0]
    kubectl.ok("logs", pod, "--all-containers")
    assert "agent" in kubectl.ok("auth", "whoami")


def test_the_python_client_reads_lists_watches_and_writes(kubectl: Client) -> None:
    from kubernetes import client, config, watch

    api = config.new_client_from_config(str(kubectl.config))
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    for row in ("secret_data", "configmap", "pod", "deployment", "controller_revision"):
        planted(kubectl, row)
    seen = [
        core.read_namespaced_secret(kubectl.name, "payments"),
        core.list_namespaced_secret("payments"),
        core.read_namespaced_config_map(kubectl.name, "payments"),
        core.list_namespaced_pod("payments"),
        core.list_secret_for_all_namespaces(),
        apps.read_namespaced_deployment(kubectl.name, "payments"),
        apps.list_namespaced_controller_revision("payments"),
    ]
    seen += [
        event["raw_object"]
        for event in watch.Watch().stream(core.list_namespaced_secret, "payments", timeout_seconds=1)
    ]
    kubectl.probe.outputs += [json.dumps(api.sanitize_for_serialization(each)).encode() for each in seen]
    assert seen[0].data["a"] == MASK.base64
    assert base64.b64decode(seen[0].data["a"]).decode() == MASK.text
    core.patch_namespaced_secret(kubectl.name, "payments", {"metadata": {"labels": {"a": "b"}}})
    with pytest.raises(client.ApiException) as caught:
        core.replace_namespaced_secret(kubectl.name, "payments", seen[0])
    assert caught.value.status == 422
    assert "holds the gateway's mask" in caught.value.body
    with pytest.raises(client.ApiException) as caught:
        core.list_namespaced_secret("payments", field_selector="data.password=x")
    assert caught.value.status == 403
