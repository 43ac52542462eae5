"""A probe for leak tests: one value that nobody has seen, hidden anywhere in the cluster, and every output that is searched.

Each probe has a value of its own, so that no other test's second net (values that were masked before) can hide a hole.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pratique.sandbox.record import Scripted
from tests.masking.canary import find
from tests.process.gateway import Answer, Gateway

OPEN = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: open}
spec:
  subjects: ["*"]
  rules:
    - {name: discover, verbs: ["*"], nonResourceURLs: ["*"], action: Allow}
    - {name: all, verbs: ["*"], apiGroups: ["*"], resources: ["*/*"], escalations: [aws-auth, external-ips, irsa-annotation, pod-security-labels, service-account-token], action: Allow}
    - {name: named, verbs: ["*"], apiGroups: [""], resources: [serviceaccounts/token, services/proxy, pods/proxy], action: Allow}
    - {name: stored, verbs: ["*"], apiGroups: ["", storage.k8s.io], resources: [persistentvolumes, storageclasses], action: Allow}
    - {name: reviews, verbs: [create], apiGroups: [authentication.k8s.io], resources: [tokenreviews], action: Allow}
    - {name: asks, verbs: [delete], apiGroups: [""], resources: [services], action: RequireApproval, message: ask}
"""
"""Nothing is blocked: what does not leak here does not leak because it is masked."""
N = "/api/v1/namespaces/payments"


PROBED: dict[str, str] = {}
"""Every value that was hidden, and the test that hid it."""


def written(gateway: Gateway) -> dict[str, list[str]]:
    """Test → forms of its value in what the gateway has written: recordings, approvals, logs. {} is what is wanted."""
    text = gateway.recorded()
    found = {test: find(text, value=value) for value, test in PROBED.items()}
    return {test: forms for test, forms in found.items() if forms}


@dataclass
class Probe:
    gateway: Gateway
    value: str = field(default_factory=lambda: f"CANARY-{secrets.token_hex(5)}-zz")
    outputs: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        PROBED.setdefault(self.value, os.environ.get("PYTEST_CURRENT_TEST", ""))

    @property
    def encoded(self) -> str:
        return base64.b64encode(self.value.encode()).decode()

    @property
    def name(self) -> str:
        """A name of an object that no other probe has."""
        return f"probe-{self.value[7:17]}"

    # --- hiding it ---

    def plant(self, collection: str, document: Any) -> None:
        """An object, created behind the gateway; its status as well, where it has one."""
        made = self.gateway.behind("POST", collection, document)
        assert made.code in {200, 201}, made.body
        if "status" in document:
            target = f"{collection}/{document['metadata']['name']}"
            for _ in range(20):  # the sandbox's own controllers write it as well
                live = self.gateway.behind("GET", target).json
                written = self.gateway.behind("PUT", f"{target}/status", {**live, "status": document["status"]})
                if written.code != 409:
                    break
            assert written.code == 200, written.body

    def secret(self, **more: Any) -> dict[str, Any]:
        metadata = {"name": self.name, **more.pop("metadata", {})}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": self.encoded}, **more}

    def plant_secret(self, **more: Any) -> str:
        """Its URL path."""
        self.plant(f"{N}/secrets", self.secret(**more))
        return f"{N}/secrets/{self.name}"

    @contextlib.contextmanager
    def scripted(self, method: str, path: str, *chunks: bytes | Any, code: int = 200, **headers: str) -> Iterator[None]:
        """The cluster answers this, word for word."""
        raw = tuple(
            chunk if isinstance(chunk, bytes) else json.dumps(chunk, separators=(",", ":")).encode() for chunk in chunks
        )
        given = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        answers = self.gateway.sandbox.call(lambda cluster: cluster.scripted)
        answers[method, path] = Scripted(raw, code, tuple(given.items()))
        try:
            yield
        finally:
            del answers[method, path]

    # --- looking for it ---

    def call(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        """Through the gateway; everything that came back is searched at the end."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.gateway.call(method, target, body, headers=named)
        self.outputs += [answer.body, repr(answer.headers).encode()]
        return answer

    def get(self, target: str, **headers: str) -> Answer:
        return self.call("GET", target, **headers)

    def stream(self, target: str, until: bytes, times: int = 1) -> bytes:
        """What a watch or a followed log has sent when `until` has come `times` times. Chunk sizes are left in."""
        with self.gateway.connect(30) as sock:
            key = self.gateway.keys["agent"]
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
            received = b""
            with contextlib.suppress(TimeoutError, socket.timeout):
                while received.count(until) < times and (data := sock.recv(65536)):
                    received += data
        self.outputs.append(received)
        assert received.count(until) >= times, received[-2000:]
        return received

    def check(self) -> None:
        """No form of the value in anything that came back. What the gateway wrote is searched when it has stopped."""
        assert self.outputs
        assert find(*self.outputs, value=self.value) == []
