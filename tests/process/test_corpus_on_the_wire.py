"""Every request of the corpus, as bytes to a real gateway: it does what the pure code says, and the cluster sees just that."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest

from pratique.documents.folder import read_files
from pratique.errors import Refused
from pratique.kube.canonical import CanonicalRequest, canonicalise
from pratique.kube.forms import from_corpus
from pratique.policy.decision import PolicySet, compile_policies
from pratique.policy.request import PolicyRequest
from pratique.sandbox.cluster import Sandbox, SandboxOptions
from pratique.verdict import Action
from tests.kube.oracle.requests import wire
from tests.kube.requests import corpus
from tests.process.gateway import Gateway

pytestmark = pytest.mark.process
EVERYTHING = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: everything}
spec:
  subjects: ["*"]
  rules:
    - {name: resources, verbs: ["*"], apiGroups: ["*"], resources: ["*", "*/*"], action: Allow}
    - {name: others, verbs: ["*"], nonResourceURLs: ["*"], action: Allow}
"""
LINES = corpus()
# A JSON patch that copies a value of a Secret to where no mask is: the write-back check of masking.
STOPPED_LATER = {"k0789": 422, "k0758": 403}
"""k0789 carries a mask; k0758 is a PUT that deletes masked values, which a person is asked about."""
REPLACED = "sh.helm.release.v1.rel.v1"
"""The Secret of k0758. Lines of another category may have deleted or emptied it, or its namespace, so it is made anew."""
CATEGORIES = sorted({line["category"] for line in LINES})
SENT = {
    "accept",
    "accept-encoding",
    "audit-id",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "if-none-match",
    "user-agent",
}
SENT_ON_UPGRADE = SENT | {
    "upgrade",
    "sec-websocket-version",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "x-stream-protocol-version",
}


@pytest.fixture(scope="module")
def open_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("corpus")
    with Sandbox(folder / "sandbox", SandboxOptions(static_token="static-upstream-token-CANARY")) as sandbox:
        gateway = Gateway(folder / "gateway", sandbox, policy=EVERYTHING).start()
        yield gateway
        gateway.stop()


@pytest.fixture(scope="module")
def policies(open_gateway: Gateway) -> PolicySet:
    return compile_policies(read_files([open_gateway.policies / "policy.yaml"]))


def head_of_the_answer(gateway: Gateway, line: dict) -> bytes:
    """What comes back until the head of an answer is whole; b"" when the gateway just closes."""
    headers = [pair for pair in line["headers"] if pair[0].lower() != "authorization"]
    line = {**line, "headers": [["Authorization", f"Bearer {gateway.keys['agent']}"], *headers]}
    received = b""
    with gateway.connect() as sock:
        sock.sendall(wire(line))
        try:
            while (
                b"\r\n\r\n"
                not in received.partition(b"HTTP/1.1 100 Continue\r\n\r\n")[2 if b" 100 " in received[:20] else 0]
            ):
                data = sock.recv(65536)
                if not data:
                    break
                received += data
        except (ssl.SSLError, ConnectionError):
            pass
    return received


def expected(policies: PolicySet, line: dict) -> tuple[CanonicalRequest | None, int]:
    """The canonical request that must arrive, or None and the status that must come back (0: any error)."""
    try:
        canonical = canonicalise(
            from_corpus({**line, "headers": [h for h in line["headers"] if h[0].lower() != "authorization"]})
        )
    except Refused as refusal:
        connection = refusal.rule.startswith(
            (
                "line/version",
                "framing/",
                "header/name",
                "header/duplicate",
                "target/bytes",
                "target/form",
                "line/method",
            )
        )
        return None, 0 if connection else refusal.code
    action = policies.decide(PolicyRequest.from_canonical("agent", canonical)).action
    return (canonical, 0) if action is Action.ALLOW else (None, 403)


def make_anew(gateway: Gateway) -> None:
    secrets = "/api/v1/namespaces/default/secrets"
    gateway.behind("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}})
    gateway.behind("DELETE", f"{secrets}/{REPLACED}")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": REPLACED}, "data": {"release": "eA=="}}
    assert gateway.behind("POST", secrets, secret).code == 201


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_gateway_does_on_the_wire_what_the_pure_code_says(
    open_gateway: Gateway, policies: PolicySet, category: str
) -> None:
    seen = open_gateway.sandbox.requests
    for line in (line for line in LINES if line["category"] == category):
        if line["id"] == "k0758":
            make_anew(open_gateway)
        before = len(seen)
        received = head_of_the_answer(open_gateway, line)
        code = int(received.rpartition(b"HTTP/1.1 ")[2][:3] or 0)
        # The gateway's own reads (what would a PUT of a Secret delete?) are not the client's request.
        own = [record for record in seen[before:] if "-own-" in record.audit_id]
        arrived = [record for record in seen[before:] if record not in own]
        canonical, status = expected(policies, line)
        if canonical is None:
            assert (arrived, own) == ([], []), (line["id"], received)
            assert code == status if status else code >= 400 or not received, (line["id"], received)
            continue
        if line["id"] in STOPPED_LATER:
            assert (arrived, code) == ([], STOPPED_LATER[line["id"]])
            continue
        assert len(arrived) == 1, (line["id"], received)
        record = arrived[0]
        assert (record.method, record.uri, record.body) == (
            canonical.method,
            canonical.target.decode(),
            canonical.body,
        ), line["id"]
        names = {name.lower() for name, _ in record.headers}
        assert names <= (SENT_ON_UPGRADE if canonical.upgrade else SENT), line["id"]
        assert record.header("authorization") == "Bearer static-upstream-token-CANARY"
        assert record.header("content-type") == (canonical.content_type or None), line["id"]
