"""A recorded request against one that is not, a streamed event, and the memory of long streams."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Client, Server

from pratique.exchange import Exchange, exchange
from pratique.identity.clients import Client as KnownClient
from pratique.kube.canonical import RawRequest, canonicalise
from pratique.recorder import layout
from pratique.recorder.addon import Recorder
from pratique.recorder.casts import STDOUT, Cast, Header
from pratique.recorder.events import StreamEvents
from pratique.recorder.record import Opened, Stage
from pratique.recorder.spool import Spool
from pratique.verdict import Action, Verdict
from tests.bench.meter import Meter

BODY = b'{"kind":"Pod","metadata":{"name":"web","namespace":"dev"},"spec":{"x":"' + b"x" * 1900 + b'"}}'
EVENT = b'{"type":"MODIFIED","object":' + BODY + b"}\n"
WATCH_EVENTS = 36_000
"""An hour of ten events a second."""
EXEC_BYTES = 1 << 30
CHUNK = 32 * 1024
"""What the API server sends at once."""


class NoSpool:
    """Takes everything and writes nothing: what the gateway costs without recording."""

    def healthy(self) -> bool:
        return True

    def open_session(self, session: str, opened: Opened) -> None: ...
    def close_session(self, session: str) -> None: ...
    def append(self, session: str, record: bytes, meta: Any = None, part: str = "") -> None: ...
    def event(self, session: str, part: str, data: bytes) -> None: ...

    def size(self, session: str) -> int:
        return 0


class NoRecorder(Recorder):
    """Sessions, but no record is made of a request."""

    def _append(self, flow: http.HTTPFlow, state: Exchange, stage: Stage) -> None: ...


def _flow() -> http.HTTPFlow:
    """A GET of a pod, allowed, with the answer of a cluster."""
    client = Client(peername=("10.0.0.9", 40000), sockname=("10.0.0.1", 8443), timestamp_start=time.time())
    flow = http.HTTPFlow(client, Server(address=("api", 6443)))
    headers = http.Headers([(b"accept", b"application/json"), (b"user-agent", b"kubectl/v1.36.2"), (b"host", b"api")])
    target = b"/api/v1/namespaces/dev/pods/web?limit=500"
    now = time.time()
    flow.request = http.Request("api", 6443, b"GET", b"https", b"", target, b"HTTP/1.1", headers, b"", None, now, now)
    answer = http.Headers([(b"content-type", b"application/json"), (b"date", b"Wed, 01 Jan 2026 00:00:00 GMT")])
    flow.response = http.Response(b"HTTP/1.1", 200, b"OK", answer, BODY, None, now, now)
    state = exchange(flow)
    state.started, state.shown = now, True
    state.client = KnownClient("bench", ())
    state.canonical = canonicalise(RawRequest(b"GET", target, ((b"host", b"api"),), b"", "HTTP/1.1"))
    state.verdict = Verdict(Action.ALLOW, ("readers/pods",))
    return flow


def _served(recorder: Recorder) -> Any:
    """The hooks of one request, on one connection."""
    first = _flow()

    def serve() -> None:
        flow = _flow()
        flow.client_conn = first.client_conn
        recorder.requestheaders(flow)
        recorder.request(flow)
        recorder.response(flow)

    return serve


def _recorder(kind: type[Recorder], spool: Any) -> Recorder:
    return kind(
        spool,
        "bench",
        mask_request=lambda _state: b"",
        mask_input=lambda _state: None,
        mask_text=lambda _state, text: text,
    )


def _session(spool: Spool) -> str:
    session = layout.session_id(time.time(), os.urandom(layout.RANDOM_BYTES))
    spool.open_session(session, Opened(session=session))
    return session


def _resident() -> float:
    """MiB of memory now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def run(meter: Meter) -> None:
    with tempfile.TemporaryDirectory() as name, Spool(Path(name), fsync=3600.0, min_free_bytes=0) as spool:
        recorded = _recorder(Recorder, spool)
        meter.compare(
            {
                "a request, not recorded": _served(_recorder(NoRecorder, NoSpool())),  # type: ignore[arg-type]
                "a request, described but not written": _served(_recorder(Recorder, NoSpool())),  # type: ignore[arg-type]
                "a request, recorded": _served(recorded),
            }
        )
        events, session = StreamEvents(1 << 60), _session(spool)
        meter.compare(
            {
                "SHA-256 of an event of 2 KB": lambda: hashlib.sha256(EVENT).digest(),
                "a watch event of 2 KB, recorded": lambda: spool.event(session, "w.events", events.feed(1.0, EVENT)),
            }
        )
        _memory(meter, spool)
    meter.note("CPU of one process; files are synced once at the end (a disk decides what a sync costs)")
    meter.note("without recording: the same hooks and flow, which mitmproxy makes anyway")


def _memory(meter: Meter, spool: Spool) -> None:
    share = 64 if meter.quick else 1
    for name, feed in (("watch", _watch), (f"exec of {EXEC_BYTES >> 20} MiB", _exec)):
        session = _session(spool)
        samples = [0.0]
        before = _resident()
        for _ in feed(spool, session, share):
            samples.append(_resident() - before)
        meter.add(
            f"memory that an {name} adds" if name != "watch" else "memory that an hour of a watch adds",
            [max(samples)],
            "MiB",
        )
        spool.close_session(session)


def _watch(spool: Spool, session: str, share: int) -> Any:
    events = StreamEvents()
    for number in range(WATCH_EVENTS // share):
        if lines := events.feed(float(number), EVENT):
            spool.event(session, "w.events", lines)
        if number % 500 == 0:
            yield


def _exec(spool: Spool, session: str, share: int) -> Any:
    cast, data = Cast(Header(0), 0.0, tty=True), (b"a line of output\r\n" * 2048)[:CHUNK]
    for number in range(EXEC_BYTES // CHUNK // share):
        if lines := cast.event(float(number), STDOUT, data):
            spool.event(session, "e.cast", lines)
        if number % 500 == 0:
            yield
