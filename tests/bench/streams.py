"""64 KiB of exec output through a tunnel: decoded, judged, masked, recorded; and the memory of 1 GiB of it."""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pratique.kube.spdy import Data, SpdyEncoder, SynReply, SynStream
from pratique.kube.websocket import BINARY, FrameDecoder, frame
from pratique.masking.frames import ChannelMasker
from pratique.recorder.casts import Cast, Header
from pratique.recorder.tapes import ExecTape
from pratique.tunnel.exec_channels import ExecTerms
from pratique.tunnel.exec_spdy import ExecOverSpdy
from pratique.tunnel.exec_websocket import ExecOverWebSocket
from pratique.tunnel.session import Output, Terms
from tests.bench.meter import Meter
from tests.masking.session import Session
from tests.tunnel.support import Plain

READ = 65536  # bytes; what mitmproxy reads at once
MESSAGE = 32 * 1024  # bytes; what a kubelet sends at once
LINE = b"2026-11-25T17:20:01Z INFO served path=/api/v1/items status=200 duration=12ms bytes=3456 client=10.0.0.17\n"
TEXT = (LINE * (MESSAGE // len(LINE) + 1))[: MESSAGE - 1]
ONE_LINE = TEXT.replace(b"\n", b" ")
RAW = bytes(range(256)) * (MESSAGE // 256)
ASKED = ExecTerms(stdout=True, stderr=True)
TARGET = "/api/v1/namespaces/shop/pods/web/exec?command=sh&stdout=true"
TOTAL = 1 << 30  # bytes, for memory
GROWTH = 16.0  # MiB; budget of what 1 GiB of output may add


def _terms() -> Terms:
    return Terms(0.0, 1e9, lambda: os.urandom(4))


def output(values: int = 3, *, archive: bool = False) -> ChannelMasker:
    """As the shipped masks have it, for a client that has read a Secret of `values` values."""
    session = Session()
    data = {f"k{number}": f"some-secret-value-{number:05d}-abcdef" for number in range(values)}
    document = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "stringData": data}
    session.body("/api/v1/namespaces/shop/secrets/s", json.dumps(document).encode())
    return ChannelMasker(session.masker(TARGET), archive=archive)


def websocket(payload: bytes, shown: Output, *, tape: bool = False) -> Callable[[], int]:
    """One read of `payload` in messages; returns the bytes of output in it."""
    session = ExecOverWebSocket(_terms(), ASKED, shown, half_close=True)
    recording = ExecTape(Cast(Header(0), 0.0, tty=False)) if tape else None
    stream = frame(BINARY, b"\x01" + payload) * 2

    def read() -> int:
        step = session.from_server(stream[:READ], 1.0)
        step_events = step.events + session.from_server(stream[READ:], 1.0).events
        if recording is not None:
            recording.add(1.0, step_events)
        return 2 * len(payload)

    return read


def spdy(payload: bytes, shown: Output) -> Callable[[], int]:
    session = ExecOverSpdy(_terms(), ASKED, shown)
    client, server = SpdyEncoder(), SpdyEncoder()
    for number, kind in ((1, "error"), (3, "stdout"), (5, "stderr")):
        session.from_client(client.encode(SynStream(number, {"streamtype": kind})), 1.0)
        session.from_server(server.encode(SynReply(number)), 1.0)
    stream = server.encode(Data(3, payload)) * 2

    def read() -> int:
        session.from_server(stream, 1.0)
        return 2 * len(payload)

    return read


def decoder(payload: bytes) -> Callable[[], Any]:
    frames = FrameDecoder(from_client=False)
    stream = frame(BINARY, b"\x01" + payload) * 2
    return lambda: [part.data for part in frames.feed(stream)]


def run(meter: Meter) -> None:
    meter.compare(
        {
            "frames decoded only": decoder(TEXT),
            "judged, nothing masked": websocket(TEXT, Plain()),
            "over SPDY, nothing masked": spdy(TEXT, Plain()),
            "masked, nothing known": websocket(TEXT, output(0)),
            "masked, 3 known values": websocket(TEXT, output()),
            "masked, 300 known values": websocket(TEXT, output(300)),
            "masked, one endless line": websocket(ONE_LINE, output()),
            "masked and recorded": websocket(TEXT, output(), tape=True),
            "binary": websocket(RAW, output()),
            "an archive": websocket(RAW, output(archive=True)),
        }
    )
    total = READ * 64 if meter.quick else TOTAL
    for name, read in {
        "1 GiB of text, masked and recorded": websocket(TEXT, output(), tape=True),
        "1 GiB of an archive": websocket(RAW, output(archive=True), tape=True),
    }.items():
        started, grown = time.process_time(), _growth(read, total)
        meter.add(f"{name}: memory", [grown], "MiB", budget=GROWTH)
        meter.note(f"{name}: {total / (time.process_time() - started) / 1e6:.0f} MB per second of CPU")
    meter.note("CPU µs for each 64 KiB of output; 655 µs are 100 MB/s")


def _growth(read: Callable[[], int], total: int) -> float:
    """MiB that the process has grown by at the most while `total` bytes went through."""
    gc.collect()
    done, before, most = 0, _resident(), 0.0
    while done < total:
        for _ in range(200):
            done += read()
        most = max(most, _resident() - before)
    return most


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
