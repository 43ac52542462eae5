"""Random and mutated requests through the parser. What must hold for each:

- it is canonicalised or Refused with a rule of the table; no other exception;
- what Go's net/http answers itself is refused;
- the target that is sent has the attributes that were judged;
- the canonical request, sent as a request, is its own canonical request.

By hand: `python -m tests.kube.fuzz_requests 1000000 [--seed N]` with `addons` on PYTHONPATH.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click

from pratique.errors import Refused
from pratique.kube.attributes import request_attributes
from pratique.kube.canonical import CanonicalRequest, RawRequest, canonicalise, headers_only
from pratique.kube.forms import from_corpus
from pratique.kube.nethttp import own_answer
from pratique.kube.rules import RULES

CORPUS = Path(__file__).parent / "corpus" / "requests.jsonl"
SEED_BYTES = 2000  # longer lines of the corpus are left out: mutations of 60 kB parameters find nothing new
METHODS = [b"GET"] * 6 + [
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"DELETE",
    b"HEAD",
    b"OPTIONS",
    b"get",
    b"",
    b"\xff",
    b"CONNECT",
    b"G T",
]
WRITES = [b"POST", b"PUT", b"PATCH", b"DELETE"]
PIECES = [
    b"/", b"//", b"%2F", b"%2e", b"..", b"%", b"%00", b"%25", b";", b"#", b"?", b"&", b"=", b"+", b" ", b"\x00", b"\xff", b"%zz", b"%c5%bf", b"%E2%80%83",
    b"watch", b"watch=true", b"namespaces", b"proxy", b"status", b"dryRun=All", b"fieldSelector=metadata.name%3Dx", b"limit=1", b"finalize", b"log", b"attach",
    b"labelSelector=a+in+(b,c)", b"api", b"apis", b"v1", b"pods", b"exec", b"command=a", b"http://x", b"*", b"\xe2\x80\x8b", b"timeoutSeconds=9", b"\\", b"\n",
]  # fmt: skip
NAMES = (
    b"watch limit timeoutSeconds fieldSelector labelSelector dryRun gracePeriodSeconds orphanDependents propagationPolicy ports command stdin tty container follow "
    b"tailLines sinceTime sinceSeconds stream force sendInitialEvents uid continue resourceVersion fieldManager pretty path x Watch verbose exclude hash timeout"
).split()  # fmt: skip
WORDS = [
    *PIECES, b"", b"true", b"false", b"FALSE", b"0", b"1", b"-1", b"9223372036854775808", b"99999999999999999999x", b"metadata.name", b"%3D", b"==", b"!=", b"!", b",", b"in",
    b"notin", b"(", b")", b"%5C", b"<", b">", b"A" * 64, b"a/b", b"80,443", b"65536", b"All", b"2024-01-02T03:04:05Z", b"null", b"Background", b"\xc3\xa9", b"%0a",
]  # fmt: skip
PATHS = (
    b"/api/v1/namespaces/a/secrets /api/v1/pods /apis/apps/v1/namespaces/a/deployments/d /api/v1/namespaces/a/pods/p/exec /api/v1/namespaces/a/pods/p/attach /healthz "
    b"/api/v1/namespaces/a/pods/p/log /api/v1/namespaces/a/pods/p/portforward /api/v1/namespaces/a/pods/p/proxy/x/y /api/v1/nodes/n /api/v1/watch/pods /openapi/v2"
).split()  # fmt: skip
BODY_PIECES = [
    b"{", b"}", b"[", b"]", b'"', b":", b",", b'"kind":"Pod",', b"null", b"NaN", b"1e999", b"\\ud800", b"\xef\xbb\xbf", b'"dryRun":["All"],', b"1" * 30, b"0.10", b"1E5",
    b"\n---\n", b"&a ", b"*a", b"!!binary ", b"yes", b"0777", b"- ", b"  ", b"? ", b"%YAML 1.1\n", b'"metadata":{"name":"x"},', b"\t", b"\\u0061", b"-0", b"\xe2\x80\xa8",
]  # fmt: skip
BODIES = [
    b'{"kind":"Pod","spec":{"a":[1,2]}}', b"a: {b: [c, 1]}\n", b"[]", b"{}", b'[{"op":"test","path":"/a"}]', b'{"propagationPolicy":"Orphan"}', b"a: 1.50\nb: 1e3\n- c\n",
    b'{"a":1e5,"b":0.1,"c":-0,"d":123456789012345678901234567890,"e":"\xc3\xa9\\u00e9"}', b"k8s\x00\n\x02v1", b"",
    b'k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12$\n\x1a\n\x02cc\x12\x00\x1a\x08payments"\x00*\x002\x008\x00B\x00\x12\x06\n\x01a\x12\x01b\x1a\x00"\x00',
    b'k8s\x00\n\x0c\n\x02v1\x12\x06Secret\x12&\n\x1a\n\x02s1\x12\x00\x1a\x08payments"\x00*\x002\x008\x00B\x00\x12\x06\n\x01a\x12\x01b\x1a\x00\x1a\x00"\x00',
]  # fmt: skip
MEDIA = (
    b"application/json application/yaml application/merge-patch+json application/strategic-merge-patch+json application/json-patch+json application/apply-patch+yaml "
    b"application/vnd.kubernetes.protobuf application/cbor"
).split()  # fmt: skip
HEADERS = [
    (b"Content-Type", b"application/json"), (b"Content-Type", b"application/yaml"), (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"2"), (b"Cookie", b"a=b"),
    (b"Content-Type", b"application/merge-patch+json"), (b"Content-Type", b"application/apply-patch+yaml"), (b"Content-Type", b"application/json-patch+json"),
    (b"Content-Type", b"application/strategic-merge-patch+json"), (b"Accept", b"application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io;q=0.5, */*"),
    (b"Upgrade", b"websocket"), (b"Upgrade", b"SPDY/3.1"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Protocol", b"v5.channel.k8s.io"), (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="), (b"X-Stream-Protocol-Version", b"v4.channel.k8s.io"), (b"Host", b"h"), (b"Expect", b"100-continue"),
    (b"Content-Type", b"application/vnd.kubernetes.protobuf"), (b"User-Agent", b"kubectl/v1.36"), (b"If-None-Match", b'"a"'), (b"Content-Encoding", b"gzip"), (b"Impersonate-User", b"x"), (b"Trailer", b"Content-Length"),
]  # fmt: skip


def seeds() -> list[RawRequest]:
    found = [from_corpus(json.loads(line)) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    return [request for request in found if len(request.target) <= SEED_BYTES]


def mutated(dice: random.Random, request: RawRequest) -> RawRequest:
    """A request of the corpus, changed at one to three places."""
    for _ in range(dice.randint(1, 3)):
        kind = dice.randrange(10)
        if kind < 6:
            request = replace(request, target=_splice(dice, request.target, PIECES))
        elif kind == 6:
            request = replace(request, headers=_spliced_headers(dice, request.headers))
        elif kind == 7:
            request = replace(request, body=_splice(dice, request.body, BODY_PIECES))
        elif kind == 8:
            request = replace(request, method=dice.choice(METHODS))
        else:
            request = replace(request, method=dice.choice(WRITES), body=dice.choice(BODIES))
    return request


def invented(dice: random.Random, _: RawRequest) -> RawRequest:
    """A request of words that mean something, in any order."""
    words = [
        dice.choice(NAMES) + b"=" + b"".join(dice.choices(WORDS, k=dice.randrange(4))) for _ in range(dice.randrange(5))
    ]
    path = dice.choice(PATHS) if dice.random() < 0.7 else b"/" + b"/".join(dice.choices(WORDS, k=dice.randint(1, 8)))
    body = dice.choice(BODIES) if dice.random() < 0.5 else b""
    headers = tuple(dice.sample(HEADERS, dice.randrange(4)))
    version = dice.choice(["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/2.0", "HTTP/2.0 on a request line", "HTTP/1.2"])
    return RawRequest(dice.choice(METHODS), path + (b"?" + b"&".join(words) if words else b""), headers, body, version)


def _bent(dice: random.Random, body: bytes) -> bytes:
    """A protobuf body with a byte or two changed; the magic stays mostly."""
    for _ in range(dice.randrange(3)):
        at = dice.randrange(4, len(body))
        body = (
            body[:at]
            + bytes([dice.choice([0, 1, 2, 8, 10, 18, 0x7F, 0x80, 0xFF, dice.randrange(256)])])
            + body[at + dice.randrange(2) :]
        )
    return body


def written(dice: random.Random, _: RawRequest) -> RawRequest:
    """A write to a resource, in every content type, its body changed a little."""
    method, media = dice.choice(WRITES), dice.choice(MEDIA)
    base, name = (
        dice.choice([b"/api/v1/namespaces/payments/configmaps", b"/api/v1/namespaces/payments/secrets"]),
        b"" if method == b"POST" else b"/cc",
    )
    body = dice.choice(BODIES) if not media.endswith(b"protobuf") else _bent(dice, dice.choice(BODIES[-2:]))
    if dice.random() < 0.5 and not media.endswith(b"protobuf"):
        body = _splice(dice, body, BODY_PIECES)
    query = dice.choice(
        [
            b"",
            b"",
            b"?dryRun=All",
            b"?fieldManager=a&force=1",
            b"?gracePeriodSeconds=5&uid=x",
            b"?propagationPolicy=Orphan&pretty=1",
        ]
    )
    return RawRequest(method, base + name + query, ((b"Content-Type", media),) if media else (), body)


def noise(dice: random.Random, _: RawRequest) -> RawRequest:
    """Bytes."""
    headers = tuple(
        (dice.randbytes(dice.randrange(9)), dice.randbytes(dice.randrange(20))) for _ in range(dice.randrange(3))
    )
    target = (b"/" if dice.random() < 0.8 else b"") + dice.randbytes(dice.randrange(60))
    return RawRequest(dice.choice(METHODS), target, headers, dice.randbytes(dice.randrange(30)), "HTTP/1.1")


MAKERS: list[Callable[[random.Random, RawRequest], RawRequest]] = (
    [mutated] * 5 + [invented] * 2 + [written] * 2 + [noise]
)


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


def check(request: RawRequest) -> str:
    """The rule by which it is refused, "" where it is not. AssertionError or any exception but Refused is a finding."""
    rule = ""
    try:
        headers_only(request)
        found = canonicalise(request)
    except Refused as error:
        rule = error.rule
    if rule:
        assert rule in RULES
        _attributes_or_refused(request)
        return rule
    assert own_answer(request) is None, "net/http answers this itself"
    again = request_attributes(found.method, found.target).as_json()
    assert {**found.attributes.as_json(), "path": found.path} == again, "what is sent reads as what was judged"
    assert_stable(found)
    return ""


def _attributes_or_refused(request: RawRequest) -> None:
    try:
        request_attributes(request.method.decode("latin-1"), request.target).as_json()
    except Refused as error:
        assert error.rule in RULES


def assert_stable(found: CanonicalRequest) -> None:
    """The canonical form of the canonical request is the same; only what the server would decode is read from it anew."""
    length = ((b"Content-Length", str(len(found.body)).encode()),) if found.body else ()
    again = canonicalise(RawRequest(found.method.encode(), found.target, found.headers + length, found.body))
    assert replace(again, attributes=found.attributes, options=found.options) == found
    assert {**again.attributes.as_json(), "path": ""} == {**found.attributes.as_json(), "path": ""}


def run(count: int, seed: int = 0) -> Iterator[str]:
    """The outcome of each of `count` requests: its rule of refusal, or "". A finding is printed and raised."""
    dice = random.Random(seed)
    start = seeds()
    for _ in range(count):
        request = dice.choice(MAKERS)(dice, dice.choice(start))
        try:
            yield check(request)
        except Exception:
            print(f"seed {seed}: {request!r}")
            raise


@click.command()
@click.argument("count", type=int, default=20_000)
@click.option("--seed", type=int, default=0, help="The same seed makes the same requests.")
def main(count: int, seed: int) -> None:
    """Check COUNT requests, with progress, and list how they ended."""
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    console = Console()
    begin = time.monotonic()
    outcomes = Counter(track(run(count, seed), "requests", total=count, console=console))
    table = Table("requests", "outcome", box=None)
    for rule, number in outcomes.most_common():
        table.add_row(f"{number:,}", rule or "sent")
    console.print(table)
    console.print(
        f"{count:,} requests, seed {seed}, {time.monotonic() - begin:.0f} s: no other exception, no difference"
    )


if __name__ == "__main__":
    main()
