"""Mutated requests through the parser: each is canonicalised or Refused, and what is sent reads as what was judged.

By hand: `python tests/kube/fuzz_requests.py 1000000 [seed]` with `addons` on PYTHONPATH.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

from pratique.errors import Refused
from pratique.kube.attributes import request_attributes
from pratique.kube.canonical import RawRequest, canonicalise
from pratique.kube.forms import from_corpus
from pratique.kube.rules import RULES

CORPUS = Path(__file__).parent / "corpus" / "requests.jsonl"
SEED_BYTES = 2000  # longer lines of the corpus are left out: mutations of 60 kB parameters find nothing new
PIECES = [
    b"/", b"//", b"%2F", b"%2e", b"..", b"%", b"%00", b"%25", b";", b"#", b"?", b"&", b"=", b"+", b" ", b"\x00", b"\xff",
    b"watch", b"watch=true", b"namespaces", b"proxy", b"status", b"dryRun=All", b"fieldSelector=metadata.name%3Dx", b"limit=1",
    b"labelSelector=a+in+(b,c)", b"api", b"apis", b"v1", b"pods", b"exec", b"command=a", b"http://x", b"*", b"\xe2\x80\x8b", b"timeoutSeconds=9",
]  # fmt: skip
BODY_PIECES = [
    b"{", b"}", b"[", b"]", b'"', b":", b",", b'"kind":"Pod",', b"null", b"NaN", b"1e999", b"\\ud800", b"\xef\xbb\xbf",
    b"\n---\n", b"&a ", b"*a", b"!!binary ", b"yes", b"0777", b"- ", b"  ", b"? ", b"%YAML 1.1\n", b'"metadata":{"name":"x"},', b"\t",
]  # fmt: skip
HEADERS = [
    (b"Content-Type", b"application/json"), (b"Content-Type", b"application/yaml"), (b"Transfer-Encoding", b"chunked"),
    (b"Content-Type", b"application/merge-patch+json"), (b"Content-Type", b"application/apply-patch+yaml"),
    (b"Accept", b"application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io;q=0.5, */*"), (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Protocol", b"v5.channel.k8s.io"), (b"Content-Length", b"2"),
    (b"X-Stream-Protocol-Version", b"v4.channel.k8s.io"), (b"Cookie", b"a=b"),
]  # fmt: skip


def seeds() -> list[RawRequest]:
    found = []
    for line in CORPUS.read_text(encoding="utf-8").splitlines():
        try:
            request = from_corpus(json.loads(line))
        except Refused:
            continue
        if len(request.target) <= SEED_BYTES:
            found.append(request)
    return found


def mutate(dice: random.Random, request: RawRequest) -> RawRequest:
    method, target, headers, body = request.method, request.target, request.headers, request.body
    for _ in range(dice.randint(1, 3)):
        kind = dice.randrange(10)
        if kind < 6:
            target = _splice(dice, target, PIECES)
        elif kind == 6:
            headers = _spliced_headers(dice, headers)
        elif kind == 7:
            body = _splice(dice, body, BODY_PIECES)
        elif kind == 8:
            method = dice.choice(
                [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"get", b"", b"\xff"]
            )
        else:
            method = dice.choice([b"POST", b"PUT", b"PATCH", b"DELETE"])
            body = dice.choice([b'{"kind":"Pod","spec":{"a":[1,2]}}', b"a: {b: [c, 1]}\n", b"[]", b"{}"])
    return RawRequest(method, target, headers, body, request.http_version)


def _splice(dice: random.Random, data: bytes, pieces: list[bytes]) -> bytes:
    at = dice.randint(0, len(data))
    cut = at + dice.choice([0, 0, 1, 3, 8])
    piece = dice.choice(pieces) if dice.random() < 0.8 else bytes([dice.randrange(256)])
    return data[:at] + piece + data[cut:]


def _spliced_headers(dice: random.Random, headers: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[bytes, bytes], ...]:
    listed = list(headers)
    if listed and dice.random() < 0.5:
        at = dice.randrange(len(listed))
        listed[at] = (
            _splice(dice, listed[at][0], [b"_", b" ", b"-"]),
            _splice(dice, listed[at][1], [b",", b";", b"\r\n", b"\t"]),
        )
    else:
        listed.append(dice.choice(HEADERS))
    return tuple(listed)


def check(request: RawRequest) -> bool:
    """Whether the request passed. AssertionError or any exception but Refused is a finding."""
    try:
        found = canonicalise(request)
    except Refused as error:
        rule = error.rule
    else:
        rule = ""
    assert not rule or rule in RULES
    if rule:
        return False
    again = request_attributes(found.method, found.target).as_json()
    assert {**found.attributes.as_json(), "path": found.path} == again, request
    return True


def run(count: int, seed: int = 0) -> int:
    """`count` mutations; how many of them passed."""
    dice = random.Random(seed)
    start = seeds()
    passed = 0
    for _ in range(count):
        request = mutate(dice, dice.choice(start))
        try:
            passed += check(request)
        except Exception:
            print(f"seed {seed}: {request!r}")
            raise
    return passed


if __name__ == "__main__":
    amount = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    begin = time.monotonic()
    print(
        f"{run(amount, int(sys.argv[2]) if len(sys.argv) > 2 else 0)} of {amount} passed, {time.monotonic() - begin:.0f} s"
    )
