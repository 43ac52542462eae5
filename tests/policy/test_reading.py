"""Bodies that are read slowly are read in a thread: the event loop serves everybody else meanwhile."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pratique.errors import Refused
from pratique.kube.body import reads_slowly
from pratique.kube.forms import RawRequest
from pratique.policy import addon
from pratique.policy.addon import Policy

YAML = (b"Content-Type", b"application/yaml")
TARGET = b"/api/v1/namespaces/a/configmaps/b"


def policy() -> Policy:
    nothing: Any = None
    return Policy(nothing, nothing, nothing, nothing)


def raw(body: bytes, media: bytes = b"application/yaml") -> RawRequest:
    return RawRequest(b"PUT", TARGET, ((b"Content-Type", media), (b"Content-Length", b"%d" % len(body))), body)


@pytest.mark.parametrize(
    ("headers", "size", "slow"),
    [
        ((YAML,), 1024, False),
        ((YAML,), 1025, True),
        (((b"content-TYPE", b"application/apply-patch+YAML"),), 2000, True),
        (((b"content-type", b"application/vnd.kubernetes.protobuf"),), 2000, True),
        (((b"content-type", b"application/merge-patch+JSON"),), 256 * 1024, False),
        (((b"content-type", b"application/json"), YAML), 2000, True),
        ((), 256 * 1024, False),
        ((), 256 * 1024 + 1, True),
    ],
)
def test_what_is_read_slowly(headers: Any, size: int, slow: bool) -> None:
    assert reads_slowly(headers, b"x" * size) is slow


def test_the_loop_goes_on_while_a_slow_body_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(addon, "canonicalise", lambda *_: goes_on.wait(30))

    async def main() -> Any:
        reading = asyncio.create_task(policy()._read(raw(b"a: b\n" * 1000), None))
        await asyncio.sleep(0)
        goes_on.set()
        return await reading

    assert asyncio.run(main()), "it was read on the loop, which could not go on"


def test_what_is_read_in_a_thread_is_the_same_and_is_refused_the_same() -> None:
    small = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {a: c}\n"
    read = policy()._read
    long = small + b"#" * 2000 + b"\n"
    assert asyncio.run(read(raw(long), None)).document == asyncio.run(read(raw(small), None)).document
    for body in (b"a: [", b"a: [" + b" " * 2000):
        with pytest.raises(Refused, match="YAML"):
            asyncio.run(read(raw(body), None))


def test_what_stops_reads_nothing_more() -> None:
    stopped = policy()
    stopped.done()
    with pytest.raises(RuntimeError):  # the hook is guarded: a refusal
        asyncio.run(stopped._read(raw(b"a: b\n" * 1000), None))
