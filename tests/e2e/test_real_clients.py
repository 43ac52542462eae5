"""Clients of a real cluster: a projected token of its own, impersonation under its RBAC, reviews about oneself by real kubectl."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from pratique.cli.audit import events
from pratique.recorder.join import STAGE
from pratique.sandbox.cluster import Sandbox
from tests.e2e import real
from tests.process.gateway import Gateway

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]

ISSUERS = """
apiVersion: pratique/v1
kind: Issuer
metadata: {{name: cluster}}
spec: {{tokens: {{url: "{issuer}", audiences: [pratique], keys: {{cluster: {{}}}}}}}}
---
apiVersion: pratique/v1
kind: Client
metadata: {{name: server}}
spec:
  serviceAccount: {{issuer: cluster, namespace: {namespace}, name: server, uid: {uid}}}
---
apiVersion: pratique/v1
kind: Client
metadata: {{name: acting}}
spec:
  serviceAccount: {{issuer: cluster, namespace: {namespace}, name: acting}}
  impersonate: {{serviceAccount: {namespace}/acting}}
---
apiVersion: pratique/v1
kind: Client
metadata: {{name: nobodys}}
spec:
  serviceAccount: {{issuer: cluster, namespace: {namespace}, name: nobodys}}
  impersonate: {{serviceAccount: {namespace}/nobodys}}
"""
RIGHTS = """
apiVersion: v1
kind: List
items:
- {{apiVersion: v1, kind: ServiceAccount, metadata: {{name: server}}}}
- {{apiVersion: v1, kind: ServiceAccount, metadata: {{name: acting}}}}
- {{apiVersion: v1, kind: ServiceAccount, metadata: {{name: nobodys}}}}
- {{apiVersion: v1, kind: ServiceAccount, metadata: {{name: gateway}}}}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: Role
  metadata: {{name: acting}}
  rules: [{{apiGroups: [""], resources: [configmaps], verbs: [get, list, create, delete]}}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  metadata: {{name: acting}}
  roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: acting}}
  subjects: [{{kind: ServiceAccount, name: acting, namespace: {namespace}}}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: Role
  metadata: {{name: gateway}}
  rules: [{{apiGroups: [""], resources: [serviceaccounts], resourceNames: [acting], verbs: [impersonate]}}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  metadata: {{name: gateway}}
  roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: gateway}}
  subjects: [{{kind: ServiceAccount, name: gateway, namespace: {namespace}}}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {{name: "{namespace}-groups"}}
  rules:
  - apiGroups: [""]
    resources: [groups]
    verbs: [impersonate]
    resourceNames: [system:serviceaccounts, "system:serviceaccounts:{namespace}", system:authenticated]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRoleBinding
  metadata: {{name: "{namespace}-groups"}}
  roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "{namespace}-groups"}}
  subjects: [{{kind: ServiceAccount, name: gateway, namespace: {namespace}}}]
"""
POLICY = f"""{real.EVERYTHING}    - {{name: asks, verbs: [delete], apiGroups: [""], resources: [configmaps], action: RequireApproval, message: a person decides}}
    - {{name: no-pods, verbs: [create], apiGroups: [""], resources: [pods], action: Deny}}
"""


@dataclass
class Place:
    """A gateway whose own user is a ServiceAccount with the right to impersonate, and nothing else."""

    gateway: Gateway
    namespace: str
    admin: real.Kubectl
    issuer: str

    def token(self, account: str, *arguments: str) -> str:
        return self.admin.ok("create", "token", account, *arguments).strip()

    def kubectl(self, client: str, account: str) -> real.Kubectl:
        self.gateway.keys[client] = self.token(account, "--audience=pratique")
        config = real.client_kubeconfig(self.gateway, client)
        return real.Kubectl(self.admin.program, config, self.namespace, {})

    def code(self, token: str, path: str) -> int:
        return self.gateway.call("GET", path, headers={"Authorization": f"Bearer {token}"}, client="").code


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("clients")
    namespace = f"e2e-clients-{secrets.token_hex(3)}"
    admin = real.Kubectl(real.kubectls()[0], real.kubeconfig(), namespace, {})
    admin.ok("create", "namespace", namespace)
    try:
        admin.ok("apply", "-f", "-", given=RIGHTS.format(namespace=namespace))
        cluster = real.real_cluster(folder)
        own = admin.ok("create", "token", "gateway").strip()
        uid = admin.ok("get", "serviceaccount", "server", "-o", "jsonpath={.metadata.uid}")
        issuer = json.loads(admin.ok("get", "--raw", "/.well-known/openid-configuration"))["issuer"]
        documents = {"issuers.yaml": ISSUERS.format(issuer=issuer, namespace=namespace, uid=uid).lstrip()}
        as_account = cast("Sandbox", replace(cluster, info=replace(cluster.info, static_token=own)))
        gateway = Gateway(folder / "gateway", as_account, policy=POLICY, hold=0, documents=documents)
        try:
            yield Place(gateway.start(), namespace, admin, issuer)
        finally:
            gateway.stop()
    finally:
        admin("delete", "clusterrole,clusterrolebinding", f"{namespace}-groups", "--wait=false")
        admin("delete", "namespace", namespace, "--wait=false")


def test_a_projected_token_of_the_cluster_is_its_client(place: Place) -> None:
    """The gateway asks the cluster for its keys, as its own user: every ServiceAccount may read them."""
    token = place.token("server", "--audience=pratique")
    answer = place.gateway.call("GET", "/version", headers={"Authorization": f"Bearer {token}"}, client="")
    assert answer.code == 200
    who = place.kubectl("server", "server").ok("auth", "whoami", "-o", "json")
    assert json.loads(who)["status"]["userInfo"] == {"username": "server", "groups": ["pratique:clients"]}
    real.eventually(lambda: b"serviceAccount:" in place.gateway.recorded())
    assert token.split(".")[2].encode() not in place.gateway.recorded()


def test_a_token_of_the_cluster_for_somebody_else_is_nobodys(place: Place) -> None:
    """For the API server itself, of an account without a Client document, and one whose signature was cut."""
    for token in (
        place.token("server"),
        place.token("gateway", "--audience=pratique"),
        place.token("server", "--audience=pratique")[:-8] + "AAAAAAAA",
    ):
        assert place.code(token, "/version") == 401


def test_a_token_ends_when_it_says(place: Place) -> None:
    """Ten minutes is the least that the API server gives; so it is read, not waited for."""
    token = place.token("server", "--audience=pratique", "--duration=10m")
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["iss"] == place.issuer
    assert 500 < claims["exp"] - time.time() <= 601
    assert claims["kubernetes.io"]["serviceaccount"]["name"] == "server"


def test_an_impersonated_client_has_the_rights_of_its_account_and_its_name_in_the_audit_log(place: Place) -> None:
    kubectl = place.kubectl("acting", "acting")
    kubectl.ok("create", "configmap", "made", "--from-literal=a=b")
    assert "made" in kubectl.ok("get", "configmaps")
    refused = kubectl("get", "secrets")
    assert refused.code == 1
    assert f'"system:serviceaccount:{place.namespace}:acting" cannot list' in refused.err

    def audited() -> list[Any]:
        return [
            event
            for event in events(Path(real.os.environ["PRATIQUE_REALCLUSTER_AUDIT"]))
            if (event.get("objectRef") or {}).get("namespace") == place.namespace
            and (event.get("impersonatedUser") or {}).get("username", "").endswith(":acting")
        ]

    found = real.eventually(lambda: [event for event in audited() if event["verb"] == "create"])
    assert found[0]["user"]["username"] == f"system:serviceaccount:{place.namespace}:gateway"
    assert set(found[0]["impersonatedUser"]["groups"]) >= {
        "system:serviceaccounts",
        f"system:serviceaccounts:{place.namespace}",
        "system:authenticated",
    }


def test_what_reviewers_are_shown_was_asked_as_the_account(place: Place) -> None:
    kubectl = place.kubectl("acting", "acting")
    kubectl("create", "configmap", "asked", "--from-literal=a=b")
    refused = kubectl("delete", "configmap", "asked", "--wait=false")
    assert "approval" in refused.err
    assert "asked" in kubectl.ok("get", "configmaps")

    def rehearsed() -> list[Any]:
        return [
            event
            for event in events(Path(real.os.environ["PRATIQUE_REALCLUSTER_AUDIT"]))
            if event["stage"] == STAGE  # it is not known yet whom the request received acts as
            and "-own-" in event.get("auditID", "")
            and (event.get("objectRef") or {}).get("namespace") == place.namespace
            and event["objectRef"].get("name") == "asked"
        ]

    found = real.eventually(rehearsed)
    account = f"system:serviceaccount:{place.namespace}:acting"
    assert {(event.get("impersonatedUser") or {}).get("username") for event in found} == {account}


def test_without_the_right_to_impersonate_the_cluster_refuses_it(place: Place) -> None:
    token = {"Authorization": f"Bearer {place.token('nobodys', '--audience=pratique')}"}
    path = f"/api/v1/namespaces/{place.namespace}/configmaps"
    refused = place.gateway.call("GET", path, headers=token, client="")
    assert refused.code == 403
    assert "cannot impersonate" in refused.json["message"]


def test_can_i_is_answered_by_policy_and_rbac_of_the_account(place: Place) -> None:
    kubectl = place.kubectl("acting", "acting")
    assert kubectl.ok("auth", "can-i", "get", "configmaps").strip() == "yes"
    queued = kubectl("auth", "can-i", "delete", "configmaps/made")
    assert (queued.code, queued.out.strip()) == (0, "yes")
    assert "a person has to approve" in queued.err
    no_right = kubectl("auth", "can-i", "get", "secrets")
    assert (no_right.code, "the cluster does not allow it" in no_right.out) == (1, True)
    denied = kubectl("auth", "can-i", "create", "pods")
    assert (denied.code, "the gateway's policy denies it" in denied.out) == (1, True)
    listed = kubectl("auth", "can-i", "--list")
    [line] = [line for line in listed.out.splitlines() if line.startswith("configmaps ")]
    assert line.split("[")[-1].rstrip("]") == "get list create delete"
    assert not [line for line in listed.out.splitlines() if line.startswith(("secrets ", "pods "))]
    assert "may be incomplete" in listed.err


def test_the_keys_are_served_to_clients_too(place: Place) -> None:
    keys = json.loads(place.kubectl("server", "server").ok("get", "--raw", "/openid/v1/jwks"))["keys"]
    assert keys


def test_recordings_and_audit_log_join(place: Place) -> None:
    report = real.joined(place.gateway)
    assert report.joined > 0
    assert report.mismatches == []
    assert report.unseen == []
    assert [each for each in report.around if each["user"]["username"].endswith(":gateway")] == []
