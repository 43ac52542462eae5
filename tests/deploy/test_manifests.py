"""The manifests are what a strict API server takes, and say what they are meant to say."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pratique.settings import OPTIONS
from tests.deploy.strict import problems

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "scripts" / "deploy"
KUSTOMIZE = DEPLOY / "kustomize"
FOLDERS = sorted(path for path in KUSTOMIZE.iterdir() if path.is_dir())
CUSTOM = {"ServiceMonitor"}
"""Kinds of others, which the models do not know."""


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in YAML(typ="safe", pure=True).load_all(path.read_text()) if document]


def manifests(folder: str) -> list[dict[str, Any]]:
    found = []
    for name in documents(KUSTOMIZE / folder / "kustomization.yaml")[0].get("resources", []):
        if name.endswith(".yaml"):
            found += documents(KUSTOMIZE / folder / name)
    return found


def one(folder: str, kind: str, name: str = "pratique") -> dict[str, Any]:
    (found,) = [each for each in manifests(folder) if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod() -> dict[str, Any]:
    return one("base", "Deployment")["spec"]["template"]


def container() -> dict[str, Any]:
    (found,) = pod()["spec"]["containers"]
    return found


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_every_file_is_named_by_its_kustomization(folder: Path) -> None:
    (kustomization,) = documents(folder / "kustomization.yaml")
    named = {*kustomization.get("resources", []), *kustomization.get("components", [])}
    assert {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"} == {
        name for name in named if name.endswith(".yaml")
    }
    for name in named:
        assert (folder / name).exists()


@pytest.mark.parametrize(
    "manifest",
    [manifest for folder in FOLDERS for manifest in manifests(folder.name) if manifest["kind"] not in CUSTOM],
    ids=lambda manifest: f"{manifest['kind']}-{manifest['metadata']['name']}",
)
def test_a_manifest_has_no_unknown_field_and_no_wrong_type(manifest: dict[str, Any]) -> None:
    assert problems(manifest) == []


def test_the_check_sees_what_is_wrong() -> None:
    good = one("base", "Deployment")
    bad = {
        **good,
        "spec": {**good["spec"], "replicas": "2", "selectors": {}, "template": {"spec": {"containers": [1]}}},
    }
    assert problems(bad) == [
        "V1Deployment.spec.replicas: not int",
        "V1Deployment.spec.template.spec.containers[0]: not an object",
        "V1Deployment.spec.selectors: unknown field",
    ]
    assert problems({"apiVersion": "v1", "kind": "Nothing"}) == ["no model for core/v1 Nothing"]


def test_it_runs_with_no_rights_that_it_does_not_need() -> None:
    spec, own = pod()["spec"], container()["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert spec["automountServiceAccountToken"] is False
    assert one("base", "ServiceAccount")["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(spec)
    writable = {mount["mountPath"] for mount in container()["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/var/lib/pratique", "/tmp"}
    labels = one("base", "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_there_are_two_and_one_stays_whatever_is_drained_or_rolled_out() -> None:
    deployment = one("base", "Deployment")["spec"]
    assert deployment["replicas"] >= 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert one("base", "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    seconds = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = next(setting.default for setting in OPTIONS if setting.name == "pratique_drain")
    assert seconds + drain + 10 <= pod()["spec"]["terminationGracePeriodSeconds"]


def test_selectors_meet_the_pod() -> None:
    labels = pod()["metadata"]["labels"]
    assert one("base", "Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert one("base", "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert one("base", "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    for name in ("pratique", "pratique-admin"):
        service = one("base", "Service", name)["spec"]
        assert service["selector"] == labels
        assert all(port["targetPort"] in ports for port in service["ports"])
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        assert container()[probe]["httpGet"]["port"] in ports
    monitor = one("monitoring", "ServiceMonitor")["spec"]
    admin = one("base", "Service", "pratique-admin")
    assert monitor["selector"]["matchLabels"].items() <= admin["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in admin["spec"]["ports"]}


def test_clients_reach_dns_and_the_gateway_and_no_address_of_anything_else() -> None:
    policy = one("clients", "NetworkPolicy", "through-pratique")["spec"]
    assert policy["podSelector"] == {}
    assert policy["policyTypes"] == ["Egress"]
    assert not any("ipBlock" in peer for rule in policy["egress"] for peer in rule["to"])
    dns, gateway = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert [port["port"] for port in gateway["ports"]] == [8443]
    (peer,) = gateway["to"]
    assert peer["podSelector"]["matchLabels"] == pod()["metadata"]["labels"]
    assert peer["namespaceSelector"]["matchLabels"].items() <= one("base", "Namespace")["metadata"]["labels"].items()


def test_only_clients_come_in_and_only_what_is_needed_goes_out() -> None:
    policy = one("base", "NetworkPolicy")["spec"]
    came = {rule["ports"][0]["port"]: rule["from"][0]["namespaceSelector"]["matchLabels"] for rule in policy["ingress"]}
    clients = one("clients", "Namespace", "mcp")["metadata"]["labels"]
    assert came == {8443: clients, 9443: {"pratique.dev/operators": "true"}}
    blocks = [peer["ipBlock"] for rule in policy["egress"] for peer in rule["to"] if "ipBlock" in peer]
    metadata = ipaddress.ip_address("169.254.169.254")

    def leads_to(block: dict[str, Any]) -> bool:
        excluded = [ipaddress.ip_network(cidr) for cidr in block.get("except", [])]
        return metadata in ipaddress.ip_network(block["cidr"]) and not any(metadata in each for each in excluded)

    assert not any(leads_to(block) for block in blocks)
    assert one("base", "NetworkPolicy", "nothing-else")["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_the_patches_of_the_example_fit_the_base() -> None:
    (kustomization,) = documents(KUSTOMIZE / "example" / "kustomization.yaml")
    base = {(each["kind"], each["metadata"]["name"]): each for each in manifests("base")}
    for patch in kustomization["patches"]:
        target = base[patch["target"]["kind"], patch["target"]["name"]]
        for operation in YAML(typ="safe", pure=True).load(patch["patch"]):
            *path, last = operation["path"].split("/")[1:]
            place: Any = target
            for step in path:
                place = place[int(step)] if isinstance(place, list) else place[step]
            assert last == "-" or operation["op"] == "add" or last in place
    names = {setting.name for setting in OPTIONS}
    text = (KUSTOMIZE / "example" / "kustomization.yaml").read_text()
    assert set(re.findall(r"--set=(pratique_\w+)=", text)) <= names
    assert set(re.findall(r"--set=(pratique_\w+)=", str(container()["args"]))) <= names


def test_the_dockerfile_runs_as_the_deployment_wants_it_and_needs_no_shell() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", "").splitlines()
    last = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert (
        f"USER {pod()['spec']['securityContext']['runAsUser']}:{pod()['spec']['securityContext']['runAsGroup']}" in last
    )
    assert not any(line.startswith("RUN") for line in last)
    for name in ("ENTRYPOINT", "CMD"):
        (line,) = [line for line in last if line.startswith(name)]
        assert line.split(maxsplit=1)[1].startswith("[")  # exec form
    sources = [
        part for line in lines if line.startswith("COPY") and "--from" not in line for part in line.split()[1:-1]
    ]
    assert all((ROOT / source).exists() for source in sources)
    kept = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(sources) <= kept | {"addons"}
    (image,) = re.findall(r"PYTHON_IMAGE=python:(\d+\.\d+)", "\n".join(lines))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert tuple(map(int, image.split("."))) >= tuple(
        map(int, project["requires-python"].removeprefix(">=").split("."))
    )
