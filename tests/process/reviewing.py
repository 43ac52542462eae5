"""Reviewers of a real gateway, by its HTTP API, and requests that are held meanwhile."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tests.process.gateway import Answer, Gateway

WAIT_SECONDS = 60
STEP_SECONDS = 0.03
RULES = """
    - {name: read, verbs: [get, list, watch], apiGroups: ["", apps, batch], resources: ["*"], action: Allow}
    - {name: make, verbs: [create], apiGroups: ["", apps], resources: [configmaps, pods, deployments], action: Allow}
    - {name: asks, verbs: [delete, deletecollection, update, patch], apiGroups: ["", apps], resources: [configmaps, pods, deployments, namespaces, secrets], action: RequireApproval, message: a person decides}
    - {name: makes-secrets, verbs: [create], apiGroups: [""], resources: [secrets], action: RequireApproval, approval: {expiresAfter: 1s}}
    - {name: exec, verbs: [get, create], apiGroups: [""], resources: [pods/exec], action: RequireApproval}
    - {name: two, verbs: [delete], apiGroups: [batch], resources: [jobs], action: RequireApproval, approval: {quorum: 2}}
    - {name: watched, verbs: [watch], apiGroups: [""], resources: [services], action: RequireApproval}
"""
POLICY = f"""
apiVersion: pratique/v1
kind: Policy
metadata: {{name: test}}
spec:
  subjects: ["*"]
  rules:{RULES}
"""


def probe(gateway: Gateway, path: str) -> Answer:
    """Of the admin listener, without a key."""
    address = urlsplit(gateway.admin)
    connection = http.client.HTTPSConnection(
        address.hostname or "", address.port, context=gateway.tls(), timeout=WAIT_SECONDS
    )
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


class Reviewer:
    def __init__(self, gateway: Gateway, name: str) -> None:
        self.gateway = gateway
        self.key = gateway.keys[name]

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        address = urlsplit(self.gateway.admin)
        connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, context=self.gateway.tls(), timeout=WAIT_SECONDS
        )
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/api/v1{path}", body=data, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def rows(self, show: str = "open") -> list[Any]:
        return list(self.call("GET", f"/approvals?show={show}").json["approvals"])

    def find(self, words: str, state: str = "pending") -> str:
        """The id of the approval whose words hold these; waits for it."""
        found: list[str] = []

        def look() -> bool:
            rows = self.rows("all")
            found[:] = [row["id"] for row in rows if words in row["words"] and row["state"] == state]
            return bool(found)

        wait_for(look, f"no approval `{words}`")
        return found[0]

    def show(self, approval_id: str) -> Any:
        return self.call("GET", f"/approvals/{approval_id}").json

    def decide(self, words: str, decision: str = "approve", **fields: Any) -> str:
        """Waits for the question, and answers it; its id."""
        approval_id = self.find(words)
        body = {"decision": decision, "nonce": self.show(approval_id)["nonce"], **fields}
        answer = self.call("POST", f"/approvals/{approval_id}/decision", body)
        assert answer.code == 200, answer.body
        return approval_id

    def clear(self) -> None:
        """Denies what is pending."""
        for row in self.rows():
            if row["state"] == "pending":
                body = {"decision": "deny", "nonce": self.show(row["id"])["nonce"]}
                self.call("POST", f"/approvals/{row['id']}/decision", body)

    def revoke(self, approval_id: str) -> None:
        body = {"nonce": self.show(approval_id)["nonce"]}
        answer = self.call("POST", f"/approvals/{approval_id}/revocation", body)
        assert answer.code == 200, answer.body

    def revoke_grant(self) -> None:
        (grant,) = self.call("GET", "/grants").json["grants"]
        answer = self.call("POST", f"/grants/{grant['id']}/revocation", {"nonce": grant["nonce"]})
        assert answer.code == 204, answer.body


class Held:
    """A request in a thread of its own. `answer()` waits for what it was answered."""

    def __init__(self, gateway: Gateway, method: str, target: str, body: Any = None, **fields: Any) -> None:
        self._answers: list[Answer | BaseException] = []

        def run() -> None:
            try:
                self._answers.append(gateway.call(method, target, body, **fields))
            except BaseException as error:  # noqa: BLE001 - handed to the test
                self._answers.append(error)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def answer(self) -> Answer:
        found = self.outcome()
        assert isinstance(found, Answer), found
        return found

    def done(self) -> bool:
        return bool(self._answers)

    def outcome(self) -> Answer | BaseException:
        self._thread.join(WAIT_SECONDS)
        assert self._answers, "it is still held"
        return self._answers[0]


def wait_for(condition: Callable[[], Any], what: str = "it did not happen") -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(STEP_SECONDS)


def configmap(name: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "payments", "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {"a": "b"}}


MAPS = "/api/v1/namespaces/payments/configmaps"


def make(gateway: Gateway, name: str, **data: str) -> str:
    """A ConfigMap; its target."""
    answer = gateway.call("POST", MAPS, configmap(name, **data))
    assert answer.code == 201, answer.body
    return f"{MAPS}/{name}"


def changed(gateway: Gateway, marker: str) -> list[Any]:
    """What reached the cluster of clients' requests that change something."""
    return [record for record in gateway.seen(marker) if record.method in {"PUT", "PATCH", "DELETE"}]
