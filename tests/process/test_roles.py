"""A gateway that assumes roles: each client as itself, through an outage of STS, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pratique.sandbox.authenticator import AccessEntry
from pratique.sandbox.cluster import ACCOUNT, ROLE_X, Cluster, Sandbox, SandboxOptions
from pratique.sandbox.sts import Role
from tests.process.gateway import Gateway, eventually

pytestmark = pytest.mark.process
BILLING = f"arn:aws:iam::{ACCOUNT}:role/billing"
LIST = "/api/v1/namespaces/payments/configmaps"
ASKS = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: by-labels}
spec:
  subjects: ["*"]
  rules:
    - name: labelled
      verbs: [get, list]
      apiGroups: [""]
      resources: [configmaps]
      namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: payments}}
      action: Allow
    - name: judged-on-the-live-object
      verbs: [patch]
      apiGroups: [""]
      resources: [configmaps]
      conditions: [{name: old, expression: "oldObject.metadata.name != ''"}]
      action: Allow
"""


def _add_role(cluster: Cluster) -> None:
    cluster.sts.roles[BILLING] = Role(BILLING, "AROASANDBOXBILLING000", (ROLE_X,))
    entry = AccessEntry(BILLING, "billing:{{SessionName}}", ("pratique",))
    cluster.authenticator.entries[BILLING] = entry


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), SandboxOptions(static_token="CANARY")) as sandbox:
        sandbox.call(_add_role)
        running = Gateway(
            tmp_path_factory.mktemp("gateway"),
            sandbox,
            credential="eks",
            clients=("agent", "other", "late"),
            policy=ASKS,
        )
        for name in ("other", "late"):
            document = running.policies / f"client-{name}.yaml"
            document.write_text(document.read_text() + f"  roleARN: {BILLING}\n")
        yield running.start()
        running.stop()


def user(gateway: Gateway, marker: str) -> str:
    (seen,) = gateway.seen(marker)
    return seen.user.username


def test_each_client_arrives_as_itself_and_so_do_the_questions_about_it(gateway: Gateway) -> None:
    assert gateway.call("GET", f"{LIST}/as-agent", client="agent").code == 404
    assert user(gateway, "as-agent") == f"arn:aws:sts::{ACCOUNT}:assumed-role/pratique-role-y/agent"
    own = f"arn:aws:sts::{ACCOUNT}:assumed-role/pratique-role-y/pratique"
    labels = [one for one in gateway.own_calls("namespaces/payments") if one.path.endswith("/payments")]
    assert {one.user.username for one in labels} == {own}  # kept for every client
    made = {"metadata": {"name": "judged"}, "data": {"a": "b"}}
    assert gateway.behind("POST", LIST, made).code == 201
    patch = {"Content-Type": "application/merge-patch+json"}
    body = json.dumps({"data": {"a": "c"}}).encode()
    for client, expected in (
        ("agent", f"arn:aws:sts::{ACCOUNT}:assumed-role/pratique-role-y/agent"),
        ("other", "billing:other"),
    ):
        before = len(gateway.own_calls("configmaps/judged"))
        assert gateway.call("PATCH", f"{LIST}/judged", body, patch, client).code == 200
        asked = gateway.own_calls("configmaps/judged")[before:]
        assert asked
        assert {one.user.username for one in asked} == {expected}
    assert gateway.call("GET", f"{LIST}/as-other", client="other").code == 404
    assert user(gateway, "as-other") == "billing:other"


def test_an_outage_of_sts_is_noticed_by_nobody_who_has_a_token_and_is_a_status_for_others(gateway: Gateway) -> None:
    assert gateway.call("GET", f"{LIST}/before-outage", client="agent").code == 404
    sts = gateway.sandbox.cluster.sts
    sessions = dict(sts.sessions)
    sts.roles, roles = {}, sts.roles  # AssumeRole fails; who has a session keeps it
    try:
        assert gateway.call("GET", f"{LIST}/during-outage", client="agent").code == 404
        refused = gateway.call("GET", f"{LIST}/without-token", client="late")
        assert (refused.code, refused.reason) == (503, "ServiceUnavailable")
        assert "AWS denies sts:AssumeRole" in refused.json["message"]
        assert gateway.seen("without-token") == []
    finally:
        sts.roles = roles
    assert sts.sessions == sessions
    eventually(lambda: gateway.call("GET", f"{LIST}/after-outage", client="late").code == 404)
    assert user(gateway, "after-outage") == "billing:late"


def test_a_gateway_that_starts_without_a_credential_serves_a_status_and_recovers_by_itself(gateway: Gateway) -> None:
    sts = gateway.sandbox.cluster.sts
    sts.roles, roles = {}, sts.roles
    try:
        gateway.stop()
        gateway.start()
        refused = gateway.call("GET", f"{LIST}/started-without", client="agent")
        assert (refused.code, refused.reason) == (503, "ServiceUnavailable")
        assert gateway.output.count("AWS denies sts:AssumeRole") >= 1
    finally:
        sts.roles = roles
    eventually(lambda: gateway.call("GET", f"{LIST}/started-with", client="agent").code == 404)
