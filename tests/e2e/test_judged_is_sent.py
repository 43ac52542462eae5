"""Conditions on the live object and on the result of a patch, with real kubectl against a real API server.

What the server answers to each precondition is what `pratique.kube.rehearsal` says.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pratique.cli.audit import events
from pratique.recorder.join import KEY_SET, STAGE
from pratique.sandbox.cluster import Sandbox
from tests.e2e import real
from tests.process.gateway import Gateway

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]

POLICY = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: judged}
spec:
  subjects: ["*"]
  rules:
    - {name: discover, verbs: ["*"], nonResourceURLs: ["*"], action: Allow}
    - {name: read, verbs: [get, list, watch], apiGroups: ["*"], resources: ["*/*"], action: Allow}
    - {name: make, verbs: [create], resources: [namespaces], action: Allow}
    - name: plain-workloads
      verbs: [create, update, patch, apply]
      apiGroups: [apps]
      resources: [deployments, deployments/scale]
      namespaceSelector: {matchLabels: {tier: open}}
      conditions:
        - {name: few, expression: "!has(object.spec.replicas) || object.spec.replicas <= 3"}
        - {name: not frozen, expression: "oldObject == null || !has(oldObject.metadata.labels) || !('frozen' in oldObject.metadata.labels)"}
      podPowers: []
      action: Allow
    - name: leases
      verbs: [create, update, get]
      apiGroups: [coordination.k8s.io]
      resources: [leases]
      conditions: [{name: new or mine, expression: "oldObject == null || oldObject.spec.holderIdentity == 'me'"}]
      action: Allow
    - name: disposable
      verbs: [delete]
      apiGroups: [apps]
      resources: [deployments]
      conditions: [{name: labelled, expression: "oldObject.metadata.labels['disposable'] == 'yes'"}]
      action: Allow
"""


@pytest.fixture(scope="module")
def judging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("judging")
    running = Gateway(folder / "gateway", cast("Sandbox", real.real_cluster(folder)), policy=POLICY).start()
    yield running
    running.stop()
    report = real.joined(running)
    assert (report.mismatches, report.unseen) == ([], [])
    own = {audit_id for record in real.records(running.state) for audit_id in record.own_calls}
    # Other gateways in front of the same cluster may fetch its keys meanwhile; the join takes these for own calls, too.
    audited = events(Path(os.environ["PRATIQUE_REALCLUSTER_AUDIT"]))
    keys = sum(event.get("requestURI") == KEY_SET and event.get("stage") == STAGE for event in audited)
    assert report.own - keys == len(own) > 10, "every own call is in the audit log, and is known for one"


@pytest.fixture(scope="module", params=real.kubectls())
def kubectls(request: pytest.FixtureRequest, judging: Gateway) -> Iterator[tuple[real.Kubectl, real.Kubectl]]:
    """Through the gateway and, as an admin, beside it; in a namespace whose label lets workloads in."""
    namespace = f"judged-{secrets.token_hex(3)}"
    through = real.Kubectl(request.param, real.client_kubeconfig(judging), namespace, {})
    admin = real.Kubectl(request.param, real.kubeconfig(), namespace, {})
    admin.ok("create", "namespace", namespace)
    admin.ok("label", "namespace", namespace, "tier=open")
    yield through, admin
    admin("delete", "namespace", namespace, "--wait=false")


def deployment(name: str, replicas: int = 1, pod: dict[str, Any] | None = None, **labels: str) -> str:
    container = {"name": "c", "image": real.IMAGE, "command": ["sleep", "3600"]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container], **(pod or {})}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})


def test_apply_patch_scale_and_delete_are_judged_by_what_they_would_do(kubectls) -> None:
    kubectl, admin = kubectls
    kubectl.ok("apply", "-f", "-", given=deployment("a", 0))
    kubectl.ok("apply", "-f", "-", given=deployment("a", 0, team="x"))
    kubectl.ok("apply", "--server-side", "--force-conflicts", "-f", "-", given=deployment("a", 0, team="y"))
    kubectl.ok("apply", "--server-side", "-f", "-", given=deployment("made-by-apply", 0))
    kubectl.ok("label", "deployment", "a", "x=y")
    kubectl.ok("scale", "deployment", "a", "--replicas=2")
    kubectl.ok("patch", "deployment", "a", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":1}]')
    assert admin.ok("get", "deployment", "a", "-o", "jsonpath={.spec.replicas} {.metadata.labels.team}") == "1 y"
    for refused in (
        kubectl("scale", "deployment", "a", "--replicas=4"),
        kubectl("apply", "-f", "-", given=deployment("a", 9)),
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=deployment("a", 9)),
        kubectl("patch", "deployment", "a", "-p", '{"spec":{"template":{"spec":{"hostPID":true}}}}'),
        kubectl("apply", "-f", "-", given=deployment("host", 0, {"hostNetwork": True})),
        kubectl("delete", "deployment", "a"),
    ):
        assert refused.code != 0
        assert "Forbidden" in refused.err or "forbidden" in refused.err, refused.err
    kubectl.ok("label", "deployment", "a", "disposable=yes")
    kubectl.ok("delete", "deployment", "a", "--wait=false")


def test_a_patch_of_what_is_privileged_already_is_judged_by_the_whole(kubectls) -> None:
    kubectl, admin = kubectls
    admin.ok("apply", "-f", "-", given=deployment("host", 0, {"hostPID": True}))
    for way in ("--type=merge", "--type=strategic"):
        assert kubectl("patch", "deployment", "host", way, "-p", '{"spec":{"replicas":1}}').code != 0
    assert admin.ok("get", "deployment", "host", "-o", "jsonpath={.spec.replicas}") == "0"
    # Its scale shows no template: rules about powers say nothing about it.
    kubectl.ok("scale", "deployment", "host", "--replicas=0")


def test_the_live_object_and_the_labels_of_its_namespace_decide(kubectls) -> None:
    kubectl, admin = kubectls
    admin.ok("apply", "-f", "-", given=deployment("ice", 0, frozen="yes"))
    assert kubectl("label", "deployment", "ice", "frozen-").code != 0
    assert kubectl("create", "deployment", "x", "--image=x", "-n", "default").code != 0
    assert admin("get", "deployment", "x", "-n", "default").code != 0


def test_what_the_server_would_refuse_is_refused_in_its_words(kubectls) -> None:
    kubectl, _ = kubectls
    missing = kubectl("patch", "deployment", "nobody", "-p", "{}")
    assert "NotFound" in missing.err
    kubectl.ok("apply", "-f", "-", given=deployment("words", 0))
    invalid = kubectl("patch", "deployment", "words", "-p", '{"spec":{"replicas":-1}}')
    assert "must be greater than or equal to 0" in invalid.err


def test_a_put_that_creates_is_tied_to_there_being_nothing(kubectls, judging: Gateway) -> None:
    kubectl, admin = kubectls
    path = f"/apis/coordination.k8s.io/v1/namespaces/{kubectl.namespace}/leases/l"
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}
    assert judging.call("PUT", path, lease).code == 201
    assert judging.call("PUT", path, lease).code == 200
    admin.ok("patch", "lease", "l", "--type=merge", "-p", '{"spec":{"holderIdentity":"other"}}')
    assert judging.call("PUT", path, lease).code == 403


def test_of_writes_that_race_none_is_applied_to_an_object_that_was_not_judged(kubectls, judging: Gateway) -> None:
    """Two patches that are each harmless and together are not: at most one is applied, the other gets a conflict."""
    kubectl, admin = kubectls
    admin.ok("apply", "-f", "-", given=deployment("race", 0))
    path = f"/apis/apps/v1/namespaces/{kubectl.namespace}/deployments/race"
    kind = {"Content-Type": "application/merge-patch+json"}
    codes: list[int] = []

    def freeze_or_grow(body: dict[str, Any]) -> None:
        codes.append(judging.call("PATCH", path, body, kind).code)

    bodies = [{"metadata": {"labels": {"frozen": "yes"}}}, *({"spec": {"replicas": n % 4}} for n in range(1, 8))]
    threads = [threading.Thread(target=freeze_or_grow, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {200, 403, 409}, codes
    history = [
        record for record in real.records(judging.state) if record.path == path and record.status == 200 and record.method == "PATCH"
    ]  # fmt: skip
    frozen_at = admin.ok("get", "deployment", "race", "-o", "jsonpath={.metadata.labels.frozen}")
    if frozen_at == "yes":  # nothing was applied after it: every later one was judged on the frozen object
        assert judging.call("PATCH", path, {"spec": {"replicas": 1}}, kind).code == 403
    assert len(history) == codes.count(200)
