"""I/O: several gateway processes on one port, and the supervisor that starts them again.

Belongs here: processes, pipes, signals, the event loop of a worker. Not here: what a worker serves (`cli.run`). Each worker
listens on the port itself (SO_REUSEPORT, Linux 3.9 and later): the kernel spreads connections over them, and one that has
crashed takes only its own connections with it. They share the documents, the approvals and the CA; each has recordings of its
own (`recorder.layout.worker_state`). The first one serves the reviewers' page and sends notifications.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pratique.errors import StartError

MAX_WORKERS = 64
"""More than a machine for this has cores; each takes some 100 MB."""
START_SECONDS = 120.0
"""A worker that does not serve after this is stuck. A cold start takes a few seconds."""
BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.5, 30.0
"""Between a crash and the next start; doubled each time, forgotten once a worker has served for the longer time."""
STEP_SECONDS = 0.1
"""How often the supervisor looks after its workers."""
KILL_SECONDS = 60.0
"""For workers to end after SIGTERM: they drain."""
ENVIRONMENT = "PRATIQUE_WORKER"
"""`INDEX:COUNT:READY:LIFE` for a worker: its number, how many there are, and two file descriptors."""


class SharedPortLoop(asyncio.SelectorEventLoop):
    """Listeners of this loop share their port with other processes of the same user."""

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:
        if options.get("sock") is None:
            options["reuse_port"] = True
        return await super().create_server(*arguments, **options)


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker was told by its supervisor. `ready`: written to once it serves; `life`: ends when the supervisor does."""

    index: int
    count: int
    ready: int
    life: int


def place() -> Place | None:
    """None in a process that no supervisor started."""
    told = os.environ.get(ENVIRONMENT, "")
    return Place(*map(int, told.split(":"))) if told else None


class Ready:
    """Last of a worker's chain: tells the supervisor that it serves, and ends the worker when the supervisor is gone."""

    name = "ready"

    def __init__(self, where: Place, stop: Any) -> None:
        self._place, self._stop = where, stop

    def running(self) -> None:
        os.write(self._place.ready, b"1")
        os.close(self._place.ready)
        asyncio.get_running_loop().add_reader(self._place.life, self._orphaned)

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._place.life)
        self._stop()


@dataclass(slots=True)
class _Worker:
    index: int
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Runs `command` `count` times. The first start must succeed; later a worker that ends is started again."""

    def __init__(self, count: int, command: Sequence[str]) -> None:
        if not 1 <= count <= MAX_WORKERS:
            raise StartError(f"--workers must be 1 to {MAX_WORKERS}")
        self._command = list(command)
        self._workers = [_Worker(index) for index in range(count)]
        self._life, self._held = os.pipe()  # the end that is held closes when this process ends, however that happens
        self._stopping = False

    def run(self) -> int:
        """Until SIGTERM or SIGINT; the exit code. One that did not start ends all, with its code."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop())
        try:
            for worker in self._workers:  # one after another: the first makes what the others share
                if not self._stopping and not self._start(worker):
                    return (worker.process.returncode if worker.process else 0) or 1
            while not self._stopping:
                time.sleep(STEP_SECONDS)
                self._look_after()
            return 0
        finally:
            self._end()

    def _stop(self) -> None:
        self._stopping = True
        self._signal(signal.SIGTERM)

    def _start(self, worker: _Worker) -> bool:
        """Whether it serves."""
        ready, told = os.pipe()
        environment = {**os.environ, ENVIRONMENT: f"{worker.index}:{len(self._workers)}:{told}:{self._life}"}
        try:
            worker.process = subprocess.Popen(self._command, env=environment, pass_fds=(told, self._life))  # noqa: S603 - our own command line again
        finally:
            os.close(told)
        worker.started = time.monotonic()
        try:
            return self._serves(worker, ready)
        finally:
            os.close(ready)

    def _serves(self, worker: _Worker, ready: int) -> bool:
        """The pipe has a byte when it serves, and ends without one when it has ended."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if select.select([ready], [], [], STEP_SECONDS)[0]:
                served = os.read(ready, 1) == b"1"
                if not served and worker.process is not None:
                    worker.process.wait(KILL_SECONDS)
                return served
        if worker.process is not None:
            worker.process.kill()
            worker.process.wait()
        return False

    def _look_after(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.alive:
                if now - worker.started > MAX_BACKOFF_SECONDS:
                    worker.failures = 0
            elif now - worker.started >= min(BACKOFF_SECONDS * 2**worker.failures, MAX_BACKOFF_SECONDS):
                self._again(worker)

    def _again(self, worker: _Worker) -> None:
        code = worker.process.returncode if worker.process else 0
        worker.failures += 1
        self._say(f"worker {worker.index} ended with {code}. It is started again")
        if not self._stopping and not self._start(worker) and not self._stopping:
            self._say(f"worker {worker.index} does not start; {sum(each.alive for each in self._workers)} serve")

    def _signal(self, number: int) -> None:
        for worker in self._workers:
            if worker.process is not None and worker.alive:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.send_signal(number)

    def _end(self) -> None:
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + KILL_SECONDS
        for worker in self._workers:
            if worker.process is not None:
                try:
                    worker.process.wait(max(deadline - time.monotonic(), 0))
                except subprocess.TimeoutExpired:
                    worker.process.kill()
                    worker.process.wait()
        os.close(self._life)
        os.close(self._held)

    def _say(self, text: str) -> None:
        sys.stderr.write(f"pratique: {text}\n")
        sys.stderr.flush()
