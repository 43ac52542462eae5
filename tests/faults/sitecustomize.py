"""Loaded by Python at the start of a gateway under test, before anything of its own: its clock and its resolver, by switches.

`FAULTS_CLOCK`: a file with the seconds that `time.time` is ahead. `FAULTS_DNS`: a file with `fails`, `hangs` or nothing; it
decides for the name `localhost` only, which the Cluster document names.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

_true, _resolve = time.time, socket.getaddrinfo
_looked = [0.0, 0.0]
LOOK_SECONDS = 0.05
HANG_SECONDS = 3.0


def _ahead() -> float:
    now = time.monotonic()
    if now - _looked[0] > LOOK_SECONDS:
        _looked[:] = [now, float(Path(os.environ["FAULTS_CLOCK"]).read_text() or 0)]
    return _looked[1]


def _time() -> float:
    return _true() + _ahead()


def _getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    if host in {"localhost", b"localhost"}:
        how = Path(os.environ["FAULTS_DNS"]).read_text()
        if how == "hangs":
            time.sleep(HANG_SECONDS)
        if how:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _resolve(host, *args, **kwargs)


if "FAULTS_CLOCK" in os.environ:
    time.time, socket.getaddrinfo = _time, _getaddrinfo
