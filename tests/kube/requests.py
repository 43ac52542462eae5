"""Builders shared by the tests of `pratique.kube`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pratique.errors import Refused
from pratique.kube.canonical import CanonicalRequest, RawRequest, canonicalise
from pratique.kube.rules import RULES

CORPUS = Path(__file__).parent / "corpus" / "requests.jsonl"
WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
}
EXEC = "/api/v1/namespaces/default/pods/p1/exec?command=id&stdout=true"
PODS = "/api/v1/namespaces/default/pods"
POD = PODS + "/p1"


@cache
def corpus() -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines())


def raw(method: str, target: str | bytes, headers: Any = (), body: Any = b"", version: str = "HTTP/1.1") -> RawRequest:
    if isinstance(headers, dict):
        headers = tuple(headers.items())
    if not isinstance(body, bytes):
        body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    fields = tuple((n.encode("latin-1"), v.encode("latin-1")) for n, v in headers)
    return RawRequest(
        method.encode("latin-1"), target.encode() if isinstance(target, str) else target, fields, body, version
    )


def canonical(method: str, target: str | bytes, headers: Any = (), body: Any = b"") -> CanonicalRequest:
    return canonicalise(raw(method, target, headers, body))


def refusal(method: str, target: str | bytes, headers: Any = (), body: Any = b"", version: str = "HTTP/1.1") -> str:
    """The rule by which the request is refused; the test fails if it is not."""
    with pytest.raises(Refused) as caught:
        canonicalise(raw(method, target, headers, body, version))
    assert caught.value.code == RULES[caught.value.rule].code
    return caught.value.rule


def header(request: CanonicalRequest, name: str) -> list[str]:
    return [value.decode() for key, value in request.headers if key.lower() == name.lower().encode()]
